//! White space and characters of report text, made one.

use std::borrow::Cow;

use crate::report::{SectionKind, TextBlock};

/// A report's blocks in tidied lines. Lines that are tidy as they stand are borrowed.
pub(super) struct Tidied<'t> {
    pub(super) blocks: Vec<TidyBlock<'t>>,
}

/// One block.
pub(super) struct TidyBlock<'t> {
    pub(super) section: Option<SectionKind>,
    pub(super) lines: Vec<Cow<'t, str>>,
    /// All its text stands on one line.
    pub(super) one_line: bool,
}

impl<'t> Tidied<'t> {
    pub(super) fn of(blocks: &'t [TextBlock]) -> Self {
        let tidied = |block: &'t TextBlock| {
            let text = block.text.expose().as_str();
            // Most texts are tidy but for their ends of lines.
            let tidy = is_tidy(text.as_bytes(), b'\n');
            let tidied = |text: &'t str| match tidy {
                true => Cow::Borrowed(text.trim_ascii()),
                false => line(text),
            };
            let mut lines = Vec::with_capacity(16);
            let mut from = 0;
            for at in memchr::memchr_iter(b'\n', text.as_bytes()) {
                lines.push(tidied(text.get(from..at).unwrap_or_default()));
                from = at + 1;
            }
            lines.push(tidied(text.get(from..).unwrap_or_default()));
            let one_line = lines.len() == 1 || !text.trim().contains('\n');
            TidyBlock { section: block.section, lines, one_line }
        };
        Self { blocks: blocks.iter().map(tidied).collect() }
    }
}

/// Whether a text is as [`line()`] leaves it: printable ASCII or another byte that is allowed, no two
/// blanks in a row. Without branches in its loops, so that they are done many bytes at a time.
fn is_tidy(text: &[u8], allowed: u8) -> bool {
    let tidy = |byte: &u8| byte.wrapping_sub(b' ').lt(&95) | (*byte == allowed);
    let printable = text.iter().fold(true, |so_far, byte| so_far & tidy(byte));
    let next = text.get(1..).unwrap_or_default();
    let doubled = text
        .iter()
        .zip(next)
        .fold(false, |so_far, (one, other)| so_far | ((*one == b' ') & (*other == b' ')));
    printable & !doubled
}

/// Cleans one line: invisible characters go, every kind of blank is one space, typographic quotes
/// and dashes are plain.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    let text = text.trim_ascii();
    if is_tidy(text.as_bytes(), b' ') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(cleaned(text))
}

fn cleaned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let plain = match character {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{2033}' => '"',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            // Soft hyphen, zero-width characters, direction marks, byte order mark.
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'
            | '\u{feff}' => {
                continue;
            }
            c if c.is_whitespace() => ' ',
            c if c.is_control() => ' ',
            c => c,
        };
        if plain == ' ' && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        out.push(plain);
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out
}

/// Joins the lines of a section: a line that was wrapped goes on with the next one, every other line
/// stands by itself. Empty lines end a sentence and are dropped.
pub(super) fn join<'l>(lines: impl Iterator<Item = &'l str> + Clone) -> String {
    let mut out = String::with_capacity(lines.clone().map(|line| line.len() + 1).sum());
    let mut last = "";
    let mut broken = true;
    for line in lines {
        if line.is_empty() {
            broken = true;
            continue;
        }
        if !out.is_empty() {
            let wrapped = !broken && is_wrapped(last, line);
            out.push(if wrapped { ' ' } else { '\n' });
        }
        out.push_str(line);
        last = line;
        broken = false;
    }
    out
}

/// Shorter lines than this, in characters, were rather ended than wrapped.
const WRAP_WIDTH: usize = 45;

fn is_wrapped(before: &str, next: &str) -> bool {
    if matches!(before.as_bytes().last(), Some(b'.' | b'!' | b'?' | b':' | b';'))
        || begins_item(next)
    {
        return false;
    }
    let lower = next.chars().next().is_some_and(char::is_lowercase);
    lower
        || matches!(before.as_bytes().last(), Some(b',' | b'-' | b'('))
        || (before.len() >= WRAP_WIDTH
            && (before.is_ascii() || before.chars().count() >= WRAP_WIDTH))
}

/// `1.`, `2)`, `-`, `*`, `•` at the start of a line.
fn begins_item(line: &str) -> bool {
    if line.starts_with(['*', '•']) || line.starts_with("- ") {
        return true;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let after = line.get(digits..).unwrap_or_default();
    matches!(digits, 1 | 2)
        && after.starts_with(['.', ')'])
        && after.get(1..).is_none_or(|rest| rest.starts_with(' ') || rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_and_typographic_characters_become_plain() {
        assert_eq!(
            line("\u{a0} patient\u{2019}s\u{0}  lung\u{ad}s \u{2013} \u{201c}clear\u{201d}\t"),
            "patient's lungs - \"clear\""
        );
    }

    #[test]
    fn wrapped_lines_are_one_sentence_and_items_are_not() {
        let joined = |text: &str| join(text.lines().map(str::trim));
        assert_eq!(
            joined("1. Small\n   left effusion.\n2. No PTX"),
            "1. Small left effusion.\n2. No PTX"
        );
        assert_eq!(
            joined(
                "Posteroanterior and lateral chest radiographs show patchy bibasilar\nOpacities"
            ),
            "Posteroanterior and lateral chest radiographs show patchy bibasilar Opacities"
        );
        assert_eq!(joined("Heart normal\nLungs clear"), "Heart normal\nLungs clear");
        assert_eq!(joined("Heart normal\n\nand lungs clear"), "Heart normal\nand lungs clear");
    }
}
