//! From the values of the pipeline to the fields of the schemas.

use std::borrow::Cow;

use uuid::Uuid;

use super::event::{
    Cell, Escalation, EventKind, Finding, FindingsEvent, Provenance, PublishedCoding,
    PublishedEvidence, PublishedIdentifier, PublishedProcedure, PublishedReason, PublishedSection,
    PublishedSource,
};
use super::identity::{Identity, hex, textless_event_id};
use super::{LABEL_SET_VERSION, ModelIdentity, SOFTWARE_VERSION, Source, borrowed};
use crate::report::{
    Evidence, KnownIdentifier, Observation, Procedure, Report, ReportText, Scored, SectionKind,
    Warning,
};
use crate::route::{Decision, EscalationReason};

/// A report whose text was read, with all that was said of it.
#[derive(Clone, Copy)]
pub struct Labelled<'a> {
    /// Where it stands in the input.
    pub source: &'a Source<'a>,
    /// The report.
    pub report: &'a Report,
    /// What was read.
    pub text: &'a ReportText,
    /// What the model said.
    pub scored: &'a Scored,
    /// What we say.
    pub decision: &'a Decision,
    /// Who said it.
    pub model: &'a ModelIdentity,
    /// [`Identity::of`] report, text and model.
    pub identity: Identity,
    /// Whom the message names outside of the report's text. Only escalations carry them.
    pub identifiers: &'a [KnownIdentifier],
}

impl<'a> Labelled<'a> {
    /// The findings event, revision 0.
    pub(super) fn findings(self, evidence_text: bool, labelled_at: i64) -> FindingsEvent<'a> {
        let Self { report, text, decision, .. } = self;
        let Identity { event_id, content_hash } = self.identity;
        let findings = self
            .cells()
            .map(|(observation, status, confidence, _, evidence)| Finding {
                observation: borrowed(observation.name()),
                status: borrowed(status),
                confidence,
                evidence: evidence.map(|evidence| self.evidence(evidence, evidence_text)),
                decided_by: Cow::Borrowed("student"),
                second_opinion: None,
            })
            .collect();
        FindingsEvent {
            provenance: Provenance::Student,
            ai_asserted: true,
            findings,
            no_finding: Some(borrowed(decision.no_finding.name())),
            sections_present: kinds(text.present.iter().copied()),
            sections_labelled: kinds(text.sections.iter().map(|section| section.kind)),
            warnings: self.published_warnings(),
            doubtful: decision.doubtful(),
            pending_teacher: decision.escalates(),
            escalation_withheld: decision.withheld,
            escalation_reasons: decision.reasons.iter().map(reason).collect(),
            model: Some(Cow::Borrowed(self.model)),
            content_hash: Some(Cow::Owned(hex(&content_hash))),
            ..bare(self.source, report, EventKind::Labelled, event_id, labelled_at)
        }
    }

    /// The report as the teacher needs it.
    pub(super) fn escalation(self, escalated_at: i64) -> Escalation<'a> {
        let Self { source, report, text, decision, model, .. } = self;
        let Identity { event_id, content_hash } = self.identity;
        let of_cell = |observation: Observation| {
            decision.reasons.iter().filter(move |r| r.observation() == Some(observation))
        };
        let report_reasons: Vec<_> =
            decision.reasons.iter().filter(|r| r.observation().is_none()).map(reason).collect();
        let cells = self
            .cells()
            .map(|(observation, status, confidence, probabilities, evidence)| {
                let reasons: Vec<_> = of_cell(observation).map(reason).collect();
                Cell {
                    observation: borrowed(observation.name()),
                    status: borrowed(status),
                    confidence,
                    probabilities: probabilities.into(),
                    // The text travels along: its place is enough.
                    evidence: evidence.map(|evidence| self.evidence(evidence, false)),
                    ask: !reasons.is_empty() || !report_reasons.is_empty(),
                    reasons,
                }
            })
            .collect();
        Escalation {
            event_id,
            report_key: borrowed(report.key.expose()),
            accession_number: borrowed(report.accession_number.expose()),
            report_status: report.status.into(),
            report_version: report.version.into(),
            content_hash: Cow::Owned(hex(&content_hash)),
            sections: text
                .sections
                .iter()
                .map(|section| PublishedSection {
                    kind: borrowed(section.kind.name()),
                    text: borrowed(section.text.expose()),
                })
                .collect(),
            identifiers: self.identifiers.iter().map(identifier).collect(),
            cells,
            report_reasons,
            sections_present: kinds(text.present.iter().copied()),
            procedure: procedure(&report.procedure),
            warnings: self.published_warnings(),
            charset: borrowed(report.charset),
            training_excluded: report.warnings.contains(&Warning::AiDrafted),
            model: Cow::Borrowed(model),
            label_set_version: borrowed(LABEL_SET_VERSION),
            message_type: borrowed(&report.message_type),
            sending_application: borrowed(&report.sending_application),
            sending_facility: borrowed(&report.sending_facility),
            source: published_source(source),
            escalated_at,
            software_version: borrowed(SOFTWARE_VERSION),
        }
    }

    /// Observation, status, confidence, probabilities and evidence, in model order.
    fn cells(
        self,
    ) -> impl Iterator<Item = (Observation, &'static str, f32, [f32; 4], Option<&'a Evidence>)>
    {
        Observation::ALL
            .into_iter()
            .zip(self.decision.labels)
            .zip(self.decision.confidence)
            .zip(self.scored.probabilities)
            .zip(&self.scored.evidence)
            .map(|((((observation, status), confidence), probabilities), evidence)| {
                (observation, status.name(), confidence, probabilities, evidence.as_ref())
            })
    }

    fn evidence(self, evidence: &Evidence, with_text: bool) -> PublishedEvidence<'a> {
        PublishedEvidence {
            section: borrowed(evidence.section.name()),
            start: i32::try_from(evidence.start).unwrap_or(i32::MAX),
            end: i32::try_from(evidence.end).unwrap_or(i32::MAX),
            text: if with_text { self.quote(evidence).map(borrowed) } else { None },
        }
    }

    /// The evidence sentence. `None` when it does not stand where the evidence says, or when two
    /// sections of that kind make it unclear which one is meant.
    fn quote(self, evidence: &Evidence) -> Option<&'a str> {
        let mut sections = self.text.sections.iter().filter(|s| s.kind == evidence.section);
        let section = sections.next().filter(|_| sections.next().is_none())?;
        slice_chars(section.text.expose(), evidence.start, evidence.end)
    }

    /// Oddities of the input, and that its text was cut.
    pub fn warnings(self) -> Vec<Warning> {
        let mut warnings = self.report.warnings.clone();
        if self.scored.truncated && !warnings.contains(&Warning::TextTruncated) {
            warnings.push(Warning::TextTruncated);
        }
        warnings
    }

    fn published_warnings(self) -> Vec<Cow<'a, str>> {
        self.warnings().into_iter().map(|warning| borrowed(warning.name())).collect()
    }
}

