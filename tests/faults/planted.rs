//! Defects that are there on purpose: the checker must notice each, and says by which check it did.

use std::time::Duration;

use radstream::planted::Bug;

use crate::checker::{Check, Guarantee};
use crate::cluster::Cluster;
use crate::feed::Feed;
use crate::run::{Plan, run};
use crate::schedule::Mix;

const SEED: u64 = 4_711;

/// Under which faults a defect shows.
fn plan(bug: Bug) -> Plan {
    let none = Mix::default();
    let (messages, mix) = match bug {
        // Enough kills for one to fall between its two transactions, whatever the machine.
        Bug::CommitBeforeDeliveries => (2_400, Mix { kills: 10, ..none }),
        Bug::OffsetOffByOne | Bug::SettleTwice | Bug::AcknowledgeRefused => (600, none),
        Bug::IgnoreLostAssignment => (2_400, Mix { freezes: 2, ..none }),
        Bug::ReuseDeadProducer => (2_400, Mix { transactions: 16, ..none }),
        // The client repeats by itself what was lost on the wire; who commits in the middle of a rebalance is
        // refused for certain.
        Bug::DropAbortedBatch | Bug::SwallowDeadLetter => {
            (2_400, Mix { transactions: 8, rebalances: 6, ..none })
        }
        Bug::SkipEpochCheck | Bug::LeakPastRevocation => (4_800, Mix { rebalances: 4, ..none }),
    };
    let feed = Feed { poison_percent: 5, ..Feed::new(SEED, messages) };
    let plan = Plan::new(bug.name(), feed);
    let plan = match bug {
        // Much of what was fetched must still wait for the student when its partition is given away.
        Bug::SkipEpochCheck | Bug::LeakPastRevocation => {
            Plan { static_members: false, at_once: true, rate: 40.0, ..plan }
        }
        Bug::DropAbortedBatch | Bug::SwallowDeadLetter => Plan { static_members: false, ..plan },
        Bug::CommitBeforeDeliveries => Plan { processes: 1, ..plan },
        Bug::AcknowledgeRefused => Plan {
            processes: 1,
            guarantee: Guarantee::AtLeastOnce,
            refuse_over: Some(REFUSED_OVER),
            ..plan
        },
        _ => plan,
    };
    // Some of the bugs end in a standstill, and no broker is restarted here.
    let plan = Plan { patience: Duration::from_secs(45), bug: Some(bug.name()), ..plan };
    let slots = 0..plan.processes;
    plan.with(mix, slots)
}

/// Bytes of a record batch: fewer than a single finding takes. How many come in one is for the machine to say.
const REFUSED_OVER: u32 = 500;

#[test]
fn every_planted_bug_is_caught() {
    let mut cluster = Cluster::shared();
    let mut caught = Vec::new();
    // One alone, for whoever looks into it.
    let only = std::env::var("RADSTREAM_FAULTS_BUG").ok();
    for bug in
        Bug::ALL.into_iter().filter(|bug| only.as_deref().is_none_or(|name| name == bug.name()))
    {
        let ended = run(&plan(bug), &mut cluster);
        let by: Vec<&str> = ended.verdict.failed().into_iter().map(Check::name).collect();
        caught.push((bug, by.join(", "), ended.verdict.is_clean()));
    }
    assert!(!caught.is_empty(), "RADSTREAM_FAULTS_BUG names none");
    println!("\n{:<26} caught by", "planted bug");
    for (bug, by, _) in &caught {
        println!("{:<26} {by}", bug.name());
    }
    let missed: Vec<Bug> =
        caught.iter().filter(|(.., clean)| *clean).map(|(bug, ..)| *bug).collect();
    assert_eq!(missed, [], "not caught");
}

/// The same plans without a bug are clean: what catches a bug is not the fault itself.
#[test]
fn the_same_faults_without_a_bug_are_clean() {
    // A message that is refused ends the process by design, and the checker says so.
    let bugs = [Bug::SkipEpochCheck, Bug::IgnoreLostAssignment, Bug::ReuseDeadProducer];
    let mut cluster = Cluster::shared();
    for bug in bugs {
        let plan = Plan { bug: None, name: format!("no-{}", bug.name()), ..plan(bug) };
        let ended = run(&plan, &mut cluster);
        assert!(ended.verdict.is_clean(), "{}:\n{}", plan.name, ended.verdict);
    }
}
