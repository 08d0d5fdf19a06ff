//! Poll thread: fetches, charges the budget, pauses, and keeps polling whatever happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use metrics::Counter;

use crate::broker::consumer::{Consumer, Polled};
use crate::broker::protocol::is_authorisation;
use crate::broker::{Record, TopicPartition};
use crate::telemetry::health::Health;
use crate::telemetry::names;

use super::StageError;
use super::budget::Budget;
use super::stop::{Mode, Stop};

/// Longest poll. Short, so that stops and resumes are noticed.
const POLL: Duration = Duration::from_millis(50);
/// The same while the decode pool has no room.
const FULL: Duration = Duration::from_millis(5);
/// Records handed to a decode thread together.
const CHUNK: usize = 32;

/// What the poll thread works with.
pub struct Poller {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// Charged for every record.
    pub budget: Arc<Budget>,
    /// Told that we turn.
    pub health: Arc<Health>,
}

/// Why polling ended.
enum Ended {
    Asked,
    AtEnds,
}

impl Poller {
    /// Fetches until asked to stop or all ends are reached, closes `output`, and goes on polling
    /// until `settled` closes: the group must not lose us before the last commit.
    pub fn run(self, output: Sender<Vec<Record>>, settled: &Receiver<()>, stop: &Stop) {
        match self.fetch(&output, stop) {
            Ok(Ended::AtEnds) => stop.request(Mode::Finish),
            Ok(Ended::Asked) => {}
            Err(error) => stop.fail(error),
        }
        self.health.set_draining();
        self.pause(true);
        // Closing the first channel is what ends every stage after this one.
        drop(output);
        while matches!(settled.try_recv(), Err(crossbeam_channel::TryRecvError::Empty)) {
            self.health.polled();
            // Paused: this serves rebalances only. A record that comes all the same has no ticket
            // that anybody waits for: it is not committed.
            if let Polled::Dead(error) = self.consumer.poll(POLL)
                && let Err(error) = self.consumer.revive(error)
            {
                stop.fail(StageError::Consume(error));
            }
        }
    }

    fn fetch(&self, output: &Sender<Vec<Record>>, stop: &Stop) -> Result<Ended, StageError> {
        let mut held: Vec<Record> = Vec::with_capacity(CHUNK);
        let mut pause = Pause::default();
        let mut counters = Counters::default();
        loop {
            if stop.mode() != Mode::Run {
                return Ok(Ended::Asked);
            }
            self.health.polled();
            self.consumer.rejoin_if_asked().map_err(StageError::Client)?;
            // With records in hand do not wait for the next: hand over when none is there. While the
            // decode pool has no room, a short wait keeps this thread from spinning.
            let timeout = match held.len() {
                0 => POLL,
                1..CHUNK => Duration::ZERO,
                _ => FULL,
            };
            let idle = match self.consumer.poll(timeout) {
                Polled::Record(record) => {
                    self.budget.charge(Budget::cost(&record));
                    self.health.waiting();
                    counters.count(&record);
                    held.push(record);
                    false
                }
                Polled::Nothing | Polled::EndOfPartition(_) => true,
                Polled::Failed(error) => {
                    self.failed(&error)?;
                    true
                }
                Polled::Dead(error) => {
                    self.consumer.revive(error).map_err(StageError::Consume)?;
                    true
                }
                Polled::Backwards(backwards) => return Err(StageError::Backwards(backwards)),
            };
            if !held.is_empty()
                && (idle || held.len() >= CHUNK)
                && let Err(error) = hand_over(&mut held, output)
            {
                // Who would take it has ended: as asked, or by a panic that is told.
                return if stop.mode() == Mode::Run { Err(error) } else { Ok(Ended::Asked) };
            }
            // Only the budget pauses: what is held here is charged to it, so it is bounded.
            if self.budget.is_full() && !pause.is_on() {
                self.pause(true);
                pause.begin();
            } else if pause.is_on() && self.budget.has_room() {
                self.pause(false);
                pause.end();
            }
            pause.count();
            if idle && held.is_empty() && self.consumer.reached_ends() {
                return Ok(Ended::AtEnds);
            }
        }
    }

    fn pause(&self, paused: bool) {
        if let Err(error) = self.consumer.set_paused(paused) {
            tracing::warn!(%error, paused, "partitions could not be paused or resumed");
        }
    }

    /// Most errors pass by themselves; the client goes on trying.
    fn failed(&self, error: &rdkafka::error::KafkaError) -> Result<(), StageError> {
        use rdkafka::types::RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        // A token that could not be refreshed is refreshed again while the old one holds.
        let hopeless = (is_authorisation(code) && code != Code::Authentication)
            || matches!(
                code,
                Code::AutoOffsetReset
                    | Code::Fatal
                    | Code::FencedInstanceId
                    | Code::UnsupportedVersion
                    | Code::InvalidSessionTimeout
                    // The client has skipped a damaged batch: committing past it would lose it.
                    | Code::BadMessage
                    | Code::BadCompression
            )
            || matches!(error, rdkafka::error::KafkaError::MessageConsumptionFatal(_));
        if hopeless {
            return Err(StageError::Consume(error.clone()));
        }
        tracing::debug!(%error, "poll reports an error");
        Ok(())
    }
}

/// Hands over as many whole chunks as there is room for; the rest stays.
fn hand_over(held: &mut Vec<Record>, output: &Sender<Vec<Record>>) -> Result<(), StageError> {
    // A full pool is the usual case when much waits: look first, since cutting copies what is held.
    while !held.is_empty() && !output.is_full() {
        let rest = held.split_off(held.len().min(CHUNK));
        let chunk = std::mem::replace(held, rest);
        // Never blocks: only this thread sends.
        output.send(chunk).map_err(|_| StageError::Panic { thread: "decode" })?;
    }
    Ok(())
}

/// What was fetched, per partition. Kept, because finding a counter by its labels costs more than
/// counting.
#[derive(Default)]
struct Counters(HashMap<TopicPartition, (Counter, Counter)>);

impl Counters {
    fn count(&mut self, record: &Record) {
        let partition = &record.ticket.partition;
        if !self.0.contains_key(partition) {
            let (topic, number) = (partition.topic.to_string(), partition.partition.to_string());
            let labels = [("topic", topic), ("partition", number)];
            let records = metrics::counter!(names::INPUT_RECORDS_TOTAL, &labels);
            let bytes = metrics::counter!(names::INPUT_BYTES_TOTAL, &labels);
            self.0.insert(partition.clone(), (records, bytes));
        }
        if let Some((records, bytes)) = self.0.get(partition) {
            records.increment(1);
            bytes.increment(record.wire_bytes() as u64);
        }
    }
}

/// Time with partitions paused, counted while it lasts: a stall must show.
#[derive(Default)]
struct Pause {
    since: Option<Instant>,
    /// Paused, not yet counted: the counter takes whole seconds.
    uncounted: Duration,
}

impl Pause {
    const fn is_on(&self) -> bool {
        self.since.is_some()
    }

    fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    fn end(&mut self) {
        self.count();
        self.since = None;
    }

    fn count(&mut self) {
        if let Some(since) = &mut self.since {
            self.uncounted += since.elapsed();
            *since = Instant::now();
        }
        let seconds = self.uncounted.as_secs();
        if seconds > 0 {
            metrics::counter!(names::BACKPRESSURE_SECONDS_TOTAL).increment(seconds);
            self.uncounted -= Duration::from_secs(seconds);
        }
    }
}
