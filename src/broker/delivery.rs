//! Producing: messages out, delivery reports back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{Callbacks, note_throttling};
use super::protocol::{End, Facts, Fault, Step, Verdict, is_authorisation, judge};
use crate::planted::{Bug, is_planted};

/// Wait for room in the client's queue before the next try.
const ROOM: Duration = Duration::from_millis(50);
/// Pause before a retriable call is made again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A message to produce.
#[derive(Clone, Copy)]
pub struct OutputRecord<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition, or the partitioner's choice.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: &'a [(String, Vec<u8>)],
    /// Record timestamp, milliseconds since 1970-01-01 UTC; `None` is now.
    pub timestamp_ms: Option<i64>,
}

/// Delivery reports of one attempt. A late report of an earlier attempt meets its own.
#[derive(Default)]
pub(super) struct Deliveries {
    state: Mutex<DeliveryState>,
    changed: Condvar,
}

#[derive(Default)]
struct DeliveryState {
    outstanding: usize,
    failure: Option<(Code, String)>,
}

impl Deliveries {
    fn settle(&self, failure: Option<(Code, String)>) {
        let mut state = self.state.lock();
        state.outstanding = state.outstanding.saturating_sub(1);
        if state.failure.is_none() {
            state.failure = failure;
        }
        self.changed.notify_all();
    }

    /// Waits until every message is reported, or one failed, or the deadline.
    fn wait(&self, deadline: Instant) -> Result<(), (Code, String)> {
        let mut state = self.state.lock();
        loop {
            if let Some(failure) = state.failure.clone() {
                return Err(failure);
            }
            if state.outstanding == 0 {
                return Ok(());
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err((Code::MessageTimedOut, String::from("deliveries outstanding")));
            }
        }
    }

    /// Waits a moment for room in the client's queue.
    fn wait_for_room(&self) {
        let mut state = self.state.lock();
        self.changed.wait_for(&mut state, ROOM);
    }
}

/// Topics that the brokers refused to let into a transaction.
pub(super) type Refused = Arc<Mutex<BTreeSet<String>>>;

/// librdkafka's callbacks for our producer.
pub(super) struct Context {
    pub(super) callbacks: Callbacks,
    pub(super) refused: Refused,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // The transaction's error says that a topic was refused but not which; only this line does.
        if let Some(topic) = refused_topic(facility, message) {
            self.refused.lock().insert(topic.to_owned());
        }
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        note_throttling("producer", &statistics);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.callbacks.generate_oauth_token(config)
    }
}

/// The topic of `Failed to add partition "topic" [0] to transaction: Broker: Topic authorization
/// failed` (librdkafka, facility ADDPARTS).
fn refused_topic<'a>(facility: &str, message: &'a str) -> Option<&'a str> {
    if facility != "ADDPARTS" || !message.contains("Topic authorization failed") {
        return None;
    }
    message.split('"').nth(1)
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Deliveries>;

    fn delivery(&self, result: &DeliveryResult<'_>, deliveries: Arc<Deliveries>) {
        deliveries.settle(result.as_ref().err().map(|(error, message)| {
            (error.rdkafka_error_code().unwrap_or(Code::Fail), message.topic().to_owned())
        }));
    }
}

pub(super) type Producer = ThreadedProducer<Context>;

