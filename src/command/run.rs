//! `radstream run`: a stage, until it is told to stop.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::runtime::Runtime;

use crate::broker::auth::Authenticator;
use crate::config::{self, Settings};
use crate::pipeline::stop::{Mode, Stop};
use crate::pipeline::{self, StageError};
use crate::telemetry;
use crate::telemetry::health::Health;
use crate::telemetry::http::{Endpoints, Server, serve};
use crate::telemetry::totals::Totals;

use super::assemble::teacher;
use super::assemble::{self, Loaded};
use super::exit;
use super::rights::{self, Right};

mod error;

pub use error::RunError;

/// How often housekeeping is done.
const TICK: Duration = Duration::from_secs(1);
/// How often the main thread looks after the others.
const WATCH: Duration = Duration::from_millis(100);
/// The watchdog bites after so many bad looks in a row.
const UNHEALTHY_TICKS: u32 = 50;

/// Arguments of `radstream run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  radstream run --config /etc/radstream/radstream.toml
  radstream run --config radstream.toml --until-end     # work off what is there, then exit
  radstream run --config radstream.toml --stage teach   # second opinions; needs [[teacher.providers]]
  RADSTREAM__KAFKA__BOOTSTRAP_SERVERS=kafka:9092 radstream run

SIGTERM or Ctrl-C: finishes running batches, commits, leaves the group, within shutdown.grace_s.
A second signal leaves at once; what was not committed is done again by the next process.")]
pub struct RunArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to run.
    #[arg(long, value_enum, default_value_t = Stage::Label)]
    pub stage: Stage,
    /// Stop at the ends of the input partitions as they are at start.
    #[arg(long)]
    pub until_end: bool,
}

/// The stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Label reports with the student.
    Label,
    /// Give escalated reports a second opinion: ask the teacher, publish revisions and training samples.
    Teach,
}

/// Runs until the end; gives the exit code.
pub fn run(args: &RunArgs, stderr: &mut dyn Write) -> u8 {
    let environment = config::process_environment();
    let settings = match super::settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match start(&settings, args.stage, args.until_end) {
        Ok(()) => exit::OK,
        Err(error) => {
            let remedy = rights::remedy(&refused_rights(&settings, args.stage, &error));
            drop(writeln!(stderr, "radstream: {error}{remedy}"));
            error.exit_code()
        }
    }
}

/// The rights that the brokers refused. A consumer's error does not say which topic it means: where
/// there are several, each is tried once more.
fn refused_rights(settings: &Settings, stage: Stage, error: &RunError) -> Vec<Right> {
    let mut refused = error.refused_rights(&rights::needed(settings, stage));
    if refused.len() > 1 && matches!(error, RunError::Stage(StageError::Consume(_))) {
        let inputs = match stage {
            Stage::Label => settings.topics.reports.clone(),
            Stage::Teach => teacher::teach_inputs(settings),
        };
        let unreadable = assemble::unreadable(settings, &inputs);
        let known = |right: &Right| unreadable.contains(&right.resource);
        if refused.iter().any(known) {
            refused.retain(known);
        }
    }
    refused
}

fn start(settings: &Settings, stage: Stage, until_end: bool) -> Result<(), RunError> {
    let format = match settings.log.format {
        config::LogFormat::Human => telemetry::LogFormat::Human,
        config::LogFormat::Json => telemetry::LogFormat::Json,
    };
    telemetry::start_logging(format, &settings.log.filter)?;
    telemetry::silence_panic_messages();
    for advice in config::advice(settings) {
        tracing::warn!(setting = advice.key, remedy = advice.remedy, "{}", advice.what);
    }
    let runtime = http_runtime()?;
    let mut process = Process::new(settings, &runtime)?;
    let auth = Authenticator::from_settings(settings);

    let result = match stage {
        Stage::Label => label(settings, until_end, auth, &runtime, &mut process),
        Stage::Teach => teach(settings, until_end, auth, &runtime, &mut process),
    };
    let totals = process.totals.snapshot();
    tracing::info!(records = totals.records, outcomes = ?totals.outcomes, "stage ended");
    // HTTP stops last, so that probes see the drain.
    drop(process);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn label(
    settings: &Settings,
    until_end: bool,
    auth: Arc<Authenticator>,
    runtime: &Runtime,
    process: &mut Process,
) -> Result<(), RunError> {
    // The cheap questions first: a missing topic is told before a model is loaded.
    let topics = assemble::stage_topics(settings);
    let (counts, stop_at) =
        assemble::survey(settings, topics, &settings.topics.reports, until_end)?;
    let framing = runtime.block_on(assemble::framing(settings, false))?;
    let Loaded { generation, watch } = assemble::load_labeler(settings)?;
    tracing::info!(
        model = generation.model.name,
        version = generation.model.version,
        group = settings.kafka.group,
        instance = settings.kafka.instance(),
        "stage label starts"
    );
    let options = assemble::stage_options(settings, auth, framing, &counts, stop_at, watch)?;
    process.supervise(settings, |stop, health, totals| {
        pipeline::run(options, generation, stop, health, totals)
    })
}

fn teach(
    settings: &Settings,
    until_end: bool,
    auth: Arc<Authenticator>,
    runtime: &Runtime,
    process: &mut Process,
) -> Result<(), RunError> {
    // Before anything is asked of the cluster: without a teacher there is nothing to do.
    let teacher = teacher::teacher(settings)?;
    let (topics, inputs) = (teacher::teach_topics(settings), teacher::teach_inputs(settings));
    let (_, stop_at) = assemble::survey(settings, topics, &inputs, until_end)?;
    let framing = runtime.block_on(assemble::framing(settings, true))?;
    let providers: Vec<&str> =
        settings.teacher.providers.iter().map(|provider| provider.name.as_str()).collect();
    tracing::info!(
        ?providers,
        prompt = crate::teacher::prompt::version(),
        group = settings.teacher.group,
        instance = settings.kafka.instance(),
        "stage teach starts"
    );
    let options = teacher::teach_options(settings, teacher, auth, framing, stop_at);
    process.supervise(settings, |stop, health, totals| {
        pipeline::teach::run(options, stop, health, totals)
    })
}

/// The runtime of HTTP and signals: one thread, since the work is done elsewhere.
///
/// # Errors
/// The system refuses it.
pub fn http_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
}

