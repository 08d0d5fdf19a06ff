//! Every setting of radstream but those of its connections ([`super::connection`]).
//!
//! The doc comment of a field is also its comment in `config/radstream.toml`
//! (`tests/config_reference.rs`), so it is written for the person who runs radstream.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::connection::{Kafka, SchemaRegistry, Topics};
use super::promotion::Promotion;
use super::redistill::Redistill;
use super::secret::Secret;
use super::teacher::Teacher;
use crate::decode::SourceProfiles;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The Kafka cluster and our place in it.
    pub kafka: Kafka,
    /// Topic names, and how `radstream topics create` makes them.
    pub topics: Topics,
    /// How results and offsets are committed.
    pub delivery: Delivery,
    /// The byte budget of the process.
    pub memory: Memory,
    /// How messages are read.
    pub intake: Intake,
    /// The model that labels.
    pub student: Student,
    /// A second model that labels a share of the reports for comparison: no finding has anything of it.
    pub shadow: Shadow,
    /// Comparison of recent reports with those that the model was measured on.
    pub drift: Drift,
    /// Which reports get a second opinion.
    pub routing: Routing,
    /// Who gives second opinions (stage teach, `radstream pseudo-label`), and within what bounds.
    pub teacher: Teacher,
    /// When a new student may take the place of the one in service (`radstream promote`, `rollback`).
    pub promotion: Promotion,
    /// The job that makes a new student from the distillation topic (`radstream redistill`).
    pub redistill: Redistill,
    /// What is published, and when publishing stops.
    pub publish: Publish,
    /// Confluent-compatible schema registry. Without one, Avro single-object encoding is used.
    pub schema_registry: SchemaRegistry,
    /// Metrics and health endpoints.
    pub http: Http,
    /// Logs, on standard error. They never hold report text or identifiers.
    pub log: Log,
    /// How the process ends.
    pub shutdown: Shutdown,
}

impl Settings {
    /// Every secret with its key. A test holds this list complete.
    pub(super) fn secrets_mut(&mut self) -> [(&'static str, &mut Secret); 6] {
        [
            ("kafka.tls.key_password", &mut self.kafka.tls.key_password),
            ("kafka.sasl.password", &mut self.kafka.sasl.password),
            ("kafka.sasl.oauth_client_secret", &mut self.kafka.sasl.oauth_client_secret),
            ("schema_registry.password", &mut self.schema_registry.password),
            ("schema_registry.bearer_token", &mut self.schema_registry.bearer_token),
            ("http.bearer_token", &mut self.http.bearer_token),
        ]
    }
}

/// How results and offsets are committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// What a crash may do. "exactly_once": results and input offsets are committed in one Kafka
    /// transaction; a read_committed reader sees each outcome once. "at_least_once": offsets follow
    /// the results; a crash can repeat results, never lose them. Default "exactly_once".
    /// Choose "at_least_once" only for brokers without transactions.
    pub guarantee: Guarantee,
    /// Longest wait between two commits while there is something to commit. Milliseconds, at most
    /// half of transaction_timeout_ms. Default 200. Lower gives fresher results and more load on
    /// the brokers; results become visible after about half of it.
    pub commit_interval_ms: u64,
    /// Input records in one commit, at most. 1 to 10000. Default 500. Higher suits high rates.
    pub commit_records: usize,
    /// Input bytes in one commit, at most. At most 15 % of memory.budget_mib. Default 8388608
    /// (8 MiB). A single larger record still goes through, alone.
    pub commit_bytes: usize,
    /// A transaction that is not committed within this time is aborted by the broker. Milliseconds,
    /// 1000 to 900000, below kafka.session_timeout_ms. Default 10000. After a crash without restart,
    /// readers wait this long for what was left open: keep it short.
    pub transaction_timeout_ms: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::ExactlyOnce,
            commit_interval_ms: 200,
            commit_records: 500,
            commit_bytes: 8 << 20,
            transaction_timeout_ms: 10_000,
        }
    }
}

/// What a crash may do to the published results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Nothing: results and offsets are one transaction.
    ExactlyOnce,
    /// Repeat results.
    AtLeastOnce,
}

/// The byte budget of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes that messages may take, from fetch to commit. MiB, 32 to 1048576. Default 256. A quarter
    /// is for fetched, half for admitted, 15 % for produced messages. Program, model and ONNX Runtime
    /// come on top (up to 300 MiB on CPU): set the container's limit accordingly. Raise it when
    /// throughput stalls with large messages.
    pub budget_mib: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget_mib: 256 }
    }
}

