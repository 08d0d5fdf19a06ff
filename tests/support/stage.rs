//! Stage label under test: its topics, its configuration, and what must have come of a workload.

use std::collections::{BTreeMap, BTreeSet};

use radstream::demo::generator::{DemoKind, message};
use radstream::publish::{Contract, EventKind, FindingsEvent, decode};

use super::kafka::KafkaBroker;
use super::records::{Message, NewRecord};

/// Partitions of every topic of a stage.
pub const PARTITIONS: i32 = 6;

/// Header that carries a message's number in the generated feed.
const NUMBER: &str = "test-number";

/// What every configuration under test says of topics: those of stage label, after their prefix.
pub fn topics_toml(prefix: &str, replication: usize) -> String {
    format!(
        "[topics]
reports = [\"{prefix}.in\"]
findings = \"{prefix}.findings\"
escalations = \"{prefix}.escalations\"
distillation = \"{prefix}.distillation\"
dead_letters = \"{prefix}.dead\"
replication_factor = {replication}"
    )
}

/// The topics of one stage under test, created, with names of their own.
pub struct Stage<'a> {
    pub broker: &'a KafkaBroker,
    pub name: &'static str,
}

impl<'a> Stage<'a> {
    pub fn create(broker: &'a KafkaBroker, name: &'static str) -> Self {
        let stage = Self { broker, name };
        for kind in ["in", "findings", "escalations", "distillation", "dead"] {
            broker.create_topic(&stage.topic(kind), PARTITIONS, &[]);
        }
        stage
    }

    /// `in`, `findings`, `escalations`, `distillation` or `dead`.
    pub fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    pub fn group(&self) -> String {
        format!("{}.group", self.name)
    }

    /// A configuration for one process of the stage; `more` is TOML of further sections.
    pub fn config(&self, instance: &str, more: &str) -> String {
        format!(
            "[kafka]
bootstrap_servers = \"{servers}\"
group = \"{group}\"
instance_id = \"{instance}\"
session_timeout_ms = 10000
{topics}
[delivery]
transaction_timeout_ms = 5000
[http]
listen = \"127.0.0.1:0\"
{more}
",
            servers = self.broker.bootstrap(),
            group = self.group(),
            topics = topics_toml(self.name, 1),
        )
    }

    /// Writes messages `0..count` of the feed with this seed, each with its number as a header.
    pub fn feed(&self, seed: u64, count: u64) {
        self.feed_numbers(seed, 0..count);
    }

    /// Writes those messages of the feed, as fast as their numbers come.
    pub fn feed_numbers(&self, seed: u64, numbers: impl Iterator<Item = u64>) {
        let records = numbers.map(|number| {
            let message = message(seed, number);
            NewRecord {
                key: message.key,
                value: Some(message.payload),
                ..NewRecord::default().with_header(NUMBER, number.to_string())
            }
        });
        self.broker.produce(&self.topic("in"), records);
    }
}

/// How many findings events and dead letters messages `0..count` of a feed must lead to.
pub fn expected(seed: u64, count: u64) -> (usize, usize) {
    expected_of(seed, 0..count)
}

/// The same of some messages of it.
pub fn expected_of(seed: u64, numbers: std::ops::Range<u64>) -> (usize, usize) {
    let outcomes = numbers.map(|number| message(seed, number).kind.expected_outcome());
    let (mut events, mut dead) = (0, 0);
    for outcome in outcomes {
        match outcome {
            "labelled" | "retracted" | "promoted" => events += 1,
            "dead_letter" => dead += 1,
            _ => {}
        }
    }
    (events, dead)
}

/// Where the records stand that led to these findings events, each once.
pub fn sources(messages: &[Message]) -> BTreeSet<(i32, i64)> {
    messages
        .iter()
        .map(|message| {
            let event: FindingsEvent<'static> =
                decode(Contract::Findings, message.bytes()).expect("a findings event");
            (event.source.partition, event.source.offset)
        })
        .collect()
}

