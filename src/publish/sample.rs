//! Training samples: a de-identified report with what student and teacher say of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Probabilities, PublishedReason, PublishedSection, TeacherIdentity};
use super::identity::{hex, sample_id, sections_hash};
use super::revision::Revised;
use super::{
    Contract, EncodeError, ModelIdentity, Outgoing, Publisher, SOFTWARE_VERSION, borrowed, headers,
};
use crate::deidentify::{Deidentified, Kind};
use crate::report::{Observation, Scored};

/// What a record of the distillation topic does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SampleKind {
    /// Something that a newer build knows.
    Unknown,
    /// Adds a sample.
    Sample,
    /// Takes samples away.
    Withdrawn,
}

/// Who gave a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum LabelSource {
    Unknown,
    Student,
    Teacher,
    Rules,
    Human,
}

impl LabelSource {
    /// Machine name (`teacher`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Student => "student",
            Self::Teacher => "teacher",
            Self::Rules => "rules",
            Self::Human => "human",
        }
    }
}

/// How the text was de-identified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/distillation_sample.avsc")]
pub struct Deidentification<'a> {
    pub policy_version: Cow<'a, str>,
    pub replaced: HashMap<String, i32>,
}

/// What each side says of one observation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/distillation_sample.avsc")]
pub struct SampleLabel<'a> {
    pub observation: Cow<'a, str>,
    pub status: Cow<'a, str>,
    pub label_source: LabelSource,
    pub student_status: Cow<'a, str>,
    pub student_probabilities: Probabilities,
    pub teacher_status: Option<Cow<'a, str>>,
    pub teacher_confidence: Option<f32>,
    pub teacher_agreement: Option<f32>,
    pub quote: Option<Cow<'a, str>>,
}

/// What a model that is not in service says of the same report.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/distillation_sample.avsc")]
pub struct ShadowAnswer<'a> {
    pub model: Cow<'a, ModelIdentity>,
    pub labels: Vec<ShadowLabel<'a>>,
}

/// What it says of one observation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/distillation_sample.avsc")]
pub struct ShadowLabel<'a> {
    pub observation: Cow<'a, str>,
    pub status: Cow<'a, str>,
    pub confidence: f32,
}

impl<'a> ShadowAnswer<'a> {
    /// What `model` said, as it is published.
    pub fn new(model: &'a ModelIdentity, scored: &Scored) -> Self {
        let cells = Observation::ALL.into_iter().zip(&scored.probabilities);
        let labels = cells.map(|(observation, row)| {
            let (status, confidence) = crate::route::choose(row);
            ShadowLabel {
                observation: Cow::Borrowed(observation.name()),
                status: Cow::Borrowed(status.name()),
                confidence,
            }
        });
        Self { model: Cow::Borrowed(model), labels: labels.collect() }
    }
}

/// A record of the distillation topic. Fields as in `schemas/distillation_sample.avsc`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in schemas/distillation_sample.avsc")]
pub struct DistillationSample<'a> {
    pub sample_id: Uuid,
    pub kind: SampleKind,
    pub event_id: Uuid,
    pub text_hash: Cow<'a, str>,
    pub sections: Vec<PublishedSection<'a>>,
    pub deidentification: Option<Deidentification<'a>>,
    pub labels: Vec<SampleLabel<'a>>,
    pub selection_reasons: Vec<PublishedReason<'a>>,
    pub inclusion_probability: Option<f64>,
    pub needs_review: bool,
    pub student: Option<Cow<'a, ModelIdentity>>,
    pub teacher: Option<TeacherIdentity<'a>>,
    pub label_set_version: Cow<'a, str>,
    pub procedure_codes: Vec<Cow<'a, str>>,
    pub created_at: i64,
    pub software_version: Cow<'a, str>,
    /// Samples of earlier builds have none.
    #[serde(default)]
    pub shadow: Option<ShadowAnswer<'a>>,
}

