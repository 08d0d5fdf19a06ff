//! What a model labels held against its reference, as metrics: [`crate::drift`] on the move.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::drift::{ACT, Counts, Drift, Observed, WATCH, Window, compare, worst};
use crate::telemetry::names;
use crate::telemetry::totals::Totals;

/// Watches the reports of one model.
pub struct DriftMonitor {
    reference: Counts,
    window: Mutex<Window>,
    retired: AtomicBool,
}

impl DriftMonitor {
    /// Compares windows of about `reports` reports with `reference`.
    pub fn new(reference: Counts, reports: u64) -> Self {
        Self {
            reference,
            window: Mutex::new(Window::new(reports)),
            retired: AtomicBool::new(false),
        }
    }

    /// Notes a labelled report, and shows how far the window has drifted when it is full again.
    pub fn note(&self, report: &Observed, totals: &Totals) {
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        let Some(window) = self.window.lock().add(report) else { return };
        let drifts = compare(&self.reference, &window);
        drifts.iter().for_each(|drift| show(drift.figure, drift.observation_name(), drift.psi));
        #[expect(clippy::cast_precision_loss, reason = "a gauge for reading")]
        metrics::gauge!(names::DRIFT_REPORTS).set(window.reports as f64);
        totals.set_drift(worst(&drifts).as_ref().map(sentence));
    }
}

impl DriftMonitor {
    /// Another model is in service: the reports that are still this one's show nothing any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// Nothing is known yet of the model that comes into service.
pub(super) fn forget(totals: &Totals) {
    let empty = Counts::default();
    for drift in compare(&empty, &empty) {
        show(drift.figure, drift.observation_name(), f64::NAN);
    }
    metrics::gauge!(names::DRIFT_REPORTS).set(0.0);
    totals.set_drift(None);
}

fn show(figure: &'static str, observation: &'static str, psi: f64) {
    metrics::gauge!(names::DRIFT_PSI, "figure" => figure, "observation" => observation).set(psi);
}

fn sentence(drift: &Drift) -> String {
    let what = [drift.figure, drift.observation_name()].join(" ");
    let reading = match drift.psi {
        ACT.. => " (shifted)",
        WATCH.. => " (look)",
        _ => "",
    };
    format!("{}: {:.2}{reading}", what.trim(), drift.psi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FindingStatus, OBSERVATIONS, Observation};

    #[test]
    fn metrics_and_page_show_the_drift_of_a_full_window_and_forget_it_with_the_model() {
        let report = |status| {
            let mut labels = [FindingStatus::NotMentioned; OBSERVATIONS];
            labels[Observation::Edema as usize] = status;
            let (confidence, tokens, tokens_per_word) = (0.95, 40, 1.15);
            Observed { labels, confidence, tokens, tokens_per_word, doubted: false }
        };
        let mut reference = Counts::default();
        (0..200).for_each(|_| reference.add(&report(FindingStatus::NotMentioned)));
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (monitor, totals) = (DriftMonitor::new(reference, 20), Totals::default());
            totals.set_model("m", "1");
            let series = "radstream_drift_psi{figure=\"labels\",observation=\"edema\"}";
            for n in 0..20 {
                assert!(!recorder.handle().render().contains(series), "after {n} reports");
                monitor.note(&report(FindingStatus::Positive), &totals);
            }
            let shown = recorder.handle().render();
            assert!(shown.contains("radstream_drift_reports 20"), "{shown}");
            // 1 -> 0.0001 and 0.0001 -> 1: twice 0.9999 ln 10000
            let value = shown.lines().find_map(|line| line.strip_prefix(series)).unwrap();
            let value: f64 = value.trim().parse().unwrap();
            assert!((value - 18.418_838).abs() < 1e-5, "{value}");
            assert!(totals.snapshot().page("ready").contains("labels edema: 18.42 (shifted)"));
            forget(&totals);
            let shown = recorder.handle().render();
            assert!(shown.contains(&format!("{series} NaN")), "{shown}");
            assert!(!totals.snapshot().page("ready").contains("edema: "));
        });
    }
}
