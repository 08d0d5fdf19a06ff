//! Re-distillation as a job that can be stopped anywhere: what is done is written down, and the next
//! run goes on from there. Pure; [`crate::command::redistill`] does the steps.
//!
//! ```text
//! export ──> enough new samples? ──> train ──> gate ──> decided
//!    ^               no: nothing new   │ written down: dataset, then candidate
//!    └── a run that was stopped while it trained begins here: what was retracted meanwhile is gone
//! ```

use serde::{Deserialize, Serialize};

use crate::promotion::gate::Ruling;

/// Version of the state file.
pub const FORMAT: u32 = 1;

/// What a dataset's manifest says that matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Dataset {
    /// Names the content.
    pub dataset_id: String,
    /// What was read since it was begun.
    pub history: Read,
    /// What there is to train on.
    pub totals: Totals,
}

/// What was read since a dataset was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Read {
    /// Samples.
    pub samples: u64,
}

/// What there is to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Totals {
    /// Texts.
    pub rows: u64,
}

/// The state file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the file.
    pub format: u32,
    /// A run that is not decided yet.
    #[serde(default)]
    pub run: Option<Run>,
    /// The last run that was.
    #[serde(default)]
    pub last: Option<Finished>,
}

/// A run that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began, RFC 3339.
    pub started: String,
    /// The dataset that it trains on.
    pub dataset_id: String,
    /// Samples read into it since it was begun.
    pub samples: u64,
    /// SHA-256 of the manifest of the candidate, when training is done.
    #[serde(default)]
    pub candidate: Option<String>,
}

/// A run that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// When, RFC 3339.
    pub time: String,
    /// The dataset.
    pub dataset_id: String,
    /// Samples read into it since it was begun.
    pub samples: u64,
    /// Verdict of the gate.
    pub verdict: Ruling,
    /// SHA-256 of the candidate's manifest.
    pub candidate: String,
}

/// What to do after the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Too few samples have come since the last run.
    NothingNew {
        /// So many.
        new: u64,
    },
    /// Train. `resume`: what an earlier run left half trained is of the same dataset.
    Train {
        /// Go on from its checkpoints.
        resume: bool,
    },
}

impl State {
    /// The candidate that only the gate has not seen yet: its manifest's hash.
    pub fn trained(&self) -> Option<&str> {
        self.run.as_ref()?.candidate.as_deref()
    }

    /// What to do with the dataset as it is now.
    pub fn next(&self, dataset: &Dataset, min_new_samples: u64) -> Next {
        if let Some(run) = &self.run {
            // It was begun because there was enough; retractions since do not make it less due.
            return Next::Train { resume: run.dataset_id == dataset.dataset_id };
        }
        let new = match &self.last {
            // A dataset that was begun anew counts from nothing.
            Some(last) if last.samples <= dataset.history.samples => {
                dataset.history.samples - last.samples
            }
            _ => dataset.history.samples,
        };
        if new < min_new_samples || dataset.totals.rows == 0 {
            return Next::NothingNew { new };
        }
        Next::Train { resume: false }
    }

    /// Training begins, or begins again with another dataset.
    #[must_use]
    pub fn training(&self, dataset: &Dataset, now: String) -> Self {
        let started = self.run.as_ref().map_or(now, |run| run.started.clone());
        let run = Run {
            started,
            dataset_id: dataset.dataset_id.clone(),
            samples: dataset.history.samples,
            candidate: None,
        };
        Self { format: FORMAT, run: Some(run), last: self.last.clone() }
    }

    /// Training is done.
    #[must_use]
    pub fn with_candidate(&self, manifest_sha256: String) -> Self {
        let mut next = self.clone();
        if let Some(run) = &mut next.run {
            run.candidate = Some(manifest_sha256);
        }
        next
    }

    /// The candidate is lost or damaged: it is trained again.
    #[must_use]
    pub fn without_candidate(&self) -> Self {
        let mut next = self.clone();
        if let Some(run) = &mut next.run {
            run.candidate = None;
        }
        next
    }

    /// The gate has decided.
    #[must_use]
    pub fn decided(&self, verdict: Ruling, now: String) -> Self {
        let finished = self.run.as_ref().map(|run| Finished {
            time: now,
            dataset_id: run.dataset_id.clone(),
            samples: run.samples,
            verdict,
            candidate: run.candidate.clone().unwrap_or_default(),
        });
        Self { format: FORMAT, run: None, last: finished.or_else(|| self.last.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(id: &str, samples: u64) -> Dataset {
        Dataset {
            dataset_id: id.to_owned(),
            history: Read { samples },
            totals: Totals { rows: samples.min(1) },
        }
    }

    #[test]
    fn samples_are_new_since_the_last_run_that_was_decided() {
        let state = State::default();
        assert_eq!(state.next(&dataset("a", 9), 10), Next::NothingNew { new: 9 });
        assert_eq!(state.next(&dataset("a", 10), 10), Next::Train { resume: false });
        assert_eq!(state.next(&dataset("a", 0), 0), Next::NothingNew { new: 0 }, "nothing at all");
        let state = state
            .training(&dataset("a", 10), "t0".to_owned())
            .with_candidate("m".to_owned())
            .decided(Ruling::Refused, "t1".to_owned());
        assert_eq!(state.next(&dataset("b", 19), 10), Next::NothingNew { new: 9 });
        assert_eq!(state.next(&dataset("b", 20), 10), Next::Train { resume: false });
        assert_eq!(state.next(&dataset("c", 9), 10), Next::NothingNew { new: 9 }, "begun anew");
        let last = state.last.unwrap();
        assert_eq!((last.verdict, last.candidate.as_str()), (Ruling::Refused, "m"));
    }

    #[test]
    fn a_run_that_was_stopped_goes_on_and_starts_training_anew_when_the_dataset_changed() {
        let stopped = State::default().training(&dataset("a", 10), "t0".to_owned());
        assert_eq!(stopped.trained(), None);
        assert_eq!(stopped.next(&dataset("a", 10), 99), Next::Train { resume: true });
        assert_eq!(stopped.next(&dataset("b", 11), 99), Next::Train { resume: false });
        let again = stopped.training(&dataset("b", 11), "t1".to_owned());
        let run = again.run.as_ref().unwrap();
        assert_eq!((run.started.as_str(), run.dataset_id.as_str()), ("t0", "b"));
        let trained = again.with_candidate("m".to_owned());
        assert_eq!(trained.trained(), Some("m"));
        assert_eq!(trained.without_candidate().trained(), None);
    }
}
