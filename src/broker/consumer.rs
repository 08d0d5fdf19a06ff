//! The poll thread's side of Kafka: subscription, assignment, tickets, pausing.
//!
//! One thread polls; rebalance callbacks run inside that poll, on the same thread. A revocation
//! waits, through [`AssignmentListener`], until the transaction thread has committed what was
//! finished and forgotten the rest: a revocation and a commit never overlap.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata,
    RebalanceProtocol,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::client::Callbacks;
use super::ledger::PrefixEnd;
use super::standing::{self, Owned, Standing, is_member_of};
use super::{Record, Ticket, TopicPartition};
use crate::planted::{Bug, is_planted};
use crate::telemetry::names;

/// Told of changes of the assignment, on the poll thread, before they take effect.
pub trait AssignmentListener: Send + Sync {
    /// Partitions are ours from now on.
    fn assigned(&self, partitions: &[TopicPartition]);

    /// Partitions (with their epochs) are about to go. Returns when no commit for them is under way
    /// and none will follow. `lost`: they belong to someone else already; nothing may be committed.
    fn revoked(&self, partitions: &[(TopicPartition, u64)], lost: bool);
}

/// In the group, or on the way into it.
const MEMBER: u8 = 0;
/// What the client holds is not ours any more: it must leave and join anew.
const ASTRAY: u8 = 1;
/// Left; joins again when nothing is held any more.
const LEAVING: u8 = 2;

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
}

/// Ends of partitions beyond which nothing is read.
pub type Ends = BTreeMap<TopicPartition, i64>;

/// librdkafka's callbacks for our consumer.
struct Context {
    callbacks: Callbacks,
    listener: Arc<dyn AssignmentListener>,
    positions: Mutex<BTreeMap<TopicPartition, Position>>,
    topics: Mutex<HashMap<String, Arc<str>>>,
    epochs: AtomicU64,
    paused: AtomicBool,
    /// [`MEMBER`], [`ASTRAY`] or [`LEAVING`].
    membership: AtomicU8,
}

impl Context {
    fn intern(&self, topic: &str) -> Arc<str> {
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

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
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
                    },
                );
            }
        }
        self.listener.assigned(&partitions);
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            _ => consumer.assign(list)?,
        }
        if partitions.is_empty() {
            return Ok(());
        }
        // A pause outlives a revocation inside librdkafka: say which of the two holds now.
        if self.paused.load(Ordering::Relaxed) {
            consumer.pause(list)
        } else {
            consumer.resume(list)
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let lost = consumer.assignment_lost();
        let going: Vec<(TopicPartition, u64)> = {
            let positions = self.positions.lock();
            self.partitions(list)
                .into_iter()
                .filter_map(|p| positions.get(&p).map(|position| (p, position.epoch)))
                .collect()
        };
        self.listener.revoked(&going, lost);
        {
            let mut positions = self.positions.lock();
            for (partition, _) in &going {
                positions.remove(partition);
                // Its lag is the next owner's to tell; a stale figure would raise an alarm, and the
                // exporter cannot drop the series.
                set_lag(partition, 0);
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        for (partition, position) in self.positions.lock().iter_mut() {
            let seen = statistics
                .topics
                .get(partition.topic.as_ref())
                .and_then(|topic| topic.partitions.get(&partition.partition));
            let Some(seen) = seen else { continue };
            // Between assignment and first fetch the figure may be one of an earlier assignment.
            position.statistics += 1;
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

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.callbacks.generate_oauth_token(config)
    }
}

impl ConsumerContext for Context {
    // The default ignores the errors of assign and unassign.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            _ => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::error!(target: "kafka", %error, "a change of the assignment failed");
        }
    }
}

/// What a poll gave.
#[derive(Debug)]
pub enum Polled {
    /// A record with its ticket.
    Record(Record),
    /// Nothing within the time, or an event that was served.
    Nothing,
    /// A partition with this number has no more records for now.
    EndOfPartition(i32),
    /// The client reports an error.
    Failed(KafkaError),
    /// A partition went backwards within one assignment.
    Backwards(Backwards),
}

