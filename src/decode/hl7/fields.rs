//! Adapter over `hl7-parser`, second half: the fields of a segment, their parts, and text.

use std::borrow::Cow;

use hl7_parser::message::Field;
use hl7_parser::parser::parse_field_with_separators;

use super::escape::Escapes;
use crate::decode::markup;

/// The fields of one segment, by the standard's numbers.
#[derive(Clone, Debug)]
pub(super) struct Fields<'m> {
    raw: Vec<&'m str>,
    body: &'m str,
    escapes: Escapes,
    name: [u8; 3],
    number: usize,
}

impl<'m> Fields<'m> {
    /// `raw` by the standard's numbers; `body` is the segment they were cut from.
    pub(super) const fn new(
        raw: Vec<&'m str>,
        body: &'m str,
        escapes: Escapes,
        name: [u8; 3],
        number: usize,
    ) -> Self {
        Self { raw, body, escapes, name, number }
    }

    /// A field as it stands, empty when absent.
    pub(super) fn raw(&self, field: usize) -> &'m str {
        self.raw.get(field).copied().unwrap_or_default()
    }

    /// Number of the last field.
    pub(super) fn last(&self) -> usize {
        self.raw.len().saturating_sub(1)
    }

    /// The same segment with fields `from..=to` read as one, so that later fields move to their
    /// places: what an unescaped separator in a text did is undone.
    pub(super) fn with_glued(&self, from: usize, to: usize) -> Self {
        let start: usize = self.raw.iter().take(from).map(|field| field.len() + 1).sum();
        let end: usize = self.raw.iter().take(to + 1).map(|field| field.len() + 1).sum();
        let mut glued = self.clone();
        if let Some(whole) = self.body.get(start..end.saturating_sub(1))
            && to < self.raw.len()
        {
            glued.raw.splice(from..=to, [whole]);
        }
        glued
    }

    /// A text as a person would read it: repetitions and escapes become lines and characters. Also
    /// whether some escape was unknown and was kept as it stood.
    pub(super) fn text(&self, raw: &str) -> (String, bool) {
        let separators = &self.escapes.separators;
        if raw.trim_start().starts_with("{\\rtf") {
            return (markup::from_rtf(raw), false);
        }
        let lines = join_repetitions(raw, separators.repetition);
        if !lines.contains(separators.escape) {
            return (with_line_feeds(&lines), false);
        }
        // In formatted text a component separator historically ends a line, before a command.
        let command: String = [separators.component, separators.escape, '.'].iter().collect();
        let lines = if lines.contains(&command) {
            let plain: String = [separators.escape, '.'].iter().collect();
            Cow::Owned(lines.replace(&command, &plain))
        } else {
            lines
        };
        let decoded = self.escapes.decode(&lines);
        if decoded.text.trim_start().starts_with("{\\rtf") {
            return (markup::from_rtf(&decoded.text), decoded.unknown);
        }
        (with_line_feeds(&decoded.text), decoded.unknown)
    }

    /// The separator between components.
    pub(super) const fn component_separator(&self) -> char {
        self.escapes.separators.component
    }

    /// Parses a field. Parse once what is asked more than once.
    pub(super) fn parse(&self, field: usize) -> Value<'m> {
        let raw = first_line(self.raw(field));
        // A code or identifier of many kilobytes is none, and is not worth its tree.
        let raw = if raw.len() > LONGEST_CODED { "" } else { raw };
        let separators = self.escapes.separators;
        let structured = [separators.component, separators.subcomponent, separators.repetition];
        let tree = raw
            .contains(structured)
            .then(|| parse_field_with_separators(raw, separators).ok())
            .flatten()
            // The crate gives back what it could read; all of it or nothing is wanted.
            .filter(|parsed| parsed.raw_value().len() == raw.len());
        Value { raw, tree, escapes: self.escapes }
    }

    /// A component of the field's first repetition (from 1), decoded and trimmed. HL7 null (`""`) is
    /// empty.
    pub(super) fn value(&self, field: usize, component: usize) -> Cow<'m, str> {
        self.parse(field).value(component)
    }

    /// Place of a field for a rejection: `OBX[3]-5`.
    pub(super) fn place(&self, field: usize) -> String {
        let name = std::str::from_utf8(&self.name).unwrap_or("???");
        format!("{name}[{}]-{field}", self.number)
    }
}

/// Longest field that is read as a code or identifier, in bytes.
const LONGEST_CODED: usize = 16 * 1024;

