//! Cuts report text into sentences: the unit of evidence, and of scope for the rules.
//!
//! Radiology text breaks the habits of prose: numbered impressions, lines without a full stop,
//! lines wrapped by a dictation system at a fixed width, decimals, `Dr.`, `No. 2`, `5 cm. from`.
//! The function is total and pure: every byte that is not white space lies in exactly one range.

use std::ops::Range;

/// Abbreviations after which a full stop does not end a sentence. Lower case, without the stop.
const ABBREVIATIONS: [&str; 25] = [
    "dr", "drs", "mr", "mrs", "ms", "prof", "vs", "approx", "fig", "st", "rt", "lt", "ant", "post",
    "inf", "sup", "e.g", "i.e", "eg", "ie", "cf", "incl", "resp", "ca", "viz",
];

/// Abbreviations that end a sentence only when a capital letter follows.
const UNITS: [&str; 10] = ["cm", "mm", "ml", "cc", "kg", "lb", "in", "etc", "a.m", "p.m"];

/// A line shorter than this was not wrapped: no dictation system wraps so early.
const SHORTEST_WRAP: usize = 40;

/// Byte ranges of the sentences of `text`, in order, trimmed of surrounding white space.
///
/// A list marker (`2.`, `3)`, `-`) belongs to the sentence it opens.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut widest = 0;
    for line in text.lines() {
        widest = widest.max(line.trim_end().chars().count());
    }
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let ends = match c {
            '\n' => line_break_ends(text, start, at, end, widest),
            '.' | '!' | '?' => stop_ends(text, start, at, end),
            _ => false,
        };
        if ends {
            push_trimmed(&mut out, text, start..end);
            start = end;
        }
    }
    push_trimmed(&mut out, text, start..text.len());
    out
}

/// Number of Unicode scalar values before byte `at`: what evidence spans are counted in.
pub fn char_offset(text: &str, at: usize) -> u32 {
    let chars = text.get(..at).unwrap_or(text).chars().count();
    u32::try_from(chars).unwrap_or(u32::MAX)
}

fn push_trimmed(out: &mut Vec<Range<usize>>, text: &str, range: Range<usize>) {
    let Some(piece) = text.get(range.clone()) else { return };
    let kept = piece.trim();
    if kept.is_empty() {
        return;
    }
    let lead = piece.len() - piece.trim_start().len();
    let start = range.start + lead;
    // A stray mark ("..", ")") is no sentence of its own: it closes the one before.
    if !kept.contains(char::is_alphanumeric)
        && let Some(last) = out.last_mut()
    {
        last.end = start + kept.len();
        return;
    }
    out.push(start..start + kept.len());
}

/// Does the full stop (or `!`, `?`) at `at` end the sentence that began at `start`?
fn stop_ends(text: &str, start: usize, at: usize, end: usize) -> bool {
    let before = text.get(start..at).unwrap_or_default();
    let rest = text.get(end..).unwrap_or_default();
    let mut following = rest.chars();
    let Some(next) = following.next() else { return true };
    let word = last_word(before);
    if !next.is_whitespace() {
        if matches!(next, '.' | '!' | '?' | ')' | ']' | '"' | '\'' | ',' | ';') {
            return false;
        }
        // "effusion.No pneumothorax": a forgotten blank, unless it is "Ph.D" or "3.5".
        let long_word = word.chars().count() > 2 && word.chars().all(char::is_alphabetic);
        return long_word && next.is_uppercase();
    }
    if text.get(at..end) != Some(".") {
        return true;
    }
    if is_list_marker(before.trim()) {
        return false;
    }
    let visible = rest.trim_start().chars().next();
    let Some(visible) = visible else { return true };
    let lower = word.to_ascii_lowercase();
    if lower == "no" {
        // "No. 2 wire" is a number; "Pneumothorax? No. Heart normal" is an answer.
        return !visible.is_ascii_digit();
    }
    if ABBREVIATIONS.contains(&lower.as_str()) {
        return false;
    }
    if UNITS.contains(&lower.as_str()) {
        return visible.is_uppercase() || rest.trim_start_matches(' ').starts_with('\n');
    }
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    // "by J. Smith" is a name; "effusion L. No pneumothorax" is a side.
    if initial {
        let name = last_word(before.trim_end_matches(word).trim_end()).trim_end_matches('.');
        if ["by", "dr", "drs"].contains(&name.to_ascii_lowercase().as_str()) {
            return false;
        }
    }
    !visible.is_lowercase()
        || rest.starts_with('\n')
        || word.chars().all(|c| c.is_alphabetic() && c.is_lowercase())
}

