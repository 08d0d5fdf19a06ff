//! Figures: everything that is one number, each with a name that never changes meaning.

use super::calibration::{self, bins, ece};
use super::convention::{self, Average, Binary, Scope};
use super::prepare::{Doubt, Prepared};
use super::routing::{BUDGETS, Curve};
use super::tally::Tally;
use super::{Label, Task};
use crate::report::OBSERVATIONS;

/// One number of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Macro F1 of a task.
    Macro(Average, Task),
    /// Pooled F1 of a task over the thirteen observations.
    Micro(Task),
    /// CheXbert's weighted F1 (mean over 14 labels).
    WeightedF1,
    /// Mean Cohen's kappa.
    Kappa,
    /// Share of reports with all thirteen statuses right.
    ExactMatch,
    /// Share of cells of the thirteen observations that are right.
    CellAccuracy,
    /// Macro F1 of a binary convention.
    BinaryMacro(Binary),
    /// Micro F1 of it.
    BinaryMicro(Binary),
    /// F1 of it, weighted by reference cells.
    BinaryWeighted(Binary),
    /// Share of reports all of whose cells agree under it.
    BinaryExact(Binary),
    /// Expected calibration error of the answers, equal-mass bins.
    Ece,
    /// The same for the probability of each status, mean of the four.
    ClasswiseEce,
    /// Brier score of the answers' confidence.
    Brier,
    /// Log loss of the answers' confidence, nats.
    LogLoss,
    /// Brier score over the four statuses.
    Brier4,
    /// Log loss of the reference's status, nats.
    LogLoss4,
    /// Share of wrong reports among the first of [`BUDGETS`]`[i]`.
    Capture(usize),
    /// Share of wrong cells among them.
    CaptureCells(usize),
    /// Share of wrong reports among those left.
    Residual(usize),
    /// Share of wrong cells among those left.
    ResidualCells(usize),
    /// Area under the generalised risk coverage curve.
    Augrc,
    /// F1 of one label in one task.
    LabelF1(Label, Task),
    /// CheXbert's weighted F1 of one label.
    LabelWeighted(Label),
    /// Kappa of one label.
    LabelKappa(Label),
}

impl Figure {
    /// All figures, those of single labels last.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for average in Average::ALL {
            all.extend(Task::ALL.map(|task| Self::Macro(average, task)));
        }
        all.extend(Task::ALL.map(Self::Micro));
        all.extend([Self::WeightedF1, Self::Kappa, Self::ExactMatch, Self::CellAccuracy]);
        for binary in Binary::ALL {
            all.extend([Self::BinaryMacro(binary), Self::BinaryMicro(binary)]);
            all.extend([Self::BinaryWeighted(binary), Self::BinaryExact(binary)]);
        }
        all.extend([Self::Ece, Self::ClasswiseEce, Self::Brier, Self::LogLoss]);
        all.extend([Self::Brier4, Self::LogLoss4]);
        for budget in 0..BUDGETS.len() {
            all.extend([Self::Capture(budget), Self::CaptureCells(budget)]);
            all.extend([Self::Residual(budget), Self::ResidualCells(budget)]);
        }
        all.push(Self::Augrc);
        for label in Label::ALL {
            all.extend(Task::ALL.map(|task| Self::LabelF1(label, task)));
            all.extend([Self::LabelWeighted(label), Self::LabelKappa(label)]);
        }
        all
    }

    /// The name in JSON: `supported.positive`, `routing.capture_10`, `label.edema.kappa`.
    pub fn name(self) -> String {
        let percent = |budget: usize| {
            format!("{:02.0}", BUDGETS.get(budget).copied().unwrap_or_default() * 100.0)
        };
        match self {
            Self::Macro(average, task) => format!("{}.{}", average.name(), task.name()),
            Self::Micro(task) => format!("micro.{}", task.name()),
            Self::WeightedF1 => "chexbert.weighted_f1".to_owned(),
            Self::Kappa => "chexbert.kappa".to_owned(),
            Self::ExactMatch => "exact_match".to_owned(),
            Self::CellAccuracy => "cell_accuracy".to_owned(),
            Self::BinaryMacro(binary) => format!("{}.macro_f1", binary.name()),
            Self::BinaryMicro(binary) => format!("{}.micro_f1", binary.name()),
            Self::BinaryWeighted(binary) => format!("{}.weighted_f1", binary.name()),
            Self::BinaryExact(binary) => format!("{}.exact_match", binary.name()),
            Self::Ece => "calibration.ece".to_owned(),
            Self::ClasswiseEce => "calibration.classwise_ece".to_owned(),
            Self::Brier => "calibration.brier".to_owned(),
            Self::LogLoss => "calibration.nll".to_owned(),
            Self::Brier4 => "calibration.brier_4".to_owned(),
            Self::LogLoss4 => "calibration.nll_4".to_owned(),
            Self::Capture(budget) => format!("routing.capture_{}", percent(budget)),
            Self::CaptureCells(budget) => format!("routing.capture_cells_{}", percent(budget)),
            Self::Residual(budget) => format!("routing.residual_{}", percent(budget)),
            Self::ResidualCells(budget) => format!("routing.residual_cells_{}", percent(budget)),
            Self::Augrc => "routing.augrc".to_owned(),
            Self::LabelF1(label, task) => format!("label.{}.{}", label.name(), task.name()),
            Self::LabelWeighted(label) => format!("label.{}.weighted_f1", label.name()),
            Self::LabelKappa(label) => format!("label.{}.kappa", label.name()),
        }
    }

    /// The number; `None` where it is not defined (no such cells, no confidence).
    pub fn of(self, counts: &Counts, scope: &Scope) -> Option<f64> {
        let tally = &counts.tally;
        let budget = |budget: usize| BUDGETS.get(budget).copied();
        let curve = counts.curve.as_ref();
        match self {
            Self::Macro(average, task) => scope.macro_f1(tally, average, task),
            Self::Micro(task) => convention::micro_f1(tally, task),
            Self::WeightedF1 => convention::weighted_f1(tally),
            Self::Kappa => convention::mean_kappa(tally),
            Self::ExactMatch => counts.share(counts.exact),
            Self::CellAccuracy => tally.cell_accuracy(),
            Self::BinaryMacro(binary) => binary.scores(tally).macro_f1,
            Self::BinaryMicro(binary) => binary.scores(tally).micro_f1,
            Self::BinaryWeighted(binary) => binary.scores(tally).weighted_f1,
            Self::BinaryExact(binary) => counts.share(*counts.binary_exact.get(binary as usize)?),
            Self::Ece => counts.calibration?.ece,
            Self::ClasswiseEce => counts.calibration?.classwise_ece,
            Self::Brier => counts.calibration?.brier,
            Self::LogLoss => counts.calibration?.log_loss,
            Self::Brier4 => counts.calibration?.brier_4,
            Self::LogLoss4 => counts.calibration?.log_loss_4,
            Self::Capture(b) => curve?.captured_reports(budget(b)?),
            Self::CaptureCells(b) => curve?.captured_cells(budget(b)?),
            Self::Residual(b) => curve?.residual_reports(budget(b)?),
            Self::ResidualCells(b) => curve?.residual_cells(budget(b)?),
            Self::Augrc => curve?.augrc(),
            Self::LabelF1(label, task) => tally.of(label).score(task).f1(),
            Self::LabelWeighted(label) => Some(tally.of(label).weighted_f1()),
            Self::LabelKappa(label) => tally.of(label).kappa(),
        }
    }
}

