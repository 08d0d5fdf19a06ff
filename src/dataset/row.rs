//! A sample as a row of a Parquet file.

use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Entry, SampleKey, day_of, unhex};
use crate::publish::{
    DistillationSample, LabelSource, Probabilities, PublishedReason, PublishedVersion, SampleLabel,
    ShadowLabel, hex,
};
use crate::report::{Observation, SectionKind};

/// Name of the column that counts the samples of a text.
pub(super) const TIMES_SEEN: &str = "times_seen";
/// Columns that make an [`Entry`].
pub(super) const KEY_COLUMNS: [&str; 8] = [
    "text_hash",
    "report",
    "event_id",
    "report_changed_at",
    "report_rank",
    "report_message_at",
    "created_at",
    "human",
];

/// One row. Columns are documented in `docs/REDISTILLATION.md`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) sample_id: String,
    pub(super) text_hash: String,
    pub(super) report: String,
    pub(super) event_id: String,
    pub(super) report_changed_at: Option<i64>,
    pub(super) report_rank: Option<i32>,
    pub(super) report_message_at: Option<i64>,
    pub(super) created_at: i64,
    pub(super) times_seen: i64,
    pub(super) findings: Option<String>,
    pub(super) impression: Option<String>,
    pub(super) addenda: Vec<String>,
    pub(super) body: Option<String>,
    enlarged_cardiomediastinum: Option<String>,
    cardiomegaly: Option<String>,
    lung_opacity: Option<String>,
    lung_lesion: Option<String>,
    edema: Option<String>,
    consolidation: Option<String>,
    pneumonia: Option<String>,
    atelectasis: Option<String>,
    pneumothorax: Option<String>,
    pleural_effusion: Option<String>,
    pleural_other: Option<String>,
    fracture: Option<String>,
    support_devices: Option<String>,
    pub(super) label_source: String,
    pub(super) human: bool,
    pub(super) needs_review: bool,
    pub(super) cells: Vec<CellRow>,
    selection_reasons: Vec<ReasonRow>,
    inclusion_probability: Option<f64>,
    student_name: Option<String>,
    student_version: Option<String>,
    student_sha256: Option<String>,
    teacher_provider: Option<String>,
    teacher_model: Option<String>,
    teacher_prompt_version: Option<String>,
    teacher_votes: Option<i32>,
    procedure_codes: Vec<String>,
    label_set_version: String,
    deidentification_policy: Option<String>,
    software_version: String,
    shadow_name: Option<String>,
    shadow_version: Option<String>,
    shadow_sha256: Option<String>,
    shadow_cells: Option<Vec<ShadowRow>>,
}

/// What each side says of one observation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CellRow {
    observation: String,
    status: String,
    label_source: String,
    student_status: String,
    student_probabilities: Probabilities,
    teacher_status: Option<String>,
    teacher_confidence: Option<f32>,
    teacher_agreement: Option<f32>,
    quote: Option<String>,
}

/// What the shadow says of one observation.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct ShadowRow {
    observation: String,
    status: String,
    confidence: f32,
}

/// Why the report was chosen.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct ReasonRow {
    reason: String,
    observation: Option<String>,
    confidence: Option<f32>,
    threshold: Option<f32>,
}

/// The columns of a row that make its entry.
#[derive(Deserialize)]
pub(super) struct KeyRow<'a> {
    text_hash: &'a str,
    report: &'a str,
    event_id: &'a str,
    report_changed_at: Option<i64>,
    report_rank: Option<i32>,
    report_message_at: Option<i64>,
    created_at: i64,
    human: bool,
}

impl KeyRow<'_> {
    /// `None` when a column holds what we never write.
    pub(super) fn key(&self) -> Option<SampleKey> {
        Some(SampleKey {
            text: unhex(self.text_hash)?,
            report: unhex(self.report)?,
            event: Uuid::try_parse(self.event_id).ok()?,
        })
    }

    /// As [`KeyRow::key`].
    pub(super) fn entry(&self) -> Option<Entry> {
        let version = self.report_changed_at.zip(self.report_rank).zip(self.report_message_at);
        Some(Entry {
            key: self.key()?,
            version: version.map(|((changed_at, rank), message_at)| PublishedVersion {
                changed_at,
                rank,
                message_at,
            }),
            created_at: self.created_at,
            day: day_of(self.created_at)?,
            human: self.human,
        })
    }
}

