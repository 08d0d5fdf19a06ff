//! Finds headings: at the start of a line, alone on a line, inside running text.

use std::collections::HashMap;
use std::sync::LazyLock;

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
    known(&normalise(title)?)
}

/// Every title that heads something.
static HEADINGS: LazyLock<HashMap<&str, Heading>> = LazyLock::new(|| {
    let anatomy = ANATOMY.iter().map(|title| (*title, Heading::Anatomy));
    let sections = TITLES.iter().map(|(title, kind)| (*title, Heading::Section(*kind)));
    anatomy.chain(sections).collect()
});

fn known(title: &str) -> Option<SectionKind> {
    match HEADINGS.get(title) {
        Some(Heading::Section(kind)) => Some(*kind),
        _ => None,
    }
}

/// Finds the heading at the start of a tidied line. Returns it and what follows it on the line.
pub(super) fn at_start(line: &str) -> Option<(Heading, &str)> {
    let bare = line.trim_start_matches(['*', '#', '=', '_', '-', ' ', '>']);
    let window =
        bare.char_indices().nth(70).map_or(bare, |(end, _)| bare.get(..end).unwrap_or(bare));
    if let Some((title, _)) = window.split_once(':') {
        let after = bare.get(title.len() + 1..).unwrap_or_default();
        return titled(title).map(|heading| (heading, after.trim_start_matches(['*', ' '])));
    }
    // `IMPRESSION - text`, in capitals.
    if let Some((title, _)) = window.split_once(" - ").or_else(|| window.split_once(" -- "))
        && !title.contains(char::is_lowercase)
        && let Some(kind) = section_of_title(title)
    {
        let after = bare.get(title.len()..).unwrap_or_default();
        return Some((Heading::Section(kind), after.trim_start_matches(['-', ' '])));
    }
    // A title alone on its line.
    let alone = bare.trim_end_matches(['*', '=', '_', '-', ' ', '.']);
    if alone.len() <= 40 && !bare.ends_with('.') {
        let kind = section_of_title(alone)?;
        let capitals = !alone.contains(char::is_lowercase);
        let capitalised = alone.chars().next().is_some_and(char::is_uppercase);
        // Words that people write as a whole answer ("Report", "View") head only in capitals.
        let usual = INLINE.iter().any(|title| title.eq_ignore_ascii_case(alone));
        if capitals || (capitalised && usual) {
            return Some((Heading::Section(kind), ""));
        }
    }
    None
}

/// The heading that a title before a colon is.
fn titled(title: &str) -> Option<Heading> {
    let unnumbered = title.trim_start_matches(|c: char| c.is_ascii_digit() || " .)".contains(c));
    if unnumbered.contains(". ") {
        return None; // a sentence ended before the colon
    }
    let normal = normalise(title)?;
    if let Some(heading) = HEADINGS.get(normal.as_str()) {
        return Some(*heading);
    }
    if let Some(rest) = normal.strip_prefix("ADDENDUM ")
        && rest.split(' ').count() <= 6
    {
        return Some(Heading::Section(SectionKind::Addendum)); // "ADDENDUM 1", "ADDENDUM BY DR X ON 1 2 2026"
    }
    if !title.contains(char::is_lowercase) && is_view(&normal) {
        return Some(Heading::Section(SectionKind::Findings)); // "CHEST, TWO VIEWS:"
    }
    if let Some(rest) = normal.strip_prefix("FINDINGS ")
        && rest.split(' ').count() <= 4
    {
        return Some(Heading::Section(SectionKind::Findings)); // "FINDINGS PORTABLE CHEST"
    }
    // One wrong letter in a long title.
    if normal.len() >= 8 {
        let near = TITLES.iter().find(|(known, _)| {
            known.len() >= 8
                && known.len().abs_diff(normal.len()) <= 1
                && strsim::levenshtein(known, &normal) == 1
        });
        return near.map(|(_, kind)| Heading::Section(*kind));
    }
    None
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
    while let Some(colon) = line.get(search..).and_then(|rest| rest.find(':')).map(|at| search + at)
    {
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

/// Upper case, letters and digits, one space between words; `None` when it cannot be a title.
pub(super) fn normalise(title: &str) -> Option<String> {
    if title.len() > 80 {
        return None;
    }
    let mut out = String::with_capacity(title.len());
    for character in title.chars() {
        match character {
            '&' => {
                if !out.ends_with(' ') && !out.is_empty() {
                    out.push(' ');
                }
                out.push_str("AND ");
            }
            '\'' => {}
            c if c.is_ascii_alphanumeric() => out.push(c.to_ascii_uppercase()),
            c if c.is_alphabetic() => return None,
            _ if out.is_empty() || out.ends_with(' ') => {}
            _ => out.push(' '),
        }
    }
    let length = out.trim_end().len();
    out.truncate(length);
    // A numbered heading: "2 IMPRESSION".
    let unnumbered = out.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    if unnumbered.is_empty() {
        return None;
    }
    if unnumbered.len() < out.len() && known(unnumbered).is_some() {
        return Some(unnumbered.to_owned());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SectionKind::{Addendum, Comparison, Findings, Impression};

    fn kind(line: &str) -> Option<SectionKind> {
        match at_start(line)? {
            (Heading::Section(kind), _) => Some(kind),
            (Heading::Anatomy, _) => None,
        }
    }

    #[test]
    fn many_spellings_head_the_same_section() {
        for line in [
            "IMPRESSION: x",
            "Impression:",
            "impression : x",
            "**IMPRESSION:** x",
            "IMPRESSION",
            "Impression",
            "1. IMPRESSION: x",
            "IMPRESSION - x",
            "CONCLUSION:",
            "FINDINGS/IMPRESSION: x",
            "IMPRESSON: x",
            "IMPRESSIOM: x",
            "Findings & Impression: x",
            "== IMPRESSION ==",
        ] {
            assert_eq!(kind(line), Some(Impression), "{line}");
        }
        assert_eq!(kind("CHEST, PA AND LATERAL: x"), Some(Findings));
        assert_eq!(kind("Reason for exam (signs/symptoms): x"), None);
        assert_eq!(kind("ADDENDUM #2: x"), Some(Addendum));
        assert_eq!(kind("PRIOR REPORT: x"), Some(Comparison));
    }

    #[test]
    fn prose_heads_nothing() {
        for line in [
            "Findings suggest pneumonia.",
            "The impression: none",
            "No effusion: clear",
            "Report",
            "View",
            "History of cough.",
            "Comparison is made with 1/2/2020.",
            "Stable.",
            "Pneumothorax: [None]",
            "Findings as follows. Lungs: clear",
        ] {
            assert_eq!(kind(line), None, "{line}");
        }
        assert!(matches!(at_start("LUNGS: Clear."), Some((Heading::Anatomy, "Clear."))));
    }

    #[test]
    fn running_text_is_parted_at_capital_titles() {
        let line = "CLINICAL HISTORY: cough FINDINGS: clear. IMPRESSION: normal.";
        let (start, end, found) = inline(line, 17, true).expect("found");
        assert_eq!((line.get(start..end), found), (Some("FINDINGS:"), Findings));
        assert!(inline("no IMPRESSIONS here, FINDINGSX: y", 0, true).is_none());
        assert!(inline("It is my impression: clear", 0, true).is_none());
        assert!(inline("Clear. Impression: normal", 0, true).is_some());
        assert!(inline("Clear. Impression: normal", 0, false).is_none());
    }
}
