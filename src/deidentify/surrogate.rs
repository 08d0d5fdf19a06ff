//! Stand-ins that keep a sentence readable: `Person A`, `Date B`.
//!
//! They are no names and no numbers that could be somebody's, and a second pass knows them. The same
//! person or day has the same letter all through a report. Dates lose their year too: a letter keeps
//! apart what a year alone would mix up, and the year of a birth over 89 years ago may not stay.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::span::{Kind, Span};

#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled in the tests")]
static SURROGATE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\b(?:Person|Number|Date|Time|Address|Phone|Email|Link|Facility|Device) [A-Z]{1,2}\b",
    )
    .unwrap()
});

/// Where surrogates stand in a text.
pub(super) fn places(text: &str) -> Vec<(usize, usize)> {
    SURROGATE.find_iter(text).map(|found| (found.start(), found.end())).collect()
}

/// Whether one of the places, which are in order, overlaps these bytes.
pub(super) fn covers(places: &[(usize, usize)], start: usize, end: usize) -> bool {
    let next = places.partition_point(|place| place.1 <= start);
    places.get(next).is_some_and(|place| place.0 < end)
}

/// The surrogates given out in one report.
pub(super) struct Surrogates {
    given: HashMap<(Kind, String), String>,
    /// Written in the report, by us or by its author.
    taken: HashSet<String>,
    next: HashMap<Kind, usize>,
}

impl Surrogates {
    /// None yet; those that the texts already hold are not given to anybody else.
    pub(super) fn new<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let taken = texts.flat_map(|text| SURROGATE.find_iter(text)).map(|m| m.as_str().to_owned());
        Self { given: HashMap::new(), taken: taken.collect(), next: HashMap::new() }
    }

    /// What stands for this span from now on.
    pub(super) fn stand_in(&mut self, span: &Span) -> String {
        if span.kind == Kind::Age {
            return Kind::Age.word().to_owned();
        }
        let owner = (span.kind, span.key.clone());
        if let Some(known) = self.given.get(&owner) {
            return known.clone();
        }
        let next = self.next.entry(span.kind).or_default();
        let name = loop {
            let name = [span.kind.word(), " ", &letters(*next)].concat();
            *next += 1;
            // After the last letters all share one: still no identifier.
            if *next > LAST || self.taken.insert(name.clone()) {
                break name;
            }
        };
        self.given.insert(owner, name.clone());
        name
    }
}

/// `ZZ`: 26 single letters and 676 pairs come before the letters run out.
const LAST: usize = 26 + 26 * 26 - 1;

/// A, B, ... Z, AA, AB, ... ZZ.
fn letters(index: usize) -> String {
    let letter = |i: usize| char::from(b'A' + u8::try_from(i % 26).unwrap_or_default());
    let index = index.min(LAST);
    match index.checked_sub(26) {
        None => letter(index).to_string(),
        Some(pair) => [letter(pair / 26), letter(pair)].iter().collect(),
    }
}
