//! How fast intake (detect, decode, extract) is on one core, and against the HL7 v2 parsers of Python.
//!
//! By turns in one run, over the same messages: radstream's intake from bytes to the text that is
//! labelled; the Python package `hl7`, and `hl7apy`, from text to their tree of segments, which is
//! less. Medians over the rounds, by processor time, so that what else the machine does matters
//! little; wall-clock figures stand beside them.
//!
//! It fails when the median ratio to `hl7` is below ten or that to `hl7apy` not above one, and when
//! Python or a package is missing. Messages and megabytes a second go with the machine: they are
//! judged with `-- --require-rate` only. The count of instructions is gated by the benchmark
//! `instructions`, stage `intake`.
//!
//! `scripts/python-env.sh bench`, then `cargo bench --profile release --bench intake`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

#[allow(dead_code, reason = "each benchmark asks for other things")]
#[path = "../machine/mod.rs"]
mod machine;
#[allow(dead_code, reason = "each benchmark works on other messages")]
#[path = "../workload/mod.rs"]
mod workload;

use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;
use radstream::decode::{DecodeOptions, Decoded, decode};
use radstream::extract::{ExtractPolicy, Extracted, extract};
use serde::{Deserialize, Serialize};

/// Least times as fast as `hl7`.
const OVER_HL7: f64 = 10.0;
/// Least times as fast as `hl7apy`.
const OVER_HL7APY: f64 = 1.0;
/// Least messages a second, with `--require-rate`.
const MESSAGES_A_SECOND: f64 = 50_000.0;
/// Least megabytes (10^6 bytes) a second, with `--require-rate`.
const MEGABYTES_A_SECOND: f64 = 100.0;
/// Passes of intake in a round: one is too short to measure.
const PASSES: usize = 10;

/// Intake on one core, and the Python packages on the same messages.
#[derive(Parser)]
struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Rounds; an odd number has a middle one.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Messages in a pass, of about 2 KB.
    #[arg(long, default_value_t = 1000)]
    messages: usize,
    /// How many of them hl7apy gets; it is slow.
    #[arg(long, default_value_t = 50)]
    hl7apy_messages: usize,
    /// Python with the packages of scripts/requirements-bench.txt.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python"))]
    python: PathBuf,
    /// Fail below 50,000 messages or 100 MB a second of processor time.
    #[arg(long)]
    require_rate: bool,
    /// Of cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What came out.
#[derive(Serialize)]
struct Measured {
    processor: String,
    load: String,
    python: String,
    messages: usize,
    bytes_a_message: usize,
    /// Per second of processor time, and of the clock.
    messages_a_second: Rates,
    megabytes_a_second: Rates,
    hl7_a_second: Rates,
    hl7apy_a_second: Rates,
    /// Median of the ratios of the rounds, by processor time.
    over_hl7: f64,
    over_hl7apy: f64,
}

#[derive(Serialize)]
struct Rates {
    processor_time: f64,
    clock: f64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args).and_then(|measured| report(&measured, &args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            let mut stderr = io::stderr();
            writeln!(stderr, "intake: {problem}").unwrap();
            ExitCode::FAILURE
        }
    }
}

/// Seconds that a pass took, for one message.
#[derive(Clone, Copy, Deserialize)]
struct Cost {
    cpu: f64,
    wall: f64,
}

fn measure(args: &Args) -> Result<Measured, String> {
    if args.rounds == 0 || args.messages == 0 || args.hl7apy_messages == 0 {
        return Err(String::from("--rounds, --messages and --hl7apy-messages are at least 1"));
    }
    let messages = workload::results(args.messages);
    let mut python = Python::start(args, &messages)?;
    let hl7apy_messages = args.hl7apy_messages.min(args.messages);
    intake(&messages);
    let (mut own, mut hl7, mut hl7apy) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        own.push(timed(&messages));
        hl7.push(python.pass("hl7", messages.len())?);
        hl7apy.push(python.pass("hl7apy", hl7apy_messages)?);
    }
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let ratio = |theirs: &[Cost]| {
        median(theirs.iter().zip(&own).map(|(theirs, own)| theirs.cpu / own.cpu).collect())
    };
    let rates = |costs: &[Cost], each: f64| Rates {
        processor_time: each / median(costs.iter().map(|cost| cost.cpu).collect()),
        clock: each / median(costs.iter().map(|cost| cost.wall).collect()),
    };
    let bytes_a_message = bytes / messages.len();
    Ok(Measured {
        processor: machine::processor(),
        load: machine::load_average(),
        python: python.versions.clone(),
        messages: messages.len(),
        bytes_a_message,
        messages_a_second: rates(&own, 1.0),
        megabytes_a_second: rates(&own, bytes as f64 / messages.len() as f64 / 1e6),
        hl7_a_second: rates(&hl7, 1.0),
        hl7apy_a_second: rates(&hl7apy, 1.0),
        over_hl7: ratio(&hl7),
        over_hl7apy: ratio(&hl7apy),
    })
}

