//! The stages of the hot path, each as a pass over the same reports.
//!
//! What a stage works on is made beforehand and is not counted, and neither is the first pass: it
//! fills caches and builds tables.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use radstream::broker::ledger::Ledger;
use radstream::broker::{Ticket, TopicPartition};
use radstream::decode::{DecodeOptions, Decoded, decode};
use radstream::demo::generator::DemoMessage;
use radstream::extract::{ExtractPolicy, Extracted, extract};
use radstream::pipeline::flight::Finished;
use radstream::publish::{
    Identity, Labelled, ModelIdentity, Outgoing, PublishSettings, Publisher, Source,
};
use radstream::report::{OBSERVATIONS, Report, ReportText, Scored};
use radstream::route::{Decision, Hints, RoutePolicy, decide, draw_of};
use radstream::student::rules::RuleLabeler;
use radstream::student::{Buckets, Encoder};
use radstream::telemetry::totals::Outcome;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::workload;

/// Reports in a pass.
pub(crate) const REPORTS: usize = 200;
/// The first is not counted.
const PASSES: usize = 2;
/// Name of the function inside which callgrind counts.
pub(crate) const COUNTED: &str = "*counted_pass*";
/// Any time will do, the same one every time.
const NOW_MS: i64 = 1_767_600_000_000;
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default");

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Intake,
    Decode,
    Extract,
    Tokenise,
    Batch,
    Route,
    Encode,
    Escalate,
    Ledger,
}

impl Stage {
    pub(crate) const ALL: [Self; 9] = [
        Self::Intake,
        Self::Decode,
        Self::Extract,
        Self::Tokenise,
        Self::Batch,
        Self::Route,
        Self::Encode,
        Self::Escalate,
        Self::Ledger,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Decode => "decode",
            Self::Extract => "extract",
            Self::Tokenise => "tokenise",
            Self::Batch => "batch",
            Self::Route => "route",
            Self::Encode => "encode",
            Self::Escalate => "escalate",
            Self::Ledger => "ledger",
        }
    }

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Intake => "an ORU of 2 KB: bytes to the text that is labelled",
            Self::Decode => "bytes to reports",
            Self::Extract => "sections, chest or not, language",
            Self::Tokenise => "text to token ids and sentences",
            Self::Batch => "into a length bucket and out",
            Self::Route => "identity of the event, statuses, doubt",
            Self::Encode => "findings: Avro and headers",
            Self::Escalate => "escalation, where there is one: Avro and headers",
            Self::Ledger => "finish, prefix and advance, over six partitions",
        }
    }

    /// Runs all passes: the last is the one to count.
    pub(crate) fn run(self) {
        let messages = workload::reports(REPORTS);
        match self {
            Self::Intake => {
                let results = workload::results(REPORTS);
                let (options, policy) = (DecodeOptions::default(), ExtractPolicy::default());
                repeat(|| {
                    for decoded in results.iter().flat_map(|result| decode(result, &options)) {
                        let Decoded::Report(mut report) = decoded else {
                            panic!("a result of the workload is no report")
                        };
                        black_box(extract(&mut report, &policy));
                    }
                });
            }
            Self::Decode => {
                let options = DecodeOptions::default();
                repeat(|| messages.iter().for_each(|m| drop(decode(&m.payload, &options))));
            }
            Self::Extract => {
                let policy = ExtractPolicy::default();
                let mut fresh: Vec<Vec<Report>> = (0..PASSES).map(|_| read(&messages)).collect();
                repeat(|| {
                    for mut report in fresh.pop().unwrap() {
                        black_box(extract(&mut report, &policy));
                    }
                });
                std::mem::forget(fresh);
            }
            Self::Tokenise => {
                let texts: Vec<ReportText> =
                    Read::all(&messages).into_iter().map(|r| r.text).collect();
                let mut encoder = encoder();
                repeat(|| texts.iter().for_each(|text| drop(encoder.encode(text))));
            }
            Self::Batch => {
                let mut encoder = encoder();
                let lengths: Vec<usize> = Read::all(&messages)
                    .iter()
                    .map(|read| encoder.encode(&read.text).len())
                    .collect();
                let edges = [16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 384, 512];
                let mut buckets = Buckets::new(&edges, 1024, Duration::MAX, 0);
                let now = Instant::now();
                repeat(|| {
                    for (item, length) in lengths.iter().enumerate() {
                        buckets.push(item, *length, now);
                    }
                    while let Some(batch) = buckets.pop(now) {
                        black_box(batch);
                    }
                });
            }
            Self::Route => {
                let (reads, model) = (Read::all(&messages), model());
                repeat(|| reads.iter().for_each(|read| drop(black_box(read.decide(&model)))));
            }
            Self::Encode => publish(&messages, |publisher, read, source, model| {
                publisher.findings(read.labelled(source, model), NOW_MS).unwrap()
            }),
            Self::Escalate => publish(&messages, |publisher, read, source, model| {
                publisher.escalation(read.labelled(source, model), NOW_MS).unwrap()
            }),
            Self::Ledger => ledger(&messages),
        }
    }
}