/// A record that comes again, or from before: its partition was truncated or reset.
#[derive(Debug, thiserror::Error)]
#[error("{partition:?} went backwards to offset {offset}: the topic was truncated or recreated")]
pub struct Backwards {
    /// Which partition.
    pub partition: TopicPartition,
    /// The offset that came.
    pub offset: i64,
}

/// A consumer in our group.
pub struct Consumer {
    client: BaseConsumer<Context>,
    topics: Vec<String>,
    stop_at: Option<Ends>,
    group: String,
    /// Our name among the static members, if we are one.
    instance: Option<String>,
}

impl Consumer {
    /// Subscribes. With `stop_at`, records at or beyond those offsets are not handed out.
    ///
    /// # Errors
    /// The client cannot be made with this configuration.
    pub fn subscribe(
        config: &ClientConfig,
        callbacks: Callbacks,
        listener: Arc<dyn AssignmentListener>,
        topics: &[String],
        stop_at: Option<Ends>,
    ) -> KafkaResult<Self> {
        let context = Context {
            callbacks,
            listener,
            positions: Mutex::new(BTreeMap::new()),
            topics: Mutex::new(HashMap::new()),
            epochs: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            membership: AtomicU8::new(MEMBER),
        };
        let client = BaseConsumer::from_config_and_context(config, context)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        client.subscribe(&names)?;
        let group = config.get("group.id").unwrap_or_default().to_owned();
        let instance = config.get("group.instance.id").map(str::to_owned);
        Ok(Self { client, topics: topics.to_vec(), stop_at, group, instance })
    }

