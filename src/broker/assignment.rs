//! What the group has given us, and where we stand in it. No I/O.
//!
//! Outlives the client: a client that has given up is replaced by another, and tickets of the one must not
//! be taken for tickets of the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::statistics::Statistics;

use super::ledger::PrefixEnd;
use super::standing::Membership;
use super::{Ticket, TopicPartition};
use crate::planted::{Bug, is_planted};
use crate::telemetry::names;

/// Told of changes of the assignment, on the poll thread, before they take effect.
pub trait AssignmentListener: Send + Sync {
    /// Partitions are ours from now on.
    fn assigned(&self, partitions: &[TopicPartition]);

    /// Partitions (with their epochs) are about to go. Returns when no commit for them is under way
    /// and none will follow. `lost`: they belong to someone else already.
    fn revoked(&self, partitions: &[(TopicPartition, u64)], lost: bool);
}

/// Ends of partitions beyond which nothing is read.
pub type Ends = BTreeMap<TopicPartition, i64>;

/// A record that comes again, or from before: its partition was truncated or reset.
#[derive(Debug, thiserror::Error)]
#[error("{partition:?} went backwards to offset {offset}: the topic was truncated or recreated")]
pub struct Backwards {
    /// Which partition.
    pub partition: TopicPartition,
    /// The offset that came.
    pub offset: i64,
}

/// Where we stand in one assigned partition.
#[derive(Clone, Copy, Debug)]
struct Position {
    epoch: u64,
    next_sequence: u64,
    /// Offset of the record handed out last.
    last_offset: Option<i64>,
    /// The partition's end was reached after that record.
    at_end: bool,
    /// The end that librdkafka last reported with nothing left in its queue.
    eof_offset: i64,
    /// What we committed last, in this assignment.
    committed: Option<i64>,
    /// Statistics seen in this assignment.
    statistics: u32,
    /// Since when the client does not fetch it, though it is ours: it does not know where to begin.
    unfetched_since: Option<Instant>,
}

/// The partitions that are ours.
pub struct Assignment {
    listener: Arc<dyn AssignmentListener>,
    stop_at: Option<Ends>,
    positions: Mutex<BTreeMap<TopicPartition, Position>>,
    topics: Mutex<HashMap<String, Arc<str>>>,
    epochs: AtomicU64,
    paused: AtomicBool,
    /// What we are in the group by our last assignment; none between a revocation and the next.
    membership: Mutex<Option<Membership>>,
    assignments: AtomicU64,
    settled: AtomicBool,
}

impl Assignment {
    /// Nothing is ours yet. With `stop_at`, records at or beyond those offsets are not handed out.
    pub fn new(listener: Arc<dyn AssignmentListener>, stop_at: Option<Ends>) -> Self {
        Self {
            listener,
            stop_at,
            positions: Mutex::default(),
            topics: Mutex::default(),
            epochs: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            membership: Mutex::new(None),
            assignments: AtomicU64::new(0),
            settled: AtomicBool::new(false),
        }
    }

    /// The one copy of a topic's name.
    pub fn intern(&self, topic: &str) -> Arc<str> {
        let mut topics = self.topics.lock();
        if let Some(known) = topics.get(topic) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(topic);
        topics.insert(topic.to_owned(), Arc::clone(&name));
        name
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        list.elements()
            .iter()
            .map(|e| TopicPartition { topic: self.intern(e.topic()), partition: e.partition() })
            .collect()
    }

    /// The group has given us these, and what we had we keep. `metadata`: what we are by this assignment.
    pub fn add(&self, list: &TopicPartitionList, metadata: Option<ConsumerGroupMetadata>) {
        let partitions = self.partitions(list);
        {
            let mut positions = self.positions.lock();
            for partition in &partitions {
                let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
                positions.insert(
                    partition.clone(),
                    Position {
                        epoch,
                        next_sequence: 0,
                        last_offset: None,
                        at_end: false,
                        eof_offset: -1,
                        committed: None,
                        statistics: 0,
                        unfetched_since: None,
                    },
                );
            }
        }
        // Now, and not when it is committed: see `standing`.
        *self.membership.lock() = metadata.map(|metadata| Membership {
            assignment: self.assignments.fetch_add(1, Ordering::Relaxed) + 1,
            metadata: Arc::new(metadata),
        });
        self.listener.assigned(&partitions);
    }

    /// The group takes these away. Returns when nothing of them is or will be committed.
    pub fn remove(&self, list: &TopicPartitionList, lost: bool) {
        let going = self.partitions(list);
        self.forget(lost, |partition| going.contains(partition));
    }

    /// The same for all that is ours, because the client that had it is given up.
    pub fn remove_all(&self) {
        self.forget(true, |_| true);
    }

    fn forget(&self, lost: bool, goes: impl Fn(&TopicPartition) -> bool) {
        *self.membership.lock() = None;
        let going: Vec<(TopicPartition, u64)> = {
            let positions = self.positions.lock();
            let going = positions.iter().filter(|(partition, _)| goes(partition));
            going.map(|(partition, position)| (partition.clone(), position.epoch)).collect()
        };
        self.listener.revoked(&going, lost);
        let mut positions = self.positions.lock();
        for (partition, _) in &going {
            positions.remove(partition);
            // Its lag is the next owner's to tell; a stale figure would raise an alarm, and the
            // exporter cannot drop the series.
            set_lag(partition, 0);
        }
    }

