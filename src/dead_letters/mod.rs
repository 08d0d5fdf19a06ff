//! Which dead letters there are, which were replayed, and which may be. Pure.
//!
//! ```text
//! record ──> Catalogue ──> Selection ──> decide ──> where to, or why not
//! ```
//!
//! * [`catalogue`] — the dead-letter topic, read once: what is kept of each letter is 128 bytes, never
//!   its value.
//! * [`selection`] — which letters are meant: class, time, place.
//! * [`decision`] — where a letter is replayed to, or why it is not.
//! * [`tally`] — counts for people.
//! * [`meaning`] — what a class means and what usually mends it.
//!
//! `docs/DEAD_LETTERS.md` is the runbook. Headers and markers are those of [`crate::publish`].

use std::fmt;
use std::str::FromStr;

pub mod catalogue;
pub mod decision;
pub mod meaning;
pub mod selection;
pub mod tally;

/// Where a letter stands in the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = || {
            let (partition, offset) = text.split_once(':')?;
            let partition = partition.parse().ok().filter(|number: &i32| *number >= 0)?;
            let offset = offset.parse().ok().filter(|number: &i64| *number >= 0)?;
            Some(Self { partition, offset })
        };
        place().ok_or_else(|| "not PARTITION:OFFSET, as in 3:81724".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is() {
        let place = Place { partition: 3, offset: 81_724 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "3", "3:", ":4", "-1:4", "3:-4", "3/4", "a:b", "3:4:5"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
