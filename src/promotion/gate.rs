//! The gate: evidence and limits in, a decision with all its reasons out. Pure.
//!
//! A difference is judged by its interval, so that chance decides nothing. "Not worse" holds when the
//! whole interval lies above minus the margin; it fails when the whole interval lies below zero, for
//! then the loss is real and may be larger than allowed; in between the reports are too few to say.

mod models;
mod quality;

pub(crate) use self::quality::EXACT_MATCH;

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::limits::Limits;
use crate::evaluate::bootstrap::Interval;

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Every guard holds.
    Promoted,
    /// A guard fails.
    Refused,
    /// No guard fails, but for one of them the reports or cells are too few to say.
    InsufficientEvidence,
}

impl Ruling {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Refused => "refused",
            Self::InsufficientEvidence => "insufficient evidence",
        }
    }
}

/// What a guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The limit is held.
    Holds,
    /// It is not.
    Fails,
    /// Too little is known to say.
    Unknown,
    /// This gold set has no cells of the kind; another must.
    NotJudged,
}

impl Outcome {
    /// For tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Holds => "yes",
            Self::Fails => "NO",
            Self::Unknown => "cannot tell",
            Self::NotJudged => "not judged",
        }
    }
}

/// One guarded figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Guard {
    /// Name of the figure, as `radstream evaluate` calls it, or of a property of the model:
    /// `supported.positive`, `label.edema.positive`, `calibration.ece`, `doubted`, `passed_mistakes`, `speed`,
    /// `size`, `self_test`, `self_test.champion`, `compatible`, `loads`, `new`, `reports`, `gain`.
    pub figure: String,
    /// The gold set, for figures of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gold: Option<String>,
    /// Value of the champion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion: Option<f64>,
    /// Value of the challenger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger: Option<f64>,
    /// Challenger minus champion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// 95 % interval of the difference, paired bootstrap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The limit, in words: `difference at least -0.030`.
    pub limit: String,
    /// Where it stands on the scale of the difference, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_difference: Option<f64>,
    /// Whether it holds.
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub why: String,
}

impl Guard {
    /// A guard that compares nothing.
    fn plain(figure: &str, limit: String, outcome: Outcome, why: String) -> Self {
        Self {
            figure: figure.to_owned(),
            gold: None,
            champion: None,
            challenger: None,
            difference: None,
            interval: None,
            limit,
            limit_difference: None,
            outcome,
            why,
        }
    }

    /// The sentence with figure and gold set before it.
    pub fn reason(&self) -> String {
        match &self.gold {
            Some(gold) => format!("{} on {gold}: {}", self.figure, self.why),
            None => format!("{}: {}", self.figure, self.why),
        }
    }
}

/// The verdict with everything that led to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The verdict.
    pub ruling: Ruling,
    /// Every guard.
    pub guards: Vec<Guard>,
}

impl Decision {
    /// Why it was not promoted: all guards that fail, then all that cannot tell.
    pub fn reasons(&self) -> Vec<String> {
        let of = |outcome| self.guards.iter().filter(move |guard| guard.outcome == outcome);
        of(Outcome::Fails).chain(of(Outcome::Unknown)).map(Guard::reason).collect()
    }

    /// The verdict that follows from guards.
    fn from(guards: Vec<Guard>) -> Self {
        let any = |outcome| guards.iter().any(|guard| guard.outcome == outcome);
        let ruling = if any(Outcome::Fails) {
            Ruling::Refused
        } else if any(Outcome::Unknown) {
            Ruling::InsufficientEvidence
        } else {
            Ruling::Promoted
        };
        Self { ruling, guards }
    }
}

/// Decides. All guards are computed, also when one fails; those of which nothing could be measured
/// because the challenger does not load are left out.
pub fn decide(evidence: &Evidence, limits: &Limits) -> Decision {
    let mut guards = models::guards(evidence, limits);
    if evidence.champion.is_some() && evidence.load_problem.is_none() {
        guards.extend(quality::guards(&evidence.gold, limits));
    }
    Decision::from(guards)
}

/// Decides about a first model, which has nobody to be compared with: it loads, passes its self-test,
/// and is not too large.
pub fn decide_first(evidence: &Evidence, limits: &Limits) -> Decision {
    let alone = Evidence { champion: None, ..evidence.clone() };
    Decision::from(models::guards(&alone, limits))
}

#[cfg(test)]
mod tests;
