//! `radstream dlq` on real Kafka: what could not be processed is counted and shown without what tells of
//! the patient, and written back exactly once, whatever is killed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use radstream::publish::{Contract, FindingsEvent, decode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use support::kafka::KafkaBroker;
use support::processes::{Finished, Radstream, RadstreamCommand};
use support::records::{Isolation, Message, NewRecord, await_decided, read_all};
use support::stage::{PARTITIONS, Stage};

const PATIENCE: Duration = Duration::from_secs(300);
/// Stands in every key, value and header of a message that fails, and nowhere else.
const PATIENT: &str = "ZZPATIENT";
/// Header that carries a message's number.
const NUMBER: &str = "test-number";
/// What a replay adds to a record.
const ADDED: [&str; 3] =
    ["radstream.first.failed.at", "radstream.attempt", "radstream.replay.count"];
const RULES: &str = "[student]\nlabeler = \"rules\"\n";
/// Under no usual name: only `intake.envelope_pointer` finds what is in it.
const MENDED: &str =
    "[student]\nlabeler = \"rules\"\n[intake]\nenvelope_pointer = \"/outer/hospital\"\n";

/// A report in an envelope that nobody expects.
fn envelope(number: usize) -> String {
    let message = format!(
        "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|20260102030405||ORU^R01|M{number}|P|2.5.1\r\
         PID|1||{PATIENT}^^^GENHOSP||{PATIENT}^JANE\r\
         OBR|1||ACC{number}^RIS|71046^XR CHEST^C4|||||||||||||||||||||F\r\
         OBX|1|TX|71046&IMP^XR CHEST^C4||Small left pleural effusion, case {number}.||||||F\r"
    );
    serde_json::json!({ "outer": { "hospital": message } }).to_string()
}

fn poison(number: usize, value: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord::new(format!("{PATIENT}-{number}"), value)
        .with_header("sender", format!("{PATIENT} of RIS"))
        .with_header(NUMBER, number.to_string())
        .with_header("sender", "twice")
}

fn envelopes(stage: &Stage<'_>, numbers: std::ops::Range<usize>) {
    let records = numbers.map(|number| poison(number, envelope(number)));
    stage.broker.produce(&stage.topic("in"), records);
}

/// A configuration under which any number of letters may come in a row.
fn config(stage: &Stage<'_>, more: &str) -> String {
    stage.config("only", &format!("{more}[publish]\nmax_consecutive_dead_letters = 100000\n"))
}

fn label(stage: &Stage<'_>, more: &str) {
    let config = config(stage, more);
    // What a replay has written is seen when it is decided.
    await_decided(&stage.broker.client(), &stage.topic("in"));
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

fn command(stage: &Stage<'_>, more: &str, args: &[&str]) -> RadstreamCommand {
    let args: Vec<&str> = ["dlq"].into_iter().chain(args.iter().copied()).collect();
    RadstreamCommand::new(&args).config(&config(stage, more))
}

/// Runs `radstream dlq`; whatever it writes, it tells nothing of the patient.
fn dlq(stage: &Stage<'_>, args: &[&str], code: i32) -> Finished {
    let ran = command(stage, RULES, args).run(PATIENCE);
    assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.stdout, ran.stderr);
    for output in [&ran.stdout, &ran.stderr] {
        assert!(!output.contains(PATIENT), "{args:?} tells of the patient:\n{output}");
    }
    ran
}

fn json(stage: &Stage<'_>, args: &[&str], code: i32) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&dlq(stage, &args, code).stdout).unwrap()
}

