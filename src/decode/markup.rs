//! HTML and RTF → plain text. Just enough for report text: structure becomes line breaks, entities
//! and escapes become characters, the rest is dropped. Linear in the input; nothing is fetched.

use encoding_rs::{Encoding, WINDOWS_1252};

/// Removes markup from a text that has some; a text that has none comes back as it was.
pub(super) fn to_plain(text: String) -> String {
    if text.trim_start().starts_with("{\\rtf") {
        from_rtf(&text)
    } else if is_html(&text) {
        from_html(&text)
    } else {
        text
    }
}

/// Elements that say "this is markup" and not "<5 mm".
const KNOWN: [&str; 33] = [
    "html", "head", "body", "p", "br", "div", "span", "b", "i", "u", "a", "table", "tbody", "tr",
    "td", "th", "li", "ul", "ol", "h1", "h2", "h3", "h4", "font", "strong", "em", "pre", "hr",
    "sup", "sub", "center", "section", "title",
];

/// Whether a known element occurs.
pub(super) fn is_html(text: &str) -> bool {
    memchr::memchr_iter(b'<', text.as_bytes()).filter_map(|at| text.get(at..)).any(|rest| {
        // A comment is no evidence, and its end may be far away.
        !rest.starts_with("<!--") && tag(rest).is_some_and(|tag| tag.is_known())
    })
}

struct Tag<'t> {
    name: &'t str,
    closing: bool,
    /// Bytes from `<` to past `>`.
    length: usize,
}

impl Tag<'_> {
    fn is_known(&self) -> bool {
        self.is_any(&KNOWN)
    }

    fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// Elements whose content is not text of the report.
const DROPPED: [&str; 4] = ["script", "style", "head", "title"];

/// Longest tag that is taken for one; a stray `<` must not swallow the rest of a report.
const LONGEST_TAG: usize = 4096;

/// The tag, comment or declaration at the start of `text`, which begins with `<`.
fn tag(text: &str) -> Option<Tag<'_>> {
    let rest = text.get(1..)?;
    if rest.starts_with("!--") {
        let length =
            memchr::memmem::find(text.as_bytes(), b"-->").map_or(text.len(), |end| end + 3);
        return Some(Tag { name: "!", closing: false, length });
    }
    let (closing, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
    let bytes = rest.as_bytes();
    let first = bytes.first()?;
    if !(first.is_ascii_alphabetic() || matches!(first, b'!' | b'?')) {
        return None;
    }
    let name_length =
        bytes.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'!' && *b != b'?')?;
    let name = rest.get(..name_length)?;
    if !matches!(bytes.get(name_length)?, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n') {
        return None;
    }
    let window = bytes.get(..bytes.len().min(LONGEST_TAG))?;
    let end = memchr::memchr(b'>', window)?;
    Some(Tag { name, closing, length: text.len() - rest.len() + end + 1 })
}

