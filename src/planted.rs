//! Defects that a test plants, to see whether the fault tests would notice them.
//!
//! Only a build with the feature `planted-bugs` has them, and then one at most, named by the environment
//! variable `PLANTED_BUG`. In every other build [`is_planted`] is `false` at compile time, and nothing of
//! them is left in the binary.

/// A defect of the delivery protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The input offsets are committed in a transaction before the outputs' own.
    CommitBeforeDeliveries,
    /// The offset of the last record is committed, not the one after it.
    OffsetOffByOne,
    /// A lost assignment is taken for one that still holds.
    IgnoreLostAssignment,
    /// What an aborted transaction held is taken for published.
    DropAbortedBatch,
    /// A message that the broker refused is taken for delivered (at least once).
    AcknowledgeRefused,
    /// A producer whose commit was not answered goes on, and the batch is published again.
    ReuseDeadProducer,
    /// A committed batch is not forgotten, once, and is published again.
    SettleTwice,
    /// Results of an assignment that has ended are taken in.
    SkipEpochCheck,
    /// What was finished of a revoked partition is kept, and committed after the revocation.
    LeakPastRevocation,
    /// A dead letter that was not written at the first attempt is left out of the next.
    SwallowDeadLetter,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::CommitBeforeDeliveries,
        Self::OffsetOffByOne,
        Self::IgnoreLostAssignment,
        Self::DropAbortedBatch,
        Self::AcknowledgeRefused,
        Self::ReuseDeadProducer,
        Self::SettleTwice,
        Self::SkipEpochCheck,
        Self::LeakPastRevocation,
        Self::SwallowDeadLetter,
    ];

    /// Its name, as `PLANTED_BUG` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommitBeforeDeliveries => "commit_before_deliveries",
            Self::OffsetOffByOne => "offset_off_by_one",
            Self::IgnoreLostAssignment => "ignore_lost_assignment",
            Self::DropAbortedBatch => "drop_aborted_batch",
            Self::AcknowledgeRefused => "acknowledge_refused",
            Self::ReuseDeadProducer => "reuse_dead_producer",
            Self::SettleTwice => "settle_twice",
            Self::SkipEpochCheck => "skip_epoch_check",
            Self::LeakPastRevocation => "leak_past_revocation",
            Self::SwallowDeadLetter => "swallow_dead_letter",
        }
    }
}

/// Whether the defect would be stopped by the look at the committed offsets: it then is left out.
pub(crate) fn makes_blind() -> bool {
    is_planted(Bug::IgnoreLostAssignment)
        || is_planted(Bug::ReuseDeadProducer)
        || is_planted(Bug::LeakPastRevocation)
        || is_planted(Bug::SkipEpochCheck)
}

/// Whether this process has the defect.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}

/// Whether this process has the defect.
///
/// # Panics
/// When `PLANTED_BUG` names none: a test of a misspelt defect would pass for the wrong reason.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is_planted(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("PLANTED_BUG").ok()?;
        let known = Bug::ALL.into_iter().find(|bug| bug.name() == name);
        assert!(known.is_some(), "PLANTED_BUG names no defect: {name}");
        known
    });
    *PLANTED == Some(bug)
}
