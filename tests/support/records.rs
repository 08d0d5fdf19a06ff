//! Topics as a test sees them: what it writes, and all that a reader finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{
    BorrowedMessage, DeliveryResult, Header, Headers, Message as _, OwnedHeaders,
};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::server::{PATIENCE, wait_until};

/// How long a reader blocks for the next message before it looks at its deadline again.
const POLL: Duration = Duration::from_millis(50);

/// One record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch, where the record has a time.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// In order, repeats kept.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Message {
    /// The first header of that name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// The key, where it is text.
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    /// The value; empty for a tombstone.
    pub fn bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }
}

/// One record to write. Without a partition, the key decides.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl NewRecord {
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    pub fn at_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Notes deliveries that failed: `flush` alone would not tell.
#[derive(Clone, Default)]
struct Deliveries {
    failed: Arc<Mutex<Vec<KafkaError>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.lock().expect("no panic holds it").push(error.clone());
        }
    }
}

/// Writes all records and returns their number when the broker has them all, in the order given per
/// partition.
///
/// # Panics
/// When a record is refused or not delivered.
pub fn produce(
    client: &ClientConfig,
    topic: &str,
    records: impl IntoIterator<Item = NewRecord>,
) -> usize {
    let deliveries = Deliveries::default();
    let producer: ThreadedProducer<_> = client
        .clone()
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        // As much as brokers take by default.
        .set("message.max.bytes", "1048576")
        // Java's partitioner, which most senders have.
        .set("partitioner", "murmur2_random")
        .create_with_context(deliveries.clone())
        .expect("a producer");
    let mut written = 0;
    for record in records {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut outgoing: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).headers(headers);
        outgoing.partition = record.partition;
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        let deadline = Instant::now() + PATIENCE;
        while let Err((error, rejected)) = producer.send(outgoing) {
            assert!(
                error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
                    && Instant::now() < deadline,
                "{topic} refused a record: {error}",
            );
            // A full queue empties as the broker answers.
            producer.poll(Duration::from_millis(50));
            outgoing = rejected;
        }
        written += 1;
    }
    producer.flush(PATIENCE).unwrap_or_else(|e| panic!("{topic}: not all was written: {e}"));
    let failed = deliveries.failed.lock().expect("no panic holds it");
    assert!(
        failed.is_empty(),
        "{topic}: {} of {written} not written: {:?}",
        failed.len(),
        failed.first()
    );
    written
}

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, and those of none.
    ReadCommitted,
    /// All, aborted ones included.
    ReadUncommitted,
}

/// Reads topics from their beginning and keeps what it read. It joins no group.
pub struct TopicReader {
    topics: Vec<OneTopic>,
    messages: Vec<Message>,
}

/// One consumer a topic: the event "end of partition" carries no topic name.
struct OneTopic {
    name: String,
    /// Each with the offset after the last message that came of it.
    partitions: BTreeMap<i32, Offset>,
    consumer: BaseConsumer,
    /// Whether an end of a partition has been told: it is told once.
    end_told: bool,
}

impl TopicReader {
    /// A reader of all partitions of these topics, which must exist.
    pub fn new(client: &ClientConfig, topics: &[&str], isolation: Isolation) -> Self {
        let topics = topics.iter().map(|topic| OneTopic::new(client, topic, isolation)).collect();
        Self { topics, messages: Vec::new() }
    }

    /// All messages so far, in the order of arrival.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Reads until every partition was at its end once. For a read_committed reader the end is the
    /// last stable offset: the first record of a transaction still open ends the partition.
    ///
    /// # Panics
    /// When the ends are not reached within the patience of the tests.
    pub fn read_to_end(&mut self) -> &[Message] {
        let deadline = Instant::now() + PATIENCE;
        for topic in &mut self.topics {
            topic.ask_for_ends();
            let mut open: BTreeSet<i32> = topic.partitions.keys().copied().collect();
            while !open.is_empty() {
                assert!(Instant::now() < deadline, "{}: {open:?} did not end", topic.name);
                match topic.poll(POLL) {
                    Some(Event::Message(message)) => self.messages.push(message),
                    Some(Event::End(partition)) => _ = open.remove(&partition),
                    None => {}
                }
            }
        }
        &self.messages
    }

    /// Reads on until `enough` says so. This is how a test waits for a process to do its work.
    ///
    /// # Panics
    /// After `patience`, saying what was waited for and how much was read.
    pub fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut enough: impl FnMut(&[Message]) -> bool,
    ) -> &[Message] {
        let deadline = Instant::now() + patience;
        while !enough(&self.messages) {
            assert!(
                Instant::now() < deadline,
                "waited {patience:?} for {what}; {} messages arrived",
                self.messages.len(),
            );
            self.read_some();
        }
        &self.messages
    }

    /// Takes what has arrived; waits a moment when there is nothing.
    pub fn read_some(&mut self) {
        for topic in &mut self.topics {
            let mut wait = POLL;
            while let Some(event) = topic.poll(wait) {
                if let Event::Message(message) = event {
                    self.messages.push(message);
                }
                wait = Duration::ZERO;
            }
        }
    }
}

