//! The records of the findings and escalations topics, field by field as in `schemas/`.
//!
//! Serde names of the types are those of the schemas: the Avro library compares them.
//! Strings are borrowed when writing and owned when read back. Everything here identifies a patient
//! or quotes a report: `Debug` shows ids and kinds only.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ModelIdentity;
use crate::report::{ReportStatus, ReportVersion};

/// What happened to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    /// A kind of a newer build.
    Unknown,
    /// Its text was read; findings follow.
    Labelled,
    /// What was published of it no longer holds.
    Retracted,
    /// Its status changed, its text was not sent again.
    Promoted,
}

impl EventKind {
    /// Last word of the CloudEvents type (`labelled`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Labelled => "labelled",
            Self::Retracted => "retracted",
            Self::Promoted => "promoted",
        }
    }
}

/// Who decided the statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Provenance {
    /// Nobody, or someone that a newer build knows.
    Unknown,
    /// The student.
    Student,
    /// The teacher, every cell.
    Teacher,
    /// The teacher the doubtful cells, the student the others.
    StudentAndTeacher,
    /// The rules labeller.
    Rules,
    /// A person.
    Human,
}

/// Report status as the schemas spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename = "ReportStatus", rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each is the ReportStatus of its name")]
pub enum PublishedStatus {
    Unknown,
    Partial,
    Preliminary,
    Final,
    Appended,
    Amended,
    Corrected,
    Retracted,
}

impl From<ReportStatus> for PublishedStatus {
    fn from(status: ReportStatus) -> Self {
        match status {
            ReportStatus::Partial => Self::Partial,
            ReportStatus::Preliminary => Self::Preliminary,
            ReportStatus::Final => Self::Final,
            ReportStatus::Appended => Self::Appended,
            ReportStatus::Amended => Self::Amended,
            ReportStatus::Corrected => Self::Corrected,
            ReportStatus::Retracted => Self::Retracted,
        }
    }
}

/// Version of a report. Times in milliseconds since 1970-01-01 UTC, 0 when not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename = "ReportVersion")]
#[expect(missing_docs, reason = "fields of ReportVersion, documented in the schema")]
pub struct PublishedVersion {
    pub changed_at: i64,
    pub rank: i32,
    pub message_at: i64,
}

impl From<ReportVersion> for PublishedVersion {
    fn from(version: ReportVersion) -> Self {
        Self {
            changed_at: version.changed_at_ms,
            rank: version.rank,
            message_at: version.message_at_ms,
        }
    }
}

/// What the report says of one observation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct Finding<'a> {
    pub observation: Cow<'a, str>,
    pub status: Cow<'a, str>,
    pub confidence: f32,
    pub evidence: Option<PublishedEvidence<'a>>,
    pub decided_by: Cow<'a, str>,
    pub second_opinion: Option<SecondOpinion<'a>>,
}

/// What student and teacher say of one observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct SecondOpinion<'a> {
    pub student_status: Cow<'a, str>,
    pub student_confidence: f32,
    pub teacher_status: Cow<'a, str>,
    pub teacher_confidence: Option<f32>,
    pub teacher_agreement: Option<f32>,
}

/// Which teacher answered, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Teacher")]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct TeacherIdentity<'a> {
    pub model: Cow<'a, str>,
    pub provider: Cow<'a, str>,
    pub prompt_version: Cow<'a, str>,
    pub votes: i32,
}

/// Where the text says it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Evidence")]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct PublishedEvidence<'a> {
    pub section: Cow<'a, str>,
    pub start: i32,
    pub end: i32,
    pub text: Option<Cow<'a, str>>,
}

/// What was done.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Procedure")]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct PublishedProcedure<'a> {
    pub codings: Vec<PublishedCoding<'a>>,
    pub service_section: Option<Cow<'a, str>>,
}

/// A code with its text and system.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Coding")]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct PublishedCoding<'a> {
    pub code: Cow<'a, str>,
    pub text: Cow<'a, str>,
    pub system: Cow<'a, str>,
}

/// Why an answer is doubted or checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "EscalationReason")]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct PublishedReason<'a> {
    pub reason: Cow<'a, str>,
    pub observation: Option<Cow<'a, str>>,
    pub confidence: Option<f32>,
    pub threshold: Option<f32>,
}

/// The input record that an event came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename = "Source")]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct PublishedSource<'a> {
    pub topic: Cow<'a, str>,
    pub partition: i32,
    pub offset: i64,
    pub part: i32,
    pub timestamp: Option<i64>,
}

/// A section of the labelled text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "ReportSection")]
#[expect(missing_docs, reason = "documented in schemas/escalation.avsc")]
pub struct PublishedSection<'a> {
    pub kind: Cow<'a, str>,
    pub text: Cow<'a, str>,
}

