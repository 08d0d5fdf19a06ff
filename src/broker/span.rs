//! A stretch of a topic, read once: from given offsets to where the partitions end at the start.
//! Joins no group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::admin::{AdminError, failed, not_authorised};
use super::auth::Authenticator;
use super::client::Callbacks;
use super::{Record, Ticket, TopicPartition};
use crate::config::{Settings, kafka};

/// How long one turn waits for a record.
const TURN: Duration = Duration::from_millis(100);
/// All partitions' queues in the client together.
const QUEUES_KIB: usize = 65_536;

impl ConsumerContext for Callbacks {}

/// The stretch cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SpanError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] AdminError),
    /// The topic is not the one that was read before, or has lost its end.
    #[error(
        "{topic}/{partition} ends at offset {end}, and it was read up to {next}: it was truncated or \
         made anew"
    )]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it ends.
        end: i64,
        /// Where reading was to go on.
        next: i64,
    },
}

/// A reader of the stretch.
pub struct Span {
    client: BaseConsumer<Callbacks>,
    topic: Arc<str>,
    /// Partitions not read to their ends, and the ends.
    open: BTreeMap<i32, i64>,
    next: BTreeMap<i32, i64>,
    sequence: u64,
    total: u64,
    missed: u64,
    patience: Duration,
}

impl Span {
    /// Finds the ends of a topic with that many partitions. Reading begins at the `next` offsets, and
    /// at the beginning of a partition that is not among them. `group` only stands on commits.
    ///
    /// # Errors
    /// [`SpanError`].
    pub fn open(
        settings: &Settings,
        group: &str,
        topic: &str,
        partitions: usize,
        next: &BTreeMap<i32, i64>,
        patience: Duration,
    ) -> Result<Self, SpanError> {
        let mut span = Self::unopened(settings, group, topic, partitions, patience)?;
        span.begin(numbers(partitions), next)?;
        Ok(span)
    }

    /// As [`Span::open`] from the beginning, of everything that was committed before this call: waits
    /// until no transaction that is open now hides what stands behind it.
    ///
    /// # Errors
    /// [`SpanError`].
    pub fn open_settled(
        settings: &Settings,
        group: &str,
        topic: &str,
        partitions: usize,
        patience: Duration,
    ) -> Result<Self, SpanError> {
        let mut span = Self::unopened(settings, group, topic, partitions, patience)?;
        span.settle(settings, group, partitions)?;
        span.begin(numbers(partitions), &BTreeMap::new())?;
        Ok(span)
    }

    /// As [`Span::open`], of the partitions that are among `next` alone.
    ///
    /// # Errors
    /// [`SpanError`].
    pub fn open_at(
        settings: &Settings,
        group: &str,
        topic: &str,
        next: &BTreeMap<i32, i64>,
        patience: Duration,
    ) -> Result<Self, SpanError> {
        let mut span = Self::unopened(settings, group, topic, next.len(), patience)?;
        span.begin(next.keys().copied(), next)?;
        Ok(span)
    }

    fn unopened(
        settings: &Settings,
        group: &str,
        topic: &str,
        partitions: usize,
        patience: Duration,
    ) -> Result<Self, SpanError> {
        Ok(Self {
            client: client(settings, &properties(settings, group, partitions))?,
            topic: Arc::from(topic),
            open: BTreeMap::new(),
            next: BTreeMap::new(),
            sequence: 0,
            total: 0,
            missed: 0,
            patience,
        })
    }

    fn begin(
        &mut self,
        partitions: impl Iterator<Item = i32>,
        next: &BTreeMap<i32, i64>,
    ) -> Result<(), SpanError> {
        let mut places = TopicPartitionList::new();
        for partition in partitions {
            let (first, end) = self.watermarks(&self.client, partition)?;
            let from = next.get(&partition).copied();
            if let Some(next) = from.filter(|next| *next > end) {
                let topic = self.topic.to_string();
                return Err(SpanError::Truncated { topic, partition, end, next });
            }
            self.missed += from.map_or(0, |from| count(from, first));
            let from = from.unwrap_or(first).max(first);
            self.next.insert(partition, from);
            if from < end {
                self.open.insert(partition, end);
                self.total += count(from, end);
                places
                    .add_partition_offset(&self.topic, partition, Offset::Offset(from))
                    .map_err(|problem| self.failed(&problem))?;
            }
        }
        self.client.assign(&places).map_err(|problem| self.failed(&problem))?;
        Ok(())
    }

    /// Waits until what a `read_committed` reader gets reaches the ends of now. The client tells that
    /// reader's end, which is before the first transaction that is open.
    fn settle(&self, settings: &Settings, group: &str, count: usize) -> Result<(), SpanError> {
        let mut all = properties(settings, group, count);
        all.set("isolation.level", "read_uncommitted");
        let all = client(settings, &all)?;
        let mut ends = BTreeMap::new();
        for partition in numbers(count) {
            ends.insert(partition, self.watermarks(&all, partition)?.1);
        }
        let deadline = Instant::now() + self.patience;
        for (partition, end) in ends {
            loop {
                let (_, offset) = self.watermarks(&self.client, partition)?;
                if offset >= end {
                    break;
                }
                if Instant::now() >= deadline {
                    let problem = format!(
                        "a transaction at offset {offset} of partition {partition} stays open; try again \
                         when it has timed out"
                    );
                    return Err(self.failed(&problem).into());
                }
                // Nothing is assigned yet: this only waits, and serves the client's events.
                drop(self.client.poll(TURN));
            }
        }
        Ok(())
    }

