//! Judges a run by what Kafka has of it, apart from the code under test: it reads Avro by the schemas' files,
//! headers by their names and the brokers' logs with Kafka's tool. It knows the feed.
//!
//! Examples of violations name places, `partition@offset`; never a key, never a text.

#![allow(dead_code, reason = "not every field is read by every test")]
#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` marks what tests call")]

mod avro;
mod evidence;
mod judge;
mod log;
#[cfg(test)]
mod tests;

use std::fmt;

use radstream::demo::generator::message;

pub use evidence::{Evidence, Guarantee, Place, Scene, ends};
pub use log::Summary;

/// Examples that are kept of each kind of violation.
const EXAMPLES: usize = 3;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The input is the feed: every message of it once. Otherwise the rest proves nothing.
    FeedWhole,
    /// Every published value is framed and written as its schema asks, and its key and headers say
    /// the same as its value.
    Readable,
    /// No input is without its outcome.
    Lost,
    /// No input has its outcome twice.
    Doubled,
    /// No input has another outcome than it should, and nothing is an outcome of what is no input.
    WrongOutcome,
    /// The findings of a key, in their order, come from rising offsets of a source partition.
    KeyOrder,
    /// A read_committed reader finds the records of committed transactions by the brokers' logs: all
    /// of them and no others. A read_uncommitted reader finds all.
    AbortedInvisible,
    /// Who read while it happened saw what is there afterwards.
    ReadersAgree,
    /// The group has committed the end of every input partition.
    OffsetsMatch,
    /// No transaction was left open: last stable offset and high watermark are one.
    Stable,
    /// A dead letter is its input, byte for byte, with the headers that say why.
    LettersIdentical,
    /// Each finding that says it was escalated has one escalation, and each escalation its finding.
    EscalationsMatch,
    /// Each retraction has one withdrawal under its key on the distillation topic, and nothing else is
    /// there: stage teach has not run.
    WithdrawalsMatch,
    /// Each retraction, and each change of a text that was not escalated, has one marker under its
    /// key on the escalations topic.
    MarksMatch,
    /// All faults that were planned happened, a reader was there, and work was left after the last.
    FaultsHappened,
    /// No process ended by itself.
    ProcessesLived,
}

impl Check {
    /// All, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::FeedWhole,
        Self::Readable,
        Self::Lost,
        Self::Doubled,
        Self::WrongOutcome,
        Self::KeyOrder,
        Self::AbortedInvisible,
        Self::ReadersAgree,
        Self::OffsetsMatch,
        Self::Stable,
        Self::LettersIdentical,
        Self::EscalationsMatch,
        Self::WithdrawalsMatch,
        Self::MarksMatch,
        Self::FaultsHappened,
        Self::ProcessesLived,
    ];

    /// As in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FeedWhole => "feed_whole",
            Self::Readable => "readable",
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::WrongOutcome => "wrong_outcome",
            Self::KeyOrder => "key_order",
            Self::AbortedInvisible => "aborted_invisible",
            Self::ReadersAgree => "readers_agree",
            Self::OffsetsMatch => "offsets_match",
            Self::Stable => "stable",
            Self::LettersIdentical => "letters_identical",
            Self::EscalationsMatch => "escalations_match",
            Self::WithdrawalsMatch => "withdrawals_match",
            Self::MarksMatch => "marks_match",
            Self::FaultsHappened => "faults_happened",
            Self::ProcessesLived => "processes_lived",
        }
    }
}

/// What must become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One finding of this kind: `LABELLED`, `RETRACTED` or `PROMOTED`.
    Finding(&'static str),
    /// One dead letter.
    Letter,
    /// Nothing: it is skipped.
    Nothing,
}

/// The messages that were fed. Each has its number, from 0, in a header.
pub trait Feed {
    /// Header that carries a message's number.
    const NUMBER: &'static str = "test-number";

    fn messages(&self) -> u64;

    fn expected(&self, number: u64) -> Expected;
}

/// The demo's generator, as `Stage::feed` writes it.
#[derive(Clone, Copy, Debug)]
pub struct DemoFeed {
    pub seed: u64,
    pub messages: u64,
}

impl Feed for DemoFeed {
    fn messages(&self) -> u64 {
        self.messages
    }

    fn expected(&self, number: u64) -> Expected {
        match message(self.seed, number).kind.expected_outcome() {
            "labelled" => Expected::Finding("LABELLED"),
            "retracted" => Expected::Finding("RETRACTED"),
            "promoted" => Expected::Finding("PROMOTED"),
            "dead_letter" => Expected::Letter,
            _ => Expected::Nothing,
        }
    }
}

/// Violations of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    pub count: usize,
    /// The first few.
    pub examples: Vec<String>,
}

impl Violations {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// What came of all checks.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub results: Vec<(Check, Violations)>,
    /// Inputs, findings, escalations, dead letters.
    pub sizes: [usize; 4],
    pub summary: Summary,
}

/// Makes all checks.
pub fn check(evidence: &Evidence, feed: &impl Feed) -> Verdict {
    Verdict {
        results: judge::all(evidence, feed),
        sizes: [
            evidence.inputs.len(),
            evidence.findings.len(),
            evidence.escalations.len(),
            evidence.letters.len(),
        ],
        summary: evidence.summary,
    }
}

impl Verdict {
    /// The checks that found violations.
    pub fn failed(&self) -> Vec<Check> {
        let failed = self.results.iter().filter(|(_, violations)| violations.count > 0);
        failed.map(|(check, _)| *check).collect()
    }

    pub fn is_clean(&self) -> bool {
        self.failed().is_empty()
    }

    /// How many violations a check found.
    pub fn count(&self, check: Check) -> usize {
        self.results.iter().filter(|(of, _)| *of == check).map(|(_, found)| found.count).sum()
    }

    /// The table, on standard output.
    #[allow(clippy::print_stdout, reason = "shown with --nocapture, and when a test fails")]
    pub fn print(&self) {
        println!("{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [inputs, findings, escalations, letters] = self.sizes;
        writeln!(
            f,
            "{inputs} inputs, {findings} findings, {escalations} escalations, {letters} dead letters"
        )?;
        writeln!(f, "{}", self.summary)?;
        writeln!(f, "{:<18}  {:>10}  first", "check", "violations")?;
        for (check, Violations { count, examples }) in &self.results {
            writeln!(f, "{:<18}  {count:>10}  {}", check.name(), examples.join("; "))?;
        }
        Ok(())
    }
}
