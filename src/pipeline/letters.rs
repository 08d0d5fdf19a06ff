//! Records that cannot be processed become dead letters.

use std::sync::Arc;

use crate::broker::Record;
use crate::publish::{EncodeError, Publisher};
use crate::telemetry::totals::Outcome;

use super::flight::Part;
use super::prepare::source;
use super::unix_ms;

/// Why a record became a dead letter: names and places, never report text.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// `decode`, `label` or `publish`.
    pub stage: &'static str,
    /// Class of the failure.
    pub class: &'static str,
    /// Where in the record; empty when that says nothing.
    pub location: &'a str,
}

impl Failure<'_> {
    /// A failure of a whole report at `stage`.
    pub const fn at(stage: &'static str, class: &'static str) -> Self {
        Self { stage, class, location: "" }
    }

    /// An event that cannot be encoded.
    pub const fn of_encoding(error: &EncodeError) -> Self {
        let class = match error {
            EncodeError::TooLarge { .. } => "oversize",
            _ => "avro",
        };
        Self::at("publish", class)
    }
}

/// Makes dead letters. Shared by the decode pool and the sessions.
#[derive(Clone)]
pub struct Letters {
    /// Makes the messages.
    pub publisher: Arc<Publisher>,
    /// Same partition number as the record, when the topics have equally many.
    pub by_partition: bool,
}

impl Letters {
    /// The record as a dead letter, for its report `part`.
    pub fn part(&self, record: &Record, part: u32, failure: Failure<'_>) -> Part {
        let mut outgoing = self.publisher.dead_letter(
            &source(record, part),
            record.key.as_deref(),
            record.payload.as_deref(),
            failure.stage,
            failure.class,
            failure.location,
            unix_ms(),
        );
        outgoing.partition = self.by_partition.then_some(record.ticket.partition.partition);
        let outcome = Outcome {
            dead_letter: Some(failure.class),
            stage: Some(failure.stage),
            ..Outcome::plain("dead_letter")
        };
        Part { outcome, outgoing: vec![outgoing] }
    }
}
