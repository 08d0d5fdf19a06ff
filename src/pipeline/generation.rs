//! Who labels, and how one labeller takes over from another while reports flow.
//!
//! A [`Generation`] is everything about labelling that must be the same for a report from its token
//! ids to its finding: tokenizer, sessions, thresholds, name, remembered answers. Each task carries
//! the generation that it was tokenised for, so nothing of two models can meet in one report or one
//! batch, and a generation is freed with the last task that it was for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::Gauge;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::publish::ModelIdentity;
use crate::route::RoutePolicy;
use crate::student::bucket::Buckets;
use crate::telemetry::names;
use crate::telemetry::totals::Totals;

use super::drift::{self, DriftMonitor};
use super::engine::{Encode, Engine, Score};
use super::memory::ScoreMemory;

/// Generations of this process are numbered in the order in which they were made.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// One loaded labeller with all that goes with it.
pub struct Generation {
    /// Later ones have greater numbers.
    pub number: u64,
    /// Who it is, as written on every finding.
    pub model: ModelIdentity,
    /// When to escalate, with its own thresholds.
    pub policy: RoutePolicy,
    /// Watches its reports; `None` where there is nothing to hold them against.
    pub drift: Option<DriftMonitor>,
    /// What it said before. A memory of its own: scores of two models must not meet.
    pub memory: ScoreMemory,
    /// Batches that it has labelled.
    batches: AtomicU64,
    buckets: Vec<usize>,
    batch_tokens: usize,
    encoder: Mutex<Box<dyn Encode>>,
    sessions: Vec<Mutex<Box<dyn Score>>>,
    // Last, since fields are dropped in their order: it counts down when the sessions are gone.
    _alive: Alive,
}

impl Generation {
    /// `memory_bytes`: for remembered answers; 0: none.
    pub fn new(
        engine: Engine,
        model: ModelIdentity,
        policy: RoutePolicy,
        memory_bytes: usize,
    ) -> Self {
        let sessions: Vec<_> = engine.sessions.into_iter().map(Mutex::new).collect();
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            model,
            policy,
            drift: None,
            memory: ScoreMemory::new(memory_bytes),
            batches: AtomicU64::new(0),
            buckets: engine.buckets,
            batch_tokens: engine.batch_tokens,
            encoder: Mutex::new(engine.encoder),
            _alive: Alive::new(sessions.len()),
            sessions,
        }
    }

    /// A tokenizer for one thread.
    pub fn encoder(&self) -> Box<dyn Encode> {
        self.encoder.lock().another()
    }

    /// Counts a batch that was labelled.
    pub fn note_batch(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Batches labelled so far.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The session of a session thread; each thread has its own, so that none waits. `None` for an
    /// engine without sessions.
    pub fn session(&self, thread: usize) -> Option<MutexGuard<'_, Box<dyn Score>>> {
        let own = thread.checked_rem(self.sessions.len())?;
        self.sessions.get(own).map(Mutex::lock)
    }

    /// Empty queues that suit it.
    pub fn queues<T>(&self, max_age: Duration) -> Buckets<T> {
        Buckets::new(&self.buckets, self.batch_tokens, max_age, 0)
    }
}

/// Counts sessions in memory.
struct Alive {
    gauge: Gauge,
    sessions: f64,
}

impl Alive {
    #[expect(clippy::cast_precision_loss, reason = "a gauge for reading")]
    fn new(sessions: usize) -> Self {
        let alive =
            Self { gauge: metrics::gauge!(names::MODEL_SESSIONS), sessions: sessions as f64 };
        alive.gauge.increment(alive.sessions);
        alive
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.gauge.decrement(self.sessions);
    }
}

/// The generation in service: the one that reports are tokenised for from now on.
pub struct Service {
    current: RwLock<Arc<Generation>>,
}

impl Service {
    /// Puts the first one into service.
    pub fn new(first: Generation, totals: &Totals) -> Self {
        introduce(&first, totals);
        Self { current: RwLock::new(Arc::new(first)) }
    }

