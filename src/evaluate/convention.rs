//! Conventions: which labels an average is taken over, and what counts as present.
//!
//! Two papers' "macro F1" are seldom the same number. Each convention here has a name, and the name
//! goes with every figure.

use serde::Serialize;

use super::tally::{Score, Tally};
use super::{LABELS, Label, Task};
use crate::report::{FindingStatus, Observation};

/// An average over the five tasks' F1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// CheXbert's: mention, positive and blank over 14 labels, negation over 13 (No Finding is never
    /// negative), uncertainty over 12 (nor are Support Devices ever uncertain). An F1 without any
    /// target on either side counts as 0.
    Chexbert,
    /// The thirteen observations whose reference has at least `min_support` cells of the target.
    Supported,
    /// As [`Average::Supported`], with No Finding in mention, positive and blank.
    SupportedNf,
}

impl Average {
    /// All averages.
    pub const ALL: [Self; 3] = [Self::Chexbert, Self::Supported, Self::SupportedNf];

    /// Name in tables, JSON and `--convention`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chexbert => "chexbert",
            Self::Supported => "supported",
            Self::SupportedNf => "supported-nf",
        }
    }

    /// Whether a label may be part of the average of a task, its support aside.
    pub const fn admits(self, task: Task, label: Label) -> bool {
        !matches!(
            (self, task, label),
            (Self::Supported, _, Label::NoFinding)
                | (_, Task::Negation | Task::Uncertainty, Label::NoFinding)
                | (Self::Chexbert, Task::Uncertainty, Label::Observed(Observation::SupportDevices))
        )
    }
}

/// Which labels each average is taken over. Fixed by the whole reference, so that a resample or a
/// slice averages over the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Reference cells of the target below which a label is not `supported`.
    pub min_support: u64,
    supported: [[bool; LABELS]; Task::ALL.len()],
}

impl Scope {
    /// Support as counted in `reference`: a tally of the whole reference against anything.
    pub fn new(reference: &Tally, min_support: u64) -> Self {
        let supported = Task::ALL.map(|task| {
            Label::ALL.map(|label| reference.of(label).support(task) >= min_support.max(1))
        });
        Self { min_support, supported }
    }

    /// The labels of an average.
    pub fn labels(&self, average: Average, task: Task) -> impl Iterator<Item = Label> {
        let supported = self.supported.get(task as usize).copied().unwrap_or_default();
        Label::ALL.into_iter().zip(supported).filter_map(move |(label, supported)| {
            let counts = average == Average::Chexbert || supported;
            (counts && average.admits(task, label)).then_some(label)
        })
    }

    /// The macro F1 of a task. `None` when no label is in scope.
    pub fn macro_f1(&self, tally: &Tally, average: Average, task: Task) -> Option<f64> {
        mean(self.labels(average, task).filter_map(|label| {
            let f1 = tally.of(label).score(task).f1();
            match average {
                Average::Chexbert => Some(f1.unwrap_or(0.0)),
                // A resample may by chance hold no such cell: then it says nothing of this label.
                Average::Supported | Average::SupportedNf => f1,
            }
        }))
    }
}

/// The F1 of a task over all cells of the thirteen observations, pooled.
pub fn micro_f1(tally: &Tally, task: Task) -> Option<f64> {
    tally.observed().map(|confusion| confusion.score(task)).fold(Score::default(), Score::and).f1()
}

/// CheXbert's headline: the mean of the weighted F1 over the 14 labels.
pub fn weighted_f1(tally: &Tally) -> Option<f64> {
    mean(Label::ALL.into_iter().map(|label| tally.of(label).weighted_f1()))
}

/// Mean kappa over the labels, of the 14, that have one.
pub fn mean_kappa(tally: &Tally) -> Option<f64> {
    mean(Label::ALL.into_iter().filter_map(|label| tally.of(label).kappa()))
}

/// A convention that makes each cell binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// F1-CheXbert of report generation: positive or uncertain against the rest, 14 labels.
    Rrg14,
    /// The same on Cardiomegaly, Edema, Consolidation, Atelectasis and Pleural Effusion.
    Rrg5,
    /// Positive or uncertain against the rest, the thirteen observations.
    Binary13,
    /// Positive against the rest over reference cells that are positive or negative; thirteen
    /// observations. It drops the hard cells and flatters every labeller.
    CertainOnly,
}

