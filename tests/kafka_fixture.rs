//! The test servers themselves: are they the real thing, and do they tell the truth?

mod support;

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use support::kafka::{BrokerOptions, KafkaBroker, Listener};
use support::processes::RadstreamCommand;
use support::records::{Message, NewRecord};
use support::registry::SchemaRegistry;
use support::server::PATIENCE;

fn transactional(broker: &KafkaBroker, id: &str) -> BaseProducer {
    let producer: BaseProducer =
        broker.client().set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("a transactional id");
    producer
}

fn send(producer: &BaseProducer, topic: &str, value: &str) {
    producer.send(BaseRecord::to(topic).key("k").payload(value)).expect("room in the queue");
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(message.bytes()).expect("text")).collect()
}

#[test]
fn a_read_committed_reader_sees_committed_records_only() {
    let broker = KafkaBroker::shared();
    broker.create_topic("transactions", 1, &[]);
    let producer = transactional(broker, "writer");
    for (value, commits) in [("first", true), ("never", false), ("second", true)] {
        producer.begin_transaction().unwrap();
        send(&producer, "transactions", value);
        if commits {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            // An abort drops what is still queued: the record must have reached the broker to be
            // one that a reader could wrongly see.
            producer.flush(PATIENCE).unwrap();
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    assert_eq!(texts(&broker.read_committed_all("transactions")), ["first", "second"]);
    assert_eq!(texts(&broker.read_uncommitted_all("transactions")), ["first", "never", "second"]);
    // Three records and three control records.
    assert_eq!(broker.end_offsets("transactions"), BTreeMap::from([(0, 6)]));
}

#[test]
fn a_reader_finds_the_end_as_often_as_it_is_asked_and_each_message_once() {
    let broker = KafkaBroker::shared();
    broker.create_topic("ends", 3, &[]);
    let record = |i: u8| NewRecord::new("k", vec![b'0' + i]).at_partition(i32::from(i % 2));
    broker.produce("ends", (0..4).map(record));
    let mut reader = broker.reader(&["ends"]);
    // The end of a partition where nothing happens is told to a consumer once.
    for _ in 0..2 {
        assert_eq!(reader.read_to_end().len(), 4);
    }
    broker.produce("ends", (4..6).map(record));
    let mut read = texts(reader.read_to_end());
    read.sort_unstable();
    assert_eq!(read, ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn offsets_are_committed_with_the_transaction_or_not_at_all() {
    let broker = KafkaBroker::shared();
    broker.create_topic("offsets-in", 2, &[]);
    broker.produce("offsets-in", (0..4).map(|i| NewRecord::new("k", vec![i]).at_partition(1)));
    let consumer: BaseConsumer = broker.client().set("group.id", "mover").create().unwrap();
    consumer.subscribe(&["offsets-in"]).unwrap();
    support::server::wait_until("an assignment", PATIENCE, || {
        let _ = consumer.poll(std::time::Duration::from_millis(50));
        (consumer.assignment().unwrap().count() == 2).then_some(())
    });
    let producer = transactional(broker, "mover");
    let mut offsets = rdkafka::TopicPartitionList::new();
    for (next, commits, seen) in [(3, false, None), (2, true, Some(2))] {
        producer.begin_transaction().unwrap();
        offsets
            .add_partition_offset("offsets-in", 1, rdkafka::Offset::Offset(next))
            .expect("an offset");
        let group = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
        if commits {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        assert_eq!(
            broker.committed_offsets("mover", "offsets-in"),
            BTreeMap::from([(0, None), (1, seen)]),
        );
        offsets = rdkafka::TopicPartitionList::new();
    }
}

#[test]
fn an_older_producer_with_the_same_transactional_id_is_fenced() {
    let broker = KafkaBroker::shared();
    broker.create_topic("fencing", 1, &[]);
    let older = transactional(broker, "twice");
    older.begin_transaction().unwrap();
    send(&older, "fencing", "zombie");
    older.flush(PATIENCE).unwrap();
    let _newer = transactional(broker, "twice");
    let error = older.commit_transaction(PATIENCE).unwrap_err();
    assert!(error.to_string().to_lowercase().contains("fenced"), "{error}");
    assert_eq!(texts(&broker.read_committed_all("fencing")), [""; 0]);
}

#[test]
fn keys_values_headers_and_partitions_come_back_as_written() {
    let broker = KafkaBroker::shared();
    broker.create_topic("roundtrip", 3, &[]);
    let value: Vec<u8> = (0..=255).collect();
    broker.produce(
        "roundtrip",
        [NewRecord::new("key", value.clone()).at_partition(2).with_header("h", "one")],
    );
    let mut reader = broker.reader(&["roundtrip"]);
    let read = reader.until("the record", PATIENCE, |messages| !messages.is_empty());
    let [message] = read else { panic!("one record, not {}", read.len()) };
    assert_eq!((message.partition, message.offset), (2, 0));
    assert_eq!((message.key_text(), message.header("h")), (Some("key"), Some("one")));
    assert_eq!(message.bytes(), value);
}

#[test]
fn a_killed_broker_comes_back_with_its_data_and_refuses_what_it_should() {
    let options = BrokerOptions::new()
        .listener(Listener::sasl_plain("LOGIN", &[("writer", "right"), ("reader", "weak")]))
        .listener(Listener::sasl_scram("SCRAM"))
        .scram_user("writer", "secret")
        .authorize_only(&["writer"]);
    let mut broker = KafkaBroker::start_with(&options);
    broker.create_topic("kept", 1, &[]);
    broker.produce("kept", [NewRecord::new("k", "v")]);
    broker.kill();
    broker.restart();
    assert_eq!(texts(&broker.read_committed_all("kept")), ["v"]);

    let sasl = |listener: &str, mechanism: &str, user: &str, password: &str| {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_of(listener))
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", mechanism)
            .set("sasl.username", user)
            .set("sasl.password", password)
            .create()
            .unwrap();
        let seconds = if password == "wrong" { 5 } else { 60 };
        let patience = std::time::Duration::from_secs(seconds);
        let metadata = consumer.fetch_metadata(Some("kept"), patience).ok()?;
        Some(metadata.topics()[0].partitions().len())
    };
    assert_eq!(sasl("LOGIN", "PLAIN", "writer", "right"), Some(1));
    assert_eq!(sasl("SCRAM", "SCRAM-SHA-256", "writer", "secret"), Some(1));
    assert_eq!(sasl("LOGIN", "PLAIN", "reader", "weak"), Some(0), "not authorised for the topic");
    assert_eq!(sasl("LOGIN", "PLAIN", "writer", "wrong"), None, "not authenticated");
}

#[test]
fn the_schema_registry_answers_as_confluents_does() {
    let registry = SchemaRegistry::shared();
    let (status, body) = registry.get("/subjects");
    assert_eq!((status, body.trim()), (200, "[]"));
    let (status, body) = registry.get("/subjects/none-value/versions/latest");
    assert_eq!(status, 404);
    assert!(body.contains("40401"), "Confluent's code for an unknown subject: {body}");
}

#[test]
fn the_binary_under_test_is_this_version() {
    let finished = RadstreamCommand::new(&["--version"]).run(PATIENCE);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(finished.stdout, format!("radstream {}\n", env!("CARGO_PKG_VERSION")));
}
