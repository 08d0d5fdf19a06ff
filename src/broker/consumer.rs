//! The poll thread's side of Kafka: subscription, pausing, and a new client when one gave up.
//!
//! One thread polls; rebalance callbacks run inside that poll, on the same thread. A revocation
//! waits, through [`AssignmentListener`], until the transaction thread has forgotten what it holds of these
//! partitions: a revocation and a commit never overlap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::assignment::{Assignment, AssignmentListener, Backwards, Ends};
use super::auth::Authenticator;
use super::client::Callbacks;
use super::division::{self, Division};
use super::ledger::PrefixEnd;
use super::rebalance::{Context, fatal};
use super::retirement::{Retirements, drop_aside};
use super::standing::Membership;
use super::{Record, Ticket, TopicPartition};
use crate::planted::{Bug, is_planted};
use crate::telemetry::names;

/// A client whose name the group gave to another is replaced so often in ten minutes; then the other is
/// taken for a process that lives.
const MAX_FENCED: usize = 5;

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
    /// The client has given up for good, and works no more.
    Dead(KafkaError),
    /// A partition went backwards within one assignment.
    Backwards(Backwards),
}

/// Why we join the group anew, though the client has not given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejoin {
    /// Others have our partitions, and the client does not know.
    Astray,
    /// Partitions are ours and the client does not fetch them: it took an answer of the coordinator on where
    /// to begin for final (librdkafka 5586).
    Unfetched,
    /// Partitions belong to nobody: when we leave and come back, the group divides them anew.
    Unowned,
}

/// A consumer in our group.
pub struct Consumer {
    client: RwLock<Arc<BaseConsumer<Context>>>,
    config: ClientConfig,
    auth: Arc<Authenticator>,
    topics: Vec<String>,
    assignment: Arc<Assignment>,
    /// Asked of the poll thread.
    rejoin: Mutex<Option<Rejoin>>,
    fenced: Mutex<Retirements>,
}

impl Consumer {
    /// Subscribes. With `stop_at`, records at or beyond those offsets are not handed out.
    ///
    /// # Errors
    /// The client cannot be made with this configuration.
    pub fn subscribe(
        config: &ClientConfig,
        auth: Arc<Authenticator>,
        listener: Arc<dyn AssignmentListener>,
        topics: &[String],
        stop_at: Option<Ends>,
    ) -> KafkaResult<Self> {
        let assignment = Arc::new(Assignment::new(listener, stop_at));
        let client = join(config, &auth, topics, &assignment)?;
        Ok(Self {
            client: RwLock::new(Arc::new(client)),
            config: config.clone(),
            auth,
            topics: topics.to_vec(),
            assignment,
            rejoin: Mutex::new(None),
            fenced: Mutex::new(Retirements::new(MAX_FENCED)),
        })
    }

    fn client(&self) -> Arc<BaseConsumer<Context>> {
        Arc::clone(&self.client.read())
    }

    /// For calls that last, on threads that do not poll: the client may be replaced meanwhile, and whoever has
    /// it last must not wait for it to close.
    fn with_client<T>(&self, call: impl FnOnce(&BaseConsumer<Context>) -> T) -> T {
        let client = self.client();
        let result = call(&client);
        if let Some(replaced) = Arc::into_inner(client) {
            drop_aside("consumer", replaced);
        }
        result
    }