impl Memory {
    /// The whole budget in bytes.
    pub const fn budget_bytes(&self) -> u64 {
        self.budget_mib.saturating_mul(1 << 20)
    }

    /// Share of librdkafka's fetch queues (25 %), in bytes.
    pub const fn fetch_bytes(&self) -> u64 {
        self.budget_bytes() / 4
    }

    /// Share of admitted records, from fetch to commit (50 %), in bytes.
    pub const fn in_flight_bytes(&self) -> u64 {
        self.budget_bytes() / 2
    }

    /// Share of the producer's queue (15 %), in bytes. The last 10 % are slack.
    pub const fn producer_bytes(&self) -> u64 {
        self.budget_bytes() / 100 * 15
    }
}

/// How messages are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Intake {
    /// Character set of HL7 v2 messages that declare none (MSH-18 empty): an HL7 table 0211 name
    /// ("8859/1") or an encoding label ("windows-1252"). Default "": UTF-8 where the bytes are valid
    /// UTF-8, otherwise Windows-1252, with a warning on the finding. Set it when you know what your
    /// senders send.
    pub default_charset: String,
    /// Time zone of date-times that give no offset: an IANA name ("America/Chicago"), "UTC", an offset
    /// ("+01:00", "-0500"), or a POSIX rule. Default "UTC". Use the zone of the sending systems: it
    /// orders the versions of a report.
    pub time_zone: String,
    /// How many days later than its Kafka record a report's time may lie. 1 to 36500. Default 7. A later
    /// one would outrank every true version to come: it is not believed, the record's time stands in
    /// for it, and the finding says future_timestamp. Raise it where records carry old timestamps.
    pub max_future_days: u32,
    /// Folder of source profiles: what is special about the messages of single senders. NAME.toml or
    /// NAME/profile.toml in it is the profile NAME. Default "": none. What a profile can say, and how
    /// to test one: docs/CONFIGURATION.md.
    pub profiles: PathBuf,
    /// What the folder holds; read and checked with the settings.
    #[serde(skip)]
    pub(super) source_profiles: SourceProfiles,
    /// Label messages marked as test or training (MSH-11 T or D)? Default false: skipped and counted,
    /// so that test patients never reach production readers. Set true on a test system.
    pub accept_test_messages: bool,
    /// Label exams that cover more than the chest (chest and abdomen)? Default true: labelled, with a
    /// warning on the finding.
    pub label_mixed_exams: bool,
    /// Label exams of which neither code nor text says what they are? Default false: skipped as
    /// "not chest". Set true only when the input topic holds nothing but chest radiographs.
    pub label_unknown_exams: bool,
    /// Where in a JSON envelope the message stands, as a JSON pointer: "/event/payload". Text, base64
    /// (of gzip too) or a FHIR object. Default "": looked for under the usual names (data, message,
    /// payload, hl7, raw, body, content, value, data_base64), which also serve when it leads nowhere.
    pub envelope_pointer: String,
    /// Field of Avro values (Confluent wire format) that holds the message, as string or bytes: names
    /// joined by dots, "event.payload". Default "": Avro is not read. Schemas come from
    /// schema_registry.url, or from avro_schema.
    pub avro_field: String,
    /// File with the Avro schema of all input values (.avsc), in place of the registry. Default "".
    /// Only with avro_field.
    pub avro_schema: PathBuf,
    /// Read attached PDF documents where a report has no other text? Default true. Each is opened by a
    /// child process with 512 MiB and 5 s of processor time at most; leave room for one per decode
    /// thread. False leaves them unread.
    pub read_pdf: bool,
    /// Largest message that is decoded. MiB, 1 to 64, at most half of memory.budget_mib. Default 16.
    /// A larger one becomes a dead letter. Reports are kilobytes; room is for embedded documents.
    pub max_payload_mib: u64,
    /// Threads that decode, extract and tokenise. 1 to 256. Default 1, which feeds several CPU
    /// sessions; take 2 to 4 for a GPU.
    pub decode_threads: usize,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            default_charset: String::new(),
            time_zone: "UTC".to_owned(),
            max_future_days: 7,
            profiles: PathBuf::new(),
            source_profiles: SourceProfiles::default(),
            accept_test_messages: false,
            label_mixed_exams: true,
            label_unknown_exams: false,
            envelope_pointer: String::new(),
            avro_field: String::new(),
            avro_schema: PathBuf::new(),
            read_pdf: true,
            max_payload_mib: 16,
            decode_threads: 1,
        }
    }
}

