//! Which letters are meant.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use super::Place;
use super::catalogue::Letter;

/// Which letters are meant: those that fulfil all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// One of these classes; empty: any.
    pub classes: Vec<String>,
    /// Failed at this time or later, milliseconds since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
    /// Failed before this time.
    pub until_ms: Option<i64>,
    /// One of these; empty: any.
    pub places: BTreeSet<Place>,
}

impl Selection {
    /// Whether a letter is meant. One that does not say when it failed is in no stretch of time.
    pub fn takes(&self, letter: &Letter) -> bool {
        let class = self.classes.is_empty() || self.classes.iter().any(|c| **c == *letter.class);
        let place = self.places.is_empty() || self.places.contains(&letter.place);
        let since = self.since_ms.is_none_or(|since| letter.failed_at_ms >= Some(since));
        let until = self
            .until_ms
            .is_none_or(|until| letter.failed_at_ms.is_some_and(|failed| failed < until));
        class && place && since && until
    }
}

/// Reads a time of the command line: RFC 3339, or a day, which is its beginning in UTC. Milliseconds
/// since 1970-01-01 UTC.
///
/// # Errors
/// What it should look like.
pub fn time(text: &str) -> Result<i64, String> {
    let day = || {
        let midnight = text.parse::<Date>().ok()?.to_datetime(Time::midnight());
        Offset::UTC.to_timestamp(midnight).ok()
    };
    // A time in a Date's place would lose its hours.
    let is_day = !text.contains(['T', 't', ' ']);
    let time = if is_day { day() } else { text.parse::<Timestamp>().ok() };
    time.map(Timestamp::as_millisecond).ok_or_else(|| {
        "neither a time (2026-10-31T07:30:00Z) nor a day (2026-10-31, from its beginning in UTC)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::super::catalogue::tests::letter;
    use super::*;

    #[test]
    fn a_letter_must_fulfil_all_that_is_given() {
        let mut catalogue = Catalogue::new(false);
        for (offset, class, at) in [(0, "syntax", 10), (1, "empty", 20), (2, "syntax", 30)] {
            catalogue.take(&letter((0, offset), class, at, Some(b"x")));
        }
        let taken = |selection: Selection| -> Vec<i64> {
            catalogue.letters().filter(|l| selection.takes(l)).map(|l| l.place.offset).collect()
        };
        let all = Selection::default;
        let syntax = || vec!["syntax".to_owned()];
        assert_eq!(taken(all()), [0, 1, 2]);
        assert_eq!(taken(Selection { classes: syntax(), ..all() }), [0, 2]);
        assert_eq!(taken(Selection { since_ms: Some(20), ..all() }), [1, 2]);
        assert_eq!(taken(Selection { until_ms: Some(20), ..all() }), [0]);
        let places = BTreeSet::from([Place { partition: 0, offset: 1 }]);
        assert_eq!(taken(Selection { places: places.clone(), ..all() }), [1]);
        assert_eq!(taken(Selection { places, classes: syntax(), ..all() }), [0; 0]);
    }

    #[test]
    fn a_letter_without_a_time_is_in_no_stretch_of_time() {
        let mut record = letter((0, 0), "syntax", 10, Some(b"x"));
        record.headers.retain(|(name, _)| !name.ends_with("failed.at"));
        let mut catalogue = Catalogue::new(false);
        catalogue.take(&record);
        let undated = catalogue.letters().next().unwrap();
        assert!(Selection::default().takes(undated));
        assert!(!Selection { since_ms: Some(0), ..Selection::default() }.takes(undated));
        assert!(!Selection { until_ms: Some(i64::MAX), ..Selection::default() }.takes(undated));
    }

    #[test]
    fn times_and_days_are_read_and_nothing_else_is() {
        assert_eq!(time("2024-06-01T12:00:00.123Z"), Ok(1_717_243_200_123));
        assert_eq!(time("2024-06-01T14:00:00.123+02:00"), Ok(1_717_243_200_123));
        assert_eq!(time("2024-06-01"), Ok(1_717_200_000_000));
        for bad in ["", "yesterday", "2024-06-31", "2024-06-01T12:00:00", "1717243200"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