impl Row {
    /// The row of a sample.
    pub(super) fn new(sample: DistillationSample<'_>, entry: &Entry) -> Self {
        let sections = |wanted: SectionKind| {
            let of_kind = sample.sections.iter().filter(move |s| s.kind == wanted.name());
            of_kind.map(|section| section.text.to_string()).collect::<Vec<_>>()
        };
        let joined = |wanted| Some(sections(wanted).join("\n")).filter(|text| !text.is_empty());
        let status = |observation: Observation| {
            let label = sample.labels.iter().find(|label| label.observation == observation.name());
            label.map(|label| label.status.to_string())
        };
        let (student, teacher) = (sample.student.as_deref(), sample.teacher.as_ref());
        let shadow = sample.shadow.as_ref();
        Self {
            sample_id: sample.sample_id.to_string(),
            text_hash: hex(&entry.key.text),
            report: hex(&entry.key.report),
            event_id: entry.key.event.to_string(),
            report_changed_at: entry.version.map(|version| version.changed_at),
            report_rank: entry.version.map(|version| version.rank),
            report_message_at: entry.version.map(|version| version.message_at),
            created_at: sample.created_at,
            times_seen: 1,
            findings: joined(SectionKind::Findings),
            impression: joined(SectionKind::Impression),
            addenda: sections(SectionKind::Addendum),
            body: joined(SectionKind::Body),
            enlarged_cardiomediastinum: status(Observation::EnlargedCardiomediastinum),
            cardiomegaly: status(Observation::Cardiomegaly),
            lung_opacity: status(Observation::LungOpacity),
            lung_lesion: status(Observation::LungLesion),
            edema: status(Observation::Edema),
            consolidation: status(Observation::Consolidation),
            pneumonia: status(Observation::Pneumonia),
            atelectasis: status(Observation::Atelectasis),
            pneumothorax: status(Observation::Pneumothorax),
            pleural_effusion: status(Observation::PleuralEffusion),
            pleural_other: status(Observation::PleuralOther),
            fracture: status(Observation::Fracture),
            support_devices: status(Observation::SupportDevices),
            label_source: best_source(&sample.labels).name().to_owned(),
            human: entry.human,
            needs_review: sample.needs_review,
            cells: sample.labels.iter().map(CellRow::new).collect(),
            selection_reasons: sample.selection_reasons.iter().map(ReasonRow::new).collect(),
            inclusion_probability: sample.inclusion_probability,
            student_name: student.map(|student| student.name.clone()),
            student_version: student.map(|student| student.version.clone()),
            student_sha256: student.map(|student| student.sha256.clone()),
            teacher_provider: teacher.map(|teacher| teacher.provider.to_string()),
            teacher_model: teacher.map(|teacher| teacher.model.to_string()),
            teacher_prompt_version: teacher.map(|teacher| teacher.prompt_version.to_string()),
            teacher_votes: teacher.map(|teacher| teacher.votes),
            procedure_codes: sample.procedure_codes.iter().map(|code| code.to_string()).collect(),
            label_set_version: sample.label_set_version.to_string(),
            deidentification_policy: sample
                .deidentification
                .as_ref()
                .map(|done| done.policy_version.to_string()),
            software_version: sample.software_version.to_string(),
            shadow_name: shadow.map(|shadow| shadow.model.name.clone()),
            shadow_version: shadow.map(|shadow| shadow.model.version.clone()),
            shadow_sha256: shadow.map(|shadow| shadow.model.sha256.clone()),
            shadow_cells: shadow.map(|shadow| shadow.labels.iter().map(ShadowRow::new).collect()),
        }
    }
}