/// Checks everything that a read_committed reader finds against what was fed. Apart from the code
/// under test: it knows the feed, and reads topics.
///
/// # Panics
/// When an outcome is missing, doubled, wrong or out of order, or a dead letter is altered.
pub fn assert_exactly_once(stage: &Stage<'_>, seed: u64) {
    let inputs = stage.broker.read_committed_all(&stage.topic("in"));
    let findings = stage.broker.read_committed_all(&stage.topic("findings"));
    let dead = stage.broker.read_committed_all(&stage.topic("dead"));
    let mut events: BTreeMap<(i32, i64), Vec<FindingsEvent<'_>>> = BTreeMap::new();
    let mut last_source: BTreeMap<String, (i32, i64)> = BTreeMap::new();
    for message in &findings {
        let event: FindingsEvent<'static> =
            decode(Contract::Findings, message.bytes()).expect("a findings event");
        assert_eq!(message.key_text(), Some(event.report_key.as_ref()), "the key is the report's");
        let place = (event.source.partition, event.source.offset);
        // Input keyed by accession number: all versions of a report stand in one partition.
        if let Some(before) = last_source.insert(event.report_key.to_string(), place)
            && before.0 == place.0
        {
            assert!(before.1 < place.1, "a report's versions overtook each other");
        }
        events.entry(place).or_default().push(event);
    }
    // In the same transaction as each retraction, the report is struck from the training data.
    let struck = stage.broker.read_committed_all(&stage.topic("distillation"));
    assert!(struck.iter().all(|marker| marker.value.is_none()), "nothing else is written there");
    let mut struck: Vec<_> = struck.iter().filter_map(Message::key_text).collect();
    let retracted = events.values().flatten().filter(|event| event.kind == EventKind::Retracted);
    let mut retracted: Vec<_> = retracted.map(|event| event.report_key.to_string()).collect();
    struck.sort_unstable();
    retracted.sort_unstable();
    assert_eq!(struck, retracted, "one marker for each retraction");
    let mut letters: BTreeMap<(i32, i64), Vec<&Message>> = BTreeMap::new();
    for letter in &dead {
        letters.entry(origin(letter)).or_default().push(letter);
    }
    let mut numbers = BTreeSet::new();
    for input in &inputs {
        let number: u64 = input.header(NUMBER).and_then(|n| n.parse().ok()).expect("a number");
        assert!(numbers.insert(number), "the feed itself is doubled");
        let kind = message(seed, number).kind;
        let place = (input.partition, input.offset);
        let found: Vec<&str> = events
            .get(&place)
            .map(|events| events.iter().map(|event| event.kind.name()).collect())
            .unwrap_or_default();
        let buried = letters.remove(&place).unwrap_or_default();
        match kind.expected_outcome() {
            outcome @ ("labelled" | "retracted" | "promoted") => {
                assert_eq!(found, [outcome], "message {number} ({kind:?})");
                assert!(buried.is_empty(), "message {number} is also a dead letter");
            }
            "dead_letter" => {
                assert!(found.is_empty(), "message {number} ({kind:?}) has findings");
                let [letter] = buried[..] else {
                    panic!("message {number} ({kind:?}) has {} dead letters", buried.len());
                };
                assert_untouched(input, letter, kind);
            }
            _ => {
                assert!(
                    found.is_empty() && buried.is_empty(),
                    "message {number} was to be skipped"
                );
            }
        }
        events.remove(&place);
    }
    assert!(events.is_empty(), "findings of records that are not in the input");
    assert!(letters.is_empty(), "dead letters of records that are not in the input");
    let ends = stage.broker.end_offsets(&stage.topic("in"));
    let committed = stage.broker.committed_offsets(&stage.group(), &stage.topic("in"));
    for (partition, end) in ends {
        let at = committed.get(&partition).copied().flatten().unwrap_or(0);
        assert_eq!(at, end, "committed offset of partition {partition}");
    }
}

fn assert_untouched(input: &Message, letter: &Message, kind: DemoKind) {
    assert_eq!(letter.value, input.value, "{kind:?}: byte for byte");
    assert_eq!(letter.key, input.key, "{kind:?}: the key");
    assert_eq!(letter.timestamp, input.timestamp, "{kind:?}: the timestamp");
    assert_eq!(letter.partition, input.partition, "{kind:?}: the same partition number");
    for header in &input.headers {
        assert!(letter.headers.contains(header), "{kind:?}: header {} is kept", header.0);
    }
    assert!(letter.header("radstream.error.class").is_some(), "{kind:?}: why");
}

/// Where a dead letter says it comes from.
fn origin(letter: &Message) -> (i32, i64) {
    let number = |name| letter.header(name).and_then(|text| text.parse::<i64>().ok());
    let partition = number("__connect.errors.partition").expect("its partition");
    let offset = number("__connect.errors.offset").expect("its offset");
    (i32::try_from(partition).expect("a partition number"), offset)
}
