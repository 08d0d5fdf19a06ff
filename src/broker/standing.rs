//! Are the partitions that we are about to commit for still ours? Pure, but for the metadata it carries.
//!
//! The brokers refuse a commit whose member and generation are not those of the group (KIP-447), but they do
//! not look at who owns a partition. A process that stood still for longer than its session, in the middle of
//! a rebalance, comes back, is let in anew, and goes on holding partitions that others have worked on
//! meanwhile, without the client ever saying that they were lost (librdkafka 2.12; found by `tests/faults`,
//! `processes_frozen_until_others_have_their_work`). Two rules keep its work out:
//!
//! * A commit carries the member and generation of the *assignment* by which the records were fetched, not
//!   those of the moment: between joining anew and the new assignment the brokers refuse it.
//! * An assignment that keeps a partition says nothing about who had it in between. So before the first
//!   commit for a partition in each assignment its committed offset is looked up: nobody may have passed us.
//!   After that the generation vouches for it.
//!
//! For the same reason nothing is committed when partitions are revoked: by then the generation is a new one,
//! and whether the one before it was ours, the client does not say. Their next owner does it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::consumer::ConsumerGroupMetadata;

use super::TopicPartition;
use super::ledger::PrefixEnd;

/// What we are in the group, by one assignment.
#[derive(Clone)]
pub struct Membership {
    /// Number of the assignment, counted in this process.
    pub assignment: u64,
    /// The group metadata that a transaction must carry.
    pub metadata: Arc<ConsumerGroupMetadata>,
}

/// The partitions that were compared with the committed offsets since an assignment.
#[derive(Debug, Default)]
pub struct Compared {
    assignment: u64,
    partitions: BTreeSet<TopicPartition>,
}

impl Compared {
    /// The ends whose partitions have not been compared in this assignment.
    pub fn doubtful(&mut self, assignment: u64, ends: &[PrefixEnd]) -> Vec<PrefixEnd> {
        if self.assignment != assignment {
            self.assignment = assignment;
            self.partitions.clear();
        }
        ends.iter().filter(|end| !self.partitions.contains(&end.partition)).cloned().collect()
    }

    /// Whether nobody has committed what we still hold; if so, it is not asked again in this assignment.
    /// `committed`: a partition without a committed offset is missing.
    pub fn holds(
        &mut self,
        doubtful: &[PrefixEnd],
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> bool {
        let passed = |end: &PrefixEnd| {
            committed.get(&end.partition).is_some_and(|at| *at > end.first_offset)
        };
        if doubtful.iter().any(passed) {
            return false;
        }
        self.partitions.extend(doubtful.iter().map(|end| end.partition.clone()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: Arc::from("in"), partition: number }
    }

    fn end(number: i32, first_offset: i64) -> PrefixEnd {
        PrefixEnd {
            partition: partition(number),
            epoch: 1,
            records: 3,
            first_offset,
            next_offset: first_offset + 3,
        }
    }

    fn holds(committed: &[(i32, i64)], ends: &[PrefixEnd]) -> bool {
        let committed = committed.iter().map(|(number, at)| (partition(*number), *at)).collect();
        Compared::default().holds(ends, &committed)
    }

    #[test]
    fn who_was_passed_holds_nothing() {
        assert!(!holds(&[(0, 11)], &[end(0, 10)]));
        assert!(!holds(&[(1, 11)], &[end(0, 10), end(1, 10)]), "one transaction serves all");
        // Where it was committed last is where we go on; gaps are those of control records.
        assert!(holds(&[(0, 10)], &[end(0, 10)]));
        assert!(holds(&[(0, 7)], &[end(0, 10)]));
        assert!(holds(&[], &[end(0, 10)]));
    }

    #[test]
    fn each_partition_is_compared_once_in_each_assignment() {
        let mut compared = Compared::default();
        let both = [end(0, 10), end(1, 10)];
        let (zero, one) = both.split_at(1);
        assert_eq!(compared.doubtful(1, zero), zero);
        assert!(compared.holds(zero, &BTreeMap::new()));
        assert_eq!(compared.doubtful(1, &both), one, "not yet compared");
        assert!(!compared.holds(one, &[(partition(1), 99)].into()));
        assert_eq!(compared.doubtful(1, &both), one, "and not while it is passed");
        assert_eq!(compared.doubtful(2, &both), both, "another assignment");
    }
}