impl fmt::Debug for DistillationSample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistillationSample")
            .field("sample_id", &self.sample_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What makes a revision a training sample.
pub struct Sampled<'a> {
    /// The text that the teacher read.
    pub text: &'a Deidentified,
    /// The teacher's quotes of it, by observation.
    pub quotes: &'a [Option<String>],
    /// Chance of a report like this one to be chosen, 0 to 1, where it is known.
    pub inclusion_probability: Option<f64>,
    /// What a shadow said.
    pub shadow: Option<ShadowAnswer<'a>>,
}

impl Publisher {
    /// The training sample of a report that a teacher has answered: the statuses that its revision
    /// publishes, with what either said beside them. A header names the version of the report, so that a
    /// store can tell whether a retraction meant it.
    ///
    /// # Errors
    /// [`EncodeError`]; `None` where no teacher answered: labels that the student gave itself are
    /// never trained on.
    pub fn sample(
        &self,
        revised: &Revised<'_>,
        sampled: Sampled<'_>,
        now_ms: i64,
    ) -> Option<Result<Outgoing, EncodeError>> {
        let Sampled { text, quotes, inclusion_probability, shadow } = sampled;
        let opinion = revised.opinion.as_ref()?;
        let escalation = revised.escalation;
        let text_hash = hex(&sections_hash(text.sections()));
        let labels = escalation.cells.iter().zip(&opinion.merged.cells).enumerate();
        let labels = labels.map(|(index, (cell, merged))| SampleLabel {
            observation: borrowed(&cell.observation),
            status: Cow::Borrowed(merged.status.name()),
            // Whom it contradicts where it was not asked, it does not teach: that cell is the student's,
            // as in the revision, and no training reads it.
            label_source: if merged.by_teacher || merged.status == merged.teacher.status {
                LabelSource::Teacher
            } else {
                LabelSource::Student
            },
            student_status: borrowed(&cell.status),
            student_probabilities: cell.probabilities,
            teacher_status: Some(Cow::Borrowed(merged.teacher.status.name())),
            teacher_confidence: merged.teacher.confidence,
            teacher_agreement: merged.teacher.agreement,
            quote: quotes.get(index).and_then(Option::as_deref).map(borrowed),
        });
        let sample = DistillationSample {
            sample_id: sample_id(&text_hash, &opinion.teacher, &escalation.model),
            kind: SampleKind::Sample,
            event_id: escalation.event_id,
            text_hash: Cow::Owned(text_hash),
            sections: text
                .sections()
                .iter()
                .map(|section| PublishedSection {
                    kind: borrowed(section.kind.name()),
                    text: borrowed(section.text.expose()),
                })
                .collect(),
            deidentification: Some(deidentification(text)),
            labels: labels.collect(),
            selection_reasons: escalation.reasons().cloned().collect(),
            inclusion_probability,
            needs_review: !revised.reviews.is_empty(),
            student: Some(escalation.model.clone()),
            teacher: Some(opinion.teacher.clone()),
            label_set_version: borrowed(&escalation.label_set_version),
            procedure_codes: escalation
                .procedure
                .codings
                .iter()
                .filter(|coding| !coding.code.is_empty())
                .map(|coding| borrowed(&coding.code))
                .collect(),
            created_at: now_ms,
            software_version: borrowed(SOFTWARE_VERSION),
            shadow,
        };
        let envelope = headers::EventHeaders {
            id: &sample.sample_id,
            origin: &self.samples_origin,
            event_type: "org.radstream.distillation.sample.v1",
            contract: Contract::Distillation,
            now_ms,
        };
        let sealed = self.seal(revised.input, &escalation.report_key, &sample, &envelope);
        Some(sealed.map(|mut outgoing| {
            headers::push_version(&mut outgoing.headers, escalation.report_version);
            outgoing
        }))
    }
}

fn deidentification(text: &Deidentified) -> Deidentification<'_> {
    let replaced = Kind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), text.counts().of(*kind)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind, i32::try_from(count).unwrap_or(i32::MAX)))
        .collect();
    Deidentification { policy_version: borrowed(text.policy()), replaced }
}
