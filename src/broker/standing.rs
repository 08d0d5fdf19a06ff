//! Are the partitions that we are about to commit for still ours? Pure.
//!
//! The brokers refuse a commit of a member that the group has given up, but they look at the membership
//! only, not at who owns a partition. A process that stood still for longer than its session, in the middle
//! of a rebalance, can come back, join again with a new member id, and go on holding partitions that
//! others have worked on meanwhile, without the client ever saying that they were lost (librdkafka 2.12;
//! found by `tests/faults`, `processes_frozen_until_others_have_their_work`). Its commits are then accepted.
//!
//! So who has not committed for a while, or was refused, asks the coordinator first: what does the group say
//! that we own, and where do its committed offsets stand? The metadata that the commit will carry are
//! taken *before* the question: whoever takes a partition over later makes them stale, and the brokers refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::TopicPartition;
use super::ledger::PrefixEnd;

/// What the coordinator said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partitions that are ours.
    pub owned: Owned,
    /// Committed offsets; a partition without one is missing.
    pub committed: BTreeMap<TopicPartition, i64>,
}

/// The partitions that are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    /// These, and no others.
    These(BTreeSet<TopicPartition>),
    /// A rebalance is under way: ask again.
    Unsettled,
    /// The coordinator cannot tell; the committed offsets must do.
    Unknown,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// All partitions are ours, and nobody has committed in our place.
    Holds,
    /// Not to be known at present.
    Open,
    /// A partition went to another member, or another has committed records that we still hold.
    Lost,
}

impl Standing {
    /// Whether a batch that ends there may be committed.
    pub fn right(&self, ends: &[PrefixEnd]) -> Right {
        let overtaken = |end: &PrefixEnd| {
            self.committed.get(&end.partition).is_some_and(|at| *at > end.first_offset)
        };
        if ends.iter().any(overtaken) {
            return Right::Lost;
        }
        match &self.owned {
            Owned::Unsettled => Right::Open,
            Owned::These(owned) if ends.iter().any(|end| !owned.contains(&end.partition)) => {
                Right::Lost
            }
            Owned::These(_) | Owned::Unknown => Right::Holds,
        }
    }
}

/// Whether a member id is that of a static member: the coordinator makes it of the instance id, a hyphen
/// and a UUID (`GroupMetadata.generateMemberId` in Apache Kafka).
pub fn is_member_of(member_id: &str, instance: &str) -> bool {
    const UUID: usize = 36;
    member_id
        .strip_prefix(instance)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|uuid| uuid.len() == UUID)
}

/// Reads a member's assignment: Kafka's `ConsumerProtocolAssignment`, whose partitions stand in the same
/// place in all its versions. `None` when it is cut short. No bytes are no partitions.
pub fn read_assignment(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = bytes;
    take::<2>(&mut rest)?;
    let mut partitions = Vec::new();
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        let topic = std::str::from_utf8(name).ok()?;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            partitions.push((topic.to_owned(), i32::from_be_bytes(take(&mut rest)?)));
        }
    }
    Some(partitions)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    fn standing(owned: Owned, committed: &[(i32, i64)]) -> Standing {
        let committed = committed.iter().map(|(number, at)| (partition(*number), *at)).collect();
        Standing { owned, committed }
    }

    #[test]
    fn who_was_overtaken_has_lost_whatever_the_group_says() {
        for owned in [Owned::Unknown, Owned::Unsettled, Owned::These([partition(0)].into())] {
            assert_eq!(standing(owned, &[(0, 11)]).right(&[end(0, 10)]), Right::Lost);
        }
        // Where it was committed last is where we go on; gaps are those of control records.
        assert_eq!(standing(Owned::Unknown, &[(0, 10)]).right(&[end(0, 10)]), Right::Holds);
        assert_eq!(standing(Owned::Unknown, &[(0, 7)]).right(&[end(0, 10)]), Right::Holds);
        assert_eq!(standing(Owned::Unknown, &[]).right(&[end(0, 10)]), Right::Holds);
    }

    #[test]
    fn a_partition_that_is_anothers_is_lost_and_a_rebalance_is_waited_for() {
        let ours = Owned::These([partition(0)].into());
        assert_eq!(standing(ours.clone(), &[]).right(&[end(0, 0)]), Right::Holds);
        assert_eq!(standing(ours, &[]).right(&[end(0, 0), end(1, 0)]), Right::Lost);
        assert_eq!(standing(Owned::Unsettled, &[]).right(&[end(0, 0)]), Right::Open);
    }

    #[test]
    fn a_static_member_is_known_by_its_instance_id() {
        let uuid = "6f1c2f3e-8f0a-4b6e-9b59-1f6a2b3c4d5e";
        assert!(is_member_of(&format!("pod-1-{uuid}"), "pod-1"));
        assert!(!is_member_of(&format!("pod-1-{uuid}"), "pod"), "another's");
        assert!(!is_member_of(&format!("pod-12-{uuid}"), "pod-1"));
    }

    #[test]
    fn an_assignment_is_read_and_a_cut_one_is_not() {
        let mut bytes = vec![0, 3, 0, 0, 0, 1, 0, 2, b'i', b'n', 0, 0, 0, 2];
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff]);
        let expected = vec![("in".to_owned(), 4), ("in".to_owned(), 5)];
        assert_eq!(read_assignment(&bytes), Some(expected));
        assert_eq!(read_assignment(&bytes[..20]), None);
        assert_eq!(read_assignment(&[]), Some(vec![]));
    }
}
