//! Decode pool: bytes to reports, reports to text, text to token ids.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::Record;
use crate::decode::{DecodeOptions, Decoded, Rejection, decode};
use crate::extract::{ExtractPolicy, Extracted, settle};
use crate::publish::{Publisher, Source};
use crate::report::{Intent, Report, ReportText, Skip, Warning};
use crate::student::Encoding;
use crate::telemetry::totals::Outcome;

use super::budget::Budget;
use super::flight::{Finished, Flight, Part};
use super::generation::{Generation, ThreadEncoder};
use super::letters::{Failure, Letters};
use super::memory::TextHash;
use super::unix_ms;

/// One report that waits for the student.
pub struct Task {
    /// Its record.
    pub flight: Arc<Flight>,
    /// Its place in the record.
    pub part: u32,
    /// The report.
    pub report: Box<Report>,
    /// What will be labelled.
    pub text: ReportText,
    /// Who labels it.
    pub generation: Arc<Generation>,
    /// The same as token ids; `None` for a labeller that reads text.
    pub encoding: Option<Encoding>,
    /// What it is remembered by, once asked for.
    pub text_hash: Option<TextHash>,
    /// Its length, tokens.
    pub tokens: usize,
    /// When it was queued.
    pub queued: Instant,
}

/// Where in the input a report stands.
pub fn source(record: &Record, part: u32) -> Source<'_> {
    Source {
        topic: &record.ticket.partition.topic,
        partition: record.ticket.partition.partition,
        offset: record.ticket.offset,
        timestamp_ms: record.timestamp_ms,
        part,
        headers: &record.headers,
    }
}

/// What decode and extract make of a record.
pub enum Prepared {
    /// All reports have an outcome already.
    Finished(Finished),
    /// Reports for the student; the others of the record are settled in the flight.
    Tasks(Vec<Task>),
}

/// A report that needs no student, or one that does.
enum Step {
    Settled(Part),
    Label(Box<Report>, ReportText),
}

/// Decodes and extracts. One per thread.
pub struct Preparer {
    /// Settings of decode.
    pub decode: DecodeOptions,
    /// Settings of extract.
    pub extract: ExtractPolicy,
    /// Makes the messages of outcomes without labels.
    pub publisher: Arc<Publisher>,
    /// Makes dead letters.
    pub letters: Letters,
    /// Token ids.
    pub encoder: ThreadEncoder,
}

impl Preparer {
    /// Prepares one record for `generation`.
    pub fn prepare(&mut self, record: Record, generation: &Arc<Generation>) -> Prepared {
        let cost = Budget::cost(&record);
        let read = self.read(&record);
        let flight = Arc::new(Flight::new(record, cost, read.len()));
        let mut tasks = Vec::new();
        for (part, read) in (0..).zip(read) {
            let step = self.step(&flight.record, part, read);
            match step {
                Step::Settled(settled) => {
                    if let Some(finished) = flight.complete(part, settled) {
                        return Prepared::Finished(finished);
                    }
                }
                Step::Label(report, text) => {
                    let encoder = self.encoder.of(generation);
                    let encode = AssertUnwindSafe(|| encoder.encode(&text));
                    let encoded = std::panic::catch_unwind(encode);
                    let Ok(encoding) = encoded else {
                        let letter =
                            self.letters.part(&flight.record, part, Failure::at("label", "panic"));
                        if let Some(finished) = flight.complete(part, letter) {
                            return Prepared::Finished(finished);
                        }
                        continue;
                    };
                    let tokens =
                        encoding.as_ref().map_or_else(|| text_length(&text), Encoding::len);
                    let flight = Arc::clone(&flight);
                    let queued = Instant::now();
                    let text_hash = None;
                    tasks.push(Task {
                        flight,
                        part,
                        report,
                        text,
                        generation: Arc::clone(generation),
                        encoding,
                        text_hash,
                        tokens,
                        queued,
                    });
                }
            }
        }
        Prepared::Tasks(tasks)
    }

