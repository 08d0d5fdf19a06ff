//! What may be committed. No I/O, no clock.
//!
//! Records finish in any order; they are published and committed in the order of their partition.
//! The ledger holds finished records until all before them have finished too.
//!
//! Invariants: the commit point never passes a record that has not finished; a record of another
//! assignment than the current one is never taken in; taking a prefix does not remove it, only
//! [`Ledger::advance`] does, so that an aborted transaction repeats the same records from memory.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Ticket, TopicPartition};
use crate::planted::{Bug, is_planted};

/// Something finished, with its size for the transaction's byte limit.
pub trait Weigh {
    /// Bytes that it will add to a transaction.
    fn weight(&self) -> usize;
}

/// Finished records per partition, waiting for their turn.
#[derive(Debug)]
pub struct Ledger<T> {
    partitions: BTreeMap<TopicPartition, Lane<T>>,
    /// Highest epoch of each partition that was revoked or lost.
    closed: HashMap<TopicPartition, u64>,
    /// Records that could be committed now, and their bytes.
    ready: (usize, usize),
}

#[derive(Debug)]
struct Lane<T> {
    epoch: u64,
    /// Sequence of `ready.front()`, or of the record awaited next.
    next: u64,
    /// Finished and contiguous.
    ready: VecDeque<(i64, T)>,
    /// Finished, but something before them has not.
    early: BTreeMap<u64, (i64, T)>,
}

/// A contiguous finished prefix over all partitions: what one transaction may hold.
#[derive(Debug)]
pub struct Prefix<'a, T> {
    /// Finished records in partition order.
    pub items: Vec<&'a T>,
    /// How many of each partition, and the offset to commit for it (last + 1).
    pub ends: Vec<PrefixEnd>,
}

/// Where a prefix ends in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixEnd {
    /// The partition.
    pub partition: TopicPartition,
    /// Its assignment.
    pub epoch: u64,
    /// Number of records in the prefix.
    pub records: usize,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset to commit: the last record's + 1.
    pub next_offset: i64,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { partitions: BTreeMap::new(), closed: HashMap::new(), ready: (0, 0) }
    }
}

impl<T: Weigh> Ledger<T> {
    /// Takes in a finished record. Returns it back when its assignment has ended.
    ///
    /// # Errors
    /// The record itself, when it belongs to an assignment that was revoked or lost.
    pub fn finish(&mut self, ticket: &Ticket, item: T) -> Result<(), T> {
        let closed = self.closed.get(&ticket.partition);
        if closed.is_some_and(|closed| ticket.epoch <= *closed) && !is_planted(Bug::SkipEpochCheck)
        {
            return Err(item);
        }
        let lane = self.partitions.entry(ticket.partition.clone()).or_insert_with(|| Lane {
            epoch: ticket.epoch,
            next: 0,
            ready: VecDeque::new(),
            early: BTreeMap::new(),
        });
        if ticket.epoch > lane.epoch && planted_leak() {
            lane.epoch = ticket.epoch;
            lane.next = ticket.sequence;
        }
        if ticket.epoch != lane.epoch && !is_planted(Bug::SkipEpochCheck) {
            // A newer assignment without a revocation in between cannot be: the older one is
            // closed first. An older one is stale.
            return Err(item);
        }
        lane.early.insert(ticket.sequence, (ticket.offset, item));
        while let Some(entry) = lane.early.remove(&lane.next) {
            self.ready.0 += 1;
            self.ready.1 = self.ready.1.saturating_add(entry.1.weight());
            lane.ready.push_back(entry);
            lane.next += 1;
        }
        Ok(())
    }

