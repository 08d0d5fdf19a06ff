//! Bytes of one record → the reports in it.
//!
//! One record may hold one message, several, a batch, or a FHIR bundle of reports. Each report ends
//! as [`Decoded::Report`]; what is no report is [`Decoded::Skipped`]; what cannot be read is
//! [`Decoded::Rejected`] and becomes a dead letter. A bad message in a batch rejects only itself.
//!
//! Everything here is pure: no clock, no network, no file. References and URLs found in a message
//! are never followed.
//!
//! ```text
//! bytes ─ avro ─ detect ─┬─ (xml) ─ frame ─ hl7 (er7, escape, text, status, identity) ─┐
//!                        ├─ fhir (model, index, report) ─────────────────────────────┼─> Vec<Decoded>
//!                        └─ envelope, gzip, base64 ─ bytes again (bounded depth) ────┘
//! ```

mod attachment;
mod avro;
mod charset;
mod detect;
mod envelope;
mod fhir;
mod frame;
mod gzip;
mod hl7;
mod identifiers;
mod markup;
mod pointer;
mod profile;
mod section_code;
mod shape;
mod status;
mod time;
mod trace;
mod xml;

use std::borrow::Cow;
use std::sync::Arc;

use self::attachment::Pdfs;
pub use self::attachment::{PdfText, ReadPdf};
pub use self::avro::{AvroInput, SchemaError, WriterSchemas};
pub use self::identifiers::{Identifiers, identifiers};
pub use self::profile::{FieldPath, OrderStatus, SourceProfile, SourceProfiles, TextSegments};
pub use self::trace::{FieldUse, Piece, Reading, Trace};
use crate::report::{Report, Skip, TextBlock, Warning};

/// How deep payloads may be wrapped in each other (envelope, base64, envelope, message).
const MAX_NESTING: u8 = 4;
/// Longest place of a rejection, bytes.
const LONGEST_PLACE: usize = 160;

/// Settings of decode that do not come from the message.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// Character set of HL7 v2 messages that declare none (MSH-18 empty), as table 0211 or WHATWG
    /// names it. `None`: UTF-8 where the bytes are valid UTF-8, otherwise Windows-1252.
    pub default_charset: Option<String>,
    /// Zone of times that carry none: `UTC`, an offset (`+01:00`), a POSIX rule
    /// (`CET-1CEST,M3.5.0,M10.5.0/3`) or, where the zone database is built in, an IANA name.
    /// Check it once with [`DecodeOptions::time_zone_is_known`]; an unknown one is read as UTC.
    pub time_zone: String,
    /// Decode messages marked as test or training (MSH-11 `T` or `D`) instead of skipping them.
    pub accept_test_messages: bool,
    /// Where in a JSON envelope the message stands (RFC 6901: `/event/payload`), as text, base64 or an
    /// object. `None`: under the usual names.
    pub envelope_pointer: Option<String>,
    /// How Avro around a message is read. `None`: not at all.
    pub avro: Option<AvroInput>,
    /// Reads attached PDF documents where a report has no other text. `None`: they are left unread.
    pub pdf: Option<Arc<dyn ReadPdf>>,
    /// Longest payload that is read, in bytes.
    pub max_payload_bytes: usize,
    /// Most outcomes from one record; what is beyond becomes one rejection.
    pub max_reports_per_record: usize,
    /// How far in the future of its record a time may lie, milliseconds; a later one is not believed.
    /// `None`: however far. Decode itself knows no record; who does applies it.
    pub max_future_ms: Option<i64>,
    /// What is special about the messages of single senders.
    pub profiles: SourceProfiles,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            default_charset: None,
            time_zone: "UTC".to_owned(),
            accept_test_messages: false,
            envelope_pointer: None,
            avro: None,
            pdf: None,
            max_payload_bytes: 32 * 1024 * 1024,
            max_reports_per_record: 1000,
            max_future_ms: None,
            profiles: SourceProfiles::default(),
        }
    }
}

impl DecodeOptions {
    /// Whether [`DecodeOptions::time_zone`] names a zone this build can resolve.
    pub fn time_zone_is_known(&self) -> bool {
        time::zone(&self.time_zone).is_some()
    }

    /// Whether [`DecodeOptions::default_charset`] is empty or names a character set we can read.
    pub fn default_charset_is_known(&self) -> bool {
        self.default_charset.as_deref().is_none_or(charset::is_known)
    }
}

/// One report, or why there is none.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A report to extract, promote or retract.
    Report(Box<Report>),
    /// Something that needs no finding.
    Skipped(Skip),
    /// Something that could not be read.
    Rejected(Rejection),
}

/// Why bytes became a dead letter. Says the place, never the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at {location}", class.name())]
pub struct Rejection {
    /// What is wrong.
    pub class: RejectionClass,
    /// Where: `MSH`, `OBX[3]-5`, `message[2]/MSH-2`, `$.entry[2].resource`, or `payload`.
    pub location: String,
}