    /// What we are in the group by our last assignment.
    pub fn membership(&self) -> Option<Membership> {
        self.membership.lock().clone()
    }

    /// Whether what is assigned is to be fetched now.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Says so, for what is assigned later.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// A ticket for a record. `None` when its partition is not ours (any more).
    ///
    /// # Errors
    /// The partition went backwards within one assignment.
    pub fn issue(
        &self,
        partition: TopicPartition,
        offset: i64,
    ) -> Result<Option<Ticket>, Backwards> {
        let mut positions = self.positions.lock();
        let Some(position) = positions.get_mut(&partition) else { return Ok(None) };
        if let Some(ends) = &self.stop_at
            && ends.get(&partition).is_none_or(|end| offset >= *end)
        {
            position.at_end = true;
            return Ok(None);
        }
        if position.last_offset.is_some_and(|last| offset <= last) {
            // The log was truncated, or the position was reset: reading on would repeat records.
            return Err(Backwards { partition, offset });
        }
        let sequence = position.next_sequence;
        position.next_sequence += 1;
        position.last_offset = Some(offset);
        position.at_end = false;
        Ok(Some(Ticket { epoch: position.epoch, partition, offset, sequence }))
    }

    /// Partitions of this number have no more records for now.
    pub fn note_end(&self, number: i32) {
        for (partition, position) in self.positions.lock().iter_mut() {
            if partition.partition == number {
                position.at_end = true;
            }
        }
    }

    /// Every assigned partition has been read up to its end in `stop_at`. False while nothing is
    /// assigned, and without `stop_at`.
    pub fn reached_ends(&self) -> bool {
        let Some(ends) = &self.stop_at else { return false };
        let positions = self.positions.lock();
        !positions.is_empty()
            && positions.iter().all(|(partition, position)| {
                let end = ends.get(partition).copied().unwrap_or(0);
                end == 0
                    || position.at_end
                    || position.eof_offset >= end
                    || position.last_offset.is_some_and(|last| last + 1 >= end)
            })
    }

    /// The record's assignment still holds.
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        self.positions.lock().get(&ticket.partition).is_some_and(|position| {
            position.epoch == ticket.epoch || is_planted(Bug::SkipEpochCheck)
        })
    }

    /// We have committed since we joined the group, or came back to it: it knew us by our member id.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// We have to join the group again.
    pub fn unsettle(&self) {
        self.settled.store(false, Ordering::Relaxed);
    }

    /// What was committed, for the lag.
    pub fn note_committed(&self, ends: &[PrefixEnd]) {
        self.settled.store(true, Ordering::Relaxed);
        let mut positions = self.positions.lock();
        for end in ends {
            if let Some(position) = positions.get_mut(&end.partition)
                && position.epoch == end.epoch
            {
                position.committed = Some(end.next_offset);
            }
        }
    }

    /// For how long a partition of ours has not been fetched: the longest.
    pub fn unfetched_for(&self) -> Option<Duration> {
        let positions = self.positions.lock();
        positions
            .values()
            .filter_map(|position| position.unfetched_since)
            .map(|at| at.elapsed())
            .max()
    }

    /// librdkafka's statistics: ends and lags.
    pub fn note_statistics(&self, statistics: &Statistics) {
        for (partition, position) in self.positions.lock().iter_mut() {
            let seen = statistics
                .topics
                .get(partition.topic.as_ref())
                .and_then(|topic| topic.partitions.get(&partition.partition));
            let Some(seen) = seen else { continue };
            // Between assignment and first fetch the figure may be one of an earlier assignment.
            position.statistics += 1;
            position.unfetched_since = (seen.fetch_state == "none")
                .then(|| position.unfetched_since.unwrap_or_else(Instant::now));
            if seen.fetchq_cnt == 0 && position.last_offset.is_some() {
                position.eof_offset = seen.eof_offset;
            } else if seen.fetchq_cnt == 0
                && position.statistics > 1
                && seen.fetch_state == "active"
            {
                // Nothing to hand out since the assignment: where the client fetches is where it ends.
                position.eof_offset = seen.next_offset;
            }
            // librdkafka's own lag rests on the consumer's commits; ours go with the transactions.
            let fetched = (seen.committed_offset >= 0).then_some(seen.committed_offset);
            let done = position.committed.or(fetched).unwrap_or(seen.lo_offset);
            set_lag(partition, seen.ls_offset.saturating_sub(done).max(0));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a lag beyond 2^52 is not told apart")]
fn set_lag(partition: &TopicPartition, records: i64) {
    metrics::gauge!(
        names::CONSUMER_LAG_RECORDS,
        "topic" => partition.topic.to_string(),
        "partition" => partition.partition.to_string()
    )
    .set(records as f64);
}