/// The source that counts most among those of a sample's labels.
fn best_source(labels: &[SampleLabel<'_>]) -> LabelSource {
    let order =
        [LabelSource::Human, LabelSource::Teacher, LabelSource::Rules, LabelSource::Student];
    let has = |source: &LabelSource| labels.iter().any(|label| label.label_source == *source);
    order.into_iter().find(has).unwrap_or(LabelSource::Unknown)
}

impl CellRow {
    fn new(label: &SampleLabel<'_>) -> Self {
        Self {
            observation: label.observation.to_string(),
            status: label.status.to_string(),
            label_source: label.label_source.name().to_owned(),
            student_status: label.student_status.to_string(),
            student_probabilities: label.student_probabilities,
            teacher_status: label.teacher_status.as_deref().map(str::to_owned),
            teacher_confidence: label.teacher_confidence,
            teacher_agreement: label.teacher_agreement,
            quote: label.quote.as_deref().map(str::to_owned),
        }
    }
}

impl ShadowRow {
    fn new(label: &ShadowLabel<'_>) -> Self {
        Self {
            observation: label.observation.to_string(),
            status: label.status.to_string(),
            confidence: label.confidence,
        }
    }
}

impl ReasonRow {
    fn new(reason: &PublishedReason<'_>) -> Self {
        Self {
            reason: reason.reason.to_string(),
            observation: reason.observation.as_deref().map(str::to_owned),
            confidence: reason.confidence,
            threshold: reason.threshold,
        }
    }
}

/// Rows as Arrow has them.
///
/// # Errors
/// A row does not fit the schema: a fault of ours.
pub(super) fn batch(rows: &[&Row]) -> Result<RecordBatch, serde_arrow::Error> {
    serde_arrow::to_record_batch(&FIELDS, &rows)
}

/// The schema of all files.
pub(super) fn schema() -> SchemaRef {
    Arc::new(arrow_schema::Schema::new(Fields::from(FIELDS.clone())))
}

static FIELDS: LazyLock<Vec<FieldRef>> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let maybe = |name: &str, kind: DataType| Field::new(name, kind, true);
    let list = |name: &str, item: DataType| {
        Field::new(name, DataType::List(Arc::new(Field::new("item", item, false))), false)
    };
    let number = |name: &str| Field::new(name, DataType::Float32, false);
    let probabilities = ["not_mentioned", "positive", "negative", "uncertain"].map(number).to_vec();
    let cell = DataType::Struct(Fields::from(vec![
        text("observation"),
        text("status"),
        text("label_source"),
        text("student_status"),
        Field::new("student_probabilities", DataType::Struct(Fields::from(probabilities)), false),
        maybe("teacher_status", DataType::Utf8),
        maybe("teacher_confidence", DataType::Float32),
        maybe("teacher_agreement", DataType::Float32),
        maybe("quote", DataType::Utf8),
    ]));
    let reason = DataType::Struct(Fields::from(vec![
        text("reason"),
        maybe("observation", DataType::Utf8),
        maybe("confidence", DataType::Float32),
        maybe("threshold", DataType::Float32),
    ]));
    let shadow = DataType::Struct(Fields::from(vec![
        text("observation"),
        text("status"),
        number("confidence"),
    ]));
    let shadow = DataType::List(Arc::new(Field::new("item", shadow, false)));
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![
        text("sample_id"),
        text("text_hash"),
        text("report"),
        text("event_id"),
        maybe("report_changed_at", DataType::Int64),
        maybe("report_rank", DataType::Int32),
        maybe("report_message_at", DataType::Int64),
        Field::new("created_at", time, false),
        Field::new(TIMES_SEEN, DataType::Int64, false),
        maybe("findings", DataType::Utf8),
        maybe("impression", DataType::Utf8),
        list("addenda", DataType::Utf8),
        maybe("body", DataType::Utf8),
    ];
    fields.extend(Observation::ALL.map(|observation| maybe(observation.name(), DataType::Utf8)));
    fields.extend([
        text("label_source"),
        Field::new("human", DataType::Boolean, false),
        Field::new("needs_review", DataType::Boolean, false),
        list("cells", cell),
        list("selection_reasons", reason),
        maybe("inclusion_probability", DataType::Float64),
        maybe("student_name", DataType::Utf8),
        maybe("student_version", DataType::Utf8),
        maybe("student_sha256", DataType::Utf8),
        maybe("teacher_provider", DataType::Utf8),
        maybe("teacher_model", DataType::Utf8),
        maybe("teacher_prompt_version", DataType::Utf8),
        maybe("teacher_votes", DataType::Int32),
        list("procedure_codes", DataType::Utf8),
        text("label_set_version"),
        maybe("deidentification_policy", DataType::Utf8),
        text("software_version"),
        // Files of earlier builds end here.
        maybe("shadow_name", DataType::Utf8),
        maybe("shadow_version", DataType::Utf8),
        maybe("shadow_sha256", DataType::Utf8),
        maybe("shadow_cells", shadow),
    ]);
    fields.into_iter().map(Arc::new).collect()
});
