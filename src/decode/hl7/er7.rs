//! Adapter over `hl7-parser`, first half: one message as a stream of segments.
//!
//! The crate is a good field parser with known faults at the level of messages: it silently drops
//! everything after the first line it cannot read, shifts MSH when there is a fifth encoding
//! character, and takes a line feed inside a value for a segment end or a whole file for one
//! segment. So the segments are cut here, by rules that lose nothing, and the crate parses single
//! fields ([`super::fields`]), each checked to have been consumed whole.

use encoding_rs::Encoding;
use hl7_parser::message::Separators;

use super::escape::Escapes;
use super::fields::Fields;
use crate::decode::RejectionClass;

/// Most segments of one message; a report has hundreds, a hostile value millions.
const MOST_SEGMENTS: usize = 250_000;

/// A message cut into segments.
#[derive(Debug)]
pub(super) struct Message<'m> {
    pub(super) segments: Vec<Segment<'m>>,
    pub(super) escapes: Escapes,
    /// Some segment was ended by LF or CRLF instead of CR.
    pub(super) nonstandard_terminator: bool,
}

/// One segment. Line breaks inside it belong to its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'m> {
    name: [u8; 3],
    /// Which of its name it is in the message, from 1.
    pub(super) number: usize,
    body: &'m str,
}

/// The delimiters that MSH-1 and MSH-2 declare, and the fifth encoding character.
pub(super) fn delimiters(header: &str) -> Result<(Separators, char), RejectionClass> {
    let mut characters = header.chars().skip(3);
    let field = characters.next().ok_or(RejectionClass::Truncated)?;
    let mut declared: Vec<char> =
        characters.take_while(|c| *c != field && !matches!(c, '\r' | '\n')).take(8).collect();
    if declared.len() >= 5 {
        declared.dedup(); // `^~\\&`: escaped once too often on its way, see `unescape_twice`
    }
    let at = |index: usize, usual: char| declared.get(index).copied().unwrap_or(usual);
    let separators = Separators {
        field,
        component: at(0, '^'),
        repetition: at(1, '~'),
        escape: at(2, '\\'),
        subcomponent: at(3, '&'),
        lenient_newlines: false,
    };
    let mut all = vec![
        separators.field,
        separators.component,
        separators.repetition,
        separators.escape,
        separators.subcomponent,
    ];
    let usable =
        |c: &char| c.is_ascii_punctuation() || (c.is_ascii_control() && !matches!(c, '\r' | '\n'));
    if !all.iter().all(usable) {
        return Err(RejectionClass::Syntax);
    }
    all.sort_unstable();
    all.dedup();
    if all.len() < 5 { Err(RejectionClass::Syntax) } else { Ok((separators, at(4, '#'))) }
}

/// Undoes the escaping of a message that was put through a string literal and not taken out again:
/// its header declares `^~\\\\&`, and every backslash in it is doubled.
pub(super) fn unescape_twice(text: &str) -> Option<String> {
    let header = text.get(4..9)?;
    (header == "^~\\\\&").then(|| text.replace("\\\\", "\\"))
}

/// Cuts a message into segments.
///
/// A line begins a segment when it begins with a segment name and the field separator. After CR that
/// is enough. After a bare LF it is enough in a message without CR terminators; in one with them the
/// name must also be a known one, because there a line feed is data. Every other line goes on with
/// the field before it.
pub(super) fn parse<'m>(
    text: &'m str,
    encoding: &'static Encoding,
) -> Result<Message<'m>, RejectionClass> {
    let (separators, truncation) = delimiters(text)?;
    let separator = u8::try_from(separators.field).map_err(|_| RejectionClass::Syntax)?;
    let bytes = text.as_bytes();
    let mut starts = vec![([b'M', b'S', b'H'], 0_usize)];
    let mut nonstandard = false;
    let cr_terminated = memchr::memchr_iter(b'\r', bytes).any(|at| {
        let skip = if bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
        name_at(bytes, at + skip, separator).is_some()
    });
    for at in memchr::memchr2_iter(b'\r', b'\n', bytes) {
        let after_cr = bytes.get(at) == Some(&b'\r');
        if after_cr && bytes.get(at + 1) == Some(&b'\n') {
            continue; // the LF of a CRLF decides
        }
        let crlf =
            !after_cr && at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r');
        let Some(name) = name_at(bytes, at + 1, separator) else { continue };
        let named_alone = bytes.get(at + 4) != Some(&separator);
        let known = is_known(name);
        let begins = if after_cr || crlf || !cr_terminated {
            known || !named_alone
        } else {
            known && !named_alone
        };
        // A lower-case word is a segment name only if it is a known one.
        let cased = known
            || bytes.get(at + 1..at + 4).is_some_and(|n| !n.iter().any(u8::is_ascii_lowercase));
        if begins && cased {
            if starts.len() == MOST_SEGMENTS {
                return Err(RejectionClass::Oversize);
            }
            nonstandard |= !after_cr;
            starts.push((name, at + 1));
        }
    }
    let mut segments = Vec::with_capacity(starts.len());
    let mut counts = Counts::default();
    for (index, (name, start)) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(text.len(), |(_, next)| *next);
        let body = text.get(*start..end).unwrap_or_default().trim_end_matches(['\r', '\n']);
        segments.push(Segment { name: *name, number: counts.next(*name), body });
    }
    let escapes = Escapes { separators, truncation, encoding };
    Ok(Message { segments, escapes, nonstandard_terminator: nonstandard })
}

