//! Transaction thread: finished records, in the order of their partitions, published and committed.
//!
//! The only thread that touches the ledger and the committer, so a commit and a revocation cannot
//! overlap: a revocation is a message to this thread, and the poll thread waits for the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded, select_biased,
};

use crate::broker::TopicPartition;
use crate::broker::assignment::AssignmentListener;
use crate::broker::committer::{Attempt, CommitError, Committer};
use crate::broker::consumer::Rejoin;
use crate::broker::delivery::OutputRecord;
use crate::broker::ledger::{Ledger, PrefixEnd};
use crate::broker::protocol::{End, Step};
use crate::planted::{Bug, is_planted};
use crate::publish::{Outgoing, Topic};
use crate::telemetry::health::Health;
use crate::telemetry::names;
use crate::telemetry::totals::Totals;

use super::StageError;
use super::account::{DeadLetterLimits, Window, count};
use super::budget::Budget;
use super::flight::Finished;
use super::stop::Stop;

/// Attempts in a row that came to nothing before the process gives up and lets itself be restarted.
const MAX_FRUITLESS: u32 = 30;
/// How often the poll thread shows that it is alive while it waits for the transaction thread.
const PULSE: Duration = Duration::from_secs(1);

/// A message to the transaction thread.
pub enum Control {
    /// Partitions are about to go.
    Revoked {
        /// Which, with their epochs.
        partitions: Vec<(TopicPartition, u64)>,
        /// They are gone already. All the same to us but for planted bugs: nothing is committed either way.
        lost: bool,
        /// Answer when nothing of them is or will be committed.
        done: Sender<()>,
    },
}

/// Passes changes of the assignment on to the transaction thread.
pub struct Assignments {
    /// To the transaction thread.
    pub control: Sender<Control>,
    /// Told that the group was joined.
    pub health: Arc<Health>,
}

impl AssignmentListener for Assignments {
    fn assigned(&self, partitions: &[TopicPartition]) {
        self.health.joined();
        metrics::counter!(names::REBALANCES_TOTAL, "kind" => "assigned").increment(1);
        tracing::info!(?partitions, "partitions assigned");
    }

    fn revoked(&self, partitions: &[(TopicPartition, u64)], lost: bool) {
        let kind = if lost { "lost" } else { "revoked" };
        metrics::counter!(names::REBALANCES_TOTAL, "kind" => kind).increment(1);
        tracing::info!(?partitions, lost, "partitions revoked");
        if partitions.is_empty() {
            return;
        }
        let (done, answer) = bounded(1);
        let partitions = partitions.to_vec();
        // A closed channel: the transaction thread has ended, so nothing will be committed. Each of
        // its calls is bounded by the transaction timeout, so the answer comes.
        let mut message = Control::Revoked { partitions, lost, done };
        loop {
            // The transaction thread has a watchdog of its own: while it works, we are alive.
            self.health.polled();
            match self.control.send_timeout(message, PULSE) {
                Ok(()) => break,
                Err(SendTimeoutError::Timeout(back)) => message = back,
                Err(SendTimeoutError::Disconnected(_)) => return,
            }
        }
        while matches!(answer.recv_timeout(PULSE), Err(RecvTimeoutError::Timeout)) {
            self.health.polled();
        }
    }
}

/// Limits of one transaction.
#[derive(Clone, Copy, Debug)]
pub struct CommitLimits {
    /// Longest wait of a finished record.
    pub interval: Duration,
    /// Input records.
    pub records: usize,
    /// Output bytes.
    pub bytes: usize,
}

impl CommitLimits {
    /// After attempts that came to nothing: what the brokers do not take in the time of a transaction they may
    /// take in parts. At least one record is committed, whatever it weighs.
    fn halved(self, times: u32) -> Self {
        let halved = |most: usize| most.checked_shr(times).unwrap_or(0).max(1);
        Self { records: halved(self.records), bytes: halved(self.bytes), ..self }
    }
}

/// Topic names of what is published.
#[derive(Clone, Debug)]
pub struct TopicNames {
    /// Findings.
    pub findings: String,
    /// Escalations.
    pub escalations: String,
    /// Distillation samples.
    pub distillation: String,
    /// Escalations put off.
    pub retries: String,
    /// Dead letters.
    pub dead_letters: String,
}

