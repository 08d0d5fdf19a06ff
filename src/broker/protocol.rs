//! What an error of the transaction protocol means, and what to do about it. Pure.
//!
//! librdkafka sorts transactional errors into retriable, requires-abort, fatal, and none of these
//! (to be treated as fatal): <https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md>.
//! One case is ours: a commit whose outcome is unknown. librdkafka has no KIP-890, so a late EndTxn
//! could hit the next transaction of the same producer. Such a producer is retired: a new one with
//! the same transactional id fences the late request, and the committed offsets then say whether the
//! batch was committed. The same holds for offsets that were sent and not answered.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// A call of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `init_transactions`
    Init,
    /// `begin_transaction`
    Begin,
    /// Handing a message to the client.
    Produce,
    /// A delivery report.
    Deliver,
    /// `send_offsets_to_transaction`
    SendOffsets,
    /// `commit_transaction`
    Commit,
    /// `abort_transaction`
    Abort,
    /// Reading the group's committed offsets.
    FetchOffsets,
    /// An ordinary offset commit (at least once).
    PlainCommit,
}

impl Step {
    /// Name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init_transactions",
            Self::Begin => "begin_transaction",
            Self::Produce => "produce",
            Self::Deliver => "deliver",
            Self::SendOffsets => "send_offsets",
            Self::Commit => "commit_transaction",
            Self::Abort => "abort_transaction",
            Self::FetchOffsets => "fetch_offsets",
            Self::PlainCommit => "commit_offsets",
        }
    }
}

/// Why the process cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Another process uses our transactional id.
    Fenced,
    /// Not allowed: an ACL is missing or the credentials are wrong.
    NotAuthorised,
    /// Anything else that does not heal.
    Fatal,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same call again with the same arguments, until the deadline.
    Retry,
    /// Abort, begin anew, produce the same records from memory.
    Abort,
    /// The outcome is unknown or the producer is unusable: make a new one and ask the committed
    /// offsets.
    Retire,
    /// Stop the process.
    End(End),
}

/// The facts of an error that the verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// librdkafka's code.
    pub code: Code,
    /// The client instance is unusable.
    pub fatal: bool,
    /// The same call may succeed.
    pub retriable: bool,
    /// The transaction must be aborted.
    pub requires_abort: bool,
}

impl Facts {
    /// Reads them off an error.
    pub fn of(error: &KafkaError) -> Self {
        match error {
            KafkaError::Transaction(inner) => Self {
                code: inner.code(),
                fatal: inner.is_fatal(),
                retriable: inner.is_retriable(),
                requires_abort: inner.txn_requires_abort(),
            },
            other => Self::of_code(other.rdkafka_error_code().unwrap_or(Code::Fail)),
        }
    }

    /// Facts of a bare code, as delivery reports give it.
    pub const fn of_code(code: Code) -> Self {
        Self { code, fatal: matches!(code, Code::Fatal), retriable: false, requires_abort: false }
    }
}

/// An error of a call, judged.
pub(super) struct Fault {
    pub(super) step: Step,
    pub(super) verdict: Verdict,
    /// librdkafka's code; `Fail` where there was none.
    pub(super) code: Code,
    /// The client's words, with the topic where one is concerned.
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(step: Step, error: &KafkaError) -> Self {
        let facts = Facts::of(error);
        Self { step, verdict: judge(step, facts), code: facts.code, problem: error.to_string() }
    }
}

/// The code says that an ACL or a credential is missing.
pub const fn is_authorisation(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
    )
}

