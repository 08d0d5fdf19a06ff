//! Stage teach when its teacher refuses everybody, breaks, says nothing, talks nonsense or is gone: it holds
//! no more than it may, a metric says why nothing comes, and it goes on by itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use radstream::demo::teacher::{Failures, Fault, TeacherOptions};
use support::escalations::Case;
use support::metrics;
use support::processes::{Radstream, RadstreamCommand};
use support::server::wait_until;
use support::teach::{PATIENCE, RUN, Teach, ends_well};

const CALLS: &str = "radstream_teacher_calls_total{";
/// Escalations for each storm, which come when it has begun.
const BLOCK: usize = 700;
const BUDGET_MIB: u64 = 64;
/// So many failures in a row are a storm.
const TOLD: f64 = 12.0;

/// The sum of the series of `/metrics` whose name and labels hold all these words.
fn sum(process: &mut Radstream, words: &[&str]) -> f64 {
    let (_, page) = process.get("/metrics");
    metrics::samples(&page)
        .filter(|(series, _)| words.iter().all(|word| series.contains(word)))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn storms_of_every_kind_are_told_of_and_passed() {
    let teach = Teach::create("teach-storms", 2, TeacherOptions::default());
    teach.server.set_down(true);
    let more = "window = 64\nretry_delay_s = 1\n";
    let provider = "timeout_s = 2\nconcurrency = 8\n";
    let config = format!(
        "{}\n[memory]\nbudget_mib = {BUDGET_MIB}\n[intake]\nmax_payload_mib = 8\n",
        teach.config("only", more, provider)
    );
    let mut process = RadstreamCommand::new(&RUN).config(&config).spawn();
    process.address();
    let at_start = process.memory().now;
    let findings = teach.topic("findings");
    let mut reader = teach.broker.reader(&[&findings]);
    // Gone from the beginning; then there, and failing every call in one way after another.
    let storms = [
        (None, [CALLS, "outcome=\"connection\""]),
        (Some(Fault::RateLimited), [CALLS, "outcome=\"rate_limited\""]),
        (Some(Fault::ServerError), [CALLS, "outcome=\"server_error\""]),
        (Some(Fault::Hang), [CALLS, "outcome=\"timeout\""]),
        (Some(Fault::Cut), [CALLS, "outcome=\"connection\""]),
        (Some(Fault::InvalidJson), ["radstream_teacher_repairs_total{", "problem=\"not_json\""]),
    ];
    for (number, (fault, told)) in storms.into_iter().enumerate() {
        let before = sum(&mut process, &told);
        println!("{fault:?}");
        if let Some(fault) = fault {
            teach.server.set_failures(Failures::always(fault));
        }
        let block = number * BLOCK..(number + 1) * BLOCK;
        teach.escalate(&block.map(Case::of_series).collect::<Vec<_>>());
        wait_until(&format!("a metric to tell of it: {told:?}"), PATIENCE, || {
            (sum(&mut process, &told) >= before + TOLD).then_some(())
        });
        teach.server.set_down(false);
        teach.server.set_failures(Failures::default());
        // All of them: the next storm meets a stage that is well again.
        reader.until("a revision each", PATIENCE, |m| m.len() >= (number + 1) * BLOCK);
    }
    let held = process.memory().peak - at_start;
    ends_well(process);
    println!("{:?}; at most {} MiB beyond the start", teach.assert_each_ended_once(), held >> 20);
    assert!(held * 4 <= (BUDGET_MIB << 20) * 5, "{held} bytes beyond the start");
}
