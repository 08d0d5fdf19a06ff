//! Labels as JSONL or as a CheXpert-style CSV.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::OutputFormat;
use crate::publish::ModelIdentity;
use crate::report::{
    Evidence, FindingStatus, Labels, NO_FINDING, OBSERVATIONS, Observation, ReportText, Scored,
    no_finding,
};
use crate::route::choose;

/// Outcome of a report that was labelled.
const LABELLED: &str = "labelled";

/// Writes results in the order given.
pub(super) struct Output<W: Write> {
    format: OutputFormat,
    evidence: bool,
    sink: W,
}

impl<W: Write> Output<W> {
    pub(super) const fn new(format: OutputFormat, evidence: bool, sink: W) -> Self {
        Self { format, evidence, sink }
    }

    /// The CSV's header. CheXbert's order: the thirteen, then No Finding.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        match self.format {
            OutputFormat::Jsonl => Ok(()),
            OutputFormat::Csv => {
                let titles = Observation::ALL.map(Observation::title);
                writeln!(self.sink, "id,{},No Finding", titles.join(","))
            }
        }
    }

    /// A report with labels.
    pub(super) fn labelled(
        &mut self,
        id: &str,
        text: &ReportText,
        scored: &Scored,
        model: &ModelIdentity,
    ) -> io::Result<()> {
        let cells = Cells::new(scored);
        match self.format {
            OutputFormat::Csv => {
                let row = cells.statuses.map(FindingStatus::chexpert);
                self.csv_row(id, &row, cells.no_finding.0.chexpert())
            }
            OutputFormat::Jsonl => self.json_line(&Line {
                id,
                outcome: LABELLED,
                reason: None,
                labels: Some(LabelMap { cells: &cells, text: self.evidence.then_some(text) }),
                truncated: scored.truncated,
                model: ModelLine::from(model),
            }),
        }
    }

    /// A record without labels, and why.
    pub(super) fn unlabelled(
        &mut self,
        id: &str,
        outcome: &str,
        reason: Option<&str>,
        model: &ModelIdentity,
    ) -> io::Result<()> {
        match self.format {
            OutputFormat::Csv => self.csv_row(id, &[""; OBSERVATIONS], ""),
            OutputFormat::Jsonl => {
                let model = ModelLine::from(model);
                self.json_line(&Line { id, outcome, reason, labels: None, truncated: false, model })
            }
        }
    }

    /// Everything is written, or the error says what was not.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    fn json_line(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.sink, line)?;
        self.sink.write_all(b"\n")
    }

    fn csv_row(&mut self, id: &str, cells: &[&str], last: &str) -> io::Result<()> {
        let quoted = if id.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", id.replace('"', "\"\""))
        } else {
            id.to_owned()
        };
        writeln!(self.sink, "{quoted},{},{last}", cells.join(","))
    }
}

/// Statuses and confidences of one report.
struct Cells {
    statuses: Labels,
    confidences: [f32; OBSERVATIONS],
    evidence: [Option<Evidence>; OBSERVATIONS],
    no_finding: (FindingStatus, f32),
}

impl Cells {
    fn new(scored: &Scored) -> Self {
        let chosen = scored.probabilities.map(|row| choose(&row));
        let statuses = chosen.map(|(status, _)| status);
        let derived = no_finding(&statuses);
        Self {
            statuses,
            confidences: chosen.map(|(_, confidence)| confidence),
            evidence: scored.evidence,
            no_finding: (derived, no_finding_confidence(derived, scored)),
        }
    }
}

/// No Finding is no more certain than the cell it hangs on: where it is positive, the cell most
/// likely to be abnormal after all; where not, the cell most surely abnormal.
fn no_finding_confidence(derived: FindingStatus, scored: &Scored) -> f32 {
    let abnormal = Observation::ALL
        .into_iter()
        .zip(&scored.probabilities)
        .filter(|(observation, _)| *observation != Observation::SupportDevices)
        .map(|(_, [_, positive, _, uncertain])| positive + uncertain)
        .fold(0.0, f32::max);
    if derived == FindingStatus::Positive { 1.0 - abnormal } else { abnormal }
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    labels: Option<LabelMap<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    model: ModelLine<'a>,
}

#[derive(Serialize)]
struct ModelLine<'a> {
    name: &'a str,
    version: &'a str,
    sha256: &'a str,
}

impl<'a> From<&'a ModelIdentity> for ModelLine<'a> {
    fn from(model: &'a ModelIdentity) -> Self {
        Self { name: &model.name, version: &model.version, sha256: &model.sha256 }
    }
}

struct LabelMap<'a> {
    cells: &'a Cells,
    text: Option<&'a ReportText>,
}

impl Serialize for LabelMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(OBSERVATIONS + 1))?;
        let cells = self.cells;
        for (((observation, status), confidence), evidence) in
            Observation::ALL.iter().zip(cells.statuses).zip(cells.confidences).zip(cells.evidence)
        {
            let evidence = match (self.text, evidence, status) {
                (None, ..) | (_, None, _) | (.., FindingStatus::NotMentioned) => None,
                (Some(text), Some(evidence), _) => sentence(text, evidence),
            };
            let cell =
                CellLine { status: status.name(), confidence: rounded(confidence), evidence };
            map.serialize_entry(observation.name(), &cell)?;
        }
        let (status, confidence) = cells.no_finding;
        let cell =
            CellLine { status: status.name(), confidence: rounded(confidence), evidence: None };
        map.serialize_entry(NO_FINDING, &cell)?;
        map.end()
    }
}

#[derive(Serialize)]
struct CellLine {
    status: &'static str,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceLine>,
}

#[derive(Serialize)]
struct EvidenceLine {
    section: &'static str,
    start: u32,
    end: u32,
    text: String,
}

fn sentence(text: &ReportText, evidence: Evidence) -> Option<EvidenceLine> {
    let Evidence { section, start, end } = evidence;
    let whole = text.sections.iter().find(|part| part.kind == section)?.text.expose();
    let length = end.checked_sub(start)?;
    let text = whole
        .chars()
        .skip(usize::try_from(start).ok()?)
        .take(usize::try_from(length).ok()?)
        .collect();
    Some(EvidenceLine { section: section.name(), start, end, text })
}

/// Four decimals: more would be noise.
fn rounded(confidence: f32) -> f64 {
    (f64::from(confidence) * 1e4).round() / 1e4
}
