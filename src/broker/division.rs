//! How a group divides its topics' partitions, as the group's coordinator tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupInfo;

use super::TopicPartition;

/// The state of a group whose members have all been told what is theirs.
const STABLE: &str = "Stable";

/// A stable group's members with their partitions, and all partitions that should be theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// By member id.
    pub members: BTreeMap<String, BTreeSet<TopicPartition>>,
    /// Every partition of the topics.
    pub partitions: BTreeSet<TopicPartition>,
}

impl Division {
    /// The partitions that belong to nobody.
    pub fn unowned(&self) -> BTreeSet<TopicPartition> {
        let owned: BTreeSet<&TopicPartition> = self.members.values().flatten().collect();
        self.partitions.iter().filter(|one| !owned.contains(one)).cloned().collect()
    }
}

/// Asks the cluster. `None`: the group is not stable, or the cluster knows no such group.
///
/// # Errors
/// Not every broker answered in time: the client asks all of them which groups they have.
pub fn ask(
    client: &BaseConsumer<impl ConsumerContext>,
    group: &str,
    topics: &[String],
    timeout: Duration,
) -> KafkaResult<Option<Division>> {
    let deadline = Instant::now() + timeout;
    let remaining = || deadline.saturating_duration_since(Instant::now());
    let mut partitions = BTreeSet::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), remaining())?;
        let topic: Arc<str> = Arc::from(topic.as_str());
        for found in metadata.topics().iter().filter(|found| *found.name() == *topic) {
            let numbers = found.partitions().iter().map(|one| one.id());
            partitions.extend(
                numbers.map(|partition| TopicPartition { topic: Arc::clone(&topic), partition }),
            );
        }
    }
    let groups = client.fetch_group_list(Some(group), remaining())?;
    Ok(groups
        .groups()
        .iter()
        .find(|found| found.name() == group && found.state() == STABLE)
        .and_then(members)
        .map(|members| Division { members, partitions }))
}

/// `None` when a member's assignment cannot be read: who owns what is then unknown.
fn members(group: &GroupInfo) -> Option<BTreeMap<String, BTreeSet<TopicPartition>>> {
    group
        .members()
        .iter()
        .map(|member| {
            let assignment = member.assignment().unwrap_or_default();
            Some((member.id().to_owned(), read_assignment(assignment)?))
        })
        .collect()
}

/// Reads a member's assignment: version (int16), then an array of topic (string) and partitions (array of
/// int32), then user data, which is not looked at. Alike in versions 0 to 3 of Kafka's
/// `ConsumerProtocolAssignment.json`. Nothing at all is an empty assignment.
///
/// Read here, and not with the crate `kafka-protocol`, because that reserves memory for as many elements as
/// the sender says (0.18).
fn read_assignment(bytes: &[u8]) -> Option<BTreeSet<TopicPartition>> {
    if bytes.is_empty() {
        return Some(BTreeSet::new());
    }
    let mut rest = bytes;
    let [_, _] = take(&mut rest)?;
    let mut partitions = BTreeSet::new();
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        let topic: Arc<str> = Arc::from(std::str::from_utf8(name).ok()?);
        rest = after;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            let partition = i32::from_be_bytes(take(&mut rest)?);
            partitions.insert(TopicPartition { topic: Arc::clone(&topic), partition });
        }
    }
    Some(partitions)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partitions(topic: &str, numbers: &[i32]) -> BTreeSet<TopicPartition> {
        let topic: Arc<str> = Arc::from(topic);
        numbers
            .iter()
            .map(|number| TopicPartition { topic: Arc::clone(&topic), partition: *number })
            .collect()
    }

    /// As the leader of a group writes it.
    fn written(version: i16, topics: &[(&str, &[i32])]) -> Vec<u8> {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
        for (topic, numbers) in topics {
            bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(i32::try_from(numbers.len()).unwrap().to_be_bytes());
            bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        }
        // User data: none.
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    }

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        assert_eq!(read_assignment(&[]), Some(BTreeSet::new()));
        assert_eq!(read_assignment(&written(0, &[])), Some(BTreeSet::new()));
        let mut both = partitions("in", &[0, 5]);
        both.extend(partitions("more", &[2]));
        assert_eq!(read_assignment(&written(3, &[("in", &[0, 5]), ("more", &[2])])), Some(both));
    }

    #[test]
    fn an_assignment_cut_short_or_with_lies_about_its_length_is_not_read() {
        let whole = written(1, &[("in", &[0, 5])]);
        // The last four bytes are the user data.
        for end in 1..whole.len() - 4 {
            assert_eq!(read_assignment(whole.get(..end).unwrap()), None, "{end}");
        }
        let mut endless = 0_i16.to_be_bytes().to_vec();
        endless.extend(i32::MAX.to_be_bytes());
        assert_eq!(read_assignment(&endless), None);
    }

    #[test]
    fn what_no_member_has_is_unowned() {
        let division = Division {
            members: [
                ("a".to_owned(), partitions("in", &[3, 4, 5])),
                ("b".to_owned(), partitions("other", &[0])),
                ("c".to_owned(), BTreeSet::new()),
            ]
            .into(),
            partitions: partitions("in", &[0, 1, 3, 4, 5]),
        };
        assert_eq!(division.unowned(), partitions("in", &[0, 1]));
    }

    proptest! {
        #[test]
        fn whatever_a_member_holds_is_read_or_refused(bytes in any::<Vec<u8>>()) {
            let read = read_assignment(&bytes);
            prop_assert!(read.is_none_or(|read| read.len() <= bytes.len() / 4));
        }
    }
}
