//! Who labels, from settings: the student or the rules, the model that may follow, a shadow.

use std::path::Path;
use std::time::Duration;

use crate::config::{self, Labeler, Routing, Settings};
use crate::drift::reference::REFERENCE_FILE;
use crate::drift::{self, Counts};
use crate::pipeline::drift::DriftMonitor;
use crate::pipeline::engine::Engine;
use crate::pipeline::generation::Generation;
use crate::pipeline::shadow::{ShadowModel, ShadowOptions};
use crate::pipeline::swap::Watch;
use crate::report::OBSERVATIONS;
use crate::route::RoutePolicy;
use crate::student::labeler::Labeler as _;
use crate::student::rules::RuleLabeler;
use crate::student::single::Single;
use crate::student::version::Version;
use crate::student::{Device, Student, StudentError, StudentOptions};

/// A labeller that is ready, and how to notice the next one.
pub struct Loaded {
    /// Who labels.
    pub generation: Generation,
    /// Looks for another model; `None` where it stays the same.
    pub watch: Option<Watch>,
}

/// Loads and self-tests the labeller that the settings name.
///
/// # Errors
/// The model, the runtime or the provider cannot be used.
pub fn load_labeler(settings: &Settings) -> Result<Loaded, StudentError> {
    match settings.student.labeler {
        Labeler::Rules => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let sessions = match settings.student.sessions {
                0 => cores,
                sessions => sessions,
            };
            let model = RuleLabeler::new().model().clone();
            let policy = policy(&settings.routing, [0.0; OBSERVATIONS], None);
            let memory = score_memory_bytes(settings);
            let generation = Generation::new(Engine::rules(sessions), model, policy, memory);
            Ok(Loaded { generation, watch: None })
        }
        Labeler::Student => {
            // Looked at before it is loaded: what changes meanwhile is noticed at the next look.
            let in_service = Version::look(&settings.student.model);
            let generation = load_student(settings, &settings.student.model)?;
            let interval = Duration::from_secs(settings.student.watch_interval_s);
            let again = settings.clone();
            let watch = (!interval.is_zero()).then(|| Watch {
                interval,
                folder: settings.student.model.clone(),
                in_service,
                load: Box::new(move |folder| load_student(&again, folder)),
            });
            Ok(Loaded { generation, watch })
        }
    }
}

/// Loads and self-tests the student of a folder.
fn load_student(settings: &Settings, folder: &Path) -> Result<Generation, StudentError> {
    let options = StudentOptions { model: folder.to_path_buf(), ..student_options(settings) };
    let student = Student::load(&options)?;
    let model = student.identity().clone();
    // As measured on held-out reports when the thresholds were chosen.
    let doubtful = student.manifest().calibration.get("reports_escalated");
    let doubtful_share = doubtful.and_then(serde_json::Value::as_f64);
    let policy = policy(&settings.routing, *student.thresholds(), doubtful_share);
    let reference = reference(settings, folder, &model.sha256);
    let memory = score_memory_bytes(settings);
    let mut generation = Generation::new(Engine::student(student), model, policy, memory);
    generation.drift =
        reference.map(|reference| DriftMonitor::new(reference, settings.drift.window));
    Ok(generation)
}

/// What drift is measured against; `None` where nothing is. A reference that cannot be used is told, and
/// no reason not to label.
fn reference(settings: &Settings, folder: &Path, model_sha256: &str) -> Option<Counts> {
    if settings.drift.window == 0 {
        return None;
    }
    let path = folder.join(REFERENCE_FILE);
    let problem = match std::fs::read(&path) {
        Ok(text) => match drift::reference::read(&text, model_sha256) {
            Ok(reference) => return Some(reference),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    tracing::warn!(
        path = %path.display(),
        problem,
        "drift is not measured; make the file again with `radstream drift reference`"
    );
    None
}

/// The second model, where the settings name one.
pub fn shadow_options(settings: &Settings) -> Option<ShadowOptions> {
    let shadow = &settings.shadow;
    if shadow.model.as_os_str().is_empty() {
        return None;
    }
    let model = shadow.model.clone();
    let options = StudentOptions { model, sessions: 1, ..student_options(settings) };
    let load = move || {
        let student = Student::load(&options)?;
        let model = student.identity().clone();
        let mut single = Single::new(student)?;
        Ok(ShadowModel { model, label: Box::new(move |text| single.label(text)) })
    };
    Some(ShadowOptions { share: shadow.share, load: Box::new(load) })
}

/// Bytes for remembered answers.
pub fn score_memory_bytes(settings: &Settings) -> usize {
    usize::try_from(settings.student.remember_mib << 20).unwrap_or(usize::MAX)
}

/// Settings of the student as its loader wants them.
pub fn student_options(settings: &Settings) -> StudentOptions {
    let student = &settings.student;
    let runtime = &student.onnxruntime;
    StudentOptions {
        model: student.model.clone(),
        onnxruntime: (!runtime.as_os_str().is_empty()).then(|| runtime.clone()),
        device: match student.device {
            config::Device::Cpu => Device::Cpu,
            config::Device::Cuda => Device::Cuda { device_id: student.device_id },
        },
        sessions: student.sessions,
        batch_tokens: student.batch_tokens,
    }
}

/// When to escalate, for a model with these thresholds. `doubtful_share`: share of reports that they
/// doubt; `None` when the model does not say.
#[expect(clippy::cast_possible_truncation, reason = "a threshold between 0 and 1")]
pub fn policy(
    routing: &Routing,
    thresholds: [f32; OBSERVATIONS],
    doubtful_share: Option<f64>,
) -> RoutePolicy {
    let own = routing.min_confidence.map(|confidence| [confidence as f32; OBSERVATIONS]);
    RoutePolicy {
        escalate: routing.escalate,
        thresholds: own.unwrap_or(thresholds),
        audit_rate: routing.audit_rate,
        max_escalation_rate: routing.max_escalation_rate,
        max_tokens_per_word: routing.max_tokens_per_word,
        max_rule_conflicts: routing.max_rule_conflicts,
        // With a threshold of the user's own, the model's share says nothing.
        doubtful_share: match own {
            Some(_) => 1.0,
            None => doubtful_share.unwrap_or(1.0),
        },
    }
}