impl TopicNames {
    fn of(&self, topic: Topic) -> &str {
        match topic {
            Topic::Findings => &self.findings,
            Topic::Escalations => &self.escalations,
            Topic::Distillation => &self.distillation,
            Topic::Retries => &self.retries,
            Topic::DeadLetters => &self.dead_letters,
        }
    }
}

/// What the thread needs.
pub struct Settler {
    /// Name of the stage, in metrics.
    pub stage: &'static str,
    /// Publishes and commits.
    pub committer: Committer,
    /// Limits of one transaction.
    pub limits: CommitLimits,
    /// When to stop.
    pub dead_letters: DeadLetterLimits,
    /// Topic names.
    pub topics: TopicNames,
    /// Returned to on commit.
    pub budget: Arc<Budget>,
    /// Counts.
    pub totals: Arc<Totals>,
    /// Told of commits.
    pub health: Arc<Health>,
}

/// Runs until the finished records end, then commits what can be committed. Ends early when the
/// process must stop.
pub fn run(
    mut settler: Settler,
    finished: &Receiver<Finished>,
    control: &Receiver<Control>,
    stop: &Stop,
) {
    let mut state = State::default();
    let result = settler.work(&mut state, finished, control);
    for left in state.ledger.drain() {
        settler.budget.release(left.cost);
    }
    if let Err(error) = result {
        stop.fail(error);
    }
}

#[derive(Default)]
struct State {
    ledger: Ledger<Finished>,
    /// When the oldest ready record became ready.
    ready_since: Option<Instant>,
    fruitless: u32,
    /// So often a batch is halved.
    halvings: u32,
    window: Window,
    /// Of a planted bug.
    settled_twice: bool,
}

