//! Reference and answers in one order.
//!
//! The order is that of the reference's ids, whatever the order of the files: then the bootstrap
//! draws the same reports from a shuffled file.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::read::Sheet;
use super::slice::Shape;
use super::{LABELS, Row, derived_row, row_with};
use crate::report::{FindingStatus, OBSERVATIONS, Phi, ReportText, STATUSES, Scored};

/// Confidence of one report's thirteen cells.
#[derive(Clone, Debug, PartialEq)]
pub struct CellScores {
    /// Probability of the answer given, 0 to 1.
    pub confidence: [f64; OBSERVATIONS],
    /// Probability of each status, where known.
    pub probabilities: Option<[[f64; STATUSES]; OBSERVATIONS]>,
}

/// The reference, in canonical order.
#[derive(Debug)]
pub struct Gold {
    /// Reference labels.
    pub rows: Vec<Row>,
    /// Length and sections of each report.
    pub shapes: Vec<Shape>,
    /// Texts, where the file has them.
    pub texts: Vec<Option<ReportText>>,
    /// Reports whose stated No Finding is not the one that follows from the other labels.
    pub contradictions: usize,
    sources: Vec<Source>,
    has_ids: bool,
}

#[derive(Debug)]
struct Source {
    /// Place in the file, from 0.
    place: usize,
    line: u64,
    id: Option<Phi<String>>,
}

/// A system's answers, in the reference's order.
#[derive(Debug, Default)]
pub struct Answers {
    /// Labels; all blank where the system gave none.
    pub rows: Vec<Row>,
    /// Confidence per report, `None` where unanswered. `None` as a whole when the system gives no
    /// confidence.
    pub scores: Option<Vec<Option<CellScores>>>,
    /// Reports without labels.
    pub unanswered: usize,
    /// Answers to reports that the reference does not have.
    pub extra: usize,
    /// Answered reports without confidence, in a file that has confidences.
    pub without_confidence: usize,
    /// Reports whose stated No Finding is not the one that follows from the other labels.
    pub contradictions: usize,
    /// `id`, `order`, or `text` when the reference's texts were labelled here.
    pub matched_by: &'static str,
}

/// How rows find each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MatchBy {
    /// By id when both files have ids, otherwise by order.
    #[default]
    Auto,
    /// By id.
    Id,
    /// First to first, second to second.
    Order,
}

/// Files that do not belong together. Never holds identifiers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// A reference without labels.
    #[error("line {line}: a reference needs labels")]
    NoLabels {
        /// Line in the reference.
        line: u64,
    },
    /// Matching by id without ids.
    #[error("a record has no id (line {line}); match by order, or name the column")]
    NoId {
        /// Line of the record.
        line: u64,
    },
    /// An id that two records have.
    #[error("lines {first} and {second} have the same id")]
    Duplicate {
        /// Line of the first.
        first: u64,
        /// Line of the second.
        second: u64,
    },
    /// Reports of the reference that were not answered at all.
    #[error(
        "{count} of {of} reports of the reference are not in it by id (first: line {line} of the \
         reference); with `--match order` rows are matched by their order"
    )]
    Missing {
        /// How many.
        count: NonZeroUsize,
        /// Reports in the reference.
        of: usize,
        /// First of them, in canonical order.
        line: u64,
    },
    /// Matching by order needs as many rows.
    #[error("it has {found} records and the reference {expected}: rows cannot be matched by order")]
    Count {
        /// Reports in the reference.
        expected: usize,
        /// Records in the predictions.
        found: usize,
    },
}

impl Gold {
    /// Takes a label file as the reference. `derive` ignores a stated No Finding.
    ///
    /// # Errors
    /// [`PairError::NoLabels`], [`PairError::Duplicate`].
    pub fn new(sheet: Sheet, derive: bool) -> Result<Self, PairError> {
        let has_ids = sheet.records.iter().all(|record| record.id.is_some());
        if has_ids {
            by_id(&sheet)?;
        }
        let stated = sheet.states_no_finding && !derive;
        let mut records: Vec<_> = sheet.records.into_iter().enumerate().collect();
        if has_ids {
            records.sort_by(|a, b| a.1.id.cmp(&b.1.id));
        }
        let mut gold = Self {
            rows: Vec::with_capacity(records.len()),
            shapes: Vec::with_capacity(records.len()),
            texts: Vec::with_capacity(records.len()),
            contradictions: 0,
            sources: Vec::with_capacity(records.len()),
            has_ids,
        };
        for (place, record) in records {
            let labels = record.labels.ok_or(PairError::NoLabels { line: record.line })?;
            let derived = derived_row(&labels);
            let row = record.no_finding.map_or(derived, |nf| row_with(&labels, nf));
            gold.contradictions += usize::from(row != derived);
            gold.rows.push(if stated { row } else { derived });
            gold.shapes.push(Shape::of(record.text.as_ref()));
            gold.texts.push(record.text);
            gold.sources.push(Source { place, line: record.line, id: record.id });
        }
        Ok(gold)
    }