/// Calibration numbers of one weighting.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    ece: Option<f64>,
    classwise_ece: Option<f64>,
    brier: Option<f64>,
    log_loss: Option<f64>,
    brier_4: Option<f64>,
    log_loss_4: Option<f64>,
}

/// What the figures are made of, for one weighting of the reports.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Confusion matrices.
    pub tally: Tally,
    /// Reports (weights).
    pub reports: u64,
    exact: u64,
    binary_exact: [u64; Binary::ALL.len()],
    calibration: Option<Calibration>,
    /// Deferral curve, where there is confidence.
    pub curve: Option<Curve>,
}

impl Counts {
    /// Counts each report `weights[i]` times.
    pub fn new(prepared: &Prepared<'_>, weights: &[u32]) -> Self {
        let mut exact = 0;
        let mut binary_exact = [0; Binary::ALL.len()];
        for (agreement, weight) in prepared.agreement.iter().zip(weights) {
            let weight = u64::from(*weight);
            exact += weight * u64::from(agreement.exact);
            for (count, agrees) in binary_exact.iter_mut().zip(agreement.binary) {
                *count += weight * u64::from(agrees);
            }
        }
        let doubt = prepared.doubt.as_ref();
        Self {
            tally: Tally::count(prepared.reference, prepared.predicted, weights),
            reports: weights.iter().copied().map(u64::from).sum(),
            exact,
            binary_exact,
            calibration: doubt.map(|doubt| calibrate(doubt, weights)),
            curve: doubt.map(|doubt| Curve::new(&doubt.ranked, weights)),
        }
    }

    /// Every report once.
    pub fn once(prepared: &Prepared<'_>) -> Self {
        Self::new(prepared, &vec![1; prepared.reference.len()])
    }

    fn share(&self, count: u64) -> Option<f64> {
        (self.reports > 0).then(|| count as f64 / self.reports as f64)
    }
}

fn calibrate(doubt: &Doubt, weights: &[u32]) -> Calibration {
    let (mut answered, mut sums) = (0.0, [0.0; 4]);
    for ((cost, weight), known) in doubt.costs.iter().zip(weights).zip(&doubt.answered) {
        let weight = f64::from(*weight * known);
        answered += weight;
        let parts = [cost.brier, cost.log_loss, cost.brier_4, cost.log_loss_4];
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum += weight * part;
        }
    }
    let cells = answered * OBSERVATIONS as f64;
    let [brier, log_loss, brier_4, log_loss_4] = sums.map(|sum| (cells > 0.0).then(|| sum / cells));
    let full = doubt.classwise.as_ref();
    let classwise_ece = full.and_then(|classes| {
        let each: Option<Vec<f64>> =
            classes.iter().map(|cells| ece(&calibration::bins(cells, weights))).collect();
        each.map(|each| each.iter().sum::<f64>() / each.len() as f64)
    });
    Calibration {
        ece: ece(&bins(&doubt.cells, weights)),
        classwise_ece,
        brier,
        log_loss,
        brier_4: full.and(brier_4),
        log_loss_4: full.and(log_loss_4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_figures_share_a_name() {
        let names: Vec<String> = Figure::all().into_iter().map(Figure::name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        for name in ["supported.positive", "chexbert.kappa", "routing.capture_05", "rrg5.macro_f1"]
        {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}
