//! The values that flow: what a message becomes on its way to a finding.
//!
//! `Record` (bytes, in [`crate::broker`]) → [`Report`] → [`ReportText`] → [`Scored`] → `Decision`
//! (in [`crate::route`]) → `Outgoing` (in [`crate::publish`]). Each step takes the one before by
//! value. Nothing here does I/O, reads a clock, or knows Kafka.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod identifier;
mod key;
mod observation;
mod procedure;
mod version;
mod warning;

pub use identifier::{KnownIdentifier, KnownKind};
pub use key::ReportKey;
pub use observation::{
    FindingStatus, Labels, NO_FINDING, OBSERVATIONS, Observation, STATUSES, no_finding,
};
pub use procedure::{Coding, Procedure};
pub use version::ReportVersion;
pub use warning::Warning;

/// Protected health information: report text or an identifier.
///
/// `Debug` prints nothing of it and there is no `Display`, so it cannot slip into a log line, a
/// metric label, an error or a panic message. Call [`Phi::expose`] where the value itself is needed;
/// every such call is a place to review.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. The caller answers for where it goes.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps. The caller answers for where it goes.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<phi>")
    }
}

impl From<&str> for Phi<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl From<String> for Phi<String> {
    fn from(value: String) -> Self {
        Self(value)
    }
}

/// Normalised report status (HL7 tables 0123 and 0085, TXA-17, FHIR `DiagnosticReport.status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// Some results, not all.
    Partial,
    /// Read, not yet verified.
    Preliminary,
    /// Verified.
    Final,
    /// Text was added to a final report.
    Appended,
    /// Changed after being final, extent not said.
    Amended,
    /// Replaces a final report.
    Corrected,
    /// Cancelled or entered in error: what was published of it no longer holds.
    Retracted,
}

impl ReportStatus {
    /// Machine name (`preliminary`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Appended => "appended",
            Self::Amended => "amended",
            Self::Corrected => "corrected",
            Self::Retracted => "retracted",
        }
    }

    /// Tie-breaker of versions with equal times: retracted > corrected, amended, appended > final >
    /// preliminary > partial.
    pub const fn rank(self) -> i32 {
        match self {
            Self::Partial => 1,
            Self::Preliminary => 2,
            Self::Final => 3,
            Self::Appended | Self::Amended | Self::Corrected => 4,
            Self::Retracted => 5,
        }
    }
}

/// Kind of a section of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// What was examined.
    Exam,
    /// Why it was ordered. Never labelled.
    Indication,
    /// Patient history. Never labelled.
    History,
    /// How it was made. Never labelled.
    Technique,
    /// Prior studies. Never labelled.
    Comparison,
    /// What was seen.
    Findings,
    /// What it means.
    Impression,
    /// Suggested next steps. Not labelled.
    Recommendation,
    /// Text attached after signing.
    Addendum,
    /// Who was told. Not labelled.
    Notification,
    /// Quick reading before the formal one. Not labelled.
    WetRead,
    /// Text before the first heading, or a report without headings.
    Body,
}

impl SectionKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Exam,
        Self::Indication,
        Self::History,
        Self::Technique,
        Self::Comparison,
        Self::Findings,
        Self::Impression,
        Self::Recommendation,
        Self::Addendum,
        Self::Notification,
        Self::WetRead,
        Self::Body,
    ];

    /// The kind of that machine name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Machine name (`findings`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exam => "exam",
            Self::Indication => "indication",
            Self::History => "history",
            Self::Technique => "technique",
            Self::Comparison => "comparison",
            Self::Findings => "findings",
            Self::Impression => "impression",
            Self::Recommendation => "recommendation",
            Self::Addendum => "addendum",
            Self::Notification => "notification",
            Self::WetRead => "wet_read",
            Self::Body => "body",
        }
    }
}

/// A run of report text with the section its code names, if its code names one. Physical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextBlock {
    /// Section given by a code (OBX-3 suffix or LOINC), `None` when only headings can tell.
    pub section: Option<SectionKind>,
    /// Decoded text, lines ended by `\n`.
    pub text: Phi<String>,
}

/// What a report message asks us to do with the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Read and label the text.
    Label,
    /// The status changed and the text was not sent again (OBX-11 `U`).
    Promote,
    /// What was published no longer holds.
    Retract,
}

