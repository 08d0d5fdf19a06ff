//! What the health endpoints answer from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::broker::heartbeat::Heartbeat;

/// The poll thread must turn within this time.
pub const POLL_DEADLINE: Duration = Duration::from_secs(30);
/// With work at hand, a commit must follow within this time.
pub const COMMIT_DEADLINE: Duration = Duration::from_secs(60);

/// State that threads write and probes read.
#[derive(Debug)]
pub struct Health {
    origin: Instant,
    started: AtomicBool,
    draining: AtomicBool,
    joined: AtomicBool,
    last_poll_ms: AtomicU64,
    waiting_since_ms: AtomicU64,
    /// The transaction thread's heartbeat.
    pub transaction: Arc<Heartbeat>,
    watchdog: Duration,
}

/// An answer: healthy, or what is wrong.
pub type Verdict = Result<&'static str, String>;

impl Health {
    /// `watchdog`: a client call may run this long.
    pub fn new(watchdog: Duration) -> Self {
        Self {
            origin: Instant::now(),
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            joined: AtomicBool::new(false),
            last_poll_ms: AtomicU64::new(0),
            waiting_since_ms: AtomicU64::new(0),
            transaction: Arc::new(Heartbeat::default()),
            watchdog,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn since(&self, at: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(at.load(Ordering::Relaxed)))
    }

    /// Model loaded and self-tested, threads running.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Shutting down.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The group was joined, with or without partitions for us.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// The poll thread turned.
    pub fn polled(&self) {
        self.last_poll_ms.store(self.now(), Ordering::Relaxed);
    }

    /// Something was committed, or nothing waits for a commit.
    pub fn committed(&self, more_waits: bool) {
        self.waiting_since_ms.store(if more_waits { self.now() } else { 0 }, Ordering::Relaxed);
    }

    /// Something waits for a commit.
    pub fn waiting(&self) {
        if self.waiting_since_ms.load(Ordering::Relaxed) == 0 {
            self.waiting_since_ms.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The process works: restart it if not.
    ///
    /// # Errors
    /// A thread hangs.
    pub fn live(&self) -> Verdict {
        if self.started.load(Ordering::Relaxed) && self.since(&self.last_poll_ms) > POLL_DEADLINE {
            return Err(String::from("the poll thread has not turned for 30 s"));
        }
        let busy = self.transaction.busy_for();
        if busy > self.watchdog {
            return Err(format!("a Kafka call has been running for {} s", busy.as_secs()));
        }
        Ok("live")
    }

    /// The model is loaded.
    ///
    /// # Errors
    /// Not yet.
    pub fn startup(&self) -> Verdict {
        if self.started.load(Ordering::Relaxed) {
            Ok("started")
        } else {
            Err(String::from("loading the model or connecting"))
        }
    }

    /// Work is being done or could be.
    ///
    /// # Errors
    /// Draining, not in the group, or work waits and nothing is committed.
    pub fn ready(&self) -> Verdict {
        self.startup()?;
        if self.draining.load(Ordering::Relaxed) {
            return Err(String::from("draining"));
        }
        if !self.joined.load(Ordering::Relaxed) {
            return Err(String::from("not yet in the consumer group"));
        }
        let waiting = self.waiting_since_ms.load(Ordering::Relaxed) != 0;
        if waiting && self.since(&self.waiting_since_ms) > COMMIT_DEADLINE {
            return Err(String::from("records wait, and nothing was committed for 60 s"));
        }
        Ok("ready")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_needs_a_model_a_group_and_no_drain() {
        let health = Health::new(Duration::from_secs(20));
        assert!(health.startup().is_err() && health.ready().is_err());
        health.set_started();
        assert!(health.startup().is_ok());
        assert!(health.ready().is_err_and(|why| why.contains("group")));
        health.joined();
        assert!(health.ready().is_ok());
        health.set_draining();
        assert_eq!(health.ready(), Err(String::from("draining")));
        assert!(health.live().is_ok(), "draining is alive");
    }
}
