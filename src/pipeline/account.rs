//! What was committed, counted; and when dead letters are too many.

use std::collections::VecDeque;
use std::time::Duration;

use crate::broker::ledger::PrefixEnd;
use crate::report::{Observation, Warning};
use crate::telemetry::names;
use crate::telemetry::totals::{Outcome, Totals};

use super::flight::Finished;
use super::{StageError, unix_ms};

/// How many records the dead-letter ratio looks back on.
const DEAD_LETTER_WINDOW: usize = 10_000;

/// When dead letters are too many.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterLimits {
    /// Share of the last 10,000 records; 1 never stops.
    pub ratio: f64,
    /// In a row.
    pub consecutive: u64,
}

/// Counts committed records, in the metrics and in the process's own totals.
#[expect(clippy::cast_precision_loss, reason = "metrics for reading")]
pub(super) fn count(stage: &'static str, done: &[Finished], ends: &[PrefixEnd], totals: &Totals) {
    let now = unix_ms();
    metrics::histogram!(names::TRANSACTION_RECORDS).record(done.len() as f64);
    for end in ends {
        metrics::gauge!(
            names::PARTITION_LAST_PROGRESS_TIMESTAMP_SECONDS,
            "topic" => end.partition.topic.to_string(),
            "partition" => end.partition.partition.to_string()
        )
        .set(now as f64 / 1000.0);
    }
    for finished in done {
        let latency = finished
            .timestamp_ms
            .map(|at| Duration::from_millis(u64::try_from(now.saturating_sub(at)).unwrap_or(0)));
        if let Some(latency) = latency {
            metrics::histogram!(names::END_TO_END_LATENCY_SECONDS, "stage" => stage)
                .record(latency.as_secs_f64());
        }
        for outgoing in &finished.outgoing {
            metrics::counter!(names::OUTPUT_RECORDS_TOTAL, "topic" => outgoing.topic.name())
                .increment(1);
        }
        finished.outcomes.iter().for_each(count_outcome);
        totals.committed(&finished.outcomes, latency);
    }
}

fn count_outcome(outcome: &Outcome) {
    metrics::counter!(names::OUTCOMES_TOTAL, "outcome" => outcome.name).increment(1);
    if let Some(class) = outcome.dead_letter {
        metrics::counter!(names::DEAD_LETTERS_TOTAL, "class" => class).increment(1);
        if outcome.stage == Some("decode") {
            metrics::counter!(names::PARSE_FAILURES_TOTAL, "class" => class).increment(1);
        }
    }
    if let Some(profile) = &outcome.profile {
        // Names come from the configuration, never from a message.
        metrics::counter!(names::PROFILE_REPORTS_TOTAL, "profile" => profile.to_string())
            .increment(1);
    }
    for warning in &outcome.warnings {
        metrics::counter!(names::WARNINGS_TOTAL, "warning" => warning.name()).increment(1);
        if *warning == Warning::TextTruncated {
            metrics::counter!(names::TEXT_TRUNCATED_TOTAL).increment(1);
        }
    }
    if let Some(labels) = &outcome.labels {
        for (observation, status) in Observation::ALL.iter().zip(labels) {
            metrics::counter!(
                names::FINDINGS_TOTAL,
                "observation" => observation.name(), "status" => status.name()
            )
            .increment(1);
        }
        let route = if outcome.escalated {
            "escalate"
        } else if outcome.reasons.is_empty() {
            "accept"
        } else {
            "withhold"
        };
        let reason = outcome.reasons.first().copied().unwrap_or("confident");
        metrics::counter!(names::DECISIONS_TOTAL, "route" => route, "reason" => reason)
            .increment(1);
    }
}

/// The last records: dead letters or not.
#[derive(Default)]
pub(super) struct Window {
    last: VecDeque<bool>,
    dead: usize,
    consecutive: u64,
}

impl Window {
    pub(super) fn push(&mut self, dead: bool) {
        self.consecutive = if dead { self.consecutive + 1 } else { 0 };
        self.last.push_back(dead);
        self.dead += usize::from(dead);
        if self.last.len() > DEAD_LETTER_WINDOW && self.last.pop_front() == Some(true) {
            self.dead -= 1;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "at most ten thousand")]
    pub(super) fn check(&self, limits: DeadLetterLimits) -> Result<(), StageError> {
        if limits.ratio >= 1.0 {
            return Ok(());
        }
        let full = self.last.len() >= DEAD_LETTER_WINDOW;
        let over = full && self.dead as f64 > limits.ratio * self.last.len() as f64;
        if over || self.consecutive >= limits.consecutive {
            return Err(StageError::TooManyDeadLetters {
                dead: self.dead,
                of: self.last.len(),
                consecutive: self.consecutive,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DeadLetterLimits = DeadLetterLimits { ratio: 0.05, consecutive: 500 };

    #[test]
    fn every_warning_is_counted_under_its_name() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let outcome =
            Outcome { warnings: Warning::ALL.to_vec(), ..Outcome::plain("skipped_no_text") };
        metrics::with_local_recorder(&recorder, || {
            count_outcome(&outcome);
            count_outcome(&outcome);
        });
        let scraped = recorder.handle().render();
        for warning in Warning::ALL {
            let line = format!("{}{{warning=\"{}\"}} 2", names::WARNINGS_TOTAL, warning.name());
            assert!(scraped.contains(&line), "{line} in\n{scraped}");
        }
    }

    #[test]
    fn reports_are_counted_under_the_profile_that_read_them_and_only_those() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let profile = Some("north_ris".into());
        metrics::with_local_recorder(&recorder, || {
            count_outcome(&Outcome { profile, ..Outcome::plain("labelled") });
            count_outcome(&Outcome::plain("labelled"));
        });
        let scraped = recorder.handle().render();
        let line = format!("{}{{profile=\"north_ris\"}} 1", names::PROFILE_REPORTS_TOTAL);
        assert!(scraped.contains(&line), "{line} in\n{scraped}");
        assert_eq!(scraped.matches(names::PROFILE_REPORTS_TOTAL).count(), 2, "a type and a value");
    }

    #[test]
    fn a_few_dead_letters_are_normal() {
        let mut window = Window::default();
        for n in 0..30_000 {
            window.push(n % 25 == 0);
        }
        assert!(window.check(LIMITS).is_ok(), "4 %");
    }

    #[test]
    fn too_many_in_the_window_or_in_a_row_stop_the_process() {
        let mut window = Window::default();
        for n in 0..10_000 {
            window.push(n % 15 == 0);
        }
        assert!(matches!(
            window.check(LIMITS),
            Err(StageError::TooManyDeadLetters { dead: 667, .. })
        ));

        let mut window = Window::default();
        (0..499).for_each(|_| window.push(true));
        assert!(window.check(LIMITS).is_ok());
        window.push(true);
        assert!(window.check(LIMITS).is_err());
        assert!(window.check(DeadLetterLimits { ratio: 1.0, ..LIMITS }).is_ok(), "1.0 never stops");
    }
}
