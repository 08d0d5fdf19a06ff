//! A second model on a share of the reports, for its disagreement alone.
//!
//! In stage label it gets a report after the one in service has labelled it, from a bounded queue that
//! nobody waits for: what does not fit is dropped and counted. It has one session on a thread of its own. Nothing
//! that it says is published, and nothing that befalls it, a panic included, reaches the stage.
//!
//! In stage teach it reads the reports that become training samples ([`Witness`]), and its answer stands in
//! them.

use std::panic::AssertUnwindSafe;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;

use crate::publish::{ModelIdentity, ShadowAnswer, content_hash};
use crate::report::{Labels, Observation, Procedure, ReportText, Scored};
use crate::student::StudentError;
use crate::telemetry::names;

use super::memory::TextHash;

/// Reports that wait for the shadow, at most.
const QUEUE: usize = 64;
/// Longest text that is copied for it, in bytes: with the queue, 4 MiB at most.
const LONGEST: usize = 64 << 10;

/// Labels one report.
pub type Label = Box<dyn FnMut(&ReportText) -> Result<Scored, StudentError> + Send>;
/// Loads the model.
pub type Load = Box<dyn FnOnce() -> Result<ShadowModel, StudentError> + Send>;

/// The model, ready to label.
pub struct ShadowModel {
    /// Who it is.
    pub model: ModelIdentity,
    /// Labels one report.
    pub label: Label,
}

/// What the stage is told of it.
pub struct ShadowOptions {
    /// Share of reports that it gets, 0 to 1.
    pub share: f64,
    /// Loads it, on its own thread.
    pub load: Load,
}

/// A report that was labelled by the model in service.
struct Shadowed {
    text: ReportText,
    labels: Labels,
}

/// Where session threads offer reports.
pub struct Tap {
    share: f64,
    queue: Sender<Shadowed>,
}

/// The other end.
pub struct Reports(Receiver<Shadowed>);

/// A queue for a share of reports.
pub fn tap(share: f64) -> (Tap, Reports) {
    let (queue, reports) = bounded(QUEUE);
    (Tap { share, queue }, Reports(reports))
}

impl Tap {
    /// Offers a report and what was said of it. Never waits.
    ///
    /// Whether it is drawn is a function of its text: a redo draws the same.
    pub fn offer(&self, hash: Option<TextHash>, text: ReportText, labels: Labels) {
        let hash = hash.unwrap_or_else(|| content_hash(&text, &Procedure::default()));
        if ticket(&hash) >= self.share {
            return;
        }
        let bytes: usize = text.sections.iter().map(|part| part.text.expose().len()).sum();
        if bytes > LONGEST {
            count("too_long");
        } else if self.queue.try_send(Shadowed { text, labels }).is_err() {
            // Full, or the shadow could not be loaded.
            count("dropped");
        }
    }
}

/// Uniform in [0, 1) over texts.
#[expect(clippy::cast_precision_loss, reason = "32 bits fit a double exactly")]
fn ticket(hash: &TextHash) -> f64 {
    let [a, b, c, d, ..] = *hash;
    f64::from(u32::from_be_bytes([a, b, c, d])) / (1_u64 << 32) as f64
}

fn count(outcome: &'static str) {
    metrics::counter!(names::SHADOW_REPORTS_TOTAL, "outcome" => outcome).increment(1);
}

/// Loads the shadow and labels what is offered, until the stage's work has ended: `open` is then closed.
/// What waits then is left.
pub fn run(load: Load, reports: &Reports, open: &Receiver<()>) {
    if let Some(mut shadow) = loaded(load) {
        work(&mut shadow, reports, open);
    }
}

/// The model; `None`, and told, when it cannot be loaded.
fn loaded(load: Load) -> Option<ShadowModel> {
    let problem = match std::panic::catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(shadow)) => {
            info(&shadow.model);
            return Some(shadow);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => String::from("loading it panicked; the place is in the log"),
    };
    metrics::gauge!(names::SHADOW_RUNNING).set(0.0);
    tracing::error!(problem, "the shadow model cannot be used; the stage goes on without it");
    None
}

