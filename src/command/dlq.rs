//! `radstream dlq`: what could not be processed, why, and once more.
//!
//! Nothing here shows a value, a key or a sender's header unless it is asked for (`show --raw`).

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

use super::exit;
use crate::broker::admin::{AdminError, Cluster};
use crate::broker::span::{Span, SpanError};
use crate::broker::writer::WriteError;
use crate::config::Settings;
use crate::dead_letters::Place;
use crate::dead_letters::catalogue::Catalogue;
use crate::dead_letters::selection::{Selection, time};

pub mod list;
pub mod replay;
pub mod show;
mod summary;

/// Longest wait for an answer of the cluster.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `radstream dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// Count the dead letters by class, stage and day; or list them.
    List(list::ListArgs),
    /// Show one dead letter: what failed, where, and what usually mends it.
    Show(show::ShowArgs),
    /// Write the original records back to the topics that they came from, each exactly once.
    Replay(replay::ReplayArgs),
}

/// How to write the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON object, for machines.
    Json,
}

/// Which letters are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectionArgs {
    /// Only letters of this class (syntax, charset, ...); may be given several times.
    #[arg(long = "class", value_name = "CLASS")]
    pub classes: Vec<String>,
    /// Only what failed at this time or later: 2026-10-31T07:30:00Z, or a day (UTC).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<i64>,
    /// Only what failed before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<i64>,
}

impl SelectionArgs {
    fn selection(&self, places: &[Place]) -> Selection {
        Selection {
            classes: self.classes.clone(),
            since_ms: self.since,
            until_ms: self.until,
            places: places.iter().copied().collect(),
        }
    }
}

/// Why `radstream dlq` ended early.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// The dead-letter topic does not exist.
    #[error(
        "topic {0} (topics.dead_letters) does not exist; make it with `radstream topics create`"
    )]
    NoTopic(String),
    /// `--to` names no topic.
    #[error("there is no topic {0}; correct --to")]
    NoTarget(String),
    /// `--to` is the dead-letter topic.
    #[error("--to {0} is the dead-letter topic itself; name a topic that is read")]
    IntoItself(String),
    /// There is no letter at that place.
    #[error(
        "{topic} has no dead letter at {place}: {there}; `radstream dlq list --letters` shows where they are"
    )]
    NoLetter {
        /// The dead-letter topic.
        topic: String,
        /// What was asked for.
        place: Place,
        /// What is there instead.
        there: String,
    },
    /// The letter has no value to write out.
    #[error(
        "the value of {place} is not in the dead-letter topic: it was too large. It came from {origin}"
    )]
    ValueOmitted {
        /// The letter.
        place: Place,
        /// Where the whole record stood.
        origin: String,
    },
    /// The cluster.
    #[error("{0}; see what `radstream check` says")]
    Cluster(#[from] AdminError),
    /// Reading stopped.
    #[error(transparent)]
    Span(SpanError),
    /// Writing stopped.
    #[error("{source}{}. {done} letters were replayed before; run it again: it goes on where this one stopped", remedy(.source))]
    Write {
        /// Why.
        source: WriteError,
        /// Letters that this run had replayed.
        done: u64,
    },
    /// The answer cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl From<SpanError> for DlqError {
    fn from(error: SpanError) -> Self {
        match error {
            SpanError::Cluster(error) => Self::Cluster(error),
            other => Self::Span(other),
        }
    }
}

const fn remedy(error: &WriteError) -> &'static str {
    match error {
        WriteError::Fenced { .. } => ": another `radstream dlq replay` runs, and works on",
        WriteError::NotAuthorised { .. } => {
            "; grant Write on the input and the dead-letter topic, and Write and Describe on the \
             transactional id"
        }
        WriteError::Failed { .. } => "",
    }
}

impl DlqError {
    /// The documented exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoTopic(_) => exit::CONFIGURATION,
            Self::IntoItself(_) => exit::USAGE,
            Self::NoTarget(_) | Self::NoLetter { .. } | Self::ValueOmitted { .. } => exit::NO_INPUT,
            Self::Cluster(error) => exit::of_admin_error(error),
            Self::Span(_) => exit::TEMPORARY,
            Self::Write { source, .. } => match source {
                WriteError::Fenced { .. } => exit::INTERNAL,
                WriteError::NotAuthorised { .. } => exit::NOT_AUTHORISED,
                WriteError::Failed { .. } => exit::TEMPORARY,
            },
            Self::Output(_) => exit::IO,
        }
    }
}

/// Runs the command; gives the exit code.
pub fn run(
    args: &DlqArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let config = match &args.command {
        DlqCommand::List(args) => &args.config,
        DlqCommand::Show(args) => &args.config,
        DlqCommand::Replay(args) => &args.config,
    };
    let settings = match super::settings(config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let done = match &args.command {
        DlqCommand::List(args) => list::list(args, &settings, stdout),
        DlqCommand::Show(args) => show::show(args, &settings, stdout),
        DlqCommand::Replay(args) => replay::replay(args, &settings, stdout),
    };
    match done {
        Ok(code) => code,
        // The reader of a pipe has seen enough: not our failure.
        Err(DlqError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream dlq: {error}"));
            error.exit_code()
        }
    }
}

/// Partitions of the dead-letter topic.
fn partitions(cluster: &Cluster, settings: &Settings) -> Result<usize, DlqError> {
    let topic = &settings.topics.dead_letters;
    let state = cluster.topic(topic)?.ok_or_else(|| DlqError::NoTopic(topic.clone()))?;
    Ok(state.partitions)
}

/// Reads the dead-letter topic up to where it ends now; everything that was committed before is read.
fn scan(
    settings: &Settings,
    partitions: usize,
    mut catalogue: Catalogue,
) -> Result<Catalogue, DlqError> {
    let (group, topic) = (&settings.kafka.group, &settings.topics.dead_letters);
    // Long enough for a transaction of a process that was killed to time out.
    let patience = PATIENCE + Duration::from_millis(settings.delivery.transaction_timeout_ms);
    let mut span = Span::open_settled(settings, group, topic, partitions, patience)?;
    let bar = progress("reading", span.total());
    while let Some(record) = span.read()? {
        catalogue.take(&record);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(catalogue)
}

fn progress(what: &'static str, length: u64) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(length).with_message(what);
    let template = "{msg} {bar:32} {pos}/{len}  eta {eta}";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

fn write_json(value: &impl serde::Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()
}
