//! The feed is repeatable, varied, and true to what it says of itself.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SEED: u64 = 7;

#[test]
fn a_message_is_a_function_of_seed_and_number() {
    let feed: Vec<DemoMessage> = Generator::new(SEED).take(300).collect();
    for (number, made) in feed.iter().enumerate().rev() {
        assert_eq!(*made, message(SEED, number as u64));
    }
    assert_ne!(feed[0], message(SEED + 1, 0));
}

#[test]
fn every_kind_layout_and_fault_shows_in_two_thousand_messages() {
    let kinds: BTreeSet<DemoKind> = Generator::new(SEED).take(2000).map(|made| made.kind).collect();
    for layout in Layout::ALL {
        assert!(kinds.contains(&DemoKind::Report(layout)), "{layout:?}");
    }
    for fault in Fault::ALL {
        assert!(kinds.contains(&DemoKind::Malformed(fault)), "{fault:?}");
    }
    for (_, kind) in MIX {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

#[test]
fn the_mix_is_what_the_constants_say() {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for made in Generator::new(3).take(10_000) {
        *counts.entry(made.kind.expected_outcome()).or_default() += 1;
    }
    let labelled = counts["labelled"];
    assert!((8150..8550).contains(&labelled), "{labelled}");
    assert!((100..200).contains(&counts["dead_letter"]), "{}", counts["dead_letter"]);
}

/// The feed is a workload: what it says of a message is what becomes of it.
#[test]
fn every_message_ends_as_its_kind_says() {
    use crate::decode::{DecodeOptions, Decoded, decode};
    use crate::extract::{ExtractPolicy, Extracted, extract};
    use crate::report::Intent;

    let (options, policy) = (DecodeOptions::default(), ExtractPolicy::default());
    let outcome = |decoded: Decoded| match decoded {
        Decoded::Skipped(skip) => skip.name(),
        Decoded::Rejected(_) => "dead_letter",
        Decoded::Report(mut report) => match report.intent {
            Intent::Retract => "retracted",
            Intent::Promote => "promoted",
            Intent::Label => match extract(&mut report, &policy) {
                Extracted::Text(_) => "labelled",
                Extracted::Skipped(skip) => skip.name(),
            },
        },
    };
    for (number, made) in Generator::new(SEED).take(3000).enumerate() {
        let ended: Vec<&str> = decode(&made.payload, &options).into_iter().map(outcome).collect();
        assert_eq!(ended, [made.kind.expected_outcome()], "message {number}: {:?}", made.kind);
    }
}

#[test]
fn a_duplicate_has_the_bytes_and_the_key_of_its_report() {
    let feed: Vec<DemoMessage> = Generator::new(SEED).take(1000).collect();
    let mut seen = BTreeSet::new();
    let mut duplicates = 0;
    for made in &feed {
        let copy = (made.key.clone(), made.payload.clone());
        if made.kind == DemoKind::Duplicate {
            duplicates += 1;
            assert!(seen.contains(&copy));
        } else if matches!(made.kind, DemoKind::Report(_)) {
            assert!(seen.insert(copy), "two first reports are never the same");
        }
    }
    assert!(duplicates > 10);
}

#[test]
fn changes_follow_a_report_with_the_same_key() {
    let mut reported = BTreeSet::new();
    let mut changes = 0;
    for made in Generator::new(SEED).take(1500) {
        let Some(key) = made.key else { continue };
        match made.kind {
            DemoKind::Report(_) => {
                assert!(reported.insert(key), "accession numbers are unique");
            }
            kind if kind.follows() => {
                changes += 1;
                assert!(reported.contains(&key), "{kind:?}");
            }
            _ => assert!(!reported.contains(&key)),
        }
    }
    assert!(changes > 50);
}
