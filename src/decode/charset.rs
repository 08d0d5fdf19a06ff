//! Bytes of an HL7 v2 message → text.
//!
//! Order: what MSH-18 declares (else the configured default), checked against the bytes; strict
//! UTF-8; Windows-1252, which holds what people call Latin-1. A replacement character is never made
//! up: where the declared set does not fit and nothing safe can be guessed, the message is rejected.

use std::borrow::Cow;

use encoding_rs::{BIG5, EUC_KR, Encoding, GB18030, ISO_2022_JP, SHIFT_JIS, UTF_8, WINDOWS_1252};

/// Text and how it was read.
#[derive(Debug)]
pub(super) struct Text<'b> {
    pub(super) text: Cow<'b, str>,
    /// Also used for `\Xhh..\` bytes.
    pub(super) encoding: &'static Encoding,
    /// Declared and actual set disagree, or none was declared and it was not ASCII.
    pub(super) guessed: bool,
    /// How the set was chosen, in words.
    pub(super) by: &'static str,
    /// Known to be plain ASCII.
    is_ascii: bool,
}

impl Text<'_> {
    /// Name of the set it was read in. Plain ASCII is called that, whatever was declared.
    pub(super) fn name(&self) -> &'static str {
        if self.is_ascii || self.text.is_ascii() { "US-ASCII" } else { self.encoding.name() }
    }
}

/// Whether a name can be resolved.
pub(super) fn is_known(name: &str) -> bool {
    matches!(resolve(name), Declared::Is(_))
}

enum Declared {
    None,
    Is(&'static Encoding),
    /// A name we do not know or cannot read.
    Unknown,
}

/// Resolves a name from HL7 table 0211, or any WHATWG label.
fn resolve(name: &str) -> Declared {
    // What nearly every message says.
    match name {
        "" => return Declared::None,
        "UNICODE UTF-8" => return Declared::Is(UTF_8),
        "8859/1" => return Declared::Is(WINDOWS_1252),
        _ => {}
    }
    let key: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let encoding = match key.as_str() {
        "" => return Declared::None,
        // Plain ASCII says nothing of the bytes above 127 that are there all the same.
        "ASCII" | "USASCII" | "ISOIR6" => return Declared::None,
        "UNICODEUTF8" | "UNICODE" | "UTF8" | "UNICODEUTF16" | "UNICODEUTF32" => UTF_8,
        "GB180302000" | "GB18030" => GB18030,
        "KSX1001" | "KSC5601" => EUC_KR,
        "BIG5" => BIG5,
        "ISOIR14" | "JISX0201" => SHIFT_JIS,
        "ISOIR87" | "ISOIR159" | "JISX0202" | "JAS2020" => ISO_2022_JP,
        other => {
            let latin = other.strip_prefix("ISO").unwrap_or(other).strip_prefix("8859");
            let label = latin.map_or_else(
                || name.trim().to_ascii_lowercase(),
                |part| format!("iso-8859-{part}"),
            );
            match Encoding::for_label_no_replacement(label.as_bytes()) {
                Some(encoding) => encoding,
                None => return Declared::Unknown,
            }
        }
    };
    Declared::Is(encoding)
}

/// Reads a message. `declared` is MSH-18 as it stands (repetitions included), `None` when the bytes
/// do not fit what is declared and cannot be guessed.
pub(super) fn decode<'b>(
    bytes: &'b [u8],
    declared: &str,
    repetition: u8,
    default: Option<&str>,
) -> Option<Text<'b>> {
    let mut declared = declared_set(declared, repetition);
    let mut by = "declared by the message";
    if matches!(declared, Declared::None)
        && let Some(name) = default
    {
        declared = resolve(name);
        by = "default of the profile or the configuration";
    }
    let unknown = matches!(declared, Declared::Unknown);
    match declared {
        Declared::Is(encoding) if encoding == ISO_2022_JP => strict(bytes, encoding, by),
        _ if bytes.is_ascii() => Some(Text {
            text: Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
            encoding: match declared {
                Declared::Is(encoding) => encoding,
                _ => WINDOWS_1252,
            },
            guessed: unknown,
            by: "every byte is ASCII",
            is_ascii: true,
        }),
        Declared::Is(encoding) if encoding == UTF_8 => Some(match std::str::from_utf8(bytes) {
            Ok(text) => {
                let text = Cow::Borrowed(text);
                Text { text, encoding, guessed: false, by, is_ascii: false }
            }
            Err(_) => guess(bytes),
        }),
        Declared::Is(encoding) => match std::str::from_utf8(bytes) {
            // One multi-byte character may be chance in an East Asian set; two rarely are.
            Ok(text)
                if encoding.is_single_byte()
                    || text.chars().filter(|c| !c.is_ascii()).nth(1).is_some() =>
            {
                Some(guessed(Cow::Borrowed(text), UTF_8))
            }
            _ => strict(bytes, encoding, by),
        },
        Declared::None | Declared::Unknown => Some(guess(bytes)),
    }
}

