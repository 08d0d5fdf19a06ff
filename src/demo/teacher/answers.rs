//! Where the labels come from: the rules, or a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::extract::text_from_sections;
use crate::report::{
    Evidence, FindingStatus, LabelledSection, Labels, NO_FINDING, OBSERVATIONS, Observation,
    ReportText, STATUSES,
};
use crate::student::rules::{RuleLabeler, strength};
use crate::student::sentences::sentences;

/// Where the labels come from.
#[derive(Clone, Debug)]
pub enum Answers {
    /// The rules ([`RuleLabeler`]).
    Rules,
    /// Labels recorded from somebody better; for a text that is not among them, the rules.
    Recorded(RecordedLabels),
}

/// Labels of known texts. The texts themselves are not kept: a text is known by the hash of its
/// letters and digits, so case, punctuation and layout do not matter.
#[derive(Clone, Debug, Default)]
pub struct RecordedLabels {
    labels: Arc<HashMap<u128, Labels>>,
    lines: usize,
}

/// Recorded labels cannot be read. Never holds report text.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The file cannot be opened or read.
    #[error("recorded labels cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A line is not as it should be.
    #[error("line {line} of the recorded labels {what}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    findings: String,
    #[serde(default)]
    impression: String,
    labels: HashMap<String, String>,
}

impl RecordedLabels {
    /// Reads JSONL, one report a line: `{"id", "findings", "impression", "labels": {observation:
    /// status}}`. An observation that is not there is not mentioned; `no_finding` is ignored. Of a
    /// text that stands there twice, the last line counts.
    ///
    /// # Errors
    /// The file cannot be read, a line is no such object, or names an unknown observation or status.
    pub fn read(path: &Path) -> Result<Self, RecordedError> {
        let mut labels = HashMap::new();
        let mut lines = 0;
        for (line, text) in (1..).zip(BufReader::new(File::open(path)?).lines()) {
            let text = text?;
            if text.trim().is_empty() {
                continue;
            }
            let wrong = |what| RecordedError::Line { line, what };
            // The library's own words may quote the text.
            let parsed: Line = serde_json::from_str(&text)
                .map_err(|_| wrong("is no object with findings, impression and labels"))?;
            let row = labels_of(&parsed.labels).map_err(wrong)?;
            labels.insert(text_key([parsed.findings.as_str(), &parsed.impression]), row);
            // And as intake leaves it, without headings and placeholders.
            if let Some(tidied) = text_from_sections(&parsed.findings, &parsed.impression) {
                labels.insert(key_of(&tidied.sections), row);
            }
            lines += 1;
        }
        Ok(Self { labels: Arc::new(labels), lines })
    }

    /// Number of reports read.
    pub const fn len(&self) -> usize {
        self.lines
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.lines == 0
    }
}

fn labels_of(named: &HashMap<String, String>) -> Result<Labels, &'static str> {
    let mut labels = [FindingStatus::NotMentioned; OBSERVATIONS];
    for (name, status) in named {
        if name == NO_FINDING {
            continue;
        }
        let observation = Observation::from_name(name).ok_or("names an unknown observation")?;
        let status = FindingStatus::ALL
            .into_iter()
            .find(|known| known.name() == status)
            .ok_or("names an unknown status")?;
        if let Some(cell) = labels.get_mut(observation as usize) {
            *cell = status;
        }
    }
    Ok(labels)
}

/// What the teacher says of one observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'t> {
    pub(super) status: FindingStatus,
    /// A sentence of the report; empty for what is not mentioned.
    pub(super) quote: &'t str,
}

/// An answer, in [`Observation::ALL`] order.
pub(super) struct Answer<'t> {
    pub(super) said: [Said<'t>; OBSERVATIONS],
    /// Whether the labels are recorded ones.
    pub(super) recorded: bool,
}

/// Labels reports.
pub(super) struct Answerer {
    rules: RuleLabeler,
    answers: Answers,
}

impl Answerer {
    pub(super) fn new(answers: Answers) -> Self {
        Self { rules: RuleLabeler::new(), answers }
    }