/// The shadow of stage teach. The tasks share its one session; a report takes it milliseconds, a teacher
/// seconds.
pub struct Witness {
    model: ModelIdentity,
    label: Mutex<Label>,
}

impl Witness {
    /// Loads it. Blocks. `None`, and told, when it cannot be loaded.
    pub fn load(load: Load) -> Option<Self> {
        let ShadowModel { model, label } = loaded(load)?;
        Some(Self { model, label: Mutex::new(label) })
    }

    /// What it says of a report that is about to become a sample; `None`, and counted, when it breaks.
    pub fn answer(&self, text: &ReportText) -> Option<ShadowAnswer<'_>> {
        let scored = scored(&mut self.label.lock(), text)?;
        count("sampled");
        Some(ShadowAnswer::new(&self.model, &scored))
    }
}

fn info(model: &ModelIdentity) {
    metrics::gauge!(names::SHADOW_RUNNING).set(1.0);
    metrics::gauge!(
        names::SHADOW_INFO,
        "name" => model.name.clone(),
        "version" => model.version.clone(),
        "sha256" => model.sha256.clone()
    )
    .set(1.0);
    tracing::info!(model = model.name, version = model.version, "a shadow model listens");
}

fn work(shadow: &mut ShadowModel, reports: &Reports, open: &Receiver<()>) {
    loop {
        let report = select! {
            recv(reports.0) -> report => match report {
                Ok(report) => report,
                Err(_) => return,
            },
            recv(open) -> _ => return,
        };
        if let Some(scored) = scored(&mut shadow.label, &report.text) {
            compare(&report.labels, &scored);
        }
    }
}

/// What the model says; `None`, and counted, when it fails or panics.
fn scored(label: &mut Label, text: &ReportText) -> Option<Scored> {
    let scored = std::panic::catch_unwind(AssertUnwindSafe(|| label(text)));
    let scored = scored.ok().and_then(Result::ok);
    if scored.is_none() {
        count("failed");
    }
    scored
}

