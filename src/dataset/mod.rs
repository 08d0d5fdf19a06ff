//! The distillation dataset: what the distillation topic says, as Parquet files to train on.
//!
//! ```text
//! record ──> Change ──> Index ──> files of the days that changed ──> snapshot, whole or not at all
//! ```
//!
//! * [`change`] — a record of the topic to what it changes. Pure.
//! * [`index`], [`marks`] — which samples there are, which of one text is shown, what was retracted.
//!   Pure.
//! * [`row`], [`rows_file`], [`day_files`] — a sample as a row of a Parquet file, and those of a day.
//! * [`tally`], [`manifest`] — counts, and what a snapshot holds.
//! * [`folder`], [`pseudonym`] — the folder on disk: lock, snapshots, key.
//! * [`store`] — all of it together.
//! * [`table`], [`plot`] — a manifest for people.
//!
//! `docs/REDISTILLATION.md` says what stands in the folder and what holds of it.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};
use uuid::Uuid;

use crate::publish::PublishedVersion;

mod change;
mod day_files;
mod folder;
mod index;
pub mod manifest;
mod marks;
pub mod plot;
mod pseudonym;
mod row;
mod rows_file;
mod store;
pub mod table;
pub mod tally;

pub use folder::FolderError;
pub use store::{Store, StoreError};

/// The text of a sample, by its hash.
type TextHash = [u8; 32];

/// A report, by a keyed hash of its key: one who has not the key of the folder cannot find out which
/// accession number it is by trying all of them.
type Report = [u8; 16];

/// What tells one sample from another. In this order the samples of one text stand together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SampleKey {
    text: TextHash,
    report: Report,
    /// Pseudonym of the finding that was doubted.
    event: Uuid,
}

impl fmt::Debug for SampleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleKey").field("event", &self.event).finish_non_exhaustive()
    }
}

/// What is kept in memory of each sample.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    key: SampleKey,
    /// Version of the report; `None` when the record did not say.
    version: Option<PublishedVersion>,
    /// Milliseconds since 1970-01-01 UTC.
    created_at: i64,
    /// Day of `created_at`, UTC: the partition.
    day: Date,
    /// A person gave at least one of its labels.
    human: bool,
}

impl Entry {
    /// Of several samples of one text the greatest is shown: people before machines, then the newest.
    const fn precedence(&self) -> (bool, i64) {
        (self.human, self.created_at)
    }
}

/// The day of a time in milliseconds since 1970-01-01, UTC; `None` outside the years 1970 to 9999.
fn day_of(ms: i64) -> Option<Date> {
    let day = Offset::UTC.to_datetime(Timestamp::from_millisecond(ms).ok()?).date();
    (day.year() >= 1970).then_some(day)
}

/// The oldest day that is kept when samples are kept for `days` full days before today.
fn first_day_kept(now_ms: i64, days: u32) -> Option<Date> {
    day_of(now_ms)?.checked_sub(i64::from(days).days()).ok()
}

/// Bytes of lower-case hexadecimal; `None` when it is anything else.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_back_and_nothing_else_is() {
        let hash: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        assert_eq!(unhex(&crate::publish::hex(&hash)), Some(hash));
        for bad in ["", "0", "0g", "0A", "00 ", "000000"] {
            assert_eq!(unhex::<1>(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_are_those_of_utc_and_of_our_era() {
        assert_eq!(day_of(1_717_199_999_999).unwrap().to_string(), "2024-05-31");
        assert_eq!(day_of(1_717_200_000_000).unwrap().to_string(), "2024-06-01");
        assert_eq!(day_of(-1), None);
        assert_eq!(day_of(i64::MAX), None);
        assert_eq!(first_day_kept(1_717_200_000_000, 1).unwrap().to_string(), "2024-05-31");
    }
}
