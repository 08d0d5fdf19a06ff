//! `radstream promote`: puts a new student in service, if the gate lets it through.
//!
//! Loads both models, labels the gold sets with both, runs both against the clock, and hands what was
//! found to [`crate::promotion::gate`]. Then the store does as the gate says. What a figure means and
//! when it is enough is not decided here.

mod contender;
mod failure;
mod limits;
mod trial;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{drift, exit, settings, shipped};
use crate::config::Settings;
use crate::drift::reference::REFERENCE_FILE;
use crate::evaluate::plot;
use crate::evaluate::verdict::Verdict;
use crate::promotion::evidence::Evidence;
use crate::promotion::forest;
use crate::promotion::gate::{self, Ruling};
use crate::promotion::record::{Asked, Occasion, Record};
use crate::promotion::store::{Action, Entry, Store, Version};
use crate::student::folder::Listing;

pub use failure::PromoteFailure;
pub(super) use failure::of_store_error;

/// Seed of the bootstrap: fixed, so that nobody draws until it fits.
const SEED: u64 = 1;

/// Arguments of `radstream promote`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream promote --initial models/default                      the first model of a store
  radstream promote --config radstream.toml models/candidate
  radstream promote models/candidate --gold site-gold.jsonl       on your own reports, too
  radstream promote models/candidate --dry-run                    what would the gate say?

Every decision is written to STORE/decisions, with figures, limits and plots.
docs/REDISTILLATION.md says what is guarded and why; the limits are settings ([promotion]).

Exit codes:
  0 promoted   10 refused   11 insufficient evidence
  64 arguments contradict   65 a gold set or the store is not as it should be
  66 a file cannot be read   70 a model failed while labelling   74 the store cannot be written
  75 another process changes the store, try again   78 configuration, or the model in service cannot
  be loaded")]
pub struct PromoteArgs {
    /// Folder of the candidate: model.onnx, tokenizer.json, manifest.json.
    #[arg(value_name = "CANDIDATE")]
    pub candidate: PathBuf,
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The model store, in place of promotion.store.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Another gold set, besides those of promotion.gold: labelled reports that were never trained on.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub gold: Vec<PathBuf>,
    /// The first model of an empty store: put in service after its self-test alone.
    #[arg(long, conflicts_with = "gold")]
    pub initial: bool,
    /// Decide and write the record, but install nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What is asked of the gate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of the candidate.
    pub candidate: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// Gold sets.
    pub gold: Vec<PathBuf>,
    /// A first model.
    pub initial: bool,
    /// Install nothing.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Decided {
    /// The record.
    pub record: Record,
    /// Where it lies.
    pub path: PathBuf,
    /// Versions that were removed from the store.
    pub removed: Vec<String>,
    /// The reference that drift of the new model is measured against; `None` when it is not in service.
    pub reference: Option<Reference>,
}

/// What drift of a model is measured against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Made of `drift.reports`: of what, in words.
    Made(String),
    /// It came with the candidate.
    TakenOver,
    /// There is none: drift is not measured.
    None,
    /// It could not be made. No reason to keep a better model out.
    Failed(String),
}

/// The exit code of a verdict.
pub const fn of_ruling(ruling: Ruling) -> u8 {
    match ruling {
        Ruling::Promoted => exit::OK,
        Ruling::Refused => exit::REFUSED,
        Ruling::InsufficientEvidence => exit::INSUFFICIENT,
    }
}

/// Decides, installs, tells, and returns the exit code.
pub fn run(
    args: &PromoteArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let settings = match settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let gold = settings.promotion.gold.iter().chain(&args.gold);
    let request = Request {
        candidate: args.candidate.clone(),
        store: args.store.clone().unwrap_or_else(|| settings.promotion.store.clone()),
        gold: gold.map(|path| shipped(path)).collect(),
        initial: args.initial,
        dry_run: args.dry_run,
    };
    match promote(&settings, &request) {
        Ok(decided) => {
            // A closed standard output is the reader's wish; the decision is in the store.
            drop(tell(&decided, stdout));
            of_ruling(decided.record.verdict)
        }
        Err(failure) => {
            // Standard error is the last resort.
            drop(writeln!(stderr, "radstream promote: {failure}"));
            failure.exit_code()
        }
    }
}

/// Prints the table, the verdict, and where the record is.
pub(super) fn tell(decided: &Decided, stdout: &mut dyn Write) -> std::io::Result<()> {
    let record = &decided.record;
    write!(stdout, "{}", record.table())?;
    writeln!(stdout, "\n{}", record.headline())?;
    writeln!(stdout, "record: {}", decided.path.display())?;
    match &decided.reference {
        Some(Reference::Made(what)) => writeln!(stdout, "reference of drift: {what}")?,
        Some(Reference::TakenOver) => writeln!(stdout, "reference of drift: the candidate's")?,
        Some(Reference::None) => writeln!(
            stdout,
            "no reference of drift: set drift.reports, or run `radstream drift reference`"
        )?,
        Some(Reference::Failed(why)) => writeln!(stdout, "no reference of drift: {why}")?,
        None => {}
    }
    if !decided.removed.is_empty() {
        writeln!(stdout, "removed from the store: {}", decided.removed.join(", "))?;
    }
    stdout.flush()
}