    /// Labels one report, whose key is `key`.
    pub(super) fn answer<'t>(&self, report: &'t [LabelledSection], key: u128) -> Answer<'t> {
        let by_rules = self.by_rules(report);
        let recorded = match &self.answers {
            Answers::Rules => None,
            Answers::Recorded(recorded) => recorded.labels.get(&key),
        };
        let Some(labels) = recorded else { return Answer { said: by_rules, recorded: false } };
        let fallback = first_sentence(report);
        let mut said = by_rules;
        for (cell, &status) in said.iter_mut().zip(labels) {
            let quote = match status {
                FindingStatus::NotMentioned => "",
                _ if cell.quote.is_empty() => fallback,
                _ => cell.quote,
            };
            *cell = Said { status, quote };
        }
        Answer { said, recorded: true }
    }

    /// Section by section: evidence names the kind of its section only, and there may be two addenda.
    /// Joined as the rules join sentences, so the labels are those of the whole.
    fn by_rules<'t>(&self, report: &'t [LabelledSection]) -> [Said<'t>; OBSERVATIONS] {
        let mut said = [Said::default(); OBSERVATIONS];
        for section in report {
            let text = section.text.expose();
            let alone = ReportText { sections: vec![section.clone()], present: Vec::new() };
            let scored = self.rules.label(&alone);
            for ((cell, row), evidence) in
                said.iter_mut().zip(&scored.probabilities).zip(scored.evidence)
            {
                let status = most_likely(row);
                if let Some(evidence) = evidence
                    && strength(status) > strength(cell.status)
                {
                    *cell = Said { status, quote: quoted(text, evidence) };
                }
            }
        }
        said
    }
}

fn most_likely(row: &[f32; STATUSES]) -> FindingStatus {
    let best = FindingStatus::ALL.into_iter().zip(row).max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(status, _)| status).unwrap_or_default()
}

/// The characters that evidence spans.
fn quoted(text: &str, evidence: Evidence) -> &str {
    let byte = |at: u32| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
    };
    text.get(byte(evidence.start)..byte(evidence.end)).unwrap_or_default()
}

fn first_sentence(report: &[LabelledSection]) -> &str {
    let of_section =
        |section: &'_ LabelledSection| sentences(section.text.expose()).first().cloned();
    report
        .iter()
        .find_map(|section| section.text.expose().get(of_section(section)?))
        .unwrap_or_default()
}

/// The key of a report.
pub(super) fn key_of(report: &[LabelledSection]) -> u128 {
    text_key(report.iter().map(|section| section.text.expose().as_str()))
}

/// Hash of the letters and digits, in lower case, with one blank for whatever stands between.
fn text_key<'t>(parts: impl IntoIterator<Item = &'t str>) -> u128 {
    let mut hash = Sha256::new();
    let mut utf8 = [0; 4];
    let (mut begun, mut gap) = (false, false);
    for part in parts {
        for c in part.chars() {
            if !c.is_alphanumeric() {
                gap = true;
                continue;
            }
            if gap && begun {
                hash.update(b" ");
            }
            (begun, gap) = (true, false);
            for lower in c.to_lowercase() {
                hash.update(lower.encode_utf8(&mut utf8).as_bytes());
            }
        }
        gap = true;
    }
    hash.finalize().iter().take(16).fold(0, |key, byte| (key << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Phi, SectionKind};

    fn section(kind: SectionKind, text: &str) -> LabelledSection {
        LabelledSection { kind, text: Phi::from(text) }
    }

    #[test]
    fn the_key_ignores_case_punctuation_layout_and_the_cut_into_sections() {
        let one = text_key(["Heart normal.", "No effusion"]);
        assert_eq!(one, text_key([" heart  NORMAL\n", "", "no effusion."]));
        assert_eq!(one, text_key(["Heart normal. No effusion."]));
        assert_ne!(one, text_key(["Heart normal.", "Noeffusion"]));
    }

    #[test]
    fn quotes_are_sentences_of_the_right_one_of_two_addenda() {
        let report = [
            section(SectionKind::Addendum, "Größe unverändert. Heart size is normal."),
            section(SectionKind::Addendum, "There is a small left pleural effusion."),
        ];
        let answerer = Answerer::new(Answers::Rules);
        let said = answerer.answer(&report, key_of(&report)).said;
        let of = |observation: Observation| said[observation as usize];
        assert_eq!(of(Observation::Cardiomegaly).quote, "Heart size is normal.");
        assert_eq!(of(Observation::Cardiomegaly).status, FindingStatus::Negative);
        let effusion = of(Observation::PleuralEffusion);
        assert_eq!(effusion.quote, "There is a small left pleural effusion.");
        assert_eq!(effusion.status, FindingStatus::Positive);
        assert_eq!(of(Observation::Fracture), Said::default());
    }

    #[test]
    fn a_bad_line_is_named_without_its_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "\n{\"findings\": \"Jane Doe\", \"labels\": {\"edema\": \"maybe\"}}\n",
        )
        .unwrap();
        let error = RecordedLabels::read(file.path()).unwrap_err().to_string();
        assert_eq!(error, "line 2 of the recorded labels names an unknown status");
    }
}
