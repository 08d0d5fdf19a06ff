//! A short run of the fuzz targets without libFuzzer: every kept input, and a fixed number of changed
//! ones, the same in each run. `make fuzz` runs them for long (CONTRIBUTING.md, "Fuzzing").

#[path = "../fuzz/src/target.rs"]
mod target;

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use target::Target;

/// Changed inputs that each target reads.
const CHANGED: u32 = 1_500;

/// Longest changed input, bytes.
const LONGEST: usize = 32 * 1024;

/// The kept inputs of a target.
fn kept(target: Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name());
    let entries = std::fs::read_dir(&folder).expect("a folder of kept inputs");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a readable input")).collect()
}

/// What messages are made of, and what parsers trip over.
const TOKENS: [&[u8]; 40] = [
    b"MSH|^~\\&|",
    b"\rOBX|1|TX|&IMP||",
    b"\rOBR|1||",
    b"\rPID|",
    b"\rNTE|1||",
    b"\rTXA|1|",
    b"||||||F\r",
    b"|ED|||^^^Base64^",
    b"\\.br\\",
    b"\\.sp40\\",
    b"\\E\\",
    b"\\X0D\\",
    b"\\F\\",
    b"~",
    b"^",
    b"&",
    b"\r",
    b"\n",
    b"\x0b",
    b"\x1c\r",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\xf0\x9f\xa9\xbb",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b"{\"resourceType\":\"Observation\",\"code\":{}},",
    b"\"contained\":[",
    b"\"entry\":[{\"resource\":",
    b"{\\rtf1 ",
    b"<p>",
    b"<!--",
    b"&#",
    b"FINDINGS:",
    b"IMPRESSION:\n",
    b"ADDENDUM: ",
];

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Token(Index, Index),
    Remove(Index, Index),
    Keep(Index),
    Repeat(Index, Index, u8),
    Append(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (at(), at()).prop_map(|(at, token)| Change::Token(at, token)),
        2 => (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => at().prop_map(Change::Keep),
        3 => (at(), at(), any::<u8>()).prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        1 => at().prop_map(Change::Append),
    ]
}

fn changed(kept: &[Vec<u8>], first: Index, changes: &[Change]) -> Vec<u8> {
    let mut input = first.get(kept).clone();
    for change in changes {
        let length = input.len();
        let place = |at: &Index| at.index(length + 1);
        let range = |from: &Index, to: &Index| {
            let (from, to) = (place(from), place(to));
            from.min(to)..from.max(to)
        };
        match change {
            Change::Byte(at, byte) => {
                let at = place(at);
                input.splice(at..length.min(at + 1), [*byte]);
            }
            Change::Token(at, token) => {
                let at = place(at);
                input.splice(at..at, token.get(&TOKENS).iter().copied());
            }
            Change::Remove(from, to) => drop(input.drain(range(from, to))),
            Change::Keep(end) => input.truncate(place(end)),
            Change::Repeat(from, to, times) => {
                let at = place(from).max(place(to));
                let part: Vec<u8> = input.drain(range(from, to)).collect();
                let at = at - part.len();
                input.splice(at..at, part.repeat(usize::from(*times)));
            }
            Change::Append(other) => input.extend(other.get(kept)),
        }
        input.truncate(LONGEST);
    }
    input
}

fn short_run(target: Target) {
    let kept = kept(target);
    for input in &kept {
        target.measure(input).expect("a kept input");
    }
    let config = Config { cases: CHANGED, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (any::<Index>(), prop::collection::vec(change(), 1..8));
    let outcome = runner.run(&strategy, |(first, changes)| {
        let input = changed(&kept, first, &changes);
        target.measure(&input).map(drop).map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(reason, (first, changes))) = outcome {
        let input = changed(&kept, first, &changes);
        panic!(
            "{reason}\nkeep this input in fuzz/corpus/{}: {}",
            target.name(),
            input.escape_ascii()
        );
    }
}

#[test]
fn hl7_messages_hold_what_must_hold() {
    short_run(Target::Hl7);
}

#[test]
fn fhir_resources_hold_what_must_hold() {
    short_run(Target::Fhir);
}

#[test]
fn payloads_of_any_kind_hold_what_must_hold() {
    short_run(Target::Detect);
}

#[test]
fn report_texts_hold_what_must_hold() {
    short_run(Target::Sections);
}

#[test]
fn every_target_has_kept_inputs_and_none_is_large() {
    for target in Target::ALL {
        let kept = kept(target);
        assert!(kept.len() >= 10, "{}: {} inputs", target.name(), kept.len());
        assert!(kept.iter().all(|input| input.len() <= 16 * 1024), "{}", target.name());
    }
}
