//! The proxy in front of a real broker.

#![allow(unused_imports, reason = "a bench that shares the module leaves the tests out")]

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{Act, Api, Fault, Kind, Proxy, When};
use crate::support::kafka::{BrokerOptions, KafkaBroker, Listener};
use crate::support::records::{self, Isolation};
use crate::support::server::PATIENCE;

/// A real broker that sends its clients through the proxy, and a transactional producer of it.
struct Real {
    proxy: Proxy,
    broker: KafkaBroker,
}

impl Real {
    fn start() -> Self {
        let proxy = Proxy::bind();
        let options = BrokerOptions::new()
            .listener(Listener::new("PROXIED", "PLAINTEXT"))
            .advertise("PROXIED", &proxy.address().to_string());
        let broker = KafkaBroker::start_with(&options);
        proxy.set_target(broker.bootstrap_of("PROXIED").parse().unwrap());
        Self { proxy, broker }
    }

    fn producer(&self, id: &str) -> BaseProducer {
        let producer: BaseProducer = self
            .broker
            .client()
            .set("bootstrap.servers", self.proxy.address().to_string())
            .set("transactional.id", id)
            .set("socket.timeout.ms", "1000")
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    /// One record in a transaction that is not decided yet.
    fn begin(&self, topic: &str) -> BaseProducer {
        self.broker.create_topic(topic, 1, &[]);
        let producer = self.producer(topic);
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::to(topic).key("k").payload("v")).unwrap();
        producer.flush(PATIENCE).unwrap();
        producer
    }

    /// Committed records, once the transaction is decided.
    fn committed(&self, topic: &str) -> usize {
        self.broker.read_committed_all(topic).len()
    }

    /// Committed records by now, while the transaction is open.
    fn committed_by_now(&self, topic: &str) -> usize {
        records::read_all(&self.broker.client(), topic, Isolation::ReadCommitted).len()
    }
}

fn timed_out(result: Result<(), KafkaError>) -> bool {
    let Err(KafkaError::Transaction(error)) = result else { return false };
    error.is_retriable()
}

#[test]
fn a_commit_can_happen_without_its_client_hearing_of_it_or_not_happen_at_all() {
    const SHORT: Duration = Duration::from_secs(4);
    let real = Real::start();
    let end_txn =
        |when, act| real.proxy.arm(Fault { api: Api::EndTxn, when, act, count: usize::MAX });
    let fired = |kind, when| real.proxy.counts().fired_at(kind, when, Api::EndTxn);

    for (topic, act, kind) in
        [("unheard-reset", Act::Reset, Kind::Reset), ("unheard-swallowed", Act::Drop, Kind::Drop)]
    {
        let producer = real.begin(topic);
        end_txn(When::After, act);
        assert!(timed_out(producer.commit_transaction(SHORT)), "{topic}");
        assert!(fired(kind, When::After) > 0, "{topic}");
        assert_eq!(real.committed(topic), 1, "{topic}: the broker has done it");
        // Asked again, the broker says so.
        real.proxy.heal();
        producer.commit_transaction(PATIENCE).unwrap();
        assert_eq!(real.committed(topic), 1, "{topic}");
    }

    let producer = real.begin("never-asked");
    end_txn(When::Before, Act::Reset);
    assert!(timed_out(producer.commit_transaction(SHORT)));
    assert!(fired(Kind::Reset, When::Before) > 0);
    assert_eq!(real.committed_by_now("never-asked"), 0, "the broker never had the request");
    real.proxy.heal();
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(real.committed("never-asked"), 1);

    // What a client does all day comes through, and is counted.
    let counts = real.proxy.counts();
    for api in [Api::Produce, Api::Metadata, Api::ApiVersions, Api::InitProducerId] {
        assert!(counts.responses_of(api) > 0, "{api:?} in {counts:?}");
    }
    assert!(counts.requests_of(Api::AddPartitionsToTxn) >= 3);
}
