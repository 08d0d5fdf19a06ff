//! How a payload was read, for the person who asks why (`radstream explain`).
//!
//! It is written by the code that reads, while it reads; nothing is read a second time. Without a
//! trace nothing of it is made. It holds places, counts and codes of the standards, never text or
//! identifiers of the message.

use std::borrow::Cow;

use serde::Serialize;

use crate::report::SectionKind;

/// How one payload was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trace {
    /// What was taken off before a message was found, outermost first: `base64`, `json_envelope`.
    pub layers: Vec<&'static str>,
    /// One for each outcome, in their order.
    pub readings: Vec<Reading>,
}

/// How one outcome came about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reading {
    /// `hl7_v2`, `fhir_json`; empty when neither was found.
    pub format: &'static str,
    /// Where in the payload: `message[2]`, `$.entry[1].resource`; empty for the whole.
    pub place: String,
    /// HL7 v2: `mllp` or `none`.
    pub framing: &'static str,
    /// `ORU^R01`, `DiagnosticReport`.
    pub message_type: String,
    /// Name of the character set, WHATWG.
    pub charset: &'static str,
    /// How it was chosen.
    pub charset_by: &'static str,
    /// Name of the source profile.
    pub profile: Option<String>,
    /// Segments by name, with their number, in the order they were first met.
    pub segments: Vec<(String, usize)>,
    /// The fields that made the key, the accession number, the status and the version.
    pub fields: Vec<FieldUse>,
    /// Runs of text (segments, attachments, resources), used or not.
    pub pieces: Vec<Piece>,
}

/// A field that decided something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldUse {
    /// `number`, `authority`, `status`, `changed_at`.
    pub part: &'static str,
    /// `OBR-3`, `identifier (FILL)`.
    pub from: String,
}

/// A place that may hold report text, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// `OBX[3]-5`, `presentedForm (text/plain)`.
    pub place: Cow<'static, str>,
    /// Section that its code names.
    pub section: Option<SectionKind>,
    /// It was the source profile that named the section.
    pub by_profile: bool,
    /// Characters.
    pub chars: usize,
    /// Why it is not part of the report; `None` when it is.
    pub ignored: Option<&'static str>,
}

impl FieldUse {
    pub(super) fn new(part: &'static str, from: impl Into<String>) -> Self {
        Self { part, from: from.into() }
    }
}
