//! Tables of reports: JSONL and CSV, one row at a time.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use serde::Deserialize;

use super::input::{Body, Item, MAX_RECORD, ReadError, Sink, Source, plain};
use crate::extract::text_from_sections;
use crate::report::Skip;

/// Names of the id column, best first. Compared without case.
const ID_COLUMNS: [&str; 6] =
    ["id", "study_id", "report_id", "accession", "accession_number", "studyid"];
/// Names of columns that hold a whole report.
const TEXT_COLUMNS: [&str; 5] = ["text", "report", "report impression", "report_text", "reports"];

/// Reads the next line without its end. False at the end of input. What is longer than
/// [`MAX_RECORD`] is cut one byte behind it, so that its length shows.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = MAX_RECORD as u64 + 1;
    if reader.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    let mut ended = line.ends_with(b"\n");
    while !ended {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let at = buffer.iter().position(|byte| *byte == b'\n');
        ended = at.is_some();
        let taken = at.map_or(buffer.len(), |at| at + 1);
        reader.consume(taken);
    }
    while line.ends_with(b"\n") || line.ends_with(b"\r") {
        line.pop();
    }
    Ok(true)
}

/// Text as UTF-8, otherwise as Windows-1252 (what people call Latin-1).
pub(super) fn utf8_or_latin(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

#[derive(Deserialize)]
struct JsonRow {
    id: Option<serde_json::Value>,
    findings: Option<String>,
    impression: Option<String>,
    text: Option<String>,
}

/// One JSON object a line. Blank lines are passed over; a bad line becomes an outcome.
pub(super) fn read_jsonl(
    source: &Source<'_>,
    mut reader: impl BufRead,
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let mut line = Vec::new();
    let mut number = 0_u64;
    while next_line(&mut reader, &mut line)? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (id, body) = match json_row(&line) {
            Ok((id, body)) => (id.unwrap_or_else(|| number.to_string()), body),
            Err((id, reason)) => {
                let place = format!("{}, line {number}", source.name);
                let id = id.unwrap_or_else(|| number.to_string());
                (id, Body::Bad { outcome: "bad_line", place, reason })
            }
        };
        sink(Item::plain(id, body))?;
    }
    Ok(())
}

type RowError = (Option<String>, String);

fn json_row(line: &[u8]) -> Result<(Option<String>, Body), RowError> {
    if line.len() > MAX_RECORD {
        return Err((None, format!("longer than {MAX_RECORD} bytes")));
    }
    // The error's own words may quote the text; its kind and column do not.
    let row: JsonRow = serde_json::from_slice(line).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Eof => "the JSON object is not complete",
            serde_json::error::Category::Data => "a field has a type that it must not have",
            _ => "not valid JSON",
        };
        (None, format!("{kind} (column {})", error.column()))
    })?;
    let id = match row.id {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(id)) => Some(id),
        Some(serde_json::Value::Number(id)) => Some(id.to_string()),
        Some(_) => return Err((None, "id is neither a string nor a number".to_owned())),
    };
    match (row.findings, row.impression, row.text) {
        (None, None, None) => Err((id, "has no findings, impression or text".to_owned())),
        (None, None, Some(text)) => Ok((id, plain(&text))),
        (findings, impression, _) => {
            Ok((id, sections(&findings.unwrap_or_default(), &impression.unwrap_or_default())))
        }
    }
}

fn sections(findings: &str, impression: &str) -> Body {
    text_from_sections(findings, impression).map_or(Body::Ended(Skip::NoText.name()), Body::Text)
}

/// Is this line the header of a table that we can read?
pub(super) fn is_header(line: &[u8]) -> bool {
    let delimiter = delimiter(line);
    let names: Vec<String> = utf8_or_latin(line)
        .trim()
        .split(char::from(delimiter))
        .map(|name| folded(name.trim_matches('"')))
        .collect();
    let text = |name: &String| {
        TEXT_COLUMNS.contains(&name.as_str()) || ["findings", "impression"].contains(&name.as_str())
    };
    names.len() > 1 && names.iter().any(text)
        || names.len() == 1 && line.len() < 40 && {
            names.iter().any(|name| TEXT_COLUMNS.contains(&name.as_str()) && name.len() > 4)
        }
}

