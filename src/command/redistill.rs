//! `radstream redistill`: export, train, calibrate, gate, promote, as one job for cron.
//!
//! Export and training are child processes, started from settings. They hold the job's lock with us:
//! a child that outlives us, because we were killed, keeps the next run from starting beside it.

mod child;
mod folder;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::promote::{self, Decided, PromoteFailure, Request, of_ruling};
use super::{exit, settings, shipped};
use crate::config::Settings;
use crate::promotion::gate::Ruling;
use crate::promotion::store::{Store, StoreError, Version};
use crate::redistill::{Next, State};
use crate::student::folder::Listing;
use child::{ChildFailure, Environment, Placeholders};
use folder::{Folder, FolderError};

/// Arguments of `radstream redistill`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream redistill --config radstream.toml
  radstream redistill --config radstream.toml --min-new-samples 1000
  17 3 * * 0  radstream redistill --config /etc/radstream/radstream.toml      # cron: Sundays

Reads the distillation topic into a dataset, trains a student on it, judges that beside the one in
service, and puts it in service if the gate lets it through. Can be killed at any time; the next run
goes on. Settings: [redistill] and [promotion]. docs/REDISTILLATION.md says more.

Exit codes:
  0 promoted   10 refused by the gate   11 insufficient evidence   12 too few new samples: nothing done
  64 no model in service yet (radstream promote --initial)   70 training failed, or a fault
  74 a file cannot be written   75 another run is at work   78 configuration
  others: those of `radstream dataset export`")]
pub struct RedistillArgs {
    /// Configuration file.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// New samples without which nothing is done, in place of redistill.min_new_samples.
    #[arg(long, value_name = "N")]
    pub min_new_samples: Option<u64>,
}

/// Why the job ended before the gate decided.
#[derive(Debug, thiserror::Error)]
enum RedistillFailure {
    #[error("{0}")]
    Folder(#[from] FolderError),
    #[error("{0}")]
    Child(#[from] ChildFailure),
    #[error("training ended well, but what it made is no model: {0}")]
    Candidate(crate::student::StudentError),
    #[error("{0}")]
    Gate(#[from] PromoteFailure),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl From<StoreError> for RedistillFailure {
    fn from(problem: StoreError) -> Self {
        Self::Gate(problem.into())
    }
}

impl RedistillFailure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(FolderError::Locked(_)) => exit::TEMPORARY,
            Self::Folder(FolderError::Content { .. }) => exit::DATA,
            Self::Folder(FolderError::Io { .. }) | Self::Output(_) => exit::IO,
            Self::Child(failure) => failure.exit_code(),
            Self::Candidate(_) => exit::INTERNAL,
            Self::Gate(failure) => failure.exit_code(),
        }
    }
}

/// Does what there is to do, and returns the exit code.
pub fn run(
    args: &RedistillArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let settings = match settings(Some(&args.config), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match (Job { args, settings: &settings }).run(stdout, stderr) {
        Ok(code) => code,
        Err(failure) => {
            // Standard error is the last resort.
            drop(writeln!(stderr, "radstream redistill: {failure}"));
            failure.exit_code()
        }
    }
}

/// What became of a candidate before a run was stopped.
enum Before {
    /// It is in service.
    InService,
    /// It was, and is no more.
    TakenBack,
    /// It never was.
    Never,
}

struct Job<'a> {
    args: &'a RedistillArgs,
    settings: &'a Settings,
}

