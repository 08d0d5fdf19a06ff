//! Is the transaction thread inside a client call, and for how long?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Tells a watchdog how long the current client call has been running.
#[derive(Debug)]
pub struct Heartbeat {
    origin: Instant,
    /// Milliseconds from `origin` to the start of the current call, plus one; 0 while idle.
    started: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { origin: Instant::now(), started: AtomicU64::new(0) }
    }
}

impl Heartbeat {
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Marks a call.
    pub(super) fn busy<T>(&self, call: impl FnOnce() -> T) -> T {
        self.started.store(self.now() + 1, Ordering::Relaxed);
        let result = call();
        self.started.store(0, Ordering::Relaxed);
        result
    }

    /// How long the current call has been running; zero while idle.
    pub fn busy_for(&self) -> Duration {
        match self.started.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            started => Duration::from_millis((self.now() + 1).saturating_sub(started)),
        }
    }
}