/// The model that labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Student {
    /// Who labels: "student" (the DeBERTa model, by ONNX Runtime) or "rules" (built-in rules, no
    /// model; for comparison and for trying out). Default "student".
    pub labeler: Labeler,
    /// Folder of the model: model.onnx, tokenizer.json, manifest.json. Default "models/default".
    pub model: PathBuf,
    /// How often to look whether that folder, or what a link of its name leads to, holds another model.
    /// Seconds, 0 to 3600. Default 10. 0: never. Another model is loaded and tested beside the one in
    /// service and then takes over; one that fails is refused, and the old one goes on.
    pub watch_interval_s: u64,
    /// Path of libonnxruntime.so. Default "": the variable ORT_DYLIB_PATH, then lib/ beside the
    /// executable, then .deps/onnxruntime/.
    pub onnxruntime: PathBuf,
    /// "cpu" or "cuda". Default "cpu". With "cuda" the start fails when the provider cannot be
    /// loaded; it never falls back to the CPU in silence.
    pub device: Device,
    /// Number of the GPU. Default 0. Only for device "cuda".
    pub device_id: i32,
    /// Model sessions that run side by side, one thread each. 0 to 256. Default 0: one per core on
    /// cpu, 2 on cuda. Lower it to leave cores to others.
    pub sessions: usize,
    /// Tokens in one batch, padding included, at most. 0, or 128 to 1048576. Default 0: 1024 on cpu,
    /// 16384 on cuda. Larger batches help a GPU and only add latency on a CPU.
    pub batch_tokens: usize,
    /// Longest time a report waits for its batch to fill while sessions are busy. Milliseconds,
    /// 1 to 10000. Default 50. An idle session never waits.
    pub max_batch_age_ms: u64,
    /// Memory for the answers to texts labelled before: a report that is delivered again, or stands
    /// under several accession numbers, then costs no second run of the model. MiB, 0 to 4096; 1 MiB
    /// holds about 1500 answers. Default 8. 0 remembers nothing.
    pub remember_mib: u64,
    /// Brake: reports labelled in a second, at most. Default 0.0: no limit. For sharing a machine,
    /// and for load tests.
    pub max_reports_per_second: f64,
}

impl Default for Student {
    fn default() -> Self {
        Self {
            labeler: Labeler::Student,
            model: PathBuf::from("models/default"),
            watch_interval_s: 10,
            onnxruntime: PathBuf::new(),
            device: Device::Cpu,
            device_id: 0,
            sessions: 0,
            batch_tokens: 0,
            max_batch_age_ms: 50,
            remember_mib: 8,
            max_reports_per_second: 0.0,
        }
    }
}

/// A second model, for comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shadow {
    /// Folder of the model. Default "": none. It is loaded at start, beside the other; where that fails,
    /// labelling goes on without it. It runs where student.device says.
    pub model: PathBuf,
    /// Share of reports that it labels, too, after the model in service. 0 to 1. Default 0.05. What it
    /// has no time for is dropped and counted.
    pub share: f64,
}

impl Default for Shadow {
    fn default() -> Self {
        Self { model: PathBuf::new(), share: 0.05 }
    }
}

/// Comparison with a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// Reports that are compared with the reference.json of the model folder (`radstream drift
    /// reference` makes it; without it nothing is compared). 200 to 1000000. Default 2000. 0: never.
    /// A longer window is steadier and later.
    pub window: u64,
    /// Files of usual reports of the site, as `radstream drift reference` reads them. Where there are any,
    /// `radstream promote` and `redistill` make the reference of the model that they put in service of
    /// them. Default none: a reference.json beside the candidate is taken over, if there is one.
    pub reports: Vec<PathBuf>,
}

impl Default for Drift {
    fn default() -> Self {
        Self { window: 2000, reports: Vec::new() }
    }
}

/// Who labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labeler {
    /// The distilled model.
    Student,
    /// Built-in rules.
    Rules,
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// ONNX Runtime's CPU provider.
    Cpu,
    /// ONNX Runtime's CUDA provider.
    Cuda,
}

