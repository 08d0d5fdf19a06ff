//! Has what comes in changed since the model was measured?
//!
//! Figures of a window of recent reports are held against those of reference reports of the same
//! model, by the population stability index ([`psi`]). That the input drifted does not say that the
//! model became worse; it says that its measured scores are of other reports than these.
//!
//! Pure: no clock, no I/O, no threads.

use crate::report::{FindingStatus, Labels, OBSERVATIONS, Observation, STATUSES};

pub mod reference;
mod window;

pub use window::Window;

/// Bins of every histogram.
pub const BINS: usize = 10;
/// Upper edges of the confidence bins, exclusive; the last bin is open. Confidence of a report: that of
/// its least certain cell.
pub const CONFIDENCE_EDGES: [f64; BINS - 1] = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99];
/// Upper edges of the length bins, tokens, exclusive.
pub const LENGTH_EDGES: [f64; BINS - 1] = [16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0];
/// Upper edges of the bins of tokens a word, exclusive: a word that the model does not know is cut into
/// several tokens.
pub const WORD_EDGES: [f64; BINS - 1] = [1.05, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 3.0];

/// A share that counts as at least this much, so that an empty bin gives a finite index.
const FLOOR: f64 = 1e-4;

/// From here on a figure is worth a look: the usual reading of the index (N. Siddiqi, Credit Risk
/// Scorecards, 2006).
pub const WATCH: f64 = 0.1;
/// From here on the population has shifted, by the same reading.
pub const ACT: f64 = 0.25;

/// What is noted of one labelled report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Its labels.
    pub labels: Labels,
    /// Confidence of its least certain cell, 0 to 1.
    pub confidence: f32,
    /// Its length, tokens.
    pub tokens: usize,
    /// Tokens a word.
    pub tokens_per_word: f64,
    /// The model doubts its answer: what would be escalated if there were no ceiling.
    pub doubted: bool,
}

/// Confidence of the least certain cell.
pub fn least(confidence: &[f32; OBSERVATIONS]) -> f32 {
    confidence.iter().copied().fold(1.0, f32::min)
}

/// Counts over reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports.
    pub reports: u64,
    /// By observation and status, in model order.
    pub labels: [[u64; STATUSES]; OBSERVATIONS],
    /// By confidence.
    pub confidence: [u64; BINS],
    /// By length.
    pub length: [u64; BINS],
    /// By tokens a word.
    pub words: [u64; BINS],
    /// Doubted.
    pub doubted: u64,
}

impl Counts {
    /// Counts a report.
    #[expect(clippy::cast_precision_loss, reason = "tokens of a report are few")]
    pub fn add(&mut self, report: &Observed) {
        self.reports += 1;
        for (row, status) in self.labels.iter_mut().zip(report.labels) {
            let column = FindingStatus::ALL.iter().position(|one| *one == status);
            if let Some(count) = column.and_then(|column| row.get_mut(column)) {
                *count += 1;
            }
        }
        count(&mut self.confidence, &CONFIDENCE_EDGES, f64::from(report.confidence));
        count(&mut self.length, &LENGTH_EDGES, report.tokens as f64);
        count(&mut self.words, &WORD_EDGES, report.tokens_per_word);
        self.doubted += u64::from(report.doubted);
    }

    /// Counts what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.reports += other.reports;
        self.doubted += other.doubted;
        for (row, more) in self.labels.iter_mut().zip(&other.labels) {
            sum(row, more);
        }
        sum(&mut self.confidence, &other.confidence);
        sum(&mut self.length, &other.length);
        sum(&mut self.words, &other.words);
    }
}

fn sum(into: &mut [u64], more: &[u64]) {
    into.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

fn count(bins: &mut [u64; BINS], edges: &[f64; BINS - 1], value: f64) {
    // A value that is no number stands in the last bin, where it is seen.
    let bin = edges.iter().position(|edge| value < *edge).unwrap_or(BINS - 1);
    if let Some(count) = bins.get_mut(bin) {
        *count += 1;
    }
}

/// Population stability index: the sum over bins of `(o - e) ln(o / e)`, with `e` and `o` the expected
/// and observed shares. 0: the same; symmetric; shares below 0.0001 count as that. 0 as well when either
/// side has no counts.
#[expect(clippy::cast_precision_loss, reason = "counts of reports")]
pub fn psi(expected: &[u64], observed: &[u64]) -> f64 {
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (all_expected, all_observed) = (total(expected), total(observed));
    if all_expected == 0.0 || all_observed == 0.0 {
        return 0.0;
    }
    let terms = expected.iter().zip(observed).map(|(expected, observed)| {
        let expected = (*expected as f64 / all_expected).max(FLOOR);
        let observed = (*observed as f64 / all_observed).max(FLOOR);
        (observed - expected) * (observed / expected).ln()
    });
    terms.sum()
}

/// How far one figure has drifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// `labels`, `confidence`, `length`, `unknown_words` or `escalation`.
    pub figure: &'static str,
    /// Its observation; `None` for a figure of whole reports.
    pub observation: Option<Observation>,
    /// The index.
    pub psi: f64,
}

impl Drift {
    /// Name of its observation; empty for a figure of whole reports.
    pub fn observation_name(&self) -> &'static str {
        self.observation.map_or("", Observation::name)
    }
}

/// Drift of every figure: the labels of each observation, then the others.
pub fn compare(reference: &Counts, window: &Counts) -> Vec<Drift> {
    let labels = Observation::ALL.into_iter().zip(reference.labels.iter().zip(&window.labels));
    let labels = labels.map(|(observation, (expected, observed))| Drift {
        figure: "labels",
        observation: Some(observation),
        psi: psi(expected, observed),
    });
    let doubted = |counts: &Counts| [counts.doubted, counts.reports.saturating_sub(counts.doubted)];
    let whole = [
        ("confidence", psi(&reference.confidence, &window.confidence)),
        ("length", psi(&reference.length, &window.length)),
        ("unknown_words", psi(&reference.words, &window.words)),
        ("escalation", psi(&doubted(reference), &doubted(window))),
    ];
    labels.chain(whole.map(|(figure, psi)| Drift { figure, observation: None, psi })).collect()
}

/// The figure that has drifted most.
pub fn worst(drifts: &[Drift]) -> Option<Drift> {
    drifts.iter().copied().max_by(|a, b| a.psi.total_cmp(&b.psi))
}

#[cfg(test)]
mod tests;
