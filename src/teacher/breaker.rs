//! Whether a provider is asked at all: a circuit breaker. No clock of its own, no I/O.
//!
//! Closed: asked. After [`BreakerOptions::failures`] failures in a row it opens, and nobody asks for
//! the cooldown. Then one question is let through (half open): its success closes, its failure opens
//! for twice as long, up to the longest cooldown.

use std::time::{Duration, Instant};

/// When it opens and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Failures in a row.
    pub failures: u32,
    /// First cooldown.
    pub cooldown: Duration,
    /// Longest cooldown.
    pub longest: Duration,
}

/// The state.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    in_a_row: u32,
    cooldown: Duration,
    open_until: Option<Instant>,
    /// The one question of a half-open breaker is under way since then.
    probe: Option<Instant>,
}

/// Whether to ask now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Ask.
    Open,
    /// Ask again at that time.
    ClosedUntil(Instant),
}

impl Breaker {
    /// A closed breaker: everybody may ask.
    pub const fn new(options: BreakerOptions) -> Self {
        Self { options, in_a_row: 0, cooldown: options.cooldown, open_until: None, probe: None }
    }

    /// Whether somebody may ask at `now`; a probe is then taken to be under way.
    pub fn enter(&mut self, now: Instant) -> Gate {
        let Some(until) = self.open_until else { return Gate::Open };
        if now < until {
            return Gate::ClosedUntil(until);
        }
        // A probe that never reported (its task was dropped) must not close the door for good.
        if let Some(since) = self.probe
            && now < since + self.options.cooldown
        {
            return Gate::ClosedUntil(since + self.options.cooldown);
        }
        self.probe = Some(now);
        Gate::Open
    }

    /// It answered.
    pub const fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.cooldown = self.options.cooldown;
        self.open_until = None;
        self.probe = None;
    }

    /// It failed. `hopeless`: asking again soon cannot help (the key is not accepted).
    pub fn failed(&mut self, now: Instant, hopeless: bool) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let probing = self.probe.take().is_some();
        if self.open_until.is_some() && !probing {
            // A late failure of a question asked before it opened: known already.
            return;
        }
        if probing {
            self.cooldown = (self.cooldown * 2).min(self.options.longest);
        }
        if probing || hopeless || self.in_a_row >= self.options.failures {
            let wait = if hopeless { self.options.longest } else { self.cooldown };
            self.open_until = Some(now + wait);
        }
    }

    /// Nobody asks at present.
    pub const fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn breaker() -> Breaker {
        let (cooldown, longest) = (seconds(10), seconds(30));
        Breaker::new(BreakerOptions { failures: 3, cooldown, longest })
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_only_then() {
        let (mut breaker, now) = (breaker(), Instant::now());
        breaker.failed(now, false);
        breaker.failed(now, false);
        breaker.succeeded();
        breaker.failed(now, false);
        breaker.failed(now, false);
        assert_eq!(breaker.enter(now), Gate::Open);
        breaker.failed(now, false);
        assert_eq!(breaker.enter(now + seconds(9)), Gate::ClosedUntil(now + seconds(10)));
    }

    #[test]
    fn one_probe_decides() {
        let (mut breaker, start) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.failed(start, false));
        let after = start + seconds(10);
        assert_eq!(breaker.enter(after), Gate::Open, "the probe");
        assert!(matches!(breaker.enter(after), Gate::ClosedUntil(_)), "one at a time");
        breaker.failed(after, false);
        assert_eq!(breaker.enter(after + seconds(19)), Gate::ClosedUntil(after + seconds(20)));
        assert_eq!(breaker.enter(after + seconds(20)), Gate::Open);
        breaker.succeeded();
        assert!(!breaker.is_open());
        assert_eq!(breaker.enter(after + seconds(20)), Gate::Open);
    }

    #[test]
    fn cooldowns_grow_to_the_longest_and_a_lost_probe_is_replaced() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.failed(now, false));
        now += seconds(10);
        for _ in 0..4 {
            assert_eq!(breaker.enter(now), Gate::Open);
            breaker.failed(now, false);
            now += seconds(30);
        }
        assert_eq!(breaker.enter(now), Gate::Open, "a probe that will never report");
        assert_eq!(breaker.enter(now + seconds(10)), Gate::Open, "another");
    }

    #[test]
    fn a_key_that_is_not_accepted_opens_at_once_and_for_long() {
        let (mut breaker, now) = (breaker(), Instant::now());
        breaker.failed(now, true);
        assert_eq!(breaker.enter(now), Gate::ClosedUntil(now + seconds(30)));
    }

    #[test]
    fn late_failures_do_not_prolong_a_cooldown() {
        let (mut breaker, now) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.failed(now, false));
        breaker.failed(now + seconds(9), false);
        assert_eq!(breaker.enter(now + seconds(10)), Gate::Open);
    }
}
