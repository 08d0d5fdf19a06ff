//! Counting: confusion matrices, and what follows from one (F1, kappa, weighted F1).

use super::{LABELS, Label, Row, Task};
use crate::report::{FindingStatus, STATUSES};

/// Reference statuses against predicted ones, for one label. Counts are report weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion([[u64; STATUSES]; STATUSES]);

impl Confusion {
    /// Counts one cell `weight` times.
    pub fn add(&mut self, reference: FindingStatus, predicted: FindingStatus, weight: u64) {
        let row = self.0.get_mut(reference as usize);
        if let Some(cell) = row.and_then(|row| row.get_mut(predicted as usize)) {
            *cell += weight;
        }
    }

    /// Cells of that reference status that were predicted to be `predicted`.
    pub fn at(&self, reference: FindingStatus, predicted: FindingStatus) -> u64 {
        let row = self.0.get(reference as usize);
        row.and_then(|row| row.get(predicted as usize)).copied().unwrap_or(0)
    }

    /// All cells.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// Cells with the right status.
    pub fn right(&self) -> u64 {
        FindingStatus::ALL.into_iter().map(|status| self.at(status, status)).sum()
    }

    /// Reference cells that are the target of a task.
    pub fn support(&self, task: Task) -> u64 {
        let score = self.score(task);
        score.hits + score.misses
    }

    /// Hits, false alarms and misses of a task.
    pub fn score(&self, task: Task) -> Score {
        self.score_by(|status| task.targets(status))
    }

    /// Hits, false alarms and misses where `target` says what counts.
    pub fn score_by(&self, target: impl Fn(FindingStatus) -> bool) -> Score {
        let mut score = Score::default();
        for reference in FindingStatus::ALL {
            for predicted in FindingStatus::ALL {
                let count = self.at(reference, predicted);
                match (target(reference), target(predicted)) {
                    (true, true) => score.hits += count,
                    (false, true) => score.false_alarms += count,
                    (true, false) => score.misses += count,
                    (false, false) => {}
                }
            }
        }
        score
    }

    /// Positive against the rest, over reference cells that are positive or negative only.
    pub fn certain_score(&self) -> Score {
        let positive = FindingStatus::Positive;
        let hits = self.at(positive, positive);
        Score {
            hits,
            false_alarms: self.at(FindingStatus::Negative, positive),
            misses: self.support(Task::Positive) - hits,
        }
    }

    /// Cohen's kappa, unweighted, over the four statuses. `None` where chance agreement is
    /// complete (both sides hold one and the same status only).
    pub fn kappa(&self) -> Option<f64> {
        let total = self.total() as f64;
        let by_chance: f64 = FindingStatus::ALL
            .into_iter()
            .map(|status| {
                let reference: u64 = FindingStatus::ALL.iter().map(|p| self.at(status, *p)).sum();
                let predicted: u64 = FindingStatus::ALL.iter().map(|r| self.at(*r, status)).sum();
                (reference as f64 / total) * (predicted as f64 / total)
            })
            .sum();
        let observed = self.right() as f64 / total;
        // Also false for NaN, that is for no cells at all.
        (by_chance < 1.0 - 1e-12).then(|| (observed - by_chance) / (1.0 - by_chance))
    }

    /// CheXbert's weighted F1: mean of the negation, uncertainty and positive F1, each weighted by
    /// its reference cells. 0 when the label is never mentioned in the reference.
    pub fn weighted_f1(&self) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for task in [Task::Negation, Task::Uncertainty, Task::Positive] {
            let weight = self.support(task) as f64;
            sum += weight * self.score(task).f1().unwrap_or(0.0);
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }
}

/// What an F1 is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Target in the reference and in the prediction.
    pub hits: u64,
    /// Target in the prediction only.
    pub false_alarms: u64,
    /// Target in the reference only.
    pub misses: u64,
}

impl Score {
    /// F1; `None` when the target occurs on neither side.
    pub fn f1(self) -> Option<f64> {
        let denominator = 2 * self.hits + self.false_alarms + self.misses;
        (denominator > 0).then(|| 2.0 * self.hits as f64 / denominator as f64)
    }

    /// Pools two scores.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            false_alarms: self.false_alarms + other.false_alarms,
            misses: self.misses + other.misses,
        }
    }
}

/// The confusion matrices of all labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([Confusion; LABELS]);

