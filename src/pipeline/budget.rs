//! One byte budget for the process: charged when a record is fetched, returned when it is committed
//! or its assignment ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Gauge;

use crate::broker::Record;
use crate::telemetry::names;

/// What a record costs besides its bytes: ticket, decoded report, token ids, encoded finding,
/// queue entries. Measured on 2 KB reports and rounded up.
const RECORD_OVERHEAD: usize = 4096;
/// How often the bytes of a record exist at the same time at most: as received, as decoded text,
/// and as an escalation or dead letter.
const COPIES: usize = 3;

/// Bytes in flight against a limit.
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    gauge: Gauge,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[expect(clippy::cast_precision_loss, reason = "a gauge for reading")]
    pub fn new(limit: usize) -> Self {
        metrics::gauge!(names::MEMORY_BUDGET_BYTES).set(limit as f64);
        let gauge = metrics::gauge!(names::MEMORY_USED_BYTES);
        Self { limit, used: AtomicUsize::new(0), gauge }
    }

    /// What `record` will cost.
    pub fn cost(record: &Record) -> usize {
        record.wire_bytes().saturating_mul(COPIES).saturating_add(RECORD_OVERHEAD)
    }

    /// Charges. Always succeeds: one record larger than the whole budget must still get through.
    pub fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.show();
    }

    /// Returns.
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.show();
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge for reading")]
    fn show(&self) {
        self.gauge.set(self.used() as f64);
    }

    /// Bytes charged.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// No room: stop fetching.
    pub fn is_full(&self) -> bool {
        self.used() >= self.limit
    }

    /// Enough room to fetch again: below 70 %. The gap keeps pausing rare, since pausing throws away
    /// what the client has prefetched.
    pub fn has_room(&self) -> bool {
        self.used() <= self.limit / 10 * 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetching_stops_at_the_limit_and_resumes_well_below_it() {
        let budget = Budget::new(1000);
        budget.charge(999);
        assert!(!budget.is_full() && !budget.has_room());
        budget.charge(1);
        assert!(budget.is_full());
        budget.release(300);
        assert!(budget.has_room());
        assert_eq!(budget.used(), 700);
    }
}
