//! `radstream rollback`: puts the student before, or a named one, back in service.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::promote::{of_store_error, stem};
use super::{exit, settings};
use crate::promotion::record::RollbackRecord;
use crate::promotion::store::{Action, Entry, Store, StoreError, Version};
use crate::student::folder::Listing;

/// Arguments of `radstream rollback`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream rollback --config radstream.toml --reason 'misses pneumothorax in portable films'
  radstream rollback --to 2026.11.28-2f100d37-1b8cd1a9
  radstream rollback --list                                what was in service, and what is kept

No gate: the model was in service before. Its files are checked by their hashes. Rolling back twice
goes two models back.

Exit codes:
  0 done   64 there is nothing to go back to, or no such version   65 the store or the model is damaged
  74 the store cannot be written   75 another process changes the store, try again   78 configuration")]
pub struct RollbackArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The model store, in place of promotion.store.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// The version to put in service (default: the one before the current).
    #[arg(long, value_name = "VERSION", conflicts_with = "list")]
    pub to: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Show what was in service; change nothing.
    #[arg(long)]
    pub list: bool,
}

/// Why nothing was rolled back.
#[derive(Debug, thiserror::Error)]
enum RollbackFailure {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error(
        "{} holds no model that was in service before this one; name one with --to (see --list)",
        .0.display()
    )]
    Nothing(PathBuf),
    #[error("{0} is in service already")]
    Same(Version),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl RollbackFailure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(problem) => of_store_error(problem),
            Self::Nothing(_) | Self::Same(_) => exit::USAGE,
            Self::Output(_) => exit::IO,
        }
    }
}

/// Rolls back and returns the exit code.
pub fn run(
    args: &RollbackArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let settings = match settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let root = args.store.clone().unwrap_or(settings.promotion.store);
    let done = if args.list { list(root, stdout) } else { rollback(root, args, stdout) };
    match done {
        Ok(()) => exit::OK,
        Err(failure) => {
            // Standard error is the last resort.
            drop(writeln!(stderr, "radstream rollback: {failure}"));
            failure.exit_code()
        }
    }
}

fn rollback(
    root: PathBuf,
    args: &RollbackArgs,
    stdout: &mut dyn Write,
) -> Result<(), RollbackFailure> {
    let mut store = Store::open(&root)?;
    let target = match &args.to {
        Some(name) => store.version(name)?,
        None => {
            // What is before the current one is not known when nobody knows the current one.
            store.current()?;
            store.previous().ok_or(RollbackFailure::Nothing(root))?
        }
    };
    let current = match store.current() {
        Ok(current) => current,
        Err(StoreError::Astray { .. }) => None,
        Err(problem) => return Err(problem.into()),
    };
    if current.as_ref() == Some(&target) {
        return Err(RollbackFailure::Same(target));
    }
    let folder = store.folder(&target);
    let listing = Listing::read(&folder).map_err(StoreError::from)?;
    listing.verify(&folder).map_err(StoreError::from)?;
    let record = RollbackRecord {
        format_version: 1,
        radstream: env!("CARGO_PKG_VERSION"),
        time: Timestamp::now().to_string(),
        asked: "rollback",
        from: current.as_ref().map(ToString::to_string),
        to: target.to_string(),
        reason: args.reason.clone(),
    };
    let json = serde_json::to_vec_pretty(&record).map_err(std::io::Error::from)?;
    let name = stem(&record.time, &format!("rollback-{target}"));
    let path = store.record(&name, |stem| {
        vec![
            (format!("{stem}.json"), json.clone()),
            (format!("{stem}.md"), record.markdown().into_bytes()),
        ]
    })?;
    let entry = Entry {
        time: record.time.clone(),
        action: Action::Rollback,
        version: target.to_string(),
        decision: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        reason: args.reason.clone(),
    };
    store.serve(&target, entry)?;
    let from = record.from.as_deref().unwrap_or("no model of the store");
    writeln!(stdout, "in service: {target} (was: {from})")?;
    writeln!(stdout, "record: {}", path.display())?;
    Ok(())
}

fn list(root: PathBuf, stdout: &mut dyn Write) -> Result<(), RollbackFailure> {
    let store = Store::open(&root)?;
    let current = store.current()?;
    let kept = store.versions()?;
    for entry in store.history().entries() {
        let time = if entry.time.is_empty() { "(time not known)" } else { &entry.time };
        let action = serde_json::to_value(entry.action).unwrap_or_default();
        let action = action.as_str().unwrap_or_default().to_owned();
        let state = if kept.contains(&entry.version) { "" } else { "  (no longer kept)" };
        writeln!(stdout, "{time}  {action:8}  {}{state}", entry.version)?;
    }
    match current {
        Some(version) => writeln!(stdout, "in service: {version}")?,
        None => writeln!(stdout, "no model is in service")?,
    }
    Ok(())
}
