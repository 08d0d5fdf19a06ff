//! Stage teach under test: its topics, a stand-in teacher, and the rule that each escalation ends once.

use std::collections::BTreeMap;
use std::time::Duration;

use radstream::demo::teacher::{TeacherOptions, TeacherServer};
use radstream::publish::{Contract, DistillationSample, Escalation, FindingsEvent, decode};

use super::escalations::Case;
use super::kafka::KafkaBroker;
use super::processes::{Finished, Radstream, RadstreamCommand};
use super::records::{Message, NewRecord};
use super::stage::topics_toml;

/// The arguments of the stage.
pub const RUN: [&str; 3] = ["run", "--stage", "teach"];
/// For all that must come.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// For a process to end by itself.
pub const GRACE: Duration = Duration::from_secs(60);

/// The topics of one stage teach under test.
pub struct Teach<'a> {
    pub broker: &'a KafkaBroker,
    pub name: &'static str,
    pub server: TeacherServer,
}

impl<'a> Teach<'a> {
    pub fn create(name: &'static str, partitions: i32, options: TeacherOptions) -> Self {
        let broker = KafkaBroker::shared();
        let teach = Self {
            broker,
            name,
            server: TeacherServer::start(options).expect("a port of loopback"),
        };
        for kind in ["in", "findings", "escalations", "retries", "distillation", "dead"] {
            broker.create_topic(&teach.topic(kind), partitions, &[]);
        }
        teach
    }

    pub fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// `more`: keys of [teacher]; `provider`: keys of its one provider.
    pub fn config(&self, instance: &str, more: &str, provider: &str) -> String {
        format!(
            "[kafka]
bootstrap_servers = \"{servers}\"
group = \"{name}.label\"
instance_id = \"{instance}\"
session_timeout_ms = 10000
{topics}
retries = \"{name}.retries\"
[delivery]
transaction_timeout_ms = 5000
[http]
listen = \"127.0.0.1:0\"
[student]
labeler = \"rules\"
[routing]
min_confidence = 1.0
max_escalation_rate = 1.0
[teacher]
group = \"{name}.teach\"
{more}
[[teacher.providers]]
name = \"stub\"
base_url = \"{url}\"
model = \"stub-teacher\"
{provider}
",
            servers = self.broker.bootstrap(),
            name = self.name,
            topics = topics_toml(self.name, 1),
            url = self.server.base_url(),
        )
    }

    pub fn escalate(&self, cases: &[Case]) {
        let records: Vec<NewRecord> = cases.iter().map(Case::record).collect();
        self.broker.produce(&self.topic("escalations"), records);
    }

    pub fn until_end(&self, more: &str) -> Finished {
        let config = self.config("only", more, "");
        let ran =
            RadstreamCommand::new(&["run", "--stage", "teach", "--until-end"]).config(&config);
        let ran = ran.run(PATIENCE);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    }

    pub fn revisions(&self) -> Vec<FindingsEvent<'static>> {
        self.read("findings", Contract::Findings)
    }

    pub fn samples(&self) -> Vec<DistillationSample<'static>> {
        self.read("distillation", Contract::Distillation)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, kind: &str, contract: Contract) -> Vec<T> {
        let messages = self.broker.read_committed_all(&self.topic(kind));
        messages
            .iter()
            .map(|message| decode(contract, message.bytes()).expect("as its schema asks"))
            .collect()
    }

    /// Every escalation has exactly one terminal revision under its key; nothing else was published;
    /// all offsets are committed. Gives the outcomes.
    pub fn assert_each_ended_once(&self) -> BTreeMap<String, usize> {
        let escalations = self.broker.read_committed_all(&self.topic("escalations"));
        let mut awaited: BTreeMap<_, &Message> = BTreeMap::new();
        for message in &escalations {
            let escalation: Escalation<'static> =
                decode(Contract::Escalation, message.bytes()).expect("as its schema asks");
            awaited.insert((escalation.report_key.to_string(), escalation.report_version), message);
        }
        assert_eq!(awaited.len(), escalations.len(), "the feed itself is doubled");
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for message in self.broker.read_committed_all(&self.topic("findings")) {
            let event: FindingsEvent<'static> =
                decode(Contract::Findings, message.bytes()).expect("as its schema asks");
            let place = (event.report_key.to_string(), event.report_version);
            let escalated = awaited.remove(&place).expect("escalated, and not ended before");
            assert_eq!(message.key, escalated.key);
            assert_eq!(message.partition, escalated.partition, "as many partitions: the same");
            assert_eq!(event.revision, 1);
            assert_eq!(event.findings.len(), 13);
            *outcomes.entry(event.teacher_outcome.expect("terminal").to_string()).or_default() += 1;
        }
        assert!(awaited.is_empty(), "{} escalations without an end", awaited.len());
        assert_eq!(self.broker.read_committed_all(&self.topic("dead")), []);
        for kind in ["escalations", "retries"] {
            let committed =
                self.broker.committed_offsets(&format!("{}.teach", self.name), &self.topic(kind));
            // After the last record there may be the marker of its transaction.
            let mut ends = BTreeMap::new();
            for message in self.broker.read_committed_all(&self.topic(kind)) {
                ends.insert(message.partition, message.offset + 1);
            }
            for (partition, end) in ends {
                let at = committed.get(&partition).copied().flatten().unwrap_or(0);
                assert!(at >= end, "{kind} {partition}: {at} committed, {end} read");
            }
        }
        outcomes
    }
}

/// SIGTERM, and it must end with 0.
pub fn ends_well(mut process: Radstream) {
    process.terminate();
    let status = process.wait(GRACE);
    assert_eq!(status.code(), Some(0), "{}", process.log_tail(40));
}
