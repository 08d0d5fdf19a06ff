//! The revision that follows an escalation: the same report under the same key, with what a teacher
//! said, or why none said anything.

use std::borrow::Cow;

use super::event::{
    Escalation, EventKind, Finding, FindingsEvent, Provenance, PublishedEvidence, PublishedReason,
    SecondOpinion, TeacherIdentity,
};
use super::identity::revision_event_id;
use super::{Contract, EncodeError, Outgoing, Publisher, SOFTWARE_VERSION, borrowed, headers};
use crate::report::{FindingStatus, OBSERVATIONS, Observation, no_finding};
use crate::teacher::merge::{Merged, ReviewReason};

/// How an escalation ended. Every one ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TeacherOutcome {
    /// A teacher answered.
    Teacher,
    /// None did, or not validly.
    TeacherFailed,
    /// A newer version of the report exists.
    Superseded,
    /// The budget is spent.
    BudgetExhausted,
}

impl TeacherOutcome {
    /// Machine name, as published and counted (`teacher_failed`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::TeacherFailed => "teacher_failed",
            Self::Superseded => "superseded",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

/// A teacher's answer, merged.
#[derive(Clone)]
pub struct Opinion<'a> {
    /// Student and teacher together.
    pub merged: &'a Merged,
    /// Who answered.
    pub teacher: TeacherIdentity<'a>,
    /// Evidence for the cells that the teacher decided, as places in the escalation's sections.
    pub evidence: [Option<PublishedEvidence<'a>>; OBSERVATIONS],
}

/// Everything a revision says.
#[derive(Clone)]
pub struct Revised<'a> {
    /// What was escalated.
    pub escalation: &'a Escalation<'a>,
    /// Headers of its record.
    pub input: &'a [(String, Vec<u8>)],
    /// How it ended.
    pub outcome: TeacherOutcome,
    /// Why there is no answer, as a code.
    pub problem: Option<&'static str>,
    /// The answer.
    pub opinion: Option<Opinion<'a>>,
    /// Why a person should look.
    pub reviews: &'a [ReviewReason],
}

impl Publisher {
    /// The terminal revision of an escalation: revision 1 of its version of the report.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`]: the record would be refused; make it a dead letter.
    pub fn revision(&self, revised: &Revised<'_>, now_ms: i64) -> Result<Outgoing, EncodeError> {
        let event = revised.event(self.settings.evidence_text, now_ms);
        let envelope = headers::EventHeaders {
            id: &event.event_id,
            origin: &self.settings.ce_source,
            event_type: "org.radstream.findings.revised.v1",
            contract: Contract::Findings,
            now_ms,
        };
        self.seal(revised.input, &event.report_key, &event, &envelope)
    }
}

impl<'a> Revised<'a> {
    fn event(&self, evidence_text: bool, now_ms: i64) -> FindingsEvent<'_> {
        let escalation = self.escalation;
        let opinion = self.opinion.as_ref();
        let findings: Vec<Finding<'_>> = (0..escalation.cells.len())
            .filter_map(|cell| self.finding(cell, evidence_text))
            .collect();
        let reasons: Vec<PublishedReason<'_>> = escalation.reasons().cloned().collect();
        let doubted = reasons.iter().any(|reason| reason.reason != "audit");
        let provenance = match opinion {
            None => Provenance::Student,
            Some(opinion) if opinion.merged.all_by_teacher() => Provenance::Teacher,
            Some(_) => Provenance::StudentAndTeacher,
        };
        FindingsEvent {
            event_id: revision_event_id(&escalation.event_id, 1),
            kind: EventKind::Labelled,
            report_key: borrowed(&escalation.report_key),
            accession_number: borrowed(&escalation.accession_number),
            report_status: escalation.report_status,
            report_version: escalation.report_version,
            revision: 1,
            provenance,
            ai_asserted: true,
            no_finding: Some(Cow::Borrowed(no_finding(&labels(&findings)).name())),
            findings,
            sections_present: escalation.sections_present.clone(),
            sections_labelled: escalation.sections.iter().map(|s| borrowed(&s.kind)).collect(),
            procedure: escalation.procedure.clone(),
            warnings: escalation.warnings.clone(),
            charset: borrowed(&escalation.charset),
            doubtful: !self.reviews.is_empty() || (opinion.is_none() && doubted),
            pending_teacher: false,
            escalation_withheld: false,
            escalation_reasons: reasons,
            teacher_outcome: Some(Cow::Borrowed(self.outcome.name())),
            teacher_problem: self.problem.map(Cow::Borrowed),
            teacher: opinion.map(|opinion| opinion.teacher.clone()),
            needs_review: !self.reviews.is_empty(),
            review_reasons: self.reviews.iter().map(|r| Cow::Borrowed(r.name())).collect(),
            model: Some(escalation.model.clone()),
            label_set_version: borrowed(&escalation.label_set_version),
            content_hash: Some(borrowed(&escalation.content_hash)),
            message_type: borrowed(&escalation.message_type),
            sending_application: borrowed(&escalation.sending_application),
            sending_facility: borrowed(&escalation.sending_facility),
            source: escalation.source.clone(),
            labelled_at: now_ms,
            software_version: borrowed(SOFTWARE_VERSION),
        }
    }

    fn finding(&self, index: usize, evidence_text: bool) -> Option<Finding<'_>> {
        let cell = self.escalation.cells.get(index)?;
        let students = Finding {
            observation: borrowed(&cell.observation),
            status: borrowed(&cell.status),
            confidence: cell.confidence,
            evidence: cell.evidence.clone(),
            decided_by: Cow::Borrowed("student"),
            second_opinion: None,
        };
        let Some(opinion) = &self.opinion else { return Some(students) };
        let merged = opinion.merged.cells.get(index)?;
        let second_opinion = Some(SecondOpinion {
            student_status: borrowed(&cell.status),
            student_confidence: cell.confidence,
            teacher_status: Cow::Borrowed(merged.teacher.status.name()),
            teacher_confidence: merged.teacher.confidence,
            teacher_agreement: merged.teacher.agreement,
        });
        if !merged.by_teacher {
            return Some(Finding { second_opinion, ..students });
        }
        let mut evidence = opinion.evidence.get(index)?.clone();
        if evidence.is_none() && cell.status == merged.status.name() {
            // The teacher's words are not found as they stand: the student's place, for the same.
            evidence = cell.evidence.clone();
        }
        if let Some(evidence) = evidence.as_mut().filter(|_| !evidence_text) {
            evidence.text = None;
        }
        Some(Finding {
            status: Cow::Borrowed(merged.status.name()),
            confidence: merged.confidence,
            evidence,
            decided_by: Cow::Borrowed("teacher"),
            second_opinion,
            ..students
        })
    }
}

/// The statuses, by name: a cell that is not there is not mentioned.
fn labels(findings: &[Finding<'_>]) -> [FindingStatus; OBSERVATIONS] {
    Observation::ALL.map(|observation| {
        let found = findings.iter().find(|finding| finding.observation == observation.name());
        found.and_then(|f| FindingStatus::from_name(&f.status)).unwrap_or_default()
    })
}
