//! One message as a stream of segments, cut by rules that lose nothing.
//!
//! Parsers of the standard's grammar drop what they do not understand, shift MSH when there is a fifth
//! encoding character, and take a line feed inside a value for a segment end or a whole file for one
//! segment. Here one pass notes where the fields begin; nothing is copied, and a field is
//! looked up when it is asked for ([`super::fields`]).

use encoding_rs::Encoding;

mod delimiters;

pub(super) use self::delimiters::{Separators, delimiters, unescape_twice};

use super::escape::Escapes;
use super::fields::Fields;
use crate::decode::RejectionClass;
use crate::extract::eights;

/// Most segments of one message; a report has hundreds, a hostile value millions.
const MOST_SEGMENTS: usize = 250_000;

/// Segments that any message may have. Where there are more they are at least [`SHORT_SEGMENT`] bytes
/// long on the average, so that what is kept of each is in step with the length of the message.
const ALWAYS_SEGMENTS: usize = 2_000;
const SHORT_SEGMENT: usize = 32;

/// A message cut into segments.
#[derive(Debug)]
pub(super) struct Message<'m> {
    pub(super) segments: Vec<Segment>,
    pub(super) escapes: Escapes,
    /// Some segment was ended by LF or CRLF instead of CR.
    pub(super) nonstandard_terminator: bool,
    /// Some field has a line break or another control character.
    pub(super) has_controls: bool,
    /// Some field has an escape or repeats; that MSH-2 names the delimiters does not count.
    pub(super) is_marked: bool,
    text: &'m str,
    /// Where the fields begin in the text, in order; the first of each segment is its name.
    fields: Vec<u32>,
}

/// One segment. Line breaks inside it belong to its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    name: [u8; 3],
    /// Which of its name it is in the message, from 1.
    number: u32,
    /// Where it ends in the text, the line break not counted.
    end: u32,
    /// Its fields, of all those of the message.
    first_field: u32,
    fields: u32,
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
    let (delimiters, truncation) = delimiters(text)?;
    // Places, and numbers of fields, are kept in 32 bits.
    if text.len() > LONGEST_TEXT {
        return Err(RejectionClass::Oversize);
    }
    let bytes = text.as_bytes();
    let separator = delimiters.field;
    let mut segments = Segments { bytes, all: Vec::with_capacity(16), counts: Counts::default() };
    let mut fields: Vec<u32> = Vec::with_capacity((text.len() / 5).min(4096));
    let (mut nonstandard_terminator, mut has_controls) = (false, false);
    let cr_terminated = memchr::memchr_iter(b'\r', bytes).any(|at| {
        let skip = if bytes.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
        name_at(bytes, at + skip, separator).is_some()
    });
    let most = MOST_SEGMENTS.min(ALWAYS_SEGMENTS + text.len() / SHORT_SEGMENT);
    let is_crlf = |rest: &[u8]| rest.starts_with(b"\r\n");
    let last_end = text.trim_end_matches(['\r', '\n']).len();
    let mut open = Open { name: *b"MSH", start: 0, first_field: 0 };
    fields.push(0);
    let mut next = 0;
    for eight in eights::eights(bytes) {
        let from = next;
        next += 8;
        let mut separators = eights::equal(eight, separator);
        let mut controls = eights::below_blank(eight);
        if separators | controls == 0 {
            continue; // most of a text
        }
        // What is below the blank comes in order with the separators, where there is any.
        controls &= !separators;
        while controls != 0 {
            let mark = controls & controls.wrapping_neg();
            controls ^= mark;
            let before = separators & (mark - 1);
            separators ^= before;
            begin_fields(&mut fields, from, before);
            // `from` is a multiple of eight.
            let at = from | (mark.trailing_zeros() as usize / 8);
            let Some((name, after_cr)) = segment_after(bytes, at, separator, cr_terminated) else {
                // What ends the message is in no field, and of a CRLF the LF decides.
                has_controls |= at < last_end && !bytes.get(at..).is_some_and(is_crlf);
                continue;
            };
            if segments.all.len() + 1 >= most {
                return Err(RejectionClass::Oversize);
            }
            nonstandard_terminator |= !after_cr;
            segments.close(open, at, fields.len());
            open = Open { name, start: at + 1, first_field: fields.len() };
            fields.push(at as u32 + 1);
        }
        begin_fields(&mut fields, from, separators);
    }
    segments.close(open, text.len(), fields.len());
    let after_delimiters = fields.get(2).and_then(|at| bytes.get(*at as usize..));
    let is_marked = after_delimiters.is_some_and(|rest| {
        memchr::memchr2(delimiters.repetition, delimiters.escape, rest).is_some()
    });
    Ok(Message {
        segments: segments.all,
        escapes: Escapes { separators: delimiters, truncation, encoding },
        nonstandard_terminator,
        has_controls,
        is_marked,
        text,
        fields,
    })
}

/// Longest text whose places and fields can be counted.
const LONGEST_TEXT: usize = u32::MAX as usize / 2;

/// Notes a field after each marked separator of the eight bytes from a place.
#[inline]
fn begin_fields(fields: &mut Vec<u32>, from: usize, mut separators: u64) {
    while separators != 0 {
        // The length of the text was checked to fit.
        fields.push((from | (separators.trailing_zeros() as usize / 8)) as u32 + 1);
        separators &= separators - 1;
    }
}

