//! The code as it is, under every kind of fault.

use crate::cluster::Cluster;
use crate::feed::Feed;
use crate::run::{Plan, run};
use crate::schedule::{Fault, Mix, Schedule};

/// Drawn from when nothing else is asked for.
const SEED: u64 = 20_261_128;

/// Times the rate of the short runs.
const FULL_RATE: f64 = 5.0;

pub fn full() -> bool {
    match std::env::var("RADSTREAM_FAULTS").as_deref() {
        Err(_) | Ok("short") => false,
        Ok("full") => true,
        Ok(other) => panic!("RADSTREAM_FAULTS is short or full, not {other}"),
    }
}

pub fn seed() -> u64 {
    std::env::var("RADSTREAM_FAULTS_SEED")
        .map_or(SEED, |text| text.parse().expect("RADSTREAM_FAULTS_SEED is a number"))
}

/// Runs a scenario, short or full, and fails with its verdict.
fn hold(name: &str, short: (u64, Mix), long: (u64, Mix), change: impl FnOnce(Plan) -> Plan) {
    let (messages, mix) = if full() { long } else { short };
    let mut cluster = Cluster::shared();
    let mut plan = change(Plan::new(name, Feed::new(seed(), messages)));
    if full() {
        // The feed comes in portions, so that faults find work at any rate; this one saves hours.
        plan.rate *= FULL_RATE;
    }
    let slots = 0..plan.processes;
    let ended = run(&plan.with(mix, slots), &mut cluster);
    assert!(ended.verdict.is_clean(), "{name}:\n{}", ended.verdict);
}

#[test]
fn processes_killed_and_terminated() {
    hold(
        "killed",
        (2_400, Mix { kills: 4, terminations: 2, ..Mix::default() }),
        (100_000, Mix { kills: 30, terminations: 10, ..Mix::default() }),
        |plan| Plan { processes: 3, rate: 100.0, ..plan },
    );
}

#[test]
fn processes_that_join_and_leave() {
    hold(
        "rebalanced",
        (2_400, Mix { rebalances: 6, ..Mix::default() }),
        (100_000, Mix { rebalances: 30, ..Mix::default() }),
        |plan| Plan { static_members: false, ..plan },
    );
}

#[test]
fn brokers_killed_and_restarted() {
    hold(
        "brokers",
        (4_000, Mix { broker_kills: 1, broker_restarts: 1, ..Mix::default() }),
        (100_000, Mix { broker_kills: 15, broker_restarts: 15, ..Mix::default() }),
        |plan| Plan { rate: 60.0, ..plan },
    );
}

#[test]
fn transactions_disturbed_on_the_wire() {
    hold(
        "disturbed",
        (2_400, Mix { transactions: 8, ..Mix::default() }),
        (100_000, Mix { transactions: 50, ..Mix::default() }),
        |plan| plan,
    );
}

#[test]
fn the_coordinator_lost_in_the_middle_of_a_commit() {
    let name = Cluster::shared().name_of_two_coordinators("uncoordinated");
    let none = Mix::default();
    let count = if full() { 15 } else { 2 };
    hold(&name, (1_200, none), (20_000, none), |plan| {
        let findings = plan.feed.totals().0;
        let schedule = Schedule::early(seed(), Fault::LoseCoordinator, count, findings);
        // What a process says of itself tells when it has given up the producer.
        Plan { processes: 1, watched: true, rate: 60.0, schedule, ..plan }
    });
}

#[test]
fn a_commit_not_heard_of_and_no_producer_to_ask_with() {
    let none = Mix::default();
    let count = if full() { 5 } else { 1 };
    hold("unheard", (1_200, none), (20_000, none), |plan| {
        let schedule = Schedule::early(seed(), Fault::LoseEnd, count, plan.feed.totals().0);
        // What a process says of itself tells when it has given up.
        Plan { processes: 1, watched: true, rate: 60.0, schedule, ..plan }
    });
}

#[test]
fn processes_frozen_until_others_have_their_work() {
    hold(
        "frozen",
        (2_400, Mix { freezes: 2, ..Mix::default() }),
        (100_000, Mix { freezes: 20, ..Mix::default() }),
        |plan| plan,
    );
}

#[test]
fn two_processes_with_one_name() {
    hold(
        "twins",
        (1_600, Mix { twins: 1, ..Mix::default() }),
        (100_000, Mix { twins: 10, ..Mix::default() }),
        |plan| plan,
    );
}

#[test]
fn poison_of_twelve_kinds_among_kills() {
    hold(
        "poisoned",
        (2_400, Mix { kills: 3, ..Mix::default() }),
        (100_000, Mix { kills: 10, ..Mix::default() }),
        |plan| Plan { feed: Feed { poison_percent: 3, ..plan.feed }, ..plan },
    );
}
