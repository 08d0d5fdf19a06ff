//! How much of the student's bare speed is left when everything around it runs too.
//!
//! In one process and one run, by turns: a bare loop of `Session::run` over prepared batches, and
//! the whole of stage label between an input topic and its committed offsets, on an embedded broker.
//! The same reports, the same sessions, the same length buckets and token budget. What is gated is
//! the ratio of the two, the median over the rounds; both absolute figures go with the machine.
//!
//! `cargo bench --profile release --bench end_to_end -- --reports 6000 --rounds 5`; needs
//! `models/default` and ONNX Runtime. The embedded broker is librdkafka's mock cluster: real clients
//! over real TCP, but its transactions are a facade, so delivery is at least once; and it computes
//! in this process, on cores that the pipeline would otherwise have.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

mod feed;
mod loan;
mod machine;
#[allow(dead_code, reason = "each benchmark works on other messages")]
mod workload;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use crossbeam_channel::{Receiver, Sender, bounded};
use feed::{Reader, produce};
use loan::{Figures, Lent, Stamped, Tally};
use radstream::broker::auth::Authenticator;
use radstream::command::assemble;
use radstream::config::{Guarantee, Settings};
use radstream::pipeline;
use radstream::pipeline::engine::{Engine, Score};
use radstream::pipeline::generation::Generation;
use radstream::pipeline::stop::{Mode, Stop};
use radstream::publish::Framing;
use radstream::student::{Batch, Encoding, Session, Student};
use radstream::telemetry;
use radstream::telemetry::health::Health;
use radstream::telemetry::totals::Totals;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Share of its cores' time that a bare run must get for its wall clock to mean something.
const QUIET: f64 = 0.9;
/// The median ratio that must be reached.
const FLOOR: f64 = 0.80;
/// The median ratio that is wanted.
const GOAL: f64 = 0.93;
/// Longest wait for the group, or for the last commit.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stage label, end to end, against a bare loop over the same batches.
#[derive(Parser)]
struct Args {
    /// Reports in a round.
    #[arg(long, default_value_t = 5000)]
    reports: usize,
    /// Rounds, each of one bare and one end-to-end run.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Sessions; 0 is one per core.
    #[arg(long, default_value_t = 0)]
    sessions: usize,
    /// Padded tokens in one batch at most; 0 is the student's default.
    #[arg(long, default_value_t = 0)]
    batch_tokens: usize,
    /// Partitions of every topic: the mock keeps 5 MiB of each, and all reports must stay.
    #[arg(long, default_value_t = 16)]
    partitions: i32,
    /// Of cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::start_logging(telemetry::LogFormat::Human, "error").unwrap();
    // The recorder that `run` installs: counting is part of the work.
    let _metrics = telemetry::start_metrics().unwrap();
    let mut bench = Bench::new(&args);
    bench.introduce();
    let mut ratio = bench.measure();
    if ratio < FLOOR {
        say(&format!("below {FLOOR}: once more, in case something else ran meanwhile"));
        ratio = bench.measure();
    }
    if ratio < FLOOR {
        say(&format!(
            "FAILED: end to end is {ratio:.3} of the bare loop, at least {FLOOR} is asked"
        ));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    settings: Settings,
    student: Student,
    sessions: (Sender<Session>, Receiver<Session>),
    session_count: usize,
    encodings: Vec<Encoding>,
    reports: usize,
    rounds: usize,
    groups: AtomicUsize,
}

impl Bench {
    fn new(args: &Args) -> Self {
        let mut settings = Settings::default();
        settings.student.model = "models/default".into();
        settings.student.sessions = args.sessions;
        settings.student.batch_tokens = args.batch_tokens;
        settings.kafka.static_membership = false;
        settings.topics.partitions = args.partitions;
        // The feed repeats texts; what is measured is inference.
        settings.student.remember_mib = 0;
        settings.delivery.guarantee = Guarantee::AtLeastOnce;
        let mut student = Student::load(&assemble::student_options(&settings))
            .unwrap_or_else(|error| panic!("{error}"));

        let cluster = MockCluster::new(1).unwrap();
        settings.kafka.bootstrap_servers = cluster.bootstrap_servers();
        for topic in assemble::stage_topics(&settings) {
            cluster.create_topic(&topic, args.partitions, 1).unwrap();
        }
        let messages = workload::reports(args.reports);
        produce(&settings, &messages);

        let mut preparer = Reader { settings: &settings, encoder: student.encoder() };
        let encodings: Vec<_> = messages.iter().map(|message| preparer.read(message)).collect();
        let taken = student.take_sessions();
        let session_count = taken.len();
        let sessions = bounded(session_count);
        taken.into_iter().for_each(|session| sessions.0.send(session).unwrap());
        Self {
            cluster,
            settings,
            student,
            sessions,
            session_count,
            encodings,
            reports: args.reports,
            rounds: args.rounds.max(1),
            groups: AtomicUsize::new(0),
        }
    }

