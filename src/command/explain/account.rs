//! What decode and extract did with one record, as data.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use crate::decode::{DecodeOptions, Decoded, Reading, decode_traced};
use crate::extract::{
    ChestReason, ExtractPolicy, ExtractTrace, Extracted, ProcedureClass, SectionTrace, settle,
};
use crate::report::{Coding, Intent, Report, ReportText, SectionKind, Warning};

/// How one record was read.
#[derive(Debug, Serialize)]
pub(in crate::command) struct Explanation {
    /// The record as it was named.
    pub(super) record: String,
    pub(super) bytes: usize,
    /// What was taken off around the messages, outermost first.
    pub(super) layers: Vec<&'static str>,
    /// One for each outcome.
    pub(super) reports: Vec<Account>,
}

/// How one outcome came about.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    /// As counted in `radstream_outcomes_total`; `labelled` stands for "goes to the student".
    pub(super) outcome: &'static str,
    /// Class and place of a dead letter.
    pub(super) reason: Option<String>,
    #[serde(flatten)]
    pub(super) reading: Reading,
    pub(super) report: Option<ReportAccount>,
}

/// What was found of a report.
#[derive(Debug, Serialize)]
pub(super) struct ReportAccount {
    pub(super) sending_application: String,
    pub(super) sending_facility: String,
    pub(super) status: &'static str,
    pub(super) exam: Option<ProcedureClass>,
    pub(super) exam_because: Option<ChestReason>,
    /// Every section, in physical order.
    pub(super) sections: Vec<SectionTrace>,
    /// What the student reads.
    pub(super) labelled: Vec<LabelledAccount>,
    pub(super) warnings: Vec<Warning>,
    /// Only with `--show-text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shown: Option<Shown>,
}

/// A section that is labelled.
#[derive(Debug, Serialize)]
pub(super) struct LabelledAccount {
    pub(super) section: SectionKind,
    pub(super) chars: usize,
    /// Only with `--show-text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

/// What tells of the patient.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) key: String,
    pub(super) accession_number: String,
    /// RFC 3339; `None` when the message gives no time.
    pub(super) changed_at: Option<String>,
    /// Codes and texts of the procedure.
    pub(super) procedure: Vec<String>,
}

impl Explanation {
    /// What the payload is, by our detector: what was taken off around the first message, and that
    /// (`gzip, then hl7_v2`).
    pub(in crate::command) fn format(&self) -> String {
        let message = self.reports.first().map(|account| account.reading.format);
        let message = message.filter(|format| !format.is_empty()).unwrap_or("unknown");
        self.layers.iter().copied().chain([message]).collect::<Vec<_>>().join(", then ")
    }

    /// Reads a record as stage label does, and tells how.
    pub(in crate::command) fn of(
        record: &str,
        payload: &[u8],
        options: &DecodeOptions,
        policy: &ExtractPolicy,
        show_text: bool,
    ) -> Self {
        let (decoded, trace) = decode_traced(payload, options);
        let reports = decoded
            .into_iter()
            .zip(trace.readings)
            .map(|(decoded, reading)| account(decoded, reading, policy, show_text))
            .collect();
        Self { record: record.to_owned(), bytes: payload.len(), layers: trace.layers, reports }
    }
}

fn account(decoded: Decoded, reading: Reading, policy: &ExtractPolicy, show_text: bool) -> Account {
    match decoded {
        Decoded::Skipped(skip) => {
            Account { outcome: skip.name(), reason: None, reading, report: None }
        }
        Decoded::Rejected(rejection) => {
            let reason = Some(rejection.to_string());
            Account { outcome: "dead_letter", reason, reading, report: None }
        }
        Decoded::Report(mut report) => {
            let mut trace = ExtractTrace::default();
            let settled = settle(&mut report, policy, Some(&mut trace));
            let (outcome, text) = match settled {
                Some(Extracted::Text(text)) => ("labelled", Some(text)),
                Some(Extracted::Skipped(skip)) => (skip.name(), None),
                None if report.intent == Intent::Retract => ("retracted", None),
                None => ("promoted", None),
            };
            let report = ReportAccount::of(&report, trace, text, show_text);
            Account { outcome, reason: None, reading, report: Some(report) }
        }
    }
}

impl ReportAccount {
    fn of(report: &Report, trace: ExtractTrace, text: Option<ReportText>, show_text: bool) -> Self {
        let labelled = text.map(|text| text.sections).unwrap_or_default();
        Self {
            // What follows in a FHIR source names one message.
            sending_application: before_fragment(&report.sending_application).to_owned(),
            sending_facility: report.sending_facility.clone(),
            status: report.status.name(),
            exam: trace.exam.map(|(class, _)| class),
            exam_because: trace.exam.map(|(_, reason)| reason),
            sections: trace.sections,
            labelled: labelled
                .into_iter()
                .map(|section| LabelledAccount {
                    section: section.kind,
                    chars: section.text.expose().chars().count(),
                    text: show_text.then(|| section.text.into_inner()),
                })
                .collect(),
            warnings: report.warnings.clone(),
            shown: show_text.then(|| Shown {
                key: report.key.expose().to_owned(),
                accession_number: report.accession_number.expose().clone(),
                changed_at: time(report.version.changed_at_ms),
                procedure: report.procedure.codings.iter().map(coding).collect(),
            }),
        }
    }
}

fn before_fragment(source: &str) -> &str {
    source.split('#').next().unwrap_or(source)
}

/// RFC 3339, UTC; `None` for 0, which stands for no time.
pub(in crate::command) fn time(unix_ms: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(unix_ms).ok()?;
    (unix_ms != 0).then(|| time.to_string())
}

fn coding(coding: &Coding) -> String {
    let parts = [&coding.code, &coding.text, &coding.system];
    let given: Vec<Cow<'_, str>> =
        parts.iter().filter(|part| !part.is_empty()).map(|part| part.as_str().into()).collect();
    given.join(" · ")
}