/// HTML or XHTML to text. Source line breaks are white space, except inside `pre`.
pub(super) fn from_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut preformatted = 0_u32;
    let mut unclosed = [false; DROPPED.len()];
    // Text that carries only a few tags keeps its own line breaks.
    let document = ["<html", "<body", "<div", "<p>", "<p ", "<table"]
        .iter()
        .any(|start| contains_ignore_case(text, start));
    while !rest.is_empty() {
        let next = memchr::memchr2(b'<', b'&', rest.as_bytes()).unwrap_or(rest.len());
        let (plain, marked) = rest.split_at_checked(next).unwrap_or((rest, ""));
        push_text(&mut out, plain, document && preformatted == 0);
        if marked.is_empty() {
            break;
        }
        if marked.starts_with('&') {
            let (character, length) = entity(marked);
            out.push_str(&character);
            rest = marked.get(length..).unwrap_or_default();
            continue;
        }
        let Some(tag) = tag(marked) else {
            out.push('<');
            rest = marked.get(1..).unwrap_or_default();
            continue;
        };
        rest = marked.get(tag.length..).unwrap_or_default();
        if let Some(dropped) = DROPPED.iter().position(|name| tag.is_any(&[name])) {
            // An element that is not closed once is not closed later either: search only once.
            if !tag.closing && unclosed.get(dropped) == Some(&false) {
                match find_ignore_case(rest, &format!("</{}", tag.name)) {
                    Some(end) => rest = rest.get(end..).unwrap_or_default(),
                    None => unclosed.iter_mut().skip(dropped).take(1).for_each(|u| *u = true),
                }
            }
            continue;
        }
        if tag.is_any(&["pre"]) {
            preformatted =
                if tag.closing { preformatted.saturating_sub(1) } else { preformatted + 1 };
        }
        if tag.is_any(&[
            "br", "p", "div", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "hr", "pre",
            "section",
        ]) {
            end_line(&mut out, tag.is_any(&["br"]));
        } else if tag.is_any(&["td", "th"]) && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
    out
}

fn push_text(out: &mut String, text: &str, collapse: bool) {
    if !collapse {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        if !character.is_ascii_whitespace() {
            out.push(character);
        } else if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
}

fn end_line(out: &mut String, always: bool) {
    while out.ends_with(' ') {
        out.pop();
    }
    if always || (!out.is_empty() && !out.ends_with('\n')) {
        out.push('\n');
    }
}

/// The character an entity stands for and the entity's length; an unknown one stays as it is.
fn entity(text: &str) -> (String, usize) {
    let literal = ("&".to_owned(), 1);
    let window = text.as_bytes().get(..text.len().min(12)).unwrap_or_default();
    let Some(end) = memchr::memchr(b';', window) else { return literal };
    let Some(name) = text.get(1..end) else { return literal };
    let number = name.strip_prefix('#').map(|digits| {
        digits
            .strip_prefix(['x', 'X'])
            .map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    });
    let character = match number {
        Some(code) => code.and_then(char::from_u32),
        None => named(name),
    };
    character.map_or(literal, |c| (c.to_string(), end + 1))
}

fn named(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" | "lsquo" => '\'',
        "ldquo" | "rdquo" => '"',
        "nbsp" => ' ',
        "ndash" | "mdash" => '-',
        "deg" => '°',
        "micro" => 'µ',
        "plusmn" => '±',
        "le" => '≤',
        "ge" => '≥',
        "times" => '×',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "eacute" => 'é',
        "egrave" => 'è',
        "bull" => '•',
        _ => return None,
    })
}

fn contains_ignore_case(text: &str, needle: &str) -> bool {
    find_ignore_case(text, needle).is_some()
}

/// Position of an ASCII needle that begins with `<`.
fn find_ignore_case(text: &str, needle: &str) -> Option<usize> {
    memchr::memchr_iter(b'<', text.as_bytes()).find(|at| {
        text.as_bytes()
            .get(*at..at + needle.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(needle.as_bytes()))
    })
}

/// Rich Text Format to text: paragraphs, tabs, hex and Unicode escapes; tables of fonts, colours,
/// styles, pictures and every `\*` destination are dropped.
pub(super) fn from_rtf(text: &str) -> String {
    Rtf {
        out: String::new(),
        depth: 0,
        skip_from: None,
        code_page: WINDOWS_1252,
        pending: Vec::new(),
        unicode_skip: 1,
        owed: 0,
    }
    .read(text)
}

struct Rtf {
    out: String,
    depth: u32,
    /// Depth at which a dropped destination began.
    skip_from: Option<u32>,
    code_page: &'static Encoding,
    /// Bytes of `\'hh`, kept together: a character may need two.
    pending: Vec<u8>,
    /// Characters of fallback text after `\u`.
    unicode_skip: u32,
    owed: u32,
}

