//! The last reports, in bounded memory: two halves, of which the older goes when the newer is full.

use super::{Counts, Observed};

/// Counts over the last reports.
#[derive(Debug)]
pub struct Window {
    half: u64,
    older: Option<Counts>,
    newer: Counts,
}

impl Window {
    /// A window of about `reports` reports: after each half of it, the last two halves are given.
    pub fn new(reports: u64) -> Self {
        Self { half: (reports / 2).max(1), older: None, newer: Counts::default() }
    }

    /// Counts a report. Gives the whole window when another half of it is full, from the second on.
    pub fn add(&mut self, report: &Observed) -> Option<Counts> {
        self.newer.add(report);
        if self.newer.reports < self.half {
            return None;
        }
        let newer = std::mem::take(&mut self.newer);
        let mut whole = self.older.replace(newer.clone())?;
        whole.merge(&newer);
        Some(whole)
    }
}
