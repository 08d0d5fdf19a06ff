//! How fast a provider is asked: how many questions at once, and how many requests and tokens a minute.
//!
//! The number at once finds itself (additive increase, multiplicative decrease, as TCP does): each
//! success adds a little, each sign that the server has too much to do halves it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use metrics::Gauge;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::telemetry::names;

/// Limits of one provider.
#[derive(Clone, Copy, Debug)]
pub struct LimitOptions {
    /// Questions at once, at most.
    pub concurrency: u32,
    /// Requests a minute; 0: no limit.
    pub requests_per_minute: u32,
    /// Tokens a minute, prompt and answer; 0: no limit.
    pub tokens_per_minute: u32,
}

/// A decrease holds for so long: the questions under way then tell nothing new.
const SETTLE: Duration = Duration::from_secs(1);

/// How many at once. Pure but for the time it is told.
#[derive(Debug)]
struct Aimd {
    most: f64,
    limit: f64,
    in_flight: u32,
    decreased: Option<Instant>,
}

impl Aimd {
    fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self { most, limit: most.min(4.0), in_flight: 0, decreased: None }
    }

    fn enter(&mut self) -> bool {
        let free = f64::from(self.in_flight) + 1.0 <= self.limit.max(1.0);
        self.in_flight += u32::from(free);
        free
    }

    fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn increase(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit.max(1.0)).min(self.most);
    }

    fn decrease(&mut self, now: Instant) {
        if self.decreased.is_none_or(|at| now >= at + SETTLE) {
            self.limit = (self.limit / 2.0).max(1.0);
            self.decreased = Some(now);
        }
    }
}

type Rate = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;

/// The limits in force.
pub struct Limits {
    aimd: Mutex<Aimd>,
    freed: Notify,
    requests: Option<Rate>,
    tokens: Option<(Rate, NonZeroU32)>,
    shown: Gauge,
}

impl Limits {
    /// Limits of the provider of that name.
    pub fn new(options: LimitOptions, provider: &str) -> Self {
        // A burst of a twentieth of a minute: the server counts in windows of its own.
        let rate = |per_minute: NonZeroU32| {
            let burst = NonZeroU32::new(per_minute.get() / 20).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_minute(per_minute).allow_burst(burst))
        };
        let tokens = NonZeroU32::new(options.tokens_per_minute).map(|per_minute| {
            let burst = NonZeroU32::new((per_minute.get() / 20).max(1)).unwrap_or(NonZeroU32::MIN);
            (rate(per_minute), burst)
        });
        Self {
            aimd: Mutex::new(Aimd::new(options.concurrency)),
            freed: Notify::new(),
            requests: NonZeroU32::new(options.requests_per_minute).map(rate),
            tokens,
            shown: metrics::gauge!(names::TEACHER_CONCURRENCY_LIMIT, "provider" => provider.to_owned()),
        }
    }

    /// Waits until one more question of about `tokens` may be asked. The place is free again when the
    /// [`Place`] is dropped.
    pub async fn enter(self: &Arc<Self>, tokens: u64) -> Place {
        loop {
            let freed = self.freed.notified();
            if self.aimd.lock().enter() {
                break;
            }
            freed.await;
        }
        let place = Place(Arc::clone(self));
        if let Some(requests) = &self.requests {
            requests.until_ready().await;
        }
        if let Some((rate, burst)) = &self.tokens {
            // More than a burst is waited for in parts: it is let through, later.
            let mut left = u32::try_from(tokens).unwrap_or(u32::MAX);
            while let Some(part) = NonZeroU32::new(left.min(burst.get())) {
                rate.until_n_ready(part).await.ok();
                left -= part.get();
            }
        }
        place
    }

    /// It answered.
    pub fn succeeded(&self) {
        let mut aimd = self.aimd.lock();
        aimd.increase();
        self.shown.set(aimd.limit);
        drop(aimd);
        self.freed.notify_one();
    }

    /// It asks for less.
    pub fn slow_down(&self) {
        let mut aimd = self.aimd.lock();
        aimd.decrease(Instant::now());
        self.shown.set(aimd.limit);
    }
}

/// A question under way.
pub struct Place(Arc<Limits>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.aimd.lock().leave();
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_adds_one_a_round_and_trouble_halves_once() {
        let mut aimd = Aimd::new(16);
        assert_eq!(aimd.limit as u32, 4);
        (0..5).for_each(|_| aimd.increase());
        assert_eq!(aimd.limit as u32, 5, "about as many successes as places make one more");
        (0..1000).for_each(|_| aimd.increase());
        assert_eq!(aimd.limit as u32, 16);
        let now = Instant::now();
        (0..8).for_each(|_| aimd.decrease(now));
        assert_eq!(aimd.limit as u32, 8, "all that were under way say the same");
        (1..9).for_each(|n| aimd.decrease(now + n * SETTLE));
        assert_eq!(aimd.limit as u32, 1, "never none");
    }

    #[test]
    fn no_more_enter_than_the_limit() {
        let mut aimd = Aimd::new(2);
        assert!(aimd.enter() && aimd.enter() && !aimd.enter());
        aimd.leave();
        assert!(aimd.enter());
    }
}
