//! Counts of what was committed, kept in the process for the page, the demo and the tests.
//!
//! The metrics count the same moments; these can be read without a scrape.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::report::{FindingStatus, Labels, OBSERVATIONS, Observation, STATUSES, Warning};

/// Longest latency told apart, milliseconds: an hour.
const MAX_LATENCY_MS: u64 = 3_600_000;

/// What one report led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `labelled`, `skipped_not_chest`, `retracted`, `promoted`, `dead_letter`, ...
    pub name: &'static str,
    /// Class of the dead letter.
    pub dead_letter: Option<&'static str>,
    /// Where it failed: `decode`, `label`, `publish`.
    pub stage: Option<&'static str>,
    /// Labels, when labelled.
    pub labels: Option<Labels>,
    /// Why it was escalated or doubted.
    pub reasons: Vec<&'static str>,
    /// It went to the teacher.
    pub escalated: bool,
    /// Oddities of the input.
    pub warnings: Vec<Warning>,
    /// Name of the source profile that read it, where one did.
    pub profile: Option<Arc<str>>,
}

impl Outcome {
    /// An outcome without labels.
    pub const fn plain(name: &'static str) -> Self {
        Self {
            name,
            dead_letter: None,
            stage: None,
            labels: None,
            reasons: Vec::new(),
            escalated: false,
            warnings: Vec::new(),
            profile: None,
        }
    }
}

/// Counts at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Time since counting began.
    pub elapsed: Duration,
    /// From the first commit to the last; `None` before the second.
    pub busy: Option<Duration>,
    /// Input records committed.
    pub records: u64,
    /// Reports by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Labelled cells, rows as [`Observation::ALL`], columns as [`FindingStatus::ALL`].
    pub cells: [[u64; STATUSES]; OBSERVATIONS],
    /// Reports with No Finding.
    pub no_finding: u64,
    /// Reports escalated.
    pub escalated: u64,
    /// Reasons of escalations, once per report.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Dead letters by class.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// End-to-end latency, milliseconds.
    pub latency_ms: Histogram<u64>,
    /// Name and version of the model in service; empty where no model labels.
    pub model: String,
    /// The model folder holds another model, which was refused.
    pub model_refused: bool,
    /// The figure that has drifted most, with its index; `None`: nothing is known.
    pub drift: Option<String>,
}

impl Snapshot {
    /// Reports labelled.
    pub fn labelled(&self) -> u64 {
        self.outcomes.get("labelled").copied().unwrap_or(0)
    }

    /// Reports of all outcomes.
    pub fn reports(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// A page for people.
    pub fn page(&self, state: &str) -> String {
        let mut body = String::from(
            "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>\
             <title>radstream</title><style>body{font:16px system-ui;margin:2rem;max-width:60rem}\
             table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right}\
             td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f6f8}\
             </style><h1>radstream</h1>",
        );
        let seconds = self.busy.unwrap_or(self.elapsed).as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
        let rate = self.labelled() as f64 / seconds;
        // Writing to a String cannot fail.
        write!(
            body,
            "<p>{state} &middot; {} records &middot; {} reports labelled &middot; {rate:.0} reports/s \
             &middot; {} escalated &middot; latency p50 {} ms, p99 {} ms</p>",
            self.records,
            self.labelled(),
            self.escalated,
            self.latency_ms.value_at_quantile(0.5),
            self.latency_ms.value_at_quantile(0.99),
        ).ok();
        if !self.model.is_empty() {
            // From a manifest, which anybody may have written.
            let model = self.model.replace('&', "&amp;").replace('<', "&lt;");
            write!(body, "<p>model {model}").ok();
            if self.model_refused {
                body.push_str("; <b>the model that should follow it was refused, see the log</b>");
            }
            if let Some(drift) = &self.drift {
                write!(body, " &middot; most drift in {drift}").ok();
            }
            body.push_str("</p>");
        }
        body.push_str("<h2>Outcomes</h2><table>");
        for (name, count) in &self.outcomes {
            write!(body, "<tr><td>{name}<td>{count}").ok();
        }
        body.push_str("</table><h2>Findings</h2><table><tr><th>observation");
        for status in FindingStatus::ALL {
            write!(body, "<th>{}", status.name().replace('_', " ")).ok();
        }
        for (observation, row) in Observation::ALL.iter().zip(&self.cells) {
            write!(body, "<tr><td>{}", observation.title()).ok();
            for count in row {
                write!(body, "<td>{count}").ok();
            }
        }
        body.push_str("</table><p>Metrics: <a href=/metrics>/metrics</a></p>");
        body
    }
}

/// Running counts.
#[derive(Debug)]
pub struct Totals {
    origin: Instant,
    first: OnceLock<Instant>,
    state: Mutex<Snapshot>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            first: OnceLock::new(),
            state: Mutex::new(Snapshot {
                elapsed: Duration::ZERO,
                busy: None,
                records: 0,
                outcomes: BTreeMap::new(),
                cells: [[0; STATUSES]; OBSERVATIONS],
                no_finding: 0,
                escalated: 0,
                reasons: BTreeMap::new(),
                dead_letters: BTreeMap::new(),
                latency_ms: Histogram::new_with_max(MAX_LATENCY_MS, 2)
                    .expect("bounds of the latency histogram are constants"),
                model: String::new(),
                model_refused: false,
                drift: None,
            }),
        }
    }
}

