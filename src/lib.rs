//! radstream: chest radiograph reports in, structured findings out, on Kafka, exactly once.
//!
//! Data flows one way, and the modules stand in its order:
//!
//! ```text
//! broker ──> decode ──> extract ──> student ──> route ──> publish ──> broker
//! bytes      Report     ReportText  Scored      Decision  Outgoing    one transaction
//! ```
//!
//! * [`report`] — the values that flow.
//! * [`decode`] — bytes to reports: HL7 v2, FHIR. Pure.
//! * [`extract`] — a report to the text that will be labelled: sections, is it a chest radiograph.
//!   Pure.
//! * [`student`] — text to scores: tokenizer, ONNX sessions, length buckets; and the rules.
//! * [`route`] — scores to a decision: statuses, confidence, escalate or not and why. Pure.
//! * [`publish`] — decisions to Avro records and dead letters.
//! * [`dead_letters`] — which dead letters there are, and which may be replayed. Pure.
//! * [`dataset`] — what the distillation topic says, as Parquet files to train on.
//! * [`broker`] — Kafka: consumer, ledger of finished records, transactions.
//! * [`pipeline`] — stage label: the threads between them. The only place that makes threads.
//! * [`deidentify`] — report text without what identifies people, for teachers that are not local and
//!   for training. Pure.
//! * [`teacher`] — a second opinion from a large language model: prompt, client, checked answer.
//! * [`evaluate`] — how good are labels: CheXbert's tasks, intervals, calibration, routing.
//! * [`promotion`] — may a new student take the old one's place: the gate, and the store of models.
//! * [`redistill`] — the state of the job that makes new students. Pure.
//! * [`pdf`] — the text of attached PDF documents, taken out by a child process with limits.
//! * [`config`], [`telemetry`] — settings; logs, metrics, health.
//! * [`planted`] — defects that a test build can have on purpose; in every other build, nothing.
//! * [`command`], [`demo`] — what the binary offers.
//!
//! `docs/ARCHITECTURE.md` has the invariants and what happens when something fails.

pub mod report;
pub mod decode;
pub mod extract;
pub mod student;
pub mod route;
pub mod deidentify;
pub mod publish;
pub mod dead_letters;
pub mod dataset;
pub mod teacher;
pub mod broker;
pub mod pipeline;
pub mod config;
pub mod telemetry;
pub mod evaluate;
pub mod promotion;
pub mod redistill;
pub mod drift;
pub mod pdf;
pub mod command;
pub mod demo;
pub mod planted;
