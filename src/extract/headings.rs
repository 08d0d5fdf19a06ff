//! Finds headings: at the start of a line, alone on a line, inside running text.

use std::sync::LazyLock;

use super::phrases::Phrases;
use super::titles::{ANATOMY, INLINE, TITLES};
use crate::report::SectionKind;

/// What a line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heading {
    /// A section.
    Section(SectionKind),
    /// A part of the body: part of the findings' text.
    Anatomy,
}

/// The section a title names, case, punctuation and spacing aside.
pub(crate) fn section_of_title(title: &str) -> Option<SectionKind> {
    known(normalise(title)?.as_bytes())
}

/// Every title that heads something.
static HEADINGS: LazyLock<Phrases<Heading, [u8]>> = LazyLock::new(|| {
    let anatomy = ANATOMY.iter().map(|title| (title.as_bytes(), Heading::Anatomy));
    let sections = TITLES.iter().map(|(title, kind)| (title.as_bytes(), Heading::Section(*kind)));
    anatomy.chain(sections).collect()
});

fn known(title: &[u8]) -> Option<SectionKind> {
    match HEADINGS.get(title) {
        Some(Heading::Section(kind)) => Some(*kind),
        _ => None,
    }
}

/// Finds the heading at the start of a tidied line. Returns it and what follows it on the line.
pub(super) fn at_start(line: &str) -> Option<(Heading, &str)> {
    let bare = undecorated(line);
    let window = first_characters(bare, 70);
    // Most lines are prose and have neither.
    let mark = memchr::memchr2(b':', b'-', window.as_bytes());
    if mark.is_some() {
        if let Some(colon) = memchr::memchr(b':', window.as_bytes()) {
            let (title, after) = (bare.get(..colon)?, bare.get(colon + 1..)?);
            return titled(title).map(|heading| (heading, after.trim_start_matches(['*', ' '])));
        }
        // `IMPRESSION - text`, in capitals.
        if let Some(dash) = spaced_dash(window)
            && let Some((title, after)) = bare.split_at_checked(dash)
            && !title.contains(char::is_lowercase)
            && let Some(kind) = section_of_title(title)
        {
            return Some((Heading::Section(kind), after.trim_start_matches(['-', ' '])));
        }
    }
    // A title alone on its line.
    let last = bare.as_bytes().last()?;
    if *last == b'.' || (bare.len() > LONGEST_ALONE && last.is_ascii_alphanumeric()) {
        return None;
    }
    let alone = bare.trim_end_matches(['*', '=', '_', '-', ' ', '.']);
    if alone.len() <= LONGEST_ALONE {
        let capitals = !alone.contains(char::is_lowercase);
        // Words that people write as a whole answer ("Report", "View") head only in capitals.
        let usual = || {
            alone.chars().next().is_some_and(char::is_uppercase)
                && INLINE.iter().any(|title| title.eq_ignore_ascii_case(alone))
        };
        if capitals || usual() {
            return section_of_title(alone).map(|kind| (Heading::Section(kind), ""));
        }
    }
    None
}

/// Longest title that heads a section without a colon, in bytes.
const LONGEST_ALONE: usize = 40;

fn undecorated(line: &str) -> &str {
    if line.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) {
        return line;
    }
    line.trim_start_matches(['*', '#', '=', '_', '-', ' ', '>'])
}

/// At most so many characters of a text.
fn first_characters(text: &str, most: usize) -> &str {
    match text.as_bytes().get(..most) {
        None => text,
        Some(head) if head.is_ascii() => text.get(..most).unwrap_or(text),
        Some(_) => {
            text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
        }
    }
}

/// Where ` - ` begins, or else ` -- `.
fn spaced_dash(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let begins = |dashes: &[u8]| {
        memchr::memchr_iter(b'-', bytes)
            .filter_map(|at| at.checked_sub(1))
            .find(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(dashes)))
    };
    begins(b" - ").or_else(|| begins(b" -- "))
}

/// The heading that a title before a colon is.
fn titled(title: &str) -> Option<Heading> {
    let unnumbered = title.trim_start_matches(|c: char| c.is_ascii_digit() || " .)".contains(c));
    let stop = |at| unnumbered.as_bytes().get(at + 1) == Some(&b' ');
    if memchr::memchr_iter(b'.', unnumbered.as_bytes()).any(stop) {
        return None; // a sentence ended before the colon
    }
    let normal = normalise(title)?;
    if let Some(heading) = HEADINGS.get(normal.as_bytes()) {
        return Some(*heading);
    }
    let normal = normal.as_str();
    if let Some(rest) = normal.strip_prefix("ADDENDUM ")
        && rest.split(' ').count() <= 6
    {
        return Some(Heading::Section(SectionKind::Addendum)); // "ADDENDUM 1", "ADDENDUM BY DR X ON 1 2 2026"
    }
    if !title.contains(char::is_lowercase) && is_view(normal) {
        return Some(Heading::Section(SectionKind::Findings)); // "CHEST, TWO VIEWS:"
    }
    if let Some(rest) = normal.strip_prefix("FINDINGS ")
        && rest.split(' ').count() <= 4
    {
        return Some(Heading::Section(SectionKind::Findings)); // "FINDINGS PORTABLE CHEST"
    }
    // One wrong letter in a long title.
    if normal.len() >= 8 {
        let near =
            TITLES.iter().find(|(known, _)| known.len() >= 8 && is_one_edit_away(known, normal));
        return near.map(|(_, kind)| Heading::Section(*kind));
    }
    None
}