/// One report as decoded from a message: who, what, which version, and its text.
#[derive(Clone, Debug)]
pub struct Report {
    /// Identity across versions.
    pub key: ReportKey,
    /// Accession number as the sender wrote it (without authority).
    pub accession_number: Phi<String>,
    /// What to do.
    pub intent: Intent,
    /// Normalised status.
    pub status: ReportStatus,
    /// Orders this version among the others.
    pub version: ReportVersion,
    /// What was done.
    pub procedure: Procedure,
    /// Text in physical order.
    pub blocks: Vec<TextBlock>,
    /// Message kind: `ORU^R01`, `MDM^T02`, `DiagnosticReport`.
    pub message_type: String,
    /// MSH-3 or FHIR source endpoint.
    pub sending_application: String,
    /// MSH-4.
    pub sending_facility: String,
    /// Character set that the message was read in, as WHATWG's Encoding Standard names it (`UTF-8`,
    /// `windows-1252`), or `US-ASCII`.
    pub charset: &'static str,
    /// Name of the source profile that read it, where one did.
    pub profile: Option<Arc<str>>,
    /// MSH-11 is T or D: never published to production.
    pub test_message: bool,
    /// Oddities so far, in the order met, each once.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Notes an oddity once.
    pub fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// A counted end for something that needs no finding. Not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// Another exam than a chest radiograph, or it could not be told.
    NotChest,
    /// No text, or only a placeholder.
    NoText,
    /// Not a report: order, acknowledgement, laboratory result, demographics.
    NonReport,
    /// Marked as test or training (MSH-11 T or D).
    Test,
    /// Not English.
    Language,
    /// Only a reference to a report; its text is elsewhere.
    NeedsFetch,
}

impl Skip {
    /// Machine name, as counted (`skipped_not_chest`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotChest => "skipped_not_chest",
            Self::NoText => "skipped_no_text",
            Self::NonReport => "skipped_non_report",
            Self::Test => "skipped_test",
            Self::Language => "skipped_language",
            Self::NeedsFetch => "needs_fetch",
        }
    }
}

/// A section that will be labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledSection {
    /// Findings, impression, addendum or body.
    pub kind: SectionKind,
    /// Its text, white space tidied, headings removed.
    pub text: Phi<String>,
}

/// The text that will be labelled. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportText {
    /// Findings, then impression, then addenda: the newest statement last.
    pub sections: Vec<LabelledSection>,
    /// Sections that the report has, labelled or not (kinds only).
    pub present: Vec<SectionKind>,
}

impl ReportText {
    /// What the student reads: the sections joined by one newline. `distill/` trains on the same.
    pub fn model_input(&self) -> Phi<String> {
        let mut joined = String::new();
        for section in &self.sections {
            if !joined.is_empty() {
                joined.push('\n');
            }
            joined.push_str(section.text.expose());
        }
        Phi::new(joined)
    }
}

/// Where in the labelled text the evidence for one observation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Section of the sentence.
    pub section: SectionKind,
    /// First character of the sentence in that section's text, in Unicode scalar values.
    pub start: u32,
    /// One past its last character.
    pub end: u32,
}

/// What the student says of one report.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Calibrated probabilities, rows as [`Observation::ALL`], columns as [`FindingStatus::ALL`];
    /// each row sums to 1.
    pub probabilities: [[f32; STATUSES]; OBSERVATIONS],
    /// Evidence sentence per observation, where the model gives one.
    pub evidence: [Option<Evidence>; OBSERVATIONS],
    /// The text was longer than the model reads.
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_phi_prints_nothing_of_it() {
        let shown = format!("{:?} {:?}", Phi::from("DOE^JANE"), ReportKey::new("RIS", "A1"));
        assert_eq!(shown, "<phi> <report key>");
    }

    #[test]
    fn names_round_trip_and_are_distinct() {
        for observation in Observation::ALL {
            assert_eq!(Observation::from_name(observation.name()), Some(observation));
        }
        assert_eq!(Observation::from_name(NO_FINDING), None);
    }

    #[test]
    fn no_finding_ignores_support_devices_and_heeds_hedges() {
        let mut labels: Labels = [FindingStatus::NotMentioned; OBSERVATIONS];
        labels[12] = FindingStatus::Positive;
        assert_eq!(no_finding(&labels), FindingStatus::Positive);
        labels[6] = FindingStatus::Uncertain;
        assert_eq!(no_finding(&labels), FindingStatus::NotMentioned);
        labels[6] = FindingStatus::Negative;
        assert_eq!(no_finding(&labels), FindingStatus::Positive);
    }
}