/// One parsed field.
pub(super) struct Value<'m> {
    raw: &'m str,
    /// `None` when it has no structure.
    tree: Option<Field<'m>>,
    escapes: Escapes,
}

impl<'m> Value<'m> {
    /// A component of the first repetition, from 1.
    pub(super) fn value(&self, component: usize) -> Cow<'m, str> {
        self.part(1, component, 1)
    }

    /// A subcomponent of a component of a repetition, all from 1.
    pub(super) fn part(
        &self,
        repetition: usize,
        component: usize,
        subcomponent: usize,
    ) -> Cow<'m, str> {
        let Some(tree) = &self.tree else {
            let first = repetition == 1 && component == 1 && subcomponent == 1;
            return if first { self.clean(self.raw) } else { Cow::Borrowed("") };
        };
        let value = || {
            let component = tree.repeat(repetition)?.component(component)?;
            if component.has_subcomponents() {
                return Some(component.subcomponent(subcomponent)?.raw_value());
            }
            (subcomponent == 1).then(|| component.raw_value())
        };
        value().map_or(Cow::Borrowed(""), |raw| self.clean(raw))
    }

    /// How many repetitions there are.
    pub(super) fn repetitions(&self) -> usize {
        self.tree.as_ref().map_or(1, |tree| tree.repeats().count())
    }

    fn clean(&self, raw: &'m str) -> Cow<'m, str> {
        let raw = raw.trim();
        if raw == "\"\"" {
            return Cow::Borrowed("");
        }
        match self.escapes.decode(raw).text {
            Cow::Borrowed(text) => Cow::Borrowed(text),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        }
    }
}

/// Identifiers and codes are one line; what a stray line break adds is not part of them.
fn first_line(raw: &str) -> &str {
    raw.split(['\r', '\n']).next().unwrap_or_default()
}

/// Repetitions of a text are its lines. A separator that was not escaped (`measures ~5 mm`) is
/// known by the digit after it and the unfinished, spaced text before it, and goes back inline.
fn join_repetitions(raw: &str, repetition: char) -> Cow<'_, str> {
    if !raw.contains(repetition) {
        return Cow::Borrowed(raw);
    }
    let mut joined = String::with_capacity(raw.len());
    for (index, part) in raw.split(repetition).enumerate() {
        if index > 0 {
            let unfinished = joined.ends_with([' ', '(', '<', '>', '='])
                && !joined.trim_end().ends_with(['.', ':', '!', '?', '\n'])
                && !joined.trim_end().is_empty();
            let approximate = unfinished && part.starts_with(|c: char| c.is_ascii_digit());
            joined.push(if approximate { repetition } else { '\n' });
        }
        joined.push_str(part);
    }
    Cow::Owned(joined)
}

/// CR, CRLF, form feed and vertical tab become LF.
fn with_line_feeds(text: &str) -> String {
    if !text.contains(['\r', '\u{c}', '\u{b}']) {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace(['\r', '\u{c}', '\u{b}'], "\n")
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
        let obr = message.segments[1].fields(message.escapes);
        assert_eq!(obr.value(2, 1), "");
        assert_eq!((obr.value(3, 1), obr.value(3, 2)), ("A1".into(), "RIS".into()));
        let filler = obr.parse(3);
        assert_eq!((filler.part(1, 1, 2), filler.part(2, 1, 1)), ("sub".into(), "A2".into()));
        assert_eq!(obr.value(4, 1), "71046&x");
        assert_eq!((obr.value(9, 1), obr.value(4, 7)), ("".into(), "".into()));
        assert_eq!(obr.place(5), "OBR[1]-5");
    }

    #[test]
    fn repetitions_are_lines_and_a_tilde_before_a_number_stays() {
        assert_eq!(join_repetitions("FINDINGS:~Clear.~1. None", '~'), "FINDINGS:\nClear.\n1. None");
        assert_eq!(join_repetitions("measures ~5 mm", '~'), "measures ~5 mm");
        assert_eq!(join_repetitions("dated~1992-07-19.", '~'), "dated\n1992-07-19.");
    }

    #[test]
    fn gluing_fields_moves_later_fields_back() {
        let text = "MSH|^~\\&|A\rOBX|1|TX|||a|b||c||||||F";
        let message = parse(text, UTF_8).expect("parses");
        let obx = message.segments[1].fields(message.escapes).with_glued(5, 8);
        assert_eq!((obx.raw(5), obx.raw(11)), ("a|b||c", "F"));
    }
}
