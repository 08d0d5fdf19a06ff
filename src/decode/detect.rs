//! What kind of payload is this?
//!
//! In this order: byte order marks and wide encodings are undone, JSON, HL7 v2 (framed or not, with log
//! text before it or not), gzip, HL7 v2 in XML, the name of a resource kept elsewhere, base64 of any of
//! them. Avro has been looked for before, where it is configured.

use std::borrow::Cow;

use base64::Engine as _;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::{frame, gzip, xml};

/// What a payload turned out to be.
pub(super) enum Detected<'p> {
    /// No bytes that mean anything.
    Empty,
    /// HL7 v2: one message or several.
    Hl7(Cow<'p, [u8]>),
    /// JSON text.
    Json(Cow<'p, [u8]>),
    /// A payload taken out of base64: look again.
    Wrapped(Vec<u8>),
    /// Compressed: open, and look again.
    Gzip(Cow<'p, [u8]>),
    /// HL7 v2 in XML.
    Xml(Cow<'p, [u8]>),
    /// Only the name of a message in a store (`projects/…/hl7V2Stores/…/messages/…`).
    ResourceName,
    /// None of these.
    Unknown,
}

pub(super) fn detect(payload: &[u8]) -> Detected<'_> {
    match widened(payload) {
        Cow::Borrowed(bytes) => look(bytes),
        Cow::Owned(bytes) => match look(&bytes) {
            Detected::Empty => Detected::Empty,
            Detected::Hl7(_) => Detected::Hl7(Cow::Owned(bytes)),
            Detected::Json(json) => Detected::Json(Cow::Owned(json.into_owned())),
            Detected::Wrapped(inner) => Detected::Wrapped(inner),
            Detected::Gzip(packed) => Detected::Gzip(Cow::Owned(packed.into_owned())),
            Detected::Xml(xml) => Detected::Xml(Cow::Owned(xml.into_owned())),
            Detected::ResourceName => Detected::ResourceName,
            Detected::Unknown => Detected::Unknown,
        },
    }
}

fn look(bytes: &[u8]) -> Detected<'_> {
    let trimmed = trim(bytes);
    match trimmed.first() {
        None => Detected::Empty,
        Some(b'{' | b'[') => Detected::Json(Cow::Borrowed(trimmed)),
        // Not trimmed: its last bytes are a length, and mostly zero.
        Some(0x1f) if gzip::is_gzip(bytes) => Detected::Gzip(Cow::Borrowed(bytes)),
        _ if frame::holds_message(bytes) => Detected::Hl7(Cow::Borrowed(bytes)),
        // Confluent wire format (magic 0, four bytes of schema id) around text.
        Some(0) if bytes.len() > 5 => match bytes.get(5..).map(trim) {
            Some(rest) if rest.first() == Some(&b'{') => Detected::Json(Cow::Borrowed(rest)),
            _ => Detected::Unknown,
        },
        Some(b'<') if xml::is_hl7(trimmed) => Detected::Xml(Cow::Borrowed(trimmed)),
        _ if is_resource_name(trimmed) => Detected::ResourceName,
        _ => base64_payload(trimmed).map_or(Detected::Unknown, Detected::Wrapped),
    }
}

/// Undoes UTF-16 (with or without a byte order mark) and drops a UTF-8 byte order mark.
fn widened(payload: &[u8]) -> Cow<'_, [u8]> {
    if let Some((encoding, length)) = Encoding::for_bom(payload) {
        let rest = payload.get(length..).unwrap_or_default();
        if encoding == UTF_16LE || encoding == UTF_16BE {
            return from_utf16(rest, encoding);
        }
        return Cow::Borrowed(rest);
    }
    match payload {
        [a, 0, b, 0, ..] if a.is_ascii() && b.is_ascii() && *a != 0 && *b != 0 => {
            from_utf16(payload, UTF_16LE)
        }
        [0, a, 0, b, ..] if a.is_ascii_graphic() && b.is_ascii_graphic() => {
            from_utf16(payload, UTF_16BE)
        }
        _ => Cow::Borrowed(payload),
    }
}

fn from_utf16<'p>(bytes: &'p [u8], encoding: &'static Encoding) -> Cow<'p, [u8]> {
    match encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => Cow::Owned(text.into_owned().into_bytes()),
        None => Cow::Borrowed(bytes),
    }
}

fn is_resource_name(bytes: &[u8]) -> bool {
    bytes.len() < 1024
        && bytes.starts_with(b"projects/")
        && memchr::memmem::find(bytes, b"/hl7V2Stores/").is_some()
}

/// The payload inside base64, if the whole is base64 and what comes out looks like a message.
pub(super) fn base64_payload(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() < 8 || !text.iter().all(|b| is_base64(*b)) {
        return None;
    }
    let inner = decode_base64(text)?;
    let looks_right =
        !matches!(look(&inner), Detected::Empty | Detected::Unknown | Detected::ResourceName);
    looks_right.then_some(inner)
}

const fn is_base64(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_' | b'='
        | b'\r' | b'\n' | b' ' | b'\t')
}

/// Lenient base64: both alphabets, any white space, padding or none, no care for trailing bits.
pub(super) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let compact: Vec<u8> = text
        .iter()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    LENIENT.decode(compact).ok()
}

fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        // A leading NUL is Confluent's magic byte only when something follows the schema id.
        if !first.is_ascii_whitespace() && *first != 0x1a {
            break;
        }
        rest = tail;
    }
    while let [head @ .., last] = rest {
        if !last.is_ascii_whitespace() && *last != 0x1a && *last != 0 {
            break;
        }
        rest = head;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_is_undone_with_and_without_a_byte_order_mark() {
        let text = "MSH|^~\\&|A";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut marked = vec![0xff, 0xfe];
        marked.extend(&little);
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for payload in [little, marked, big] {
            assert!(matches!(detect(&payload), Detected::Hl7(b) if &b[..] == text.as_bytes()));
        }
    }

    #[test]
    fn base64_is_opened_only_around_something_known() {
        let engine = base64::engine::general_purpose::STANDARD;
        let message = engine.encode("MSH|^~\\&|A|B|C\rPID|1\r");
        assert!(matches!(detect(message.as_bytes()), Detected::Wrapped(_)));
        let prose = engine.encode("just a few words of prose");
        assert!(matches!(detect(prose.as_bytes()), Detected::Unknown));
    }

    #[test]
    fn a_store_notification_is_only_a_name() {
        let name = b"projects/p/locations/l/datasets/d/hl7V2Stores/s/messages/m=";
        assert!(matches!(detect(name), Detected::ResourceName));
    }

    #[test]
    fn json_behind_a_schema_id_is_json() {
        assert!(matches!(detect(b"\0\0\0\0\x07{\"a\":1}"), Detected::Json(_)));
    }
}
