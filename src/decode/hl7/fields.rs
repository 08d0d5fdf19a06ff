//! The fields of a segment, their parts, and text. Looked up when asked for; copied only where an
//! escape or a line break changes them.

use std::borrow::Cow;

use hl7_parser::parser::parse_field_with_separators;

use super::er7::{Message, Segment};
use super::escape::{Escapes, Unescaped};
use crate::decode::markup;

/// The fields of one segment, by the standard's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'m> {
    message: &'m Message<'m>,
    segment: &'m Segment,
    /// Fields read as one, see [`Fields::with_glued`].
    glued: Option<(usize, usize)>,
}

impl<'m> Fields<'m> {
    pub(super) const fn new(message: &'m Message<'m>, segment: &'m Segment) -> Self {
        Self { message, segment, glued: None }
    }

    const fn escapes(&self) -> &'m Escapes {
        &self.message.escapes
    }

    /// A field as it stands, empty when absent.
    #[inline]
    pub(super) fn raw(&self, field: usize) -> &'m str {
        match self.glued {
            Some((from, to)) if field == from => self.segment.span(self.message, from, to),
            Some((from, to)) if field > from => self.segment.field(self.message, field + to - from),
            _ => self.segment.field(self.message, field),
        }
    }

    /// Number of the last field.
    pub(super) fn last(&self) -> usize {
        self.segment.last() - self.glued.map_or(0, |(from, to)| to - from)
    }

    /// The same segment with fields `from..=to` read as one, so that later fields move to their
    /// places: what an unescaped separator in a text did is undone.
    pub(super) fn with_glued(&self, from: usize, to: usize) -> Self {
        let there = from <= to && to <= self.segment.last();
        Self { glued: there.then_some((from, to)), ..*self }
    }

    /// A text as a person would read it: repetitions and escapes become lines and characters. Also
    /// whether some escape was unknown and was kept as it stood.
    pub(super) fn text(&self, raw: &'m str) -> (Cow<'m, str>, bool) {
        let separators = &self.escapes().separators;
        if begins_rtf(raw) {
            return (Cow::Owned(markup::from_rtf(raw)), false);
        }
        // Most lines have neither, and are told in one look; so are most messages.
        if !self.message.is_marked
            || memchr::memchr2(separators.repetition, separators.escape, raw.as_bytes()).is_none()
        {
            let raw = Cow::Borrowed(raw);
            let text = if self.message.has_controls { with_line_feeds(raw) } else { raw };
            return (text, false);
        }
        let lines = join_repetitions(raw, separators.repetition);
        if memchr::memchr(separators.escape, lines.as_bytes()).is_none() {
            return (with_line_feeds(lines), false);
        }
        // In formatted text a component separator historically ends a line, before a command.
        let command = [separators.component, separators.escape, b'.'].map(char::from);
        let command: String = command.iter().collect();
        let lines = if lines.contains(&command) {
            Cow::Owned(lines.replace(&command, command.get(1..).unwrap_or_default()))
        } else {
            lines
        };
        let Unescaped { text: decoded, unknown } = self.escapes().decode(lines);
        if begins_rtf(&decoded) {
            return (Cow::Owned(markup::from_rtf(&decoded)), unknown);
        }
        (with_line_feeds(decoded), unknown)
    }

    /// The separator between components.
    pub(super) fn component_separator(&self) -> char {
        char::from(self.escapes().separators.component)
    }

    /// A field to take parts of.
    pub(super) fn parse(&self, field: usize) -> Value<'m> {
        let raw = self.raw(field);
        let raw = if self.message.has_controls { first_line(raw) } else { raw };
        // A code or identifier of many kilobytes is none.
        let raw = if raw.len() > LONGEST_CODED { "" } else { raw };
        // The header names the delimiters themselves.
        let is_marked = self.message.is_marked || field <= 2;
        Value { raw, escapes: self.escapes(), is_marked }
    }

    /// A component of the field's first repetition (from 1), decoded and trimmed. HL7 null (`""`) is
    /// empty.
    pub(super) fn value(&self, field: usize, component: usize) -> Cow<'m, str> {
        self.parse(field).value(component)
    }

    /// Upper-case name of the segment.
    pub(super) const fn name(&self) -> [u8; 3] {
        self.segment.name_bytes()
    }

    /// Place of a field for a rejection: `OBX[3]-5`.
    pub(super) fn place(&self, field: usize) -> String {
        format!("{}[{}]-{field}", self.segment.name(), self.segment.number())
    }
}

