//! The batcher in virtual time, on the lengths of real-looking reports: how much work is padding,
//! and how long a report waits.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::{Duration, Instant};

use radstream::student::Buckets;
use serde_json::Value;

const EDGES: [usize; 17] =
    [16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512];
const BATCH_TOKENS: usize = 1_024;
const MAX_AGE: Duration = Duration::from_millis(50);

/// Token counts of the project's own corpus, as a tokenizer that cuts at words, marks and digits
/// sees it.
fn lengths() -> Vec<usize> {
    let corpus = std::fs::read_to_string("distill/corpus/reports.jsonl").unwrap();
    let length = |line: &str| {
        let report: Value = serde_json::from_str(line).unwrap();
        let text = format!("{}\n{}", report["findings"], report["impression"]);
        let mut tokens = 2;
        let mut in_word = false;
        for c in text.chars() {
            if !in_word && c.is_alphabetic() || !c.is_alphabetic() && !c.is_whitespace() {
                tokens += 1;
            }
            in_word = c.is_alphabetic();
        }
        tokens.min(512)
    };
    let lengths: Vec<usize> = corpus.lines().map(length).collect();
    assert!(lengths.len() > 1_000);
    lengths
}

/// A small generator of our own: the test must give the same numbers everywhere.
struct Random(u64);

impl Random {
    /// Uniform in 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap()) / f64::from(1_u32 << 31)
    }

    fn below(&mut self, n: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small numbers"
        )]
        let picked = (self.unit() * n as f64) as usize;
        picked.min(n - 1)
    }
}

#[derive(Debug)]
struct Outcome {
    /// Share of the computed tokens that are padding.
    waste: f64,
    /// Longest time from arrival to the start of the batch.
    longest_wait: Duration,
}

/// Two sessions of 100,000 padded tokens a second; reports arrive at random, as many real tokens a
/// second as `load` times what the sessions compute.
fn simulate(load: f64, reports: usize) -> Outcome {
    const TOKEN_TIME: Duration = Duration::from_micros(10);
    const SESSIONS: usize = 2;
    let lengths = lengths();
    let mean_length = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    let mut random = Random(7);
    let start = Instant::now();
    let mut arrives = start;
    let arrivals: Vec<(Instant, usize)> = (0..reports)
        .map(|_| {
            let length = lengths[random.below(lengths.len())];
            let mean = mean_length * TOKEN_TIME.as_secs_f64() / (load * SESSIONS as f64);
            arrives += Duration::from_secs_f64(-mean * (1.0 - random.unit()).ln());
            (arrives, length)
        })
        .collect();

    let mut buckets = Buckets::new(&EDGES, BATCH_TOKENS, MAX_AGE, 0);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut free_at = [start; SESSIONS];
    let (mut real, mut padded, mut longest_wait) = (0_usize, 0_usize, Duration::ZERO);
    loop {
        let session = (0..SESSIONS).min_by_key(|s| free_at[*s]).unwrap();
        let mut now = free_at[session];
        if buckets.is_empty() {
            let Some((next, _)) = arrivals.peek() else { break };
            now = now.max(*next);
        }
        while let Some((at, length)) = arrivals.next_if(|(at, _)| *at <= now) {
            buckets.push((at, length), length, at);
        }
        let batch = buckets.pop(now).unwrap();
        padded += batch.padded_tokens();
        real += batch.items.iter().map(|(_, length)| length).sum::<usize>();
        for (at, _) in &batch.items {
            longest_wait = longest_wait.max(now - *at);
        }
        let tokens = u32::try_from(batch.padded_tokens()).unwrap();
        free_at[session] = now + TOKEN_TIME * tokens;
    }
    Outcome { waste: 1.0 - real as f64 / padded as f64, longest_wait }
}

#[test]
fn at_most_an_eighth_of_the_work_is_padding_at_any_load() {
    for load in [0.2, 0.7, 0.85, 1.5] {
        let outcome = simulate(load, 20_000);
        println!("load {load}: {outcome:?}");
        assert!(outcome.waste <= 0.12, "load {load}: {outcome:?}");
    }
}

#[test]
fn below_capacity_no_report_waits_much_longer_than_the_age_guard() {
    let outcome = simulate(0.7, 20_000);
    let batch = Duration::from_micros(10) * u32::try_from(BATCH_TOKENS).unwrap();
    assert!(outcome.longest_wait <= MAX_AGE + 3 * batch, "{outcome:?}");
}

#[test]
fn first_come_first_served_would_waste_more_than_twice_as_much() {
    let lengths = lengths();
    let (mut real, mut padded) = (0, 0);
    for batch in lengths.chunks(8) {
        real += batch.iter().sum::<usize>();
        padded += batch.len() * batch.iter().max().unwrap();
    }
    let waste = 1.0 - real as f64 / padded as f64;
    println!("first come, eight at a time: {waste}");
    assert!(waste > 2.0 * simulate(1.5, 20_000).waste);
}
