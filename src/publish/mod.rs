//! From decisions to Kafka records: Avro values, headers, keys. No I/O except in [`registry`].
//!
//! A record is a function of the input record, the model and the settings, but for the time it was
//! made (`labelled_at`, `escalated_at`, `ce_time`, `radstream.failed.at`, `radstream.first.failed.at`): a
//! redo after an abort or a crash writes the same.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::Report;

mod codec;
mod dead_letter;
mod event;
mod headers;
mod identity;
mod letter;
mod marker;
pub mod registry;
mod render;
mod revision;
mod sample;

#[cfg(test)]
pub(crate) use codec::encode;
pub use codec::{Contract, DecodeError, EncodeError, Framing, SchemaIds, decode};
pub use dead_letter::ErrorHeaders;
pub use event::{
    Cell, Escalation, EventKind, Finding, FindingsEvent, Probabilities, Provenance,
    PublishedCoding, PublishedEvidence, PublishedIdentifier, PublishedProcedure, PublishedReason,
    PublishedSection, PublishedSource, PublishedStatus, PublishedVersion, SecondOpinion,
    TeacherIdentity,
};
pub use headers::{
    RETRY_ATTEMPT_HEADER, RETRY_NOT_BEFORE_HEADER, SCHEMA_HEADER, VERSION_HEADER, version_of,
};
pub use identity::{Identity, content_hash, event_id};
pub(crate) use identity::{hex, sections_hash};
pub use letter::{
    DeadLetterRecord, LetterHead, Origin, REPLAY_COUNT_HEADER, ReplayMark, replayed_headers,
};
pub use marker::{EscalationMarker, Mark, WITHDRAWN_TYPE};
pub use render::Labelled;
pub use revision::{Opinion, Revised, TeacherOutcome};
pub use sample::{
    Deidentification, DistillationSample, LabelSource, SampleKind, SampleLabel, Sampled,
    ShadowAnswer, ShadowLabel,
};

/// Version of the set of observations and statuses and of what they mean (the labelling guide).
/// Change it when a label comes to mean something else, so that training data can be told apart.
pub const LABEL_SET_VERSION: &str = "1";

/// Version of radstream, as it stands on every record.
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Allowance for what Kafka adds to a record: batch and record headers, lengths.
const RECORD_OVERHEAD: usize = 1024;

/// Where a record goes. Names of topics are configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Avro [`FindingsEvent`]s.
    Findings,
    /// Avro [`Escalation`]s.
    Escalations,
    /// Avro distillation samples.
    Distillation,
    /// Escalations that wait for a teacher that does not answer.
    Retries,
    /// Original bytes.
    DeadLetters,
}

impl Topic {
    /// Machine name (`findings`), as in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Escalations => "escalations",
            Self::Distillation => "distillation",
            Self::Retries => "retries",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// A record to produce. `Debug` shows sizes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub topic: Topic,
    /// Partition, when it is not left to the key.
    pub partition: Option<i32>,
    /// Kafka key.
    pub key: Option<Vec<u8>>,
    /// Kafka value.
    pub payload: Option<Vec<u8>>,
    /// Kafka headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Timestamp in milliseconds since 1970-01-01 UTC; `None`: the time of producing. Findings take
    /// that one: retention by time must not delete the findings of an old report at once.
    pub timestamp_ms: Option<i64>,
}

impl Outgoing {
    /// Bytes of key, value and headers: what it costs the byte budget.
    pub fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len) + headers
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key_bytes", &self.key.as_ref().map(Vec::len))
            .field("payload_bytes", &self.payload.as_ref().map(Vec::len))
            .field("headers", &self.headers.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}

/// Where an input record came from, and the report's place in it.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Input topic.
    pub topic: &'a str,
    /// Input partition.
    pub partition: i32,
    /// Input offset.
    pub offset: i64,
    /// Timestamp of the input record, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: Option<i64>,
    /// Position of the report in its record, from 0, when one record holds several.
    pub part: u32,
    /// Headers of the input record. Only a valid trace context is passed on, except to dead letters.
    pub headers: &'a [(String, Vec<u8>)],
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{} part {}", self.topic, self.partition, self.offset, self.part)
    }
}

/// Which model said it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename = "Model")]
pub struct ModelIdentity {
    /// Name from the manifest.
    pub name: String,
    /// Version from the manifest.
    pub version: String,
    /// SHA-256 of the model file, lower-case hexadecimal.
    pub sha256: String,
}

/// How to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSettings {
    /// Name of this deployment: connector name on dead letters.
    pub application: String,
    /// CloudEvents source of findings. Escalations, which share the ids of findings, add
    /// `/escalations`: source and id together are unique.
    pub ce_source: String,
    /// Consumer group, for Spring's dead-letter headers.
    pub consumer_group: String,
    /// Whether findings quote the evidence sentence (PHI). Its place is published either way.
    pub evidence_text: bool,
    /// Header names on dead letters.
    pub error_headers: ErrorHeaders,
    /// Largest record in bytes, key and headers included: the smaller of the producer's
    /// `message.max.bytes` and the topics' `max.message.bytes`.
    pub max_message_bytes: usize,
    /// Framing of Avro values.
    pub framing: Framing,
    /// Whether a retracted report is struck from the distillation topic.
    pub withdraw_samples: bool,
    /// Whether stage teach is told of reports that were retracted or changed.
    pub mark_escalations: bool,
}

impl Default for PublishSettings {
    /// Kafka's own limit (1 MiB), Connect's header names, no registry, no evidence text.
    fn default() -> Self {
        Self {
            application: "radstream".to_owned(),
            ce_source: "/radstream/label".to_owned(),
            consumer_group: "radstream-label".to_owned(),
            evidence_text: false,
            error_headers: ErrorHeaders::Connect,
            max_message_bytes: 1_048_576,
            framing: Framing::SingleObject,
            withdraw_samples: false,
            mark_escalations: false,
        }
    }
}

