//! What there is to judge: everything that Kafka has of a run, in the form that the checks need. No report
//! text and no key is kept; where bytes must be equal, their hashes are.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sha2::{Digest as _, Sha256};

use super::avro::{Contract, Fields};
use super::log::{self, PartitionLog, Summary};
use crate::support::records::{self, Isolation, Message};
use crate::support::server::PATIENCE;

/// Partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// Stands for bytes that are not kept. `None` and empty differ.
pub type Digest = Option<u128>;

pub fn digest(bytes: Option<&[u8]>) -> Digest {
    bytes.map(|bytes| shortened(&Sha256::digest(bytes)))
}

fn shortened(sum: &[u8]) -> u128 {
    sum.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

/// A record of the input topic.
#[derive(Clone, Debug)]
pub struct Input {
    pub at: Place,
    pub key: Digest,
    pub value: Digest,
    pub timestamp: Option<i64>,
    pub headers: Headers,
}

pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A dead letter, and which record it says it was.
#[derive(Clone, Debug)]
pub struct Letter {
    pub record: Input,
    pub source: Option<Place>,
}

/// A record of the findings topic.
#[derive(Clone, Debug)]
pub struct Finding {
    pub at: Place,
    pub key: Digest,
    /// `None`: of another topic than the input.
    pub source: Option<Place>,
    pub event_id: String,
    /// `LABELLED`, `RETRACTED`, `PROMOTED`.
    pub kind: String,
    /// As `FINAL`, `CORRECTED`.
    pub status: String,
    pub revision: i64,
    /// It says that it was escalated.
    pub escalated: bool,
}

/// An escalation: a record with a value.
#[derive(Clone, Debug)]
pub struct Escalation {
    pub at: Place,
    pub key: Digest,
    pub source: Option<Place>,
    pub event_id: String,
}

/// A record without a value, on the escalations or the distillation topic.
#[derive(Clone, Debug)]
pub struct Marker {
    pub at: Place,
    pub key: Digest,
    /// `ce_type`.
    pub kind: String,
}

/// One record as a reader saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub at: Place,
    /// Of everything that it holds.
    pub digest: u128,
}

/// An output topic.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// What a read_committed reader finds afterwards.
    pub committed: Vec<Seen>,
    /// What a read_uncommitted reader finds.
    pub uncommitted: Vec<Place>,
    /// High watermark and last stable offset by partition.
    pub ends: BTreeMap<i32, (i64, i64)>,
    pub log: BTreeMap<i32, PartitionLog>,
}

/// Whether duplicates are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    #[default]
    ExactlyOnce,
    AtLeastOnce,
}

/// Where the evidence is.
#[derive(Clone, Debug)]
pub struct Scene {
    /// How to reach the brokers, past any proxy.
    pub client: ClientConfig,
    pub input: String,
    pub findings: String,
    pub escalations: String,
    pub distillation: String,
    pub dead_letters: String,
    pub group: String,
    /// Whether `routing.escalate` is on.
    pub escalates: bool,
    /// `log.dirs` of the brokers.
    pub data_folders: Vec<PathBuf>,
}

/// All of it. The fields are open: a test of the checker falsifies them.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub guarantee: Guarantee,
    pub escalates: bool,
    pub inputs: Vec<Input>,
    pub input_ends: BTreeMap<i32, i64>,
    pub group_offsets: BTreeMap<i32, Option<i64>>,
    pub findings: Vec<Finding>,
    pub escalations: Vec<Escalation>,
    /// Markers on the escalations topic.
    pub marks: Vec<Marker>,
    /// Markers on the distillation topic.
    pub withdrawals: Vec<Marker>,
    pub letters: Vec<Letter>,
    /// Output topics by name.
    pub outputs: BTreeMap<String, Output>,
    /// What cannot be read, and why.
    pub unreadable: Vec<String>,
    pub summary: Summary,
    /// What readers saw while it happened, by topic, in the order of arrival.
    pub during: BTreeMap<String, Vec<Seen>>,
    /// Faults by kind: how many there were to be, how many there were.
    pub planned: BTreeMap<String, u64>,
    pub fired: BTreeMap<String, u64>,
    /// Findings that a reader had seen when the last fault happened.
    pub findings_at_last_fault: Option<usize>,
    /// Ends of processes that nobody asked for, in words.
    pub unexpected_ends: Vec<String>,
}

