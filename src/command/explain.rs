//! `radstream explain`: how one record was read, for the person who asks why.
//!
//! It runs the same decode and extract as the stage, which write down what they do ([`Trace`],
//! [`ExtractTrace`](crate::extract::ExtractTrace)); it reads nothing in a way of its own. Text,
//! identifiers and times are shown only when asked for.

mod account;
mod page;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

pub(super) use self::account::{Explanation, time};
pub(super) use self::page::write as write_page;

use super::assemble::{InputError, decode_options, extract_policy};
use super::exit;
use crate::broker::admin::record::AtOffset;
use crate::broker::admin::{AdminError, Cluster};
use crate::config::{self, Problems, Settings};
#[cfg(doc)]
use crate::decode::Trace;
use crate::publish::registry::RegistryError;

/// Longest wait for each answer of the cluster.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Arguments of `radstream explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream explain message.hl7
  radstream explain --config radstream.toml --show-text message.hl7
  radstream explain --profiles config/profiles message.hl7
  radstream explain --config radstream.toml radiology.reports/3/81724
  kcat -C -t radiology.reports -p 3 -o 81724 -c 1 | radstream explain -

It shows what was found (framing, format, character set), the source profile, the segments or
resources that were used and those that were not and why, the fields that made the report's key,
status and version, its sections, whether it is a chest radiograph and why, warnings, and what
becomes of each report. A file is read as one record.

From Kafka it reads one offset of the configured brokers. It joins no group and commits nothing.

Without --show-text there is no report text, no identifier and no time of the message in the output.

Exit codes:
  0 explained, whatever the outcome   64 usage   66 the file, topic or offset is not there
  69 no broker or registry answers   74 the output cannot be written   77 not authorised   78 configuration")]
pub struct ExplainArgs {
    /// A file, '-' for standard input, or TOPIC/PARTITION/OFFSET.
    #[arg(value_name = "FILE|TOPIC/PARTITION/OFFSET")]
    pub record: String,
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of source profiles, in place of that of the configuration.
    #[arg(long, value_name = "DIR")]
    pub profiles: Option<PathBuf>,
    /// Show report text, identifiers and times.
    #[arg(long)]
    pub show_text: bool,
    /// One JSON object, for machines.
    #[arg(long)]
    pub json: bool,
}

/// Why a record cannot be explained.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("{0}")]
    Configuration(#[from] Problems),
    #[error(
        "{0} is neither a file nor TOPIC/PARTITION/OFFSET; name one of them, or - for standard input"
    )]
    NoSuchRecord(String),
    #[error("{path} cannot be read: {problem}")]
    File { path: String, problem: io::Error },
    #[error("{0}")]
    Input(#[from] InputError),
    #[error("the schema of the record is not known: {0}; see schema_registry.url")]
    Registry(#[from] RegistryError),
    #[error("{0}; see what `radstream check` says")]
    Cluster(#[from] AdminError),
    #[error("there is no topic {0}; correct the name, or kafka.bootstrap_servers")]
    NoTopic(String),
    #[error("topic {topic} has the partitions 0 to {last}; name one of them")]
    NoPartition { topic: String, last: usize },
    #[error("partition {partition} of {topic} holds no offset {offset}: {there}")]
    NoOffset { topic: String, partition: i32, offset: i64, there: String },
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl ExplainError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Input(_) => exit::CONFIGURATION,
            Self::Registry(_) => exit::UNAVAILABLE,
            Self::NoSuchRecord(_)
            | Self::File { .. }
            | Self::NoTopic(_)
            | Self::NoPartition { .. }
            | Self::NoOffset { .. } => exit::NO_INPUT,
            Self::Cluster(problem) => exit::of_admin_error(problem),
            Self::Output(_) => exit::IO,
        }
    }
}

/// Explains one record; gives the exit code.
///
/// `environment` is usually [`config::process_environment`].
pub fn run(
    args: &ExplainArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    match explain(args, environment, stdin, stdout) {
        Ok(()) => exit::OK,
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream: {error}"));
            error.exit_code()
        }
    }
}