/// Somebody or something that the message names outside of the report's text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Identifier")]
#[expect(missing_docs, reason = "documented in schemas/escalation.avsc")]
pub struct PublishedIdentifier<'a> {
    pub kind: Cow<'a, str>,
    pub value: Cow<'a, str>,
}

/// Calibrated probability of each status.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/escalation.avsc")]
pub struct Probabilities {
    pub not_mentioned: f32,
    pub positive: f32,
    pub negative: f32,
    pub uncertain: f32,
}

impl From<[f32; crate::report::STATUSES]> for Probabilities {
    fn from([not_mentioned, positive, negative, uncertain]: [f32; 4]) -> Self {
        Self { not_mentioned, positive, negative, uncertain }
    }
}

/// What the student says of one observation, for the teacher.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/escalation.avsc")]
pub struct Cell<'a> {
    pub observation: Cow<'a, str>,
    pub status: Cow<'a, str>,
    pub confidence: f32,
    pub probabilities: Probabilities,
    pub evidence: Option<PublishedEvidence<'a>>,
    pub ask: bool,
    pub reasons: Vec<PublishedReason<'a>>,
}

/// A record of the findings topic. Fields as in `schemas/findings_event.avsc`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/findings_event.avsc")]
pub struct FindingsEvent<'a> {
    pub event_id: Uuid,
    pub kind: EventKind,
    pub report_key: Cow<'a, str>,
    pub accession_number: Cow<'a, str>,
    pub report_status: PublishedStatus,
    pub report_version: PublishedVersion,
    pub revision: i32,
    pub provenance: Provenance,
    pub ai_asserted: bool,
    pub findings: Vec<Finding<'a>>,
    pub no_finding: Option<Cow<'a, str>>,
    pub sections_present: Vec<Cow<'a, str>>,
    pub sections_labelled: Vec<Cow<'a, str>>,
    pub procedure: PublishedProcedure<'a>,
    pub warnings: Vec<Cow<'a, str>>,
    pub charset: Cow<'a, str>,
    pub doubtful: bool,
    pub pending_teacher: bool,
    pub escalation_withheld: bool,
    pub escalation_reasons: Vec<PublishedReason<'a>>,
    pub teacher_outcome: Option<Cow<'a, str>>,
    pub teacher_problem: Option<Cow<'a, str>>,
    pub teacher: Option<TeacherIdentity<'a>>,
    pub needs_review: bool,
    pub review_reasons: Vec<Cow<'a, str>>,
    pub model: Option<Cow<'a, ModelIdentity>>,
    pub label_set_version: Cow<'a, str>,
    pub content_hash: Option<Cow<'a, str>>,
    pub message_type: Cow<'a, str>,
    pub sending_application: Cow<'a, str>,
    pub sending_facility: Cow<'a, str>,
    pub source: PublishedSource<'a>,
    pub labelled_at: i64,
    pub software_version: Cow<'a, str>,
}

impl fmt::Debug for FindingsEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FindingsEvent")
            .field("event_id", &self.event_id)
            .field("kind", &self.kind)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// A record of the escalations topic. Fields as in `schemas/escalation.avsc`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/escalation.avsc")]
pub struct Escalation<'a> {
    pub event_id: Uuid,
    pub report_key: Cow<'a, str>,
    pub accession_number: Cow<'a, str>,
    pub report_status: PublishedStatus,
    pub report_version: PublishedVersion,
    pub content_hash: Cow<'a, str>,
    pub sections: Vec<PublishedSection<'a>>,
    pub identifiers: Vec<PublishedIdentifier<'a>>,
    pub cells: Vec<Cell<'a>>,
    pub report_reasons: Vec<PublishedReason<'a>>,
    pub sections_present: Vec<Cow<'a, str>>,
    pub procedure: PublishedProcedure<'a>,
    pub warnings: Vec<Cow<'a, str>>,
    pub charset: Cow<'a, str>,
    pub training_excluded: bool,
    pub model: Cow<'a, ModelIdentity>,
    pub label_set_version: Cow<'a, str>,
    pub message_type: Cow<'a, str>,
    pub sending_application: Cow<'a, str>,
    pub sending_facility: Cow<'a, str>,
    pub source: PublishedSource<'a>,
    pub escalated_at: i64,
    pub software_version: Cow<'a, str>,
}

impl<'a> Escalation<'a> {
    /// All reasons: those of cells, then those of the whole report.
    pub fn reasons(&self) -> impl Iterator<Item = &PublishedReason<'a>> {
        self.cells.iter().flat_map(|cell| &cell.reasons).chain(&self.report_reasons)
    }
}

impl fmt::Debug for Escalation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Escalation")
            .field("event_id", &self.event_id)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
