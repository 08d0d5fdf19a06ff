//! Batcher thread: length buckets, a token budget, oldest first, one batch prefetched per session.
//!
//! A batch is built when a session asks for one and never before, so that it is as full as it can
//! be; nothing waits while a session is idle.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, never, select};

use crate::student::bucket::{Batch, Buckets};
use crate::telemetry::names;

use super::budget::Budget;
use super::prepare::Task;
use super::stop::{Mode, Stop};

/// Runs until the input closes and, unless leaving, every task has been handed to a session.
pub fn run(
    input: &Receiver<Vec<Task>>,
    wanted: &Receiver<()>,
    output: &Sender<Batch<Task>>,
    mut queues: Buckets<Task>,
    (stop, budget): (&Stop, &Budget),
) {
    let (closed, idle) = (never(), never());
    let mut open = true;
    while open || !queues.is_empty() {
        if stop.mode() == Mode::Leave {
            // Not committed, so another member of the group will do them. The records' other parts
            // may still be running; their flights are dropped with the last task.
            release(budget, queues.clear());
            if !open {
                return;
            }
        }
        let source = if open { input } else { &closed };
        let demand = if queues.is_empty() { &idle } else { wanted };
        select! {
            recv(source) -> tasks => match tasks {
                Ok(tasks) => {
                    let now = Instant::now();
                    for task in tasks {
                        let tokens = task.tokens;
                        queues.push(task, tokens, now);
                    }
                }
                Err(_) => open = false,
            },
            recv(demand) -> asked => {
                if asked.is_err() {
                    return;
                }
                if let Some(batch) = queues.pop(Instant::now()) {
                    describe(&batch);
                    if output.send(batch).is_err() {
                        return;
                    }
                }
            },
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge for reading")]
        metrics::gauge!(names::QUEUE_RECORDS, "stage" => "student").set(queues.len() as f64);
    }
}

fn release(budget: &Budget, tasks: Vec<Task>) {
    for task in tasks {
        // Once per record: the last part to go returns its cost.
        if let Some(flight) = std::sync::Arc::into_inner(task.flight) {
            budget.release(flight.cost());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "histograms for reading")]
fn describe(batch: &Batch<Task>) {
    let now = Instant::now();
    for task in &batch.items {
        metrics::histogram!(names::QUEUE_WAIT_SECONDS, "stage" => "student")
            .record(now.duration_since(task.queued).as_secs_f64());
    }
    let real: usize = batch.items.iter().map(|task| task.tokens).sum();
    let padded = batch.padded_tokens().max(1);
    metrics::histogram!(names::BATCH_RECORDS).record(batch.items.len() as f64);
    metrics::histogram!(names::BATCH_TOKENS).record(padded as f64);
    metrics::histogram!(names::BATCH_PADDING_RATIO).record(1.0 - real as f64 / padded as f64);
    metrics::counter!(names::TOKENS_TOTAL).increment(real as u64);
}