impl Evidence {
    /// Reads the topics, offsets and logs as they are now. What only the test knows is added by it:
    /// [`Evidence::saw_during`], `guarantee`, `planned`, `fired`, `findings_at_last_fault`, `unexpected_ends`.
    ///
    /// # Panics
    /// When something cannot be had.
    pub fn collect(scene: &Scene) -> Self {
        let client = &scene.client;
        let mut evidence = Self {
            escalates: scene.escalates,
            input_ends: records::end_offsets(client, &scene.input),
            group_offsets: records::committed_offsets(client, &scene.group, &scene.input),
            ..Self::default()
        };
        // One topic after the other: only one is in memory whole.
        for message in records::read_all(client, &scene.input, Isolation::ReadUncommitted) {
            evidence.inputs.push(Input::of(&message));
        }
        let contract = Contract::of(include_str!("../../../schemas/findings_event.avsc"));
        evidence.output(scene, &scene.findings, |evidence, message| {
            let finding = Finding::of(message, &contract, &scene.input)?;
            evidence.findings.push(finding);
            Ok(())
        });
        let contract = Contract::of(include_str!("../../../schemas/escalation.avsc"));
        evidence.output(scene, &scene.escalations, |evidence, message| {
            match message.value {
                None => evidence.marks.push(Marker::of(message)?),
                Some(_) => {
                    let escalation = Escalation::of(message, &contract, &scene.input)?;
                    evidence.escalations.push(escalation);
                }
            }
            Ok(())
        });
        evidence.output(scene, &scene.distillation, |evidence, message| {
            evidence.withdrawals.push(Marker::of(message)?);
            Ok(())
        });
        evidence.output(scene, &scene.dead_letters, |evidence, message| {
            evidence.letters.push(Letter::of(message, &scene.input));
            Ok(())
        });
        let mut summary = log::read_coordinator(&scene.data_folders, &format!("{}.", scene.group));
        for log in evidence.outputs.values().flat_map(|output| output.log.values()) {
            summary.committed_records += log.committed.len() as u64;
            summary.aborted_records += log.aborted.len() as u64;
        }
        Self { summary, ..evidence }
    }

    /// Adds what readers saw while the faults happened, in the order of arrival; of one topic or of
    /// several.
    pub fn saw_during(&mut self, messages: &[Message]) {
        for message in messages {
            self.during.entry(message.topic.clone()).or_default().push(Seen::of(message));
        }
    }

    fn output(
        &mut self,
        scene: &Scene,
        topic: &str,
        mut keep: impl FnMut(&mut Self, &Message) -> Result<(), &'static str>,
    ) {
        let uncommitted = records::read_all(&scene.client, topic, Isolation::ReadUncommitted);
        let uncommitted = uncommitted.iter().map(Place::of).collect();
        let mut committed = Vec::new();
        for message in records::read_all(&scene.client, topic, Isolation::ReadCommitted) {
            committed.push(Seen::of(&message));
            if let Err(problem) = keep(self, &message) {
                self.unreadable.push(format!("{topic} {}: {problem}", Place::of(&message)));
            }
        }
        let ends = ends(&scene.client, topic);
        let partitions = i32::try_from(ends.len()).expect("a number of partitions");
        let log = log::read_topic(&scene.data_folders, topic, partitions);
        let output = Output { committed, uncommitted, ends, log };
        self.outputs.insert(topic.to_owned(), output);
    }
}

/// High watermark and last stable offset of each partition of a topic. They differ while a transaction is
/// open.
pub fn ends(client: &ClientConfig, topic: &str) -> BTreeMap<i32, (i64, i64)> {
    let consumer: BaseConsumer =
        client.clone().set("isolation.level", "read_committed").create().expect("a consumer");
    let ends = records::end_offsets(client, topic).into_iter();
    ends.map(|(partition, high)| {
        let (_, stable) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .unwrap_or_else(|e| panic!("{topic} {partition}: no stable offset: {e}"));
        (partition, (high, stable))
    })
    .collect()
}

