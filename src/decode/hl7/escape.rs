//! Escape sequences of HL7 v2 (chapter 2) → the text they stand for.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::er7::Separators;

/// Most lines or spaces one formatting command may make: a typo must not make a megabyte.
const MOST_REPEATED: usize = 40;

/// Decodes the escapes of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escapes {
    pub(super) separators: Separators,
    /// Fifth encoding character (2.7 and later), what `\P\` stands for.
    pub(super) truncation: char,
    /// Character set of `\Xhh..\`.
    pub(super) encoding: &'static Encoding,
}

/// Decoded text, and whether an escape was unknown or unterminated and was kept as it stood.
#[derive(Debug)]
pub(super) struct Unescaped<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) unknown: bool,
}

impl Escapes {
    /// Decodes a value. Formatting commands become line breaks and spaces in every value type:
    /// senders do not care for the type.
    pub(super) fn decode<'t>(&self, raw: impl Into<Cow<'t, str>>) -> Unescaped<'t> {
        let raw = raw.into();
        match self.decoded(&raw) {
            Some((text, unknown)) => Unescaped { text: Cow::Owned(text), unknown },
            None => Unescaped { text: raw, unknown: false },
        }
    }

    /// `None` when there is nothing to decode.
    fn decoded(&self, raw: &str) -> Option<(String, bool)> {
        let escape = self.separators.escape;
        let mut next = split_at_byte(raw, escape);
        next?;
        let mut out = String::with_capacity(raw.len());
        let mut unknown = false;
        let mut escaped_escape = false;
        let mut rest = raw;
        while let Some((before, after)) = next {
            out.push_str(before);
            match split_at_byte(after, escape) {
                Some((body, tail)) if self.render(body, &mut out) => {
                    escaped_escape |= body == "E";
                    rest = tail;
                }
                _ => {
                    out.push(char::from(escape));
                    unknown = true;
                    rest = after;
                }
            }
            next = split_at_byte(rest, escape);
        }
        out.push_str(rest);
        if escaped_escape {
            out = self.formatting_only(&out);
        }
        Some((out, unknown))
    }

    /// Second pass over a text in which `\E\` stood: a sender that escapes twice turns `\.br\` into
    /// `\E\.br\E\`. Only formatting commands are decoded, so that a path keeps its backslashes.
    fn formatting_only(&self, text: &str) -> String {
        let escape = self.separators.escape;
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = split_at_byte(rest, escape) {
            out.push_str(before);
            match split_at_byte(after, escape) {
                Some((body, tail)) if body.starts_with('.') && format(body, &mut out) => {
                    rest = tail
                }
                _ => {
                    out.push(char::from(escape));
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// Appends what an escape stands for; `false` when it is unknown and nothing was appended.
    fn render(&self, body: &str, out: &mut String) -> bool {
        let separators = &self.separators;
        match body {
            "F" => out.push(char::from(separators.field)),
            "S" => out.push(char::from(separators.component)),
            "T" => out.push(char::from(separators.subcomponent)),
            "R" => out.push(char::from(separators.repetition)),
            "E" => out.push(char::from(separators.escape)),
            "P" => out.push(self.truncation),
            "H" | "N" => {}
            _ if body.starts_with('.') => return format(body, out),
            _ => return body.strip_prefix('X').is_some_and(|hex| self.bytes(hex, out)),
        }
        true
    }

    /// `\Xhh..\`: bytes in the message's character set.
    fn bytes(&self, hex: &str, out: &mut String) -> bool {
        if hex.is_empty() || !hex.len().is_multiple_of(2) {
            return false;
        }
        let mut bytes = Vec::with_capacity(hex.len() / 2);
        for pair in hex.as_bytes().chunks_exact(2) {
            match std::str::from_utf8(pair).map(|pair| u8::from_str_radix(pair, 16)) {
                Ok(Ok(byte)) if pair.iter().all(u8::is_ascii_hexdigit) => bytes.push(byte),
                _ => return false,
            }
        }
        let text = self.encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        text.is_some_and(|text| {
            out.push_str(&text);
            true
        })
    }
}

/// What stands before and after the first of an ASCII byte.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Formatting commands of FT values.
fn format(body: &str, out: &mut String) -> bool {
    let Some(command) = body.get(1..3) else { return false };
    let argument = body.get(3..).unwrap_or_default().trim();
    let count =
        argument.trim_start_matches('+').parse::<usize>().ok().map(|n| n.min(MOST_REPEATED));
    if !argument.is_empty() && argument.trim_start_matches(['+', '-']).parse::<u32>().is_err() {
        return false;
    }
    let is = |name: &str| command.eq_ignore_ascii_case(name);
    if is("br") || is("ce") {
        out.push('\n');
    } else if is("sp") {
        out.extend(std::iter::repeat_n('\n', count.unwrap_or(1).max(1)));
    } else if is("sk") {
        out.extend(std::iter::repeat_n(' ', count.unwrap_or(1)));
    } else if !["in", "ti", "fi", "nf"].into_iter().any(is) {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{UTF_8, WINDOWS_1252};
    use proptest::prelude::*;

    fn escapes() -> Escapes {
        Escapes { separators: Separators::default(), truncation: '#', encoding: UTF_8 }
    }

    fn decoded(raw: &str) -> String {
        escapes().decode(raw).text.into_owned()
    }

    #[test]
    fn delimiters_and_formatting_commands_are_decoded() {
        assert_eq!(decoded(r"a\F\b\S\c\T\d\R\e\E\f\P\"), r"a|b^c&d~e\f#");
        assert_eq!(decoded(r"a\.br\b\.sp2\c\.sp\d\.sk3\e"), "a\nb\n\nc\nd   e");
        assert_eq!(decoded(r"\.in+4\\.ti-4\a\H\b\N\c\.ce\d"), "abc\nd");
        assert_eq!(decoded(r"a\X0D\\X0A\b\X0A\c\XC3A9\"), "a\r\nb\nc\u{e9}");
    }

    #[test]
    fn hex_bytes_are_in_the_character_set_of_the_message() {
        let latin = Escapes { encoding: WINDOWS_1252, ..escapes() };
        assert_eq!(latin.decode(r"R\XF6\ntgen").text, "Röntgen");
    }

    #[test]
    fn unknown_and_unterminated_escapes_stay_and_hide_nothing_after_them() {
        for (raw, wanted) in [
            (r"a \ b", r"a \ b"),
            (r"5\6 mm\.br\next", "5\\6 mm\nnext"),
            (r"\Zxx\ kept", r"\Zxx\ kept"),
            (r"\X4\ \XZZ\ \X\", r"\X4\ \XZZ\ \X\"),
            (r"\.brx\", r"\.brx\"),
            (r"tail\", r"tail\"),
            (r"\.br", r"\.br"),
        ] {
            let got = escapes().decode(raw);
            assert_eq!(got.text, wanted);
            assert!(got.unknown, "{raw}");
        }
    }

    #[test]
    fn twice_escaped_line_breaks_break_and_paths_keep_their_backslashes() {
        assert_eq!(decoded(r"line1\E\.br\E\line2"), "line1\nline2");
        assert_eq!(decoded(r"\E\\E\server\E\share"), r"\\server\share");
    }

    #[test]
    fn a_huge_repeat_count_is_bounded() {
        assert_eq!(decoded(r"\.sp4000000000\").len(), 40);
    }

    proptest! {
        #[test]
        fn text_survives_escaping_and_decoding(text in r"[a-zé|^&~\\#\r\n .]{0,80}") {
            let separators = Separators::default();
            let mut raw = String::new();
            for c in text.chars() {
                match c {
                    '|' => raw.push_str(r"\F\"),
                    '^' => raw.push_str(r"\S\"),
                    '&' => raw.push_str(r"\T\"),
                    '~' => raw.push_str(r"\R\"),
                    '\\' => raw.push_str(r"\E\"),
                    '\r' => raw.push_str(r"\X0D\"),
                    '\n' => raw.push_str(r"\X0A\"),
                    other => raw.push(other),
                }
            }
            let escapes = Escapes { separators, truncation: '#', encoding: UTF_8 };
            // `\.br\` in the text itself is taken for a sender that escapes twice.
            prop_assume!(!text.contains("\\."));
            let got = escapes.decode(raw.as_str());
            prop_assert_eq!(got.text, text);
            prop_assert!(!got.unknown);
        }

        #[test]
        fn any_text_decodes_without_panic(text in any::<String>()) {
            let _ = escapes().decode(text.as_str());
        }
    }
}