impl Binary {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rrg14, Self::Rrg5, Self::Binary13, Self::CertainOnly];

    /// Name in tables, JSON and `--convention`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rrg14 => "rrg14",
            Self::Rrg5 => "rrg5",
            Self::Binary13 => "binary13",
            Self::CertainOnly => "certain-only",
        }
    }

    /// Whether a label takes part.
    pub const fn admits(self, label: Label) -> bool {
        match (self, label) {
            (Self::Rrg14, _) => true,
            (Self::Rrg5, Label::Observed(observation)) => matches!(
                observation,
                Observation::Cardiomegaly
                    | Observation::Edema
                    | Observation::Consolidation
                    | Observation::Atelectasis
                    | Observation::PleuralEffusion
            ),
            (Self::Binary13 | Self::CertainOnly, Label::Observed(_)) => true,
            (Self::Rrg5 | Self::Binary13 | Self::CertainOnly, Label::NoFinding) => false,
        }
    }

    /// Whether reference and prediction of one cell say the same under the convention.
    pub fn agrees(self, reference: FindingStatus, predicted: FindingStatus) -> bool {
        match self {
            Self::CertainOnly => match reference {
                FindingStatus::Positive => predicted == FindingStatus::Positive,
                FindingStatus::Negative => predicted != FindingStatus::Positive,
                FindingStatus::Uncertain | FindingStatus::NotMentioned => true,
            },
            _ => present(reference) == present(predicted),
        }
    }

    /// Averages of the convention. An F1 without target on either side counts as 0.
    pub fn scores(self, tally: &Tally) -> BinaryScores {
        let scores: Vec<Score> = Label::ALL
            .into_iter()
            .filter(|label| self.admits(*label))
            .map(|label| match self {
                Self::CertainOnly => tally.of(label).certain_score(),
                _ => tally.of(label).score_by(present),
            })
            .collect();
        let weigh = |score: &Score| (score.hits + score.misses) as f64;
        let weights: f64 = scores.iter().map(weigh).sum();
        let weighted: f64 = scores.iter().map(|s| weigh(s) * s.f1().unwrap_or(0.0)).sum();
        BinaryScores {
            macro_f1: mean(scores.iter().map(|score| score.f1().unwrap_or(0.0))),
            micro_f1: scores.iter().copied().fold(Score::default(), Score::and).f1(),
            weighted_f1: (weights > 0.0).then(|| weighted / weights),
        }
    }
}

/// Averages of a binary convention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BinaryScores {
    /// Unweighted mean of the labels' F1.
    pub macro_f1: Option<f64>,
    /// F1 of all cells pooled.
    pub micro_f1: Option<f64>,
    /// Mean of the labels' F1, weighted by reference cells.
    pub weighted_f1: Option<f64>,
}

const fn present(status: FindingStatus) -> bool {
    matches!(status, FindingStatus::Positive | FindingStatus::Uncertain)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Row;

    #[test]
    fn the_chexbert_macros_are_over_14_13_and_12_labels() {
        let scope = Scope::new(&Tally::default(), 5);
        let count = |task| scope.labels(Average::Chexbert, task).count();
        assert_eq!(Task::ALL.map(count), [14, 14, 13, 12, 14]);
    }

    #[test]
    fn support_is_counted_per_task_and_no_finding_is_an_option() {
        let mut row: Row = [FindingStatus::NotMentioned; LABELS];
        row[0] = FindingStatus::Negative;
        row[13] = FindingStatus::Positive;
        let rows = [row; 5];
        let tally = Tally::count(&rows, &rows, &[1; 5]);
        let scope = Scope::new(&tally, 5);
        let count = |average, task| scope.labels(average, task).count();
        assert_eq!(Task::ALL.map(|task| count(Average::Supported, task)), [1, 0, 1, 0, 12]);
        assert_eq!(Task::ALL.map(|task| count(Average::SupportedNf, task)), [2, 1, 1, 0, 12]);
        let stricter = Scope::new(&tally, 6);
        assert_eq!(stricter.labels(Average::SupportedNf, Task::Mention).count(), 0);
        assert_eq!(stricter.macro_f1(&tally, Average::Supported, Task::Mention), None);
    }

    #[test]
    fn binary_conventions_admit_their_labels() {
        let count =
            |convention: Binary| Label::ALL.into_iter().filter(|l| convention.admits(*l)).count();
        assert_eq!(Binary::ALL.map(count), [14, 5, 13, 13]);
    }
}