/// Does the line break at `at` end a sentence, or was the line wrapped?
fn line_break_ends(text: &str, start: usize, at: usize, end: usize, widest: usize) -> bool {
    let rest = text.get(end..).unwrap_or_default();
    let next_line = rest.lines().next().unwrap_or_default().trim();
    if next_line.is_empty() {
        return true;
    }
    let before = text.get(start..at).unwrap_or_default();
    if before.trim().is_empty() || is_list_marker(before.trim().trim_end_matches('.')) {
        return false;
    }
    let mut words = next_line.split_whitespace();
    let first = words.next().unwrap_or_default();
    if opens_item(first) || opens_heading(next_line) {
        return true;
    }
    if first.chars().next().is_some_and(char::is_lowercase) {
        return false;
    }
    if before.trim_end().ends_with([',', '-', '/', '(']) {
        return false;
    }
    // Wrapped means: the next word would not have fitted.
    let line = before.rsplit('\n').next().unwrap_or(before).trim_end();
    let fits = line.chars().count() + 1 + first.chars().count() <= widest;
    fits || widest < SHORTEST_WRAP
}

fn last_word(before: &str) -> &str {
    let cut = before.rfind(|c: char| c.is_whitespace() || matches!(c, '(' | ',' | '/' | '-'));
    match cut {
        Some(at) => before
            .get(at..)
            .unwrap_or_default()
            .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ',' | '/' | '-')),
        None => before,
    }
}

/// `2` in front of a full stop, at the start of a sentence.
fn is_list_marker(word: &str) -> bool {
    let word = word.trim_start_matches('(');
    !word.is_empty() && word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit())
}

/// `2.`, `3)`, `(4)`, `-`, `*`, `•` as the first word of a line.
fn opens_item(first: &str) -> bool {
    if matches!(first, "-" | "*" | "•" | "--" | "#") {
        return true;
    }
    let core = first.trim_start_matches('(');
    let digits = core.trim_end_matches(['.', ')', ':']);
    digits.len() < core.len() && is_list_marker(digits)
}

/// `HEART:`, `Lungs and pleura:` at the start of a line.
fn opens_heading(line: &str) -> bool {
    let Some((head, _)) = line.split_once(':') else { return false };
    head.chars().next().is_some_and(char::is_uppercase)
        && head.split_whitespace().count() <= 4
        && head.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '/' | '&' | ',' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| text.get(range).unwrap()).collect()
    }

    #[test]
    fn plain_sentences_end_at_full_stops() {
        assert_eq!(cut("Heart normal. Lungs clear."), ["Heart normal.", "Lungs clear."]);
        assert_eq!(cut("Pneumothorax? None."), ["Pneumothorax?", "None."]);
    }

    #[test]
    fn a_list_marker_stays_with_its_item() {
        assert_eq!(
            cut("1. Small effusion. 2. No pneumothorax.\n3) Stable heart"),
            ["1. Small effusion.", "2. No pneumothorax.", "3) Stable heart"]
        );
    }

    #[test]
    fn a_wrapped_item_is_one_sentence() {
        assert_eq!(cut("1. Small\n   left effusion."), ["1. Small\n   left effusion."]);
    }

    #[test]
    fn a_line_that_was_full_goes_on_in_the_next() {
        let text = "THE HEART IS NORMAL IN SIZE AND THE PULMONARY VASCULATURE IS WITHIN\n\
                    NORMAL LIMITS";
        assert_eq!(cut(text).len(), 1);
    }

    #[test]
    fn lines_without_stops_are_sentences() {
        assert_eq!(
            cut("No acute disease\nHeart size normal\nLungs clear of any infiltrate or effusion"),
            ["No acute disease", "Heart size normal", "Lungs clear of any infiltrate or effusion"]
        );
        assert_eq!(cut("HEART: Normal\nLUNGS: Clear"), ["HEART: Normal", "LUNGS: Clear"]);
    }

    #[test]
    fn decimals_units_and_abbreviations_do_not_cut() {
        assert_eq!(cut("A 1.5 cm. nodule vs. vessel, told to Dr. Roe at 5 p.m. today.").len(), 1);
        assert_eq!(cut("Wire No. 2 is broken. Lungs clear.").len(), 2);
        assert_eq!(cut("Tip 3 cm. Above it, nothing.").len(), 2);
    }

    #[test]
    fn a_forgotten_blank_still_cuts() {
        assert_eq!(cut("Small effusion.No pneumothorax."), ["Small effusion.", "No pneumothorax."]);
        assert_eq!(cut("Read by A. Roe, Ph.D. yesterday").len(), 1);
    }

    #[test]
    fn a_blank_line_always_cuts() {
        assert_eq!(cut("Small left\n\neffusion"), ["Small left", "effusion"]);
    }

    #[test]
    fn offsets_count_characters() {
        assert_eq!(char_offset("é é", 3), 2);
    }

    proptest::proptest! {
        #[test]
        fn ranges_are_ordered_and_hold_every_letter(text in "[a-zA-Z0-9 .?!\n:é)-]{0,200}") {
            let ranges = sentences(&text);
            let mut last = 0;
            let mut letters = 0;
            for range in ranges {
                assert!(range.start >= last && range.end > range.start);
                last = range.end;
                letters += text.get(range).unwrap().chars().filter(|c| c.is_alphanumeric()).count();
            }
            assert_eq!(letters, text.chars().filter(|c| c.is_alphanumeric()).count());
        }
    }
}