/// Judges a candidate, installs it when the gate lets it through, and writes the record. The store is
/// locked all the while.
///
/// # Errors
/// [`PromoteFailure`] when there is no decision; the model in service is then the same as before.
pub fn promote(settings: &Settings, request: &Request) -> Result<Decided, PromoteFailure> {
    let mut store = Store::open(&request.store)?;
    let current = store.current()?;
    let limits = limits::of(&settings.promotion);
    let listing = Listing::read(&request.candidate);
    let progress = progress();
    let (evidence, verdicts, decision) = match (&current, request.initial) {
        (None, false) => return Err(PromoteFailure::Empty(request.store.clone())),
        (Some(version), true) => {
            let (store, version) = (request.store.clone(), version.clone());
            return Err(PromoteFailure::NotEmpty { store, version });
        }
        (None, true) => {
            let evidence = trial::alone(settings, &request.candidate, listing.as_ref());
            let decision = gate::decide_first(&evidence, &limits);
            (evidence, Vec::new(), decision)
        }
        (Some(version), false) => {
            let champion = store.folder(version);
            let trial = trial::Trial { settings, progress: &progress, gold: &request.gold };
            let (evidence, verdicts) =
                trial.run(&champion, &request.candidate, listing.as_ref())?;
            let decision = gate::decide(&evidence, &limits);
            (evidence, verdicts, decision)
        }
    };
    progress.finish_and_clear();
    let occasion = Occasion {
        time: Timestamp::now().to_string(),
        asked: if request.initial { Asked::Initial } else { Asked::Promote },
        dry_run: request.dry_run,
        version: name_of(listing.as_ref().ok(), &request.candidate),
        resamples: settings.promotion.resamples,
        seed: SEED,
    };
    let install = decision.ruling == Ruling::Promoted && !request.dry_run;
    // Into the store first: a record must not say "promoted" of what did not fit on the disk.
    let version = match (&listing, install) {
        (Ok(listing), true) => Some(store.admit(&request.candidate, listing)?),
        _ => None,
    };
    let record = Record::new(occasion, evidence, decision, limits);
    let path = write_record(&store, &record, &verdicts)?;
    let (mut removed, mut reference) = (Vec::new(), None);
    if let Some(version) = version {
        let entry = Entry {
            time: record.time.clone(),
            action: if request.initial { Action::Initial } else { Action::Promote },
            version: version.to_string(),
            decision: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            reason: String::new(),
        };
        // Before it is in service: a process reads it with the model.
        reference = Some(reference_of(settings, &store.folder(&version)));
        store.serve(&version, entry)?;
        removed = store.prune(settings.promotion.keep)?;
    }
    Ok(Decided { record, path, removed, reference })
}

/// Gives a model of the store its reference: made of the site's reports, or as it came.
fn reference_of(settings: &Settings, folder: &Path) -> Reference {
    if settings.drift.reports.is_empty() {
        let there = folder.join(REFERENCE_FILE).exists();
        return if there { Reference::TakenOver } else { Reference::None };
    }
    match drift::make_for(settings, folder) {
        Ok(what) => Reference::Made(what),
        Err(failure) => Reference::Failed(failure.to_string()),
    }
}

fn name_of(listing: Option<&Listing>, candidate: &Path) -> String {
    let folder = || candidate.file_name().unwrap_or_default().to_string_lossy().into_owned();
    listing.map_or_else(folder, |listing| Version::of(listing).to_string())
}

/// `20260101T120000Z-NAME`: sorts by time, and is a file name everywhere.
pub(super) fn stem(time: &str, name: &str) -> String {
    let whole = time.split('.').next().unwrap_or_default();
    let plain: String = whole.chars().filter(char::is_ascii_alphanumeric).collect();
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    format!("{}Z-{name}", plain.trim_end_matches('Z'))
}

/// Writes JSON, Markdown and plots. The path of the JSON.
fn write_record(
    store: &Store,
    record: &Record,
    verdicts: &[Verdict],
) -> Result<PathBuf, PromoteFailure> {
    let drawn = |error: &dyn std::fmt::Display| PromoteFailure::Plot(error.to_string());
    let mut plots = Vec::new();
    let title = format!("{}: {}", record.version, record.verdict.words());
    if let Some(svg) = forest::svg(&title, &record.guards).map_err(|error| drawn(&error))? {
        plots.push(("Differences".to_owned(), "differences".to_owned(), svg));
    }
    for (number, verdict) in (1..).zip(verdicts) {
        let title = format!("Reliability and deferral on {}", verdict.reference.from.name);
        let svg = plot::svg(verdict).map_err(|error| drawn(&error))?;
        plots.push((title, format!("gold-{number}"), svg));
    }
    let json = serde_json::to_vec_pretty(record).map_err(|error| drawn(&error))?;
    let path = store.record(&stem(&record.time, &record.version), |stem| {
        let file = |suffix: &str| format!("{stem}-{suffix}.svg");
        let named: Vec<(String, String)> =
            plots.iter().map(|(title, suffix, _)| (title.clone(), file(suffix))).collect();
        let mut files = vec![
            (format!("{stem}.json"), json.clone()),
            (format!("{stem}.md"), record.markdown(&named).into_bytes()),
        ];
        let drawn = plots.iter().map(|(_, suffix, svg)| (file(suffix), svg.clone().into_bytes()));
        files.extend(drawn);
        files
    })?;
    Ok(path)
}

fn progress() -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Nothing is known of the challenger but that it does not work.
fn broken(mut evidence: Evidence, problem: String) -> Evidence {
    evidence.load_problem = Some(problem);
    evidence.gold.clear();
    evidence.speed = None;
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_sort_by_time_and_are_file_names() {
        let early = stem("2026-01-01T09:00:00.123456Z", "2026.01.01-abc/..");
        assert_eq!(early, "20260101T090000Z-2026.01.01-abc_..");
        assert!(early < stem("2026-01-01T10:00:00Z", "a"));
    }
}