/// Which reports get a second opinion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// Send doubtful reports to the escalations topic? Default true. The student's answer is
    /// published at once either way.
    pub escalate: bool,
    /// One confidence threshold for all observations, in place of the model's own. 0 to 1. Default:
    /// not set, the manifest's thresholds hold; they were chosen on held-out reports.
    /// Example: 0.9
    pub min_confidence: Option<f64>,
    /// Share of reports that may be escalated, at most. 0 to 1. Default 0.2. What it cuts is counted.
    /// It bounds the teacher's cost when the input changes.
    pub max_escalation_rate: f64,
    /// Share of confident reports that are escalated all the same, to measure the student. 0 to 1.
    /// Default 0.01.
    pub audit_rate: f64,
    /// A text with more tokens a word than this is doubted as a whole: the model does not know its
    /// words. 0 to 100; 0.0 never. Default 2.0 (reports have 1.2, one in a hundred 1.6).
    pub max_tokens_per_word: f64,
    /// Doubt a report as a whole when the built-in rules contradict the student in more observations
    /// than this. 0 to 13. Default: not set, the rules are not asked: they cost time, and on held-out
    /// reports they found no more mistakes than the confidence does.
    /// Example: 3
    pub max_rule_conflicts: Option<usize>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            escalate: true,
            min_confidence: None,
            max_escalation_rate: 0.2,
            audit_rate: 0.01,
            max_tokens_per_word: 2.0,
            max_rule_conflicts: None,
        }
    }
}

/// What is published, and when publishing stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Put the text of evidence sentences into findings? Default false: only their place. With true,
    /// the findings topic holds report text and needs the access rules of the input.
    pub evidence_text: bool,
    /// Largest record that is produced. Bytes, 10000 to 100000000, at most 15 % of memory.budget_mib.
    /// Default 1040000: an original of 1000000 with all headers of a dead letter, and a little less
    /// than brokers take by default. A dead letter over it says only where the original stands. Not
    /// above max.message.bytes of the topics; `radstream topics create` sets that to fit.
    pub max_message_bytes: usize,
    /// Names of the error headers on dead letters: "connect" (Kafka Connect), "streams" (Kafka
    /// Streams), "spring" (Spring Kafka) or "all". Default "connect". Choose what your replay tools
    /// read. radstream's own headers are always there.
    pub dead_letter_headers: DeadLetterHeaders,
    /// CloudEvents source of what is published (header ce_source), a URI reference. Default
    /// "/radstream/label". Give each installation its own when several write to one topic.
    pub ce_source: String,
    /// Stop when more than this share of the last 10000 records became dead letters. Above 0, up to 1.
    /// Default 0.05; 1.0 never stops. It keeps one bad change upstream from pouring a day of reports
    /// into the dead letters.
    pub max_dead_letter_ratio: f64,
    /// Stop when this many records in a row became dead letters. 1 or more. Default 500.
    pub max_consecutive_dead_letters: u64,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            evidence_text: false,
            max_message_bytes: 1_040_000,
            dead_letter_headers: DeadLetterHeaders::Connect,
            ce_source: "/radstream/label".to_owned(),
            max_dead_letter_ratio: 0.05,
            max_consecutive_dead_letters: 500,
        }
    }
}

/// Whose header names dead letters carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterHeaders {
    /// Kafka Connect's `__connect.errors.*`.
    Connect,
    /// Kafka Streams' `__streams.errors.*` (KIP-1034).
    Streams,
    /// Spring Kafka's `kafka_dlt-*`.
    Spring,
    /// All of them.
    All,
}

/// Metrics and health endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address of /metrics, /livez, /readyz and /startupz: host:port. Default "127.0.0.1:9600";
    /// "" turns it off. In a container use "0.0.0.0:9600".
    pub listen: String,
    /// Token that /metrics asks for (Authorization: Bearer). Default "": none asked. The health
    /// endpoints stay open. A text, { file = "..." } or { env = "..." }.
    pub bearer_token: Secret,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9600".to_owned(), bearer_token: Secret::default() }
    }
}

/// Logs, on standard error. They never hold report text or identifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// "human" (lines for a terminal) or "json" (one object a line, for collectors). Default "human".
    pub format: LogFormat,
    /// What is logged, as tracing directives: a level, or levels by module. Default "info".
    /// For the Kafka client's view: "info,librdkafka=debug".
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Time from SIGTERM to exit, at most: running batches end, a last commit, the group is left.
    /// Seconds, 1 to 3600, longer than delivery.transaction_timeout_ms. Default 25. Keep Kubernetes'
    /// terminationGracePeriodSeconds above it (40). A second signal leaves at once and loses nothing.
    pub grace_s: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace_s: 25 }
    }
}