/// An event of a report whose text was not read.
pub(super) fn textless<'a>(
    source: &'a Source<'_>,
    report: &'a Report,
    kind: EventKind,
    labelled_at: i64,
) -> FindingsEvent<'a> {
    let id = textless_event_id(&report.key, report.status, &report.version, kind.name());
    bare(source, report, kind, id, labelled_at)
}

/// Identity and origin; nothing said.
fn bare<'a>(
    source: &'a Source<'_>,
    report: &'a Report,
    kind: EventKind,
    event_id: Uuid,
    labelled_at: i64,
) -> FindingsEvent<'a> {
    FindingsEvent {
        event_id,
        kind,
        report_key: borrowed(report.key.expose()),
        accession_number: borrowed(report.accession_number.expose()),
        report_status: report.status.into(),
        report_version: report.version.into(),
        revision: 0,
        provenance: Provenance::Unknown,
        ai_asserted: false,
        findings: Vec::new(),
        no_finding: None,
        sections_present: Vec::new(),
        sections_labelled: Vec::new(),
        procedure: procedure(&report.procedure),
        warnings: report.warnings.iter().map(|w| borrowed(w.name())).collect(),
        charset: borrowed(report.charset),
        doubtful: false,
        pending_teacher: false,
        escalation_withheld: false,
        escalation_reasons: Vec::new(),
        teacher_outcome: None,
        teacher_problem: None,
        teacher: None,
        needs_review: false,
        review_reasons: Vec::new(),
        model: None,
        label_set_version: borrowed(LABEL_SET_VERSION),
        content_hash: None,
        message_type: borrowed(&report.message_type),
        sending_application: borrowed(&report.sending_application),
        sending_facility: borrowed(&report.sending_facility),
        source: published_source(source),
        labelled_at,
        software_version: borrowed(SOFTWARE_VERSION),
    }
}

fn kinds(kinds: impl Iterator<Item = SectionKind>) -> Vec<Cow<'static, str>> {
    kinds.map(|kind| Cow::Borrowed(kind.name())).collect()
}

fn identifier(identifier: &KnownIdentifier) -> PublishedIdentifier<'_> {
    PublishedIdentifier {
        kind: borrowed(identifier.kind.name()),
        value: borrowed(identifier.value.expose()),
    }
}

fn reason(reason: &EscalationReason) -> PublishedReason<'static> {
    let (confidence, threshold) = match reason {
        EscalationReason::LowConfidence { confidence, threshold, .. } => {
            (Some(*confidence), Some(*threshold))
        }
        _ => (None, None),
    };
    PublishedReason {
        reason: Cow::Borrowed(reason.name()),
        observation: reason.observation().map(|o| Cow::Borrowed(o.name())),
        confidence,
        threshold,
    }
}

fn procedure(procedure: &Procedure) -> PublishedProcedure<'_> {
    PublishedProcedure {
        codings: procedure
            .codings
            .iter()
            .map(|coding| PublishedCoding {
                code: borrowed(&coding.code),
                text: borrowed(&coding.text),
                system: borrowed(&coding.system),
            })
            .collect(),
        service_section: procedure.service_section.as_deref().map(borrowed),
    }
}

fn published_source<'a>(source: &'a Source<'_>) -> PublishedSource<'a> {
    PublishedSource {
        topic: borrowed(source.topic),
        partition: source.partition,
        offset: source.offset,
        part: i32::try_from(source.part).unwrap_or(i32::MAX),
        timestamp: source.timestamp_ms,
    }
}

/// Characters `start..end` of `text`, counted in Unicode scalar values.
fn slice_chars(text: &str, start: u32, end: u32) -> Option<&str> {
    let boundary = |n: u32| {
        let n = usize::try_from(n).ok()?;
        text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(n)
    };
    text.get(boundary(start)?..boundary(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        let text = "Œdème léger. Fin.";
        assert_eq!(slice_chars(text, 0, 12), Some("Œdème léger."));
        assert_eq!(slice_chars(text, 13, 17), Some("Fin."));
        assert_eq!(slice_chars(text, 13, 18), None);
        assert_eq!(slice_chars(text, 5, 4), None);
    }
}
