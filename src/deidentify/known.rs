//! Identifiers that the message gives, made ready to be looked for.

use super::lexicon;
use super::names::{self, Entity, Phrase, Weight};
use super::span::{Kind, Span};
use super::words::{Word, fold, words};
use super::{KnownIdentifier, KnownKind};

/// Letters and digits of a number, looked for whatever stands between them.
pub(super) struct Digits {
    kind: Kind,
    key: String,
    /// Upper case, without leading zeros.
    symbols: Vec<char>,
    /// Other characters allowed between two of them.
    gap: usize,
}

/// The identifiers of one message.
pub(super) struct Known {
    entities: Vec<Entity>,
    digits: Vec<Digits>,
    names_patient: bool,
}

/// Words of a name value that are no name.
const NOT_NAMES: [&str; 30] = [
    "dr", "mr", "mrs", "ms", "miss", "prof", "md", "do", "phd", "rn", "np", "jr", "sr", "ii",
    "iii", "iv", "unknown", "none", "null", "test", "patient", "doctor", "baby", "boy", "girl",
    "na", "nmn", "nmi", "frcr", "mbbs",
];
/// Joins of surnames: part of a name, never a name alone.
pub(super) const PARTICLES: [&str; 20] = [
    "van", "von", "der", "den", "de", "del", "della", "da", "dos", "di", "la", "le", "el", "al",
    "bin", "ibn", "ben", "ter", "st", "ten",
];
/// What the names of hospitals share.
const GENERIC: [&str; 34] = [
    "hospital",
    "hospitals",
    "medical",
    "center",
    "centre",
    "clinic",
    "health",
    "healthcare",
    "system",
    "university",
    "general",
    "regional",
    "memorial",
    "community",
    "county",
    "city",
    "imaging",
    "radiology",
    "department",
    "the",
    "of",
    "and",
    "saint",
    "st",
    "care",
    "services",
    "associates",
    "group",
    "inc",
    "llc",
    "childrens",
    "children",
    "veterans",
    "institute",
];

impl Known {
    /// Makes the values ready. What cannot be looked for (one letter, two digits) is left out: only
    /// a pattern with its cue can find it.
    pub(super) fn compile(known: &[KnownIdentifier]) -> Self {
        let mut compiled = Self { entities: Vec::new(), digits: Vec::new(), names_patient: false };
        for (index, identifier) in known.iter().enumerate() {
            let value = identifier.value.expose();
            let key = ["known ", &index.to_string()].concat();
            match identifier.kind {
                KnownKind::PatientName => {
                    compiled.names_patient |= compiled.person(value, key);
                }
                KnownKind::PersonName => {
                    compiled.person(value, key);
                }
                KnownKind::Number => compiled.number(value, Kind::Number, key, 1, 5),
                KnownKind::Date => compiled.date(value),
                KnownKind::Address => compiled.address(value, &key),
                KnownKind::Contact => compiled.contact(value, key),
                KnownKind::Facility => compiled.facility(value, &key),
            }
        }
        compiled
    }

    /// Whether a patient's name is among them.
    pub(super) const fn names_patient(&self) -> bool {
        self.names_patient
    }

    /// People, places and facilities by name.
    pub(super) fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// The key of the known person with this surname or given name.
    pub(super) fn person_called(&self, folded: &str) -> Option<&str> {
        let has = |phrase: &Phrase| phrase.tokens.iter().any(|token| token == folded);
        let person = self
            .entities
            .iter()
            .find(|entity| entity.kind == Kind::Person && entity.phrases.iter().any(has));
        person.map(|entity| entity.key.as_str())
    }

    /// Where they stand in a text. Words in `kept` places are ours.
    pub(super) fn find(&self, text: &str, words: &[Word], kept: &[(usize, usize)]) -> Vec<Span> {
        let mut found = Vec::new();
        self.find_digits(text, &mut found);
        names::find(text, words, kept, &self.entities, &mut found);
        found
    }

    /// Numbers and the like, in any grouping.
    pub(super) fn find_digits(&self, text: &str, found: &mut Vec<Span>) {
        let symbols: Vec<(usize, char)> = text
            .char_indices()
            .filter(|(_, c)| c.is_alphanumeric())
            .map(|(at, c)| (at, c.to_ascii_uppercase()))
            .collect();
        for digits in &self.digits {
            for first in 0..symbols.len() {
                found.extend(digits.at(&symbols, first));
            }
        }
    }

    fn person(&mut self, value: &str, key: String) -> bool {
        let mut phrases: Vec<Phrase> = Vec::new();
        let mut initials = Vec::new();
        for part in value.split(|c: char| c.is_whitespace() || matches!(c, '^' | ',' | '&' | '.')) {
            let tokens: Vec<String> = words(part).into_iter().map(|word| word.folded).collect();
            let Some(first) = tokens.first() else { continue };
            if tokens.len() == 1 && NOT_NAMES.contains(&first.as_str()) {
                continue;
            }
            initials.extend(first.chars().next());
            if tokens.len() > 1 {
                // Smith-Jones: each half is a name too. O'Brien: the O is not.
                phrases.extend(tokens.iter().map(|token| Phrase::new(vec![token.clone()])));
            }
            phrases.push(Phrase::new(tokens));
        }
        phrases.retain(|phrase| phrase.weight != Weight::Nothing);
        let named = !phrases.is_empty();
        if named {
            phrases.extend(names::sign_ons(&phrases));
            self.entities.push(Entity { kind: Kind::Person, key, phrases, initials });
        }
        named
    }

