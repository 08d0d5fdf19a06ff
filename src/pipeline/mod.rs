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
//! Who labels may change while it runs: [`generation`] says how, [`swap`] is the thread that looks.
//!
//! A stage ends because its input closes: the poll thread drops the first sender, and the end
//! ripples through. Queues are bounded; the byte budget bounds what is between fetch and commit.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::bounded;
use rdkafka::error::KafkaError;

use crate::broker::assignment::Backwards;
use crate::broker::committer::CommitError;
use crate::broker::{Record, Ticket};
use crate::decode::DecodeOptions;
use crate::extract::ExtractPolicy;
use crate::publish::Publisher;
use crate::student::rules::RuleLabeler;
use crate::telemetry::health::Health;
use crate::telemetry::totals::Totals;

pub mod account;
pub mod batch;
pub mod budget;
pub mod drift;
pub mod engine;
pub mod flight;
pub mod frame;
pub mod generation;
pub mod label;
pub mod letters;
pub mod memory;
pub mod owners;
pub mod poll;
pub mod prepare;
pub mod schemas;
pub mod settle;
pub mod shadow;
pub mod stop;
pub mod swap;
pub mod teach;

use batch::Queues;
use flight::Finished;
use frame::{FrameOptions, spawn};
use generation::{Generation, Service, ThreadEncoder};
use label::{Labeling, Pace};
use letters::Letters;
use prepare::{Prepared, Preparer, Task};
use schemas::SchemaLookup;
use shadow::ShadowOptions;
use stop::Stop;
use swap::Watch;

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
    /// Decode threads.
    pub decode_threads: usize,
    /// Doubt reports also where the rules contradict the student.
    pub asks_rules: bool,
    /// Makes the messages.
    pub publisher: Arc<Publisher>,
    /// A dead letter goes to the partition number of its record.
    pub dead_letters_by_partition: bool,
    /// Oldest report first after this time.
    pub max_batch_age: Duration,
    /// Brake; 0: none.
    pub max_reports_per_second: f64,
    /// Looks for another model; `None`: the first one stays.
    pub watch: Option<Watch>,
    /// A second model whose disagreement is counted; `None`: there is none.
    pub shadow: Option<ShadowOptions>,
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs stage label, with `first` as who labels, until it is asked to stop, its ends are reached, or it fails. Blocks.
///
/// # Errors
/// The first failure of any thread. What was not committed will be done again.
pub fn run(
    options: StageOptions,
    first: Generation,
    stop: &Stop,
    health: &Arc<Health>,
    totals: &Arc<Totals>,
) -> Result<(), StageError> {
    let letters = Letters {
        publisher: Arc::clone(&options.publisher),
        by_partition: options.dead_letters_by_partition,
    };
    let (tap, shadow) = match options.shadow {
        Some(ShadowOptions { share, load }) => {
            let (tap, reports) = shadow::tap(share);
            (Some(tap), Some((load, reports)))
        }
        None => (None, None),
    };
    let labeling = Labeling {
        publisher: Arc::clone(&options.publisher),
        decode: options.decode.clone(),
        rules: options.asks_rules.then(RuleLabeler::new),
        letters: letters.clone(),
        pace: Pace::new(options.max_reports_per_second),
        shadow: tap,
        totals: Arc::clone(totals),
    };
    let labeling = &labeling;
    let queues = Queues::new(options.max_batch_age);
    let sessions = first.sessions().max(1);
    let service = &Service::new(first, totals);
    let (watch, decode_threads) = (options.watch, options.decode_threads.max(1));
    let (decode, extract) = (options.decode, options.extract);
    let (schemas, publisher) = (options.schemas, options.publisher);
    frame::run(options.frame, stop, health, totals, move |scope, ends| {
        let (tasks_in, tasks_out) = bounded::<Vec<Task>>(frame::CHUNKS);
        let (wanted_in, wanted_out) = bounded::<()>(2 * sessions);
        let (batches_in, batches_out) = bounded(2 * sessions);
        // Last first: each is given the sender of the one after it.
        for thread in 0..sessions {
            let (wanted, batches) = (wanted_in.clone(), batches_out.clone());
            let finished = ends.finished.clone();
            let ours = ends.ours.clone();
            spawn(scope, stop, "session", move || {
                let ours = |ticket: &Ticket| ours.holds(ticket);
                label::run(labeling, (thread, &ours), &wanted, &batches, &finished, stop);
            })?;
        }
        drop((wanted_in, batches_out));
        let budget = ends.budget;
        let (open_in, open) = bounded(0);
        spawn(scope, stop, "batch", move || {
            batch::run(&tasks_out, &wanted_out, &batches_in, queues, (stop, &budget));
            drop(open_in);
        })?;
        if let Some((load, reports)) = shadow {
            let open = open.clone();
            spawn(scope, stop, "shadow", move || shadow::run(load, &reports, &open))?;
        }
        if let Some(watch) = watch {
            spawn(scope, stop, "models", move || swap::run(watch, service, totals, &open))?;
        }
        for _ in 0..decode_threads {
            let schemas = schemas.clone();
            let preparer = Preparer {
                decode: decode.clone(),
                extract: extract.clone(),
                publisher: Arc::clone(&publisher),
                letters: letters.clone(),
                encoder: ThreadEncoder::default(),
            };
            let (chunks, tasks, finished) =
                (ends.chunks.clone(), tasks_in.clone(), ends.finished.clone());
            spawn(scope, stop, "decode", move || {
                let schemas = schemas.as_deref();
                decode_loop(preparer, (service, schemas), &chunks, &tasks, &finished, stop);
            })?;
        }
        Ok(())
    })
}

fn decode_loop(
    mut preparer: Preparer,
    (service, schemas): (&Service, Option<&SchemaLookup>),
    chunks: &crossbeam_channel::Receiver<Vec<Record>>,
    tasks: &crossbeam_channel::Sender<Vec<Task>>,
    finished: &crossbeam_channel::Sender<Finished>,
    stop: &Stop,
) {
    for chunk in chunks {
        // Not kept while waiting for the next chunk: its sessions would stay in memory.
        let generation = service.current();
        let mut queued = Vec::with_capacity(chunk.len());
        for record in chunk {
            let payload = record.payload.as_deref().unwrap_or_default();
            if schemas.is_some_and(|schemas| !schemas.prepare(payload, stop)) {
                // The process ends. Neither this record nor one after it is committed.
                return;
            }
            match preparer.prepare(record, &generation) {
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
