//! Does a dead teacher slow stage label down? Reports a second of stage label alone, and beside a stage
//! teach whose teacher answers nobody, by turns in one run, on real Kafka.
//!
//! It fails when the median ratio is below 0.95. `cargo bench --profile release --bench dead_teacher`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]
#![allow(clippy::print_stdout, reason = "its result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use radstream::demo::teacher::{TeacherOptions, TeacherServer};
use support::kafka::KafkaBroker;
use support::processes::RadstreamCommand;
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
    /// Of cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let broker = KafkaBroker::shared();
    let server = TeacherServer::start(TeacherOptions::default()).unwrap();
    server.set_down(true);
    let mut ratios = Vec::new();
    for round in 0..args.rounds {
        // Which of the two comes first takes turns.
        let mut rates = [0.0; 2];
        for dead in if round % 2 == 0 { [false, true] } else { [true, false] } {
            rates[usize::from(dead)] = rate(broker, &server, round, dead, args.messages);
        }
        let [alone, beside] = rates;
        println!("round {round}: {alone:.0} reports/s alone, {beside:.0} beside a dead teacher");
        ratios.push(beside / alone);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!(
        "beside a dead teacher over alone: {median:.3} ({:.3} to {:.3}), {} calls in vain",
        ratios[0],
        ratios[ratios.len() - 1],
        server.counts().closed_while_down
    );
    if median < LEAST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Messages a second of one stage label, from its first finding to its last.
fn rate(
    broker: &'static KafkaBroker,
    server: &TeacherServer,
    round: usize,
    dead: bool,
    messages: u64,
) -> f64 {
    let name: &'static str = Box::leak(format!("dead-{round}-{dead}").into_boxed_str());
    let stage = Stage::create(broker, name);
    broker.create_topic(&stage.topic("retries"), support::stage::PARTITIONS, &[]);
    stage.feed(round as u64, messages);
    let more = format!(
        "[routing]\nmin_confidence = 0.99\nmax_escalation_rate = 1.0\n\
         [student]\nsessions = 1\nremember_mib = 0\n\
         [teacher]\ngroup = \"{name}.teach\"\n[[teacher.providers]]\nname = \"stub\"\n\
         base_url = \"{}\"\nmodel = \"stub\"\n",
        server.base_url()
    );
    let config = |instance: &str| {
        stage
            .config(instance, &more)
            .replace("[topics]\n", &format!("[topics]\nretries = \"{name}.retries\"\n"))
    };
    let teach = dead.then(|| {
        RadstreamCommand::new(&["run", "--stage", "teach"]).config(&config("teach")).spawn()
    });
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    let label = RadstreamCommand::new(&["run", "--until-end"]).config(&config("label")).spawn();
    let (events, _) = support::stage::expected(round as u64, messages);
    let first =
        labelled(reader.until("the first findings", PATIENCE, |m| labelled(m) > events / 20));
    let started = Instant::now();
    let read = reader.until("nearly all", PATIENCE, |m| labelled(m) >= events * 19 / 20);
    let taken = started.elapsed().as_secs_f64();
    let last = labelled(read);
    drop((label, teach));
    (last - first) as f64 / taken
}

/// Findings of stage label. What cannot be de-identified has its revision too, without a teacher.
fn labelled(messages: &[Message]) -> usize {
    let revised = |message: &&Message| {
        message.header("ce_type").is_some_and(|kind| kind.contains(".revised."))
    };
    messages.len() - messages.iter().filter(revised).count()
}