    /// Reports.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts the records of a predictions file in the reference's order. `derive` ignores a stated
    /// No Finding.
    ///
    /// # Errors
    /// [`PairError`] when the files do not belong together.
    pub fn pair(
        &self,
        predictions: &Sheet,
        by: MatchBy,
        derive: bool,
    ) -> Result<Answers, PairError> {
        let ids = match by {
            MatchBy::Order => false,
            MatchBy::Id => true,
            MatchBy::Auto => {
                self.has_ids && predictions.records.iter().all(|record| record.id.is_some())
            }
        };
        let places = if ids { self.places_by_id(predictions)? } else { self.places(predictions)? };
        let stated = predictions.states_no_finding && !derive;
        let mut answers = Answers {
            matched_by: if ids { "id" } else { "order" },
            extra: predictions.records.len() - places.len(),
            ..Answers::default()
        };
        let mut scores = Vec::with_capacity(places.len());
        for record in places.into_iter().filter_map(|place| predictions.records.get(place)) {
            let Some(labels) = record.labels else {
                answers.unanswered += 1;
                answers.rows.push([FindingStatus::NotMentioned; LABELS]);
                scores.push(None);
                continue;
            };
            let derived = derived_row(&labels);
            let row = record.no_finding.map_or(derived, |nf| row_with(&labels, nf));
            answers.contradictions += usize::from(row != derived);
            answers.rows.push(if stated { row } else { derived });
            answers.without_confidence += usize::from(record.scores.is_none());
            scores.push(record.scores.clone());
        }
        if scores.iter().all(Option::is_none) {
            answers.without_confidence = 0;
        } else if answers.without_confidence == 0 {
            answers.scores = Some(scores);
        }
        Ok(answers)
    }

    /// Answers of a labeller that read the reference's texts; `None` where there was no text.
    pub fn answers(scored: &[Option<Scored>]) -> Answers {
        let mut answers = Answers { matched_by: "text", ..Answers::default() };
        let mut scores = Vec::with_capacity(scored.len());
        for scored in scored {
            let Some(scored) = scored else {
                answers.unanswered += 1;
                answers.rows.push([FindingStatus::NotMentioned; LABELS]);
                scores.push(None);
                continue;
            };
            let chosen = scored.probabilities.map(|row| choose(&row));
            answers.rows.push(derived_row(&chosen.map(|(status, _)| status)));
            scores.push(Some(CellScores {
                confidence: chosen.map(|(_, confidence)| f64::from(confidence)),
                probabilities: Some(scored.probabilities.map(|row| row.map(f64::from))),
            }));
        }
        answers.scores = Some(scores);
        answers
    }

    fn places(&self, predictions: &Sheet) -> Result<Vec<usize>, PairError> {
        let (expected, found) = (self.len(), predictions.records.len());
        if expected != found {
            return Err(PairError::Count { expected, found });
        }
        Ok(self.sources.iter().map(|source| source.place).collect())
    }

    fn places_by_id(&self, predictions: &Sheet) -> Result<Vec<usize>, PairError> {
        let known = by_id(predictions)?;
        let mut places = Vec::with_capacity(self.len());
        let mut missing = Vec::new();
        for source in &self.sources {
            let id = source.id.as_ref().ok_or(PairError::NoId { line: source.line })?;
            match known.get(id) {
                Some(place) => places.push(*place),
                None => missing.push(source.line),
            }
        }
        match (NonZeroUsize::new(missing.len()), missing.first()) {
            (Some(count), Some(line)) => {
                Err(PairError::Missing { count, of: self.len(), line: *line })
            }
            _ => Ok(places),
        }
    }
}

/// Places of the records by id.
fn by_id(sheet: &Sheet) -> Result<HashMap<&Phi<String>, usize>, PairError> {
    let mut places: HashMap<&Phi<String>, usize> = HashMap::with_capacity(sheet.records.len());
    for (place, record) in sheet.records.iter().enumerate() {
        let id = record.id.as_ref().ok_or(PairError::NoId { line: record.line })?;
        if let Some(before) = places.insert(id, place) {
            let first = sheet.records.get(before).map_or(0, |record| record.line);
            return Err(PairError::Duplicate { first, second: record.line });
        }
    }
    Ok(places)
}

/// The most probable status and its probability; the first in model order among equals.
fn choose(row: &[f32; STATUSES]) -> (FindingStatus, f32) {
    let mut best = (FindingStatus::NotMentioned, 0.0);
    for (status, &probability) in FindingStatus::ALL.into_iter().zip(row) {
        if probability > best.1 {
            best = (status, probability);
        }
    }
    best
}
