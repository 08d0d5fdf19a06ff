//! CheXpert-style tables: 1 positive, 0 negative, -1 uncertain, blank not mentioned; columns by
//! title, in any order.

use super::{Problems, ReadError, Reading, Record, Sheet, cell};
use crate::evaluate::{LABELS, Label};
use crate::extract::{text_from_plain, text_from_sections};
use crate::report::{FindingStatus, OBSERVATIONS, Phi};

/// Names of the id column, best first. Compared without case.
const ID_COLUMNS: [&str; 6] =
    ["id", "study_id", "report_id", "accession", "accession_number", "studyid"];
/// Names of columns that hold a whole report.
const TEXT_COLUMNS: [&str; 4] = ["text", "report", "report impression", "report_text"];

struct Columns {
    id: Option<usize>,
    findings: Option<usize>,
    impression: Option<usize>,
    text: Option<usize>,
    labels: [Option<usize>; LABELS],
}

pub(super) fn read(
    bytes: &[u8],
    reading: &Reading,
    problems: &mut Problems,
) -> Result<Sheet, ReadError> {
    let mut table =
        csv::ReaderBuilder::new().delimiter(delimiter(bytes)).flexible(true).from_reader(bytes);
    let header = table
        .byte_headers()
        .map_err(|_| ReadError::Header("not a table, and not JSONL".to_owned()))?
        .clone();
    let columns = columns(&header, reading)?;
    let mut sheet = Sheet {
        records: Vec::new(),
        states_no_finding: columns.labels.iter().all(Option::is_some),
    };
    let mut row = csv::ByteRecord::new();
    loop {
        match table.read_byte_record(&mut row) {
            Ok(false) => return Ok(sheet),
            Ok(true) => {}
            Err(_) => {
                problems.note(table.position().line(), "not a row of a table".to_owned());
                return Ok(sheet);
            }
        }
        let line = row.position().map_or(0, csv::Position::line);
        if row.len() != header.len() {
            let what = format!("{} fields where the header has {}", row.len(), header.len());
            problems.note(line, what);
            continue;
        }
        match record(&row, line, &columns) {
            Ok(record) => sheet.records.push(record),
            Err(what) => problems.note(line, what),
        }
    }
}

fn columns(header: &csv::ByteRecord, reading: &Reading) -> Result<Columns, ReadError> {
    let names: Vec<String> =
        header.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
    let at = |wanted: &str| names.iter().position(|name| *name == wanted.to_lowercase());
    let id = match &reading.id_column {
        Some(name) => Some(at(name.trim()).ok_or_else(|| {
            ReadError::Header(
                "the header has no column of the name given by --id-column".to_owned(),
            )
        })?),
        None => ID_COLUMNS.iter().find_map(|name| at(name)),
    };
    let labels =
        Label::ALL.map(|label| names.iter().position(|name| cell::label_of(name) == Some(label)));
    let missing: Vec<&str> = Label::ALL
        .into_iter()
        .zip(labels)
        .filter(|(label, place)| place.is_none() && *label != Label::NoFinding)
        .map(|(label, _)| label.title())
        .collect();
    if !missing.is_empty() {
        let which =
            if missing.len() == OBSERVATIONS { "any label".to_owned() } else { missing.join(", ") };
        return Err(ReadError::Header(format!(
            "the header has no column for {which}; add blank columns for what the system does not \
             label"
        )));
    }
    let text = TEXT_COLUMNS.iter().find_map(|name| at(name));
    Ok(Columns { id, findings: at("findings"), impression: at("impression"), text, labels })
}

fn record(row: &csv::ByteRecord, line: u64, columns: &Columns) -> Result<Record, String> {
    let field = |at: Option<usize>| at.and_then(|at| row.get(at)).map(String::from_utf8_lossy);
    let mut statuses = [FindingStatus::NotMentioned; LABELS];
    for ((status, column), label) in statuses.iter_mut().zip(columns.labels).zip(Label::ALL) {
        let Some(word) = field(column) else { continue };
        *status = cell::status_of(&word).ok_or_else(|| {
            let hint = match word.trim() {
                "2" | "3" | "2.0" | "3.0" => {
                    " (CheXbert's internal class numbers are not CheXpert's)"
                }
                _ => "",
            };
            format!("{} is not 1, 0, -1 or blank{hint}", label.title())
        })?;
    }
    let [labels @ .., no_finding] = statuses;
    let id = field(columns.id).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let text = match (field(columns.findings), field(columns.impression)) {
        (None, None) => field(columns.text).and_then(|text| text_from_plain(&text)),
        (findings, impression) => {
            text_from_sections(&findings.unwrap_or_default(), &impression.unwrap_or_default())
        }
    };
    let [.., no_finding_column] = columns.labels;
    Ok(Record {
        line,
        id: id.map(Phi::new),
        text,
        labels: Some(labels),
        no_finding: no_finding_column.map(|_| no_finding),
        scores: None,
    })
}

/// The most frequent of comma, semicolon and tab in the first line.
fn delimiter(bytes: &[u8]) -> u8 {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |mark: u8| first.iter().filter(|byte| **byte == mark).count();
    let mut best = (b',', count(b','));
    for mark in [b';', b'\t'] {
        if count(mark) > best.1 {
            best = (mark, count(mark));
        }
    }
    best.0
}