/// What the counts depend on besides the code: SHA-256 of messages and tokenizer.
pub(crate) fn inputs() -> String {
    let mut hash = Sha256::new();
    for message in workload::reports(REPORTS) {
        hash.update(&message.payload);
    }
    for result in workload::results(REPORTS) {
        hash.update(&result);
    }
    hash.update(tokenizer());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn repeat(mut pass: impl FnMut()) {
    (1..PASSES).for_each(|_| pass());
    counted_pass(&mut pass);
}

/// The pass that callgrind counts, known to it by this function's name.
#[inline(never)]
fn counted_pass(pass: &mut dyn FnMut()) {
    pass();
}

fn read(messages: &[DemoMessage]) -> Vec<Report> {
    let options = DecodeOptions::default();
    let reports = messages.iter().flat_map(|message| decode(&message.payload, &options));
    reports
        .map(|decoded| match decoded {
            Decoded::Report(report) => *report,
            other => panic!("a report of the workload is read as {other:?}"),
        })
        .collect()
}

/// A report as it stands before it is published.
struct Read {
    report: Report,
    text: ReportText,
    scored: Scored,
    identity: Identity,
    decision: Decision,
}

impl Read {
    /// All reports, labelled by the rules: what a network would say costs no other path here.
    fn all(messages: &[DemoMessage]) -> Vec<Self> {
        let (rules, model, policy) = (RuleLabeler::new(), model(), ExtractPolicy::default());
        let made = |mut report: Report| {
            let Extracted::Text(text) = extract(&mut report, &policy) else {
                panic!("a report of the workload is skipped")
            };
            let scored = rules.label(&text);
            let (identity, decision) = decided(&report, &text, &scored, &model);
            Self { report, text, scored, identity, decision }
        };
        read(messages).into_iter().map(made).collect()
    }

    fn decide(&self, model: &ModelIdentity) -> (Identity, Decision) {
        decided(&self.report, &self.text, &self.scored, model)
    }

    fn labelled<'a>(&'a self, source: &'a Source<'a>, model: &'a ModelIdentity) -> Labelled<'a> {
        let Self { report, text, scored, identity, decision } = self;
        Labelled {
            source,
            report,
            text,
            scored,
            decision,
            model,
            identity: *identity,
            identifiers: &[],
        }
    }
}

fn decided(
    report: &Report,
    text: &ReportText,
    scored: &Scored,
    model: &ModelIdentity,
) -> (Identity, Decision) {
    let policy = RoutePolicy {
        escalate: true,
        // The rules are sure of themselves: one cell of each report is doubted all the same.
        thresholds: std::array::from_fn(|at| if at + 1 == OBSERVATIONS { 2.0 } else { 0.5 }),
        audit_rate: 0.0,
        max_escalation_rate: 1.0,
        doubtful_share: 1.0,
        max_tokens_per_word: 0.0,
        max_rule_conflicts: None,
    };
    let identity = Identity::of(report, text, model);
    (identity, decide(scored, report, &Hints::default(), &policy, draw_of(&identity.event_id)))
}

fn publish(
    messages: &[DemoMessage],
    make: impl Fn(&Publisher, &Read, &Source<'_>, &ModelIdentity) -> Outgoing,
) {
    let (reads, model) = (Read::all(messages), model());
    let publisher = Publisher::new(PublishSettings::default());
    repeat(|| {
        for (read, offset) in reads.iter().zip(0..) {
            let source = Source {
                topic: "radiology.reports",
                partition: 3,
                offset,
                timestamp_ms: Some(NOW_MS),
                part: 0,
                headers: &[],
            };
            black_box(make(&publisher, read, &source, &model));
        }
    });
}

/// Records finish a little out of order, as length buckets make them, and leave in transactions of a
/// hundred.
fn ledger(messages: &[DemoMessage]) {
    let publisher = Publisher::new(PublishSettings::default());
    let (reads, model) = (Read::all(messages), model());
    let topic: Arc<str> = Arc::from("radiology.reports");
    let finished = |number: usize, read: &Read| {
        let (partition, sequence) = (number % 6, (number / 6) as u64);
        let partition = TopicPartition { topic: Arc::clone(&topic), partition: partition as i32 };
        let ticket = Ticket { partition, offset: sequence as i64, sequence, epoch: 1 };
        let source = Source {
            topic: &topic,
            partition: ticket.partition.partition,
            offset: ticket.offset,
            timestamp_ms: Some(NOW_MS),
            part: 0,
            headers: &[],
        };
        let outgoing = publisher.findings(read.labelled(&source, &model), NOW_MS);
        Finished {
            ticket,
            cost: 0,
            timestamp_ms: Some(NOW_MS),
            outcomes: vec![Outcome::plain("labelled")],
            outgoing: vec![outgoing.unwrap()],
            hold: None,
        }
    };
    let all = reads.iter().cycle().take(REPORTS * PASSES).enumerate();
    let mut all: Vec<Finished> = all.map(|(number, read)| finished(number, read)).collect();
    for chunk in all.chunks_mut(50) {
        chunk.reverse();
    }
    let mut all = all.into_iter();
    let mut ledger = Ledger::default();
    repeat(|| {
        for finished in all.by_ref().take(REPORTS) {
            let ticket = finished.ticket.clone();
            assert!(ledger.finish(&ticket, finished).is_ok());
            if ledger.ready().0 >= 100 {
                let ends = ledger.prefix(100, usize::MAX).ends;
                black_box(ledger.advance(&ends));
            }
        }
    });
    std::mem::forget(all);
}

fn model() -> ModelIdentity {
    ModelIdentity { name: "bench".into(), version: "1".into(), sha256: "0".repeat(64) }
}

fn tokenizer() -> Vec<u8> {
    let path = format!("{MODEL}/tokenizer.json");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn encoder() -> Encoder {
    Encoder::new(&tokenizer(), 512).unwrap()
}
