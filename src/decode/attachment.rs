//! Documents carried inside a message: ED values of HL7 v2, attachments of FHIR.
//!
//! Plain text, HTML and RTF are read. What is not (PDF, images, office files) is left unread and
//! said so. Pointers and URLs are never followed.

use encoding_rs::{Encoding, WINDOWS_1252};

use super::{detect, markup};

/// What a document gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// Nothing in it.
    Empty,
    /// Its text.
    Text(String),
    /// A kind that is not read, or broken base64.
    Unread,
}

/// Reads a base64 document. White space in it is not data.
pub(super) fn from_base64(data: &str, content_type: &str) -> Document {
    if data.trim().is_empty() {
        return Document::Empty;
    }
    // A PDF need not be decoded to be recognised, and may be large.
    if data.trim_start().starts_with("JVBERi0") {
        return Document::Unread;
    }
    detect::decode_base64(data.as_bytes())
        .map_or(Document::Unread, |bytes| from_bytes(&bytes, content_type))
}

/// Reads a hexadecimal document (ED encoding `Hex`).
pub(super) fn from_hex(data: &str, content_type: &str) -> Document {
    let digits: Vec<u8> = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect();
    bytes.map_or(Document::Unread, |bytes| from_bytes(&bytes, content_type))
}

/// Reads a document by what its bytes are, not by what the sender calls it.
pub(super) fn from_bytes(bytes: &[u8], content_type: &str) -> Document {
    if is_binary(bytes) {
        return Document::Unread;
    }
    let Some(text) = to_text(bytes, content_type) else { return Document::Unread };
    from_text(text)
}

/// Reads a document that is text already: markup is removed.
pub(super) fn from_text(text: String) -> Document {
    let text = markup::to_plain(text);
    if text.trim().is_empty() { Document::Empty } else { Document::Text(text) }
}

fn is_binary(bytes: &[u8]) -> bool {
    const MAGIC: [&[u8]; 6] =
        [b"%PDF", b"\xff\xd8\xff", b"\x89PNG", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b"];
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or(bytes);
    if MAGIC.iter().any(|magic| head.starts_with(magic)) || head.get(128..132) == Some(b"DICM") {
        return true;
    }
    let wide = Encoding::for_bom(bytes).is_some();
    !wide && head.contains(&0)
}

fn to_text(bytes: &[u8], content_type: &str) -> Option<String> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        let rest = bytes.get(length..)?;
        return encoding
            .decode_without_bom_handling_and_without_replacement(rest)
            .map(std::borrow::Cow::into_owned);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.to_owned());
    }
    let declared = content_type
        .split(';')
        .filter_map(|part| part.trim().strip_prefix("charset="))
        .find_map(|name| Encoding::for_label_no_replacement(name.trim_matches('"').as_bytes()));
    let encoding = declared.unwrap_or(WINDOWS_1252);
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .or_else(|| WINDOWS_1252.decode_without_bom_handling_and_without_replacement(bytes))
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    fn encode(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn text_html_and_rtf_are_read_whatever_they_are_called() {
        for document in [
            "Lungs clear.",
            "<html><body><p>Lungs clear.</p></body></html>",
            "{\\rtf1\\ansi Lungs clear.\\par}",
        ] {
            let Document::Text(text) = from_base64(&encode(document.as_bytes()), "") else {
                panic!("{document} was not read")
            };
            assert_eq!(text.trim(), "Lungs clear.");
        }
    }

    #[test]
    fn line_breaks_inside_base64_are_not_data() {
        let mut data = encode(b"No effusion. No pneumothorax.");
        data.insert_str(8, "\r\n ");
        assert_eq!(
            from_base64(&data, "text/plain"),
            Document::Text("No effusion. No pneumothorax.".into())
        );
    }

    #[test]
    fn binary_and_broken_documents_are_left_unread() {
        assert_eq!(from_base64(&encode(b"%PDF-1.3 x"), "text/plain"), Document::Unread);
        assert_eq!(from_base64("JVBERi0xLjM", ""), Document::Unread);
        assert_eq!(from_base64("!!!not base64!!!", ""), Document::Unread);
        assert_eq!(from_bytes(b"a\0b", ""), Document::Unread);
        assert_eq!(from_hex("4", ""), Document::Unread);
        assert_eq!(from_hex("4f6b21", ""), Document::Text("Ok!".into()));
    }

    #[test]
    fn latin_1_bytes_are_read_without_a_replacement_character() {
        assert_eq!(
            from_bytes(b"R\xf6ntgen", "text/plain; charset=iso-8859-1"),
            Document::Text("Röntgen".into())
        );
    }
}