/// Longest field that is read as a code or identifier, in bytes.
const LONGEST_CODED: usize = 16 * 1024;

/// One field, of which parts are asked.
#[derive(Clone, Copy)]
pub(super) struct Value<'m> {
    raw: &'m str,
    escapes: &'m Escapes,
    /// It may have escapes.
    is_marked: bool,
}

impl<'m> Value<'m> {
    /// A component of the first repetition, from 1.
    pub(super) fn value(&self, component: usize) -> Cow<'m, str> {
        let separators = &self.escapes.separators;
        let Some(mut before) = component.checked_sub(1) else { return Cow::Borrowed("") };
        let (mut start, mut end) = (0, self.raw.len());
        for (at, byte) in self.raw.bytes().enumerate() {
            if byte == separators.repetition || (byte == separators.component && before == 0) {
                end = at;
                break;
            }
            if byte == separators.component {
                before -= 1;
                start = at + 1;
            } else if byte == separators.subcomponent && before == 0 {
                end = at;
                break;
            }
        }
        if before > 0 {
            return Cow::Borrowed("");
        }
        self.clean(self.raw.get(start..end).unwrap_or_default())
    }

    /// A subcomponent of a component of a repetition, all from 1. What is asked this deep is rare:
    /// `hl7-parser` parses the field whole.
    pub(super) fn part(
        &self,
        repetition: usize,
        component: usize,
        subcomponent: usize,
    ) -> Cow<'m, str> {
        // The crate gives back what it could read; all of it or nothing is wanted.
        let parsed = parse_field_with_separators(self.raw, self.escapes.separators.into())
            .ok()
            .filter(|parsed| parsed.raw_value().len() == self.raw.len());
        let value = || {
            let component = parsed.as_ref()?.repeat(repetition)?.component(component)?;
            if component.has_subcomponents() {
                return Some(component.subcomponent(subcomponent)?.raw_value());
            }
            (subcomponent == 1).then(|| component.raw_value())
        };
        value().map_or(Cow::Borrowed(""), |raw| self.clean(raw))
    }

    /// The first components of the first repetition, as [`Value::value`] gives them, in one pass.
    pub(super) fn values<const N: usize>(&self) -> [Cow<'m, str>; N] {
        let separators = &self.escapes.separators;
        let mut values = [const { Cow::Borrowed("") }; N];
        let mut rest = self.raw;
        for value in &mut values {
            let stops = |byte: &u8| *byte == separators.component || *byte == separators.repetition;
            let end = rest.bytes().position(|byte| stops(&byte));
            let whole = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let first = whole.bytes().position(|byte| byte == separators.subcomponent);
            *value = self.clean(whole.get(..first.unwrap_or(whole.len())).unwrap_or_default());
            match end.and_then(|end| Some((rest.as_bytes().get(end)?, rest.get(end + 1..)?))) {
                Some((byte, after)) if *byte == separators.component => rest = after,
                _ => break,
            }
        }
        values
    }

    /// Whether any component has parts of its own.
    pub(super) fn has_subcomponents(&self) -> bool {
        memchr::memchr(self.escapes.separators.subcomponent, self.raw.as_bytes()).is_some()
    }

    /// How many repetitions there are.
    pub(super) fn repetitions(&self) -> usize {
        1 + memchr::memchr_iter(self.escapes.separators.repetition, self.raw.as_bytes()).count()
    }

    fn clean(&self, raw: &'m str) -> Cow<'m, str> {
        let raw = trimmed(raw);
        if raw.is_empty() || raw == "\"\"" {
            return Cow::Borrowed("");
        }
        if !self.is_marked {
            return Cow::Borrowed(raw);
        }
        match self.escapes.decode(raw).text {
            Cow::Borrowed(text) => Cow::Borrowed(text),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        }
    }
}

/// A text without white space around it. Most have none, which is told by their first and last byte.
#[inline]
pub(super) fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

/// Whether there is nothing but white space. Told by the first byte, mostly.
#[inline]
pub(super) fn is_blank(text: &str) -> bool {
    !matches!(text.as_bytes().first(), Some(b'!'..=b'~')) && text.trim_start().is_empty()
}