/// The set that matters of a possibly repeating MSH-18: a Japanese switch set wins, else the first.
fn declared_set(field: &str, repetition: u8) -> Declared {
    let mut first = Declared::None;
    for name in field.split(char::from(repetition)) {
        match (resolve(name), &first) {
            (Declared::Is(encoding), _) if encoding == ISO_2022_JP => {
                return Declared::Is(encoding);
            }
            (found, Declared::None) => first = found,
            _ => {}
        }
    }
    first
}

fn strict<'b>(bytes: &'b [u8], encoding: &'static Encoding, by: &'static str) -> Option<Text<'b>> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(Text { text, encoding, guessed: false, by, is_ascii: false })
}

const fn guessed<'b>(text: Cow<'b, str>, encoding: &'static Encoding) -> Text<'b> {
    Text { text, encoding, guessed: true, by: "guessed from the bytes", is_ascii: false }
}

fn guess(bytes: &[u8]) -> Text<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => guessed(Cow::Borrowed(text), UTF_8),
        Err(_) => {
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
            guessed(text, WINDOWS_1252)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], declared: &str) -> (String, bool) {
        let text = decode(bytes, declared, b'~', None).expect("readable");
        (text.text.into_owned(), text.guessed)
    }

    #[test]
    fn declared_sets_of_table_0211_are_read() {
        assert_eq!(read("Röntgen".as_bytes(), "UNICODE UTF-8"), ("Röntgen".into(), false));
        assert_eq!(read(b"R\xf6ntgen", "8859/1"), ("Röntgen".into(), false));
        assert_eq!(read(b"\xb1", "8859/2"), ("ą".into(), false));
        assert_eq!(read(b"\xc4\xe3\xba\xc3", "GB 18030-2000"), ("你好".into(), false));
        assert_eq!(read(b"\x1b$B7k2L\x1b(B ok", "~ISO IR87"), ("結果 ok".into(), false));
    }

    #[test]
    fn a_wrong_or_missing_declaration_is_guessed_and_said() {
        assert_eq!(read("Röntgen".as_bytes(), "8859/1"), ("Röntgen".into(), true));
        assert_eq!(read(b"R\xf6ntgen", "UNICODE UTF-8"), ("Röntgen".into(), true));
        assert_eq!(read(b"R\xf6ntgen", ""), ("Röntgen".into(), true));
        assert_eq!(read("é".as_bytes(), "ASCII"), ("é".into(), true));
        assert_eq!(read(b"plain", ""), ("plain".into(), false));
        assert_eq!(read(b"plain", "KLINGON"), ("plain".into(), true));
    }

    #[test]
    fn bytes_outside_a_declared_set_are_refused_not_replaced() {
        assert!(decode(b"\x1b$B7k2\xff", "~ISO IR87", b'~', None).is_none());
    }

    #[test]
    fn the_configured_default_stands_in_for_a_missing_declaration() {
        let text = decode(b"\xb1", "", b'~', Some("8859/2")).expect("readable");
        assert_eq!((&*text.text, text.guessed), ("ą", false));
    }
}
