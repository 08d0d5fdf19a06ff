//! What processes say of themselves while a run lasts: what they hold, and why nothing moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::metrics;
use crate::support::processes::{Radstream, http_get};

/// Without a commit for so long, while records wait, a metric must say why.
const STALL: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Metrics that move, or are not zero, while something keeps a process from its work.
const REASONS: [&str; 6] = [
    "radstream_backpressure_seconds_total",
    "radstream_broker_throttle_seconds",
    "radstream_consumer_restarts_total",
    "radstream_kafka_errors_total",
    "radstream_producer_restarts_total",
    "radstream_rebalances_total",
];

/// All processes of a run.
#[derive(Debug)]
pub struct Watch {
    looked: Option<Instant>,
    processes: BTreeMap<u32, Process>,
    /// Stalls that no metric explained.
    pub unexplained: Vec<String>,
    /// Stalls that one did.
    pub explained: Vec<String>,
    /// The most that any process held beyond what it held at its start, bytes.
    pub most_held: u64,
    /// The most that any process said it had of its budget, bytes.
    pub most_charged: f64,
    /// The most records that were behind, of any process.
    pub most_lag: f64,
}

#[derive(Debug)]
struct Process {
    address: String,
    /// Resident bytes when it began to listen.
    at_start: u64,
    committed: f64,
    since: Instant,
    /// What the reasons were when it last committed.
    reasons: BTreeMap<String, f64>,
    now: BTreeMap<String, f64>,
}

impl Watch {
    pub fn new() -> Self {
        Self {
            looked: None,
            processes: BTreeMap::new(),
            unexplained: Vec::new(),
            explained: Vec::new(),
            most_held: 0,
            most_charged: 0.0,
            most_lag: 0.0,
        }
    }

    /// Whether it is time to look.
    pub fn is_due(&mut self) -> bool {
        let due = self.looked.is_none_or(|at| at.elapsed() >= LOOK);
        if due {
            self.looked = Some(Instant::now());
        }
        due
    }

    /// Looks at a process, if it lives.
    pub fn look(&mut self, name: &str, process: &mut Radstream) {
        if process.try_wait().is_some() {
            return;
        }
        let pid = process.pid();
        let known = self
            .processes
            .entry(pid)
            .or_insert_with(|| Process::new(process.address(), process.memory().now));
        // It may end at any moment.
        let Ok((200, text)) = http_get(&known.address, "/metrics") else { return };
        if process.try_wait().is_some() {
            return;
        }
        self.most_held = self.most_held.max(process.memory().peak.saturating_sub(known.at_start));
        let metrics = parsed(&text);
        let sum = |name: &str| sum_of(&metrics, name);
        self.most_charged = self.most_charged.max(sum("radstream_memory_used_bytes"));
        let lag = sum("radstream_consumer_lag_records");
        self.most_lag = self.most_lag.max(lag);
        let committed = sum("radstream_transactions_total{outcome=\"committed\"}");
        let reasons = reasons(&metrics);
        let waits = lag > 0.0 || sum("radstream_memory_used_bytes") > 0.0;
        if committed > known.committed || !waits {
            known.committed = committed;
            known.since = Instant::now();
            known.reasons.clone_from(&reasons);
        } else if known.since.elapsed() > STALL {
            let moved = known.moved(&reasons);
            let what = format!("{name} committed nothing for {STALL:?}: {}", moved.join(", "));
            if moved.is_empty() { &mut self.unexplained } else { &mut self.explained }.push(what);
            known.since = Instant::now();
            known.reasons.clone_from(&reasons);
        }
        known.now = metrics;
    }

    /// What a metric said last, over all processes; with labels, as far as they are given.
    pub fn sum(&self, name: &str) -> f64 {
        self.processes.values().map(|process| sum_of(&process.now, name)).sum()
    }
}

impl Process {
    fn new(address: String, at_start: u64) -> Self {
        let (reasons, now) = (BTreeMap::new(), BTreeMap::new());
        Self { address, at_start, committed: 0.0, since: Instant::now(), reasons, now }
    }

    /// Which reasons moved since the last commit, or hold now.
    fn moved(&self, now: &BTreeMap<String, f64>) -> Vec<String> {
        let moved = now.iter().filter(|(name, value)| {
            let holds = name.starts_with("radstream_broker_throttle_seconds") && **value > 0.0;
            holds || self.reasons.get(*name).copied().unwrap_or_default() != **value
        });
        moved.map(|(name, _)| name.clone()).collect()
    }
}

/// Samples by name and labels.
fn parsed(page: &str) -> BTreeMap<String, f64> {
    metrics::samples(page).map(|(series, value)| (series.to_owned(), value)).collect()
}

fn sum_of(metrics: &BTreeMap<String, f64>, name: &str) -> f64 {
    let fits =
        |at: &str| at == name || at.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
    metrics.iter().filter(|(at, _)| fits(at)).map(|(_, value)| value).sum()
}

fn reasons(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let is_reason = |name: &str| {
        let bare = name.split('{').next().unwrap_or(name);
        let failed = bare == "radstream_transactions_total" && !name.contains("\"committed\"");
        failed || REASONS.contains(&bare)
    };
    metrics.iter().filter(|(name, _)| is_reason(name)).map(|(n, v)| (n.clone(), *v)).collect()
}

#[test]
fn a_stall_is_explained_by_what_moved_since_the_last_commit() {
    let at = |text: &str| reasons(&parsed(text));
    let quiet =
        "radstream_transactions_total{outcome=\"committed\"} 4\nradstream_rebalances_total 1\n";
    let mut process = Process::new(String::new(), 0);
    process.reasons = at(quiet);
    assert_eq!(process.moved(&at(quiet)), Vec::<String>::new());
    let throttled =
        format!("{quiet}radstream_broker_throttle_seconds{{client=\"producer\"}} 3.5\n");
    assert_eq!(
        process.moved(&at(&throttled)),
        ["radstream_broker_throttle_seconds{client=\"producer\"}"]
    );
    let aborted = format!("{quiet}radstream_transactions_total{{outcome=\"aborted\"}} 1\n");
    assert_eq!(process.moved(&at(&aborted)), ["radstream_transactions_total{outcome=\"aborted\"}"]);
    assert_eq!(sum_of(&parsed(&aborted), "radstream_transactions_total"), 5.0);
}