    /// The one in service. Whoever keeps it keeps its sessions in memory: hold it for a piece of
    /// work, never while waiting for the next.
    pub fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read())
    }

    /// Puts another into service; reports that were tokenised for the old one are labelled by it. Gives
    /// what is left of the old one.
    pub fn switch(&self, next: Generation, totals: &Totals) -> Weak<Generation> {
        // Before it labels: what follows is of it.
        let before = self.current();
        info(&before.model, 0.0);
        if let Some(monitor) = &before.drift {
            monitor.retire();
        }
        drop(before);
        introduce(&next, totals);
        let old = std::mem::replace(&mut *self.current.write(), Arc::new(next));
        metrics::counter!(names::MODEL_SWAPS_TOTAL).increment(1);
        Arc::downgrade(&old)
    }
}

/// A thread's encoder, made anew when it meets another generation. It keeps no generation alive.
#[derive(Default)]
pub struct ThreadEncoder {
    made: Option<(u64, Box<dyn Encode>)>,
}

impl ThreadEncoder {
    /// The encoder of this generation.
    pub fn of(&mut self, generation: &Generation) -> &mut dyn Encode {
        if self.made.as_ref().is_some_and(|(number, _)| *number != generation.number) {
            // Before the next is made: one tokenizer a thread is enough.
            self.made = None;
        }
        let make = || (generation.number, generation.encoder());
        self.made.get_or_insert_with(make).1.as_mut()
    }
}

/// Metrics and page name the model; what was known of the one before no longer holds.
fn introduce(generation: &Generation, totals: &Totals) {
    info(&generation.model, 1.0);
    let watched = if generation.drift.is_some() { 1.0 } else { 0.0 };
    metrics::gauge!(names::DRIFT_REFERENCE).set(watched);
    totals.set_model(&generation.model.name, &generation.model.version);
    drift::forget(totals);
}

fn info(model: &ModelIdentity, value: f64) {
    metrics::gauge!(
        names::MODEL_INFO,
        "name" => model.name.clone(),
        "version" => model.version.clone(),
        "sha256" => model.sha256.clone()
    )
    .set(value);
}

#[cfg(test)]
impl Generation {
    /// The rules on two sessions, under a version, never escalating.
    pub(crate) fn of_rules(version: &str, memory_bytes: usize) -> Self {
        let model =
            ModelIdentity { name: "rules".into(), version: version.into(), sha256: "00".into() };
        let policy = RoutePolicy {
            escalate: false,
            thresholds: [0.0; crate::report::OBSERVATIONS],
            audit_rate: 0.0,
            max_escalation_rate: 1.0,
            doubtful_share: 1.0,
            max_tokens_per_word: 0.0,
            max_rule_conflicts: None,
        };
        Self::new(Engine::rules(2), model, policy, memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_one_lives_as_long_as_its_last_holder_and_metrics_name_the_new_one() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let totals = Totals::default();
            let service = Service::new(Generation::of_rules("1", 0), &totals);
            let task = service.current();
            let mut encoder = ThreadEncoder::default();
            encoder.of(&task);
            let old = service.switch(Generation::of_rules("2", 0), &totals);
            let shown = recorder.handle().render();
            assert!(shown.contains("radstream_model_sessions 4"), "both in memory:\n{shown}");
            assert!(shown.contains("version=\"1\",sha256=\"00\"} 0"), "{shown}");
            assert!(shown.contains("version=\"2\",sha256=\"00\"} 1"), "{shown}");
            assert!(shown.contains("radstream_model_swaps_total 1"), "{shown}");
            assert!(shown.contains("radstream_drift_reference 0"), "{shown}");
            assert!(old.upgrade().is_some_and(|old| old.number < service.current().number));
            drop(task);
            assert!(old.upgrade().is_none(), "a thread's encoder keeps no sessions");
            let shown = recorder.handle().render();
            assert!(shown.contains("radstream_model_sessions 2"), "{shown}");
        });
    }

    #[test]
    fn session_threads_never_share_a_session_while_there_is_one_each() {
        let generation = Generation::of_rules("1", 0);
        let first = generation.session(0).unwrap();
        assert!(generation.session(1).is_some(), "it would wait for ever for the same one");
        drop(first);
        assert!(generation.session(2).is_some(), "a thread too many shares");
    }
}
