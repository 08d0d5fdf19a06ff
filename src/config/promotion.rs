//! Settings of the gate: what a new student must hold to take the old one's place.
//!
//! As in [`super::settings`], the doc comment of a field is also its comment in
//! `config/radstream.toml`; `docs/REDISTILLATION.md` gives the reasons for the defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When a new student may take the place of the one in service (`radstream promote`, `rollback`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Promotion {
    /// Folder of the model store: models by version, the link `current` to the one in service, and the
    /// decisions. Default "models/store". Set student.model = "models/store/current" to label with it.
    pub store: PathBuf,
    /// Gold sets on which both models are judged: labelled reports, JSONL, never trained on. Default the
    /// one that ships. Add your own: `radstream promote --gold FILE` adds one for a single run.
    pub gold: Vec<PathBuf>,
    /// Versions kept in the store. 2 to 1000. Default 5. The current one and the one before it always are.
    pub keep: usize,
    /// "better": one of the primary figures must be surely better, and none worse. "not_worse": no
    /// figure worse is enough. Default "better": what is no gain is not worth a change.
    pub require: PromotionRequire,
    /// Figures of which one must be better: macro F1 of "positive", "uncertainty", "negation", "mention", or
    /// "exact_match", reports without a wrong cell. Default positive, uncertainty (what readers act on, and
    /// what is hardest) and exact_match (the one that a few hundred reports can show a small gain in).
    pub primary: Vec<PromotionTask>,
    /// Bootstrap resamples for the intervals. 200 to 100000. Default 1000.
    pub resamples: usize,
    /// Reports that a gold set needs; with fewer the answer is "insufficient evidence". 1 to 1000000.
    /// Default 100.
    pub min_reports: usize,
    /// Cells of a kind that an observation needs in a gold set to count in a macro F1. 1 to 10000.
    /// Default 5.
    pub min_support: u64,
    /// Macro F1 of positives that may be lost. 0 to 1. Default 0.03.
    pub margin_positive: f64,
    /// Macro F1 of uncertain cells that may be lost. 0 to 1. Default 0.06: they are few.
    pub margin_uncertainty: f64,
    /// Macro F1 of negated cells that may be lost. 0 to 1. Default 0.05.
    pub margin_negation: f64,
    /// Macro F1 of mentioned cells that may be lost. 0 to 1. Default 0.02.
    pub margin_mention: f64,
    /// An observation with so many cells of a kind has a floor of its own. 1 to 100000. Default 20.
    pub floor_cells: u64,
    /// F1 that such an observation may lose. 0 to 1. Default 0.1: two cells of twenty.
    pub floor_fall: f64,
    /// Highest expected calibration error. 0 to 1. Default 0.03. The champion's own where that is higher.
    pub max_ece: f64,
    /// How much the expected calibration error may rise. 0 to 1. Default 0.01.
    pub ece_margin: f64,
    /// How much the log loss of the four statuses may rise, nats a cell. 0 to 10. Default 0.02. It finds
    /// the overconfident, whom the calibration error of a good student hardly shows.
    pub log_loss_margin: f64,
    /// How much the share of reports that the model's own thresholds doubt may rise. 0 to 1. Default 0.05:
    /// each of them is a question to the teacher.
    pub doubted_rise: f64,
    /// Lowest such share, as a share of the champion's. 0 to 1. Default 0.2: a better model doubts less,
    /// but one that doubts next to nothing has thresholds that are wrong. 0: not asked.
    pub min_doubted_ratio: f64,
    /// How much the share of reports with a wrong cell that are not doubted may rise. 0 to 1. Default 0.03.
    pub mistakes_rise: f64,
    /// Lowest speed, as a share of the champion's. 0 to 1. Default 0.8.
    pub min_speed_ratio: f64,
    /// Largest model folder. MiB, 1 to 100000. Default 40.
    pub max_model_mib: u64,
    /// Sentences of the champion's self-test that the challenger may get wrong. 0 to 10000. Default 2.
    /// Its own self-test must be right whole: those are sentences that it chose itself.
    pub max_lost_sentences: usize,
}

impl Default for Promotion {
    fn default() -> Self {
        Self {
            store: PathBuf::from("models/store"),
            gold: vec![PathBuf::from("models/gold/held-out.jsonl")],
            keep: 5,
            require: PromotionRequire::Better,
            primary: vec![
                PromotionTask::Positive,
                PromotionTask::Uncertainty,
                PromotionTask::ExactMatch,
            ],
            resamples: 1_000,
            min_reports: 100,
            min_support: 5,
            margin_positive: 0.03,
            margin_uncertainty: 0.06,
            margin_negation: 0.05,
            margin_mention: 0.02,
            floor_cells: 20,
            floor_fall: 0.1,
            max_ece: 0.03,
            ece_margin: 0.01,
            log_loss_margin: 0.02,
            doubted_rise: 0.05,
            min_doubted_ratio: 0.2,
            mistakes_rise: 0.03,
            min_speed_ratio: 0.8,
            max_model_mib: 40,
            max_lost_sentences: 2,
        }
    }
}

/// What has to be shown of a challenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionRequire {
    /// Better in a primary figure, worse in none.
    Better,
    /// Worse in none.
    NotWorse,
}

/// A figure in which a challenger may have to be better: macro F1 of a task, or reports without a wrong
/// cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named as in docs/EVALUATION.md")]
pub enum PromotionTask {
    Positive,
    Uncertainty,
    Negation,
    Mention,
    ExactMatch,
}