    /// Polls once. Must be called at least every `max.poll.interval.ms`, paused or not.
    pub fn poll(&self, timeout: Duration) -> Polled {
        match self.client.poll(timeout) {
            None => Polled::Nothing,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.note_end(partition);
                Polled::EndOfPartition(partition)
            }
            Some(Err(error)) => Polled::Failed(error),
            Some(Ok(message)) => {
                let partition = TopicPartition {
                    topic: self.client.context().intern(message.topic()),
                    partition: message.partition(),
                };
                let offset = message.offset();
                match self.issue(partition, offset) {
                    Ok(Some(ticket)) => Polled::Record(Record::from_message(&message, ticket)),
                    Ok(None) => Polled::Nothing,
                    Err(backwards) => Polled::Backwards(backwards),
                }
            }
        }
    }

    /// A ticket for a record. `None` when its partition is not ours (any more).
    fn issue(&self, partition: TopicPartition, offset: i64) -> Result<Option<Ticket>, Backwards> {
        let mut positions = self.client.context().positions.lock();
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

    fn note_end(&self, number: i32) {
        // librdkafka's event carries no topic. With one input topic that is no matter; with several,
        // positions decide.
        if self.topics.len() == 1 {
            for (partition, position) in self.client.context().positions.lock().iter_mut() {
                if partition.partition == number {
                    position.at_end = true;
                }
            }
        }
    }

    /// Stops or resumes fetching for everything assigned, now and later. Polling goes on.
    ///
    /// # Errors
    /// The client refuses.
    pub fn set_paused(&self, paused: bool) -> KafkaResult<()> {
        self.client.context().paused.store(paused, Ordering::Relaxed);
        let assignment = self.client.assignment()?;
        if assignment.count() == 0 {
            return Ok(());
        }
        if paused { self.client.pause(&assignment) } else { self.client.resume(&assignment) }
    }

    /// Every assigned partition has been read up to its end in `stop_at`. False while nothing is
    /// assigned, and without `stop_at`.
    pub fn reached_ends(&self) -> bool {
        let Some(ends) = &self.stop_at else { return false };
        let positions = self.client.context().positions.lock();
        !positions.is_empty()
            && positions.iter().all(|(partition, position)| {
                let end = ends.get(partition).copied().unwrap_or(0);
                end == 0
                    || position.at_end
                    || position.eof_offset >= end
                    || position.last_offset.is_some_and(|last| last + 1 >= end)
            })
    }

    /// The record's assignment still holds. After a revocation what was fetched before is another
    /// member's to do.
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        let positions = self.client.context().positions.lock();
        positions.get(&ticket.partition).is_some_and(|position| {
            position.epoch == ticket.epoch || is_planted(Bug::SkipEpochCheck)
        })
    }

    /// What was committed, for the lag.
    pub fn note_committed(&self, ends: &[PrefixEnd]) {
        let mut positions = self.client.context().positions.lock();
        for end in ends {
            if let Some(position) = positions.get_mut(&end.partition)
                && position.epoch == end.epoch
            {
                position.committed = Some(end.next_offset);
            }
        }
    }

    /// What the coordinator knows of the partitions of a batch.
    ///
    /// # Errors
    /// It did not answer in time.
    pub fn standing(&self, ends: &[PrefixEnd], timeout: Duration) -> KafkaResult<Standing> {
        Ok(Standing { owned: self.owned(timeout)?, committed: self.committed(ends, timeout)? })
    }

    /// The partitions that the group has given us, as its coordinator has it.
    fn owned(&self, timeout: Duration) -> KafkaResult<Owned> {
        // Only static members can be told apart: their member id begins with their instance id.
        let Some(instance) = &self.instance else { return Ok(Owned::Unknown) };
        let groups = self.client.fetch_group_list(Some(&self.group), timeout)?;
        let Some(group) = groups.groups().iter().find(|group| group.name() == self.group) else {
            return Ok(Owned::Unknown);
        };
        match group.state() {
            "Stable" => {}
            // No classic group: the new protocol of KIP-848 is not described by this request.
            "" | "Dead" => return Ok(Owned::Unknown),
            _ => return Ok(Owned::Unsettled),
        }
        let ours = group.members().iter().find(|member| is_member_of(member.id(), instance));
        let assignment = ours.and_then(|member| member.assignment()).unwrap_or_default();
        let Some(assigned) = standing::read_assignment(assignment) else {
            return Ok(Owned::Unknown);
        };
        let known = assigned.into_iter().map(|(topic, partition)| TopicPartition {
            topic: self.client.context().intern(&topic),
            partition,
        });
        Ok(Owned::These(known.collect()))
    }

    /// Has the poll thread leave the group and join it anew: the group gave our partitions away, and the
    /// client does not know.
    pub fn go_astray(&self) {
        self.client.context().membership.store(ASTRAY, Ordering::Relaxed);
    }

    /// One step of leaving the group and joining it anew, if [`go_astray`](Self::go_astray) asked for it.
    /// On the poll thread, between polls: these serve the rebalance.
    ///
    /// # Errors
    /// The client refuses.
    pub fn rejoin_if_astray(&self) -> KafkaResult<()> {
        let membership = &self.client.context().membership;
        match membership.load(Ordering::Relaxed) {
            ASTRAY => {
                tracing::warn!(target: "kafka", "the group gave our partitions away: joining it anew");
                self.client.unsubscribe();
                membership.store(LEAVING, Ordering::Relaxed);
            }
            LEAVING if self.client.assignment()?.count() == 0 => {
                let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
                self.client.subscribe(&names)?;
                membership.store(MEMBER, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    /// The group metadata that a transaction must carry (KIP-447). Always asked anew: the
    /// generation changes with every rebalance.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.client.group_metadata()
    }

    /// Offsets that the group has committed for these partitions.
    ///
    /// # Errors
    /// The coordinator did not answer in time.
    pub fn committed(
        &self,
        ends: &[PrefixEnd],
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<TopicPartition, i64>> {
        let mut list = TopicPartitionList::new();
        for end in ends {
            list.add_partition(&end.partition.topic, end.partition.partition);
        }
        let committed = self.client.committed_offsets(list, timeout)?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let topic = self.client.context().intern(element.topic());
                offsets.insert(TopicPartition { topic, partition: element.partition() }, offset);
            }
        }
        Ok(offsets)
    }

    /// An ordinary, synchronous offset commit (at least once).
    ///
    /// # Errors
    /// The coordinator refused or did not answer.
    pub fn commit(&self, ends: &[PrefixEnd]) -> KafkaResult<()> {
        self.client.commit(&offset_list(ends)?, CommitMode::Sync)
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

/// Offsets to commit as librdkafka wants them.
///
/// # Errors
/// An offset is out of range.
pub fn offset_list(ends: &[PrefixEnd]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for end in ends {
        list.add_partition_offset(
            &end.partition.topic,
            end.partition.partition,
            Offset::Offset(end.next_offset - i64::from(is_planted(Bug::OffsetOffByOne))),
        )?;
    }
    Ok(list)
}
