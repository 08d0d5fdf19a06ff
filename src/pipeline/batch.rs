//! Batcher thread: length buckets, a token budget, oldest first, one batch prefetched per session.
//!
//! A batch is built when a session asks for one and never before, so that it is as full as it can
//! be; nothing waits while a session is idle. Tasks of two generations never share a batch: while one
//! labeller takes over from another, what waits for the old one goes first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, never, select};

use crate::student::bucket::{Batch, Buckets};
use crate::telemetry::names;

use super::budget::Budget;
use super::generation::Generation;
use super::prepare::Task;
use super::stop::{Mode, Stop};

/// Waiting items, by generation and then by length.
pub struct Queues<T> {
    max_age: Duration,
    /// By number, oldest first. Of one that is not the newest only while something waits.
    generations: VecDeque<(u64, Buckets<T>)>,
}

impl<T> Queues<T> {
    /// Empty queues; an item older than `max_age` goes first within its generation.
    pub const fn new(max_age: Duration) -> Self {
        Self { max_age, generations: VecDeque::new() }
    }

    /// Adds an item of `len` tokens for `generation`, which arrived at `now`.
    pub fn push(&mut self, item: T, generation: &Generation, len: usize, now: Instant) {
        let number = generation.number;
        // Decode threads change over one by one: an old one's task may come after a new one's.
        let at = self.generations.partition_point(|(other, _)| *other < number);
        if self.generations.get(at).is_none_or(|(other, _)| *other != number) {
            self.generations.insert(at, (number, generation.queues(self.max_age)));
        }
        if let Some((_, buckets)) = self.generations.get_mut(at) {
            buckets.push(item, len, now);
        }
        self.forget_empty();
    }

    /// The next batch, of the oldest generation that has something to do; `None` only when nothing
    /// waits.
    pub fn pop(&mut self, now: Instant) -> Option<Batch<T>> {
        self.forget_empty();
        let batch = self.generations.front_mut()?.1.pop(now);
        self.forget_empty();
        batch
    }

    fn forget_empty(&mut self) {
        while self.generations.len() > 1
            && self.generations.front().is_some_and(|(_, buckets)| buckets.is_empty())
        {
            self.generations.pop_front();
        }
    }

    /// Number of items that wait.
    pub fn len(&self) -> usize {
        self.generations.iter().map(|(_, buckets)| buckets.len()).sum()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes everything out in no useful order.
    pub fn clear(&mut self) -> Vec<T> {
        self.generations.drain(..).flat_map(|(_, mut buckets)| buckets.clear()).collect()
    }
}

/// Runs until the input closes and, unless leaving, every task has been handed to a session.
pub fn run(
    input: &Receiver<Vec<Task>>,
    wanted: &Receiver<()>,
    output: &Sender<Batch<Task>>,
    mut queues: Queues<Task>,
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
                        let (tokens, generation) = (task.tokens, Arc::clone(&task.generation));
                        queues.push(task, &generation, tokens, now);
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
        if let Some(flight) = Arc::into_inner(task.flight) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_of_one_generation_and_the_older_goes_first() {
        let (old, new) = (Generation::of_rules("1", 0), Generation::of_rules("2", 0));
        let now = Instant::now();
        let mut queues = Queues::new(Duration::from_secs(1));
        queues.push("old a", &old, 10, now);
        queues.push("new a", &new, 10, now);
        // From a decode thread that has not changed over yet.
        queues.push("old b", &old, 10, now);
        queues.push("new b", &new, 600, now);
        assert_eq!(queues.len(), 4);
        let mut popped = Vec::new();
        while let Some(batch) = queues.pop(now) {
            popped.push(batch.items);
        }
        assert_eq!(popped, [vec!["old a", "old b"], vec!["new b"], vec!["new a"]]);
        // After the last of them had gone already.
        queues.push("new c", &new, 10, now);
        queues.push("old c", &old, 10, now);
        assert_eq!(queues.pop(now).unwrap().items, ["old c"]);
        assert_eq!(queues.clear(), ["new c"]);
        assert!(queues.is_empty() && queues.pop(now).is_none());
    }
}
