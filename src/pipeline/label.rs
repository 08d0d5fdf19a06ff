//! Session threads: a micro-batch through the student, then route and encode each report.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use crate::broker::Ticket;
use crate::decode::DecodeOptions;
use crate::drift::{Observed, least};
use crate::publish::{EncodeError, Identity, Labelled, Publisher};
use crate::report::Scored;
use crate::route::{Decision, Hints, decide, draw_of};
use crate::student::StudentError;
use crate::student::bucket::Batch;
use crate::student::rules::RuleLabeler;
use crate::telemetry::names;
use crate::telemetry::totals::{Outcome, Totals};

use super::engine::Score;
use super::flight::{Finished, Part};
use super::generation::Generation;
use super::letters::{Failure, Letters};
use super::prepare::{Task, source};
use super::shadow::Tap;
use super::stop::{Mode, Stop};
use super::unix_ms;

/// What session threads share, whoever labels.
pub struct Labeling {
    /// Makes the messages.
    pub publisher: Arc<Publisher>,
    /// How records were decoded: what else the message of an escalated report says of people is read
    /// then.
    pub decode: DecodeOptions,
    /// The rules, where the policy asks them too.
    pub rules: Option<RuleLabeler>,
    /// Makes dead letters.
    pub letters: Letters,
    /// Brake.
    pub pace: Pace,
    /// A second model listens here.
    pub shadow: Option<Tap>,
    /// For the page.
    pub totals: Arc<Totals>,
}

/// Runs until the batches end, as session thread number `thread`. Asks for the next batch before it
/// runs the one at hand. What is not `ours` any more is not labelled.
pub fn run(
    labeling: &Labeling,
    (thread, ours): (usize, &dyn Fn(&Ticket) -> bool),
    wanted: &Sender<()>,
    batches: &Receiver<Batch<Task>>,
    finished: &Sender<Finished>,
    stop: &Stop,
) {
    // Two requests: one batch running, one built ahead.
    if wanted.send(()).is_err() {
        return;
    }
    for batch in batches {
        // The batcher may have ended already; what it sent is still ours to do.
        wanted.try_send(()).ok();
        let (batch, forgone) = forgo(batch, ours);
        for done in forgone.into_iter().chain(labeling.turn(thread, batch, stop)) {
            if finished.send(done).is_err() {
                return;
            }
        }
    }
}

impl Labeling {
    /// Labels a micro-batch with the generation that it was made for, and lets go of that one.
    fn turn(&self, thread: usize, batch: Batch<Task>, stop: &Stop) -> Vec<Finished> {
        let generation = batch.items.first().map(|task| Arc::clone(&task.generation));
        match generation.as_ref().and_then(|generation| generation.session(thread)) {
            Some(mut session) => {
                let finished = self.batch(session.as_mut(), batch, stop);
                generation.iter().for_each(|generation| generation.note_batch());
                finished
            }
            None => {
                let tasks = batch.items.into_iter();
                tasks.filter_map(|task| self.settle(task, Err(None))).collect()
            }
        }
    }

    /// Labels a micro-batch. A text that was labelled before, or stands twice in it, is not run again.
    fn batch(&self, session: &mut dyn Score, batch: Batch<Task>, stop: &Stop) -> Vec<Finished> {
        self.pace.wait(batch.items.len(), stop);
        let bucket = batch.bucket;
        let Recalled { new, mut known, twins } = Self::recall(batch.items);
        let mut finished = self.infer(session, bucket, new);
        // The first copy of a twin has been answered by now. Where that failed, or is forgotten
        // already, each copy is tried for itself.
        let mut again = Vec::new();
        for task in twins {
            match task.text_hash.as_ref().and_then(|key| task.generation.memory.get(key)) {
                Some(scored) => known.push((task, scored)),
                None => again.push(task),
            }
        }
        metrics::counter!(names::REMEMBERED_REPORTS_TOTAL).increment(known.len() as u64);
        let remembered = known.into_iter();
        finished.extend(remembered.filter_map(|(task, scored)| self.settle(task, Ok(&scored))));
        finished.extend(self.infer(session, bucket, again));
        finished
    }

    fn infer(&self, session: &mut dyn Score, bucket: usize, items: Vec<Task>) -> Vec<Finished> {
        if items.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        let result = score(session, &items, bucket);
        metrics::histogram!(names::INFERENCE_DURATION_SECONDS)
            .record(started.elapsed().as_secs_f64());
        self.conclude(session, Batch { bucket, items }, result)
    }

