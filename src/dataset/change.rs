//! What a record of the distillation topic changes.

use uuid::Uuid;

use super::pseudonym::Pseudonyms;
use super::row::Row;
use super::{Entry, Report, SampleKey, TextHash, day_of, unhex};
use crate::broker::Record;
use crate::publish::{
    Contract, DecodeError, DistillationSample, LabelSource, PublishedVersion, SampleKind, decode,
    version_of,
};
use crate::report::{FindingStatus, SectionKind};

/// What a record does to the dataset.
pub(super) enum Change {
    /// A sample is added.
    Sample(Entry, Box<Row>),
    /// A null value: every sample of the report goes that came before; with a version, those of this
    /// version and older ones, and such as are still to come.
    Retracted { report: Report, version: Option<PublishedVersion> },
    /// The samples of this text and event go, before and after.
    Withdrawn { text: TextHash, event: Uuid },
    /// The record cannot be used: why, as a code.
    Unusable(&'static str),
}

/// Reads a record.
pub(super) fn read(record: &Record, pseudonyms: &Pseudonyms) -> Change {
    // A sample without a key could never be retracted.
    let Some(key) = record.key.as_deref().filter(|key| !key.is_empty()) else {
        return Change::Unusable("no_key");
    };
    let report = pseudonyms.of(key);
    let version = version_of(&record.headers);
    let Some(payload) = record.payload.as_deref() else {
        return Change::Retracted { report, version };
    };
    let sample: DistillationSample<'static> = match decode(Contract::Distillation, payload) {
        Ok(sample) => sample,
        Err(DecodeError::OtherSchema { .. }) => return Change::Unusable("other_schema"),
        Err(_) => return Change::Unusable("avro"),
    };
    let Some(text) = unhex(&sample.text_hash) else { return Change::Unusable("text_hash") };
    let event = pseudonyms.of_event(sample.event_id);
    match sample.kind {
        SampleKind::Withdrawn => Change::Withdrawn { text, event },
        SampleKind::Unknown => Change::Unusable("kind"),
        SampleKind::Sample => match entry(&sample, SampleKey { text, report, event }, version) {
            Ok(entry) => Change::Sample(entry, Box::new(Row::new(sample, &entry))),
            Err(code) => Change::Unusable(code),
        },
    }
}

fn entry(
    sample: &DistillationSample<'_>,
    key: SampleKey,
    version: Option<PublishedVersion>,
) -> Result<Entry, &'static str> {
    let day = day_of(sample.created_at).ok_or("created_at")?;
    let mut kinds = sample.sections.iter().map(|section| SectionKind::from_name(&section.kind));
    if sample.sections.is_empty() || kinds.any(|kind| kind.is_none()) {
        return Err("sections");
    }
    let mut statuses = sample.labels.iter().map(|label| FindingStatus::from_name(&label.status));
    if sample.labels.is_empty() || statuses.any(|status| status.is_none()) {
        return Err("labels");
    }
    let human = sample.labels.iter().any(|label| label.label_source == LabelSource::Human);
    Ok(Entry { key, version, created_at: sample.created_at, day, human })
}
