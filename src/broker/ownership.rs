//! Does every partition have an owner, and who sees to it if not? Pure.
//!
//! The cooperative protocol moves a partition in two rebalances: in the first its owner gives it up, in the
//! second, for which that owner asks, another gets it (KIP-429). An owner that is killed between the two and
//! comes back under its name within its session gets its old place without a rebalance (KIP-345) and knows
//! nothing of the second one. What it had given up then belongs to nobody, for as long as the group stays as it
//! is. So processes with a name look from time to time whether every partition has an owner. One that sees the
//! same gap in several looks leaves the group and joins it again, which makes all of them divide anew.

use std::collections::BTreeSet;

use super::TopicPartition;
use super::division::Division;

/// Looks at the same gap before the first member acts. One could fall between two rebalances.
const LOOKS: u32 = 2;
/// Rejoining that does not help is repeated after twice as many looks each time, but doubled so often at most.
const MOST_DOUBLINGS: u32 = 6;
/// A static member's id is its name, a hyphen and a UUID of this length.
const UUID_LENGTH: usize = 36;

/// What one member has seen of its group.
#[derive(Debug)]
pub struct Ownership {
    /// Our name in the group; `None`: membership is dynamic, we cannot tell which member we are.
    instance: Option<String>,
    /// What the last look saw: the members, and the partitions without an owner.
    seen: (BTreeSet<String>, BTreeSet<TopicPartition>),
    /// Looks in a row that saw just that.
    looks: u32,
    /// Times that we have rejoined for it.
    rejoined: u32,
}

impl Ownership {
    /// Nothing is seen yet. `instance`: our `group.instance.id`.
    pub fn new(instance: Option<&str>) -> Self {
        Self { instance: instance.map(str::to_owned), seen: <_>::default(), looks: 0, rejoined: 0 }
    }

    /// Takes a look at the stable group: whether we are to leave it and join it again.
    pub fn must_rejoin(&mut self, division: &Division) -> bool {
        let unowned = division.unowned();
        if unowned.is_empty() {
            (self.looks, self.rejoined) = (0, 0);
            return false;
        }
        let seen = (division.members.keys().cloned().collect(), unowned);
        self.looks = if seen == self.seen { self.looks.saturating_add(1) } else { 1 };
        self.seen = seen;
        // One member is enough. Should the first not do it, perhaps for being an older build, it is the next.
        let Some(rank) = self.rank(division) else { return false };
        if self.looks < (LOOKS + rank) << self.rejoined {
            return false;
        }
        self.looks = 0;
        self.rejoined = (self.rejoined + 1).min(MOST_DOUBLINGS);
        true
    }

    /// How many members come before us: first those that own something, then by member id.
    fn rank(&self, division: &Division) -> Option<u32> {
        let instance = self.instance.as_deref()?;
        let mut members: Vec<_> =
            division.members.iter().map(|(id, owned)| (owned.is_empty(), id)).collect();
        members.sort_unstable();
        let ours = members.iter().position(|(_, id)| is_of(id, instance))?;
        u32::try_from(ours).ok()
    }
}

fn is_of(member_id: &str, instance: &str) -> bool {
    member_id
        .strip_prefix(instance)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|uuid| uuid.len() == UUID_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b8d2f4e-8a1c-4d0e-9a58-3f6f0c1d2e3f";

    /// A group that should own partitions 0 to 5.
    fn division(members: &[(&str, &[i32])]) -> Division {
        let partitions = |numbers: &[i32]| {
            let one = |number: &i32| TopicPartition { topic: "in".into(), partition: *number };
            numbers.iter().map(one).collect::<BTreeSet<_>>()
        };
        Division {
            members: members
                .iter()
                .map(|(name, owned)| (format!("{name}-{UUID}"), partitions(owned)))
                .collect(),
            partitions: partitions(&[0, 1, 2, 3, 4, 5]),
        }
    }

    /// In which of so many looks at the same group this member rejoins, counted from 1.
    fn rejoins(instance: Option<&str>, division: &Division, looks: usize) -> Vec<usize> {
        let mut ownership = Ownership::new(instance);
        (1..=looks).filter(|_| ownership.must_rejoin(division)).collect()
    }

    #[test]
    fn one_member_sees_to_partitions_without_an_owner_and_the_next_if_it_does_not() {
        let gap = division(&[("p1", &[]), ("p2", &[3, 4, 5])]);
        assert_eq!(rejoins(Some("p2"), &gap, 2), [2], "it owns some, so it comes first");
        assert_eq!(rejoins(Some("p1"), &gap, 3), [3]);
        assert_eq!(rejoins(Some("p"), &gap, 50), [0; 0], "not in this group");
        assert_eq!(rejoins(None, &gap, 50), [0; 0], "which of them we are we cannot tell");
        let none = division(&[("p1", &[]), ("p10", &[])]);
        assert_eq!(rejoins(Some("p1"), &none, 2), [2], "some member, where nobody owns any");
        assert_eq!(rejoins(Some("p10"), &none, 3), [3]);
    }

    #[test]
    fn a_group_without_a_gap_is_left_alone() {
        let whole = division(&[("p1", &[0, 1, 2]), ("p2", &[3, 4, 5])]);
        assert_eq!(rejoins(Some("p1"), &whole, 50), [0; 0]);
    }

    #[test]
    fn only_a_gap_that_stays_counts() {
        let (one, other) = (division(&[("p1", &[0, 1, 2])]), division(&[("p1", &[3, 4, 5])]));
        let mut ownership = Ownership::new(Some("p1"));
        for _ in 0..20 {
            assert!(!ownership.must_rejoin(&one));
            assert!(!ownership.must_rejoin(&other));
        }
        assert!(ownership.must_rejoin(&other));
    }

    #[test]
    fn rejoining_that_does_not_help_becomes_rare_and_a_whole_group_forgives_it() {
        let gap = division(&[("p1", &[3, 4, 5])]);
        assert_eq!(rejoins(Some("p1"), &gap, 62), [2, 6, 14, 30, 62]);
        assert_eq!(rejoins(Some("p1"), &gap, 1_000).len(), 12, "and no rarer than every 128 looks");

        let mut ownership = Ownership::new(Some("p1"));
        let mut looks = |division: &Division, count| {
            (0..count).filter(|_| ownership.must_rejoin(division)).count()
        };
        assert_eq!(looks(&gap, 30), 4);
        assert_eq!(looks(&division(&[("p1", &[0, 1, 2, 3, 4, 5])]), 1), 0);
        assert_eq!(looks(&gap, 2), 1);
    }
}
