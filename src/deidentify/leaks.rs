//! The last look: what must not be in a text that leaves.
//!
//! It shares nothing with the search but the lists, so that an error there is seen here. It is
//! stricter: it joins what the search keeps apart, and may refuse a text that is clean.

use std::sync::LazyLock;

use regex::Regex;

use super::Refused;
use super::known::Known;
use super::names::Weight;
use super::span::Kind;
use super::words::{Word, fold, words};
use super::{lexicon, surrogate};

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled in the tests")]
static DENSE: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // Six digits in a row, or nine with single separators.
        r"\d{6}",
        r"(?:\d[ -]){8}\d",
        // Addresses of computers and mailboxes.
        r"\S@\S",
        r"://",
        r"(?i)\bwww\.",
        // Encoded data.
        r"[A-Za-z0-9+/]{40}",
    ]
    .into_iter()
    .map(|source| Regex::new(source).unwrap())
    .collect()
});

/// Characters that an identifier can hide behind: controls, invisible ones, direction marks, the
/// replacement character, digits of other alphabets, and Cyrillic letters in a Latin word.
pub(super) fn hides_characters(text: &str) -> bool {
    let mut latin = false;
    let mut cyrillic = false;
    text.chars().any(|c| {
        match c {
            'a'..='z' | 'A'..='Z' => latin = true,
            '\u{400}'..='\u{52f}' => cyrillic = true,
            other if !other.is_alphabetic() => (latin, cyrillic) = (false, false),
            _ => {}
        }
        let control = c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}');
        let invisible = matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffd}'
                | '\u{e0000}'..='\u{e0fff}'
        );
        control || invisible || is_foreign_digit(c) || (latin && cyrillic)
    })
}

/// A decimal digit outside of ASCII. Superscripts, fractions and Roman numerals are not digits.
fn is_foreign_digit(c: char) -> bool {
    #[expect(clippy::unwrap_used, reason = "a constant pattern, compiled in the tests")]
    static DIGIT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{Nd}$").unwrap());
    !c.is_ascii() && c.is_numeric() && DIGIT.is_match(c.encode_utf8(&mut [0; 4]))
}

/// # Errors
///
/// What remains, if anything does.
pub(super) fn check(text: &str, known: &Known) -> Result<(), Refused> {
    let kept = surrogate::places(text);
    let words: Vec<Word> = words(text)
        .into_iter()
        .filter(|word| !surrogate::covers(&kept, word.start, word.end))
        .collect();
    let mut phrases = known.entities().iter().flat_map(|entity| {
        let strong = entity.phrases.iter().filter(|phrase| phrase.weight == Weight::Strong);
        strong.map(move |phrase| (entity.kind, phrase))
    });
    if phrases.any(|(kind, phrase)| stands(&words, &phrase.tokens, kind)) {
        return Err(Refused::KnownRemains);
    }
    let mut joined = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in kept.iter().copied().chain([(text.len(), text.len())]) {
        // What stands on the two sides of a stand-in does not belong together.
        joined.push_str(&letters_and_digits(text.get(from..start).unwrap_or_default()));
        joined.push('|');
        from = end;
    }
    if known.long_numbers().any(|number| joined.contains(&number)) {
        return Err(Refused::KnownRemains);
    }
    if DENSE.iter().any(|dense| dense.is_match(text)) {
        return Err(Refused::LooksIdentifying);
    }
    Ok(())
}

fn letters_and_digits(text: &str) -> String {
    fold(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

fn stands(words: &[Word], tokens: &[String], kind: Kind) -> bool {
    words.windows(tokens.len().max(1)).enumerate().any(|(at, here)| {
        let same = here.iter().zip(tokens).all(|(word, token)| word.folded == *token);
        // "Wilson disease" is no Wilson.
        let next = |skip: usize| words.get(at + tokens.len() + skip).map_or("", |w| &w.folded);
        let next = if next(0) == "s" { next(1) } else { next(0) };
        let eponym = kind == Kind::Person
            && tokens.len() == 1
            && tokens.iter().all(|token| lexicon::is_eponym_before(token, next));
        same && !eponym
    })
}
