//! Produces a batch and commits its input offsets: in one transaction, or at least once.
//!
//! Used by one thread. Every call is bounded by the transaction timeout and marked in a
//! [`Heartbeat`](super::heartbeat::Heartbeat), so that a watchdog can tell a hung client from a slow one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::{Producer as _, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::auth::Authenticator;
use super::client::Callbacks;
use super::consumer::{Consumer, offset_list};
use super::delivery::{Context, OutputRecord, Producer, Refused, cause, produce, remaining, until};
use super::heartbeat::Heartbeat;
use super::ledger::PrefixEnd;
use super::protocol::{End, Fault, Step, Verdict};
use super::retirement::{Retirements, drop_aside};
use super::standing::{Compared, Membership};
use crate::planted::{self, Bug, is_planted};
use crate::telemetry::names;

/// More producers than this in ten minutes and the trouble is not passing.
const MAX_RETIREMENTS: usize = 40;

/// The client's own default of `socket.timeout.ms`.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(60);

/// For so long a call may be late.
const OVERDUE: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Everything is published and committed.
    Committed,
    /// Nothing of it holds; the same records may be tried again.
    Again,
    /// Nothing of it holds, and it is not ours to try again: the group gave the partitions away.
    Lost,
}

/// Whether a batch may be committed by us.
enum Right {
    /// By this membership.
    Holds(Membership),
    /// At least once: at worst some records come twice.
    NotNeeded,
    /// Not to be known at present.
    Open,
    /// Another member has committed records that we still hold.
    Lost,
}

/// The process must end.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed: {problem}", step = .step.name())]
pub struct CommitError {
    /// Why.
    pub end: End,
    /// The call that failed.
    pub step: Step,
    /// librdkafka's code; `Fail` where there was none.
    pub code: Code,
    /// The client's words, with the topic where one is concerned.
    pub problem: String,
}

/// Settings of a committer.
pub struct CommitterOptions {
    /// librdkafka properties of the producer.
    pub config: ClientConfig,
    /// Exactly once, in transactions; otherwise at least once.
    pub transactional: bool,
    /// `transaction.timeout.ms`: bound of every attempt.
    pub timeout: Duration,
}

/// Publishes and commits.
pub struct Committer {
    options: CommitterOptions,
    auth: Arc<Authenticator>,
    consumer: Arc<Consumer>,
    heartbeat: Arc<Heartbeat>,
    producer: Option<Arc<Producer>>,
    retirements: Retirements,
    refused: Refused,
    compared: Compared,
}

impl Committer {
    /// Makes the producer and, for transactions, fences earlier ones with the same id and waits
    /// until their open transaction is settled.
    ///
    /// # Errors
    /// The producer cannot be made, or its id may not be used.
    pub fn start(
        options: CommitterOptions,
        auth: Arc<Authenticator>,
        consumer: Arc<Consumer>,
        heartbeat: Arc<Heartbeat>,
    ) -> Result<Self, CommitError> {
        let mut committer = Self {
            options,
            auth,
            consumer,
            heartbeat,
            producer: None,
            retirements: Retirements::new(MAX_RETIREMENTS),
            refused: Refused::default(),
            compared: Compared::default(),
        };
        committer.open().map_err(|fault| CommitError::of(fault, End::Fatal))?;
        Ok(committer)
    }