    /// Decodes and extracts. One entry per report of the record; at least one.
    fn read(&self, record: &Record) -> Vec<Read> {
        let payload = record.payload.as_deref().unwrap_or_default();
        // A parser that panics must cost one dead letter, not the process. The hook of telemetry
        // keeps the panic's message (it may quote text) out of the log.
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
            decode(payload, &self.decode)
                .into_iter()
                .map(|decoded| match decoded {
                    Decoded::Report(mut report) => {
                        self.bound_times(&mut report, record);
                        let extracted = settle(&mut report, &self.extract, None);
                        Read::Report(report, extracted)
                    }
                    Decoded::Skipped(skip) => Read::Skipped(skip),
                    Decoded::Rejected(rejection) => Read::Rejected(rejection),
                })
                .collect()
        }));
        read.unwrap_or_else(|_| vec![Read::Panicked])
    }

    /// Replaces times that the record makes incredible. One without a time of its own says nothing.
    fn bound_times(&self, report: &mut Report, record: &Record) {
        let at = record.timestamp_ms.filter(|at| *at > 0);
        if let (Some(at), Some(limit)) = (at, self.decode.max_future_ms) {
            let (believed, replaced) = report.version.believed(at, limit);
            report.version = believed;
            if replaced {
                report.warn(Warning::FutureTimestamp);
            }
        }
    }

    fn step(&self, record: &Record, part: u32, read: Read) -> Step {
        match read {
            Read::Report(report, Some(Extracted::Text(text))) => Step::Label(report, text),
            Read::Report(report, Some(Extracted::Skipped(skip))) => {
                let Report { warnings, profile, .. } = *report;
                let outcome = Outcome { warnings, profile, ..Outcome::plain(skip.name()) };
                Step::Settled(Part { outcome, outgoing: Vec::new() })
            }
            Read::Skipped(skip) => {
                Step::Settled(Part { outcome: Outcome::plain(skip.name()), outgoing: Vec::new() })
            }
            Read::Report(report, None) => Step::Settled(self.textless(record, part, &report)),
            Read::Panicked => {
                let failure = Failure::at("decode", "panic");
                Step::Settled(self.letters.part(record, part, failure))
            }
            Read::Rejected(rejection) => {
                let (class, location) = (rejection.class.name(), rejection.location.as_str());
                let failure = Failure { stage: "decode", class, location };
                Step::Settled(self.letters.part(record, part, failure))
            }
        }
    }

    fn textless(&self, record: &Record, part: u32, report: &Report) -> Part {
        let source = source(record, part);
        let (name, event) = match report.intent {
            Intent::Retract => ("retracted", self.publisher.retraction(&source, report, unix_ms())),
            _ => ("promoted", self.publisher.promotion(&source, report, unix_ms())),
        };
        match event {
            Ok(event) => {
                let mut outgoing = vec![event];
                if report.intent == Intent::Retract {
                    outgoing.extend(self.publisher.withdrawal(&source, report, unix_ms()));
                    outgoing.extend(self.publisher.escalation_marker(&source, report, unix_ms()));
                }
                let (warnings, profile) = (report.warnings.clone(), report.profile.clone());
                Part { outcome: Outcome { warnings, profile, ..Outcome::plain(name) }, outgoing }
            }
            Err(error) => self.letters.part(record, part, Failure::of_encoding(&error)),
        }
    }
}

/// What decode and extract found, without messages.
enum Read {
    Report(Box<Report>, Option<Extracted>),
    Skipped(Skip),
    Rejected(Rejection),
    Panicked,
}

