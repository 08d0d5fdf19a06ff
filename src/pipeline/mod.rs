//! Stage label, and the only place that makes threads.
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
use std::thread::Scope;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::broker::Record;
use crate::broker::auth::Authenticator;
use crate::broker::client::Callbacks;
use crate::broker::committer::{CommitError, Committer, CommitterOptions};
use crate::broker::consumer::{Backwards, Consumer, Ends};
use crate::decode::DecodeOptions;
use crate::extract::ExtractPolicy;
use crate::publish::{ModelIdentity, Publisher};
use crate::route::RoutePolicy;
use crate::telemetry::health::Health;
use crate::telemetry::totals::Totals;

pub mod account;
pub mod batch;
pub mod budget;
pub mod engine;
pub mod flight;
pub mod label;
pub mod letters;
pub mod memory;
pub mod poll;
pub mod prepare;
pub mod schemas;
pub mod settle;
pub mod stop;

use account::DeadLetterLimits;
use budget::Budget;
use engine::Engine;
use flight::Finished;
use label::{Labeling, Pace};
use letters::Letters;
use memory::ScoreMemory;
use poll::Poller;
use prepare::{Prepared, Preparer, Task};
use schemas::SchemaLookup;
use settle::{Assignments, CommitLimits, Settler, TopicNames};
use stop::{PanicGuard, Stop};

/// Chunks between the poll thread and the decode pool.
const CHUNKS: usize = 16;
/// Finished records between the workers and the transaction thread.
const FINISHED: usize = 4096;
/// A consumer that does not close within this time is left behind.
const CLOSE: Duration = Duration::from_secs(5);

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
    /// librdkafka properties of the consumer.
    pub consumer: ClientConfig,
    /// The producer and how it commits.
    pub committer: CommitterOptions,
    /// Credentials.
    pub auth: Arc<Authenticator>,
    /// Input topics.
    pub inputs: Vec<String>,
    /// Output topics.
    pub outputs: TopicNames,
    /// Where to stop; `None`: never.
    pub stop_at: Option<Ends>,
    /// Byte budget.
    pub budget_bytes: usize,
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
    /// Limits of one transaction.
    pub commit: CommitLimits,
    /// When dead letters are too many.
    pub dead_letters: DeadLetterLimits,
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
    // No buffer: what is buffered stays when the receiver has gone, and the poll thread would wait for
    // an answer that nobody gives.
    let (control_in, control_out) = bounded(0);
    let listener = Arc::new(Assignments { control: control_in, health: Arc::clone(health) });
    let consumer = Arc::new(
        Consumer::subscribe(
            &options.consumer,
            Callbacks::new(Arc::clone(&options.auth)),
            listener,
            &options.inputs,
            options.stop_at,
        )
        .map_err(StageError::Client)?,
    );
    let started = Committer::start(
        options.committer,
        Arc::clone(&options.auth),
        Arc::clone(&consumer),
        Arc::clone(&health.transaction),
    );
    let committer = match started {
        Ok(committer) => committer,
        Err(error) => {
            // Closing serves a pending rebalance, and nobody would answer it.
            drop(control_out);
            close(consumer);
            return Err(error.into());
        }
    };
    let budget = Arc::new(Budget::new(options.budget_bytes));
    let settler = Settler {
        committer,
        limits: options.commit,
        dead_letters: options.dead_letters,
        topics: options.outputs,
        budget: Arc::clone(&budget),
        totals: Arc::clone(totals),
        health: Arc::clone(health),
    };
    let letters = Letters {
        publisher: Arc::clone(&options.publisher),
        by_partition: options.dead_letters_by_partition,
    };
    let labeling = Labeling {
        publisher: Arc::clone(&options.publisher),
        policy: options.policy,
        model: options.model,
        decode: options.decode.clone(),
        letters: letters.clone(),
        memory: ScoreMemory::new(options.score_memory_bytes),
        pace: Pace::new(options.max_reports_per_second),
    };
    let poller = Poller {
        consumer: Arc::clone(&consumer),
        budget: Arc::clone(&budget),
        health: Arc::clone(health),
    };

    let queues = engine.queues::<Task>(options.max_batch_age);
    let (chunks_in, chunks_out) = bounded::<Vec<Record>>(CHUNKS);
    let (tasks_in, tasks_out) = bounded::<Vec<Task>>(CHUNKS);
    let (wanted_in, wanted_out) = bounded::<()>(2 * engine.sessions.len());
    let (batches_in, batches_out) = bounded(2 * engine.sessions.len());
    let (finished_in, finished_out) = bounded::<Finished>(FINISHED);
    let (settled_in, settled_out) = bounded::<()>(1);

    health.set_started();
    health.polled();
    let spawned = std::thread::scope(|scope| {
        // Last stage first: each is given the sender of the stage after it.
        spawn(scope, stop, "settle", move || {
            settle::run(settler, &finished_out, &control_out, stop);
            // Only now may the consumer leave the group.
            drop(settled_in);
        })?;
        for session in engine.sessions {
            let (wanted, batches) = (wanted_in.clone(), batches_out.clone());
            let (finished, labeling) = (finished_in.clone(), &labeling);
            spawn(scope, stop, "session", move || {
                label::run(labeling, session, &wanted, &batches, &finished, stop);
            })?;
        }
        drop((wanted_in, batches_out));
        let batch_budget = Arc::clone(&budget);
        spawn(scope, stop, "batch", move || {
            batch::run(&tasks_out, &wanted_out, &batches_in, queues, (stop, &batch_budget));
        })?;
        for encoder in engine.encoders {
            let schemas = options.schemas.clone();
            let preparer = Preparer {
                decode: options.decode.clone(),
                extract: options.extract.clone(),
                publisher: Arc::clone(&options.publisher),
                letters: letters.clone(),
                encoder,
            };
            let (chunks, tasks, finished) =
                (chunks_out.clone(), tasks_in.clone(), finished_in.clone());
            spawn(scope, stop, "decode", move || {
                decode_loop(preparer, schemas.as_deref(), &chunks, &tasks, &finished, stop);
            })?;
        }
        drop((chunks_out, tasks_in, finished_in));
        spawn(scope, stop, "poll", move || poller.run(chunks_in, &settled_out, stop))
    });
    close(consumer);
    spawned?;
    stop.take_failure().map_or(Ok(()), Err)
}

/// A named thread whose panic ends the stage.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stop: &'scope Stop,
    name: &'static str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), StageError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, move || {
            let _guard = PanicGuard { stop, thread: name };
            work();
        })
        .map(drop)
        .map_err(StageError::Thread)
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

/// Leaves the group. Closing waits for the coordinator and has been seen to block, so it happens on
/// a thread of its own, with a limit.
fn close(consumer: Arc<Consumer>) {
    let (closed_in, closed_out) = bounded::<()>(1);
    let closing =
        std::thread::Builder::new().name(String::from("consumer-close")).spawn(move || {
            drop(consumer);
            drop(closed_in);
        });
    if closing.is_ok()
        && matches!(
            closed_out.recv_timeout(CLOSE),
            Err(crossbeam_channel::RecvTimeoutError::Timeout)
        )
    {
        tracing::warn!(
            "the consumer did not close in 5 s; the group will notice by its session timeout"
        );
    }
}