/// The name of the segment that begins after a line break, if one does, and whether the break is a CR.
fn segment_after(
    bytes: &[u8],
    at: usize,
    separator: u8,
    cr_terminated: bool,
) -> Option<([u8; 3], bool)> {
    let after_cr = match bytes.get(at) {
        Some(b'\r') => true,
        Some(b'\n') => false,
        _ => return None, // another control character
    };
    if after_cr && bytes.get(at + 1) == Some(&b'\n') {
        return None; // the LF of a CRLF decides
    }
    let crlf = !after_cr && at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r');
    let name = name_at(bytes, at + 1, separator)?;
    let named_alone = bytes.get(at + 4) != Some(&separator);
    let known = is_known(name);
    let begins = if after_cr || crlf || !cr_terminated {
        known || !named_alone
    } else {
        known && !named_alone
    };
    // A lower-case word is a segment name only if it is a known one.
    let cased =
        known || bytes.get(at + 1..at + 4).is_some_and(|n| !n.iter().any(u8::is_ascii_lowercase));
    (begins && cased).then_some((name, after_cr))
}

/// A segment whose end has not been met.
#[derive(Clone, Copy)]
struct Open {
    name: [u8; 3],
    start: usize,
    first_field: usize,
}

/// The segments met so far.
struct Segments<'m> {
    bytes: &'m [u8],
    all: Vec<Segment>,
    counts: Counts,
}

impl Segments<'_> {
    /// Ends a segment, which has all fields from its first one.
    fn close(&mut self, open: Open, end: usize, fields: usize) {
        let Open { name, start, first_field } = open;
        let mut end = end;
        while end > start
            && let Some(b'\r' | b'\n') = self.bytes.get(end - 1)
        {
            end -= 1;
        }
        let number = self.counts.next(name);
        // The length of the text was checked to fit.
        let [end, first, count] = [end, first_field, fields - first_field].map(|n| n as u32);
        self.all.push(Segment { name, number, end, first_field: first, fields: count });
    }
}

impl<'m> Message<'m> {
    /// The fields of one of its segments.
    pub(super) const fn fields(&'m self, segment: &'m Segment) -> Fields<'m> {
        Fields::new(self, segment)
    }
}

impl Message<'_> {
    /// Names of the segments with their numbers, in the order first met. Names that are neither the
    /// standard's nor of a site's own kind (`Zxx`) may be words of a text and are not told.
    pub(super) fn names(&self) -> Vec<(String, usize)> {
        let mut names: Vec<(String, usize)> = Vec::new();
        for segment in &self.segments {
            let told = is_known(segment.name) || segment.name.starts_with(b"Z");
            let name = if told { segment.name() } else { "other" };
            if let Some((_, count)) = names.iter_mut().find(|(known, _)| known == name) {
                *count += 1;
            } else if names.len() < 64 {
                names.push((name.to_owned(), 1));
            }
        }
        names
    }
}

/// How many segments of each name were seen.
#[derive(Default)]
struct Counts(Vec<([u8; 3], u32)>);

impl Counts {
    fn next(&mut self, name: [u8; 3]) -> u32 {
        // The kinds that repeat come last.
        if let Some((_, count)) = self.0.iter_mut().rev().find(|(known, _)| *known == name) {
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
    // The ones that repeat come first.
    const KNOWN: [&[u8; 3]; 34] = [
        b"OBX", b"NTE", b"OBR", b"ORC", b"MSH", b"PID", b"PV1", b"SFT", b"UAC", b"EVN", b"PD1",
        b"NK1", b"PV2", b"TQ1", b"TQ2", b"CTD", b"FT1", b"CTI", b"SPM", b"TXA", b"CON", b"DSC",
        b"ADD", b"AL1", b"DG1", b"IN1", b"IN2", b"GT1", b"ROL", b"PRT", b"IPC", b"SAC", b"MSA",
        b"ERR",
    ];
    KNOWN.contains(&&name)
}

impl Segment {
    /// Upper-case name.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or("???")
    }

    /// Name as bytes.
    pub(super) const fn name_bytes(&self) -> [u8; 3] {
        self.name
    }

    /// Which of its name it is in the message, from 1.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Number of its last field. MSH-1 is the separator itself.
    pub(super) fn last(&self) -> usize {
        self.fields as usize - usize::from(self.name != *b"MSH")
    }

    /// One field as it stands; empty when there is none.
    #[inline]
    pub(super) fn field<'m>(&self, message: &Message<'m>, field: usize) -> &'m str {
        if self.name == *b"MSH" {
            return self.span(message, field, field);
        }
        let count = self.fields as usize;
        let own = message.fields.get(self.first_field as usize + field.min(count)..);
        match own.unwrap_or_default() {
            [start, next, ..] if field + 1 < count => {
                message.text.get(*start as usize..*next as usize - 1).unwrap_or_default()
            }
            [start, ..] if field + 1 == count => {
                message.text.get(*start as usize..self.end as usize).unwrap_or_default()
            }
            _ => "",
        }
    }

    /// Fields `from..=to` as they stand, with the separators between them; empty when there are none.
    pub(super) fn span<'m>(&self, message: &Message<'m>, from: usize, to: usize) -> &'m str {
        let (mut from, mut to) = (from, to);
        if self.name == *b"MSH" && to > 0 {
            if to == 1 {
                return "";
            }
            from = from.saturating_sub(1);
            to -= 1;
        }
        let first = self.first_field as usize;
        let own = message.fields.get(first..first + self.fields as usize).unwrap_or_default();
        let start = own.get(from).map_or(self.end as usize, |at| *at as usize);
        let end = own.get(to + 1).map_or(self.end as usize, |next| *next as usize - 1);
        message.text.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
