//! Markers: records without a value that say what became of a report, in their headers.
//!
//! On the distillation topic a marker strikes the samples of a retracted report. On the escalations topic
//! it tells stage teach that what it may still hold of that report is no longer the newest: the report
//! was retracted, or changed in a way that needs no second opinion. It stands behind the escalations of
//! the report, in the same partition.

use uuid::Uuid;

use super::headers::{self, Headers};
use super::{Outgoing, PublishedVersion, Publisher, Source, Topic, identity};
use crate::report::{Report, ReportStatus};

/// `ce_type` of a withdrawal: a null value on the distillation topic.
pub const WITHDRAWN_TYPE: &str = "org.radstream.distillation.withdrawn.v1";
/// `ce_type` of a marker on the escalations topic: the report was retracted.
const RETRACTED_TYPE: &str = "org.radstream.escalation.retracted.v1";
/// `ce_type` of a marker on the escalations topic: the report was changed.
const REPLACED_TYPE: &str = "org.radstream.escalation.replaced.v1";

/// What a marker on the escalations topic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The report no longer holds.
    Retracted,
    /// There is a newer version of it, which was not escalated.
    Replaced,
}

/// A marker of the escalations topic, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscalationMarker {
    /// What became of the report.
    pub mark: Mark,
    /// Its version of now.
    pub version: PublishedVersion,
}

impl EscalationMarker {
    /// Reads the headers of a record without a value; `None` when they are no marker's.
    pub fn read(input: &[(String, Vec<u8>)]) -> Option<Self> {
        let mark = match std::str::from_utf8(headers::find(input, "ce_type")?).ok()? {
            RETRACTED_TYPE => Mark::Retracted,
            REPLACED_TYPE => Mark::Replaced,
            _ => return None,
        };
        Some(Self { mark, version: headers::version_of(input)? })
    }
}

impl Publisher {
    /// Strikes a retracted report from the training data: a record without value under its key on the
    /// distillation topic, so that compaction removes its samples and a store that follows the topic
    /// deletes its copies. `None` when no distillation topic is configured.
    ///
    /// Whether there ever was a sample is not known here; a marker for none does no harm. The version
    /// in its header tells a store which samples it is about: those of this version and older ones.
    pub fn withdrawal(
        &self,
        source: &Source<'_>,
        report: &Report,
        now_ms: i64,
    ) -> Option<Outgoing> {
        self.settings.withdraw_samples.then(|| {
            self.withdrawal_again(
                source.headers,
                report.key.expose().as_bytes(),
                &report.version.into(),
                now_ms,
            )
        })
    }

    /// The same from a marker that stage teach has met: samples that it published before it are struck by
    /// this one, which comes after them.
    pub fn withdrawal_again(
        &self,
        input: &[(String, Vec<u8>)],
        key: &[u8],
        version: &PublishedVersion,
        now_ms: i64,
    ) -> Outgoing {
        self.marker(WITHDRAWN_TYPE, input, key, version, now_ms)
    }

    /// Tells stage teach that older versions of a report, which may have been escalated, no longer count.
    /// For a report that is not escalated itself. `None` when nothing is escalated, and for a status that
    /// changes no text that was given out: a final report after a preliminary one has no marker, or
    /// nearly every report would.
    pub fn escalation_marker(
        &self,
        source: &Source<'_>,
        report: &Report,
        now_ms: i64,
    ) -> Option<Outgoing> {
        let event_type = match report.status {
            ReportStatus::Retracted => RETRACTED_TYPE,
            ReportStatus::Corrected | ReportStatus::Amended | ReportStatus::Appended => {
                REPLACED_TYPE
            }
            ReportStatus::Partial | ReportStatus::Preliminary | ReportStatus::Final => return None,
        };
        let (key, version) = (report.key.expose().as_bytes(), report.version.into());
        self.settings
            .mark_escalations
            .then(|| self.marker(event_type, source.headers, key, &version, now_ms))
    }

    fn marker(
        &self,
        event_type: &str,
        input: &[(String, Vec<u8>)],
        key: &[u8],
        version: &PublishedVersion,
        now_ms: i64,
    ) -> Outgoing {
        let (topic, origin) = match event_type {
            WITHDRAWN_TYPE => (Topic::Distillation, &self.samples_origin),
            _ => (Topic::Escalations, &self.escalations_origin),
        };
        let id = identity::marker_id(key, version, event_type);
        Outgoing {
            topic,
            partition: None,
            key: Some(key.to_vec()),
            payload: None,
            headers: of_marker(input, &id, (origin, event_type), version, now_ms),
            timestamp_ms: None,
        }
    }
}

/// It has no value, so neither content type nor schema.
fn of_marker(
    input: &[(String, Vec<u8>)],
    id: &Uuid,
    (origin, event_type): (&str, &str),
    version: &PublishedVersion,
    now_ms: i64,
) -> Headers {
    let mut headers = Vec::with_capacity(8);
    headers::push(&mut headers, "ce_specversion", "1.0");
    headers::push(&mut headers, "ce_id", &id.to_string());
    headers::push(&mut headers, "ce_source", origin);
    headers::push(&mut headers, "ce_type", event_type);
    if let Some(time) = headers::rfc3339(now_ms) {
        headers::push(&mut headers, "ce_time", &time);
    }
    headers::push_version(&mut headers, *version);
    headers::pass_trace_context(input, &mut headers);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written_and_nothing_else_is_one() {
        let version = PublishedVersion { changed_at: -1, rank: 3, message_at: 9 };
        let written =
            |event_type: &str| of_marker(&[], &Uuid::nil(), ("/o", event_type), &version, 0);
        let read = |event_type| EscalationMarker::read(&written(event_type));
        assert_eq!(read(RETRACTED_TYPE), Some(EscalationMarker { mark: Mark::Retracted, version }));
        assert_eq!(read(REPLACED_TYPE), Some(EscalationMarker { mark: Mark::Replaced, version }));
        assert_eq!(read(WITHDRAWN_TYPE), None);
        assert_eq!(EscalationMarker::read(&[]), None);
        let mut unnamed = written(REPLACED_TYPE);
        unnamed.retain(|(name, _)| name != headers::VERSION_HEADER);
        assert_eq!(EscalationMarker::read(&unnamed), None);
    }
}
