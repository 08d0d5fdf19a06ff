//! Documents carried inside a message: ED values of HL7 v2, attachments of FHIR.
//!
//! Plain text, HTML and RTF are read here, PDF by whoever was given for it ([`ReadPdf`]). What is not
//! read (images, office files, anything compressed) is left unread and said so. Pointers and URLs are
//! never followed.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use encoding_rs::{Encoding, WINDOWS_1252};

use super::{detect, markup};

/// Most PDF documents that are opened of one payload.
const MOST_PDFS: u32 = 100;

/// Takes the text out of PDF documents. The same document gives the same text, and whoever implements
/// it bounds time and memory: decode knows no clock.
pub trait ReadPdf: Send + Sync + fmt::Debug {
    /// Reads one.
    fn read(&self, pdf: &[u8]) -> PdfText;
}

/// What a PDF gave.
#[derive(Clone, PartialEq, Eq)]
pub enum PdfText {
    /// Its text.
    Text(String),
    /// No text: scanned pages, or none.
    Empty,
    /// Broken or protected.
    Unreadable,
    /// It takes more time, memory, pages or text than is allowed.
    OverLimit,
}

/// The PDF documents of one payload.
#[derive(Clone)]
pub(super) struct Pdfs {
    reader: Option<Arc<dyn ReadPdf>>,
    /// How many may still be opened.
    left: Rc<Cell<u32>>,
}

impl Pdfs {
    pub(super) fn new(reader: Option<Arc<dyn ReadPdf>>) -> Self {
        Self { reader, left: Rc::new(Cell::new(MOST_PDFS)) }
    }

    /// Opens one. After one that was over a limit no other of the payload is opened: a thousand of
    /// them would take a thousand times the limit.
    fn read(&self, pdf: &[u8]) -> Document {
        let reader = self.reader.as_ref().filter(|_| self.left.get() > 0);
        let Some(reader) = reader else { return Document::Unread };
        self.left.set(self.left.get() - 1);
        match reader.read(pdf) {
            PdfText::Text(text) => Document::Pdf(text),
            PdfText::Empty | PdfText::Unreadable => Document::Unread,
            PdfText::OverLimit => {
                self.left.set(0);
                Document::Unread
            }
        }
    }

    fn none_is_read(&self) -> bool {
        self.reader.is_none() || self.left.get() == 0
    }
}

/// What a document gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// Nothing in it.
    Empty,
    /// Its text.
    Text(String),
    /// The text on its pages.
    Pdf(String),
    /// A kind that is not read, or broken base64.
    Unread,
}

impl Document {
    /// The text, empty where there is none, and whether it came out of a PDF.
    pub(super) fn into_text(self) -> (String, bool) {
        match self {
            Self::Text(text) => (text, false),
            Self::Pdf(text) => (text, true),
            Self::Empty | Self::Unread => (String::new(), false),
        }
    }
}

/// Reads a base64 document. White space in it is not data.
pub(super) fn from_base64(data: &str, content_type: &str, pdfs: &Pdfs) -> Document {
    if data.trim().is_empty() {
        return Document::Empty;
    }
    // A PDF need not be decoded to be recognised, and may be large.
    if data.trim_start().starts_with("JVBERi0") && pdfs.none_is_read() {
        return Document::Unread;
    }
    detect::decode_base64(data.as_bytes())
        .map_or(Document::Unread, |bytes| from_bytes(&bytes, content_type, pdfs))
}

/// Reads a hexadecimal document (ED encoding `Hex`).
pub(super) fn from_hex(data: &str, content_type: &str, pdfs: &Pdfs) -> Document {
    let digits: Vec<u8> = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect();
    bytes.map_or(Document::Unread, |bytes| from_bytes(&bytes, content_type, pdfs))
}

/// Reads a document by what its bytes are, not by what the sender calls it.
pub(super) fn from_bytes(bytes: &[u8], content_type: &str, pdfs: &Pdfs) -> Document {
    if bytes.starts_with(b"%PDF") {
        return pdfs.read(bytes);
    }
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

    fn unread() -> Pdfs {
        Pdfs::new(None)
    }

    /// Knows two documents.
    #[derive(Debug)]
    struct TwoDocuments;

    impl ReadPdf for TwoDocuments {
        fn read(&self, pdf: &[u8]) -> PdfText {
            match pdf {
                b"%PDF-1 good" => PdfText::Text("Lungs clear.".into()),
                b"%PDF-1 scan" => PdfText::Empty,
                _ => PdfText::OverLimit,
            }
        }
    }

    #[test]
    fn after_a_pdf_over_a_limit_no_other_is_opened() {
        let pdfs = Pdfs::new(Some(Arc::new(TwoDocuments)));
        let read = |document: &str| from_base64(&encode(document.as_bytes()), "", &pdfs);
        assert_eq!(read("%PDF-1 good"), Document::Pdf("Lungs clear.".into()));
        assert_eq!(read("%PDF-1 scan"), Document::Unread);
        assert_eq!(read("%PDF-1 good"), Document::Pdf("Lungs clear.".into()));
        assert_eq!(read("%PDF-1 bomb"), Document::Unread);
        assert_eq!(read("%PDF-1 good"), Document::Unread, "the payload's time is spent");
    }

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
            let Document::Text(text) = from_base64(&encode(document.as_bytes()), "", &unread())
            else {
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
            from_base64(&data, "text/plain", &unread()),
            Document::Text("No effusion. No pneumothorax.".into())
        );
    }

    #[test]
    fn binary_and_broken_documents_are_left_unread() {
        assert_eq!(from_base64(&encode(b"%PDF-1.3 x"), "text/plain", &unread()), Document::Unread);
        assert_eq!(from_base64("JVBERi0xLjM", "", &unread()), Document::Unread);
        assert_eq!(from_base64("!!!not base64!!!", "", &unread()), Document::Unread);
        assert_eq!(from_bytes(b"a\0b", "", &unread()), Document::Unread);
        assert_eq!(from_hex("4", "", &unread()), Document::Unread);
        assert_eq!(from_hex("4f6b21", "", &unread()), Document::Text("Ok!".into()));
    }

    #[test]
    fn latin_1_bytes_are_read_without_a_replacement_character() {
        assert_eq!(
            from_bytes(b"R\xf6ntgen", "text/plain; charset=iso-8859-1", &unread()),
            Document::Text("Röntgen".into())
        );
    }
}
