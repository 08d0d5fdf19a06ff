//! Too much, too large, too slow, too little room: memory stays within its budget, a stall has a metric that
//! says why, and everything ends well by itself.

use std::collections::BTreeSet;

use crate::clean::{full, seed};
use crate::cluster::Cluster;
use crate::feed::Feed;
use crate::run::{Plan, run};
use crate::schedule::{Fault, Mix, Schedule};
use crate::watch::Watch;

/// Small, so that it is full; large enough for what every process holds besides to be less than a quarter of it.
const BUDGET_MIB: u64 = 96;
/// Of the budget, for what is not charged to it.
const ALLOWED: f64 = 1.25;

/// Runs a plan, and holds the processes to their budget and to their word.
fn hold(name: &str, feed: Feed, mix: Mix, change: impl FnOnce(Plan) -> Plan) -> Watch {
    let mut cluster = Cluster::shared();
    let plan = Plan { budget_mib: BUDGET_MIB, watched: true, ..Plan::new(name, feed) };
    let plan = change(plan);
    let slots = 0..plan.processes;
    let ended = run(&plan.with(mix, slots), &mut cluster);
    let watch = ended.watch.expect("this plan is watched");
    let budget = (BUDGET_MIB << 20) as f64;
    println!(
        "{name}: at most {} MiB held beyond the start, {} MiB charged, {} records behind; {} stalls: {:?}",
        watch.most_held >> 20,
        (watch.most_charged / f64::from(1 << 20)).round(),
        watch.most_lag,
        watch.explained.len(),
        watch.explained
    );
    assert!(ended.verdict.is_clean(), "{name}:\n{}", ended.verdict);
    assert_eq!(watch.unexplained, Vec::<String>::new(), "{name}");
    assert!(watch.most_charged <= budget * ALLOWED, "{} bytes charged", watch.most_charged);
    assert!(watch.most_held as f64 <= budget * ALLOWED, "{} bytes held", watch.most_held);
    watch
}

fn feed(short: u64, long: u64) -> Feed {
    Feed::new(seed(), if full() { long } else { short })
}

#[test]
fn three_times_as_much_as_can_be_labelled() {
    // Of what comes in, so much is labelled in the same time.
    const RATE: f64 = 100.0;
    let watch = hold("overload", feed(2_400, 30_000), Mix::default(), |plan| Plan {
        processes: 1,
        rate: RATE,
        pace: Some(3.0 * RATE),
        ..plan
    });
    assert!(watch.most_lag > 0.0, "nothing was behind: this was no overload");
}

#[test]
fn messages_of_a_megabyte() {
    let feed = Feed { large_percent: 10, ..feed(1_500, 10_000) };
    let watch = hold("large", feed, Mix::default(), |plan| plan);
    // The test would prove nothing if the budget had never been full.
    let paused = watch.sum("radstream_backpressure_seconds_total");
    let charged = watch.most_charged / f64::from(1 << 20);
    assert!(paused > 0.0 || charged > BUDGET_MIB as f64 / 4.0, "{charged} MiB at most");
}

#[test]
fn ten_thousand_keys_on_one_partition() {
    let feed = Feed { hot: true, ..feed(14_000, 100_000) };
    let keys: BTreeSet<_> = feed.records().map(|record| record.key).collect();
    assert!(keys.len() >= 10_000, "{} keys", keys.len());
    // Slow enough for the lag to be told: the client does so every five seconds.
    let watch = hold("hot", feed, Mix::default(), |plan| Plan { rate: 1_000.0, ..plan });
    assert!(watch.most_lag > 0.0, "the partition was never behind");
}

#[test]
fn a_quota_of_the_brokers() {
    // Of each broker: a part of what the processes write.
    const QUOTA: Fault = Fault::Quota { bytes_per_second: 500 };
    let feed = feed(3_000, 40_000);
    let count = if full() { 6 } else { 2 };
    let schedule = Schedule::early(feed.seed, QUOTA, count, feed.totals().0);
    hold("quota", feed, Mix::default(), |plan| Plan { rate: 30.0, schedule, ..plan });
}

#[test]
fn a_broker_whose_disk_is_full() {
    let mix = Mix { full_disks: if full() { 6 } else { 1 }, ..Mix::default() };
    hold("full-disk", feed(2_400, 40_000), mix, |plan| Plan { rate: 60.0, ..plan });
}