    fn tokens(&self) -> usize {
        self.encodings.iter().map(Encoding::len).sum()
    }

    fn introduce(&self) {
        let model = self.student.identity();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mean = self.tokens() as f64 / self.reports as f64;
        say(&format!("processor         {}, {cores} cores", machine::processor()));
        say(&format!("model             {} {}", model.name, model.version));
        say(&format!(
            "workload          {} generated chest reports a round, {mean:.1} tokens each, {} sessions, \
             {} padded tokens a batch",
            self.reports,
            self.session_count,
            self.student.batch_tokens()
        ));
        say(&format!(
            "broker            embedded (librdkafka's mock, in this process, {} topics of {} \
             partitions at {}): at least once",
            assemble::stage_topics(&self.settings).len(),
            self.settings.topics.partitions,
            self.cluster.bootstrap_servers()
        ));
        say(&format!("load before       {}\n", machine::load_average()));
    }

    /// One unmeasured round, then the rounds; the median ratio.
    fn measure(&mut self) -> f64 {
        self.bare();
        self.end_to_end();
        let (mut bare, mut whole) = (Vec::new(), Vec::new());
        say("round   bare reports/s   end to end reports/s   ratio");
        for round in 1..=self.rounds {
            bare.push(self.bare());
            whole.push(self.end_to_end());
            let (b, e) = (bare[round - 1].rate(), whole[round - 1].rate());
            say(&format!("{round:>5}{b:>17.0}{e:>23.0}{:>8.3}", e / b));
        }
        self.conclude(&bare, &whole)
    }

    fn conclude(&self, bare: &[Figures], whole: &[Figures]) -> f64 {
        let tokens = self.tokens() as f64;
        say("");
        for (name, runs) in [("bare", bare), ("end to end", whole)] {
            let [median, least, most] = spread(runs.iter().map(Figures::rate));
            let padded = middle(runs, |run| run.padded as f64);
            let batches = middle(runs, |run| run.batches as f64);
            let busy = middle(runs, |run| run.busy / run.seconds / self.session_count as f64);
            say(&format!(
                "{name:<12}{median:>6.0} reports/s ({least:.0} to {most:.0})   {:>7.0} real tokens/s   \
                 padding {:>4.1} %   {:.1} reports a batch   sessions busy {:.1} %",
                median * tokens / self.reports as f64,
                100.0 * (1.0 - tokens / padded),
                self.reports as f64 / batches,
                100.0 * busy,
            ));
        }
        let by_time = self.explain(bare, whole);
        let ratios = bare.iter().zip(whole).map(|(bare, whole)| whole.rate() / bare.rate());
        let [ratio, least, most] = spread(ratios);
        let cores = thread::available_parallelism().map_or(1, usize::from).min(self.session_count);
        let got = middle(bare, |run| run.cpu.values().sum::<f64>() / run.seconds / cores as f64);
        say(&format!(
            "\nratio       {ratio:.3} ({least:.3} to {most:.3}); at least {FLOOR}, goal {GOAL}   load \
             now {}",
            machine::load_average()
        ));
        if got >= QUIET || !by_time.is_finite() {
            return ratio;
        }
        // More threads get a larger share of a crowded machine: the ratio flatters.
        say(&format!(
            "other work left the bare loop {:.0} % of its cores: judged by the smaller of this ratio \
             and that of processor time",
            100.0 * got
        ));
        ratio.min(by_time)
    }

    /// Where processor time goes: on a machine whose cores are all busy, this is the ratio's reason.
    fn explain(&self, bare: &[Figures], whole: &[Figures]) -> f64 {
        let by_time =
            middle(bare, Figures::cpu_per_report) / middle(whole, Figures::cpu_per_report);
        if !by_time.is_finite() {
            return by_time;
        }
        say(&format!(
            "\nprocessor time a report, us: bare {:.0}, end to end {:.0} (ratio {by_time:.3}), of which",
            middle(bare, Figures::cpu_per_report),
            middle(whole, Figures::cpu_per_report),
        ));
        let names: std::collections::BTreeSet<&String> =
            whole.iter().flat_map(|run| run.cpu.keys()).collect();
        let mut rows: Vec<(f64, &String)> = names
            .into_iter()
            .map(|name| {
                let time = |run: &Figures| run.cpu.get(name).copied().unwrap_or(0.0);
                (middle(whole, |run| 1e6 * time(run) / run.reports as f64), name)
            })
            .collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (micros, name) in rows.into_iter().filter(|(micros, _)| *micros >= 0.5) {
            say(&format!("{micros:>10.1}  {name}"));
        }
        by_time
    }