impl Tally {
    /// Counts rows that stand in the same order, each report `weights[i]` times.
    pub fn count(reference: &[Row], predicted: &[Row], weights: &[u32]) -> Self {
        let mut tally = Self::default();
        for ((reference, predicted), weight) in reference.iter().zip(predicted).zip(weights) {
            if *weight == 0 {
                continue;
            }
            for ((confusion, r), p) in tally.0.iter_mut().zip(reference).zip(predicted) {
                confusion.add(*r, *p, u64::from(*weight));
            }
        }
        tally
    }

    /// The matrix of a label.
    pub fn of(&self, label: Label) -> Confusion {
        self.0.get(label.index()).copied().unwrap_or_default()
    }

    /// The matrices of the thirteen observations.
    pub fn observed(&self) -> impl Iterator<Item = Confusion> {
        let without_no_finding = LABELS - 1;
        self.0.into_iter().take(without_no_finding)
    }

    /// Share of the thirteen observations' cells with the right status.
    pub fn cell_accuracy(&self) -> Option<f64> {
        let total: u64 = self.observed().map(|confusion| confusion.total()).sum();
        let right: u64 = self.observed().map(|confusion| confusion.right()).sum();
        (total > 0).then(|| right as f64 / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FindingStatus::{Negative as N, NotMentioned as B, Positive as P, Uncertain as U};

    fn confusion(cells: &[(FindingStatus, FindingStatus)]) -> Confusion {
        let mut confusion = Confusion::default();
        for (reference, predicted) in cells {
            confusion.add(*reference, *predicted, 1);
        }
        confusion
    }

    #[test]
    fn a_score_counts_each_kind_of_error_once() {
        // Positive: hits 1 (P,P); false alarm 1 (N,P); misses 2 (P,U), (P,B). F1 = 2/(2+1+2) = 0.4.
        let counted = confusion(&[(P, P), (N, P), (P, U), (P, B), (B, B)]);
        let score = counted.score(Task::Positive);
        assert_eq!(score, Score { hits: 1, false_alarms: 1, misses: 2 });
        assert_eq!(score.f1(), Some(0.4));
        // Mention: hits 3, misses 1 (P,B). F1 = 6/7.
        assert_eq!(counted.score(Task::Mention).f1(), Some(6.0 / 7.0));
        // Certain only: reference cells P and N: hits 1, false alarm (N,P), misses 2.
        assert_eq!(counted.certain_score(), Score { hits: 1, false_alarms: 1, misses: 2 });
    }

    #[test]
    fn a_hedged_reference_cell_is_no_certain_one() {
        let counted = confusion(&[(U, P), (B, P), (P, P)]);
        assert_eq!(counted.certain_score().f1(), Some(1.0));
        assert_eq!(counted.score(Task::Positive).f1(), Some(0.5));
    }

    #[test]
    fn kappa_is_agreement_beyond_chance() {
        // Four cells: reference P P N N, predicted P N N N. Observed 3/4. By chance
        // (2/4)(1/4) + (2/4)(3/4) = 1/2. Kappa = (3/4 - 1/2) / (1 - 1/2) = 0.5.
        assert_eq!(confusion(&[(P, P), (P, N), (N, N), (N, N)]).kappa(), Some(0.5));
        assert_eq!(confusion(&[(B, B), (B, B)]).kappa(), None, "one status on both sides");
        assert_eq!(Confusion::default().kappa(), None);
        // One status each, but different ones: observed 0, by chance 0.
        assert_eq!(confusion(&[(B, P), (B, P)]).kappa(), Some(0.0));
    }

    #[test]
    fn weighted_f1_weighs_by_the_reference() {
        // P: 3 cells, F1 1. U: 1 cell, missed, F1 0. N: none. (3 * 1 + 1 * 0) / 4 = 0.75.
        assert_eq!(confusion(&[(P, P), (P, P), (P, P), (U, B)]).weighted_f1(), 0.75);
        assert_eq!(confusion(&[(B, P)]).weighted_f1(), 0.0, "never mentioned in the reference");
    }

    #[test]
    fn a_weight_counts_as_that_many_reports() {
        let (reference, predicted) = ([[P; LABELS], [N; LABELS]], [[P; LABELS], [P; LABELS]]);
        let tally = Tally::count(&reference, &predicted, &[0, 3]);
        assert_eq!(tally.of(Label::NoFinding).at(N, P), 3);
        assert_eq!(tally.of(Label::NoFinding).total(), 3);
        assert_eq!(tally.cell_accuracy(), Some(0.0));
        assert_eq!(Tally::count(&reference, &predicted, &[0, 0]).cell_accuracy(), None);
    }
}
