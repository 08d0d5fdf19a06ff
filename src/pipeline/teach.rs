//! Stage teach: escalations get a second opinion, and become revisions and training samples.
//!
//! ```text
//! poll ──> window ──> one task each: read, de-identify, ask, merge ──> settle
//! ```
//!
//! As everywhere, settle publishes in the order of the partitions, in one transaction with the
//! offsets: however often a question is asked, its escalation ends in exactly one revision. Asking is
//! outside of the transaction. A teacher that is out of order holds the window, and with it the poll
//! thread's budget: escalations wait in Kafka.
//!
//! A question that goes unanswered while others are answered is put off to the retry topic, so that
//! it does not hold its partition up. All records there wait equally long, so they stand in the order
//! of their time.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::broker::Record;
use crate::publish::Publisher;
use crate::teacher::ask::Teacher;
use crate::teacher::merge::ReviewPolicy;
use crate::telemetry::health::Health;
use crate::telemetry::totals::Totals;

use super::StageError;
use super::flight::Finished;
use super::frame::{self, FrameOptions, Ours, spawn};
use super::letters::Letters;
use super::shadow::{self, Witness};
use super::stop::{Mode, Stop};

mod case;
mod escalated;
mod versions;

use case::Case;
use versions::Versions;

/// How often a wait looks whether the process is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Threads of the tasks. They wait for a server; merging and encoding take microseconds.
const THREADS: usize = 2;
/// Reports whose newest version is remembered.
const VERSIONS: usize = 100_000;

/// Everything stage teach needs.
pub struct TeachOptions {
    /// Kafka.
    pub frame: FrameOptions,
    /// Who is asked.
    pub teacher: Arc<Teacher>,
    /// Makes the messages.
    pub publisher: Arc<Publisher>,
    /// When a person should look.
    pub review: ReviewPolicy,
    /// Escalations worked on at once.
    pub window: usize,
    /// An escalation that was put off waits so long.
    pub retry_delay: Duration,
    /// One older than this is given up.
    pub give_up_after: Duration,
    /// Whether training samples are published.
    pub samples: bool,
    /// Chance of a confident report to be audited, for the samples.
    pub audit_chance: f64,
    /// Loads the model that is not in service, whose answers stand in the samples.
    pub shadow: Option<shadow::Load>,
}

/// What all tasks share.
struct Teaching {
    teacher: Arc<Teacher>,
    publisher: Arc<Publisher>,
    letters: Letters,
    review: ReviewPolicy,
    retry_delay_ms: i64,
    give_up_after_ms: i64,
    samples: bool,
    audit_chance: f64,
    shadow: Option<Witness>,
    versions: Versions,
    /// What is not ours any more would be asked about in vain.
    ours: Ours,
}

/// Runs stage teach until it is asked to stop, its ends are reached, or it fails. Blocks.
///
/// # Errors
/// The first failure of any thread. What was not committed will be done again.
pub fn run(
    options: TeachOptions,
    stop: &Stop,
    health: &Arc<Health>,
    totals: &Arc<Totals>,
) -> Result<(), StageError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("teach")
        .enable_all()
        .build()
        .map_err(StageError::Thread)?;
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let mut teaching = Teaching {
        teacher: options.teacher,
        letters: Letters { publisher: Arc::clone(&options.publisher), by_partition: false },
        publisher: options.publisher,
        review: options.review,
        retry_delay_ms: ms(options.retry_delay),
        give_up_after_ms: ms(options.give_up_after),
        samples: options.samples,
        audit_chance: options.audit_chance,
        shadow: options.shadow.and_then(Witness::load),
        versions: Versions::new(VERSIONS),
        ours: Ours::default(),
    };
    let window = options.window.clamp(1, Semaphore::MAX_PERMITS);
    // The window is free again at the commit: one that is half full of answers is worth a commit.
    let mut frame = options.frame;
    frame.commit.records = frame.commit.records.min((window / 2).max(1));
    frame::run(frame, stop, health, totals, move |scope, ends| {
        let (chunks, finished) = (ends.chunks, ends.finished);
        teaching.ours = ends.ours;
        let teaching = Arc::new(teaching);
        spawn(scope, stop, "window", move || {
            dispatch(&teaching, &runtime, window, &chunks, &finished, stop);
            // Tasks that still wait for a teacher are dropped: nothing of them is committed.
            runtime.shutdown_background();
        })
    })
}

/// Gives each record a task, as many at once as the window holds.
fn dispatch(
    teaching: &Arc<Teaching>,
    runtime: &Runtime,
    window: usize,
    chunks: &Receiver<Vec<Record>>,
    finished: &Sender<Finished>,
    stop: &Stop,
) {
    let places = Arc::new(Semaphore::new(window));
    for record in chunks.iter().flatten() {
        let Some(place) = wait_for(runtime, &places, 1, stop) else { return };
        // Here, in the order of the partition: which versions there are is noted before any waits.
        let case = Case::open(Arc::clone(teaching), record);
        let finished = finished.clone();
        runtime.spawn(async move {
            if let Some(mut done) = case.settle().await {
                // Until the commit: what a crash costs is what was answered and not yet committed.
                done.hold = Some(Box::new(place));
                // The transaction thread has ended: so does the process, and nothing is committed.
                finished.send(done).ok();
            }
        });
    }
    drop(wait_for(runtime, &places, window, stop));
}

/// Places in the window; `None` when the process is to leave.
fn wait_for(
    runtime: &Runtime,
    places: &Arc<Semaphore>,
    number: usize,
    stop: &Stop,
) -> Option<tokio::sync::OwnedSemaphorePermit> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    while stop.mode() != Mode::Leave {
        let places = Arc::clone(places);
        let wait = async { tokio::time::timeout(LOOK, places.acquire_many_owned(number)).await };
        if let Ok(Ok(place)) = runtime.block_on(wait) {
            return Some(place);
        }
    }
    None
}
