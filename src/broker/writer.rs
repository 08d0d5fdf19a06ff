//! Records in transactions of their own, without input offsets: whoever writes must be able to read off
//! the topics what was written before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::producer::Producer as _;

use super::auth::Authenticator;
use super::client::Callbacks;
use super::delivery::{Context, OutputRecord, Producer, Refused, cause, produce, remaining, until};
use super::protocol::{End, Fault, Step, Verdict};

/// How often a transaction that was aborted is tried again.
const ATTEMPTS: u32 = 10;
/// Pause after the first abort; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writing has ended. What was committed before stands.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A newer writer has our transactional id.
    #[error("another process has taken over the transactional id {id}")]
    Fenced {
        /// `transactional.id`.
        id: String,
    },
    /// An ACL is missing, or the credentials are wrong.
    #[error("{} is not authorised: {problem}", .step.name())]
    NotAuthorised {
        /// The call that failed.
        step: Step,
        /// The client's words, with the topic where one is concerned.
        problem: String,
    },
    /// Anything else. The last transaction is committed whole, or will be aborted whole.
    #[error("{} failed: {problem}", .step.name())]
    Failed {
        /// The call that failed.
        step: Step,
        /// The client's words.
        problem: String,
    },
}

/// Writes in transactions.
pub struct Writer {
    producer: Producer,
    refused: Refused,
    id: String,
    timeout: Duration,
}

impl Writer {
    /// Makes a producer with this `transactional.id`, fences earlier ones with the same, and waits until
    /// their open transaction is settled. `timeout` is `transaction.timeout.ms`.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn start(
        mut config: ClientConfig,
        id: &str,
        timeout: Duration,
        auth: Arc<Authenticator>,
    ) -> Result<Self, WriteError> {
        config.set("transactional.id", id);
        let refused = Refused::default();
        let context = Context { callbacks: Callbacks::new(auth), refused: Arc::clone(&refused) };
        let producer = Producer::from_config_and_context(&config, context)
            .map_err(|error| WriteError::Failed { step: Step::Init, problem: error.to_string() })?;
        let writer = Self { producer, refused, id: id.to_owned(), timeout };
        // The coordinator may have to settle an earlier transaction first.
        let started = Instant::now();
        let deadline = started + 6 * timeout;
        until(Step::Init, deadline, || writer.producer.init_transactions(timeout))
            .map_err(|fault| writer.end(fault, started))?;
        Ok(writer)
    }

    /// Writes all of `records`, or none, in one transaction. One that is aborted is tried again.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is of no use afterwards.
    pub fn write(&self, records: &[OutputRecord<'_>]) -> Result<(), WriteError> {
        let (mut attempt, mut pause) = (1, FIRST_PAUSE);
        loop {
            let started = Instant::now();
            let Err(fault) = self.attempt(records, started) else { return Ok(()) };
            tracing::warn!(
                target: "kafka",
                step = fault.step.name(), verdict = ?fault.verdict, problem = fault.problem,
                "a transaction did not succeed"
            );
            let abortable = matches!(fault.verdict, Verdict::Retry | Verdict::Abort);
            if !abortable {
                return Err(self.end(fault, started));
            }
            let deadline = Instant::now() + self.timeout;
            until(Step::Abort, deadline, || self.producer.abort_transaction(remaining(deadline)))
                .map_err(|fault| self.end(fault, started))?;
            if attempt >= ATTEMPTS {
                return Err(self.end(fault, started));
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            attempt += 1;
        }
    }

    fn attempt(&self, records: &[OutputRecord<'_>], started: Instant) -> Result<(), Fault> {
        // Short of the coordinator's own limit, so that an abort still falls within it.
        let deadline = started + self.timeout.mul_f64(0.7);
        let producer = &self.producer;
        until(Step::Begin, deadline, || producer.begin_transaction())?;
        // All deliveries first, as in the committer.
        produce(producer, records, deadline)
            .map_err(|fault| cause(producer, &self.refused, fault))?;
        until(Step::Commit, deadline, || producer.commit_transaction(remaining(deadline)))
    }

    fn end(&self, fault: Fault, started: Instant) -> WriteError {
        let Fault { step, verdict, problem, .. } = fault;
        match verdict {
            // The coordinator fences a transaction that outlived its timeout, too.
            Verdict::End(End::Fenced) if started.elapsed() < self.timeout => {
                WriteError::Fenced { id: self.id.clone() }
            }
            Verdict::End(End::NotAuthorised) => WriteError::NotAuthorised { step, problem },
            _ => WriteError::Failed { step, problem },
        }
    }
}