    /// The finished prefix, at most `max_records` and `max_bytes` (but at least one record if any
    /// is ready).
    pub fn prefix(&self, max_records: usize, max_bytes: usize) -> Prefix<'_, T> {
        let mut prefix = Prefix { items: Vec::new(), ends: Vec::new() };
        let mut bytes = 0usize;
        for (partition, lane) in &self.partitions {
            let mut taken = 0usize;
            let mut next_offset = 0;
            for (offset, item) in &lane.ready {
                let weight = item.weight();
                let full = prefix.items.len() >= max_records
                    || (bytes.saturating_add(weight) > max_bytes && !prefix.items.is_empty());
                if full {
                    break;
                }
                bytes = bytes.saturating_add(weight);
                prefix.items.push(item);
                taken += 1;
                next_offset = offset + 1;
            }
            if taken > 0 {
                prefix.ends.push(PrefixEnd {
                    partition: partition.clone(),
                    epoch: lane.epoch,
                    records: taken,
                    first_offset: lane.ready.front().map_or(next_offset, |(offset, _)| *offset),
                    next_offset,
                });
            }
        }
        prefix
    }

    /// Removes a committed prefix and returns its records in order.
    pub fn advance(&mut self, ends: &[PrefixEnd]) -> Vec<T> {
        let mut done = Vec::new();
        for end in ends {
            if let Some(lane) = self.partitions.get_mut(&end.partition)
                && lane.epoch == end.epoch
            {
                let count = end.records.min(lane.ready.len());
                done.extend(lane.ready.drain(..count).map(|(_, item)| item));
            }
        }
        let bytes: usize = done.iter().map(Weigh::weight).sum();
        self.ready = (self.ready.0 - done.len(), self.ready.1.saturating_sub(bytes));
        done
    }

    /// Forgets a partition that was revoked or lost, up to and including assignment `epoch`.
    /// Returns what had finished but was not committed: another member will do it again.
    pub fn close(&mut self, partition: &TopicPartition, epoch: u64) -> Vec<T> {
        self.closed.insert(partition.clone(), epoch);
        let Some(lane) = self.partitions.remove(partition) else { return Vec::new() };
        let bytes: usize = lane.ready.iter().map(|(_, item)| item.weight()).sum();
        self.ready = (self.ready.0 - lane.ready.len(), self.ready.1.saturating_sub(bytes));
        lane.ready.into_iter().chain(lane.early.into_values()).map(|(_, item)| item).collect()
    }

    /// Forgets every partition up to and including its present assignment. Returns what had finished.
    pub fn close_all(&mut self) -> Vec<T> {
        let open: Vec<_> = self
            .partitions
            .iter()
            .map(|(partition, lane)| (partition.clone(), lane.epoch))
            .collect();
        open.iter().flat_map(|(partition, epoch)| self.close(partition, *epoch)).collect()
    }

    /// Records that could be committed now, and their bytes.
    pub const fn ready(&self) -> (usize, usize) {
        self.ready
    }

    /// Everything held, ready or early, removed.
    pub fn drain(&mut self) -> Vec<T> {
        self.ready = (0, 0);
        std::mem::take(&mut self.partitions)
            .into_values()
            .flat_map(|lane| lane.ready.into_iter().chain(lane.early.into_values()))
            .map(|(_, item)| item)
            .collect()
    }
}

