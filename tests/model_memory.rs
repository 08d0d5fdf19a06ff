//! Models come and go in one process: what they took is given back, or taken again by the next.
//!
//! The allocator is radstream's own (src/main.rs). With the C library's some of it stayed with the heap, in
//! pieces, and the more the busier the machine was: docs/REDISTILLATION.md has the figures.
//! `RADSTREAM_MODEL_LOADS=120 cargo test --release --test model_memory -- --nocapture` prints more.
//! Needs `models/default` and ONNX Runtime.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it measured"
)]

use std::fs;

use radstream::extract::text_from_plain;
use radstream::report::ReportText;
use radstream::student::labeler::Labeler as _;
use radstream::student::{OnnxLabeler, Student, StudentOptions};

/// Loads at least; `RADSTREAM_MODEL_LOADS` for more.
const LOADS: usize = 40;
/// Between two looks at the memory.
const STEP: usize = 10;
/// What the second half of the loads may take beyond the first, MiB. A network is 13 MiB, and a session
/// as much again: if one of the twenty stayed, this would be passed.
const SLACK: u64 = 15;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Resident memory of this process, MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Reports of several lengths: each length takes memory of its own in a session.
/// `RADSTREAM_MODEL_TEXTS=0` to load alone.
fn texts() -> Vec<ReportText> {
    let sentence = "No pneumothorax. Small left effusion. Heart size is normal. ";
    let of = |n: usize| text_from_plain(&sentence.repeat(1 + 3 * n)).unwrap();
    let count = std::env::var("RADSTREAM_MODEL_TEXTS").map_or(8, |text| text.parse().unwrap());
    (0..count).map(of).collect()
}

#[test]
fn memory_does_not_grow_with_the_number_of_models_that_came_and_went() {
    let loads = std::env::var("RADSTREAM_MODEL_LOADS").map_or(LOADS, |text| text.parse().unwrap());
    let texts = texts();
    let options = StudentOptions { sessions: 2, ..StudentOptions::new("models/default") };
    let mut levels = Vec::new();
    // Like a swap: the next is loaded, and labels, beside the one before it.
    let mut before: Option<OnnxLabeler> = None;
    for load in 1..=loads {
        let mut next = OnnxLabeler::new(Student::load(&options).unwrap());
        next.label(&texts).unwrap();
        if let Some(mut old) = before.replace(next) {
            old.label(&texts).unwrap();
        }
        if load % STEP == 0 {
            let now = resident();
            println!("after {load} models: {now} MiB");
            levels.push(now);
        }
    }
    let (half, last) = (levels[levels.len() / 2 - 1], levels[levels.len() - 1]);
    assert!(last <= half + SLACK, "{levels:?} MiB");
}
