//! Models change under load on real Kafka: nothing lost, nothing twice, bad ones refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use radstream::publish::{Contract, FindingsEvent, decode};
use support::escalations::now_ms;
use support::kafka::KafkaBroker;
use support::metrics;
use support::models::{Bad, ModelStore};
use support::processes::{RadstreamCommand, http_get};
use support::records::Message;
use support::stage::{Stage, assert_exactly_once, expected_of};

const SEED: u64 = 29;
const SWAPS: usize = 20;
/// Messages fed at least. `RADSTREAM_SWAP_MESSAGES=100000` for the figures of docs/REDISTILLATION.md.
const MESSAGES: u64 = 10_000;
/// Fed at a time, when less than twice as much waits: there is work at every moment.
const SLICE: u64 = 400;
/// What the process may hold more at its end than after its first swaps.
const SLACK: u64 = 96 << 20;
const PATIENCE: Duration = Duration::from_secs(1800);
const GRACE: Duration = Duration::from_secs(60);

/// The model that labelled, and when, ms; `None` for an event without labels.
fn labelling(message: &Message) -> Option<(String, i64)> {
    let event: FindingsEvent<'static> =
        decode(Contract::Findings, message.bytes()).expect("a findings event");
    event.model.map(|model| (model.version.clone(), event.labelled_at))
}

/// Value of a metric without labels, or with exactly these.
fn metric(page: &str, series: &str) -> f64 {
    metrics::value(page, series).unwrap_or(0.0)
}

/// Keeps the input topic ahead of the work, and knows what has come of it.
struct Flow<'a> {
    stage: &'a Stage<'a>,
    fed: u64,
    expected: usize,
    seen: usize,
    by_version: BTreeMap<String, usize>,
    /// When each model labelled last, ms.
    last: BTreeMap<String, i64>,
}

impl Flow<'_> {
    fn turn(&mut self, findings: &[Message]) {
        for message in &findings[self.seen..] {
            if let Some((version, labelled_at)) = labelling(message) {
                let last = self.last.entry(version.clone()).or_default();
                *last = labelled_at.max(*last);
                *self.by_version.entry(version).or_default() += 1;
            }
        }
        self.seen = findings.len();
        if self.expected < self.seen + 2 * SLICE as usize {
            let more = self.fed..self.fed + SLICE;
            self.expected += expected_of(SEED, more.clone()).0;
            self.fed = more.end;
            self.stage.feed_numbers(SEED, more);
        }
    }

    fn of(&self, version: &str) -> usize {
        self.by_version.get(version).copied().unwrap_or(0)
    }

    fn has_labelled_since(&self, version: &str, moment: i64) -> bool {
        self.last.get(version).is_some_and(|last| *last > moment)
    }
}

/// Every fourth model is bad, each in its own way.
fn bad(swap: usize) -> Option<Bad> {
    (swap % 4 == 3).then(|| Bad::ALL[swap / 4])
}