/// What surrounds a stage: health, counts, HTTP, signals.
pub struct Process {
    /// Health.
    pub health: Arc<Health>,
    /// Counts.
    pub totals: Arc<Totals>,
    /// Asks the stage to end.
    pub stop: Arc<Stop>,
    /// The HTTP server, if any.
    pub server: Option<Server>,
    signals: Receiver<()>,
}

impl Process {
    /// Starts metrics, HTTP and signal handling.
    ///
    /// # Errors
    /// The HTTP address cannot be bound, or the system refuses signal handlers.
    pub fn new(settings: &Settings, runtime: &Runtime) -> Result<Self, RunError> {
        let metrics = telemetry::start_metrics()?;
        let transaction = Duration::from_millis(settings.delivery.transaction_timeout_ms);
        // The longest call chain of the committer: an attempt, an abort, a new producer.
        let upkeep = metrics.clone();
        // Histograms are folded when scraped; nobody may scrape.
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(TICK * 5).await;
                upkeep.run_upkeep();
            }
        });
        let health = Arc::new(Health::new(transaction * 20));
        let totals = Arc::new(Totals::default());
        let listen = &settings.http.listen;
        let server = if listen.is_empty() {
            None
        } else {
            let token = &settings.http.bearer_token;
            let endpoints = Endpoints {
                health: Arc::clone(&health),
                totals: Arc::clone(&totals),
                metrics,
                bearer_token: token.is_set().then(|| Arc::from(token.expose())),
            };
            let server = runtime
                .block_on(serve(listen, endpoints))
                .map_err(|problem| RunError::Http { listen: listen.clone(), problem })?;
            tracing::info!(address = %server.address, "HTTP: /metrics /livez /readyz /startupz");
            Some(server)
        };
        let (sender, signals) = bounded(4);
        runtime.block_on(async { listen_for_signals(sender) })?;
        Ok(Self { health, totals, stop: Arc::new(Stop::default()), server, signals })
    }

    /// Runs a stage on its own thread and looks after it: signals, grace, watchdog.
    ///
    /// # Errors
    /// The stage's own error, or [`RunError::Forced`].
    pub fn supervise(
        &mut self,
        settings: &Settings,
        stage: impl FnOnce(&Stop, &Arc<Health>, &Arc<Totals>) -> Result<(), StageError> + Send + 'static,
    ) -> Result<(), RunError> {
        let (done_in, done) = bounded(1);
        let (stop, health, totals) =
            (Arc::clone(&self.stop), Arc::clone(&self.health), Arc::clone(&self.totals));
        std::thread::Builder::new().name(String::from("stage")).spawn(move || {
            // The receiver is gone only when the process ends by force.
            drop(done_in.send(stage(&stop, &health, &totals)));
        })?;
        let grace = Duration::from_secs(settings.shutdown.grace_s);
        let mut deadline: Option<Instant> = None;
        let mut unhealthy = 0;
        loop {
            match done.recv_timeout(WATCH) {
                Ok(result) => return result.map_err(RunError::Stage),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(StageError::Panic { thread: "stage" }.into());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.signals.try_recv().is_ok() {
                if deadline.is_some() {
                    return Err(RunError::Forced);
                }
                tracing::info!(
                    grace_s = settings.shutdown.grace_s,
                    "asked to stop: finishing running batches"
                );
                self.health.set_draining();
                self.stop.request(Mode::Leave);
                deadline = Some(Instant::now() + grace);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(RunError::Forced);
            }
            // A process that was stopped or frozen needs a moment to show that it lives.
            let problem = self.health.live().err();
            unhealthy = if problem.is_some() { unhealthy + 1 } else { 0 };
            if let Some(problem) = problem.filter(|_| unhealthy >= UNHEALTHY_TICKS) {
                tracing::error!(
                    problem,
                    "a thread hangs; the process ends so that it can be restarted"
                );
                return Err(RunError::Forced);
            }
        }
    }
}

#[cfg(unix)]
fn listen_for_signals(sender: Sender<()>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // Full: the main thread has been told often enough.
            sender.try_send(()).ok();
        }
    });
    Ok(())
}