/// How many segments of each name were seen.
#[derive(Default)]
struct Counts(Vec<([u8; 3], usize)>);

impl Counts {
    fn next(&mut self, name: [u8; 3]) -> usize {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == name) {
            *count += 1;
            return *count;
        }
        // More kinds of segment than any standard has are not worth telling apart.
        if self.0.len() < 256 {
            self.0.push((name, 1));
        }
        1
    }
}

/// The upper-cased segment name at a place, when a separator or the end of the line follows it.
fn name_at(bytes: &[u8], at: usize, separator: u8) -> Option<[u8; 3]> {
    let name: [u8; 3] = bytes.get(at..at + 3)?.try_into().ok()?;
    let ends =
        bytes.get(at + 3).is_none_or(|next| *next == separator || matches!(next, b'\r' | b'\n'));
    let shaped = name.first()?.is_ascii_alphabetic() && name.iter().all(u8::is_ascii_alphanumeric);
    (ends && shaped).then(|| name.map(|byte| byte.to_ascii_uppercase()))
}

/// Segments that messages we read are made of. Any other name is accepted where the line structure
/// leaves no doubt.
fn is_known(name: [u8; 3]) -> bool {
    const KNOWN: [&[u8; 3]; 34] = [
        b"MSH", b"SFT", b"UAC", b"EVN", b"PID", b"PD1", b"NK1", b"PV1", b"PV2", b"ORC", b"OBR",
        b"OBX", b"NTE", b"TQ1", b"TQ2", b"CTD", b"FT1", b"CTI", b"SPM", b"TXA", b"CON", b"DSC",
        b"ADD", b"AL1", b"DG1", b"IN1", b"IN2", b"GT1", b"ROL", b"PRT", b"IPC", b"SAC", b"MSA",
        b"ERR",
    ];
    KNOWN.contains(&&name)
}

impl<'m> Segment<'m> {
    /// Upper-case name.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or("???")
    }

    /// Splits it into fields.
    pub(super) fn fields(&self, escapes: Escapes) -> Fields<'m> {
        let mut raw: Vec<&'m str> = self.body.split(escapes.separators.field).collect();
        if self.name == *b"MSH" {
            // MSH-1 is the separator itself, so that every index is the standard's number.
            raw.insert(1, "");
        }
        Fields::new(raw, self.body, escapes, self.name, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::UTF_8;

    fn names(text: &str) -> Vec<String> {
        let message = parse(text, UTF_8).expect("parses");
        message.segments.iter().map(|s| s.name().to_owned()).collect()
    }

    #[test]
    fn every_terminator_gives_the_same_segments() {
        for end in ["\r", "\n", "\r\n"] {
            let text = ["MSH|^~\\&|A", "PID|1", "", "OBX|1", "ZPF|1"].join(end);
            assert_eq!(names(&text), ["MSH", "PID", "OBX", "ZPF"], "{end:?}");
        }
    }

    #[test]
    fn a_line_feed_inside_a_value_begins_no_segment() {
        let text = "MSH|^~\\&|A\rOBX|1|TX|||line one\nABC|no segment\nline three||||||F\rOBX|2";
        let message = parse(text, UTF_8).expect("parses");
        let fields = message.segments[1].fields(message.escapes);
        assert_eq!(message.segments.len(), 3);
        assert!(fields.raw(5).starts_with("line one\nABC"));
    }

    #[test]
    fn a_line_that_is_no_segment_continues_the_field_before_it() {
        let text = "MSH|^~\\&|A\nOBX|1|TX|||line one\nline two\n\nEND\nline three\nOBX|2|TX|||x";
        let message = parse(text, UTF_8).expect("parses");
        assert!(message.nonstandard_terminator);
        assert_eq!(
            message.segments[1].fields(message.escapes).raw(5),
            "line one\nline two\n\nEND\nline three"
        );
    }

    #[test]
    fn delimiters_come_from_the_header() {
        let (separators, truncation) = delimiters("MSH](^~\\&]x").expect("usable");
        assert_eq!(
            (separators.field, separators.component, separators.repetition),
            (']', '(', '^')
        );
        assert_eq!((separators.escape, separators.subcomponent, truncation), ('~', '\\', '&'));
        let message = parse("MSH|^~\\&#|APP|FAC|||||ORU^R01\rpid|1", UTF_8).expect("parses");
        let header = message.segments[0].fields(message.escapes);
        assert_eq!((header.raw(3), &*header.value(9, 2)), ("APP", "R01"));
        assert_eq!(message.segments[1].name(), "PID");
    }

    #[test]
    fn unusable_delimiters_are_a_syntax_error() {
        for header in ["MSH|ABCD|x", "MSH|^^^^|x", "MSH||x|y"] {
            let refused = delimiters(header);
            assert!(header == "MSH||x|y" || refused == Err(RejectionClass::Syntax), "{header}");
        }
    }
}