    /// Polls once. Must be called at least every `max.poll.interval.ms`, paused or not.
    pub fn poll(&self, timeout: Duration) -> Polled {
        let client = self.client();
        match client.poll(timeout) {
            // That the client gave up it may say to its error callback only; polls give nothing then.
            None => fatal(&client).map_or(Polled::Nothing, Polled::Dead),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                // The event carries no topic. With one input topic that is no matter; with several,
                // positions decide.
                if self.topics.len() == 1 {
                    self.assignment.note_end(partition);
                }
                Polled::EndOfPartition(partition)
            }
            Some(Err(error)) => fatal(&client).map_or(Polled::Failed(error), Polled::Dead),
            Some(Ok(message)) => {
                let partition = TopicPartition {
                    topic: self.assignment.intern(message.topic()),
                    partition: message.partition(),
                };
                match self.assignment.issue(partition, message.offset()) {
                    Ok(Some(ticket)) => Polled::Record(Record::from_message(&message, ticket)),
                    Ok(None) => Polled::Nothing,
                    Err(backwards) => Polled::Backwards(backwards),
                }
            }
        }
    }

    /// Stops or resumes fetching for everything assigned, now and later. Polling goes on.
    ///
    /// # Errors
    /// The client refuses.
    pub fn set_paused(&self, paused: bool) -> KafkaResult<()> {
        self.assignment.set_paused(paused);
        let client = self.client();
        let assigned = client.assignment()?;
        if assigned.count() == 0 {
            return Ok(());
        }
        if paused { client.pause(&assigned) } else { client.resume(&assigned) }
    }

    /// Every assigned partition has been read up to its end in `stop_at`. False while nothing is
    /// assigned, and without `stop_at`.
    pub fn reached_ends(&self) -> bool {
        self.assignment.reached_ends()
    }

    /// The record's assignment still holds. After a revocation what was fetched before is another
    /// member's to do.
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        self.assignment.is_current(ticket)
    }

    /// What was committed, for the lag.
    pub fn note_committed(&self, ends: &[PrefixEnd]) {
        self.assignment.note_committed(ends);
    }

    /// What we are in the group by our last assignment. `None` before the first, and between a revocation
    /// and the assignment that follows it: nothing can be committed then.
    pub fn membership(&self) -> Option<Membership> {
        self.assignment.membership()
    }

    /// Has the poll thread join the group anew.
    pub fn ask_to_rejoin(&self, why: Rejoin) {
        *self.rejoin.lock() = Some(why);
    }

    /// Joins the group anew if [`ask_to_rejoin`](Self::ask_to_rejoin) asked for it. On the poll thread.
    ///
    /// # Errors
    /// No new client can be made, or the client cannot subscribe again.
    pub fn rejoin_if_asked(&self) -> KafkaResult<()> {
        let asked = self.rejoin.lock().take();
        match asked {
            None => Ok(()),
            Some(Rejoin::Astray) => {
                tracing::warn!(target: "kafka", "others have our partitions: joining the group anew");
                self.replace_client("astray")
            }
            Some(Rejoin::Unfetched) => {
                tracing::warn!(target: "kafka", "partitions that are ours are not fetched: joining the group anew");
                self.replace_client("unfetched")
            }
            // A client that has given up joins nothing: the next poll tells, and `revive` decides.
            Some(Rejoin::Unowned) if fatal(&self.client()).is_some() => Ok(()),
            Some(Rejoin::Unowned) => {
                tracing::warn!(target: "kafka", "partitions without an owner: leaving the group and joining it anew");
                metrics::counter!(names::CONSUMER_RESTARTS_TOTAL, "reason" => "unowned")
                    .increment(1);
                self.assignment.unsettle();
                let client = self.client();
                // A static member leaves only thus, not when it closes. Then it is another to the group, which
                // divides anew; one that joins by the member id that it has would change nothing.
                client.unsubscribe();
                subscribe(&client, &self.topics)
            }
        }
    }

    /// Joins the group anew with another client, after [`Polled::Dead`]. On the poll thread.
    ///
    /// A static member whose session timed out joins again without its member id; the group takes that for
    /// another of the same name, and what the client sent before is refused as fenced (librdkafka 3437). So
    /// who is fenced before the group has taken a commit by the new member id is not taken for the older of
    /// two. If there is another, it has fenced our transactions too, and the next of them ends us; and after
    /// a few times it is believed.
    ///
    /// # Errors
    /// `fatal` itself, when nothing is to be hoped for; or no new client can be made.
    pub fn revive(&self, fatal: KafkaError) -> KafkaResult<()> {
        let fenced = fatal.rdkafka_error_code() == Some(Code::FencedInstanceId);
        let hopeless = !fenced || self.assignment.is_settled();
        if hopeless || !self.fenced.lock().bears(Instant::now()) {
            return Err(fatal);
        }
        tracing::warn!(target: "kafka", "the group gave our name to another: joining it anew");
        self.replace_client("fenced")
    }

    /// Forgets all that is ours, and joins with a new client.
    fn replace_client(&self, reason: &'static str) -> KafkaResult<()> {
        metrics::counter!(names::CONSUMER_RESTARTS_TOTAL, "reason" => reason).increment(1);
        let old = self.client();
        old.context().retired.store(true, Ordering::Relaxed);
        self.assignment.remove_all();
        self.assignment.unsettle();
        let new = join(&self.config, &self.auth, &self.topics, &self.assignment)?;
        *self.client.write() = Arc::new(new);
        drop_aside("consumer", old);
        Ok(())
    }

    /// Our name in the group, if membership is static.
    pub fn instance(&self) -> Option<&str> {
        self.config.get("group.instance.id")
    }

    /// After this time without a sign of us the group gives our partitions to others.
    pub fn session_timeout(&self) -> Option<Duration> {
        self.config.get("session.timeout.ms")?.parse().ok().map(Duration::from_millis)
    }

    /// For how long the client has not fetched a partition of ours, though nobody told it not to.
    pub fn unfetched_for(&self) -> Option<Duration> {
        self.assignment.unfetched_for()
    }

    /// How the group divides our topics. `None` while it is not stable.
    ///
    /// # Errors
    /// Not all brokers answered in time.
    pub fn division(&self, timeout: Duration) -> KafkaResult<Option<Division>> {
        let group = self.config.get("group.id").unwrap_or_default();
        self.with_client(|client| division::ask(client, group, &self.topics, timeout))
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
        let committed = self.with_client(|client| client.committed_offsets(list, timeout))?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let topic = self.assignment.intern(element.topic());
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
        let offsets = offset_list(ends)?;
        self.with_client(|client| client.commit(&offsets, CommitMode::Sync))
    }
}