/// Makes records. Cheap to share; holds settings only.
#[derive(Clone, Debug)]
pub struct Publisher {
    settings: PublishSettings,
    escalations_origin: String,
    samples_origin: String,
}

impl Publisher {
    /// A publisher of stage label.
    pub fn new(settings: PublishSettings) -> Self {
        let escalations_origin = format!("{}/escalations", settings.ce_source);
        let samples_origin = format!("{}/distillation", settings.ce_source);
        Self { settings, escalations_origin, samples_origin }
    }

    /// The findings of a labelled report, revision 0.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`]: the record would be refused; make it a dead letter.
    pub fn findings(&self, labelled: Labelled<'_>, now_ms: i64) -> Result<Outgoing, EncodeError> {
        let event = labelled.findings(self.settings.evidence_text, now_ms);
        self.event(labelled.source, labelled.report, &event)
    }

    /// The report on its way to the teacher. For a decision that
    /// [escalates](crate::route::Decision::escalates); it carries the report's text and identifiers.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`]: the record would be refused; make it a dead letter.
    pub fn escalation(&self, labelled: Labelled<'_>, now_ms: i64) -> Result<Outgoing, EncodeError> {
        let escalation = labelled.escalation(now_ms);
        let envelope = headers::EventHeaders {
            id: &escalation.event_id,
            origin: &self.escalations_origin,
            event_type: "org.radstream.escalation.v1",
            contract: Contract::Escalation,
            now_ms,
        };
        let key = labelled.report.key.expose();
        self.seal(labelled.source.headers, key, &escalation, &envelope)
    }

    /// What was published of this report no longer holds.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`]: the record would be refused; make it a dead letter.
    pub fn retraction(
        &self,
        source: &Source<'_>,
        report: &Report,
        now_ms: i64,
    ) -> Result<Outgoing, EncodeError> {
        let event = render::textless(source, report, EventKind::Retracted, now_ms);
        self.event(source, report, &event)
    }

    /// An escalation that waits: its record as it came, to be read again from `not_before_ms` on.
    /// `attempt` counts how often it was put off.
    pub fn retry(
        &self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        input: &[(String, Vec<u8>)],
        attempt: u32,
        not_before_ms: i64,
    ) -> Outgoing {
        let ours = [RETRY_ATTEMPT_HEADER, RETRY_NOT_BEFORE_HEADER];
        let mut headers: headers::Headers =
            input.iter().filter(|(name, _)| !ours.contains(&name.as_str())).cloned().collect();
        headers::push(&mut headers, RETRY_ATTEMPT_HEADER, &attempt.to_string());
        headers::push(&mut headers, RETRY_NOT_BEFORE_HEADER, &not_before_ms.to_string());
        Outgoing {
            topic: Topic::Retries,
            partition: None,
            key: key.map(<[u8]>::to_vec),
            payload: payload.map(<[u8]>::to_vec),
            headers,
            timestamp_ms: None,
        }
    }

    /// The report's status changed and its text was not sent again.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`]: the record would be refused; make it a dead letter.
    pub fn promotion(
        &self,
        source: &Source<'_>,
        report: &Report,
        now_ms: i64,
    ) -> Result<Outgoing, EncodeError> {
        let event = render::textless(source, report, EventKind::Promoted, now_ms);
        self.event(source, report, &event)
    }

    /// The input record as a dead letter: key, value, timestamp and headers as they came, plus why.
    /// Never fails: what would not fit is left out, and headers say so and where it stands.
    ///
    /// `stage`, `class` and `location` must be names and places, never report text. The partition
    /// is left to the key; the caller may set the input's.
    #[expect(clippy::too_many_arguments, reason = "a record and what is wrong with it")]
    pub fn dead_letter(
        &self,
        source: &Source<'_>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        stage: &str,
        class: &str,
        location: &str,
        now_ms: i64,
    ) -> Outgoing {
        let failure = dead_letter::Failure { stage, class, location, now_ms };
        dead_letter::build(&self.settings, source, key, payload, &failure)
    }

    fn event(
        &self,
        source: &Source<'_>,
        report: &Report,
        event: &FindingsEvent<'_>,
    ) -> Result<Outgoing, EncodeError> {
        let envelope = headers::EventHeaders {
            id: &event.event_id,
            origin: &self.settings.ce_source,
            event_type: &format!("org.radstream.findings.{}.v1", event.kind.name()),
            contract: Contract::Findings,
            now_ms: event.labelled_at,
        };
        self.seal(source.headers, report.key.expose(), event, &envelope)
    }

    /// A record under `key`, with the trace context of the `input` headers.
    fn seal<T: Serialize>(
        &self,
        input: &[(String, Vec<u8>)],
        key: &str,
        value: &T,
        envelope: &headers::EventHeaders<'_>,
    ) -> Result<Outgoing, EncodeError> {
        let contract = envelope.contract;
        let outgoing = Outgoing {
            topic: match contract {
                Contract::Findings => Topic::Findings,
                Contract::Escalation => Topic::Escalations,
                Contract::Distillation => Topic::Distillation,
            },
            partition: None,
            key: Some(key.as_bytes().to_vec()),
            payload: Some(codec::encode(contract, self.settings.framing, value)?),
            headers: envelope.build(input),
            timestamp_ms: None,
        };
        let bytes = outgoing.bytes() + RECORD_OVERHEAD;
        let limit = self.settings.max_message_bytes;
        if bytes > limit {
            return Err(EncodeError::TooLarge { schema: contract.name(), bytes, limit });
        }
        Ok(outgoing)
    }
}

fn borrowed(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
