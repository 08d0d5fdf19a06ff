//! An escalation as stage teach works on it: read from its record, or why it cannot be.

use crate::broker::Record;
use crate::deidentify::{KnownIdentifier, KnownKind};
use crate::publish::{Contract, Escalation, RETRY_ATTEMPT_HEADER, RETRY_NOT_BEFORE_HEADER, decode};
use crate::report::{FindingStatus, LabelledSection, OBSERVATIONS, Observation, Phi, SectionKind};
use crate::teacher::merge::StudentCell;

/// An escalation and what is worked out of it.
pub(super) struct Escalated {
    pub(super) escalation: Escalation<'static>,
    pub(super) student: [StudentCell; OBSERVATIONS],
    pub(super) sections: Vec<LabelledSection>,
    pub(super) identifiers: Vec<KnownIdentifier>,
    /// How often it was put off.
    pub(super) attempt: u32,
    /// Not to be asked about before; milliseconds since 1970-01-01 UTC.
    pub(super) not_before_ms: i64,
}

impl Escalated {
    /// Reads a record.
    ///
    /// # Errors
    /// The class of its dead letter.
    pub(super) fn read(record: &Record) -> Result<Box<Self>, &'static str> {
        let payload = record.payload.as_deref().unwrap_or_default();
        let escalation: Escalation<'static> =
            decode(Contract::Escalation, payload).map_err(|_| "avro")?;
        let student = student(&escalation).ok_or("cells")?;
        let sections: Option<Vec<LabelledSection>> = escalation
            .sections
            .iter()
            .map(|section| {
                let kind = SectionKind::from_name(&section.kind)?;
                Some(LabelledSection { kind, text: Phi::from(&*section.text) })
            })
            .collect();
        let sections = sections.filter(|sections| !sections.is_empty()).ok_or("sections")?;
        let identifiers: Option<Vec<KnownIdentifier>> = escalation
            .identifiers
            .iter()
            .map(|identifier| {
                let kind = KnownKind::from_name(&identifier.kind)?;
                Some(KnownIdentifier::new(kind, &*identifier.value))
            })
            .collect();
        // One of a kind that a newer build knows would be left in the text.
        let identifiers = identifiers.ok_or("identifiers")?;
        let number = |name: &str| {
            let (_, value) = record.headers.iter().rev().find(|(header, _)| header == name)?;
            std::str::from_utf8(value).ok()?.parse::<i64>().ok()
        };
        let attempt = number(RETRY_ATTEMPT_HEADER).unwrap_or(0);
        Ok(Box::new(Self {
            student,
            sections,
            identifiers,
            attempt: u32::try_from(attempt).unwrap_or(0),
            not_before_ms: number(RETRY_NOT_BEFORE_HEADER).unwrap_or(0),
            escalation,
        }))
    }

    /// Every reason is the audit: the student was sure.
    pub(super) fn is_audit(&self) -> bool {
        self.escalation.reasons().all(|reason| reason.reason == "audit")
    }
}

/// The student's cells, if they are the thirteen in their order.
fn student(escalation: &Escalation<'_>) -> Option<[StudentCell; OBSERVATIONS]> {
    let cells: Option<Vec<StudentCell>> = escalation
        .cells
        .iter()
        .zip(Observation::ALL)
        .map(|(cell, observation)| {
            let status = FindingStatus::from_name(&cell.status)?;
            let p = cell.probabilities;
            (cell.observation == observation.name()).then_some(StudentCell {
                status,
                confidence: cell.confidence,
                probabilities: [p.not_mentioned, p.positive, p.negative, p.uncertain],
                ask: cell.ask,
            })
        })
        .collect();
    cells.filter(|_| escalation.cells.len() == OBSERVATIONS)?.try_into().ok()
}
