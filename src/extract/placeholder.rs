//! Texts that stand where a report should be.

use std::sync::LazyLock;

use super::phrases::Phrases;

/// Longest text that may be a placeholder, in bytes.
const LONGEST: usize = 100;

/// Whether a text says nothing of the patient: "See comments", "Report to follow", "As above".
pub(crate) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    if text.len() > LONGEST {
        return false;
    }
    if !text.is_ascii() {
        return are_placeholder_words(&words_of(text));
    }
    let mut words = [0; LONGEST];
    let mut length = 0;
    let mut gap = false;
    for byte in text.bytes() {
        if !byte.is_ascii_alphanumeric() {
            gap = length > 0;
            continue;
        }
        if gap {
            // Most texts are told by their first word.
            if !words.contains(&b' ') && !begins_placeholder(words.get(..length)) {
                return false;
            }
            if let Some(word_end) = words.get_mut(length) {
                *word_end = b' ';
            }
            length += 1;
            gap = false;
        }
        if let Some(letter) = words.get_mut(length) {
            *letter = byte.to_ascii_lowercase();
        }
        length += 1;
    }
    let words = words.get(..length).and_then(|words| std::str::from_utf8(words).ok());
    are_placeholder_words(words.unwrap_or_default())
}

/// Lower case, one space between words.
fn words_of(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_alphanumeric() {
            words.extend(character.to_lowercase());
        } else if !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words.truncate(words.trim_end().len());
    words
}

fn begins_placeholder(first: Option<&[u8]>) -> bool {
    let first = first.and_then(|first| std::str::from_utf8(first).ok()).unwrap_or_default();
    FIRST.contains_key(first)
}

/// The words that placeholders begin with.
static FIRST: LazyLock<Phrases<()>> = LazyLock::new(|| {
    let exact = EXACT.iter().filter_map(|phrase| phrase.split(' ').next());
    exact.chain(["please", "see", "refer", "reference"]).map(|word| (word, ())).collect()
});

fn are_placeholder_words(words: &str) -> bool {
    if words.is_empty() {
        return true; // "___", "...", "-"
    }
    let words = words.strip_prefix("please ").unwrap_or(words);
    EXACT.contains(&words) || is_pointer(words)
}

const EXACT: [&str; 38] = [
    "none",
    "n a",
    "na",
    "nil",
    "null",
    "tbd",
    "test",
    "pending",
    "unknown",
    "not available",
    "not applicable",
    "no report",
    "no text",
    "no impression",
    "as above",
    "as described above",
    "as described",
    "as below",
    "same as above",
    "same",
    "dictated",
    "dictation pending",
    "transcription pending",
    "report pending",
    "result pending",
    "results pending",
    "report to follow",
    "results to follow",
    "to follow",
    "report in progress",
    "final report to follow",
    "report attached",
    "report available in pacs",
    "impression",
    "findings",
    "report",
    "dictation to follow",
    "full report to follow",
];

/// "see (the) (attached|full|scanned) report (below|in PACS)".
fn is_pointer(words: &str) -> bool {
    let Some(rest) = ["see ", "refer to ", "reference "].iter().find_map(|p| words.strip_prefix(p))
    else {
        return false;
    };
    rest.split(' ').all(|word| POINTED_AT.contains(&word))
}

const POINTED_AT: [&str; 45] = [
    "a",
    "above",
    "addendum",
    "and",
    "associated",
    "attached",
    "attachment",
    "below",
    "comment",
    "comments",
    "complete",
    "detailed",
    "dictated",
    "dictation",
    "document",
    "report",
    "reports",
    "final",
    "finding",
    "findings",
    "for",
    "full",
    "images",
    "impression",
    "in",
    "note",
    "notes",
    "of",
    "on",
    "original",
    "pacs",
    "pdf",
    "radiology",
    "result",
    "results",
    "scanned",
    "section",
    "separate",
    "system",
    "text",
    "the",
    "under",
    "details",
    "body",
    "this",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_promises_are_placeholders() {
        for text in [
            "See Comments",
            "see report.",
            "Please see below.",
            "SEE PACS",
            "See findings",
            "As described above.",
            "Report to follow",
            "None.",
            "N/A",
            "___",
            "\"\"",
            "See attached full report in PACS",
            "Please see the full dictated report below",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
    }

    #[test]
    fn short_results_are_not() {
        for text in [
            "Normal.",
            "Negative",
            "No change.",
            "Stable.",
            "See no effusion.",
            "Unremarkable chest",
            "Pneumonia, see above.",
            "No acute disease",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
