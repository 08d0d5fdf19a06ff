//! JSONL: one report a line, `{"id", "findings", "impression", "labels": {observation: cell}}`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Problems, Reading, Record, Sheet, cell};
use crate::evaluate::Label;
use crate::evaluate::pairing::CellScores;
use crate::extract::{text_from_plain, text_from_sections};
use crate::report::{FindingStatus, Labels, OBSERVATIONS, Phi, ReportText, STATUSES};

#[derive(Deserialize)]
struct Line {
    id: Option<Value>,
    findings: Option<String>,
    impression: Option<String>,
    text: Option<String>,
    // Distinguishes `null` (no labels) from a missing key (not a label file).
    #[serde(default, deserialize_with = "present")]
    labels: Option<Option<Map<String, Value>>>,
}

fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Map<String, Value>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) fn read(bytes: &[u8], reading: &Reading, problems: &mut Problems) -> Sheet {
    let mut sheet = Sheet::default();
    for (number, line) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match record(line, number, reading) {
            Ok(record) => sheet.records.push(record),
            Err(what) => problems.note(number, what),
        }
    }
    sheet
}

fn record(bytes: &[u8], line: u64, reading: &Reading) -> Result<Record, String> {
    // The library's own words may quote the text; the kind of error and the column do not.
    let parsed: Line = serde_json::from_slice(bytes).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Eof => "the JSON object is not complete",
            serde_json::error::Category::Data => "a field has a type that it must not have",
            _ => "not valid JSON",
        };
        format!("{kind} (column {})", error.column())
    })?;
    let id = match parsed.id {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(Phi::new(id)),
        Some(Value::Number(id)) => Some(Phi::new(id.to_string())),
        Some(_) => return Err("id is neither a string nor a number".to_owned()),
    };
    let labels = parsed.labels.ok_or("has no labels")?;
    let text = text(parsed.findings, parsed.impression, parsed.text);
    let mut record = Record { line, id, text, labels: None, no_finding: None, scores: None };
    if let Some(cells) = labels {
        fill(&mut record, &cells, reading)?;
    }
    Ok(record)
}

fn text(
    findings: Option<String>,
    impression: Option<String>,
    text: Option<String>,
) -> Option<ReportText> {
    match (findings, impression, text) {
        (None, None, text) => text_from_plain(&text?),
        (findings, impression, _) => {
            text_from_sections(&findings.unwrap_or_default(), &impression.unwrap_or_default())
        }
    }
}

fn fill(record: &mut Record, cells: &Map<String, Value>, reading: &Reading) -> Result<(), String> {
    let mut labels: Labels = [FindingStatus::NotMentioned; OBSERVATIONS];
    let mut confidence = [None; OBSERVATIONS];
    let mut probabilities = [None; OBSERVATIONS];
    for (name, value) in cells {
        let label = cell::label_of(name).ok_or_else(|| match cell::nearest_label(name) {
            Some(near) => format!("an unknown observation; did you mean {near}?"),
            None => format!("an unknown observation; known are {}", known()),
        })?;
        let read = cell::read(value, reading.aggregate)
            .map_err(|what| format!("{} {what}", label.name()))?;
        let place = label.index();
        match label {
            Label::NoFinding => record.no_finding = Some(read.status),
            Label::Observed(_) => {
                if let (Some(status), Some(one), Some(four)) =
                    (labels.get_mut(place), confidence.get_mut(place), probabilities.get_mut(place))
                {
                    (*status, *one, *four) = (read.status, read.confidence, read.probabilities);
                }
            }
        }
    }
    record.labels = Some(labels);
    record.scores = complete(&confidence).map(|confidence| CellScores {
        confidence,
        probabilities: complete::<[f64; STATUSES]>(&probabilities),
    });
    Ok(())
}

/// All thirteen, or none.
fn complete<T: Copy + Default>(cells: &[Option<T>; OBSERVATIONS]) -> Option<[T; OBSERVATIONS]> {
    cells.iter().all(Option::is_some).then(|| cells.map(Option::unwrap_or_default))
}

fn known() -> String {
    Label::ALL.map(Label::name).join(", ")
}
