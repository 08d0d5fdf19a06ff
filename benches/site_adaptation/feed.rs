//! Reports as a site sends them, and what was said of them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use radstream::publish::{Contract, FindingsEvent, decode};
use serde::Deserialize;
use serde_json::json;

use super::support::records::{Message, NewRecord};

/// A line of a label file.
#[derive(Deserialize)]
pub(crate) struct SiteReport {
    id: String,
    #[serde(default)]
    findings: String,
    #[serde(default)]
    impression: String,
}

/// Reads a label file.
pub(crate) fn read(path: &Path) -> Vec<SiteReport> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&text)
}

/// Reads the lines of one.
pub(crate) fn parse(text: &str) -> Vec<SiteReport> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).expect("an object with id, findings, impression"))
        .collect()
}

impl SiteReport {
    /// The report as an ORU message of a patient of its own.
    pub(crate) fn message(&self) -> NewRecord {
        self.numbered(&self.id)
    }

    /// The same text once more, as another report.
    pub(crate) fn message_of_another_visit(&self) -> NewRecord {
        self.numbered(&format!("{}-again", self.id))
    }

    fn numbered(&self, number: &str) -> NewRecord {
        let lines: String = [("FINDINGS", &self.findings), ("IMPRESSION", &self.impression)]
            .into_iter()
            .filter(|(_, text)| !text.trim().is_empty())
            .enumerate()
            .map(|(index, (heading, text))| {
                format!("OBX|{}|FT|&GDT||{heading}: {}||||||F\r", index + 1, escaped(text))
            })
            .collect();
        let message = format!(
            "MSH|^~\\&|RIS|SITE|||20260102030405||ORU^R01|{number}|P|2.5\r\
             PID|1||P{number}^^^SITE^MR||OKONKWO^MARIA\r\
             OBR|1||{number}^RIS|71046^XR CHEST 2 VIEWS^C4|||||||||||||||||||||F\r{lines}"
        );
        NewRecord::new(number, message)
    }
}

/// HL7 v2, chapter 2.7.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\E\\"),
            '|' => escaped.push_str("\\F\\"),
            '^' => escaped.push_str("\\S\\"),
            '&' => escaped.push_str("\\T\\"),
            '~' => escaped.push_str("\\R\\"),
            '\n' => escaped.push_str("\\.br\\"),
            '\r' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// What a student said of reports, by their id.
pub(crate) struct Labelled(BTreeMap<String, (serde_json::Value, bool)>);

impl Labelled {
    /// Reads findings; every report must have its own.
    pub(crate) fn of(findings: &[Message], reports: &[SiteReport]) -> Self {
        let mut by_key: HashMap<String, FindingsEvent<'static>> = HashMap::new();
        for message in findings {
            let event: FindingsEvent<'static> =
                decode(Contract::Findings, message.bytes()).unwrap();
            by_key.insert(event.report_key.to_string(), event);
        }
        let labelled = reports.iter().map(|report| {
            let event = by_key.get(&format!("RIS|{}", report.id));
            let event = event.unwrap_or_else(|| panic!("{} was not labelled", report.id));
            let cells: BTreeMap<_, _> = event
                .findings
                .iter()
                .map(|cell| {
                    let said = json!({"status": cell.status, "confidence": cell.confidence});
                    (cell.observation.to_string(), said)
                })
                .collect();
            (report.id.clone(), (json!(cells), event.doubtful))
        });
        Self(labelled.collect())
    }

    /// As `radstream evaluate` reads them.
    pub(crate) fn lines(&self) -> String {
        self.0
            .iter()
            .map(|(id, (labels, _))| format!("{}\n", json!({"id": id, "labels": labels})))
            .collect()
    }

    /// Number of reports.
    pub(crate) fn reports(&self) -> usize {
        self.0.len()
    }

    /// Share of reports that the student doubts: those it would send to the teacher.
    pub(crate) fn doubtful_share(&self) -> f64 {
        let doubtful = self.0.values().filter(|(_, doubtful)| *doubtful).count();
        doubtful as f64 / self.0.len() as f64
    }
}

/// Which model made a finding.
pub(crate) fn model_version(message: &Message) -> Option<String> {
    let event: FindingsEvent<'static> = decode(Contract::Findings, message.bytes()).ok()?;
    Some(event.model?.version.clone())
}

/// Whether it is a revision that the teacher decided.
pub(crate) fn is_answered(message: &Message) -> bool {
    let event: FindingsEvent<'static> = decode(Contract::Findings, message.bytes()).unwrap();
    event.teacher_outcome.is_some_and(|outcome| outcome == "teacher")
}
