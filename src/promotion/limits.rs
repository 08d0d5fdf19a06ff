//! What a challenger must hold. The settings `[promotion]` say the same for people.

use serde::Serialize;

use crate::evaluate::Task;

/// What has to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Not worse anywhere, and better in one of the primary figures.
    Better,
    /// Not worse anywhere.
    NotWorse,
}

/// Limits of all guards.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// What has to be shown.
    pub require: Require,
    /// Tasks, by name, of which one must be better.
    pub primary: Vec<&'static str>,
    /// Reports that a gold set needs to say anything.
    pub min_reports: usize,
    /// How much macro F1 may be lost, by task.
    pub margins: Margins,
    /// Reference cells from which an observation has a floor.
    pub floor_cells: u64,
    /// How much F1 such an observation may lose.
    pub floor_fall: f64,
    /// Highest expected calibration error.
    pub max_ece: f64,
    /// How much it may rise.
    pub ece_margin: f64,
    /// How much the log loss may rise, nats a cell.
    pub log_loss_margin: f64,
    /// How much the share of doubted reports may rise.
    pub doubted_rise: f64,
    /// Lowest share of doubted reports, as a share of the champion's.
    pub min_doubted_ratio: f64,
    /// How much the share of reports that are wrong and not doubted may rise.
    pub mistakes_rise: f64,
    /// Lowest speed, as a share of the champion's.
    pub min_speed_ratio: f64,
    /// Largest folder, in bytes.
    pub max_bytes: u64,
    /// Sentences of the champion's self-test that may be lost.
    pub max_lost_sentences: usize,
}

/// Macro F1 that may be lost, by task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "named after the tasks")]
pub struct Margins {
    pub positive: f64,
    pub uncertainty: f64,
    pub negation: f64,
    pub mention: f64,
}

impl Margins {
    /// That of a task. Blank is not guarded: what is mentioned is.
    pub const fn of(&self, task: Task) -> f64 {
        match task {
            Task::Positive => self.positive,
            Task::Uncertainty => self.uncertainty,
            Task::Negation => self.negation,
            Task::Mention | Task::Blank => self.mention,
        }
    }
}
