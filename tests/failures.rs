//! Each way to fail gives one clear message with the remedy, and the documented exit code.

mod support;

use std::time::Duration;

use support::acls::{Grant, grant};
use support::kafka::{BrokerOptions, KafkaBroker, Listener};
use support::processes::{Finished, RadstreamCommand};
use support::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(120);

fn run(config: &str) -> Finished {
    RadstreamCommand::new(&["run", "--until-end"]).config(config).run(PATIENCE)
}

#[test]
fn a_wrong_configuration_is_told_whole_with_78() {
    let wrong = "[kafka]\nbootstrap_server = \"x:1\"\n[delivery]\nguarantee = \"maybe\"\n";
    let ran = run(wrong);
    ran.assert_told(78, &["radstream.toml", "bootstrap_server", "bootstrap_servers"]);
    ran.assert_told(78, &["delivery.guarantee", "exactly_once"]);
}

#[test]
fn an_unreachable_broker_is_named_with_69() {
    // Port 9 (discard) of loopback: nothing listens there.
    let ran = run("[kafka]\nbootstrap_servers = \"127.0.0.1:9\"\n[http]\nlisten = \"\"\n");
    ran.assert_told(69, &["127.0.0.1:9", "kafka.bootstrap_servers"]);
}

#[test]
fn missing_topics_are_listed_with_78_and_how_to_create_them() {
    let broker = KafkaBroker::shared();
    let stage = Stage { broker, name: "never-created" };
    let ran = run(&stage.config("x", ""));
    ran.assert_told(78, &["never-created.in", "never-created.findings", "topics create"]);
}

#[test]
fn a_missing_model_and_a_missing_provider_end_with_78() {
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "no-model");
    let ran = run(&stage.config("x", "[student]\nmodel = \"models/absent\"\n"));
    ran.assert_told(78, &["models/absent"]);
    let ran = run(&stage.config("x", "[student]\ndevice = \"cuda\"\n"));
    ran.assert_told(78, &["CUDA", "student.device"]);
}

#[test]
fn an_unwritable_topic_is_named_with_77() {
    let listener = Listener::sasl_plain("SASL", &[("feeder", "open-sesame")]);
    let broker =
        KafkaBroker::start_with(&BrokerOptions::new().listener(listener).authorize_only(&[]));
    let stage = Stage::create(&broker, "unwritable");
    stage.feed(1, 20);
    let rights = [
        ("Read", "topic", "unwritable.in"),
        ("Describe", "topic", "unwritable.findings"),
        ("Write", "topic", "unwritable.escalations"),
        ("Write", "topic", "unwritable.distillation"),
        ("Write", "topic", "unwritable.dead"),
        ("Read", "group", "unwritable.group"),
        ("Write", "transactional id", "unwritable.group.x"),
    ];
    let grants = rights.map(|(operation, kind, name)| Grant {
        user: "feeder".to_owned(),
        operation: operation.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    });
    grant(broker.bootstrap(), &grants);
    let sasl =
        "[kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"feeder\"\npassword = \"open-sesame\"\n";
    let config = stage.config("x", sasl).replace(broker.bootstrap(), broker.bootstrap_of("SASL"));
    let ran = run(&config);
    ran.assert_told(77, &["unwritable.findings", "Write"]);
    assert!(!ran.stderr.contains("open-sesame"), "the password must not be printed");
    assert!(broker.read_committed_all("unwritable.findings").is_empty());
    assert!(broker.read_committed_all("unwritable.dead").is_empty(), "all or nothing");
}

#[test]
fn a_full_disk_is_told_with_74() {
    let ran = RadstreamCommand::new(&["label", "--labeler", "rules", "--output", "/dev/full", "-"])
        .stdin("FINDINGS: No pleural effusion.")
        .run(PATIENCE);
    ran.assert_told(74, &["/dev/full", "space"]);
}

#[test]
fn a_wrong_argument_is_usage_with_64() {
    let ran = RadstreamCommand::new(&["run", "--stag", "label"]).run(PATIENCE);
    ran.assert_told(64, &["--stage"]);
}