/// Decides.
pub const fn judge(step: Step, facts: Facts) -> Verdict {
    if is_authorisation(facts.code) {
        return Verdict::End(End::NotAuthorised);
    }
    match facts.code {
        // The consumer is told too, and knows whether to believe it (`Consumer::revive`). The offsets are
        // sent again with the next commit.
        Code::FencedInstanceId if matches!(step, Step::PlainCommit) => return Verdict::Abort,
        // The broker will never take this record, in whatever transaction.
        Code::MessageSizeTooLarge | Code::InvalidRecord
            if matches!(step, Step::Produce | Step::Deliver) =>
        {
            return Verdict::End(End::Fatal);
        }
        Code::Fenced
        | Code::ProducerFenced
        | Code::TransactionCoordinatorFenced
        | Code::FencedInstanceId
            if facts.fatal || !facts.requires_abort =>
        {
            return Verdict::End(End::Fenced);
        }
        // The broker forgot our producer id (idle for transactional.id.expiration.ms), or its state
        // and ours disagree: only a new producer helps.
        Code::InvalidProducerIdMapping
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::InvalidTransactionalState
        | Code::OutOfOrderSequenceNumber
        | Code::GaplessGuarantee
            if facts.fatal || !facts.requires_abort =>
        {
            return Verdict::Retire;
        }
        _ => {}
    }
    let timed_out = matches!(
        facts.code,
        Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
    );
    match step {
        Step::Commit | Step::Abort if timed_out => Verdict::Retire,
        // The group may still take them, as those of the next transaction of the same epoch.
        Step::SendOffsets
            if facts.requires_abort
                && (timed_out || matches!(facts.code, Code::BrokerTransportFailure)) =>
        {
            Verdict::Retire
        }
        _ if facts.requires_abort => Verdict::Abort,
        _ if facts.fatal => Verdict::Retire,
        _ if facts.retriable => Verdict::Retry,
        Step::Produce if matches!(facts.code, Code::QueueFull) => Verdict::Retry,
        // The transaction has failed meanwhile (`delivery::cause` finds out why), or a broker that lags
        // behind does not know the topic, which was there at start. The records are still in memory.
        Step::Produce
            if matches!(facts.code, Code::State | Code::UnknownTopic | Code::UnknownPartition) =>
        {
            Verdict::Abort
        }
        // A failed delivery fails the transaction; the records are still in memory.
        Step::Deliver => Verdict::Abort,
        Step::Init | Step::FetchOffsets | Step::SendOffsets if timed_out => Verdict::Retry,
        Step::FetchOffsets => Verdict::Retry,
        // The offsets of an ordinary commit are sent again with the next one: no record is lost, at
        // worst some are repeated.
        Step::PlainCommit => match facts.code {
            Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
                Verdict::Abort
            }
            _ => Verdict::Retry,
        },
        _ => Verdict::End(End::Fatal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn facts(code: Code) -> Facts {
        Facts { code, fatal: false, retriable: false, requires_abort: false }
    }

    #[test]
    fn a_commit_without_an_answer_retires_the_producer() {
        let timed_out = Facts { retriable: true, ..facts(Code::OperationTimedOut) };
        assert_eq!(judge(Step::Commit, timed_out), Verdict::Retire);
        assert_eq!(judge(Step::Abort, timed_out), Verdict::Retire);
        assert_eq!(judge(Step::SendOffsets, timed_out), Verdict::Retry);
        // rust-rdkafka flushes first and reports that as Flush, without the transaction's flags.
        assert_eq!(
            judge(Step::Commit, Facts::of(&KafkaError::Flush(Code::OperationTimedOut))),
            Verdict::Retire
        );
    }

    #[test]
    fn offsets_without_an_answer_retire_the_producer() {
        for code in [Code::OperationTimedOut, Code::RequestTimedOut, Code::BrokerTransportFailure] {
            let abortable = Facts { requires_abort: true, ..facts(code) };
            assert_eq!(judge(Step::SendOffsets, abortable), Verdict::Retire);
        }
    }

    #[test]
    fn a_group_generation_error_aborts_and_keeps_the_records() {
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::FencedInstanceId] {
            let abortable = Facts { requires_abort: true, ..facts(code) };
            assert_eq!(judge(Step::SendOffsets, abortable), Verdict::Abort);
        }
    }

    #[test]
    fn fencing_ends_the_process_and_a_forgotten_producer_id_does_not() {
        let fatal = |code| Facts { fatal: true, ..facts(code) };
        assert_eq!(judge(Step::Commit, fatal(Code::Fenced)), Verdict::End(End::Fenced));
        assert_eq!(
            judge(Step::SendOffsets, fatal(Code::InvalidProducerIdMapping)),
            Verdict::Retire
        );
        assert_eq!(judge(Step::Init, facts(Code::ProducerFenced)), Verdict::End(End::Fenced));
    }

    #[test]
    fn a_missing_acl_is_named_as_such_at_any_step() {
        for step in [Step::Init, Step::Deliver, Step::SendOffsets, Step::PlainCommit] {
            let error = facts(Code::TopicAuthorizationFailed);
            assert_eq!(judge(step, error), Verdict::End(End::NotAuthorised));
        }
    }

    #[test]
    fn a_failed_delivery_aborts() {
        assert_eq!(judge(Step::Deliver, facts(Code::MessageTimedOut)), Verdict::Abort);
        assert_eq!(judge(Step::Deliver, facts(Code::PurgeInflight)), Verdict::Abort);
    }

    #[test]
    fn a_record_that_is_never_taken_ends_the_process_whoever_tells_of_it_first() {
        for step in [Step::Produce, Step::Deliver] {
            let told = facts(Code::MessageSizeTooLarge);
            let abortable = Facts { requires_abort: true, ..told };
            assert_eq!(judge(step, told), Verdict::End(End::Fatal));
            assert_eq!(judge(step, abortable), Verdict::End(End::Fatal));
        }
    }

    #[test]
    fn a_member_that_is_fenced_by_name_leaves_it_to_the_consumer() {
        let error = facts(Code::FencedInstanceId);
        assert_eq!(judge(Step::PlainCommit, error), Verdict::Abort);
        assert_eq!(judge(Step::FetchOffsets, error), Verdict::End(End::Fenced));
    }

    #[test]
    fn what_nobody_classified_is_fatal() {
        assert_eq!(judge(Step::Begin, facts(Code::Conflict)), Verdict::End(End::Fatal));
        assert_eq!(
            judge(Step::Init, facts(Code::InvalidTransactionTimeout)),
            Verdict::End(End::Fatal)
        );
    }

    #[test]
    fn a_full_queue_is_our_back_pressure() {
        assert_eq!(judge(Step::Produce, facts(Code::QueueFull)), Verdict::Retry);
    }

    #[test]
    fn a_transaction_that_takes_no_more_records_is_aborted() {
        for code in [Code::State, Code::UnknownTopic, Code::UnknownPartition] {
            assert_eq!(judge(Step::Produce, facts(code)), Verdict::Abort);
        }
        // Any other call in the wrong state is ours to mend.
        assert_eq!(judge(Step::Begin, facts(Code::State)), Verdict::End(End::Fatal));
    }
}