impl Place {
    pub fn of(message: &Message) -> Self {
        Self { partition: message.partition, offset: message.offset }
    }

    fn of_source(fields: &Fields, input: &str) -> Result<Option<Self>, &'static str> {
        let source = fields.record("source")?;
        let partition = source.number("partition")?.try_into().map_err(|_| "no partition")?;
        let place = Self { partition, offset: source.number("offset")? };
        Ok((source.text("topic")? == input).then_some(place))
    }
}

impl Seen {
    pub fn of(message: &Message) -> Self {
        let mut sum = Sha256::new();
        // With its length in front, so that no two records run together to the same bytes.
        let mut add = |bytes: Option<&[u8]>| {
            sum.update(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
            sum.update(bytes.unwrap_or_default());
        };
        add(message.key.as_deref());
        add(message.value.as_deref());
        add(message.timestamp.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
        for (name, value) in &message.headers {
            add(Some(name.as_bytes()));
            add(value.as_deref());
        }
        Self { at: Place::of(message), digest: shortened(&sum.finalize()) }
    }
}

impl Input {
    pub fn of(message: &Message) -> Self {
        Self {
            at: Place::of(message),
            key: digest(message.key.as_deref()),
            value: digest(message.value.as_deref()),
            timestamp: message.timestamp,
            headers: message.headers.clone(),
        }
    }

    /// The first header of that name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }
}

impl Letter {
    pub fn of(message: &Message, input: &str) -> Self {
        let record = Input::of(message);
        let number = |name| record.header(name).and_then(|text| text.parse::<i64>().ok());
        let place = || {
            let partition = number("__connect.errors.partition")?.try_into().ok()?;
            Some(Place { partition, offset: number("__connect.errors.offset")? })
        };
        let source = place().filter(|_| record.header("__connect.errors.topic") == Some(input));
        Self { record, source }
    }
}

impl Finding {
    pub fn of(message: &Message, contract: &Contract, input: &str) -> Result<Self, &'static str> {
        let fields = contract.read(message.bytes())?;
        let finding = Self {
            at: Place::of(message),
            key: digest(message.key.as_deref()),
            source: Place::of_source(&fields, input)?,
            event_id: fields.text("event_id")?,
            kind: fields.text("kind")?,
            status: fields.text("report_status")?,
            revision: fields.number("revision")?,
            escalated: fields.flag("pending_teacher")?,
        };
        belongs(message, contract, &fields)?;
        Ok(finding)
    }
}

impl Escalation {
    pub fn of(message: &Message, contract: &Contract, input: &str) -> Result<Self, &'static str> {
        let fields = contract.read(message.bytes())?;
        belongs(message, contract, &fields)?;
        Ok(Self {
            at: Place::of(message),
            key: digest(message.key.as_deref()),
            source: Place::of_source(&fields, input)?,
            event_id: fields.text("event_id")?,
        })
    }
}

impl Marker {
    pub fn of(message: &Message) -> Result<Self, &'static str> {
        if message.value.is_some() {
            return Err("a value where only markers are written");
        }
        let kind = message.header("ce_type").ok_or("a marker without ce_type")?;
        Ok(Self {
            at: Place::of(message),
            key: digest(message.key.as_deref()),
            kind: kind.to_owned(),
        })
    }
}

/// Key and headers of a record say what its value says.
fn belongs(message: &Message, contract: &Contract, fields: &Fields) -> Result<(), &'static str> {
    if message.key_text() != Some(fields.text("report_key")?.as_str()) {
        return Err("its key is not its report's");
    }
    if message.header("ce_id") != Some(fields.text("event_id")?.as_str()) {
        return Err("its ce_id is not its event_id");
    }
    if message.header("radstream.schema") != Some(contract.name()) {
        return Err("its header names another schema");
    }
    Ok(())
}
