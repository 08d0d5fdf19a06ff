//! Files as records: which format it is, and one [`Item`] per report in it.

use std::ffi::OsStr;
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use super::{Failed, InputFormat, rows};
use crate::decode::{DecodeOptions, Decoded, ReadPdf, decode, identifiers};
use crate::extract::{ExtractPolicy, Extracted, extract, text_from_plain};
use crate::pdf::PdfProcess;
use crate::report::{Intent, KnownIdentifier, ReportText};

/// Longest record, in bytes: a message, a JSON line, a CSV row, a text file.
pub(in crate::command) const MAX_RECORD: usize = 32 << 20;

/// One record of the input.
pub(in crate::command) struct Item {
    /// Accession number, the record's own id, or where it stands.
    pub(in crate::command) id: String,
    pub(in crate::command) body: Body,
    /// Whom its message names, where it has one and [`Source::identify`] asks.
    pub(in crate::command) named: Option<Vec<KnownIdentifier>>,
}

/// What a record holds.
pub(in crate::command) enum Body {
    /// A report to label.
    Text(ReportText),
    /// Nothing to label; the outcome's name.
    Ended(&'static str),
    /// Could not be read.
    Bad {
        /// `bad_line`, `bad_row`, or the class of a rejected message.
        outcome: &'static str,
        /// File and line.
        place: String,
        /// What is wrong. Never holds text of the record.
        reason: String,
    },
}

impl Item {
    /// A record that comes without a message.
    pub(in crate::command) const fn plain(id: String, body: Body) -> Self {
        Self { id, body, named: None }
    }

    /// Bytes of text, for the chunk's budget.
    pub(in crate::command) fn bytes(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.sections.iter().map(|part| part.text.expose().len()).sum(),
            _ => 0,
        }
    }
}

/// Where records come from.
pub(in crate::command) struct Source<'a> {
    pub(in crate::command) name: &'a str,
    pub(in crate::command) format: InputFormat,
    pub(in crate::command) text_column: Option<&'a str>,
    pub(in crate::command) id_column: Option<&'a str>,
    /// Also read whom the messages name: for de-identification.
    pub(in crate::command) identify: bool,
    /// How messages are read; `None`: by the defaults, and up to [`MAX_RECORD`].
    pub(in crate::command) intake: Option<&'a Intake>,
}

/// How the messages of a site are read.
pub(in crate::command) struct Intake {
    /// Settings of decode.
    pub(in crate::command) decode: DecodeOptions,
    /// Which examinations are labelled.
    pub(in crate::command) extract: ExtractPolicy,
}

/// Why reading stopped.
pub(in crate::command) enum ReadError {
    Io(io::Error),
    /// The header lacks a column.
    Column(String),
    Sink(Failed),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Failed> for ReadError {
    fn from(failed: Failed) -> Self {
        Self::Sink(failed)
    }
}

/// Takes the records, in order.
pub(in crate::command) type Sink<'a> = dyn FnMut(Item) -> Result<(), Failed> + 'a;

/// Reads every record of a source.
pub(in crate::command) fn read(
    source: &Source<'_>,
    mut reader: impl BufRead,
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    // The first line decides the format, whatever the size of the reader's buffer.
    let mut first = Vec::new();
    if reader.by_ref().take(3).read_to_end(&mut first)? == 3 && first == b"\xEF\xBB\xBF" {
        first.clear();
    }
    let limit = MAX_RECORD as u64;
    if !first.contains(&b'\n') {
        reader.by_ref().take(limit).read_until(b'\n', &mut first)?;
    }
    let format = match source.format {
        InputFormat::Auto => detect(Path::new(source.name), &first),
        chosen => chosen,
    };
    let whole_json = format == InputFormat::Fhir && !is_json(&first);
    let reader = Cursor::new(first).chain(reader);
    match format {
        InputFormat::Jsonl => rows::read_jsonl(source, reader, sink),
        InputFormat::Csv => rows::read_csv(source, reader, sink),
        InputFormat::Text => read_text(source, reader, sink),
        InputFormat::Fhir if whole_json => read_document(source, reader, sink),
        InputFormat::Fhir => read_fhir_lines(source, reader, sink),
        InputFormat::Hl7 | InputFormat::Auto => read_hl7(source, reader, sink),
    }
}

/// Format by first line, then by file name, then by first line again.
pub(in crate::command) fn detect(path: &Path, first: &[u8]) -> InputFormat {
    let start = first.trim_ascii_start();
    let start = start.strip_prefix(b"\x0B").unwrap_or(start);
    if [&b"MSH"[..], b"FHS", b"BHS"].iter().any(|head| start.starts_with(head)) {
        return InputFormat::Hl7;
    }
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("hl7") => return InputFormat::Hl7,
        Some("csv" | "tsv") => return InputFormat::Csv,
        _ => {}
    }
    if start.starts_with(b"{") {
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(start);
        return match (parsed, extension.as_deref()) {
            (Ok(value), _) if value.get("resourceType").is_some() => InputFormat::Fhir,
            (Ok(_), _) | (Err(_), Some("jsonl" | "ndjson")) => InputFormat::Jsonl,
            // A document over several lines; if it is not FHIR, decode says so.
            (Err(_), _) => InputFormat::Fhir,
        };
    }
    match extension.as_deref() {
        Some("jsonl" | "ndjson") => InputFormat::Jsonl,
        Some("json") => InputFormat::Fhir,
        Some("txt") => InputFormat::Text,
        _ if rows::is_header(first) => InputFormat::Csv,
        _ => InputFormat::Text,
    }
}

fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

fn read_text(source: &Source<'_>, reader: impl Read, sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    reader.take(MAX_RECORD as u64 + 1).read_to_end(&mut bytes)?;
    let id = source.name.to_owned();
    if bytes.len() > MAX_RECORD {
        let reason = format!("longer than {MAX_RECORD} bytes: not one report");
        let place = source.name.to_owned();
        sink(Item::plain(id, Body::Bad { outcome: "oversize", place, reason }))?;
        return Ok(());
    }
    sink(Item::plain(id, plain(&rows::utf8_or_latin(&bytes))))?;
    Ok(())
}

/// A whole report in one string.
pub(in crate::command) fn plain(text: &str) -> Body {
    text_from_plain(text).map_or(Body::Ended(crate::report::Skip::NoText.name()), Body::Text)
}

fn read_document(
    source: &Source<'_>,
    reader: impl Read,
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    // One byte more than decode accepts, so that it is decode which refuses.
    reader.take(MAX_RECORD as u64 + 1).read_to_end(&mut bytes)?;
    Messages::new(source).decode(&bytes, sink)
}

fn read_fhir_lines(
    source: &Source<'_>,
    mut reader: impl BufRead,
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let mut messages = Messages::new(source);
    let mut line = Vec::new();
    while rows::next_line(&mut reader, &mut line)? {
        if !line.trim_ascii().is_empty() {
            messages.decode(&line, sink)?;
        }
    }
    Ok(())
}

/// Cuts a stream of HL7 v2 at its `MSH` segments. Batch headers and trailers frame messages and
/// are not needed.
fn read_hl7(
    source: &Source<'_>,
    mut reader: impl BufRead,
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let mut messages = Messages::new(source);
    let mut message: Vec<u8> = Vec::new();
    let mut segment = Vec::new();
    while next_segment(&mut reader, &mut segment)? {
        let name = segment.trim_ascii_start();
        let name = name.strip_prefix(b"\x0B").unwrap_or(name);
        let opens = name.starts_with(b"MSH");
        let frame = [&b"FHS"[..], b"BHS", b"BTS", b"FTS"].iter().any(|f| name.starts_with(f));
        if opens || frame {
            if !message.trim_ascii().is_empty() {
                messages.decode(&message, sink)?;
            }
            message.clear();
        }
        // Past the limit the rest of a message is dropped: decode refuses it by its size.
        if !frame && message.len() <= MAX_RECORD {
            message.extend_from_slice(&segment);
        }
    }
    let rest = message.trim_ascii();
    if !rest.is_empty() && rest != b"\x1C" {
        messages.decode(&message, sink)?;
    } else if messages.count == 0 {
        messages.decode(b"", sink)?;
    }
    Ok(())
}

/// Reads up to and with the next CR or LF. False at the end.
fn next_segment(reader: &mut impl BufRead, segment: &mut Vec<u8>) -> io::Result<bool> {
    segment.clear();
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(!segment.is_empty());
        }
        let (taken, ended) = match buffer.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        if segment.len() <= MAX_RECORD {
            segment.extend_from_slice(buffer.get(..taken).unwrap_or_default());
        }
        reader.consume(taken);
        if ended {
            return Ok(true);
        }
    }
}

/// Messages of one source, counted for those without an id.
struct Messages<'a> {
    name: &'a str,
    count: usize,
    identify: bool,
    options: DecodeOptions,
    policy: ExtractPolicy,
}

impl<'a> Messages<'a> {
    fn new(source: &Source<'a>) -> Self {
        let (mut options, policy) = match source.intake {
            Some(intake) => (intake.decode.clone(), intake.extract.clone()),
            None => {
                let whole = DecodeOptions::default();
                let options = DecodeOptions { max_payload_bytes: MAX_RECORD, ..whole };
                (options, ExtractPolicy::default())
            }
        };
        if source.intake.is_none() {
            let reader = PdfProcess::of_this_program().ok();
            options.pdf = reader.map(|reader| Arc::new(reader) as Arc<dyn ReadPdf>);
        }
        let (name, identify) = (source.name, source.identify);
        Self { name, count: 0, identify, options, policy }
    }

    fn decode(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), ReadError> {
        let identifiers = self.identify.then(|| identifiers(bytes, &self.options));
        for (part, decoded) in (0..).zip(decode(bytes, &self.options)) {
            self.count += 1;
            let place = format!("{}#{}", self.name, self.count);
            sink(match decoded {
                Decoded::Report(mut report) => {
                    let id = report.accession_number.expose().clone();
                    let named = identifiers.as_ref().map(|all| all.of(part, &report));
                    let body = match report.intent {
                        Intent::Retract => Body::Ended("retracted"),
                        Intent::Promote => Body::Ended("promoted"),
                        Intent::Label => match extract(&mut report, &self.policy) {
                            Extracted::Text(text) => Body::Text(text),
                            Extracted::Skipped(skip) => Body::Ended(skip.name()),
                        },
                    };
                    Item { id: if id.trim().is_empty() { place } else { id }, body, named }
                }
                Decoded::Skipped(skip) => Item::plain(place, Body::Ended(skip.name())),
                Decoded::Rejected(rejection) => {
                    let reason = rejection.to_string();
                    let outcome = rejection.class.name();
                    Item::plain(place.clone(), Body::Bad { outcome, place, reason })
                }
            })?;
        }
        Ok(())
    }
}