    /// Offsets of the stretch: records, and what is between them.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Offsets that were to be read and that the topic no longer has.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// Partition to the offset after the last record that was read.
    pub const fn next_offsets(&self) -> &BTreeMap<i32, i64> {
        &self.next
    }

    /// The next record; `None` at the end. The records of a partition come in their order.
    ///
    /// # Errors
    /// [`SpanError::Cluster`].
    pub fn read(&mut self) -> Result<Option<Record>, SpanError> {
        let mut deadline = Instant::now() + self.patience;
        while !self.open.is_empty() {
            match self.client.poll(TURN) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(end) = self.open.get(&partition).copied() else { continue };
                    let inside = offset < end;
                    let record = inside.then(|| {
                        let place = TopicPartition { topic: Arc::clone(&self.topic), partition };
                        let sequence = self.sequence;
                        let ticket = Ticket { partition: place, offset, sequence, epoch: 0 };
                        Record::from_message(&message, ticket)
                    });
                    drop(message);
                    if offset + 1 >= end {
                        self.close(partition)?;
                    }
                    if record.is_some() {
                        self.sequence += 1;
                        self.next.insert(partition, offset + 1);
                        return Ok(record);
                    }
                }
                // Nothing is left that is committed: an open transaction is read next time.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.close(partition)?;
                    deadline = Instant::now() + self.patience;
                }
                Some(Err(problem)) => match problem.rdkafka_error_code() {
                    // Nothing of a group is needed to read; a commit that is refused tells by itself.
                    Some(Code::TopicAuthorizationFailed) => {
                        return Err(not_authorised("Read", self.resource()).into());
                    }
                    Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                        return Err(self.failed(&problem).into());
                    }
                    // The client goes on trying.
                    _ => {}
                },
                None => {}
            }
            if Instant::now() >= deadline {
                return Err(self.failed(&"no answer in time").into());
            }
        }
        Ok(None)
    }

    /// Commits offsets for the group, for those who look at its lag.
    ///
    /// # Errors
    /// The coordinator refuses, or does not answer.
    pub fn commit(&self, next: &BTreeMap<i32, i64>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        self.client.commit(&list, CommitMode::Sync)
    }

    fn close(&mut self, partition: i32) -> Result<(), SpanError> {
        if self.open.remove(&partition).is_some() {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, partition);
            self.client.pause(&list).map_err(|problem| self.failed(&problem))?;
        }
        Ok(())
    }

    /// First offset of a partition, and the one after its last. Serves the client's events, tokens
    /// among them.
    fn watermarks(
        &self,
        client: &BaseConsumer<Callbacks>,
        partition: i32,
    ) -> Result<(i64, i64), AdminError> {
        let deadline = Instant::now() + self.patience;
        loop {
            drop(client.poll(Duration::ZERO));
            let problem = match client.fetch_watermarks(&self.topic, partition, TURN * 20) {
                Ok(watermarks) => return Ok(watermarks),
                Err(problem) => problem,
            };
            if problem.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) {
                return Err(not_authorised("Describe", self.resource()));
            }
            if Instant::now() >= deadline {
                return Err(failed("ListOffsets", self.resource(), &problem));
            }
        }
    }

    fn resource(&self) -> String {
        format!("topic {}", self.topic)
    }

    fn failed(&self, problem: &impl std::fmt::Display) -> AdminError {
        failed("Read", self.resource(), problem)
    }
}

fn properties(settings: &Settings, group: &str, partitions: usize) -> ClientConfig {
    let mut config: ClientConfig = kafka::consumer_properties(settings).into_iter().collect();
    let queue = QUEUES_KIB.checked_div(partitions).unwrap_or(QUEUES_KIB).max(1024);
    config.remove("group.instance.id");
    config
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // What is deleted while it is read is told, and not skipped.
        .set("auto.offset.reset", "error")
        .set("statistics.interval.ms", "0")
        .set("queued.max.messages.kbytes", queue.to_string());
    config
}

fn client(
    settings: &Settings,
    config: &ClientConfig,
) -> Result<BaseConsumer<Callbacks>, AdminError> {
    let callbacks = Callbacks::new(Authenticator::from_settings(settings));
    BaseConsumer::from_config_and_context(config, callbacks)
        .map_err(|problem| AdminError::Configuration(problem.to_string()))
}

fn numbers(partitions: usize) -> std::ops::Range<i32> {
    0..i32::try_from(partitions).unwrap_or(i32::MAX)
}

fn count(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}
