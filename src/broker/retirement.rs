//! Clients that are given up: how often, and how they are dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Retirements are counted over so long.
const WINDOW: Duration = Duration::from_secs(600);

/// Clients that were given up lately. More than so many, and the trouble is not passing.
#[derive(Debug)]
pub struct Retirements {
    most: usize,
    at: VecDeque<Instant>,
}

impl Retirements {
    /// So many in ten minutes are bearable.
    pub const fn new(most: usize) -> Self {
        Self { most, at: VecDeque::new() }
    }

    /// Counts another one. False when it is one too many.
    pub fn bears(&mut self, now: Instant) -> bool {
        self.at.push_back(now);
        self.at.retain(|at| now.duration_since(*at) < WINDOW);
        self.at.len() <= self.most
    }
}

/// Drops a client (`kind`: producer or consumer) on a thread of its own: dropping flushes, or waits for the
/// coordinator, and may block.
pub fn drop_aside<T: Send + 'static>(kind: &str, client: T) {
    let dropped =
        std::thread::Builder::new().name(format!("{kind}-retire")).spawn(move || drop(client));
    if let Err(error) = dropped {
        tracing::warn!(%error, "no thread to retire the {kind} on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_within_the_window_is_not_borne_and_old_ones_are_forgotten() {
        let (start, mut retirements) = (Instant::now(), Retirements::new(2));
        assert!(retirements.bears(start));
        assert!(retirements.bears(start + Duration::from_secs(1)));
        assert!(!retirements.bears(start + Duration::from_secs(599)));
        assert!(
            !retirements.bears(start + Duration::from_secs(600)),
            "the first has gone, three are left"
        );
        assert!(retirements.bears(start + Duration::from_secs(1_199)));
    }
}