/// From bytes to the text to label, of every message.
fn intake(messages: &[Vec<u8>]) {
    let (options, policy) = (DecodeOptions::default(), ExtractPolicy::default());
    for message in messages {
        for decoded in decode(message, &options) {
            let Decoded::Report(mut report) = decoded else {
                panic!("a message of the workload is no report")
            };
            let extracted = extract(&mut report, &policy);
            assert!(
                matches!(extracted, Extracted::Text(_)),
                "a message of the workload is skipped"
            );
            black_box(extracted);
        }
    }
}

fn timed(messages: &[Vec<u8>]) -> Cost {
    const THREAD: &str = "/proc/thread-self";
    let (cpu, clock) = (machine::cpu_of(THREAD), Instant::now());
    (0..PASSES).for_each(|_| intake(messages));
    let wall = clock.elapsed().as_secs_f64();
    let cpu = machine::cpu_of(THREAD).zip(cpu).map_or(wall, |(after, before)| after - before);
    let count = (messages.len() * PASSES) as f64;
    Cost { cpu: cpu / count, wall: wall / count }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The Python side.
struct Python {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    versions: String,
}

impl Python {
    fn start(args: &Args, messages: &[Vec<u8>]) -> Result<Self, String> {
        let remedy = "make it with scripts/python-env.sh bench, or name another with -- --python";
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/intake/parsers.py");
        let mut process = Command::new(&args.python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}; {remedy}", args.python.display()))?;
        let mut ask = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut input = format!("{}\n", messages.len()).into_bytes();
        for message in messages {
            input.extend(format!("{}\n", message.len()).into_bytes());
            input.extend(message);
        }
        // What goes wrong here has no answer either, and is told by that.
        let given = ask.write_all(&input).and_then(|()| ask.flush());
        let mut python = Self { process, ask, answers, versions: String::new() };
        let ready = python.answer().and_then(|line| given.map(|()| line));
        python.versions = ready.map_err(|error| {
            format!("{} {script} did not start ({error}); {remedy}", args.python.display())
        })?;
        Ok(python)
    }

    /// One pass over the first messages.
    fn pass(&mut self, parser: &str, count: usize) -> Result<Cost, String> {
        let asked = writeln!(self.ask, "{parser} {count}").and_then(|()| self.ask.flush());
        let answer = asked.and_then(|()| self.answer());
        let answer = answer.map_err(|error| format!("Python with {parser}: {error}"))?;
        let cost: Cost = serde_json::from_str(&answer)
            .map_err(|error| format!("Python with {parser}: {error}"))?;
        let count = count as f64;
        Ok(Cost { cpu: cost.cpu / count, wall: cost.wall / count })
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("it ended without an answer; its error stands above"));
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to be done about a failure here.
        let ended = self.process.kill().and_then(|()| self.process.wait());
        drop(ended);
    }
}

/// Prints; false when intake is too slow.
fn report(measured: &Measured, args: &Args) -> Result<bool, String> {
    let text = if args.json {
        serde_json::to_string_pretty(measured).map_err(|error| error.to_string())?
    } else {
        table(measured)
    };
    writeln!(io::stdout(), "{text}").map_err(|error| error.to_string())?;
    let mut enough = true;
    let mut judge = |what: &str, got: f64, least: f64, gated: bool| {
        if got < least {
            let judged = if gated { "fails" } else { "told, not judged: it goes with the machine" };
            enough &= !gated;
            let mut stderr = io::stderr();
            writeln!(stderr, "{what}: {got:.1} is below {least} ({judged})").unwrap();
        }
    };
    judge("times as fast as hl7", measured.over_hl7, OVER_HL7, true);
    judge("times as fast as hl7apy", measured.over_hl7apy, OVER_HL7APY, true);
    let rate = args.require_rate;
    judge("messages/s", measured.messages_a_second.processor_time, MESSAGES_A_SECOND, rate);
    judge("MB/s", measured.megabytes_a_second.processor_time, MEGABYTES_A_SECOND, rate);
    Ok(enough)
}

fn table(measured: &Measured) -> String {
    let row = |what: &str, rates: &Rates, ratio: String| {
        format!("{what:<22}{:>16.0}{:>12.0}{ratio:>14}", rates.processor_time, rates.clock)
    };
    let times = |ratio: f64| format!("{ratio:.1}");
    [
        format!(
            "{} ORU messages of {} bytes, one core; {}, load {}; Python: {}",
            measured.messages,
            measured.bytes_a_message,
            measured.processor,
            measured.load,
            measured.python
        ),
        format!("{:<22}{:>16}{:>12}{:>14}", "per second of", "processor time", "clock", "times"),
        row("intake, messages", &measured.messages_a_second, String::new()),
        row("intake, MB", &measured.megabytes_a_second, String::new()),
        row("hl7, messages", &measured.hl7_a_second, times(measured.over_hl7)),
        row("hl7apy, messages", &measured.hl7apy_a_second, times(measured.over_hl7apy)),
    ]
    .join("\n")
}