impl Job<'_> {
    fn run(&self, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<u8, RedistillFailure> {
        let folder = Folder::open(&self.settings.redistill.work)?;
        // A day of training should not end with "there is nothing to compare with".
        let store = &self.settings.promotion.store;
        if Store::open(store)?.current()?.is_none() {
            return Err(PromoteFailure::Empty(store.clone()).into());
        }
        let mut state = folder.state()?;
        if let Some(trained) = state.trained() {
            match self.candidate(&folder) {
                Ok(found) if found.manifest_sha256 == trained => {
                    step(stderr, "going on: the candidate is trained, the gate has not decided");
                    // Retractions do not wait for a gate that cannot judge.
                    self.export(&folder, stderr)?;
                    return self.gate(&folder, &state, &found, stdout, stderr);
                }
                _ => {
                    step(stderr, "the candidate of the last run is damaged: training again");
                    state = state.without_candidate();
                    folder.write(&state)?;
                }
            }
        }
        self.export(&folder, stderr)?;
        let dataset = folder.dataset()?;
        let least = self.args.min_new_samples.unwrap_or(self.settings.redistill.min_new_samples);
        let resume = match state.next(&dataset, least) {
            Next::NothingNew { new } => {
                step(
                    stderr,
                    &format!("nothing new: {new} samples since the last run, {least} are needed"),
                );
                return Ok(exit::NOTHING_NEW);
            }
            Next::Train { resume } => resume,
        };
        state = state.training(&dataset, Timestamp::now().to_string());
        // First: what an earlier run left must not pass for training on this dataset.
        folder.make_ready(resume)?;
        folder.write(&state)?;
        let going_on = if resume { ", going on where it was stopped" } else { "" };
        step(stderr, &format!("training on {} texts{going_on}", dataset.totals.rows));
        let command = &self.settings.redistill.train;
        let places = self.placeholders(&folder);
        child::run("training", command, &places, Environment::Harmless, folder.lock())?;
        let found = self.candidate(&folder).map_err(RedistillFailure::Candidate)?;
        state = state.with_candidate(found.manifest_sha256.clone());
        folder.write(&state)?;
        step(stderr, "trained");
        self.gate(&folder, &state, &found, stdout, stderr)
    }

    fn export(&self, folder: &Folder, stderr: &mut dyn Write) -> Result<(), RedistillFailure> {
        step(stderr, "exporting the distillation topic");
        let places = self.placeholders(folder);
        let command = &self.settings.redistill.export;
        if command.is_empty() {
            let keep_days = self.settings.redistill.keep_days;
            child::run_ourselves("the export", &places, keep_days, folder.lock())?;
        } else {
            child::run("the export", command, &places, Environment::Ours, folder.lock())?;
        }
        step(stderr, "exported");
        Ok(())
    }

    /// The candidate, if it is whole.
    fn candidate(&self, folder: &Folder) -> Result<Listing, crate::student::StudentError> {
        let listing = Listing::read(&folder.candidate())?;
        listing.verify(&folder.candidate())?;
        Ok(listing)
    }

    fn gate(
        &self,
        folder: &Folder,
        state: &State,
        candidate: &Listing,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<u8, RedistillFailure> {
        let verdict = match self.before(candidate)? {
            Before::InService => {
                step(
                    stderr,
                    "the candidate is in service already: the last run was stopped after that",
                );
                Ruling::Promoted
            }
            Before::TakenBack => {
                step(
                    stderr,
                    "the candidate was in service, and was taken back since the last run was stopped: \
                     it stays out. `radstream promote` can put it in service all the same",
                );
                Ruling::Promoted
            }
            Before::Never => {
                step(stderr, "judging");
                let decided = self.judge(folder)?;
                step(stderr, &format!("decided: {}", decided.record.verdict.words()));
                promote::tell(&decided, stdout)?;
                decided.record.verdict
            }
        };
        folder.write(&state.decided(verdict, Timestamp::now().to_string()))?;
        step(stderr, "done");
        Ok(of_ruling(verdict))
    }

    /// Whether the gate has let the candidate through before we could write it down. The store knows: a
    /// promotion must not be repeated over a rollback.
    fn before(&self, candidate: &Listing) -> Result<Before, RedistillFailure> {
        let store = Store::open(&self.settings.promotion.store)?;
        let version = Version::of(candidate);
        Ok(match store.current()? {
            Some(current) if current == version => Before::InService,
            _ if store.history().let_in(version.as_str()) => Before::TakenBack,
            _ => Before::Never,
        })
    }

    fn judge(&self, folder: &Folder) -> Result<Decided, PromoteFailure> {
        let gate = &self.settings.promotion;
        let request = Request {
            candidate: folder.candidate(),
            store: gate.store.clone(),
            gold: gate.gold.iter().map(|path| shipped(path)).collect(),
            initial: false,
            dry_run: false,
        };
        promote::promote(self.settings, &request)
    }

    fn placeholders(&self, folder: &Folder) -> Placeholders {
        let gold = &self.settings.promotion.gold;
        Placeholders {
            config: self.args.config.clone(),
            dataset: folder.dataset_folder(),
            out: folder.candidate(),
            work: folder.training(),
            // The training command may read names from a folder of its own.
            gold: gold
                .iter()
                .map(|path| std::path::absolute(path).unwrap_or(path.clone()))
                .collect(),
        }
    }
}

/// Tells which step has been reached.
fn step(stderr: &mut dyn Write, what: &str) {
    // A log that nobody reads is no reason to stop.
    drop(writeln!(stderr, "redistill: {what}"));
    drop(stderr.flush());
}
