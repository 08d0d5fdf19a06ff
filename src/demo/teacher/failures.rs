//! Which call fails, and how.

use std::time::Duration;

use crate::demo::generator::dice::Dice;

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 429 with `Retry-After` of 0 or 1 seconds.
    RateLimited,
    /// 500.
    ServerError,
    /// The request is taken and never answered.
    Hang,
    /// A good answer, late.
    Slow,
    /// The connection is closed in the middle of the answer's body.
    Cut,
    /// The answer's content is no JSON: cut short, or prose.
    InvalidJson,
    /// JSON that breaks the schema: an unknown status, or an observation that is not there.
    SchemaViolation,
    /// A quote that the report does not have.
    WrongQuote,
}

impl Fault {
    /// All faults, in the order in which their shares are laid side by side.
    pub const ALL: [Self; 8] = [
        Self::RateLimited,
        Self::ServerError,
        Self::Hang,
        Self::Slow,
        Self::Cut,
        Self::InvalidJson,
        Self::SchemaViolation,
        Self::WrongQuote,
    ];

    /// Machine name (`rate_limited`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Hang => "hang",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::InvalidJson => "invalid_json",
            Self::SchemaViolation => "schema_violation",
            Self::WrongQuote => "wrong_quote",
        }
    }
}

/// How often calls fail: the share of each fault, from 0 to 1. A call has one fault at most; shares
/// that come to more than 1 together leave nothing for the last ones.
///
/// A call is a request to complete a chat that is neither refused for its key nor for its form. Calls
/// are numbered from 0. What becomes of a call depends on seed and number alone; which request gets
/// which number is as they arrive.
#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    /// Share of [`Fault::RateLimited`].
    pub rate_limited: f64,
    /// Share of [`Fault::ServerError`].
    pub server_error: f64,
    /// Share of [`Fault::Hang`].
    pub hang: f64,
    /// Share of [`Fault::Slow`].
    pub slow: f64,
    /// How late a slow answer is, beside the latency of all.
    pub slow_for: Duration,
    /// Share of [`Fault::Cut`].
    pub cut: f64,
    /// Share of [`Fault::InvalidJson`].
    pub invalid_json: f64,
    /// Share of [`Fault::SchemaViolation`].
    pub schema_violation: f64,
    /// Share of [`Fault::WrongQuote`].
    pub wrong_quote: f64,
    /// Another seed, other calls.
    pub seed: u64,
}

impl Default for Failures {
    /// None. Slow, should its share be set, is one second.
    fn default() -> Self {
        Self {
            rate_limited: 0.0,
            server_error: 0.0,
            hang: 0.0,
            slow: 0.0,
            slow_for: Duration::from_secs(1),
            cut: 0.0,
            invalid_json: 0.0,
            schema_violation: 0.0,
            wrong_quote: 0.0,
            seed: 0,
        }
    }
}

impl Failures {
    /// Spreads `total`, from 0 to 1, over every fault.
    pub fn all_evenly(total: f64, seed: u64) -> Self {
        let mut failures = Self { seed, ..Self::default() };
        for fault in Fault::ALL {
            *failures.share_mut(fault) = total / 8.0;
        }
        failures
    }

    /// One fault only, in every call.
    pub fn always(fault: Fault) -> Self {
        let mut failures = Self::default();
        *failures.share_mut(fault) = 1.0;
        failures
    }

    /// What is wrong with that call; `None` for a good one.
    pub fn at(&self, call: u64) -> Option<Fault> {
        let drawn = Dice::new(self.seed, call, "teacher's fault").share();
        let mut reached = 0.0;
        Fault::ALL.into_iter().find(|&fault| {
            // `max` also turns a share that is not a number into 0.
            reached += self.share(fault).max(0.0);
            drawn < reached
        })
    }

    /// Draws for that call's details: which of two forms, which observation.
    pub(super) fn details(&self, call: u64) -> Dice {
        Dice::new(self.seed, call, "teacher's details")
    }

    fn share(&self, fault: Fault) -> f64 {
        match fault {
            Fault::RateLimited => self.rate_limited,
            Fault::ServerError => self.server_error,
            Fault::Hang => self.hang,
            Fault::Slow => self.slow,
            Fault::Cut => self.cut,
            Fault::InvalidJson => self.invalid_json,
            Fault::SchemaViolation => self.schema_violation,
            Fault::WrongQuote => self.wrong_quote,
        }
    }

    fn share_mut(&mut self, fault: Fault) -> &mut f64 {
        match fault {
            Fault::RateLimited => &mut self.rate_limited,
            Fault::ServerError => &mut self.server_error,
            Fault::Hang => &mut self.hang,
            Fault::Slow => &mut self.slow,
            Fault::Cut => &mut self.cut,
            Fault::InvalidJson => &mut self.invalid_json,
            Fault::SchemaViolation => &mut self.schema_violation,
            Fault::WrongQuote => &mut self.wrong_quote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(failures: &Failures) -> Vec<Option<Fault>> {
        (0..4000).map(|call| failures.at(call)).collect()
    }

    #[test]
    fn the_schedule_is_the_seeds_and_no_other() {
        let first = schedule(&Failures::all_evenly(0.4, 7));
        assert_eq!(first, schedule(&Failures::all_evenly(0.4, 7)));
        assert_ne!(first, schedule(&Failures::all_evenly(0.4, 8)));
    }

    #[test]
    fn every_fault_has_its_share() {
        let calls = schedule(&Failures::all_evenly(0.4, 7));
        for fault in Fault::ALL {
            let count = calls.iter().filter(|drawn| **drawn == Some(fault)).count();
            assert!((150..250).contains(&count), "{} of 200 expected: {count}", fault.name());
        }
    }

    #[test]
    fn none_fails_by_default_and_all_with_a_share_of_one() {
        assert!(schedule(&Failures::default()).iter().all(Option::is_none));
        assert!(schedule(&Failures::all_evenly(1.0, 3)).iter().all(Option::is_some));
        let always = schedule(&Failures::always(Fault::Cut));
        assert!(always.iter().all(|fault| *fault == Some(Fault::Cut)));
    }

    #[test]
    fn a_share_that_is_no_number_is_none() {
        let odd = Failures { hang: f64::NAN, cut: -1.0, ..Failures::default() };
        assert!(schedule(&odd).iter().all(Option::is_none));
    }
}
