//! How a stage ends: who may ask, and what the threads make of it.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use super::StageError;

/// The three ways to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// Fetch and work.
    Run = 0,
    /// Fetch no more; finish everything that was fetched.
    Finish = 1,
    /// Fetch no more; finish running batches, drop the rest: it is not committed, so another member
    /// of the group does it.
    Leave = 2,
}

/// Shared by all threads of a stage. The mode only ever goes up.
#[derive(Debug, Default)]
pub struct Stop {
    mode: AtomicU8,
    failure: Mutex<Option<StageError>>,
}

impl Stop {
    /// The mode now.
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Acquire) {
            0 => Mode::Run,
            1 => Mode::Finish,
            _ => Mode::Leave,
        }
    }

    /// Asks for an end.
    pub fn request(&self, mode: Mode) {
        self.mode.fetch_max(mode as u8, Ordering::AcqRel);
    }

    /// Something failed: leave. The first failure is kept.
    pub fn fail(&self, error: StageError) {
        self.failure.lock().get_or_insert(error);
        self.request(Mode::Leave);
    }

    /// The first failure, if any.
    pub fn take_failure(&self) -> Option<StageError> {
        self.failure.lock().take()
    }
}

/// Reports a panic of the thread that holds it, so that no thread waits for a dead one.
pub struct PanicGuard<'a> {
    /// Whom to tell.
    pub stop: &'a Stop,
    /// Which thread.
    pub thread: &'static str,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop.fail(StageError::Panic { thread: self.thread });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_never_becomes_gentler_and_keeps_its_first_failure() {
        let stop = Stop::default();
        assert_eq!(stop.mode(), Mode::Run);
        stop.fail(StageError::Panic { thread: "a" });
        stop.fail(StageError::Panic { thread: "b" });
        stop.request(Mode::Finish);
        assert_eq!(stop.mode(), Mode::Leave);
        assert!(matches!(stop.take_failure(), Some(StageError::Panic { thread: "a" })));
    }
}