    /// The consumer whose offsets are committed.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Publishes `records` and commits `ends`.
    ///
    /// # Errors
    /// The process must end: fenced, not authorised, or a fault that does not heal.
    pub fn commit(
        &mut self,
        records: &[OutputRecord<'_>],
        ends: &[PrefixEnd],
    ) -> Result<Attempt, CommitError> {
        let started = Instant::now();
        let heartbeat = Arc::clone(&self.heartbeat);
        // First of all: with a new producer an earlier transaction of ours has ended, and only then do the
        // committed offsets say what became of it.
        if self.producer.is_none()
            && let Err(fault) = heartbeat.busy(|| self.open())
        {
            let (outcome, attempt) = heartbeat.busy(|| self.resolve(fault, started, ends));
            return noted(outcome, started, attempt);
        }
        let right = heartbeat.busy(|| self.right(ends));
        let membership = match &right {
            Right::Holds(membership) => Some(membership),
            Right::NotNeeded => None,
            Right::Open => return Ok(noted("unsettled", started, Attempt::Again)),
            Right::Lost => return Ok(noted("lost", started, Attempt::Lost)),
        };
        let (outcome, attempt) = match heartbeat.busy(|| self.attempt(records, ends, membership)) {
            Ok(()) => ("committed", Ok(Attempt::Committed)),
            Err(fault) => heartbeat.busy(|| self.resolve(fault, started, ends)),
        };
        noted(outcome, started, attempt)
    }

    /// Whether the partitions are still ours.
    fn right(&mut self, ends: &[PrefixEnd]) -> Right {
        if !self.options.transactional {
            return Right::NotNeeded;
        }
        let Some(membership) = self.consumer.membership() else { return Right::Open };
        let doubtful = self.compared.doubtful(membership.assignment, ends);
        if doubtful.is_empty() || planted::makes_blind() {
            return Right::Holds(membership);
        }
        match self.consumer.committed(&doubtful, self.options.timeout) {
            Ok(committed) if self.compared.holds(&doubtful, &committed) => Right::Holds(membership),
            Ok(_) => Right::Lost,
            Err(error) => {
                tracing::warn!(target: "kafka", %error, "the group's coordinator did not say what is committed");
                Right::Open
            }
        }
    }

    fn attempt(
        &mut self,
        records: &[OutputRecord<'_>],
        ends: &[PrefixEnd],
        membership: Option<&Membership>,
    ) -> Result<(), Fault> {
        // Short of the coordinator's own limit, so that an abort still falls within it.
        let deadline = Instant::now() + self.options.timeout.mul_f64(0.7);
        match membership {
            Some(membership) => self.in_transaction(records, ends, membership, deadline),
            None => self.at_least_once(records, ends, deadline),
        }
    }

    fn in_transaction(
        &mut self,
        records: &[OutputRecord<'_>],
        ends: &[PrefixEnd],
        membership: &Membership,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let producer = &Arc::clone(self.opened()?);
        until(Step::Begin, deadline, || producer.begin_transaction())?;
        if is_planted(Bug::CommitBeforeDeliveries) {
            commit_offsets(producer, ends, membership, deadline)?;
            until(Step::Begin, deadline, || producer.begin_transaction())?;
            produce(producer, records, deadline)?;
            return until(Step::Commit, deadline, || {
                producer.commit_transaction(remaining(deadline))
            });
        }
        // All deliveries first: one report proves that its partition is registered with the
        // coordinator, without which an abort can be fatal (librdkafka 4849).
        produce(producer, records, deadline)
            .map_err(|fault| cause(producer, &self.refused, fault))?;
        let asked = Instant::now();
        commit_offsets(producer, ends, membership, deadline)?;
        self.renew(asked);
        Ok(())
    }

    /// After a call that was slow the next transaction has a producer of its own. The client repeats by itself
    /// what is not answered in time, and the first copy may still arrive, when the next transaction is open.
    fn renew(&mut self, asked: Instant) {
        let patience = self.options.config.get("socket.timeout.ms");
        let patience = patience.and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        if asked.elapsed() >= patience.unwrap_or(SOCKET_TIMEOUT)
            && !is_planted(Bug::ReuseDeadProducer)
        {
            metrics::counter!(names::PRODUCER_RESTARTS_TOTAL, "reason" => "slow").increment(1);
            self.retire();
        }
    }

    fn at_least_once(
        &self,
        records: &[OutputRecord<'_>],
        ends: &[PrefixEnd],
        deadline: Instant,
    ) -> Result<(), Fault> {
        let producer = self.opened()?;
        produce(producer, records, deadline)
            .map_err(|fault| cause(producer, &self.refused, fault))?;
        match until(Step::PlainCommit, deadline, || self.consumer.commit(ends)) {
            // The records are out. Producing them again would only add duplicates: the next commit
            // carries these offsets too.
            Err(fault) if !matches!(fault.verdict, Verdict::End(_)) => {
                tracing::warn!(target: "kafka", problem = fault.problem, "offsets not committed; some records may be repeated");
                Ok(())
            }
            result => result,
        }
    }

    fn opened(&self) -> Result<&Arc<Producer>, Fault> {
        self.producer.as_ref().ok_or_else(|| Fault {
            step: Step::Init,
            verdict: Verdict::Retire,
            code: Code::Fail,
            problem: String::from("no producer"),
        })
    }

    /// Turns a fault into the outcome of the attempt.
    fn resolve(
        &mut self,
        fault: Fault,
        started: Instant,
        ends: &[PrefixEnd],
    ) -> (&'static str, Result<Attempt, CommitError>) {
        let fault = self.own_timeout(fault, started);
        tracing::warn!(
            target: "kafka",
            step = fault.step.name(), verdict = ?fault.verdict, problem = fault.problem,
            "publishing did not succeed"
        );
        match fault.verdict {
            Verdict::Retry | Verdict::Abort => match self.abort() {
                Ok(()) => ("aborted", Ok(Attempt::Again)),
                Err(abort) => {
                    let abort = self.own_timeout(abort, started);
                    match abort.verdict {
                        Verdict::End(end) => ("failed", Err(CommitError::of(abort, end))),
                        _ => self.replace(&abort, ends),
                    }
                }
            },
            Verdict::Retire if is_planted(Bug::ReuseDeadProducer) => {
                if let Some(producer) = &self.producer {
                    let deadline = Instant::now() + 6 * self.options.timeout;
                    let commit = || producer.commit_transaction(remaining(deadline));
                    until(Step::Commit, deadline, commit).ok();
                }
                ("aborted", Ok(Attempt::Again))
            }
            Verdict::Retire => self.replace(&fault, ends),
            Verdict::End(end) => ("failed", Err(CommitError::of(fault, end))),
        }
    }

    /// The coordinator fences a transaction that outlived its timeout (a stopped process, a stalled
    /// broker): nobody else need be there.
    fn own_timeout(&self, fault: Fault, started: Instant) -> Fault {
        if fault.verdict == Verdict::End(End::Fenced) && started.elapsed() >= self.options.timeout {
            return Fault { verdict: Verdict::Retire, ..fault };
        }
        fault
    }

    fn abort(&mut self) -> Result<(), Fault> {
        match &self.producer {
            Some(producer) if !self.options.transactional => {
                // Copies of what will be produced again.
                producer.purge(PurgeConfig::default().queue().inflight());
                Ok(())
            }
            Some(producer) => {
                let asked = Instant::now();
                let deadline = asked + self.options.timeout;
                until(Step::Abort, deadline, || producer.abort_transaction(remaining(deadline)))?;
                self.renew(asked);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Retires the producer, makes a new one, and finds out what became of the batch.
    fn replace(
        &mut self,
        fault: &Fault,
        ends: &[PrefixEnd],
    ) -> (&'static str, Result<Attempt, CommitError>) {
        metrics::counter!(names::PRODUCER_RESTARTS_TOTAL, "reason" => fault.step.name())
            .increment(1);
        if !self.retirements.bears(Instant::now()) {
            let problem =
                format!("{} producers in ten minutes; last: {}", MAX_RETIREMENTS, fault.problem);
            let (end, step, code) = (End::Fatal, fault.step, fault.code);
            return ("failed", Err(CommitError { end, step, code, problem }));
        }
        self.retire();
        if let Err(fault) = self.open() {
            return match fault.verdict {
                Verdict::End(end) => ("failed", Err(CommitError::of(fault, end))),
                _ => ("aborted", Ok(Attempt::Again)),
            };
        }
        if !self.options.transactional {
            return ("aborted", Ok(Attempt::Again));
        }
        match self.was_committed(ends) {
            Ok(true) => ("ambiguous_committed", Ok(Attempt::Committed)),
            Ok(false) => ("ambiguous_redone", Ok(Attempt::Again)),
            Err(fault) => ("failed", Err(CommitError::of(fault, End::Fatal))),
        }
    }

    /// After `init_transactions` of a newer producer no earlier transaction is open, so the
    /// committed offsets are the truth. A transaction is atomic: one partition tells for all.
    fn was_committed(&self, ends: &[PrefixEnd]) -> Result<bool, Fault> {
        let deadline = Instant::now() + 3 * self.options.timeout;
        let mut committed = BTreeMap::new();
        until(Step::FetchOffsets, deadline, || {
            committed = self.consumer.committed(ends, remaining(deadline))?;
            Ok(())
        })?;
        Ok(ends
            .iter()
            .all(|end| committed.get(&end.partition).is_some_and(|at| *at >= end.next_offset)))
    }

    fn open(&mut self) -> Result<(), Fault> {
        let context = Context {
            callbacks: Callbacks::new(Arc::clone(&self.auth)),
            refused: Arc::clone(&self.refused),
        };
        let producer =
            Producer::from_config_and_context(&self.options.config, context).map_err(|error| {
                Fault {
                    step: Step::Init,
                    verdict: Verdict::End(End::Fatal),
                    code: Code::Fail,
                    problem: error.to_string(),
                }
            })?;
        if self.options.transactional {
            // The coordinator may have to settle an earlier transaction first.
            let deadline = Instant::now() + 6 * self.options.timeout;
            until(Step::Init, deadline, || producer.init_transactions(self.options.timeout))?;
        }
        self.producer = Some(Arc::new(producer));
        Ok(())
    }

    /// What became of its last transaction may not be known, and perhaps not soon: what was compared before
    /// counts no more.
    fn retire(&mut self) {
        self.compared = Compared::default();
        if let Some(producer) = self.producer.take() {
            drop_aside("producer", producer);
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.retire();
    }
}

impl CommitError {
    fn of(fault: Fault, otherwise: End) -> Self {
        let end = match fault.verdict {
            Verdict::End(end) => end,
            _ => otherwise,
        };
        Self { end, step: fault.step, code: fault.code, problem: fault.problem }
    }
}

/// Counts an attempt.
fn noted<T>(outcome: &'static str, started: Instant, attempt: T) -> T {
    metrics::counter!(names::TRANSACTIONS_TOTAL, "outcome" => outcome).increment(1);
    metrics::histogram!(names::TRANSACTION_DURATION_SECONDS)
        .record(started.elapsed().as_secs_f64());
    attempt
}

/// Adds the input offsets to the open transaction and commits it.
fn commit_offsets(
    producer: &Arc<Producer>,
    ends: &[PrefixEnd],
    membership: &Membership,
    deadline: Instant,
) -> Result<(), Fault> {
    send_offsets(producer, ends, membership, deadline)?;
    until(Step::Commit, deadline, || producer.commit_transaction(remaining(deadline)))
}

/// Adds the input offsets to the open transaction, on a thread of its own: when the group's coordinator has
/// gone, the client does not come back from this call, whatever its deadline (librdkafka 5456, 5511). A
/// producer that does not is retired with the thread that waits for it, as if its answer were lost.
fn send_offsets(
    producer: &Arc<Producer>,
    ends: &[PrefixEnd],
    membership: &Membership,
    deadline: Instant,
) -> Result<(), Fault> {
    let offsets = offset_list(ends).map_err(|error| Fault::new(Step::SendOffsets, &error))?;
    let (producer, metadata) = (Arc::clone(producer), Arc::clone(&membership.metadata));
    let (sent_in, sent) = bounded(1);
    let call = move || {
        let result = until(Step::SendOffsets, deadline, || {
            producer.send_offsets_to_transaction(&offsets, &metadata, remaining(deadline))
        });
        // Perhaps nobody waits any more.
        sent_in.send(result).ok();
    };
    let lost = |problem: String| Fault {
        step: Step::SendOffsets,
        verdict: Verdict::Retire,
        code: Code::OperationTimedOut,
        problem,
    };
    std::thread::Builder::new()
        .name(String::from("send-offsets"))
        .spawn(call)
        .map_err(|error| lost(error.to_string()))?;
    sent.recv_timeout(remaining(deadline) + OVERDUE)
        .unwrap_or_else(|_| Err(lost(String::from("the client did not come back from the call"))))
}
