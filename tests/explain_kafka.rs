//! `radstream explain TOPIC/PARTITION/OFFSET` against a real broker.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod support;

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use support::kafka::KafkaBroker;
use support::processes::{Finished, RadstreamCommand};
use support::records::NewRecord;
use support::server::PATIENCE;

const GROUP: &str = "explain-never-joins";

fn message(number: u32) -> String {
    format!(
        "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|20260102030405||ORU^R01|M{number}|P|2.5.1\r\
         OBR|1||ACC{number}^RIS|71046^XR CHEST^C4|||||||||||||||||||||F\r\
         OBX|1|TX|71046&IMP^XR CHEST^C4||The lungs are clear and the heart is normal, {number}.||||||F\r"
    )
}

fn explain(broker: &KafkaBroker, arguments: &[&str]) -> Finished {
    let config =
        format!("[kafka]\nbootstrap_servers = \"{}\"\ngroup = \"{GROUP}\"\n", broker.bootstrap());
    let arguments: Vec<&str> = ["explain"].into_iter().chain(arguments.iter().copied()).collect();
    RadstreamCommand::new(&arguments).config(&config).run(Duration::from_secs(120))
}

#[test]
fn one_offset_is_read_without_group_and_without_commit() {
    let broker = KafkaBroker::shared();
    broker.create_topic("explained", 3, &[]);
    broker.produce("explained", (0..5).map(|n| NewRecord::new("k", message(n)).at_partition(2)));
    let ran = explain(broker, &["--show-text", "explained/2/3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("RIS|ACC3") && ran.stdout.contains("normal, 3"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("ACC2") && !ran.stdout.contains("ACC4"), "{}", ran.stdout);
    let hidden = explain(broker, &["explained/2/3"]);
    assert!(!hidden.stdout.contains("ACC3") && !hidden.stdout.contains("normal, 3"));
    assert!(hidden.stdout.contains("1  labelled"), "{}", hidden.stdout);

    let asker: BaseConsumer = broker.client().create().unwrap();
    let groups = asker.fetch_group_list(None, PATIENCE).unwrap();
    assert!(groups.groups().iter().all(|group| group.name() != GROUP), "the group exists");
    let committed = broker.committed_offsets(GROUP, "explained");
    assert!(committed.values().all(Option::is_none), "{committed:?}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let broker = KafkaBroker::shared();
    broker.create_topic("explained-gaps", 2, &[]);
    // Offset 0 is aborted, 1 its marker, 2 is committed, 3 its marker.
    let producer: BaseProducer =
        broker.client().set("transactional.id", "explain-gaps").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for commits in [false, true] {
        producer.begin_transaction().unwrap();
        let value = message(7);
        let record = BaseRecord::to("explained-gaps").partition(1).key("k").payload(&value);
        producer.send(record).map_err(|(problem, _)| problem).unwrap();
        producer.flush(PATIENCE).unwrap();
        if commits {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    for (record, words) in [
        ("explained-gaps/1/0", "aborted"),
        ("explained-gaps/1/3", "transaction's marker"),
        ("explained-gaps/1/4", "holds 0 to 3"),
        ("explained-gaps/0/0", "it is empty"),
        ("explained-gaps/2/0", "partitions 0 to 1"),
        ("no-such-topic/0/0", "there is no topic no-such-topic"),
    ] {
        let ran = explain(broker, &[record]);
        assert_eq!(ran.code, Some(66), "{record}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{record}: {}", ran.stderr);
    }
    let ran = explain(broker, &["explained-gaps/1/2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}
