//! Characters on a page → lines of text.

use pdf_extract::{Document, MediaBox, OutputDev, OutputError, Transform, output_doc_page};

use super::MOST_TEXT;

/// Most pages. A report has a few; only the whole of it is worth reading.
const MOST_PAGES: usize = 50;
/// Most objects: fonts, pages, images and their parts.
const MOST_OBJECTS: usize = 100_000;

/// Why there is no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many pages, objects or characters.
    OverLimit,
    /// Broken, or protected by a password.
    Unreadable,
}

/// The text of a document, page after page.
pub(super) fn text(pdf: &[u8]) -> Result<String, Refused> {
    let mut document = Document::load_mem(pdf).map_err(|_| Refused::Unreadable)?;
    // Many are encrypted with an empty password, only to forbid changes.
    if document.is_encrypted() && document.decrypt("").is_err() {
        return Err(Refused::Unreadable);
    }
    let pages = document.get_pages();
    if document.objects.len() > MOST_OBJECTS || pages.len() > MOST_PAGES {
        return Err(Refused::OverLimit);
    }
    let mut lines = Lines::default();
    for page in pages.keys() {
        let read = output_doc_page(&document, &mut lines, *page);
        if lines.text.len() > MOST_TEXT {
            return Err(Refused::OverLimit);
        }
        read.map_err(|_| Refused::Unreadable)?;
    }
    Ok(lines.text)
}

/// Builds lines from characters by where they stand, in the order in which the document draws them.
#[derive(Default)]
struct Lines {
    text: String,
    /// Where the last character ended, and its baseline; `None` at the top of a page.
    last: Option<(f64, f64)>,
    /// Distance of the two lines before, for telling paragraphs from lines.
    pitch: Option<f64>,
}

impl OutputDev for Lines {
    fn begin_page(
        &mut self,
        _: u32,
        _: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        (self.last, self.pitch) = (None, None);
        Ok(())
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        _spacing: f64,
        font_size: f64,
        character: &str,
    ) -> Result<(), OutputError> {
        let scale = (place.m11 * place.m22 - place.m12 * place.m21).abs().sqrt();
        let size = (font_size * scale).max(0.1);
        let (x, y) = (place.m31, place.m32);
        if let Some((end, baseline)) = self.last {
            let drop = (baseline - y).abs();
            if drop > size * 0.5 {
                self.text.push('\n');
                // A line further down than lines are here begins a paragraph.
                if self.pitch.is_some_and(|pitch| drop > pitch * 1.4) || drop > size * 2.2 {
                    self.text.push('\n');
                } else {
                    self.pitch = Some(drop);
                }
            } else if x > end + size * 0.15 && !self.text.ends_with([' ', '\n']) {
                self.text.push(' ');
            }
        }
        if self.text.len() > MOST_TEXT {
            return Err(OutputError::FormatError(std::fmt::Error));
        }
        self.text.push_str(character);
        self.last = Some((x + width * size, y));
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