fn compare(ours: &Labels, scored: &Scored) {
    count("scored");
    for ((observation, ours), row) in
        Observation::ALL.into_iter().zip(ours).zip(&scored.probabilities)
    {
        let (theirs, _) = crate::route::choose(row);
        metrics::counter!(
            names::SHADOW_CELLS_TOTAL,
            "observation" => observation.name(),
            "status" => ours.name(),
            "shadow_status" => theirs.name()
        )
        .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FindingStatus, LabelledSection, OBSERVATIONS, Phi, SectionKind};
    use crate::student::rules::RuleLabeler;

    fn text(words: &str) -> ReportText {
        let sections =
            vec![LabelledSection { kind: SectionKind::Impression, text: Phi::from(words) }];
        ReportText { sections, present: Vec::new() }
    }

    const NONE: Labels = [FindingStatus::NotMentioned; OBSERVATIONS];

    fn rules() -> ShadowModel {
        let rules = RuleLabeler::new();
        let model = ModelIdentity { name: "s".into(), version: "1".into(), sha256: "00".into() };
        ShadowModel {
            model,
            label: Box::new(move |text| {
                assert!(!text.sections[0].text.expose().contains("panic"), "told to");
                Ok(rules.label(text))
            }),
        }
    }

    #[test]
    fn about_the_share_is_drawn_and_always_the_same() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (tap, reports) = tap(0.05);
            let drawn = |number: usize| {
                tap.offer(None, text(&format!("Nodule number {number}.")), NONE);
                reports.0.try_recv().is_ok()
            };
            let first: Vec<bool> = (0..4_000).map(drawn).collect();
            let count = first.iter().filter(|drawn| **drawn).count();
            // Binomial, 4,000 at 0.05: 200, standard deviation 13.8.
            assert!((140..=260).contains(&count), "{count}");
            assert_eq!((0..4_000).map(drawn).collect::<Vec<_>>(), first);
        });
    }

    #[test]
    fn a_full_queue_and_a_long_text_are_dropped_and_counted() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (tap, _reports) = tap(1.0);
            for number in 0..QUEUE + 3 {
                tap.offer(None, text(&format!("Nodule {number}.")), NONE);
            }
            tap.offer(None, text(&"a".repeat(LONGEST + 1)), NONE);
            let shown = recorder.handle().render();
            assert!(shown.contains("outcome=\"dropped\"} 3"), "{shown}");
            assert!(shown.contains("outcome=\"too_long\"} 1"), "{shown}");
        });
    }

    #[test]
    fn disagreement_is_counted_by_cell_and_a_panic_costs_one_report() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (tap, reports) = tap(1.0);
            for words in ["Right pneumothorax.", "panic", "Pneumothorax on the left."] {
                tap.offer(None, text(words), NONE);
            }
            drop(tap);
            let (_open, open) = bounded(0);
            run(Box::new(|| Ok(rules())), &reports, &open);
            let shown = recorder.handle().render();
            assert!(shown.contains("outcome=\"scored\"} 2"), "{shown}");
            assert!(shown.contains("outcome=\"failed\"} 1"), "{shown}");
            let cell = "observation=\"pneumothorax\",status=\"not_mentioned\",shadow_status=\"positive\"} 2";
            assert!(shown.contains(cell), "{shown}");
            assert!(shown.contains("radstream_shadow_running 1"), "{shown}");
        });
    }

    #[test]
    fn a_shadow_that_cannot_be_loaded_leaves_the_stage_alone() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (tap, reports) = tap(1.0);
            let (_open, open) = bounded(0);
            let missing = || Err(StudentError::ModelMissing { path: "x".into() });
            run(Box::new(missing), &reports, &open);
            drop(reports);
            tap.offer(None, text("Nodule."), NONE);
            let shown = recorder.handle().render();
            assert!(shown.contains("radstream_shadow_running 0"), "{shown}");
            assert!(shown.contains("outcome=\"dropped\"} 1"), "{shown}");
        });
    }

    #[test]
    fn a_witness_answers_for_all_observations_and_a_panic_costs_one_answer() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let witness = Witness::load(Box::new(|| Ok(rules()))).unwrap();
            assert!(witness.answer(&text("panic")).is_none());
            let answer = witness.answer(&text("Right pneumothorax.")).unwrap();
            assert_eq!(answer.model.version, "1");
            let names: Vec<&str> = answer.labels.iter().map(|l| &*l.observation).collect();
            assert_eq!(names, Observation::ALL.map(Observation::name));
            let of = |name| answer.labels.iter().find(|l| l.observation == name).unwrap();
            assert_eq!(of("pneumothorax").status, "positive");
            assert_eq!(of("edema").status, "not_mentioned");
            let shown = recorder.handle().render();
            assert!(shown.contains("outcome=\"sampled\"} 1"), "{shown}");
            assert!(shown.contains("outcome=\"failed\"} 1"), "{shown}");
            // Samples are no share of the traffic: their cells are not in the share's counts.
            assert!(!shown.contains("radstream_shadow_cells_total"), "{shown}");
            let missing = || Err(StudentError::ModelMissing { path: "x".into() });
            assert!(Witness::load(Box::new(missing)).is_none());
        });
    }

    #[test]
    fn it_ends_with_the_stage_and_leaves_what_waits() {
        let (tap, reports) = tap(1.0);
        let (open_in, open) = bounded(0);
        drop(open_in);
        run(Box::new(|| Ok(rules())), &reports, &open);
        tap.offer(None, text("Nodule."), NONE);
    }
}