    /// The bare loop: as many threads as sessions, each taking the next batch.
    fn bare(&self) -> Figures {
        let now = Instant::now();
        let mut buckets = self.student.buckets(Duration::MAX);
        for encoding in &self.encodings {
            buckets.push(encoding, encoding.len(), now);
        }
        let batches: Vec<Batch<&Encoding>> = std::iter::from_fn(|| buckets.pop(now)).collect();
        let (next, tally) = (AtomicUsize::new(0), Tally::default());
        let (home, out) = &self.sessions;
        let started = Instant::now();
        let cpu: Vec<f64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.session_count)
                .map(|_| {
                    scope.spawn(|| {
                        let mut session = out.recv().unwrap();
                        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let started = Instant::now();
                            session.run(&batch.items, batch.bucket).unwrap();
                            tally.count(batch.items.len(), batch.bucket, started.elapsed());
                        }
                        home.send(session).unwrap();
                        machine::cpu_of("/proc/thread-self").unwrap_or(f64::NAN)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let cpu = BTreeMap::from([(String::from("bare"), cpu.iter().sum())]);
        tally.figures(self.reports, started.elapsed().as_secs_f64(), cpu)
    }

    /// Stage label with a group of its own, from its first fetch to its last commit. Joining the
    /// group (three seconds on the mock) and leaving it are not counted.
    fn end_to_end(&self) -> Figures {
        let mut settings = self.settings.clone();
        let group = self.groups.fetch_add(1, Ordering::Relaxed);
        settings.kafka.group = format!("bench-{group}");
        let (first, tally) = (Arc::new(OnceLock::new()), Arc::new(Tally::default()));
        let generation = self.lend(&settings, &first, &tally);
        let topics = assemble::stage_topics(&settings);
        let counts = topics
            .into_iter()
            .map(|topic| (topic, self.settings.topics.partitions.unsigned_abs() as usize))
            .collect();
        let auth = Authenticator::from_settings(&settings);
        let options =
            assemble::stage_options(&settings, auth, Framing::SingleObject, &counts, None, None)
                .unwrap();
        let stop = Stop::default();
        let health = Arc::new(Health::new(Duration::from_secs(60)));
        let totals = Arc::new(Totals::default());
        thread::scope(|scope| {
            let stage = thread::Builder::new().name(String::from("stage"));
            let run = || pipeline::run(options, generation, &stop, &health, &totals);
            let stage = stage.spawn_scoped(scope, run).unwrap();
            let mut before = machine::threads();
            let wait = Instant::now();
            let started = loop {
                if let Some(started) = first.get() {
                    break *started;
                }
                before = machine::threads();
                check(wait, &stop);
            };
            while totals.records() < self.reports as u64 {
                check(wait, &stop);
            }
            let seconds = started.elapsed().as_secs_f64();
            let cpu = machine::by_name(&before, &machine::threads());
            stop.request(Mode::Finish);
            stage.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
            let labelled = totals.snapshot().labelled();
            assert_eq!(labelled, self.reports as u64, "every message is a report to label");
            tally.figures(self.reports, seconds, cpu)
        })
    }

    fn lend(
        &self,
        settings: &Settings,
        first: &Arc<OnceLock<Instant>>,
        tally: &Arc<Tally>,
    ) -> Generation {
        let encoder = Stamped { encoder: self.student.encoder(), first: Arc::clone(first) };
        let sessions = (0..self.session_count).map(|_| {
            let session = self.sessions.1.recv().unwrap();
            let (home, tally) = (self.sessions.0.clone(), Arc::clone(tally));
            Box::new(Lent { session: Some(session), home, tally }) as Box<dyn Score>
        });
        let engine = Engine {
            encoder: Box::new(encoder),
            sessions: sessions.collect(),
            buckets: self.student.manifest().length_buckets.clone(),
            batch_tokens: self.student.batch_tokens(),
        };
        let model = self.student.identity().clone();
        let doubtful = self.student.manifest().calibration["reports_escalated"].as_f64();
        let policy = assemble::policy(&settings.routing, *self.student.thresholds(), doubtful);
        Generation::new(engine, model, policy, assemble::score_memory_bytes(settings))
    }
}

/// A moment's pause; panics when the stage failed or nothing comes of it.
fn check(since: Instant, stop: &Stop) {
    assert!(stop.mode() == Mode::Run, "the stage ended: {:?}", stop.take_failure());
    assert!(since.elapsed() < PATIENCE, "not done within {PATIENCE:?}");
    thread::park_timeout(Duration::from_millis(5));
}

/// Median, least and most.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0], values[values.len() - 1]]
}

fn middle(runs: &[Figures], value: impl Fn(&Figures) -> f64) -> f64 {
    spread(runs.iter().map(value))[0]
}

fn say(line: &str) {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").unwrap();
}