impl Settler {
    fn work(
        &mut self,
        state: &mut State,
        finished: &Receiver<Finished>,
        control: &Receiver<Control>,
    ) -> Result<(), StageError> {
        loop {
            let wait = self.wait(state);
            let next = select_biased! {
                recv(control) -> message => match message {
                    Ok(message) => {
                        self.answer(state, message);
                        continue;
                    }
                    Err(_) => Err(RecvTimeoutError::Disconnected),
                },
                recv(finished) -> record => record.map_err(|_| RecvTimeoutError::Disconnected),
                default(wait) => Err(RecvTimeoutError::Timeout),
            };
            match next {
                Ok(record) => {
                    self.take(state, record);
                    for record in finished.try_iter().take(1024) {
                        self.take(state, record);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(state, control),
            }
            if self.due(state) {
                self.commit(state)?;
            }
        }
    }

    fn take(&self, state: &mut State, record: Finished) {
        let ticket = record.ticket.clone();
        if let Err(stale) = state.ledger.finish(&ticket, record) {
            self.budget.release(stale.cost);
        }
        if state.ready_since.is_none() && state.ledger.ready().0 > 0 {
            state.ready_since = Some(Instant::now());
        }
    }

    /// How long to wait for more before something must be done.
    fn wait(&self, state: &State) -> Duration {
        match state.ready_since {
            None => Duration::from_secs(3600),
            Some(since) => self.pause(state).saturating_sub(since.elapsed()),
        }
    }

    /// After fruitless attempts the next waits longer: 200 ms, 400 ms, ... up to 5 s.
    fn pause(&self, state: &State) -> Duration {
        let factor = 1u32 << state.fruitless.min(5);
        (self.limits.interval * factor).min(Duration::from_secs(5)).max(self.limits.interval)
    }

    fn due(&self, state: &State) -> bool {
        let (records, bytes) = state.ledger.ready();
        let full = records >= self.limits.records || bytes >= self.limits.bytes;
        state.ready_since.is_some_and(|since| {
            since.elapsed() >= self.pause(state) || (full && state.fruitless == 0)
        })
    }

    /// One attempt with what is ready.
    fn commit(&mut self, state: &mut State) -> Result<Attempt, StageError> {
        let CommitLimits { records, bytes, .. } = self.limits.halved(state.halvings);
        let prefix = state.ledger.prefix(records, bytes);
        if prefix.ends.is_empty() {
            state.ready_since = None;
            return Ok(Attempt::Committed);
        }
        let records: Vec<OutputRecord<'_>> = prefix
            .items
            .iter()
            .flat_map(|finished| &finished.outgoing)
            .filter(|outgoing| {
                !(is_planted(Bug::SwallowDeadLetter)
                    && state.fruitless > 0
                    && outgoing.topic == Topic::DeadLetters)
            })
            .map(|outgoing| output_record(outgoing, self.topics.of(outgoing.topic)))
            .collect();
        let attempt = self.committer.commit(&records, &prefix.ends)?;
        let ends = prefix.ends;
        match attempt {
            Attempt::Committed if is_planted(Bug::SettleTwice) && !state.settled_twice => {
                state.settled_twice = true;
            }
            Attempt::Committed => self.advance(state, &ends)?,
            Attempt::Again if is_planted(Bug::DropAbortedBatch) => self.advance(state, &ends)?,
            Attempt::Lost => self.forsake(state),
            Attempt::Again => {
                state.fruitless += 1;
                state.halvings = state.halvings.max(state.fruitless - 1);
                state.ready_since = Some(Instant::now());
                if state.fruitless > MAX_FRUITLESS {
                    return Err(StageError::Commit(CommitError {
                        end: End::Fatal,
                        step: Step::Commit,
                        code: rdkafka::types::RDKafkaErrorCode::Fail,
                        problem: format!("{MAX_FRUITLESS} attempts in a row came to nothing"),
                    }));
                }
            }
        }
        Ok(attempt)
    }

    fn advance(&self, state: &mut State, ends: &[PrefixEnd]) -> Result<(), StageError> {
        let done = state.ledger.advance(ends);
        state.fruitless = 0;
        state.halvings = state.halvings.saturating_sub(1);
        state.ready_since = (state.ledger.ready().0 > 0).then(Instant::now);
        for finished in &done {
            self.budget.release(finished.cost);
            let dead = finished.outcomes.iter().any(|outcome| outcome.dead_letter.is_some());
            state.window.push(dead);
        }
        self.health.committed(self.budget.used() > 0);
        self.committer.consumer().note_committed(ends);
        count(self.stage, &done, ends, &self.totals);
        state.window.check(self.dead_letters)
    }

    /// Others have our partitions: what is finished is theirs to do. The rest comes with the next
    /// assignment.
    fn forsake(&self, state: &mut State) {
        for left in state.ledger.close_all() {
            self.budget.release(left.cost);
        }
        state.ready_since = None;
        state.fruitless = 0;
        self.committer.consumer().ask_to_rejoin(Rejoin::Astray);
    }

    fn answer(&self, state: &mut State, message: Control) {
        let Control::Revoked { partitions, lost, done } = message;
        self.revoke(state, &partitions, lost);
        // The poll thread waits for this; if it has gone, nobody does.
        done.send(()).ok();
    }

    /// Forgets what is held of these partitions: their next owner does it again. Nothing of it is committed
    /// now, see [`standing`](crate::broker::standing).
    fn revoke(&self, state: &mut State, partitions: &[(TopicPartition, u64)], lost: bool) {
        if is_planted(Bug::LeakPastRevocation) && !lost
            || is_planted(Bug::IgnoreLostAssignment) && lost
        {
            return;
        }
        for (partition, epoch) in partitions {
            for left in state.ledger.close(partition, *epoch) {
                self.budget.release(left.cost);
            }
        }
        if state.ledger.ready().0 == 0 {
            state.ready_since = None;
            self.health.committed(self.budget.used() > 0);
        }
    }

    /// Commits everything that is contiguous; what is not is left to the next owner.
    fn finish(&mut self, state: &mut State, control: &Receiver<Control>) -> Result<(), StageError> {
        while state.ledger.ready().0 > 0 {
            // A rebalance may be what keeps the commit from succeeding.
            if let Ok(message) = control.try_recv() {
                self.answer(state, message);
                continue;
            }
            if self.commit(state)? == Attempt::Again {
                std::thread::park_timeout(self.pause(state));
            }
        }
        Ok(())
    }
}

fn output_record<'a>(outgoing: &'a Outgoing, topic: &'a str) -> OutputRecord<'a> {
    OutputRecord {
        topic,
        partition: outgoing.partition,
        key: outgoing.key.as_deref(),
        payload: outgoing.payload.as_deref(),
        headers: &outgoing.headers,
        timestamp_ms: outgoing.timestamp_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_halved_down_to_one_record() {
        let limits = CommitLimits { interval: Duration::ZERO, records: 500, bytes: 4 << 20 };
        let halved = |times| (limits.halved(times).records, limits.halved(times).bytes);
        assert_eq!(halved(0), (500, 4 << 20));
        assert_eq!(halved(2), (125, 1 << 20));
        assert_eq!(halved(30), (1, 1));
        assert_eq!(halved(u32::MAX), (1, 1));
    }
}
