//! `radstream demo`: both stages on an embedded broker, fed by generated messages; the teacher is a
//! stand-in that answers from the rules, over real HTTP.
//!
//! The broker is librdkafka's mock cluster: real clients over real TCP, in this process. Its
//! transactions are a facade and it keeps 5 MiB a partition, so the demo delivers at least once and
//! paces its feed. Everything between consume and publish is what `run` runs.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::broker::auth::Authenticator;
use crate::config::{Guarantee, Labeler, Settings};
use crate::demo::generator::message;
use crate::demo::summary::{DemoSummary, Latency};
use crate::pipeline::stop::{Mode, Stop};
use crate::pipeline::{self, StageError};
use crate::publish::Framing;
use crate::telemetry::health::Health;
use crate::telemetry::totals::{Snapshot, Totals};

use super::assemble::{self, Loaded, teacher};
use super::exit;
use super::label::LabelerChoice;
use super::run::{Process, RunError, http_runtime};

mod second;

use second::SecondOpinions;

/// Partitions of the demo's topics: enough that the mock's retention is never reached.
const PARTITIONS: i32 = 12;
/// Messages sent and not yet settled, at most. It keeps latency honest: beyond what keeps all
/// sessions busy, more would only wait.
const IN_FLIGHT: u64 = 512;
/// Width of the closing table where the terminal does not say.
const WIDTH: u16 = 100;

/// Arguments of `radstream demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  radstream demo
  radstream demo --messages 50000
  radstream demo --forever             # then look at http://127.0.0.1:9600/ ; Ctrl-C ends it
  radstream demo --labeler rules       # no model needed

The demo delivers at least once: transactions of the embedded broker are a facade.
Exactly-once delivery needs a real Kafka: radstream run.")]
pub struct DemoArgs {
    /// Messages to generate.
    #[arg(long, short = 'n', default_value_t = 6000, conflicts_with = "forever")]
    pub messages: u64,
    /// Go on until stopped.
    #[arg(long)]
    pub forever: bool,
    /// Seed of the generator: the same seed gives the same messages.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Who labels.
    #[arg(long, value_enum, default_value_t = LabelerChoice::Student)]
    pub labeler: LabelerChoice,
    /// Model folder.
    #[arg(long, value_name = "DIR")]
    pub model: Option<std::path::PathBuf>,
    /// Address of the page, metrics and health endpoints; port 0 takes a free one, "" none.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9600")]
    pub listen: String,
}

/// Runs the demo; gives the exit code.
pub fn run(args: &DemoArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    match show(args, stdout, stderr) {
        Ok(()) => exit::OK,
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream: {error}"));
            error.exit_code()
        }
    }
}

fn show(args: &DemoArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<(), RunError> {
    crate::telemetry::start_logging(crate::telemetry::LogFormat::Human, "error")?;
    crate::telemetry::silence_panic_messages();
    let cluster = MockCluster::new(1).map_err(StageError::Client)?;
    let mut settings = settings(args, cluster.bootstrap_servers());
    let stand_in = second::stand_in(&mut settings)?;
    let topics = assemble::stage_topics(&settings);
    let all: BTreeSet<String> =
        topics.iter().cloned().chain(teacher::teach_topics(&settings)).collect();
    for topic in &all {
        cluster.create_topic(topic, PARTITIONS, 1).map_err(StageError::Client)?;
    }
    let runtime = http_runtime()?;
    let mut process = Process::new(&settings, &runtime)?;
    let auth = Authenticator::from_settings(&settings);
    let Loaded { generation, watch } = assemble::load_labeler(&settings)?;
    let model = format!("{} {}", generation.model.name, generation.model.version);
    let counts =
        topics.iter().map(|topic| (topic.clone(), PARTITIONS.unsigned_abs() as usize)).collect();
    let options =
        assemble::stage_options(&settings, auth, Framing::SingleObject, &counts, None, watch)?;
    let second = SecondOpinions::start(&settings, stand_in)?;
    introduce(&process, &model, stderr);

    let sent = Arc::new(AtomicU64::new(0));
    let limit = if args.forever { None } else { Some(args.messages) };
    let feed = Feed {
        topic: settings.topics.reports.first().cloned().unwrap_or_default(),
        seed: args.seed,
        limit,
        sent: Arc::clone(&sent),
        totals: Arc::clone(&process.totals),
        stop: Arc::clone(&process.stop),
        health: Arc::clone(&process.health),
    };
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "5");
    let producer = client.create().map_err(StageError::Client)?;
    let feeder = std::thread::Builder::new()
        .name(String::from("demo-feed"))
        .spawn(move || feed.run(&producer))?;
    let bar = progress(limit, Arc::clone(&process.totals), Arc::clone(&process.stop))?;
    let result = process.supervise(&settings, |stop, health, totals| {
        pipeline::run(options, generation, stop, health, totals)
    });
    process.stop.request(Mode::Leave);
    // Both threads look at the stop and end; a panic of theirs is in the log.
    drop((feeder.join(), bar.join()));
    result?;
    let labelled = process.totals.snapshot();
    let teacher = second.end(labelled.escalated)?;
    let summary =
        DemoSummary { teacher, ..summary(&labelled, sent.load(Ordering::Relaxed), model) };
    let (width, colour) = terminal();
    writeln!(stdout, "{}", summary.render(width, colour))?;
    stdout.flush()?;
    Ok(())
}