fn explain(
    args: &ExplainArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
) -> Result<(), ExplainError> {
    let profiles = args
        .profiles
        .iter()
        .map(|folder| ("RADSTREAM__INTAKE__PROFILES".to_owned(), folder.display().to_string()));
    // A later variable of the same name wins.
    let settings = config::load(args.config.as_deref(), environment.chain(profiles))?;
    let (options, schemas) = decode_options(&settings)?;
    // One byte more than decode accepts, so that it is decode which refuses.
    let limit = u64::try_from(options.max_payload_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let payload = match record(&args.record)? {
        Record::Stdin => read(&args.record, stdin, limit)?,
        Record::File(path) => {
            let file = File::open(path);
            let mut file = file.map_err(|problem| unreadable(&args.record, problem))?;
            read(&args.record, &mut file, limit)?
        }
        Record::Offset { topic, partition, offset } => {
            fetch(&settings, topic, partition, offset)?.unwrap_or_default()
        }
    };
    if let Some(schemas) = schemas {
        schemas.ask_once(&payload)?;
    }
    let policy = extract_policy(&settings);
    let explanation = Explanation::of(&args.record, &payload, &options, &policy, args.show_text);
    if args.json {
        serde_json::to_writer_pretty(&mut *stdout, &explanation).map_err(io::Error::from)?;
        writeln!(stdout)?;
    } else {
        page::write(&explanation, stdout)?;
    }
    stdout.flush()?;
    Ok(())
}

/// What may stand at an offset besides a record.
pub(super) const NO_RECORD: &str =
    "there is a transaction's marker, an aborted record, or one that was compacted away";

/// What a partition holds that holds not the offset.
pub(super) fn outside(first: i64, end: i64) -> String {
    if first == end { "it is empty".to_owned() } else { format!("it holds {first} to {}", end - 1) }
}

/// Where the record is.
enum Record<'a> {
    Stdin,
    File(&'a Path),
    Offset { topic: &'a str, partition: i32, offset: i64 },
}

/// A file that exists is a file, whatever its name looks like.
fn record(name: &str) -> Result<Record<'_>, ExplainError> {
    if name == "-" {
        return Ok(Record::Stdin);
    }
    let path = Path::new(name);
    if path.exists() {
        return Ok(Record::File(path));
    }
    let offset = || {
        let (rest, offset) = name.rsplit_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        let legal = !topic.is_empty() && !topic.contains('/');
        let partition = partition.parse().ok().filter(|number: &i32| *number >= 0)?;
        let offset = offset.parse().ok().filter(|number: &i64| *number >= 0)?;
        legal.then_some(Record::Offset { topic, partition, offset })
    };
    offset().ok_or_else(|| ExplainError::NoSuchRecord(name.to_owned()))
}

fn read(name: &str, reader: &mut dyn Read, limit: u64) -> Result<Vec<u8>, ExplainError> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes).map_err(|problem| unreadable(name, problem))?;
    Ok(bytes)
}

fn unreadable(name: &str, problem: io::Error) -> ExplainError {
    ExplainError::File { path: name.to_owned(), problem }
}

/// The value at an offset; `None` is a tombstone.
fn fetch(
    settings: &Settings,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<Vec<u8>>, ExplainError> {
    let cluster = Cluster::connect(settings, TIMEOUT)?;
    let Some(state) = cluster.topic(topic)? else {
        return Err(ExplainError::NoTopic(topic.to_owned()));
    };
    if usize::try_from(partition).is_ok_and(|number| number >= state.partitions) {
        let last = state.partitions.saturating_sub(1);
        return Err(ExplainError::NoPartition { topic: topic.to_owned(), last });
    }
    let there = match cluster.record(topic, partition, offset)? {
        AtOffset::Record(record) => return Ok(record.payload),
        AtOffset::NoRecord => NO_RECORD.to_owned(),
        AtOffset::Outside { first, end } => outside(first, end),
    };
    Err(ExplainError::NoOffset { topic: topic.to_owned(), partition, offset, there })
}