/// Whether one letter put in, taken out or changed makes one text of the other. Both are ASCII.
fn is_one_edit_away(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let same = |(a, b): &(&u8, &u8)| a == b;
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) =
        (one.get(start..).unwrap_or_default(), other.get(start..).unwrap_or_default());
    let end = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    one.len().max(other.len()) - end == 1
}

/// Whether a title consists only of words for a view of the chest.
pub(super) fn is_view(normal: &str) -> bool {
    const SUBJECT: &[&str] = &["CHEST", "CXR", "PA", "AP", "PORTABLE", "LATERAL", "FRONTAL"];
    const OTHERS: &[&str] = &[
        "AND",
        "VIEW",
        "VIEWS",
        "ONE",
        "TWO",
        "THREE",
        "FOUR",
        "SINGLE",
        "1",
        "2",
        "3",
        "4",
        "UPRIGHT",
        "ERECT",
        "SEMIUPRIGHT",
        "SEMIERECT",
        "SEMI",
        "SUPINE",
        "SITTING",
        "LAT",
        "XR",
        "XRAY",
        "X",
        "RAY",
        "RADIOGRAPH",
        "RADIOGRAPHS",
        "RADIOGRAPHY",
        "FILM",
        "OF",
        "THE",
        "A",
        "DECUBITUS",
        "LEFT",
        "RIGHT",
        "BEDSIDE",
        "ROUTINE",
        "PORT",
        "DX",
        "VW",
        "VWS",
        "V",
        "EXAM",
        "STUDY",
        "EXAMINATION",
    ];
    let mut subject = false;
    normal.split(' ').all(|word| {
        let names = SUBJECT.contains(&word);
        subject |= names;
        names || OTHERS.contains(&word)
    }) && subject
}

/// Where a section begins inside running text: `(start, end, kind)` of the first capital title before
/// a colon after `from`. In text without line breaks, capitalised titles at a sentence start too.
pub(super) fn inline(
    line: &str,
    from: usize,
    one_line: bool,
) -> Option<(usize, usize, SectionKind)> {
    let mut search = from;
    while let Some(rest) = line.as_bytes().get(search..)
        && let Some(found) = memchr::memchr(b':', rest)
    {
        let colon = search + found;
        search = colon + 1;
        let before = line.get(from..colon)?.trim_end();
        // Most colons stand after something that ends no title.
        let last = before.as_bytes().last();
        if !last.is_some_and(|b| b.is_ascii_uppercase() || (one_line && b.is_ascii_lowercase())) {
            continue;
        }
        // The longest title that ends here wins: "CLINICAL HISTORY" over "HISTORY".
        let title = INLINE
            .iter()
            .filter(|title| ends_with_title(before, title, one_line))
            .max_by_key(|title| title.len());
        if let Some(title) = title {
            let start = from + before.len() - title.len();
            return section_of_title(title).map(|kind| (start, colon + 1, kind));
        }
    }
    None
}

fn ends_with_title(before: &str, title: &str, one_line: bool) -> bool {
    let Some(at) = before.len().checked_sub(title.len()) else { return false };
    let (Some(found), Some(head)) = (before.get(at..), before.get(..at)) else { return false };
    if found == title {
        return head.is_empty() || head.ends_with([' ', '.', '*', ')', ';']);
    }
    let capitalised = found.chars().next().is_some_and(char::is_uppercase);
    let sentence_start = head.trim_end().ends_with(['.', '!', '?', ':']) || head.trim().is_empty();
    one_line && capitalised && sentence_start && found.eq_ignore_ascii_case(title)
}

/// Longest text that may be a title, in bytes.
const LONGEST_TITLE: usize = 80;

/// A title as titles are compared: upper case, letters and digits, one space between words.
pub(super) struct Title {
    /// An ampersand takes five.
    letters: [u8; LONGEST_TITLE * 5],
    from: usize,
    length: usize,
}

impl Title {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        self.letters.get(self.from..self.length).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(letter) = self.letters.get_mut(self.length) {
            *letter = byte;
            self.length += 1;
        }
    }

    #[inline]
    fn end_word(&mut self) {
        let last = self.length.checked_sub(1).and_then(|at| self.letters.get(at));
        if last.is_some_and(|last| *last != b' ') {
            self.push(b' ');
        }
    }

    /// Takes a character of ASCII.
    #[inline]
    fn take(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.push(byte.to_ascii_uppercase());
        } else if byte == b'&' {
            self.end_word();
            b"AND ".iter().for_each(|letter| self.push(*letter));
        } else if byte != b'\'' {
            self.end_word();
        }
    }
}

/// Normalises a title; `None` when it cannot be one.
pub(super) fn normalise(title: &str) -> Option<Title> {
    if title.len() > LONGEST_TITLE {
        return None;
    }
    let mut out = Title { letters: [0; LONGEST_TITLE * 5], from: 0, length: 0 };
    if title.is_ascii() {
        title.bytes().for_each(|byte| out.take(byte));
    } else {
        for character in title.chars() {
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() => out.take(byte),
                _ if character.is_alphabetic() => return None,
                _ => out.end_word(),
            }
        }
    }
    if out.letters.get(..out.length).is_some_and(|all| all.ends_with(b" ")) {
        out.length -= 1;
    }
    // A numbered heading: "2 IMPRESSION".
    let all = out.as_bytes();
    let number = all.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b' ').count();
    if number == all.len() {
        return None;
    }
    if number > 0 && all.get(number..).and_then(known).is_some() {
        out.from = number;
    }
    Some(out)
}

#[cfg(test)]
mod tests;
