//! The whole evaluation as one value: what the table shows and the JSON holds.
//! [`super::judge`] makes it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Task;
use super::bootstrap::{Difference, Interval};
use super::convention::Average;
use super::figure::Figure;
use super::read::Aggregate;
use super::second_opinion::SecondOpinion;

/// What is computed, apart from the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Resamples; 0 gives no intervals.
    pub resamples: usize,
    /// Reference cells of a task's target below which a label is not `supported`.
    pub min_support: u64,
    /// What several mentions in one cell came to.
    pub aggregate: Aggregate,
    /// No Finding was derived even where a file states it.
    pub derive_no_finding: bool,
}

/// Where labels come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// What to call it: file name, or model name and version.
    pub name: String,
    /// SHA-256 of the file or model, lower-case hex; empty where there is none.
    pub sha256: String,
}

/// A number with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// On all reports.
    pub value: f64,
    /// 95 % bootstrap interval over reports.
    #[serde(flatten)]
    pub interval: Option<Interval>,
}

/// Figures by name; those not defined are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(pub(super) Vec<(Figure, Estimate)>);

impl Figures {
    /// One of them, if it is defined.
    pub fn get(&self, figure: Figure) -> Option<Estimate> {
        self.0.iter().find(|(known, _)| *known == figure).map(|(_, estimate)| *estimate)
    }

    /// Its number alone.
    pub fn value(&self, figure: Figure) -> Option<f64> {
        self.get(figure).map(|estimate| estimate.value)
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (figure, estimate) in &self.0 {
            map.serialize_entry(&figure.name(), estimate)?;
        }
        map.end()
    }
}

/// Reference cells of one label by status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Support {
    /// Machine name of the label.
    pub label: &'static str,
    /// Reference cells that are positive.
    pub positive: u64,
    /// That are negative.
    pub negative: u64,
    /// That are uncertain.
    pub uncertain: u64,
    /// That are not mentioned.
    pub not_mentioned: u64,
}

/// The reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reference {
    /// Where it comes from.
    #[serde(flatten)]
    pub from: Provenance,
    /// Reports.
    pub reports: usize,
    /// Reports whose stated No Finding does not follow from the other labels.
    pub no_finding_contradictions: usize,
    /// Cells per label.
    pub support: Vec<Support>,
    /// Labels per task in each macro average, in [`Task::ALL`] order.
    pub labels_averaged: Vec<Averaged>,
}

/// How many labels an average is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Averaged {
    /// The average.
    pub average: Average,
    /// Labels per task, in [`Task::ALL`] order.
    pub labels: [usize; Task::ALL.len()],
}

/// A bin of the reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Cells in it.
    pub cells: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

/// What deferring a share of the reports would catch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Deferral {
    /// Share of reports deferred.
    pub budget: f64,
    /// What a random choice captures: the budget itself.
    pub random: f64,
    /// Share of wrong reports that a perfect ranking captures.
    pub oracle_reports: Option<f64>,
    /// Share of wrong cells that a perfect ranking captures.
    pub oracle_cells: Option<f64>,
}

/// Routing by lowest cell confidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Routing {
    /// Share of reports with a wrong cell.
    pub wrong_reports: f64,
    /// Baselines at each budget.
    pub budgets: Vec<Deferral>,
    /// AUGRC of a random ranking.
    pub augrc_random: f64,
    /// AUGRC of a perfect ranking.
    pub augrc_oracle: Option<f64>,
    /// The curve: share of reports deferred, share of wrong reports captured.
    pub curve: Vec<(f64, f64)>,
}

/// Figures of some of the reports, without intervals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SliceVerdict {
    /// Which reports.
    pub name: String,
    /// How many.
    pub reports: u64,
    /// Their figures. Macro averages are over the labels supported in the whole reference.
    pub figures: Figures,
}

/// One system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemVerdict {
    /// Where its answers come from.
    #[serde(flatten)]
    pub from: Provenance,
    /// How its rows were matched with the reference: `id`, `order`, `text`.
    pub matched_by: &'static str,
    /// Reports without labels, judged as all blank.
    pub unanswered: usize,
    /// Answers to reports that the reference does not have; not judged.
    pub extra: usize,
    /// Answered reports without confidence, in a file that has some.
    pub without_confidence: usize,
    /// Reports whose stated No Finding does not follow from the other labels.
    pub no_finding_contradictions: usize,
    /// All figures.
    pub figures: Figures,
    /// Reliability diagram; empty without confidence.
    pub reliability: Vec<ReliabilityBin>,
    /// Routing; `None` without confidence.
    pub routing: Option<Routing>,
    /// With a teacher behind it, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_opinion: Option<SecondOpinion>,
    /// By length and section; empty when the reference has no texts.
    pub slices: Vec<SliceVerdict>,
}

/// Two systems on the same reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// First minus second, by figure.
    pub differences: Differences,
}

/// Differences by figure; those not defined are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences(pub(super) Vec<(Figure, Difference)>);

impl Differences {
    /// One of them, if it is defined.
    pub fn get(&self, figure: Figure) -> Option<Difference> {
        self.0.iter().find(|(known, _)| *known == figure).map(|(_, difference)| *difference)
    }
}

impl Serialize for Differences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (figure, difference) in &self.0 {
            map.serialize_entry(&figure.name(), difference)?;
        }
        map.end()
    }
}

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Version of this JSON: 1.
    pub format_version: u32,
    /// Version of radstream that judged.
    pub radstream: &'static str,
    /// How it was computed.
    pub plan: Plan,
    /// The reference.
    pub reference: Reference,
    /// Each system.
    pub systems: Vec<SystemVerdict>,
    /// Each system but the last against the last, when one was named to compare with.
    pub comparisons: Vec<Comparison>,
}