impl Rejection {
    fn new(class: RejectionClass, location: impl Into<String>) -> Self {
        let mut location: String = location.into();
        if location.len() > LONGEST_PLACE {
            // Of a place in many documents within each other the end says most.
            let from = location.floor_char_boundary(location.len() - LONGEST_PLACE);
            location = ["...", location.get(from..).unwrap_or_default()].concat();
        }
        Self { class, location }
    }
}

/// Kinds of rejection, as counted and as written in the dead letter's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectionClass {
    /// No bytes, or only white space.
    Empty,
    /// Neither HL7 v2 (ER7, XML) nor FHIR JSON, nor an envelope around one of them.
    UnknownFormat,
    /// Breaks the rules of its format.
    Syntax,
    /// Ends before its format says it may.
    Truncated,
    /// The declared character set does not fit the bytes and nothing safe could be guessed.
    Charset,
    /// Nothing in it identifies the report.
    MissingIdentity,
    /// Larger, deeper or more numerous than the limits allow.
    Oversize,
    /// A field separator inside the text shifted later fields and could not be repaired.
    FieldShift,
    /// A field that carries the report has a type its format does not allow.
    WrongType,
}

impl RejectionClass {
    /// All classes.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::UnknownFormat,
        Self::Syntax,
        Self::Truncated,
        Self::Charset,
        Self::MissingIdentity,
        Self::Oversize,
        Self::FieldShift,
        Self::WrongType,
    ];

    /// Machine name (`missing_identity`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnknownFormat => "unknown_format",
            Self::Syntax => "syntax",
            Self::Truncated => "truncated",
            Self::Charset => "charset",
            Self::MissingIdentity => "missing_identity",
            Self::Oversize => "oversize",
            Self::FieldShift => "field_shift",
            Self::WrongType => "wrong_type",
        }
    }
}

/// Reads one payload. Never empty, never panics; the same bytes and options give the same result.
pub fn decode(payload: &[u8], options: &DecodeOptions) -> Vec<Decoded> {
    read(payload, options, Outcomes::new(options)).0
}

/// Reads one payload as [`decode`] does, and says how it was read.
pub fn decode_traced(payload: &[u8], options: &DecodeOptions) -> (Vec<Decoded>, Trace) {
    let mut outcomes = Outcomes::new(options);
    outcomes.trace = Some(Box::default());
    let (decoded, trace) = read(payload, options, outcomes);
    (decoded, trace.map(|trace| trace.written).unwrap_or_default())
}

fn read(
    payload: &[u8],
    options: &DecodeOptions,
    mut outcomes: Outcomes,
) -> (Vec<Decoded>, Option<Box<Tracing>>) {
    fill(payload, options, &mut outcomes);
    outcomes.finish()
}

fn fill(payload: &[u8], options: &DecodeOptions, outcomes: &mut Outcomes) {
    if payload.len() > options.max_payload_bytes {
        outcomes.reject(RejectionClass::Oversize, "payload");
    } else {
        outcomes.room = gzip::most_opened(payload.len()).min(options.max_payload_bytes);
        decode_nested(payload, options, 0, outcomes);
    }
}

/// Reads a payload that may itself have come out of an envelope.
fn decode_nested(payload: &[u8], options: &DecodeOptions, depth: u8, outcomes: &mut Outcomes) {
    if depth > MAX_NESTING {
        outcomes.reject(RejectionClass::Oversize, "payload");
        return;
    }
    if let Some(input) = &options.avro
        && avro::schema_id(payload).is_some()
    {
        match avro::open(payload, input) {
            Ok(bytes) => {
                outcomes.layer("avro");
                return decode_nested(&bytes, options, depth + 1, outcomes);
            }
            // Not Avro after all, or with a schema nobody knows: perhaps it is something else.
            Err(RejectionClass::UnknownFormat) => {}
            Err(class) => return outcomes.reject(class, "avro"),
        }
    }
    match detect::detect(payload) {
        detect::Detected::Empty => outcomes.reject(RejectionClass::Empty, "payload"),
        detect::Detected::Hl7(bytes) => {
            note_widened(matches!(bytes, Cow::Owned(_)), outcomes);
            hl7::decode(&bytes, options, outcomes);
        }
        detect::Detected::Json(bytes) => {
            note_widened(matches!(bytes, Cow::Owned(_)), outcomes);
            fhir::decode(&bytes, options, depth, outcomes);
        }
        detect::Detected::Wrapped(bytes) => {
            outcomes.layer("base64");
            decode_nested(&bytes, options, depth + 1, outcomes);
        }
        detect::Detected::Gzip(bytes) => match gzip::open(&bytes, outcomes.room) {
            Ok(bytes) => {
                outcomes.room = outcomes.room.saturating_sub(bytes.len());
                outcomes.layer("gzip");
                decode_nested(&bytes, options, depth + 1, outcomes);
            }
            Err(class) => outcomes.reject(class, "gzip"),
        },
        detect::Detected::Xml(bytes) => match xml::to_er7(&bytes) {
            Ok(er7) => {
                outcomes.layer("hl7_v2_xml");
                hl7::decode(er7.as_bytes(), options, outcomes);
            }
            Err(Rejection { class, location }) => outcomes.reject(class, location),
        },
        detect::Detected::ResourceName => outcomes.skip(Skip::NeedsFetch),
        detect::Detected::Unknown => outcomes.reject(RejectionClass::UnknownFormat, "payload"),
    }
}