impl Rtf {
    fn read(mut self, text: &str) -> String {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            match first {
                '{' => self.depth = self.depth.saturating_add(1),
                '}' => {
                    self.flush();
                    self.depth = self.depth.saturating_sub(1);
                    if self.skip_from.is_some_and(|from| self.depth < from) {
                        self.skip_from = None;
                    }
                }
                '\\' => rest = self.control(rest),
                '\r' | '\n' => {}
                other => self.character(other),
            }
        }
        self.flush();
        self.out
    }

    /// Reads a control word or symbol after `\`; returns what follows it.
    fn control<'t>(&mut self, rest: &'t str) -> &'t str {
        let Some(first) = rest.chars().next() else { return rest };
        if !first.is_ascii_alphabetic() {
            let after = rest.get(first.len_utf8()..).unwrap_or_default();
            match first {
                '\'' => {
                    let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    if let Some(byte) = byte {
                        if self.owed > 0 {
                            self.owed -= 1;
                        } else if self.skip_from.is_none() {
                            self.pending.push(byte);
                        }
                        return after.get(2..).unwrap_or_default();
                    }
                }
                '*' => self.drop_group(),
                '~' => self.character(' '),
                '_' => self.character('-'),
                '\\' | '{' | '}' => self.character(first),
                '\r' | '\n' => self.character('\n'),
                _ => {}
            }
            return after;
        }
        let word_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(word_end).unwrap_or((rest, ""));
        let number_end = after
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-')))
            .map_or(after.len(), |(at, _)| at);
        let (number, after) = after.split_at_checked(number_end).unwrap_or((after, ""));
        let after = after.strip_prefix(' ').unwrap_or(after);
        self.word(word, number.parse().ok());
        after
    }

    fn word(&mut self, word: &str, number: Option<i32>) {
        match word {
            "par" | "line" | "sect" | "page" | "row" => self.character('\n'),
            "tab" | "cell" => self.character(' '),
            "emdash" | "endash" => self.character('-'),
            "lquote" | "rquote" => self.character('\''),
            "ldblquote" | "rdblquote" => self.character('"'),
            "bullet" => self.character('•'),
            "fonttbl" | "colortbl" | "stylesheet" | "info" | "pict" | "object" | "header"
            | "footer" | "headerl" | "headerr" | "footerl" | "footerr" | "listtable"
            | "listoverridetable" | "generator" | "themedata" => self.drop_group(),
            "ansicpg" => self.code_page = number.and_then(code_page).unwrap_or(WINDOWS_1252),
            "uc" => {
                self.unicode_skip = number.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).min(16)
            }
            "u" => {
                // Negative numbers are the upper half of the 16-bit range.
                let code = number.map(|n| if n < 0 { n + 65_536 } else { n });
                if let Some(c) = code.and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32) {
                    self.owed = 0;
                    self.character(c);
                }
                self.owed = self.unicode_skip;
            }
            _ => {}
        }
    }

    fn drop_group(&mut self) {
        if self.skip_from.is_none() {
            self.skip_from = Some(self.depth);
        }
    }

    fn character(&mut self, character: char) {
        if self.owed > 0 && character != '\n' {
            self.owed -= 1;
            return;
        }
        if self.skip_from.is_none() {
            self.flush();
            self.out.push(character);
        }
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            // Bytes that are not of the declared code page are read as Windows-1252, which has all.
            let strict =
                self.code_page.decode_without_bom_handling_and_without_replacement(&self.pending);
            let text =
                strict.unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(&self.pending).0);
            self.out.push_str(&text);
            self.pending.clear();
        }
    }
}

/// The character set of a Windows code page.
fn code_page(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        874 | 1250..=1258 => format!("windows-{number}"),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        10_000 => "macintosh".to_owned(),
        65_001 => "utf-8".to_owned(),
        _ => return None,
    };
    Encoding::for_label_no_replacement(label.as_bytes())
}

#[cfg(test)]
mod tests;