/// Hands all records to the client and waits for all delivery reports. A client that takes no more is
/// waited for all the same: its reports come after its words on what went wrong, which [`cause`] needs.
pub(super) fn produce(
    producer: &Producer,
    records: &[OutputRecord<'_>],
    deadline: Instant,
) -> Result<(), Fault> {
    let deliveries = Arc::new(Deliveries::default());
    for record in records {
        deliveries.state.lock().outstanding += 1;
        let mut message = base_record(record, Arc::clone(&deliveries));
        while let Err((error, back)) = producer.send(message) {
            let fault = Fault::new(Step::Produce, &error);
            if fault.verdict != Verdict::Retry || Instant::now() >= deadline {
                let problem = format!("{} (topic {})", fault.problem, record.topic);
                let verdict = match fault.verdict {
                    Verdict::Retry => Verdict::Abort,
                    other => other,
                };
                deliveries.settle(None);
                deliveries.wait(deadline).ok();
                return Err(Fault { verdict, problem, ..fault });
            }
            deliveries.wait_for_room();
            message = back;
        }
    }
    let delivered = deliveries.wait(deadline);
    if is_planted(Bug::AcknowledgeRefused) {
        return Ok(());
    }
    delivered.map_err(|(code, topic)| Fault {
        step: Step::Deliver,
        verdict: judge(Step::Deliver, Facts::of_code(code)),
        code,
        problem: format!("{code} (topic {topic})"),
    })
}

/// A failed transaction, and a client that gave up, purge their messages and take no more; delivery reports
/// and refusals say no more than that. The reason is what the client holds against itself, or what any call
/// answers that the state does not allow: beginning another transaction.
pub(super) fn cause(producer: &Producer, refused: &Refused, fault: Fault) -> Fault {
    if !matches!(fault.step, Step::Produce | Step::Deliver) {
        return fault;
    }
    // The fault may have the broker's word, an old epoch. That a newer instance is the reason is known to
    // the client alone, and who made a new producer now would fence that one in its turn.
    if let Some((code, problem)) = producer.client().fatal_error() {
        let facts = Facts { fatal: true, ..Facts::of_code(code) };
        return Fault { verdict: judge(fault.step, facts), code, problem, ..fault };
    }
    if fault.verdict != Verdict::Abort {
        return fault;
    }
    let Err(reason) = producer.begin_transaction() else { return fault };
    let facts = Facts::of(&reason);
    if !facts.requires_abort && !facts.fatal {
        return fault;
    }
    let refused: Vec<String> = refused.lock().iter().cloned().collect();
    let problem = match (is_authorisation(facts.code), refused.is_empty()) {
        (true, false) => format!("{reason} (topic {})", refused.join(", topic ")),
        // The topic of a purged record is not the one to blame.
        (true, true) => reason.to_string(),
        (false, _) => format!("{reason}; {}", fault.problem),
    };
    Fault { verdict: judge(fault.step, facts), code: facts.code, problem, ..fault }
}

pub(super) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Makes a call until it succeeds, its error is not retriable, or the deadline has passed.
pub(super) fn until(
    step: Step,
    deadline: Instant,
    mut call: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), Fault> {
    loop {
        let Err(error) = call() else { return Ok(()) };
        let fault = Fault::new(step, &error);
        if fault.verdict != Verdict::Retry {
            return Err(fault);
        }
        if Instant::now() >= deadline {
            let verdict = match step {
                Step::Commit | Step::Abort | Step::SendOffsets => Verdict::Retire,
                // The coordinator is away: the next attempt tries again.
                Step::Init => Verdict::Retire,
                Step::FetchOffsets => Verdict::End(End::Fatal),
                _ => Verdict::Abort,
            };
            return Err(Fault { verdict, ..fault });
        }
        std::thread::park_timeout(RETRY_PAUSE);
    }
}

fn base_record<'a>(
    record: &OutputRecord<'a>,
    deliveries: Arc<Deliveries>,
) -> BaseRecord<'a, [u8], [u8], Arc<Deliveries>> {
    let mut message = BaseRecord::with_opaque_to(record.topic, deliveries);
    message.partition = record.partition;
    message.key = record.key;
    message.payload = record.payload;
    message.timestamp = record.timestamp_ms;
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        message.headers = Some(record.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        }));
    }
    message
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::config::FromClientConfigAndContext as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::broker::auth::Authenticator;
    use crate::config::Settings;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The faults of two records of one transaction that fails for `error`: of the first while it is being
    /// delivered, of the second when it is handed over, which is by then too late.
    fn faults_of_a_failing_transaction(error: RDKafkaRespErr) -> [Fault; 2] {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("findings", 1, 1).unwrap();
        let auth = Authenticator::from_settings(&Settings::default());
        let refused = Refused::default();
        let context = Context { callbacks: Callbacks::new(auth), refused: Arc::clone(&refused) };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        config.set("transactional.id", "delivery");
        let producer = Producer::from_config_and_context(&config, context).unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        cluster.request_errors(RDKafkaApiKey::AddPartitionsToTxn, &[error]);
        let record = OutputRecord {
            topic: "findings",
            partition: None,
            key: None,
            payload: Some(b"a finding"),
            headers: &[],
            timestamp_ms: None,
        };
        [(); 2].map(|()| {
            let fault = produce(&producer, &[record], Instant::now() + PATIENCE).unwrap_err();
            cause(&producer, &refused, fault)
        })
    }

    #[test]
    fn a_transaction_that_fails_under_the_hands_is_judged_by_its_reason() {
        use RDKafkaRespErr::{
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING as FORGOTTEN,
            RD_KAFKA_RESP_ERR_PRODUCER_FENCED as FENCED,
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as REFUSED,
        };
        for (error, verdict, word) in [
            (REFUSED, Verdict::End(End::NotAuthorised), "(topic findings)"),
            (FENCED, Verdict::End(End::Fenced), ""),
            (FORGOTTEN, Verdict::Abort, ""),
        ] {
            let faults = faults_of_a_failing_transaction(error);
            assert_eq!(faults.each_ref().map(|fault| fault.step), [Step::Deliver, Step::Produce]);
            for fault in faults {
                let Fault { step, problem, .. } = &fault;
                assert_eq!(fault.verdict, verdict, "{error:?}, {step:?}: {problem}");
                assert!(problem.contains(word), "{error:?}, {step:?}: {problem}");
            }
        }
    }

    #[test]
    fn the_refused_topic_is_read_off_the_clients_log() {
        let line = "[thrd:main]: TxnCoordinator/1: Failed to add partition \"radiology.findings\" [4] \
                    to transaction: Broker: Topic authorization failed";
        assert_eq!(refused_topic("ADDPARTS", line), Some("radiology.findings"));
        assert_eq!(refused_topic("TXNERR", line), None);
        let other = line.replace("Topic authorization failed", "Operation not attempted");
        assert_eq!(refused_topic("ADDPARTS", &other), None);
    }

    #[test]
    fn deliveries_wait_for_all_and_report_the_first_failure() {
        let deliveries = Deliveries::default();
        deliveries.state.lock().outstanding = 2;
        deliveries.settle(None);
        assert!(deliveries.wait(Instant::now()).is_err(), "one is outstanding");
        deliveries.settle(Some((Code::MessageTimedOut, String::from("t"))));
        let failure = deliveries.wait(Instant::now() + Duration::from_secs(5));
        assert_eq!(failure, Err((Code::MessageTimedOut, String::from("t"))));
    }
}