/// Lanes outlive their assignment: the next one must find its way into them.
fn planted_leak() -> bool {
    is_planted(Bug::LeakPastRevocation) || is_planted(Bug::IgnoreLostAssignment)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Item(u64);

    impl Weigh for Item {
        fn weight(&self) -> usize {
            10
        }
    }

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: Arc::from("in"), partition: number }
    }

    fn ticket(number: i32, sequence: u64, epoch: u64) -> Ticket {
        // Offsets have gaps: twice the sequence.
        Ticket { partition: partition(number), offset: 2 * sequence as i64, sequence, epoch }
    }

    #[test]
    fn a_record_waits_for_all_before_it() {
        let mut ledger = Ledger::default();
        ledger.finish(&ticket(0, 1, 1), Item(1)).unwrap();
        assert!(ledger.prefix(10, 1000).items.is_empty());
        ledger.finish(&ticket(0, 0, 1), Item(0)).unwrap();
        let prefix = ledger.prefix(10, 1000);
        assert_eq!(prefix.items, [&Item(0), &Item(1)]);
        assert_eq!(prefix.ends[0].next_offset, 3, "last offset 2, plus one");
    }

    #[test]
    fn taking_a_prefix_twice_gives_the_same_and_advancing_removes_it() {
        let mut ledger = Ledger::default();
        for sequence in 0..3 {
            ledger.finish(&ticket(0, sequence, 1), Item(sequence)).unwrap();
        }
        let first = ledger.prefix(2, 1000).ends;
        assert_eq!(first, ledger.prefix(2, 1000).ends);
        assert_eq!(ledger.advance(&first), [Item(0), Item(1)]);
        assert_eq!(ledger.prefix(2, 1000).items, [&Item(2)]);
    }

    #[test]
    fn the_byte_limit_lets_one_large_record_through() {
        let mut ledger = Ledger::default();
        ledger.finish(&ticket(0, 0, 1), Item(0)).unwrap();
        ledger.finish(&ticket(0, 1, 1), Item(1)).unwrap();
        assert_eq!(ledger.prefix(10, 5).items.len(), 1);
        assert_eq!(ledger.prefix(10, 19).items.len(), 1);
        assert_eq!(ledger.prefix(10, 20).items.len(), 2);
    }

    #[test]
    fn results_of_a_closed_assignment_are_handed_back() {
        let mut ledger = Ledger::default();
        ledger.finish(&ticket(0, 0, 1), Item(0)).unwrap();
        ledger.finish(&ticket(0, 2, 1), Item(2)).unwrap();
        assert_eq!(ledger.close(&partition(0), 1).len(), 2);
        assert_eq!(ledger.finish(&ticket(0, 1, 1), Item(1)), Err(Item(1)));
        // The same partition comes back with a new epoch and starts at sequence 0.
        ledger.finish(&ticket(0, 0, 2), Item(7)).unwrap();
        assert_eq!(ledger.prefix(10, 1000).items, [&Item(7)]);
    }

    #[test]
    fn after_all_is_closed_only_new_assignments_count() {
        let mut ledger = Ledger::default();
        ledger.finish(&ticket(0, 0, 1), Item(0)).unwrap();
        ledger.finish(&ticket(1, 1, 4), Item(1)).unwrap();
        assert_eq!(ledger.close_all(), [Item(0), Item(1)]);
        assert_eq!(ledger.ready(), (0, 0));
        assert_eq!(ledger.finish(&ticket(1, 0, 4), Item(2)), Err(Item(2)));
        ledger.finish(&ticket(1, 0, 5), Item(3)).unwrap();
        let ends = ledger.prefix(10, 1000).ends;
        assert_eq!((ends[0].first_offset, ends[0].next_offset), (0, 1));
    }

    #[test]
    fn a_prefix_of_a_closed_assignment_advances_nothing() {
        let mut ledger = Ledger::default();
        ledger.finish(&ticket(0, 0, 1), Item(0)).unwrap();
        let ends = ledger.prefix(10, 1000).ends;
        ledger.close(&partition(0), 1);
        ledger.finish(&ticket(0, 0, 2), Item(9)).unwrap();
        assert!(ledger.advance(&ends).is_empty());
        assert_eq!(ledger.ready(), (1, 10));
    }

    proptest! {
        /// Whatever the order of finishing, committing and revoking, what is committed per
        /// assignment is 0, 1, 2, ... without a gap, and every record comes out exactly once.
        #[test]
        fn commits_are_gapless_and_nothing_is_lost_or_doubled(
            order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle(),
            commits in proptest::collection::vec(1usize..6, 40),
            revoke_at in 0usize..60,
        ) {
            let mut ledger = Ledger::default();
            let mut committed = Vec::new();
            let mut returned = Vec::new();
            for (step, sequence) in order.iter().enumerate() {
                if step == revoke_at {
                    returned.extend(ledger.close(&partition(0), 1));
                }
                if let Err(item) = ledger.finish(&ticket(0, *sequence, 1), Item(*sequence)) {
                    returned.push(item);
                }
                let ends = ledger.prefix(commits[step], 1000).ends;
                let before = committed.len() as i64;
                committed.extend(ledger.advance(&ends));
                for end in &ends {
                    prop_assert_eq!(end.next_offset, 2 * (before + end.records as i64 - 1) + 1);
                }
            }
            let sequences: Vec<u64> = committed.iter().map(|item| item.0).collect();
            prop_assert_eq!(&sequences, &(0..committed.len() as u64).collect::<Vec<_>>());
            returned.extend(ledger.drain());
            let mut all: Vec<u64> = returned.iter().map(|item| item.0).chain(sequences).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..40u64).collect::<Vec<_>>());
        }
    }
}