fn replayed(summary: &Value) -> u64 {
    summary["replayed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

fn letters(stage: &Stage<'_>) -> Vec<Message> {
    let all = stage.broker.read_committed_all(&stage.topic("dead"));
    all.into_iter().filter(|m| m.header("radstream.error.class").is_some()).collect()
}

/// Checks that each message of the input was written once more, as it was, and no other.
fn assert_replayed_once(stage: &Stage<'_>, numbers: std::ops::Range<usize>) {
    let mut sent: BTreeMap<usize, Message> = BTreeMap::new();
    let mut again: BTreeSet<usize> = BTreeSet::new();
    for message in stage.broker.read_committed_all(&stage.topic("in")) {
        let number: usize = message.header(NUMBER).unwrap().parse().unwrap();
        if message.header("radstream.replay.count").is_none() {
            assert!(sent.insert(number, message).is_none(), "the feed itself is doubled");
            continue;
        }
        assert!(again.insert(number), "message {number} was replayed twice");
        let original = &sent[&number];
        assert_eq!(message.value, original.value, "message {number}");
        assert_eq!(message.key, original.key, "message {number}");
        assert_eq!(message.timestamp, original.timestamp, "message {number}");
        assert_eq!(message.partition, original.partition, "message {number}");
        let (kept, added) = message.headers.split_at(original.headers.len());
        assert_eq!(kept, original.headers, "message {number}");
        let added: Vec<&str> = added.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(added, ADDED, "message {number}");
        assert_eq!(message.header("radstream.replay.count"), Some("1"));
    }
    assert_eq!(again, numbers.collect(), "each message once more");
}

#[test]
fn letters_are_counted_and_shown_and_nothing_tells_of_the_patient() {
    let stage = Stage::create(KafkaBroker::shared(), "dlq-look");
    let small = "[student]\nlabeler = \"rules\"\n[publish]\nmax_message_bytes = 10000\n";
    let stray = [PATIENT.as_bytes(), b" \xff\x00\r\n stray"].concat();
    let large = format!("{PATIENT} {}", "x".repeat(20_000));
    let cut = format!("{{\"resourceType\":\"DiagnosticReport\",\"id\":\"{PATIENT}\"");
    stage.broker.produce(
        &stage.topic("in"),
        [
            poison(0, stray.clone()).at_partition(2),
            poison(1, "  ").at_partition(2),
            poison(2, cut).at_partition(3),
            poison(3, large).at_partition(4),
            poison(4, envelope(4)).at_partition(5),
        ],
    );
    let config = stage.config("only", small);
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let found = letters(&stage);
    assert_eq!(found.len(), 5);
    let place = |number: usize| {
        let number = number.to_string();
        let letter = found.iter().find(|letter| letter.header(NUMBER) == Some(&number)).unwrap();
        (format!("{}:{}", letter.partition, letter.offset), letter)
    };

    let listed = json(&stage, &["list", "--letters"], 0);
    let mut classes: BTreeMap<String, u64> = BTreeMap::new();
    for letter in &found {
        let class = letter.header("radstream.error.class").unwrap();
        *classes.entry(class.to_owned()).or_default() += 1;
    }
    assert!(classes.len() >= 3, "{classes:?}");
    for (class, count) in &classes {
        assert_eq!(listed["by_class"][class]["letters"], *count, "{class}");
        let of_class = json(&stage, &["list", "--class", class], 0);
        assert_eq!(of_class["total"]["letters"], *count, "{class}");
    }
    assert_eq!(listed["by_stage"]["decode"]["letters"], 5);
    assert_eq!(listed["total"]["replayed"], 0);
    assert_eq!(listed["by_day"].as_object().unwrap().len(), 1);
    let lines = listed["letters"].as_array().unwrap();
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().any(|line| line["letter"] == place(0).0
        && line["came_from"] == format!("{}/2/0", stage.topic("in"))
        && line["class"] == "unknown_format"));
    assert_eq!(json(&stage, &["list", "--until", "2020-01-01"], 0)["total"]["letters"], 0);
    assert_eq!(json(&stage, &["list", "--since", "2020-01-01"], 0)["total"]["letters"], 5);
    let told = dlq(&stage, &["list", "--letters"], 0).stdout;
    for words in ["5 dead letters", "unknown_format", "no bytes, or only white space", "decode"] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
    dlq(&stage, &["list", "--since", "yesterday"], 64);

    let (at, letter) = place(0);
    let told = dlq(&stage, &["show", &at], 0).stdout;
    let origin = format!("{}/2/0", stage.topic("in"));
    for words in ["unknown_format: neither HL7", "intake.envelope_pointer", &origin, "dead_letter"]
    {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
    let shown = json(&stage, &["show", &at], 0);
    assert_eq!(shown["value_bytes"], letter.bytes().len());
    assert_eq!((&shown["attempt"], &shown["replays"]), (&1.into(), &0.into()));
    assert_eq!(shown["sender_headers"], 3);
    let mut raw = command(&stage, RULES, &["show", &at, "--raw"]).spawn();
    assert_eq!(raw.wait(PATIENCE).code(), Some(0), "{}", raw.stderr());
    assert_eq!(raw.stdout_bytes(), stray, "byte for byte");

    // Read again with what would mend it.
    let mended = command(&stage, MENDED, &["show", &place(4).0]).run(PATIENCE);
    assert!(mended.stdout.contains("labelled"), "{}{}", mended.stdout, mended.stderr);
    assert!(!mended.stdout.contains(PATIENT), "{}", mended.stdout);

    // A letter that has not all of its record.
    let (at, letter) = place(3);
    assert_eq!(letter.value, None);
    let origin = format!("{}/4/0", stage.topic("in"));
    assert!(dlq(&stage, &["show", &at], 0).stdout.contains(&origin));
    assert!(dlq(&stage, &["show", &at, "--raw"], 66).stderr.contains(&origin));
    let before = stage.broker.end_offsets(&stage.topic("in"));
    let summary = json(&stage, &["replay", "--letter", &at], 65);
    assert_eq!((replayed(&summary), &summary["refused"]["cut"]), (0, &1.into()));
    assert_eq!(summary["refused_letters"][0]["came_from"], origin);

    // A dry run tells and writes nothing.
    let summary = json(&stage, &["replay", "--dry-run"], 65);
    assert_eq!((replayed(&summary), &summary["refused"]["cut"]), (4, &1.into()));
    assert_eq!(stage.broker.end_offsets(&stage.topic("in")), before);
    for (args, code) in [
        (vec!["show", "0:99999"], 66),
        (vec!["show", "99:0"], 66),
        (vec!["replay", "--letter", "0:99999"], 65),
        (vec!["replay", "--to", "no-such-topic"], 66),
        (vec!["replay", "--to", "dlq-look.dead"], 64),
    ] {
        dlq(&stage, &args, code);
    }
    assert_eq!(stage.broker.end_offsets(&stage.topic("in")), before);
}

#[test]
fn what_is_mended_is_replayed_and_has_its_finding_once() {
    const COUNT: usize = 40;
    let stage = Stage::create(KafkaBroker::shared(), "dlq-mended");
    envelopes(&stage, 0..COUNT);
    stage.broker.produce(&stage.topic("in"), [poison(COUNT, "  ")]);
    label(&stage, RULES);
    assert_eq!(letters(&stage).len(), COUNT + 1);
    assert!(stage.broker.read_committed_all(&stage.topic("findings")).is_empty());

    let few = json(&stage, &["replay", "--class", "unknown_format", "--limit", "10"], 0);
    assert_eq!((replayed(&few), &few["left"]), (10, &30.into()));
    let rest = json(&stage, &["replay", "--class", "unknown_format"], 0);
    assert_eq!((replayed(&rest), &rest["replayed_before"]), (30, &10.into()));
    assert_replayed_once(&stage, 0..COUNT);
    label(&stage, MENDED);
    let mut found = BTreeSet::new();
    for finding in stage.broker.read_committed_all(&stage.topic("findings")) {
        let event: FindingsEvent<'static> = decode(Contract::Findings, finding.bytes()).unwrap();
        assert!(found.insert(event.report_key.to_string()), "{} twice", event.report_key);
    }
    assert_eq!(found.len(), COUNT);

    // Nothing is left to do, and nothing is done.
    let before = stage.broker.end_offsets(&stage.topic("in"));
    let again = json(&stage, &["replay", "--class", "unknown_format"], 0);
    assert_eq!((replayed(&again), &again["replayed_before"]), (0, &40.into()));
    assert_eq!(stage.broker.end_offsets(&stage.topic("in")), before);
    let listed = json(&stage, &["list"], 0);
    assert_eq!(listed["by_class"]["unknown_format"]["replayed"], 40);
    assert_eq!(listed["by_class"]["empty"]["replayed"], 0);
    assert_eq!(listed["foreign"], 0, "markers are known");
    let shown = letters(&stage).into_iter().find(|letter| letter.bytes().len() > 10).unwrap();
    let at = format!("{}:{}", shown.partition, shown.offset);
    assert_eq!(json(&stage, &["show", &at], 0)["is_replayed"], true);
}

#[test]
fn a_killed_replay_run_again_neither_loses_nor_repeats() {
    // Six times as many as are waited for: a replay must not be done before its kill.
    const COUNT: usize = 6_000;
    let stage = Stage::create(KafkaBroker::shared(), "dlq-killed");
    envelopes(&stage, 0..COUNT);
    label(&stage, RULES);
    assert_eq!(letters(&stage).len(), COUNT);
    // One request a record: transactions take long enough to be met in the middle.
    let slow = format!("{RULES}[kafka.producer_properties]\n\"batch.num.messages\" = 1\n");
    let slow = |args: &[&str]| {
        let command = RadstreamCommand::new(args);
        let config = config(&stage, &slow);
        command.config(&config.replace("[delivery]\n", "[delivery]\ncommit_records = 200\n"))
    };
    let input = stage.topic("in");
    for kill in [20, 130, 250, 60, 330, 170] {
        // Records of the input, those of open and aborted transactions included.
        let start: i64 = stage.broker.end_offsets(&input).values().sum();
        let mut process = slow(&["dlq", "replay"]).spawn();
        process.until("records before a kill", PATIENCE, || {
            let now: i64 = stage.broker.end_offsets(&input).values().sum();
            (now >= start + kill).then_some(())
        });
        process.kill();
    }
    let committed = stage.broker.read_committed_all(&input).len();
    assert!(committed < 2 * COUNT, "the kills must fall while there is work");
    let ran = slow(&["dlq", "replay", "--format", "json"]).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    let before = summary["replayed_before"].as_u64().unwrap();
    assert!(before > 0, "some transactions were committed before a kill");
    assert_eq!(before + replayed(&summary), COUNT as u64);
    assert_replayed_once(&stage, 0..COUNT);
    let all = stage.broker.read_uncommitted_all(&input).len();
    println!("{before} replayed before the last run, {} records aborted", all - 2 * COUNT);
    assert!(all > 2 * COUNT, "no kill fell inside a transaction: the test shows nothing");
}

#[test]
fn what_stays_broken_comes_back_counted_and_is_refused_in_the_end() {
    let stage = Stage::create(KafkaBroker::shared(), "dlq-broken");
    stage.broker.produce(&stage.topic("in"), [poison(0, format!("{PATIENT} stray"))]);
    for replays in 0..=3 {
        label(&stage, RULES);
        let letters = letters(&stage);
        assert_eq!(letters.len(), replays + 1);
        let newest = letters.iter().max_by_key(|letter| letter.offset).unwrap();
        let count = newest.header("radstream.replay.count").map(ToOwned::to_owned);
        assert_eq!(count, (replays > 0).then(|| replays.to_string()));
        assert_eq!(newest.header("radstream.attempt"), Some(&*(replays + 1).to_string()));
        let (first, oldest) = ("radstream.first.failed.at", &letters[0]);
        assert_eq!(newest.header(first), oldest.header(first));
        assert_eq!(newest.value, oldest.value);
        if replays < 3 {
            assert_eq!(replayed(&json(&stage, &["replay"], 0)), 1);
        }
    }
    let before = stage.broker.end_offsets(&stage.topic("in"));
    let refused = json(&stage, &["replay"], 65);
    assert_eq!((replayed(&refused), &refused["refused"]["too_often"]), (0, &1.into()));
    assert_eq!(refused["replayed_before"], 3);
    assert!(dlq(&stage, &["replay"], 65).stdout.contains("--max-replays"));
    assert_eq!(stage.broker.end_offsets(&stage.topic("in")), before);
    assert_eq!(replayed(&json(&stage, &["replay", "--max-replays", "4"], 0)), 1);
}

/// Starts a replay and waits until it has replayed something.
fn started(stage: &Stage<'_>, args: &[&str]) -> Radstream {
    let sent = stage.broker.read_committed_all(&stage.topic("in")).len();
    let process = command(stage, RULES, args).spawn();
    let input = stage.topic("in");
    stage.broker.reader(&[&input]).until("a replayed record", PATIENCE, |m| m.len() > sent);
    process
}

#[test]
fn of_two_replays_at_once_the_first_is_fenced_with_70_and_nothing_is_doubled() {
    const COUNT: usize = 60;
    let stage = Stage::create(KafkaBroker::shared(), "dlq-two");
    envelopes(&stage, 0..COUNT);
    label(&stage, RULES);
    let mut first = started(&stage, &["replay", "--rate", "2"]);
    let second = json(&stage, &["replay"], 0);
    let before = second["replayed_before"].as_u64().unwrap();
    assert!(before >= 1 && replayed(&second) >= 1, "{second}");
    assert_eq!(before + replayed(&second), COUNT as u64);
    let ended = first.wait(PATIENCE);
    assert_eq!(ended.code(), Some(70), "{}", first.log_tail(20));
    assert!(first.stderr().contains("dlq-replay"), "{}", first.stderr());
    assert_replayed_once(&stage, 0..COUNT);
}

#[test]
fn an_open_transaction_in_front_of_a_marker_does_not_hide_it() {
    const COUNT: usize = 10;
    let stage = Stage::create(KafkaBroker::shared(), "dlq-hidden");
    let records = (0..COUNT).map(|number| poison(number, envelope(number)).at_partition(0));
    stage.broker.produce(&stage.topic("in"), records);
    label(&stage, RULES);
    // Another writer of the topic dies in the middle of its transaction: the brokers abort it when it
    // times out, and until then nothing behind it can be read. The first replay takes ten seconds.
    let dead = stage.topic("dead");
    let mut client = stage.broker.client();
    client.set("transactional.id", "dlq-hidden-other").set("transaction.timeout.ms", "30000");
    let other: BaseProducer = client.create().unwrap();
    other.init_transactions(PATIENCE).unwrap();
    let mut first = started(&stage, &["replay", "--rate", "1"]);
    other.begin_transaction().unwrap();
    let record = BaseRecord::to(&dead).partition(0).key("k").payload("v");
    other.send(record).map_err(|(problem, _)| problem).unwrap();
    other.flush(PATIENCE).unwrap();
    assert_eq!(first.wait(PATIENCE).code(), Some(0), "{}", first.log_tail(20));
    let markers = |messages: Vec<Message>| {
        messages.iter().filter(|m| m.header("radstream.replayed.letter").is_some()).count()
    };
    let hidden = markers(read_all(&stage.broker.client(), &dead, Isolation::ReadCommitted));
    assert!(hidden < COUNT, "no marker stood behind the open transaction: the test shows nothing");
    assert_eq!(markers(stage.broker.read_uncommitted_all(&dead)), COUNT);

    let second = json(&stage, &["replay"], 0);
    assert_eq!((replayed(&second), &second["replayed_before"]), (0, &COUNT.into()));
    assert_replayed_once(&stage, 0..COUNT);
}

#[test]
fn letters_of_stage_teach_go_back_to_the_escalations_and_others_where_they_are_sent() {
    let stage = Stage::create(KafkaBroker::shared(), "dlq-teach");
    stage.broker.create_topic("dlq-teach.retries", PARTITIONS, &[]);
    stage.broker.create_topic("dlq-teach.elsewhere", 1, &[]);
    let escalations = stage.topic("escalations");
    stage.broker.produce(&escalations, [poison(0, format!("{PATIENT} no Avro"))]);
    let teacher = "[teacher]\ngroup = \"dlq-teach.teach\"\n[[teacher.providers]]\nname = \"nobody\"\n\
                   base_url = \"http://127.0.0.1:9/v1\"\nmodel = \"none\"\n";
    let config = config(&stage, &format!("{RULES}{teacher}"))
        .replace("[topics]\n", "[topics]\nretries = \"dlq-teach.retries\"\n");
    let run = |args: &[&str]| {
        let ran = RadstreamCommand::new(args).config(&config).run(PATIENCE);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    run(&["run", "--stage", "teach", "--until-end"]);
    let letters = letters(&stage);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("radstream.error.stage"), Some("teach"));
    let summary: Value =
        serde_json::from_str(&run(&["dlq", "replay", "--format", "json"])).unwrap();
    assert_eq!(summary["replayed"][&escalations], 1);
    let there = stage.broker.read_committed_all(&escalations);
    assert_eq!(there.len(), 2);
    assert_eq!(there[0].value, there[1].value);
    assert!(stage.broker.read_committed_all(&stage.topic("in")).is_empty());

    run(&["run", "--stage", "teach", "--until-end"]);
    run(&["dlq", "replay", "--to", "dlq-teach.elsewhere"]);
    let elsewhere = stage.broker.read_committed_all("dlq-teach.elsewhere");
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(elsewhere[0].header("radstream.replay.count"), Some("2"));
    assert_eq!(elsewhere[0].value, there[0].value);
}