/// A client that has subscribed.
fn join(
    config: &ClientConfig,
    auth: &Arc<Authenticator>,
    topics: &[String],
    assignment: &Arc<Assignment>,
) -> KafkaResult<BaseConsumer<Context>> {
    let context = Context {
        callbacks: Callbacks::new(Arc::clone(auth)),
        assignment: Arc::clone(assignment),
        retired: AtomicBool::new(false),
    };
    let client = BaseConsumer::from_config_and_context(config, context)?;
    subscribe(&client, topics)?;
    Ok(client)
}

fn subscribe(client: &BaseConsumer<Context>, topics: &[String]) -> KafkaResult<()> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    client.subscribe(&names)
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

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::config::Settings;

    const PATIENCE: Duration = Duration::from_secs(120);

    struct Nobody;

    impl AssignmentListener for Nobody {
        fn assigned(&self, _: &[TopicPartition]) {}
        fn revoked(&self, _: &[(TopicPartition, u64)], _: bool) {}
    }

    /// Polls until something holds; whether a record came meanwhile.
    fn poll_until(consumer: &Consumer, mut holds: impl FnMut(bool) -> bool) -> bool {
        let (deadline, mut came) = (Instant::now() + PATIENCE, false);
        while !holds(came) {
            assert!(Instant::now() < deadline, "it did not come to that");
            came |= matches!(consumer.poll(Duration::from_millis(10)), Polled::Record(_));
        }
        came
    }

    #[test]
    fn partitions_that_the_client_does_not_fetch_are_noticed_and_a_new_client_fetches_them() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("in", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        producer.send(BaseRecord::<[u8], [u8]>::to("in").payload(b"a report")).unwrap();
        producer.flush(PATIENCE).unwrap();
        config
            .set("group.id", "g")
            .set("auto.offset.reset", "earliest")
            // The client that is given up cannot leave: its successor waits for the end of its session.
            .set("session.timeout.ms", "6000")
            .set("statistics.interval.ms", "50");
        // The coordinator moves just when the client asks it where to begin.
        let moved = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
        cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[moved]);
        let auth = Authenticator::from_settings(&Settings::default());
        let topics = [String::from("in")];
        let consumer = Consumer::subscribe(&config, auth, Arc::new(Nobody), &topics, None).unwrap();
        let long = Duration::from_secs(2);
        let unfetched = |_| consumer.unfetched_for().is_some_and(|since| since >= long);
        assert!(!poll_until(&consumer, unfetched), "the client fetches: librdkafka is mended");
        consumer.ask_to_rejoin(Rejoin::Unfetched);
        consumer.rejoin_if_asked().unwrap();
        assert!(poll_until(&consumer, |came| came));
        poll_until(&consumer, |_| consumer.unfetched_for().is_none());
    }
}