/// Whether a text is RTF.
fn begins_rtf(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(first) if first.is_ascii_alphanumeric() => false,
        _ => text.trim_start().starts_with("{\\rtf"),
    }
}

/// Identifiers and codes are one line; what a stray line break adds is not part of them.
fn first_line(raw: &str) -> &str {
    let end = memchr::memchr2(b'\r', b'\n', raw.as_bytes()).unwrap_or(raw.len());
    raw.get(..end).unwrap_or_default()
}

/// Repetitions of a text are its lines. A separator that was not escaped (`measures ~5 mm`) is
/// known by the digit after it and the unfinished, spaced text before it, and goes back inline.
fn join_repetitions(raw: &str, repetition: u8) -> Cow<'_, str> {
    if memchr::memchr(repetition, raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut joined = String::with_capacity(raw.len());
    for (index, part) in raw.split(char::from(repetition)).enumerate() {
        if index > 0 {
            let unfinished = joined.ends_with([' ', '(', '<', '>', '='])
                && !joined.trim_end().ends_with(['.', ':', '!', '?', '\n'])
                && !joined.trim_end().is_empty();
            let approximate = unfinished && part.starts_with(|c: char| c.is_ascii_digit());
            joined.push(if approximate { char::from(repetition) } else { '\n' });
        }
        joined.push_str(part);
    }
    Cow::Owned(joined)
}

/// CR, CRLF, form feed and vertical tab become LF.
fn with_line_feeds(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memchr3(b'\r', 0xc, 0xb, text.as_bytes()).is_none() {
        return text;
    }
    Cow::Owned(text.replace("\r\n", "\n").replace(['\r', '\u{c}', '\u{b}'], "\n"))
}

#[cfg(test)]
mod tests {
    use super::super::er7::parse;
    use super::*;
    use encoding_rs::UTF_8;

    #[test]
    fn parts_of_a_field_are_decoded_and_null_is_empty() {
        let text = "MSH|^~\\&|A\rOBR|1|\"\"|A1&sub^RIS~A2^PACS|71046\\T\\x^XR CHEST";
        let message = parse(text, UTF_8).expect("parses");
        let obr = message.fields(&message.segments[1]);
        assert_eq!(obr.value(2, 1), "");
        assert_eq!((obr.value(3, 1), obr.value(3, 2)), ("A1".into(), "RIS".into()));
        let filler = obr.parse(3);
        assert_eq!((filler.part(1, 1, 2), filler.part(2, 1, 1)), ("sub".into(), "A2".into()));
        assert_eq!(obr.value(4, 1), "71046&x");
        assert_eq!((obr.value(9, 1), obr.value(4, 7)), ("".into(), "".into()));
        assert_eq!(obr.place(5), "OBR[1]-5");
    }

    proptest::proptest! {
        /// What is cut by hand for speed is what `hl7-parser` finds.
        #[test]
        fn components_are_those_of_the_parser(field in "[a-c^~& ]{0,24}", component in 1_usize..8) {
            let text = format!("MSH|^~\\&|A\rOBR|1||{field}|");
            let message = parse(&text, UTF_8).expect("parses");
            let value = message.fields(&message.segments[1]).parse(3);
            let parsed = value.part(1, component, 1);
            proptest::prop_assert_eq!(&value.value(component), &parsed);
            let values: [_; 8] = value.values();
            proptest::prop_assert_eq!(&values[component - 1], &parsed);
        }
    }

    #[test]
    fn repetitions_are_lines_and_a_tilde_before_a_number_stays() {
        assert_eq!(
            join_repetitions("FINDINGS:~Clear.~1. None", b'~'),
            "FINDINGS:\nClear.\n1. None"
        );
        assert_eq!(join_repetitions("measures ~5 mm", b'~'), "measures ~5 mm");
        assert_eq!(join_repetitions("dated~1992-07-19.", b'~'), "dated\n1992-07-19.");
    }

    #[test]
    fn gluing_fields_moves_later_fields_back() {
        let text = "MSH|^~\\&|A\rOBX|1|TX|||a|b||c||||||F";
        let message = parse(text, UTF_8).expect("parses");
        let obx = message.fields(&message.segments[1]).with_glued(5, 8);
        assert_eq!((obx.raw(5), obx.raw(11)), ("a|b||c", "F"));
    }
}