    fn number(&mut self, value: &str, kind: Kind, key: String, gap: usize, shortest: usize) {
        let written = value.chars().filter(|c| c.is_alphanumeric());
        let length = written.clone().count();
        let symbols: Vec<char> =
            written.map(|c| c.to_ascii_uppercase()).skip_while(|c| *c == '0').collect();
        let digits = symbols.iter().filter(|c| c.is_ascii_digit()).count();
        let mixed = digits < symbols.len() && length >= 4;
        if digits >= 1 && symbols.len() >= 3 && (length >= shortest || mixed) {
            self.digits.push(Digits { kind, key, symbols, gap });
        } else if digits == 0 {
            self.phrase(Kind::Number, &key, value);
        }
    }

    fn date(&mut self, value: &str) {
        let digits: Vec<char> = value.chars().filter(char::is_ascii_digit).take(8).collect();
        let (Some(year), Some(month), Some(day)) =
            (digits.get(..4), digits.get(4..6), digits.get(6..8))
        else {
            return;
        };
        let key = [year, &['-'], month, &['-'], day].concat().iter().collect::<String>();
        // As one number; with separators the patterns find it.
        for order in [[year, month, day], [month, day, year], [day, month, year]] {
            let symbols = order.concat();
            self.digits.push(Digits { kind: Kind::Date, key: key.clone(), symbols, gap: 0 });
        }
    }

    fn contact(&mut self, value: &str, key: String) {
        if value.contains('@') {
            return self.number_or_letters(value, Kind::Email, key);
        }
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        // With and without country and area code.
        for tail in [digits.len(), 10, 7] {
            if let Some(tail) = digits.len().checked_sub(tail).and_then(|cut| digits.get(cut..))
                && tail.len() >= 7
            {
                self.number(tail, Kind::Phone, key.clone(), 3, 7);
            }
        }
    }

    fn number_or_letters(&mut self, value: &str, kind: Kind, key: String) {
        let symbols: Vec<char> =
            value.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_uppercase()).collect();
        if symbols.len() >= 5 {
            self.digits.push(Digits { kind, key, symbols, gap: 1 });
        }
    }

    fn address(&mut self, value: &str, key: &str) {
        for part in value.split(['^', ',', '\n', ';']) {
            let has_digits = part.chars().any(|c| c.is_ascii_digit());
            if has_digits {
                self.number(part, Kind::Address, key.to_owned(), 3, 5);
            } else if words(part).iter().map(|word| word.folded.len()).sum::<usize>() >= 4 {
                self.phrase(Kind::Address, key, part);
            }
        }
    }

    fn facility(&mut self, value: &str, key: &str) {
        for part in value.split('^') {
            self.phrase(Kind::Facility, key, part);
            let core: Vec<String> = words(part)
                .into_iter()
                .map(|word| word.folded)
                .filter(|word| !GENERIC.contains(&word.as_str()) && word.len() > 1)
                .collect();
            self.push_phrase(Kind::Facility, key, core);
        }
    }

    fn phrase(&mut self, kind: Kind, key: &str, value: &str) {
        self.push_phrase(kind, key, words(value).into_iter().map(|word| word.folded).collect());
    }

    fn push_phrase(&mut self, kind: Kind, key: &str, tokens: Vec<String>) {
        let generic = |word: &String| {
            GENERIC.contains(&word.as_str()) || lexicon::is_ordinary(word) || word.len() < 3
        };
        // "Radiology Department" is nobody's.
        if tokens.iter().all(generic) {
            return;
        }
        let phrases = vec![Phrase::new(tokens)];
        self.entities.push(Entity { kind, key: key.to_owned(), phrases, initials: Vec::new() });
    }

    /// Known numbers of six and more characters, lower case, for the last check.
    pub(super) fn long_numbers(&self) -> impl Iterator<Item = String> {
        let long = self.digits.iter().filter(|digits| digits.symbols.len() >= 6);
        long.map(|digits| fold(&digits.symbols.iter().collect::<String>()))
    }
}

impl Digits {
    /// The span that starts at that symbol, if the number stands there. Its leading zeros may be
    /// more or fewer than in the message.
    fn at(&self, symbols: &[(usize, char)], first: usize) -> Option<Span> {
        let here = symbols.get(first..first + self.symbols.len())?;
        if here.iter().zip(&self.symbols).any(|((_, is), wanted)| is != wanted) {
            return None;
        }
        let close =
            |(a, b): (&(usize, char), &(usize, char))| b.0 - a.0 <= a.1.len_utf8() + self.gap;
        if !here.iter().zip(here.iter().skip(1)).all(close) {
            return None;
        }
        let touches = |a: &(usize, char), b: &(usize, char)| b.0 - a.0 == a.1.len_utf8();
        let mut start = here.first()?;
        let digit_first = start.1.is_ascii_digit();
        for before in symbols.get(..first)?.iter().rev() {
            if !touches(before, start) {
                break;
            }
            match before.1 {
                '0' => start = before,
                // Letters run into a number: "MC0937884Date".
                letter if digit_first && !letter.is_ascii_digit() => break,
                _ => return None,
            }
        }
        let last = here.last()?;
        if let Some(after) = symbols.get(first + self.symbols.len())
            && touches(last, after)
            && after.1.is_ascii_digit() == last.1.is_ascii_digit()
        {
            return None;
        }
        Some(Span {
            start: start.0,
            end: last.0 + last.1.len_utf8(),
            kind: self.kind,
            key: self.key.clone(),
        })
    }
}