    /// Sorts a micro-batch by what is known of its texts.
    fn recall(items: Vec<Task>) -> Recalled {
        let mut recalled = Recalled::default();
        let mut seen = HashSet::new();
        for mut task in items {
            task.text_hash = task.generation.memory.key(&task.text);
            match task.text_hash {
                None => recalled.new.push(task),
                Some(key) => match task.generation.memory.get(&key) {
                    Some(scored) => recalled.known.push((task, scored)),
                    None if seen.insert(key) => recalled.new.push(task),
                    None => recalled.twins.push(task),
                },
            }
        }
        recalled
    }

    fn conclude(
        &self,
        session: &mut dyn Score,
        batch: Batch<Task>,
        result: Result<Vec<Scored>, Option<StudentError>>,
    ) -> Vec<Finished> {
        let Batch { bucket, items } = batch;
        match result {
            Ok(scored) if scored.len() == items.len() => items
                .into_iter()
                .zip(scored)
                .filter_map(|(task, scored)| {
                    let scored = Arc::new(scored);
                    if let Some(key) = task.text_hash {
                        task.generation.memory.insert(key, Arc::clone(&scored));
                    }
                    self.settle(task, Ok(&scored))
                })
                .collect(),
            _ if items.len() > 1 => {
                // One report may be the cause: each on its own, and only the culprit is lost to us.
                tracing::warn!(
                    reports = items.len(),
                    "a micro-batch failed; its reports are tried one by one"
                );
                let alone = |task| {
                    let single = Batch { bucket, items: vec![task] };
                    let result = score(session, &single.items, bucket);
                    self.conclude(session, single, result)
                };
                items.into_iter().flat_map(alone).collect()
            }
            failed => {
                let mut error = failed.err().flatten();
                items.into_iter().filter_map(|task| self.settle(task, Err(error.take()))).collect()
            }
        }
    }

    /// A report's scores become its outcome and messages.
    fn settle(
        &self,
        task: Task,
        scored: Result<&Scored, Option<StudentError>>,
    ) -> Option<Finished> {
        let letter = |failure| self.letters.part(&task.flight.record, task.part, failure);
        let part = match scored {
            Ok(scored) => {
                let labelled = AssertUnwindSafe(|| self.labelled(&task, scored));
                match std::panic::catch_unwind(labelled) {
                    Ok(Ok(part)) => part,
                    Ok(Err(error)) => letter(Failure::of_encoding(&error)),
                    Err(_) => letter(Failure::at("publish", "panic")),
                }
            }
            Err(error) => {
                let problem = error.map_or_else(String::new, |error| error.to_string());
                tracing::warn!(problem, "the student failed on a report; it becomes a dead letter");
                letter(Failure::at("label", "model"))
            }
        };
        let labels = part.outcome.labels;
        let finished = task.flight.complete(task.part, part);
        if let (Some(tap), Some(labels)) = (&self.shadow, labels) {
            tap.offer(task.text_hash, task.text, labels);
        }
        finished
    }

    /// What the policy wants to know besides the scores. The rules cost time: only if they are wanted.
    fn hints(&self, task: &Task) -> Hints {
        let encoding = task.encoding.as_ref();
        let tokens_per_word = encoding.map_or(0.0, |encoding| encoding.per_word(&task.text));
        let rules = self.rules.as_ref().map(|rules| {
            rules.label(&task.text).probabilities.map(|row| crate::route::choose(&row).0)
        });
        Hints { tokens_per_word, rules }
    }

