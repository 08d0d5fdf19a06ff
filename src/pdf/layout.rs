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
        if lines.text.len() + lines.held > MOST_TEXT {
            return Err(Refused::OverLimit);
        }
        read.map_err(|_| Refused::Unreadable)?;
    }
    Ok(lines.text)
}

/// Characters drawn one after another on one line.
struct Fragment {
    x: f64,
    end: f64,
    /// Baseline, growing upwards.
    y: f64,
    size: f64,
    text: String,
}

/// Builds lines from characters by where they stand. The order in which they are drawn says nothing:
/// printer drivers draw strips of a page from top to bottom.
#[derive(Default)]
struct Lines {
    text: String,
    page: Vec<Fragment>,
    /// Bytes on this page.
    held: usize,
}

impl Lines {
    /// Fragments of the page, from the top line to the bottom one, left to right.
    fn write_page(&mut self) {
        let mut fragments = std::mem::take(&mut self.page);
        self.held = 0;
        fragments.sort_by(|a, b| b.y.total_cmp(&a.y));
        let mut last: Option<f64> = None;
        // Distance of the two lines before, for telling paragraphs from lines.
        let mut pitch: Option<f64> = None;
        let mut rest = fragments.as_mut_slice();
        while let Some((y, size)) = rest.first().map(|first| (first.y, first.size)) {
            let length = rest.iter().take_while(|f| y - f.y <= size * 0.4).count().max(1);
            let (line, below) = std::mem::take(&mut rest).split_at_mut(length);
            rest = below;
            if let Some(above) = last {
                self.text.push('\n');
                let drop = above - y;
                // A line further down than lines are here begins a paragraph.
                if pitch.is_some_and(|pitch| drop > pitch * 1.4) || drop > size * 2.2 {
                    self.text.push('\n');
                } else {
                    pitch = Some(drop);
                }
            }
            self.write_line(line);
            last = Some(y);
        }
        self.text.push('\n');
    }

    fn write_line(&mut self, line: &mut [Fragment]) {
        line.sort_by(|a, b| a.x.total_cmp(&b.x));
        let mut before: Option<&Fragment> = None;
        for fragment in line.iter() {
            if let Some(before) = before {
                // Bold may be the same word drawn twice, a little apart.
                let twice =
                    before.text == fragment.text && fragment.x - before.x < fragment.size * 0.3;
                if twice {
                    continue;
                }
                if fragment.x > before.end + fragment.size * 0.15 && !self.text.ends_with(' ') {
                    self.text.push(' ');
                }
            }
            let again = before.map_or(0, |before| drawn_again(before, fragment));
            self.text.push_str(fragment.text.get(again..).unwrap_or_default());
            before = Some(fragment);
        }
    }
}

/// Bytes of a fragment that the one before it has already: strips of a page overlap, and a letter on
/// the border is drawn in both.
fn drawn_again(before: &Fragment, fragment: &Fragment) -> usize {
    if fragment.x > before.end - fragment.size * 0.15 {
        return 0;
    }
    let ends = fragment.text.char_indices().map(|(at, c)| at + c.len_utf8()).take(3);
    let doubled =
        |end: &usize| fragment.text.get(..*end).is_some_and(|head| before.text.ends_with(head));
    ends.filter(doubled).last().unwrap_or(0)
}

impl OutputDev for Lines {
    fn begin_page(
        &mut self,
        _: u32,
        _: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
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
        let end = x + width * size;
        self.held += character.len();
        if self.text.len() + self.held > MOST_TEXT {
            return Err(OutputError::FormatError(std::fmt::Error));
        }
        match self.page.last_mut() {
            Some(last)
                if (y - last.y).abs() < size * 0.1
                    && x > last.end - size * 0.15
                    && x <= last.end + size * 0.15 =>
            {
                last.text.push_str(character);
                last.end = end;
            }
            _ => self.page.push(Fragment { x, end, y, size, text: character.to_owned() }),
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.write_page();
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