impl OneTopic {
    fn new(client: &ClientConfig, name: &str, isolation: Isolation) -> Self {
        let level = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let consumer: BaseConsumer = client
            .clone()
            .set("group.id", "test-reader-never-joins")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", level)
            .set("fetch.wait.max.ms", "20")
            .create()
            .expect("a consumer");
        let partitions = partitions(&consumer, name).into_iter();
        let partitions = partitions.map(|partition| (partition, Offset::Beginning)).collect();
        let topic = Self { name: name.to_owned(), partitions, consumer, end_told: false };
        topic.assign();
        topic
    }

    fn assign(&self) {
        let mut assignment = TopicPartitionList::new();
        for (partition, next) in &self.partitions {
            assignment.add_partition_offset(&self.name, *partition, *next).expect("an assignment");
        }
        self.consumer.assign(&assignment).expect("the partitions are assigned");
    }

    /// Has the ends told once more that were told already: a partition that is at its end and stays
    /// there would else say nothing.
    fn ask_for_ends(&mut self) {
        if std::mem::take(&mut self.end_told) {
            self.consumer.unassign().expect("the partitions are given back");
            self.assign();
        }
    }

    fn poll(&mut self, wait: Duration) -> Option<Event> {
        match self.consumer.poll(wait)? {
            Ok(message) => {
                let next = Offset::Offset(message.offset() + 1);
                self.partitions.insert(message.partition(), next);
                Some(Event::Message(own(&message)))
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                self.end_told = true;
                Some(Event::End(partition))
            }
            // A broker that the test restarts comes back; the deadlines bound the wait.
            Err(KafkaError::MessageConsumption(code)) if is_transport(code) => None,
            Err(error) => panic!("reading {} failed: {error}", self.name),
        }
    }
}

enum Event {
    Message(Message),
    End(i32),
}

/// All of a topic up to its end now, by partition, then offset.
pub fn read_all(client: &ClientConfig, topic: &str, isolation: Isolation) -> Vec<Message> {
    let mut reader = TopicReader::new(client, &[topic], isolation);
    reader.read_to_end();
    let mut messages = reader.messages;
    messages.sort_by_key(|message| (message.partition, message.offset));
    messages
}

/// Waits until each transaction is decided that has written to a topic by now: a commit is answered before its
/// markers stand in the topics, and a reader of committed records sees nothing behind an open transaction.
pub fn await_decided(client: &ClientConfig, topic: &str) {
    let consumer: BaseConsumer =
        client.clone().set("isolation.level", "read_committed").create().expect("a consumer");
    for (partition, end) in end_offsets(client, topic) {
        let what = format!("the transactions in {topic} {partition}");
        wait_until(&what, PATIENCE, || {
            (high_watermark(&consumer, topic, partition) >= end).then_some(())
        });
    }
}

/// The offset after the last record of each partition, open and aborted transactions included.
pub fn end_offsets(client: &ClientConfig, topic: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer =
        client.clone().set("isolation.level", "read_uncommitted").create().expect("a consumer");
    partitions(&consumer, topic)
        .into_iter()
        .map(|partition| (partition, high_watermark(&consumer, topic, partition)))
        .collect()
}

/// The end of a partition as the consumer's isolation level has it.
fn high_watermark(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    let (_, high) = consumer
        .fetch_watermarks(topic, partition, PATIENCE)
        .unwrap_or_else(|e| panic!("{topic} {partition}: no watermarks: {e}"));
    high
}

/// What a group has committed for each partition of a topic; `None` where nothing yet.
pub fn committed_offsets(
    client: &ClientConfig,
    group: &str,
    topic: &str,
) -> BTreeMap<i32, Option<i64>> {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", group)
        // Waits for transactions that are being decided.
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    let mut wanted = TopicPartitionList::new();
    for partition in partitions(&consumer, topic) {
        wanted.add_partition(topic, partition);
    }
    // The coordinator may just be moving, and the client does not ask again by itself.
    wait_until(&format!("committed offsets of {group}"), PATIENCE, || {
        consumer.committed_offsets(wanted.clone(), PATIENCE).ok()
    })
    .elements()
    .iter()
    .map(|element| {
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        (element.partition(), offset)
    })
    .collect()
}

/// Waits until the broker that a client asks first knows a topic and its leaders. The controller has it when it
/// is made; a busy broker may tell clients of it a moment later.
///
/// # Panics
/// When it does not come to know it.
pub fn until_known(client: &ClientConfig, topic: &str, partitions: i32) {
    wait_until(&format!("topic {topic} to be known"), PATIENCE, || {
        // A new client each time: an old one may ask another broker.
        let asking: BaseConsumer = client.create().expect("a consumer");
        let metadata = asking.fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        let found = metadata.topics().first().filter(|found| found.error().is_none())?;
        let known = found.partitions();
        let is_led = known.iter().all(|partition| partition.leader() >= 0);
        (i32::try_from(known.len()) == Ok(partitions) && is_led).then_some(())
    });
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .unwrap_or_else(|e| panic!("{topic}: no metadata: {e}"));
    let found: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
        .collect();
    assert!(!found.is_empty(), "the topic {topic} does not exist");
    found
}

fn is_transport(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut)
}

fn own(message: &BorrowedMessage<'_>) -> Message {
    Message {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message
            .headers()
            .map(|headers| {
                headers
                    .iter()
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect()
            })
            .unwrap_or_default(),
    }
}