/// Detection owns the bytes only where it undid a wide encoding.
fn note_widened(owned: bool, outcomes: &mut Outcomes) {
    if owned {
        outcomes.layer("utf_16");
    }
}

/// Collects outcomes up to a limit; what is beyond becomes one rejection, so nothing is lost unseen.
struct Outcomes {
    decoded: Vec<Decoded>,
    limit: usize,
    overflow: bool,
    /// To how many bytes more the payload may be opened where it is compressed.
    room: usize,
    /// Only when somebody asked how.
    trace: Option<Box<Tracing>>,
    /// Only when somebody asked whom the messages name.
    identifying: Option<Box<identifiers::Identifying>>,
    pdfs: Pdfs,
}

/// A trace in the making.
#[derive(Default)]
struct Tracing {
    written: Trace,
    /// What holds for every outcome of the message at hand.
    message: Reading,
    /// What holds for the next outcome; [`Tracing::message`] when nobody said.
    next: Option<Reading>,
}

impl Outcomes {
    fn new(options: &DecodeOptions) -> Self {
        Self {
            decoded: Vec::new(),
            limit: options.max_reports_per_record,
            overflow: false,
            room: 0,
            trace: None,
            identifying: None,
            pdfs: Pdfs::new(options.pdf.clone()),
        }
    }

    fn push(&mut self, outcome: Decoded) {
        let room = self.decoded.len() < self.limit;
        if let Some(trace) = &mut self.trace {
            let reading = trace.next.take().unwrap_or_else(|| trace.message.clone());
            if room {
                trace.written.readings.push(reading);
            }
        }
        if room {
            self.decoded.push(outcome);
        } else {
            self.overflow = true;
        }
    }

    /// Whether somebody asked how the payload is read.
    const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Notes what was taken off around the message.
    fn layer(&mut self, name: &'static str) {
        if let Some(trace) = &mut self.trace {
            trace.written.layers.push(name);
        }
    }

    /// Notes what holds for all outcomes of the message that is read from now on.
    fn trace_message(&mut self, note: impl FnOnce(&mut Reading)) {
        if let Some(trace) = &mut self.trace {
            note(&mut trace.message);
        }
    }

    /// Notes what holds for the next outcome, besides what holds for the message.
    fn trace_next(&mut self, note: impl FnOnce(&mut Reading)) {
        if let Some(trace) = &mut self.trace {
            let mut reading = trace.next.take().unwrap_or_else(|| trace.message.clone());
            note(&mut reading);
            trace.next = Some(reading);
        }
    }

    fn report(&mut self, report: Report) {
        self.push(Decoded::Report(Box::new(report)));
    }

    fn skip(&mut self, skip: Skip) {
        self.push(Decoded::Skipped(skip));
    }

    fn reject(&mut self, class: RejectionClass, location: impl Into<String>) {
        self.push(Decoded::Rejected(Rejection::new(class, location)));
    }

    fn is_full(&self) -> bool {
        self.overflow
    }

    fn len(&self) -> usize {
        self.decoded.len()
    }

    fn finish(mut self) -> (Vec<Decoded>, Option<Box<Tracing>>) {
        // One more than the limit: the rejection that stands for the rest.
        self.limit += 1;
        if self.overflow {
            self.reject(RejectionClass::Oversize, format!("report[{}]", self.limit));
        } else if self.decoded.is_empty() {
            self.reject(RejectionClass::UnknownFormat, "payload");
        }
        (self.decoded, self.trace)
    }
}

/// Lines that any report may have. Where there are more they are at least [`SHORT_LINE`] bytes long on
/// the average, so that what is kept of each is in step with the length of the text.
const ALWAYS_LINES: usize = 5_000;
const SHORT_LINE: usize = 8;

/// Whether a text has more lines than any report.
fn has_too_many_lines(blocks: &[TextBlock]) -> bool {
    let texts = || blocks.iter().map(|block| block.text.expose().as_bytes());
    let lines: usize = texts().map(|text| memchr::memchr_iter(b'\n', text).count() + 1).sum();
    let bytes: usize = texts().map(<[u8]>::len).sum();
    lines > ALWAYS_LINES + bytes / SHORT_LINE
}

/// Adds a warning once, keeping the order met.
fn note(warnings: &mut Vec<Warning>, warning: Warning) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

#[cfg(test)]
mod tests;
