//! `radstream dataset export`: reads the distillation topic up to its end into a dataset folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::broker::admin::{AdminError, Cluster};
use crate::broker::span::{Span, SpanError};
use crate::command::exit;
use crate::config::Settings;
use crate::dataset::manifest::{History, Manifest};
use crate::dataset::{FolderError, Store, StoreError};
use crate::pipeline::unix_ms;

/// Longest wait for an answer of the cluster.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `radstream dataset export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  radstream dataset export --config radstream.toml --out /data/distillation
  radstream dataset export --config radstream.toml --out /data/distillation --keep-days 365
  radstream dataset stats /data/distillation

DIR/current/samples is what to train on; in Python: pandas.read_parquet(\"DIR/current/samples\").
It can be killed at any time: the next run goes on from the last snapshot. Run it often: a retracted
report is gone from DIR after the next run. Nobody but you should read DIR, and nobody needs DIR/key.

Exit codes:
  0 done   65 DIR is damaged, or the topic is another   69 no broker answers   74 DIR cannot be written
  75 another export writes to DIR   77 not authorised   78 configuration, or DIR is not a dataset's")]
pub struct ExportArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the dataset; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Drop samples made more than N full days before today (UTC). Without it all are kept.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub keep_days: Option<u32>,
    /// Consumer group whose offsets tell how far it has read; for people only, DIR decides.
    #[arg(long, value_name = "NAME", default_value = "radstream.dataset")]
    pub group: String,
    /// New records that are held in memory before a snapshot is written; they take about twice that.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub chunk_mib: u16,
}

/// What an export did.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The dataset as it is now.
    pub manifest: Manifest,
    /// What had been read before this run.
    pub before: History,
    /// Snapshots that were written; 0: there was nothing new.
    pub snapshots: u64,
    /// The offsets could not be committed for the group: why.
    pub uncommitted: Option<String>,
}

/// The export failed. What it had committed stands.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// No topic.
    #[error("topics.distillation is \"\": there is nothing to export; name the topic")]
    NoTopic,
    /// It does not exist.
    #[error("topic {0} does not exist; make it with `radstream topics create`")]
    TopicMissing(String),
    /// The dataset.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] AdminError),
    /// The topic has lost what was read.
    #[error("{0}; what was retracted meanwhile is not known. Export into a new folder.")]
    Truncated(SpanError),
}

impl From<SpanError> for ExportError {
    fn from(error: SpanError) -> Self {
        match error {
            SpanError::Cluster(error) => Self::Cluster(error),
            truncated @ SpanError::Truncated { .. } => Self::Truncated(truncated),
        }
    }
}

impl ExportError {
    /// The documented exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoTopic | Self::TopicMissing(_) => exit::CONFIGURATION,
            Self::Cluster(error) => exit::of_admin_error(error),
            Self::Truncated(_) => exit::DATA,
            Self::Store(error) => match error {
                StoreError::Folder(FolderError::Locked(_)) => exit::TEMPORARY,
                StoreError::Folder(FolderError::Io { .. }) | StoreError::Write { .. } => exit::IO,
                StoreError::Folder(_) | StoreError::OtherTopic { .. } | StoreError::OtherKey(_) => {
                    exit::CONFIGURATION
                }
                StoreError::Manifest(_) | StoreError::Damaged(_) => exit::DATA,
            },
        }
    }
}

/// Runs the command; gives the exit code.
pub fn run(
    args: &ExportArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let settings = match crate::command::settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let bar = progress();
    let exported = export(args, &settings, &bar);
    bar.finish_and_clear();
    match exported {
        Ok(exported) => tell(&exported, &args.out, stdout, stderr).map_or(exit::IO, |()| exit::OK),
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream dataset export: {error}"));
            error.exit_code()
        }
    }
}

/// Brings the dataset up to where the topic ends now.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    args: &ExportArgs,
    settings: &Settings,
    bar: &ProgressBar,
) -> Result<Exported, ExportError> {
    let topic = settings.topics.distillation.as_str();
    if topic.is_empty() {
        return Err(ExportError::NoTopic);
    }
    // First: what is wrong with the folder is told without a broker.
    let mut store = Store::open(&args.out, topic)?;
    let cluster = Cluster::connect(settings, PATIENCE)?;
    let state = cluster.topic(topic)?.ok_or_else(|| ExportError::TopicMissing(topic.to_owned()))?;
    drop(cluster);
    let before = store.history().clone();
    let next = store.next_offsets();
    let mut span = Span::open(settings, &args.group, topic, state.partitions, &next, PATIENCE)?;
    store.missed(span.missed());
    bar.set_length(span.total());
    let chunk = usize::from(args.chunk_mib) << 20;
    let mut snapshots = 0;
    while let Some(record) = span.read()? {
        store.take(&record, unix_ms());
        bar.inc(1);
        if store.waiting_bytes() >= chunk {
            bar.set_message("writing");
            snapshots += u64::from(store.commit(span.next_offsets(), args.keep_days, unix_ms())?);
            bar.set_message("");
        }
    }
    bar.set_message("writing");
    let written = store.commit(span.next_offsets(), args.keep_days, unix_ms())?;
    snapshots += u64::from(written);
    let uncommitted = span.commit(span.next_offsets()).err().map(|error| error.to_string());
    // The first commit always writes.
    let manifest = store.manifest().cloned();
    let manifest = manifest.ok_or_else(|| StoreError::Damaged(args.out.clone()))?;
    Ok(Exported { manifest, before, snapshots, uncommitted })
}

/// Tells what was done.
fn tell(
    exported: &Exported,
    out: &Path,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<()> {
    let Exported { manifest, before, snapshots, uncommitted } = exported;
    let now = &manifest.history;
    writeln!(
        stdout,
        "read     {} records of {}: {} samples, {} delete markers, {} withdrawals",
        now.records - before.records,
        manifest.topic,
        now.samples - before.samples,
        now.delete_markers - before.delete_markers,
        now.withdrawals - before.withdrawals,
    )?;
    writeln!(
        stdout,
        "removed  {} retracted, {} withdrawn, {} that came late, {} by retention",
        now.retracted - before.retracted,
        now.withdrawn - before.withdrawn,
        now.late - before.late,
        now.expired - before.expired,
    )?;
    let state = if *snapshots == 0 { "as it was" } else { "written" };
    writeln!(
        stdout,
        "dataset  {}: {} texts of {} samples, id {} (snapshot {}, {state})",
        out.display(),
        manifest.totals.rows,
        manifest.totals.seen,
        manifest.dataset_id,
        manifest.snapshot,
    )?;
    for (reason, count) in &now.unusable {
        let count = count - before.unusable.get(reason).copied().unwrap_or(0);
        if count > 0 {
            writeln!(stderr, "warning: {count} records cannot be used: {reason}")?;
        }
    }
    let missed = now.missed_offsets - before.missed_offsets;
    if missed > 0 {
        writeln!(
            stderr,
            "warning: {missed} offsets were deleted from the topic before they were read; \
             retractions among them are not known here. Export more often than \
             topics.distillation_retention_hours."
        )?;
    }
    if let Some(problem) = uncommitted {
        writeln!(stderr, "warning: the group's offsets, which are for people, stay: {problem}")?;
    }
    Ok(())
}

fn progress() -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(0);
    let template = "{bar:32} {pos}/{len}  {msg}  eta {eta}";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