impl Totals {
    /// A record was committed with these outcomes, `latency` after its timestamp.
    pub fn committed(&self, outcomes: &[Outcome], latency: Option<Duration>) {
        let first = self.first.get_or_init(Instant::now);
        let mut state = self.state.lock();
        state.records += 1;
        state.busy = Some(first.elapsed());
        if let Some(latency) = latency {
            let ms = u64::try_from(latency.as_millis()).unwrap_or(MAX_LATENCY_MS);
            state.latency_ms.saturating_record(ms.min(MAX_LATENCY_MS));
        }
        for outcome in outcomes {
            *state.outcomes.entry(outcome.name).or_default() += 1;
            if let Some(class) = outcome.dead_letter {
                *state.dead_letters.entry(class).or_default() += 1;
            }
            if outcome.escalated {
                state.escalated += 1;
                for reason in &outcome.reasons {
                    *state.reasons.entry(reason).or_default() += 1;
                }
            }
            if let Some(labels) = &outcome.labels {
                if crate::report::no_finding(labels) == FindingStatus::Positive {
                    state.no_finding += 1;
                }
                for (row, status) in state.cells.iter_mut().zip(labels) {
                    let column = FindingStatus::ALL.iter().position(|s| s == status);
                    if let Some(count) = column.and_then(|column| row.get_mut(column)) {
                        *count += 1;
                    }
                }
            }
        }
    }

    /// This model is in service.
    pub fn set_model(&self, name: &str, version: &str) {
        self.state.lock().model = format!("{name} {version}");
    }

    /// The figure that has drifted most.
    pub fn set_drift(&self, drift: Option<String>) {
        self.state.lock().drift = drift;
    }

    /// A model that should follow was refused, or is no longer wanted.
    pub fn set_refused(&self, refused: bool) {
        self.state.lock().model_refused = refused;
    }

    /// The counts now.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.state.lock().clone();
        snapshot.elapsed = self.origin.elapsed();
        snapshot
    }

    /// Input records committed so far.
    pub fn records(&self) -> u64 {
        self.state.lock().records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_outcomes_add_up() {
        let totals = Totals::default();
        let mut labels: Labels = [FindingStatus::NotMentioned; OBSERVATIONS];
        labels[9] = FindingStatus::Positive;
        let labelled = Outcome { labels: Some(labels), ..Outcome::plain("labelled") };
        totals.committed(&[labelled, Outcome::plain("skipped_not_chest")], None);
        totals.committed(&[], Some(Duration::from_millis(40)));
        let snapshot = totals.snapshot();
        assert_eq!(snapshot.records, 2);
        assert_eq!(snapshot.reports(), 2);
        assert_eq!(snapshot.cells[9], [0, 1, 0, 0]);
        assert_eq!(snapshot.no_finding, 0);
        assert!(snapshot.page("ready").contains("skipped_not_chest"));
    }
}
