//! How good is a labeller? Its answers against reference labels, pure functions throughout.
//!
//! ```text
//! read ──> pairing ──> prepare ──> tally, routing, calibration ──> figure ──> judge ──> verdict
//! files    one order   sort once   weighted counts                 numbers    bootstrap table,
//!                                                                                       JSON, SVG
//! ```
//!
//! Every count takes a weight per report: all ones for the figure itself, how often a report was
//! drawn for a bootstrap resample, zero or one for a slice. What is sorted is sorted once.
//!
//! `docs/EVALUATION.md` defines every figure and its source.

pub mod bootstrap;
pub mod calibration;
pub mod convention;
pub mod figure;
pub mod judge;
pub mod pairing;
pub mod plot;
pub mod prepare;
pub mod read;
pub mod routing;
pub mod second_opinion;
pub mod slice;
pub mod table;
pub mod tally;
pub mod verdict;

use crate::report::{FindingStatus, Labels, NO_FINDING, Observation, no_finding};

/// Number of labels that are judged: the thirteen observations and No Finding.
pub const LABELS: usize = 14;

/// One status per label, in [`Label::ALL`] order.
pub type Row = [FindingStatus; LABELS];

/// A column of the evaluation: an observation, or No Finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// One of the thirteen.
    Observed(Observation),
    /// The fourteenth: derived, or stated by the system that is judged.
    NoFinding,
}

impl Label {
    /// All labels in CheXbert's order: the thirteen, then No Finding.
    pub const ALL: [Self; LABELS] = [
        Self::Observed(Observation::EnlargedCardiomediastinum),
        Self::Observed(Observation::Cardiomegaly),
        Self::Observed(Observation::LungOpacity),
        Self::Observed(Observation::LungLesion),
        Self::Observed(Observation::Edema),
        Self::Observed(Observation::Consolidation),
        Self::Observed(Observation::Pneumonia),
        Self::Observed(Observation::Atelectasis),
        Self::Observed(Observation::Pneumothorax),
        Self::Observed(Observation::PleuralEffusion),
        Self::Observed(Observation::PleuralOther),
        Self::Observed(Observation::Fracture),
        Self::Observed(Observation::SupportDevices),
        Self::NoFinding,
    ];

    /// Machine name (`pleural_effusion`, `no_finding`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed(observation) => observation.name(),
            Self::NoFinding => NO_FINDING,
        }
    }

    /// Name for people (`Pleural Effusion`, `No Finding`).
    pub const fn title(self) -> &'static str {
        match self {
            Self::Observed(observation) => observation.title(),
            Self::NoFinding => "No Finding",
        }
    }

    /// Place in a [`Row`].
    pub const fn index(self) -> usize {
        match self {
            Self::Observed(observation) => observation as usize,
            Self::NoFinding => LABELS - 1,
        }
    }
}

/// The five tasks of CheXpert and CheXbert: each makes the four statuses of a label binary and asks
/// for the F1 of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Positive, negative or uncertain, against not mentioned.
    Mention,
    /// Positive against the rest.
    Positive,
    /// Negative against the rest.
    Negation,
    /// Uncertain against the rest.
    Uncertainty,
    /// Not mentioned against the rest.
    Blank,
}

impl Task {
    /// All tasks, in the order of the tables.
    pub const ALL: [Self; 5] =
        [Self::Mention, Self::Positive, Self::Negation, Self::Uncertainty, Self::Blank];

    /// Machine name (`mention`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mention => "mention",
            Self::Positive => "positive",
            Self::Negation => "negation",
            Self::Uncertainty => "uncertainty",
            Self::Blank => "blank",
        }
    }

    /// Whether a status is the target of the task.
    pub const fn targets(self, status: FindingStatus) -> bool {
        match self {
            Self::Mention => !matches!(status, FindingStatus::NotMentioned),
            Self::Positive => matches!(status, FindingStatus::Positive),
            Self::Negation => matches!(status, FindingStatus::Negative),
            Self::Uncertainty => matches!(status, FindingStatus::Uncertain),
            Self::Blank => matches!(status, FindingStatus::NotMentioned),
        }
    }
}

/// The row of thirteen statuses, with No Finding derived.
pub fn derived_row(labels: &Labels) -> Row {
    row_with(labels, no_finding(labels))
}

/// The row of thirteen statuses and a stated No Finding.
///
/// No Finding has two classes: positive, or not mentioned. What a file says otherwise of it
/// (negative, uncertain) is read as not mentioned, as CheXbert's two-way head would have to.
pub fn row_with(labels: &Labels, stated: FindingStatus) -> Row {
    let mut row = [FindingStatus::NotMentioned; LABELS];
    for (cell, status) in row.iter_mut().zip(labels) {
        *cell = *status;
    }
    if let Some(cell) = row.last_mut() {
        *cell = match stated {
            FindingStatus::Positive => FindingStatus::Positive,
            _ => FindingStatus::NotMentioned,
        };
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_where_their_index_says() {
        for (place, label) in Label::ALL.into_iter().enumerate() {
            assert_eq!(label.index(), place);
        }
    }

    #[test]
    fn a_no_finding_that_is_neither_positive_nor_blank_is_read_as_blank() {
        let labels = [FindingStatus::NotMentioned; 13];
        assert_eq!(derived_row(&labels)[13], FindingStatus::Positive);
        for stated in [FindingStatus::Negative, FindingStatus::Uncertain] {
            assert_eq!(row_with(&labels, stated)[13], FindingStatus::NotMentioned);
        }
    }
}
