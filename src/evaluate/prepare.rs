//! What every count needs, made once: which cells and reports are wrong, and the sorted orders.

use super::Row;
use super::calibration::{brier, log_loss};
use super::convention::Binary;
use super::pairing::{Answers, CellScores};
use crate::report::{FindingStatus, OBSERVATIONS, STATUSES};

/// A report in the order of doubt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankedReport {
    /// Its place in the reference.
    pub report: usize,
    /// What it is ranked by; equal ranks are tied. Lowest first.
    pub rank: f64,
    /// How many of its thirteen cells are wrong.
    pub wrong_cells: u8,
}

/// A cell in the order of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredCell {
    /// Place of its report in the reference.
    pub report: usize,
    /// Probability given.
    pub confidence: f64,
    /// Whether it came true.
    pub right: bool,
}

/// Costs of one report's cells, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Costs {
    /// Brier of the answer's confidence.
    pub brier: f64,
    /// Log loss of the answer's confidence.
    pub log_loss: f64,
    /// Brier over the four statuses.
    pub brier_4: f64,
    /// Log loss of the reference's status.
    pub log_loss_4: f64,
}

/// Confidence, where the system gives it.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Reports, most doubtful first; unanswered ones before all others.
    pub ranked: Vec<RankedReport>,
    /// All answered cells by confidence of the answer.
    pub cells: Vec<ScoredCell>,
    /// All answered cells by probability of each status; `None` without full distributions.
    pub classwise: Option<[Vec<ScoredCell>; STATUSES]>,
    /// Costs per report; zeros where unanswered.
    pub costs: Vec<Costs>,
    /// 1 where answered, 0 where not.
    pub answered: Vec<u32>,
}

/// Agreement of one report as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// All thirteen statuses are right.
    pub exact: bool,
    /// All cells agree under each binary convention, in [`Binary::ALL`] order.
    pub binary: [bool; Binary::ALL.len()],
}

/// A system's answers beside the reference, ready to be counted.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    /// The reference.
    pub reference: &'a [Row],
    /// The answers, same order.
    pub predicted: &'a [Row],
    /// Whole-report agreement.
    pub agreement: Vec<Agreement>,
    /// Reports by wrong cells, most first: what a perfect ranking would defer.
    pub oracle: Vec<RankedReport>,
    /// Confidence, if any.
    pub doubt: Option<Doubt>,
}

impl<'a> Prepared<'a> {
    /// Sorts and marks.
    pub fn new(reference: &'a [Row], answers: &'a Answers) -> Self {
        let wrong: Vec<u8> =
            reference.iter().zip(&answers.rows).map(|(r, p)| wrong_cells(r, p)).collect();
        let agreement = reference
            .iter()
            .zip(&answers.rows)
            .zip(&wrong)
            .map(|((r, p), wrong)| Agreement {
                exact: *wrong == 0,
                binary: Binary::ALL.map(|convention| whole(convention, r, p)),
            })
            .collect();
        let oracle = rank(wrong.iter().map(|wrong| (-f64::from(*wrong), *wrong)));
        let doubt = answers
            .scores
            .as_ref()
            .map(|scores| Doubt::new(reference, &answers.rows, &wrong, scores));
        Self { reference, predicted: &answers.rows, agreement, oracle, doubt }
    }
}

impl Doubt {
    fn new(
        reference: &[Row],
        predicted: &[Row],
        wrong: &[u8],
        scores: &[Option<CellScores>],
    ) -> Self {
        let ranked = rank(scores.iter().zip(wrong).map(|(scores, wrong)| {
            let lowest = scores.as_ref().map_or(f64::NEG_INFINITY, |scores| {
                scores.confidence.iter().copied().fold(f64::INFINITY, f64::min)
            });
            (lowest, *wrong)
        }));
        let full = scores.iter().flatten().all(|scores| scores.probabilities.is_some());
        let mut cells = Vec::with_capacity(scores.len() * OBSERVATIONS);
        let mut classwise: [Vec<ScoredCell>; STATUSES] = Default::default();
        let mut costs = Vec::with_capacity(scores.len());
        let rows = reference.iter().zip(predicted).zip(scores).enumerate();
        for (report, ((reference, predicted), scores)) in rows {
            let mut cost = Costs::default();
            if let Some(scores) = scores {
                for ((truth, answer), &confidence) in
                    reference.iter().zip(predicted).zip(&scores.confidence)
                {
                    let right = truth == answer;
                    cells.push(ScoredCell { report, confidence, right });
                    cost.brier += brier(confidence, right);
                    cost.log_loss += log_loss(if right { confidence } else { 1.0 - confidence });
                }
                for (truth, distribution) in
                    reference.iter().zip(scores.probabilities.iter().flatten())
                {
                    let statuses = FindingStatus::ALL.into_iter().zip(*distribution);
                    for ((status, probability), class) in statuses.zip(&mut classwise) {
                        let right = status == *truth;
                        class.push(ScoredCell { report, confidence: probability, right });
                        cost.brier_4 += brier(probability, right);
                        cost.log_loss_4 += if right { log_loss(probability) } else { 0.0 };
                    }
                }
            }
            costs.push(cost);
        }
        let by_confidence = |a: &ScoredCell, b: &ScoredCell| a.confidence.total_cmp(&b.confidence);
        cells.sort_by(by_confidence);
        for class in &mut classwise {
            class.sort_by(by_confidence);
        }
        Self {
            ranked,
            cells,
            classwise: full.then_some(classwise),
            costs,
            answered: scores.iter().map(|scores| u32::from(scores.is_some())).collect(),
        }
    }
}

fn rank(reports: impl Iterator<Item = (f64, u8)>) -> Vec<RankedReport> {
    let mut ranked: Vec<RankedReport> = reports
        .enumerate()
        .map(|(report, (rank, wrong_cells))| RankedReport { report, rank, wrong_cells })
        .collect();
    ranked.sort_by(|a, b| a.rank.total_cmp(&b.rank));
    ranked
}

/// Wrong cells among the thirteen observations.
fn wrong_cells(reference: &Row, predicted: &Row) -> u8 {
    let cells = reference.iter().zip(predicted).take(OBSERVATIONS);
    cells.map(|(r, p)| u8::from(r != p)).sum()
}

fn whole(convention: Binary, reference: &Row, predicted: &Row) -> bool {
    super::Label::ALL
        .into_iter()
        .zip(reference.iter().zip(predicted))
        .filter(|(label, _)| convention.admits(*label))
        .all(|(_, (r, p))| convention.agrees(*r, *p))
}
