//! What every stage has: a poll thread before its work, a transaction thread after it.
//!
//! ```text
//! poll ──chunks──> the stage's own threads ──finished──> settle
//!   └──────────────────── revocations ────────────────────^
//! ```

use std::sync::{Arc, Weak};
use std::thread::Scope;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::ClientConfig;

use crate::broker::assignment::Ends;
use crate::broker::auth::Authenticator;
use crate::broker::committer::{Committer, CommitterOptions};
use crate::broker::consumer::Consumer;
use crate::broker::{Record, Ticket};
use crate::telemetry::health::Health;
use crate::telemetry::totals::Totals;

use super::StageError;
use super::account::DeadLetterLimits;
use super::budget::Budget;
use super::flight::Finished;
use super::owners;
use super::poll::Poller;
use super::settle::{self, Assignments, CommitLimits, Settler, TopicNames};
use super::stop::{PanicGuard, Stop};

/// Chunks between the poll thread and the stage's own threads.
pub(super) const CHUNKS: usize = 16;
/// Finished records between the workers and the transaction thread.
const FINISHED: usize = 4096;
/// A consumer that does not close within this time is left behind.
const CLOSE: Duration = Duration::from_secs(5);

/// Everything that a stage needs of Kafka.
pub struct FrameOptions {
    /// Name of the stage, in metrics: `label`, `teach`.
    pub stage: &'static str,
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
    /// Limits of one transaction.
    pub commit: CommitLimits,
    /// When dead letters are too many.
    pub dead_letters: DeadLetterLimits,
}

/// The two ends of a stage's own work.
pub(super) struct WorkEnds {
    /// Records, in chunks. Closed when no more will come.
    pub(super) chunks: Receiver<Vec<Record>>,
    /// Where finished records go. The stage ends when all senders are gone.
    pub(super) finished: Sender<Finished>,
    /// Charged for every record between.
    pub(super) budget: Arc<Budget>,
    /// Says which records are still ours.
    pub(super) ours: Ours,
}

/// Says whether a record is still ours: its partition has not gone to another member, nor come back by a new
/// assignment, since it was fetched. Weak: it must not keep the consumer in its group.
#[derive(Clone, Default)]
pub(super) struct Ours(Weak<Consumer>);

impl Ours {
    /// False only when settle knows the assignment as closed: nothing of the record will be published.
    pub(super) fn holds(&self, ticket: &Ticket) -> bool {
        self.0.upgrade().is_some_and(|consumer| consumer.is_current(ticket))
    }
}

/// Runs a stage whose own threads `work` starts. Blocks until all threads have ended.
///
/// # Errors
/// The first failure of any thread. What was not committed will be done again.
pub(super) fn run<'env, W>(
    options: FrameOptions,
    stop: &'env Stop,
    health: &Arc<Health>,
    totals: &Arc<Totals>,
    work: W,
) -> Result<(), StageError>
where
    W: for<'scope> FnOnce(&'scope Scope<'scope, 'env>, WorkEnds) -> Result<(), StageError>,
{
    // No buffer: what is buffered stays when the receiver has gone, and the poll thread would wait for
    // an answer that nobody gives.
    let (control_in, control_out) = bounded(0);
    let listener = Arc::new(Assignments { control: control_in, health: Arc::clone(health) });
    let consumer = Arc::new(
        Consumer::subscribe(
            &options.consumer,
            Arc::clone(&options.auth),
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
        stage: options.stage,
        committer,
        limits: options.commit,
        dead_letters: options.dead_letters,
        topics: options.outputs,
        budget: Arc::clone(&budget),
        totals: Arc::clone(totals),
        health: Arc::clone(health),
    };
    let poller = Poller {
        consumer: Arc::clone(&consumer),
        budget: Arc::clone(&budget),
        health: Arc::clone(health),
    };
    let (chunks_in, chunks) = bounded::<Vec<Record>>(CHUNKS);
    let (finished, finished_out) = bounded::<Finished>(FINISHED);
    let (settled_in, settled_out) = bounded::<()>(1);
    let (open_in, open) = bounded(0);

    health.set_started();
    health.polled();
    let spawned = std::thread::scope(|scope| {
        // Last stage first: each is given the sender of the stage after it.
        spawn(scope, stop, "settle", move || {
            settle::run(settler, &finished_out, &control_out, stop);
            // Only now may the consumer leave the group.
            drop((settled_in, open_in));
        })?;
        let group = Arc::clone(&consumer);
        spawn(scope, stop, "owners", move || owners::run(&group, &open))?;
        let ours = Ours(Arc::downgrade(&consumer));
        work(scope, WorkEnds { chunks, finished, budget, ours })?;
        spawn(scope, stop, "poll", move || poller.run(chunks_in, &settled_out, stop))
    });
    close(consumer);
    spawned?;
    stop.take_failure().map_or(Ok(()), Err)
}

/// A named thread whose panic ends the stage.
pub(super) fn spawn<'scope>(
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