#[test]
fn twenty_models_come_under_load_five_are_refused_and_each_report_has_one_finding() {
    let messages = std::env::var("RADSTREAM_SWAP_MESSAGES")
        .map_or(MESSAGES, |text| text.parse().expect("RADSTREAM_SWAP_MESSAGES is a number"));
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "swapped");
    let store = ModelStore::create();
    store.good("v-first");
    store.point_to("v-first");
    let name = |swap: usize| format!("v{swap:02}");
    let student = format!(
        "[student]\nmodel = {:?}\nwatch_interval_s = 1\nsessions = 2\n",
        store.current().display().to_string()
    );
    let config = stage.config("only", &student);
    let mut process = RadstreamCommand::new(&["run", "--stage", "label"]).config(&config).spawn();
    let address = process.address();
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    let mut flow = Flow {
        stage: &stage,
        fed: 0,
        expected: 0,
        seen: 0,
        by_version: BTreeMap::new(),
        last: BTreeMap::new(),
    };
    reader.until("findings of the first model", PATIENCE, |findings| {
        flow.turn(findings);
        flow.of("v-first") >= 200
    });

    let (mut swapped, mut refused, mut in_service) = (0.0, 0.0, "v-first".to_owned());
    let mut level = 0;
    for swap in 0..SWAPS {
        // The moment is a count of what was labelled, spread over the run.
        let mark = (messages as usize * swap) / (SWAPS + 1);
        let next = name(swap);
        let reason = bad(swap).map(Bad::reason);
        match reason {
            Some(_) => refused += 1.0,
            None => swapped += 1.0,
        }
        reader.until("the moment of a swap", PATIENCE, |findings| {
            flow.turn(findings);
            findings.len() >= mark
        });
        let held = match bad(swap) {
            Some(bad) => {
                store.bad(&next, bad);
                None
            }
            None => Some(store.held(&next)),
        };
        store.point_to(&next);
        // No pause: the next model cannot be loaded before the old one has labelled beside the loading.
        if let Some(held) = held {
            reader.until("somebody who loads the next model", PATIENCE, |findings| {
                flow.turn(findings);
                held.is_loading()
            });
            let begun = now_ms();
            reader.until("the old model at work meanwhile", PATIENCE, |findings| {
                flow.turn(findings);
                flow.has_labelled_since(&in_service, begun)
            });
            held.let_go();
        }
        let before = flow.of(&in_service);
        reader.until("the next model, or its refusal", PATIENCE, |findings| {
            flow.turn(findings);
            let (_, page) = http_get(&address, "/metrics").expect("the process answers");
            let done = metric(&page, "radstream_model_swaps_total");
            assert!(done <= swapped, "a bad model was put into service");
            match reason {
                None => done == swapped && flow.of(&next) >= 20,
                Some(reason) => {
                    let series = format!("radstream_model_refused_total{{reason=\"{reason}\"}}");
                    // The old one goes on.
                    metric(&page, &series) == 1.0
                        && metric(&page, "radstream_model_refused") == 1.0
                        && flow.of(&in_service) > before + 20
                }
            }
        });
        if reason.is_none() {
            in_service = next;
        }
        if swap == 4 {
            level = process.memory().now;
        }
    }
    reader.until("all messages", PATIENCE, |findings| {
        if flow.fed < messages {
            flow.turn(findings);
        }
        flow.fed >= messages && findings.len() >= flow.expected
    });

    let memory = process.memory();
    let (_, page) = process.get("/metrics");
    println!(
        "{} messages, {swapped} swaps, {refused} refused; resident after 5 swaps {} MiB, at the end \
         {} MiB, peak {} MiB; sessions in memory {}; loading took {:.1} s in all",
        flow.fed,
        level >> 20,
        memory.now >> 20,
        memory.peak >> 20,
        metric(&page, "radstream_model_sessions"),
        metric(&page, "radstream_model_load_seconds_sum"),
    );
    assert_eq!(metric(&page, "radstream_model_swaps_total"), 15.0);
    assert_eq!(metric(&page, "radstream_model_load_seconds_count"), 20.0, "none was tried twice");
    assert_eq!(metric(&page, "radstream_model_sessions"), 2.0, "those of the old ones are freed");
    assert!(memory.now <= level + SLACK, "{} MiB, then {}", level >> 20, memory.now >> 20);
    let in_service_series: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("radstream_model_info{") && line.ends_with(" 1"))
        .collect();
    assert_eq!(in_service_series.len(), 1, "{in_service_series:?}");
    assert!(in_service_series[0].contains(&in_service), "{in_service_series:?}");
    assert!(process.get("/").1.contains(&in_service), "the page names the model");
    let log = process.stderr();
    assert_eq!(log.matches("a model was refused").count(), 5, "each is told once:\n{log}");
    // The log tells of those batches.
    let meanwhile: Vec<u64> = log.lines().filter_map(batches_while_loading).collect();
    println!("batches labelled by the old model while the next one loaded: {meanwhile:?}");
    assert_eq!(meanwhile.len(), 15, "each swap is told");
    assert!(meanwhile.iter().all(|batches| *batches > 0), "{meanwhile:?}");
    process.terminate();
    assert_eq!(process.wait(GRACE).code(), Some(0), "{}", process.log_tail(40));

    assert_exactly_once(&stage, SEED);
    let all = broker.read_committed_all(&findings);
    let used: BTreeSet<String> =
        all.iter().filter_map(labelling).map(|(version, _)| version).collect();
    let good = (0..SWAPS).filter(|swap| bad(*swap).is_none()).map(name);
    let good: BTreeSet<String> = good.chain(["v-first".to_owned()]).collect();
    assert_eq!(used, good, "every good model labelled, and no other");
    let times = times(&all);
    println!(
        "between the last finding of a model and the first of the next: {} ms at most; between any \
         two findings: {} ms at most",
        longest_change(&times),
        longest_silence(&times)
    );
}

/// What the log says of a swap, as JSON or as text.
fn batches_while_loading(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("batches_while_loading")?;
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// When each finding was made, ms, in their order, and by which model. Printed, not asserted: the machine
/// has other work, too.
fn times(findings: &[Message]) -> Vec<(i64, String)> {
    let mut times: Vec<_> =
        findings.iter().filter_map(labelling).map(|(version, at)| (at, version)).collect();
    times.sort_unstable();
    times
}

fn longest_silence(times: &[(i64, String)]) -> i64 {
    times.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0)
}

/// Negative when two sessions worked side by side for both.
fn longest_change(times: &[(i64, String)]) -> i64 {
    let mut spans: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for (at, version) in times {
        spans.entry(version).or_insert((*at, *at)).1 = *at;
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable();
    spans.windows(2).map(|pair| pair[1].0 - pair[0].1).max().unwrap_or(0)
}
