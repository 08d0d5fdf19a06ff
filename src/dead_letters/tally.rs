//! Letters, counted for people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;

use super::catalogue::Letter;

/// How many, and how many of them were replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Letters.
    pub letters: u64,
    /// Those that were replayed.
    pub replayed: u64,
    /// Bytes of key, value and headers of all.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, letter: &Letter) {
        self.letters += 1;
        self.replayed += u64::from(letter.is_replayed);
        self.bytes += letter.bytes;
    }
}

/// Counts of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub total: Count,
    /// By class of the failure.
    pub by_class: BTreeMap<String, Count>,
    /// By the step that refused them.
    pub by_stage: BTreeMap<String, Count>,
    /// By the day that they failed, UTC (`2026-10-31`; `unknown`).
    pub by_day: BTreeMap<String, Count>,
}

impl Tally {
    /// Counts letters.
    pub fn of<'a>(letters: impl Iterator<Item = &'a Letter>) -> Self {
        let mut tally = Self::default();
        for letter in letters {
            tally.total.add(letter);
            tally.by_class.entry(letter.class.to_string()).or_default().add(letter);
            tally.by_stage.entry(letter.stage.to_string()).or_default().add(letter);
            tally.by_day.entry(day(letter.failed_at_ms)).or_default().add(letter);
        }
        tally
    }
}

fn day(ms: Option<i64>) -> String {
    let time = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(
        || "unknown".to_owned(),
        |time| Offset::UTC.to_datetime(time).date().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::super::catalogue::tests::{letter, record};
    use super::*;
    use crate::publish::ReplayMark;

    #[test]
    fn letters_are_counted_by_class_stage_and_day_with_those_replayed() {
        let day = 86_400_000;
        let mut catalogue = Catalogue::new(false);
        catalogue.take(&letter((0, 0), "syntax", day - 1, Some(b"x")));
        catalogue.take(&letter((0, 1), "empty", day, None));
        catalogue.take(&letter((0, 2), "syntax", day, Some(b"xx")));
        catalogue.take(&record((0, 3), ReplayMark { partition: 0, offset: 2 }.record("in", 0)));
        let tally = Tally::of(catalogue.letters());
        let counts = |map: &BTreeMap<String, Count>| -> Vec<(String, u64, u64)> {
            map.iter().map(|(name, c)| (name.clone(), c.letters, c.replayed)).collect()
        };
        let named = |name: &str, letters, replayed| (name.to_owned(), letters, replayed);
        assert_eq!(counts(&tally.by_class), [named("empty", 1, 0), named("syntax", 2, 1)]);
        assert_eq!(counts(&tally.by_stage), [named("decode", 3, 1)]);
        assert_eq!(counts(&tally.by_day), [named("1970-01-01", 1, 0), named("1970-01-02", 2, 1)]);
        assert_eq!((tally.total.letters, tally.total.replayed), (3, 1));
        assert!(tally.total.bytes > 3);
    }
}