fn folded(name: &str) -> String {
    name.trim().trim_start_matches('\u{feff}').to_lowercase()
}

/// The most frequent of comma, semicolon and tab.
fn delimiter(line: &[u8]) -> u8 {
    let count = |mark: u8| line.iter().filter(|byte| **byte == mark).count();
    let mut best = (b',', count(b','));
    for mark in [b';', b'\t'] {
        if count(mark) > best.1 {
            best = (mark, count(mark));
        }
    }
    best.0
}

/// Which columns hold what.
struct Columns {
    id: Option<usize>,
    findings: Option<usize>,
    impression: Option<usize>,
    text: Option<usize>,
}

impl Columns {
    fn of(header: &csv::ByteRecord, source: &Source<'_>) -> Result<Self, ReadError> {
        let names: Vec<String> = header.iter().map(|name| folded(&utf8_or_latin(name))).collect();
        let at = |wanted: &str| names.iter().position(|name| *name == folded(wanted));
        let named = |wanted: Option<&str>| match wanted {
            None => Ok(None),
            Some(name) => at(name).map(Some).ok_or_else(|| ReadError::Column(name.to_owned())),
        };
        let id = named(source.id_column)?.or_else(|| ID_COLUMNS.iter().find_map(|name| at(name)));
        if let Some(text) = named(source.text_column)? {
            return Ok(Self { id, findings: None, impression: None, text: Some(text) });
        }
        let (findings, impression) = (at("findings"), at("impression"));
        let text = TEXT_COLUMNS.iter().find_map(|name| at(name));
        if findings.is_none() && impression.is_none() && text.is_none() {
            return Err(ReadError::Column("findings, impression or text".to_owned()));
        }
        Ok(Self { id, findings, impression, text })
    }
}

/// A reader that refuses to feed more than [`MAX_RECORD`] bytes into one row: an unclosed quote
/// would otherwise take the rest of the file into memory.
struct Guarded<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("row too long"));
        }
        let wanted = buffer.len().min(left);
        let got = self.inner.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.left.set(left - got);
        Ok(got)
    }
}

/// A table with a header.
pub(super) fn read_csv(
    source: &Source<'_>,
    mut reader: impl BufRead,
    sink: &mut Sink<'_>,
) -> Result<(), ReadError> {
    let mut first = Vec::new();
    reader.by_ref().take(MAX_RECORD as u64).read_until(b'\n', &mut first)?;
    let separator = delimiter(&first);
    let left = Rc::new(Cell::new(MAX_RECORD));
    let inner = io::Cursor::new(first).chain(reader);
    let mut table = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .from_reader(Guarded { inner, left: Rc::clone(&left) });
    let header = table.byte_headers().map_err(io_error)?.clone();
    let columns = Columns::of(&header, source)?;
    let mut row = csv::ByteRecord::new();
    let mut number = 0_u64;
    loop {
        left.set(MAX_RECORD);
        number += 1;
        let line = table.position().line();
        let place = || format!("{}, line {line}", source.name);
        match table.read_byte_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(_) if left.get() == 0 => {
                let reason =
                    format!("row longer than {MAX_RECORD} bytes: is a quote not closed? Stopped.");
                let body = Body::Bad { outcome: "bad_row", place: place(), reason };
                sink(Item::plain(number.to_string(), body))?;
                return Ok(());
            }
            Err(error) => return Err(ReadError::Io(io_error(error))),
        }
        let field = |at: Option<usize>| at.and_then(|at| row.get(at)).map(utf8_or_latin);
        let id = field(columns.id).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| number.to_string());
        let body = if row.len() == header.len() {
            let sectioned = [columns.findings, columns.impression];
            if sectioned.iter().all(Option::is_none) {
                plain(&field(columns.text).unwrap_or_default())
            } else {
                let [findings, impression] = sectioned.map(|at| field(at).unwrap_or_default());
                sections(&findings, &impression)
            }
        } else {
            let reason = format!("{} fields where the header has {}", row.len(), header.len());
            Body::Bad { outcome: "bad_row", place: place(), reason }
        };
        sink(Item::plain(id, body))?;
    }
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        _ => io::Error::new(io::ErrorKind::InvalidData, "not a table"),
    }
}
