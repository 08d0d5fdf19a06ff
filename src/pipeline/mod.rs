//! The stages, and the only place that makes threads for work.
//!
//! [`frame`] is what every stage has; [`teach`] is the stage of the teacher; stage label is this:
//!
//! ```text
//! poll ──> decode pool ──> batcher ──> sessions ──> settle
//!   ^          └── skips, dead letters ──────────────^ │
//!   └─────────────── revocations, end ─────────────────┘
//! ```
//!
//! A stage ends because its input closes: the poll thread drops the first sender, and the end
//! ripples through. Queues are bounded; the byte budget bounds what is between fetch and commit.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;
use rdkafka::error::KafkaError;

use crate::broker::Record;
use crate::broker::committer::CommitError;
use crate::broker::consumer::Backwards;
use crate::decode::DecodeOptions;
use crate::extract::ExtractPolicy;
use crate::publish::{ModelIdentity, Publisher};
use crate::route::RoutePolicy;
use crate::student::rules::RuleLabeler;
use crate::telemetry::health::Health;
use crate::telemetry::totals::Totals;

pub mod account;
pub mod batch;
pub mod budget;
pub mod engine;
pub mod flight;
pub mod frame;
pub mod label;
pub mod letters;
pub mod memory;
pub mod poll;
pub mod prepare;
pub mod schemas;
pub mod settle;
pub mod stop;
pub mod teach;

use engine::Engine;
use flight::Finished;
use frame::{FrameOptions, spawn};
use label::{Labeling, Pace};
use letters::Letters;
use memory::ScoreMemory;
use prepare::{Prepared, Preparer, Task};
use schemas::SchemaLookup;
use stop::Stop;

/// Why a stage ended.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The consumer cannot be made.
    #[error("the Kafka consumer cannot be made: {0}")]
    Client(KafkaError),
    /// Polling failed for good.
    #[error("consuming failed: {0}")]
    Consume(KafkaError),
    /// A partition was truncated or recreated under us.
    #[error(transparent)]
    Backwards(#[from] Backwards),
    /// Publishing or committing failed for good.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Too many dead letters.
    #[error("too many dead letters: {dead} of the last {of} records, {consecutive} in a row")]
    TooManyDeadLetters {
        /// In the window.
        dead: usize,
        /// Size of the window.
        of: usize,
        /// In a row.
        consecutive: u64,
    },
    /// A thread panicked.
    #[error("thread {thread} ended unexpectedly; its place is in the log")]
    Panic {
        /// Which.
        thread: &'static str,
    },
    /// The system refused a thread.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
}

/// Everything stage label needs.
pub struct StageOptions {
    /// Kafka.
    pub frame: FrameOptions,
    /// Settings of decode.
    pub decode: DecodeOptions,
    /// Finds the schemas of Avro input; `None`: none are needed, or they are known.
    pub schemas: Option<Arc<SchemaLookup>>,
    /// Settings of extract.
    pub extract: ExtractPolicy,
    /// When to escalate.
    pub policy: RoutePolicy,
    /// Who labels, for the records.
    pub model: ModelIdentity,
    /// Makes the messages.
    pub publisher: Arc<Publisher>,
    /// A dead letter goes to the partition number of its record.
    pub dead_letters_by_partition: bool,
    /// Oldest report first after this time.
    pub max_batch_age: Duration,
    /// Bytes for answers that are remembered by their text; 0: none.
    pub score_memory_bytes: usize,
    /// Brake; 0: none.
    pub max_reports_per_second: f64,
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs stage label until it is asked to stop, its ends are reached, or it fails. Blocks.
///
/// # Errors
/// The first failure of any thread. What was not committed will be done again.
pub fn run(
    options: StageOptions,
    engine: Engine,
    stop: &Stop,
    health: &Arc<Health>,
    totals: &Arc<Totals>,
) -> Result<(), StageError> {
    let letters = Letters {
        publisher: Arc::clone(&options.publisher),
        by_partition: options.dead_letters_by_partition,
    };
    let asks_rules = options.policy.max_rule_conflicts.is_some();
    let labeling = Labeling {
        publisher: Arc::clone(&options.publisher),
        policy: options.policy,
        model: options.model,
        decode: options.decode.clone(),
        rules: asks_rules.then(RuleLabeler::new),
        letters: letters.clone(),
        memory: ScoreMemory::new(options.score_memory_bytes),
        pace: Pace::new(options.max_reports_per_second),
    };
    let labeling = &labeling;
    let queues = engine.queues::<Task>(options.max_batch_age);
    let (decode, extract) = (options.decode, options.extract);
    let (schemas, publisher) = (options.schemas, options.publisher);
    frame::run(options.frame, stop, health, totals, move |scope, ends| {
        let (tasks_in, tasks_out) = bounded::<Vec<Task>>(frame::CHUNKS);
        let (wanted_in, wanted_out) = bounded::<()>(2 * engine.sessions.len());
        let (batches_in, batches_out) = bounded(2 * engine.sessions.len());
        // Last first: each is given the sender of the one after it.
        for session in engine.sessions {
            let (wanted, batches) = (wanted_in.clone(), batches_out.clone());
            let finished = ends.finished.clone();
            spawn(scope, stop, "session", move || {
                label::run(labeling, session, &wanted, &batches, &finished, stop);
            })?;
        }
        drop((wanted_in, batches_out));
        let budget = ends.budget;
        spawn(scope, stop, "batch", move || {
            batch::run(&tasks_out, &wanted_out, &batches_in, queues, (stop, &budget));
        })?;
        for encoder in engine.encoders {
            let schemas = schemas.clone();
            let preparer = Preparer {
                decode: decode.clone(),
                extract: extract.clone(),
                publisher: Arc::clone(&publisher),
                letters: letters.clone(),
                encoder,
            };
            let (chunks, tasks, finished) =
                (ends.chunks.clone(), tasks_in.clone(), ends.finished.clone());
            spawn(scope, stop, "decode", move || {
                decode_loop(preparer, schemas.as_deref(), &chunks, &tasks, &finished, stop);
            })?;
        }
        Ok(())
    })
}

fn decode_loop(
    mut preparer: Preparer,
    schemas: Option<&SchemaLookup>,
    chunks: &crossbeam_channel::Receiver<Vec<Record>>,
    tasks: &crossbeam_channel::Sender<Vec<Task>>,
    finished: &crossbeam_channel::Sender<Finished>,
    stop: &Stop,
) {
    for chunk in chunks {
        let mut queued = Vec::with_capacity(chunk.len());
        for record in chunk {
            let payload = record.payload.as_deref().unwrap_or_default();
            if schemas.is_some_and(|schemas| !schemas.prepare(payload, stop)) {
                // The process ends. Neither this record nor one after it is committed.
                return;
            }
            match preparer.prepare(record) {
                Prepared::Tasks(new) => queued.extend(new),
                Prepared::Finished(done) => {
                    if finished.send(done).is_err() {
                        return;
                    }
                }
            }
        }
        if !queued.is_empty() && tasks.send(queued).is_err() {
            return;
        }
    }
}