fn settings(args: &DemoArgs, servers: String) -> Settings {
    let mut settings = Settings::default();
    settings.kafka.bootstrap_servers = servers;
    // The mock knows groups, not static members' sessions; and nobody comes back.
    settings.kafka.static_membership = false;
    settings.delivery.guarantee = Guarantee::AtLeastOnce;
    settings.delivery.commit_interval_ms = 50;
    settings.topics.partitions = PARTITIONS;
    // The generator makes more bad messages than a feed would.
    settings.publish.max_dead_letter_ratio = 1.0;
    settings.http.listen.clone_from(&args.listen);
    if let Some(model) = &args.model {
        settings.student.model.clone_from(model);
    } else {
        settings.student.model = super::default_model();
    }
    settings.student.labeler = match args.labeler {
        LabelerChoice::Student => Labeler::Student,
        LabelerChoice::Rules => Labeler::Rules,
    };
    settings
}

fn introduce(process: &Process, model: &str, stderr: &mut dyn Write) {
    let mut say = |line: String| drop(writeln!(stderr, "{line}"));
    say(format!("radstream demo: generated HL7 v2 and FHIR messages, an embedded broker, {model}"));
    say(String::from(
        "Doubtful reports go to a stand-in teacher (the rules, behind OpenAI's API on loopback).",
    ));
    say(String::from(
        "At-least-once here (the embedded broker's transactions are a facade); exactly once is `radstream run`.",
    ));
    if let Some(server) = &process.server {
        say(format!("Look: http://{0}/   metrics: http://{0}/metrics", server.address));
    }
}

/// Sends generated messages, never more than [`IN_FLIGHT`] ahead of what is settled.
struct Feed {
    topic: String,
    seed: u64,
    limit: Option<u64>,
    sent: Arc<AtomicU64>,
    totals: Arc<Totals>,
    stop: Arc<Stop>,
    health: Arc<Health>,
}

impl Feed {
    fn run(&self, producer: &ThreadedProducer<DefaultProducerContext>) {
        let pause = || std::thread::park_timeout(Duration::from_millis(2));
        // The mock's first assignment takes three seconds; nothing should age meanwhile.
        while self.stop.mode() == Mode::Run && self.health.ready().is_err() {
            pause();
        }
        let mut number = 0;
        while self.stop.mode() == Mode::Run && self.limit.is_none_or(|limit| number < limit) {
            if number >= self.totals.records() + IN_FLIGHT {
                pause();
                continue;
            }
            let message = message(self.seed, number);
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
            record.key = message.key.as_deref();
            record.payload = Some(&message.payload);
            if producer.send(record).is_err() {
                // A full queue; the same message again.
                pause();
                continue;
            }
            number += 1;
            self.sent.store(number, Ordering::Relaxed);
        }
        if let Err(error) = producer.flush(Duration::from_secs(10)) {
            tracing::error!(%error, "not all demo messages were delivered");
        }
        while self.stop.mode() == Mode::Run {
            if self.limit.is_some() && self.totals.records() >= number {
                self.stop.request(Mode::Finish);
            }
            pause();
        }
    }
}

/// The live line. Hidden when standard error is no terminal.
fn progress(
    limit: Option<u64>,
    totals: Arc<Totals>,
    stop: Arc<Stop>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let bar = match limit {
        Some(limit) => ProgressBar::new(limit),
        None => ProgressBar::new_spinner(),
    };
    let template = if limit.is_some() {
        "{bar:32} {pos}/{len} messages  {msg}  eta {eta}"
    } else {
        "{spinner} {pos} messages  {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    std::thread::Builder::new().name(String::from("demo-progress")).spawn(move || {
        while stop.mode() == Mode::Run {
            let now = totals.snapshot();
            bar.set_position(now.records);
            bar.set_message(live(&now));
            std::thread::park_timeout(Duration::from_millis(200));
        }
        bar.finish_and_clear();
    })
}

fn live(now: &Snapshot) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
    let rate = now.labelled() as f64 / now.busy.unwrap_or_default().as_secs_f64().max(0.1);
    let dead: u64 = now.dead_letters.values().sum();
    format!(
        "{rate:.0} reports/s  {} labelled  {} escalated  {dead} dead letters",
        now.labelled(),
        now.escalated
    )
}

fn summary(now: &Snapshot, messages: u64, model: String) -> DemoSummary {
    let owned = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    let busy = now.busy.unwrap_or(now.elapsed);
    #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
    let reports_per_second = now.labelled() as f64 / busy.as_secs_f64().max(0.001);
    DemoSummary {
        elapsed: busy,
        messages,
        reports_per_second,
        outcomes: owned(&now.outcomes),
        cells: now.cells,
        no_finding: now.no_finding,
        escalated: now.escalated,
        escalation_reasons: owned(&now.reasons),
        dead_letters: owned(&now.dead_letters),
        latency: Latency {
            p50: now.latency_ms.value_at_quantile(0.5),
            p90: now.latency_ms.value_at_quantile(0.9),
            p99: now.latency_ms.value_at_quantile(0.99),
            max: now.latency_ms.max(),
        },
        model,
        teacher: String::new(),
        notes: vec![
            String::from(
                "At-least-once delivery on an embedded broker; for exactly once use `radstream run` with Kafka.",
            ),
            format!(
                "Latency: from the message's timestamp to the commit, with at most {IN_FLIGHT} messages in flight."
            ),
        ],
    }
}

fn terminal() -> (u16, bool) {
    let stdout = std::io::stdout().is_terminal();
    let (_, width) = console::Term::stdout().size();
    (if stdout && width > 40 { width.min(140) } else { WIDTH }, stdout)
}
