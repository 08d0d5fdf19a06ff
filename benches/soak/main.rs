//! `make soak HOURS=n`: load and faults for hours, and at the end the checker's verdict and a picture of
//! what the process that nobody killed held all the time.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    reason = "a bench may stop there, tells what it sees, and shares modules with tests/faults"
)]

#[path = "../../tests/faults/checker/mod.rs"]
mod checker;
#[path = "../../tests/faults/cluster/mod.rs"]
mod cluster;
#[path = "../../tests/faults/feed.rs"]
mod feed;
#[path = "../../tests/faults/feeding.rs"]
mod feeding;
mod plot;
#[path = "../../tests/faults/proxy/mod.rs"]
mod proxy;
#[path = "../../tests/faults/run/mod.rs"]
mod run;
#[path = "../../tests/faults/schedule.rs"]
mod schedule;
mod slope;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/faults/watch.rs"]
mod watch;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use cluster::Cluster;
use feed::Feed;
use run::{Plan, run};
use schedule::Mix;

/// Most that memory may grow after the warm-up, MiB an hour.
const LIMIT: f64 = 1.0;

/// Load and faults for hours.
#[derive(Parser)]
struct Arguments {
    /// How long, in hours; fractions are allowed.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Messages a second.
    #[arg(long, default_value_t = 30.0)]
    pace: f64,
    /// Draws feed and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where samples (CSV) and picture (SVG) go.
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.out).expect("a folder for samples and picture");
    let messages = (arguments.hours * 3600.0 * arguments.pace) as u64;
    let feed = Feed { poison_percent: 1, ..Feed::new(arguments.seed, messages) };
    let plan = Plan {
        processes: 3,
        pace: Some(arguments.pace),
        // The student itself: its memory is what is watched.
        rules: false,
        rate: 0.0,
        ..Plan::new("soak", feed)
    };
    // One fault a minute, of all kinds; the first process is spared those that would end it.
    let minutes = arguments.hours * 60.0;
    let share = |of: f64| (minutes * of).ceil() as usize;
    let mix = Mix {
        kills: share(0.25),
        terminations: share(0.1),
        rebalances: share(0.15),
        broker_kills: share(0.1),
        broker_restarts: share(0.1),
        transactions: share(0.2),
        freezes: share(0.08),
        twins: share(0.02),
        ..Mix::default()
    };
    let slots = 1..plan.processes;
    let ended = run(&plan.with(mix, slots), &mut Cluster::start());

    let csv: String =
        std::iter::once(String::from("seconds,memory_bytes,files,threads,findings\n"))
            .chain(ended.samples.iter().map(|s| {
                format!("{:.0},{},{},{},{}\n", s.at, s.memory_bytes, s.files, s.threads, s.findings)
            }))
            .collect();
    fs::write(arguments.out.join("samples.csv"), csv).expect("the samples are written");
    fs::write(arguments.out.join("soak.svg"), plot::svg(&ended.samples)).expect("the picture");
    let slope = slope::memory_mib_per_hour(&ended.samples);
    let files = ended.samples.iter().map(|s| s.files);
    println!(
        "memory after the warm-up: {slope:+.2} MiB/h (limit {LIMIT}); open files {} to {}; picture and \
         samples in {}",
        files.clone().min().unwrap_or(0),
        files.max().unwrap_or(0),
        arguments.out.display()
    );
    if ended.verdict.is_clean() && slope <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