/// A stand-in for a token count, for labellers that read text: about four characters a token.
fn text_length(text: &ReportText) -> usize {
    text.sections.iter().map(|section| section.text.expose().len()).sum::<usize>() / 4 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Ticket, TopicPartition};
    use crate::publish::{
        EscalationMarker, Mark, PublishSettings, Topic, VERSION_HEADER, WITHDRAWN_TYPE,
    };

    fn preparer() -> Preparer {
        let publisher = Arc::new(Publisher::new(PublishSettings::default()));
        Preparer {
            decode: DecodeOptions::default(),
            extract: ExtractPolicy::default(),
            letters: Letters { publisher: Arc::clone(&publisher), by_partition: true },
            publisher,
            encoder: ThreadEncoder::default(),
        }
    }

    fn rules() -> Arc<Generation> {
        Arc::new(Generation::of_rules("1", 0))
    }

    fn record(payload: &[u8]) -> Record {
        let partition = TopicPartition { topic: Arc::from("in"), partition: 4 };
        let ticket = Ticket { partition, offset: 9, sequence: 0, epoch: 1 };
        let payload = Some(payload.to_vec());
        Record { ticket, timestamp_ms: Some(1), key: None, payload, headers: Vec::new() }
    }

    #[test]
    fn a_record_with_many_bad_reports_is_one_dead_letter_and_all_are_counted() {
        let bundle = format!(
            r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
            vec![r#"{"resource":{"resourceType":"DiagnosticReport","status":7}}"#; 50].join(",")
        );
        let Prepared::Finished(finished) = preparer().prepare(record(bundle.as_bytes()), &rules())
        else {
            panic!("nothing of it needs the student");
        };
        let dead = finished.outcomes.iter().filter(|o| o.dead_letter.is_some()).count();
        assert!(dead > 1, "{dead} bad reports");
        assert_eq!(finished.outgoing.len(), 1);
        let letter = finished.outgoing.first().unwrap();
        assert_eq!((letter.topic, letter.partition), (Topic::DeadLetters, Some(4)));
        assert_eq!(letter.payload.as_deref(), Some(bundle.as_bytes()));
    }

    #[test]
    fn m17_a_retraction_strikes_the_report_from_the_training_data_where_any_is_collected() {
        let message = |obr25: &str, line: &str| {
            format!(
                "MSH|^~\\&|RIS|HOSP|||20260102||ORU^R01|1|P|2.5\rPID|1||1\r\
                 OBR|1||A1^RIS|71046^XR CHEST^C4||||||||||||||||||20260103||RAD|{obr25}\r\
                 OBX|1|TX|&GDT||{line}\r"
            )
        };
        let mut collecting = preparer();
        let settings = PublishSettings { withdraw_samples: true, ..PublishSettings::default() };
        collecting.publisher = Arc::new(Publisher::new(settings));
        let outgoing = |preparer: &mut Preparer, message: String| match preparer
            .prepare(record(message.as_bytes()), &rules())
        {
            Prepared::Finished(finished) => finished.outgoing,
            Prepared::Tasks(_) => panic!("nothing to label"),
        };
        for (status, line) in [("X", "Pneumothorax.||||||F"), ("F", "Pneumothorax.||||||W")] {
            let messages = outgoing(&mut collecting, message(status, line));
            let [event, marker] = &messages[..] else { panic!("{} messages", messages.len()) };
            assert_eq!((event.topic, marker.topic), (Topic::Findings, Topic::Distillation));
            assert_eq!((&marker.key, &marker.payload), (&Some(b"RIS|A1".to_vec()), &None));
            let header = |name: &str| {
                let found = marker.headers.iter().find(|(n, _)| n == name);
                String::from_utf8(found.unwrap().1.clone()).unwrap()
            };
            assert_eq!(header("ce_type"), WITHDRAWN_TYPE);
            assert_eq!(header(VERSION_HEADER), "1767398400000/5/1767312000000");
            assert_ne!(header("ce_id"), "");
            assert_eq!(outgoing(&mut preparer(), message(status, line)).len(), 1, "none collected");
        }
        let promoted = outgoing(&mut collecting, message("F", "||||||U"));
        assert_eq!(promoted.len(), 1, "a promotion withdraws nothing");
    }

    #[test]
    fn a_retraction_is_told_to_stage_teach_where_anything_is_escalated() {
        let message = "MSH|^~\\&|RIS|HOSP|||20260102||ORU^R01|1|P|2.5\rPID|1||1\r\
             OBR|1||A1^RIS|71046^XR CHEST^C4||||||||||||||||||20260103||RAD|X\r\
             OBX|1|TX|&GDT||Pneumothorax.||||||F\r";
        let mut escalating = preparer();
        let settings = PublishSettings { mark_escalations: true, ..PublishSettings::default() };
        escalating.publisher = Arc::new(Publisher::new(settings));
        let Prepared::Finished(finished) = escalating.prepare(record(message.as_bytes()), &rules())
        else {
            panic!("nothing to label");
        };
        let [_, marker] = &finished.outgoing[..] else { panic!("an event and a marker") };
        assert_eq!((marker.topic, &marker.payload), (Topic::Escalations, &None));
        let read = EscalationMarker::read(&marker.headers).unwrap();
        assert_eq!(read.mark, Mark::Retracted);
        assert_eq!((read.version.changed_at, read.version.rank), (1_767_398_400_000, 5));
    }

    #[test]
    fn a_time_far_in_the_future_does_not_outrank_what_comes_later() {
        let message = "MSH|^~\\&|RIS|HOSP|||20260102||ORU^R01|1|P|2.5\rPID|1||1\r\
             OBR|1||A1^RIS|71046^XR CHEST^C4||||||||||||||||||99990103||RAD|F\r\
             OBX|1|TX|&GDT||Pneumothorax.||||||F\r";
        let mut preparer = preparer();
        preparer.decode.max_future_ms = Some(7 * 86_400_000);
        let at = 1_767_571_200_000; // 2026-01-05
        let task = |preparer: &mut Preparer, timestamp_ms| {
            let record = Record { timestamp_ms, ..record(message.as_bytes()) };
            match preparer.prepare(record, &rules()) {
                Prepared::Tasks(mut tasks) => tasks.remove(0),
                Prepared::Finished(_) => panic!("a report to label"),
            }
        };
        let believed = task(&mut preparer, Some(at)).report;
        assert_eq!(believed.version.changed_at_ms, at);
        assert_eq!(believed.version.message_at_ms, 1_767_312_000_000, "that was credible");
        assert_eq!(believed.warnings, [Warning::FutureTimestamp]);
        // Nothing to hold it against, or no limit.
        for timestamp_ms in [None, Some(-1)] {
            let report = task(&mut preparer, timestamp_ms).report;
            assert!(report.version.changed_at_ms > at && report.warnings.is_empty());
        }
        preparer.decode.max_future_ms = None;
        assert!(task(&mut preparer, Some(at)).report.warnings.is_empty());
    }

    #[test]
    fn a_tombstone_is_a_dead_letter_not_a_panic() {
        let mut tombstone = record(b"");
        tombstone.payload = None;
        let Prepared::Finished(finished) = preparer().prepare(tombstone, &rules()) else {
            panic!("nothing to label");
        };
        assert_eq!(finished.outgoing.first().map(|letter| letter.payload.clone()), Some(None));
    }
}