    fn labelled(&self, task: &Task, scored: &Scored) -> Result<Part, EncodeError> {
        let Generation { model, policy, drift, .. } = &*task.generation;
        let identity = Identity::of(&task.report, &task.text, model);
        let draw = draw_of(&identity.event_id);
        let hints = self.hints(task);
        let decision = decide(scored, &task.report, &hints, policy, draw);
        if let Some(drift) = drift {
            let observed = Observed {
                labels: decision.labels,
                confidence: least(&decision.confidence),
                tokens: task.tokens,
                tokens_per_word: hints.tokens_per_word,
                doubted: decision.doubtful(),
            };
            drift.note(&observed, &self.totals);
        }
        let (withheld, identifiers);
        let source = source(&task.flight.record, task.part);
        let mut labelled = Labelled {
            source: &source,
            report: &task.report,
            text: &task.text,
            scored,
            decision: &decision,
            model,
            identity,
            identifiers: &[],
        };
        let now = unix_ms();
        let mut escalation = None;
        if decision.escalates() {
            let known = task.flight.identifiers(&self.decode);
            identifiers = known.of(task.part, &task.report);
            labelled.identifiers = &identifiers;
            match self.publisher.escalation(labelled, now) {
                Ok(outgoing) => escalation = Some(outgoing),
                // The student's answer fits, its text does not: publish, and say that the doubt
                // stays with us.
                Err(EncodeError::TooLarge { .. }) => {
                    withheld = Decision { withheld: true, ..decision.clone() };
                    labelled.decision = &withheld;
                }
                Err(error) => return Err(error),
            }
        }
        let marker = match &escalation {
            None => self.publisher.escalation_marker(&source, &task.report, now),
            Some(_) => None,
        };
        let findings = self.publisher.findings(labelled, now)?;
        let outcome = Outcome {
            labels: Some(decision.labels),
            reasons: unique(decision.reasons.iter().map(|reason| reason.name())),
            escalated: escalation.is_some(),
            warnings: labelled.warnings(),
            profile: labelled.report.profile.clone(),
            ..Outcome::plain("labelled")
        };
        let outgoing = std::iter::once(findings).chain(escalation).chain(marker).collect();
        Ok(Part { outcome, outgoing })
    }
}

/// Sorts out reports whose partition was given away, or came back anew, while they waited: after a rebalance
/// with a full queue there may be thousands of them before the first of ours. Nothing of them is published,
/// the transaction thread knows their assignment as closed; their next owner labels them.
fn forgo(batch: Batch<Task>, ours: &dyn Fn(&Ticket) -> bool) -> (Batch<Task>, Vec<Finished>) {
    let Batch { bucket, items } = batch;
    let (items, gone): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|task| ours(&task.flight.record.ticket));
    metrics::counter!(names::FORGONE_REPORTS_TOTAL).increment(gone.len() as u64);
    let nothing = || Part { outcome: Outcome::plain("revoked"), outgoing: Vec::new() };
    let forgone = gone.into_iter().filter_map(|task| task.flight.complete(task.part, nothing()));
    (Batch { bucket, items }, forgone.collect())
}

/// A micro-batch, sorted by what is known of its texts.
#[derive(Default)]
struct Recalled {
    /// Not seen before.
    new: Vec<Task>,
    /// Answered before.
    known: Vec<(Task, Arc<Scored>)>,
    /// The same text as one of the new ones.
    twins: Vec<Task>,
}

/// A session's answer; `Err(None)` when it panicked, which must cost one report, not the process.
fn score(
    session: &mut dyn Score,
    batch: &[Task],
    bucket: usize,
) -> Result<Vec<Scored>, Option<StudentError>> {
    std::panic::catch_unwind(AssertUnwindSafe(|| session.score(batch, bucket)))
        .map_err(|_| None)?
        .map_err(Some)
}

fn unique(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

/// A brake: at most so many reports a second over all sessions.
#[derive(Debug)]
pub struct Pace {
    seconds_per_report: Option<f64>,
    next: Mutex<Instant>,
}

impl Pace {
    /// `reports_per_second` 0: no brake.
    pub fn new(reports_per_second: f64) -> Self {
        let limited = reports_per_second > 0.0 && reports_per_second.is_finite();
        Self {
            seconds_per_report: limited.then(|| 1.0 / reports_per_second),
            next: Mutex::new(Instant::now()),
        }
    }

    fn wait(&self, reports: usize, stop: &Stop) {
        let Some(seconds) = self.seconds_per_report else { return };
        let start = {
            let mut next = self.next.lock();
            let start = (*next).max(Instant::now());
            #[expect(clippy::cast_precision_loss, reason = "batches are small")]
            let pause = Duration::try_from_secs_f64(seconds * reports as f64);
            *next = start + pause.unwrap_or(Duration::ZERO);
            start
        };
        while stop.mode() != Mode::Leave {
            let left = start.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left.min(Duration::from_millis(100)));
        }
    }
}

#[cfg(test)]
mod tests;
