//! Does a dead teacher slow stage label down? Reports a second of stage label alone, and beside a stage
//! teach whose teacher answers nobody, by turns in one run, on real Kafka. Then the time from a message
//! to its finding, likewise, with messages that come at an even pace far below what the stage can do.
//!
//! It fails when the median ratio of rates is below 0.95, or that of times (alone over beside) is.
//! `cargo bench --profile release --bench dead_teacher`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]
#![allow(clippy::print_stdout, reason = "its result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use radstream::demo::teacher::{TeacherOptions, TeacherServer};
use radstream::publish::{Contract, FindingsEvent, decode};
use support::kafka::KafkaBroker;
use support::processes::{Radstream, RadstreamCommand};
use support::records::Message;
use support::stage::Stage;

/// Least median ratio.
const LEAST: f64 = 0.95;
const PATIENCE: Duration = Duration::from_secs(600);

/// Stage label alone, and beside a dead teacher.
#[derive(Parser)]
struct Args {
    /// Rounds; an odd number has a middle one.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Messages in a round.
    #[arg(long, default_value_t = 4000)]
    messages: u64,
    /// Messages a second while times are taken.
    #[arg(long, default_value_t = 60)]
    pace: u64,
    /// Of cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let broker = KafkaBroker::shared();
    let server = TeacherServer::start(TeacherOptions::default()).unwrap();
    server.set_down(true);
    let bed = Bed { broker, server: &server };
    let rates = turns(args.rounds, |round, dead| bed.rate(round, dead, args.messages));
    let throughput = told("reports/s", rates, |alone, beside| beside / alone);
    let times = turns(args.rounds, |round, dead| bed.latency(round, dead, &args));
    let latency = told("ms from message to finding, median", times, |alone, beside| alone / beside);
    println!("{} calls in vain", server.counts().closed_while_down);
    if throughput < LEAST || latency < LEAST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What was measured alone, and beside a dead teacher: which of the two comes first takes turns.
fn turns(rounds: usize, mut measure: impl FnMut(usize, bool) -> f64) -> Vec<[f64; 2]> {
    let order = |round: usize| if round.is_multiple_of(2) { [false, true] } else { [true, false] };
    (0..rounds)
        .map(|round| {
            let mut measured = [0.0; 2];
            for dead in order(round) {
                measured[usize::from(dead)] = measure(round, dead);
            }
            measured
        })
        .collect()
}

/// Prints the rounds, and gives the median ratio: 1 is the same, less is worse.
fn told(unit: &str, rounds: Vec<[f64; 2]>, ratio: impl Fn(f64, f64) -> f64) -> f64 {
    for (round, [alone, beside]) in rounds.iter().enumerate() {
        println!("round {round}: {alone:.0} {unit} alone, {beside:.0} beside a dead teacher");
    }
    let mut ratios: Vec<f64> =
        rounds.into_iter().map(|[alone, beside]| ratio(alone, beside)).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("{unit}: ratio {median:.3} ({:.3} to {:.3})", ratios[0], ratios[ratios.len() - 1]);
    median
}

/// Where it is measured.
struct Bed<'a> {
    broker: &'static KafkaBroker,
    server: &'a TeacherServer,
}

/// Processes under way; they end when it is dropped.
struct Running {
    stage: Stage<'static>,
    label: Radstream,
    _teach: Option<Radstream>,
}

impl Bed<'_> {
    /// Messages a second of one stage label, from its first finding to its last.
    fn rate(&self, round: usize, dead: bool, messages: u64) -> f64 {
        let seed = round as u64;
        let stage = self.stage(format!("dead-{round}-{dead}"));
        stage.feed(seed, messages);
        let running = self.start(stage, dead, &["run", "--until-end"]);
        let mut reader = self.broker.reader(&[&running.stage.topic("findings")]);
        let (events, _) = support::stage::expected(seed, messages);
        let first =
            labelled(reader.until("the first findings", PATIENCE, |m| labelled(m) > events / 20));
        let started = Instant::now();
        let read = reader.until("nearly all", PATIENCE, |m| labelled(m) >= events * 19 / 20);
        let taken = started.elapsed().as_secs_f64();
        (labelled(read) - first) as f64 / taken
    }

    /// Median time from a message to its finding, in milliseconds, by the times of both records.
    #[expect(clippy::disallowed_methods, reason = "messages come at a pace")]
    fn latency(&self, round: usize, dead: bool, args: &Args) -> f64 {
        const WARM: u64 = 200;
        let (seed, messages) = (round as u64, args.messages / 4);
        let mut running = self.start(self.stage(format!("pace-{round}-{dead}")), dead, &["run"]);
        running.label.address();
        let mut reader = self.broker.reader(&[&running.stage.topic("findings")]);
        running.stage.feed_numbers(seed, 0..WARM);
        let (warm, _) = support::stage::expected(seed, WARM);
        reader.until("the warm-up", PATIENCE, |m| labelled(m) >= warm);
        let pause = Duration::from_secs_f64(1.0 / args.pace as f64);
        let paced = (WARM..WARM + messages).inspect(|_| std::thread::sleep(pause));
        running.stage.feed_numbers(seed, paced);
        let (all, _) = support::stage::expected(seed, WARM + messages);
        let read = reader.until("all", PATIENCE, |m| labelled(m) >= all);
        let mut times: Vec<i64> = read
            .iter()
            .filter(|message| !is_revision(message))
            .filter_map(|message| {
                let event: FindingsEvent<'static> =
                    decode(Contract::Findings, message.bytes()).unwrap();
                Some((event.source, message.timestamp?))
            })
            .filter_map(|(source, made)| Some(made - source.timestamp?))
            .skip(warm)
            .collect();
        times.sort_unstable();
        times[times.len() / 2] as f64
    }

    fn stage(&self, name: String) -> Stage<'static> {
        let stage = Stage::create(self.broker, Box::leak(name.into_boxed_str()));
        self.broker.create_topic(&stage.topic("retries"), support::stage::PARTITIONS, &[]);
        stage
    }

    fn start(&self, stage: Stage<'static>, dead: bool, command: &[&str]) -> Running {
        let name = stage.name;
        let more = format!(
            "[routing]\nmin_confidence = 0.99\nmax_escalation_rate = 1.0\n\
             [student]\nsessions = 1\nremember_mib = 0\n\
             [teacher]\ngroup = \"{name}.teach\"\n[[teacher.providers]]\nname = \"stub\"\n\
             base_url = \"{}\"\nmodel = \"stub\"\n",
            self.server.base_url()
        );
        let config = |instance: &str| {
            stage
                .config(instance, &more)
                .replace("[topics]\n", &format!("[topics]\nretries = \"{name}.retries\"\n"))
        };
        let teach = dead.then(|| {
            RadstreamCommand::new(&["run", "--stage", "teach"]).config(&config("teach")).spawn()
        });
        let label = RadstreamCommand::new(command).config(&config("label")).spawn();
        Running { stage, label, _teach: teach }
    }
}

/// Findings of stage label. What cannot be de-identified has its revision too, without a teacher.
fn labelled(messages: &[Message]) -> usize {
    messages.iter().filter(|message| !is_revision(message)).count()
}

fn is_revision(message: &Message) -> bool {
    message.header("ce_type").is_some_and(|kind| kind.contains(".revised."))
}
