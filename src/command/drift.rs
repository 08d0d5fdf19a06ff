//! `radstream drift reference`: what the reports of a site look like to a model, for later comparison.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::assemble::InputError;
use super::label::input::{self, Body, Item, ReadError};
use super::label::{Failed, InputFormat};
use super::{assemble, default_model, exit};
use crate::config::Settings;
use crate::drift::reference::{LEAST_REPORTS, REFERENCE_FILE, write};
use crate::drift::{Counts, Observed, least};
use crate::report::ReportText;
use crate::route::{Hints, RoutePolicy, choose, doubts};
use crate::student::labeler::LabelError;
use crate::student::rules::RuleLabeler;
use crate::student::single::Single;
use crate::student::{Student, StudentError, StudentOptions};

/// Arguments of `radstream drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    #[command(subcommand)]
    command: DriftCommand,
}

#[derive(Debug, Subcommand)]
enum DriftCommand {
    /// Label reports and write their figures as reference.json beside the model.
    Reference(ReferenceArgs),
}

/// Arguments of `radstream drift reference`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  radstream drift reference --config radstream.toml last-month.jsonl
  radstream drift reference --model models/2027-01 reports.hl7 more.csv

Input as for `radstream label`: at least 200 reports, better some thousand, of the time and the senders
that count as usual. The file holds counts and no text. It is read when the model is loaded.

Exit codes:
  0 done   65 too few reports   66 an input cannot be read   70 the model failed
  74 the file cannot be written   78 configuration, or the model cannot be loaded")]
struct ReferenceArgs {
    /// Reports; none or '-' reads standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Configuration file: student.model, how messages are read ([intake]), the thresholds of [routing].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Model folder (default: student.model of the configuration; without one, the model that ships).
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Where to write (default: reference.json in the model folder).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Format of the input.
    #[arg(long, value_enum, default_value_t = InputFormat::Auto)]
    format: InputFormat,
}

/// Why there is no reference.
#[derive(Debug, thiserror::Error)]
pub(super) enum DriftFailure {
    #[error(transparent)]
    Student(#[from] StudentError),
    #[error(transparent)]
    Intake(#[from] InputError),
    #[error("cannot read {}: {problem}. Check the path and its permissions.", path.display())]
    Input { path: PathBuf, problem: String },
    #[error("the model failed: {0}")]
    Label(String),
    #[error("{0} reports were labelled, at least {LEAST_REPORTS} are needed; add more files")]
    Few(u64),
    #[error("cannot write {}: {source}. Check folder, permissions and free space, or use --out.", path.display())]
    Output { path: PathBuf, source: io::Error },
}

impl DriftFailure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Student(_) | Self::Intake(_) => exit::CONFIGURATION,
            Self::Input { .. } => exit::NO_INPUT,
            Self::Label(_) => exit::INTERNAL,
            Self::Few(_) => exit::DATA,
            Self::Output { .. } => exit::IO,
        }
    }
}

/// Runs the command; gives the exit code.
pub fn run(
    args: &DriftArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let DriftCommand::Reference(args) = &args.command;
    let settings = match super::settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match reference(args, &settings, stdin, stdout) {
        Ok(()) => exit::OK,
        Err(failure) => {
            // Nothing is left to tell its failure to.
            drop(writeln!(stderr, "radstream drift: {failure}"));
            failure.exit_code()
        }
    }
}

fn reference(
    args: &ReferenceArgs,
    settings: &Settings,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
) -> Result<(), DriftFailure> {
    let folder = match (&args.model, &args.config) {
        (Some(folder), _) => folder.clone(),
        (None, Some(_)) => settings.student.model.clone(),
        (None, None) => default_model(),
    };
    let path = args.out.clone().unwrap_or_else(|| folder.join(REFERENCE_FILE));
    let dash = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &dash[..] } else { &args.files };
    let made = make(settings, &folder, &path, &Reports { files, format: args.format }, stdin)?;
    writeln!(stdout, "{}: {made}", path.display())
        .map_err(|source| DriftFailure::Output { path: PathBuf::from("-"), source })
}

/// Reports to make a reference of.
struct Reports<'a> {
    files: &'a [PathBuf],
    format: InputFormat,
}

/// Makes the reference of a model in the store of the files that `drift.reports` names: what it is, in
/// words.
pub(super) fn make_for(settings: &Settings, folder: &Path) -> Result<String, DriftFailure> {
    let reports = Reports { files: &settings.drift.reports, format: InputFormat::Auto };
    make(settings, folder, &folder.join(REFERENCE_FILE), &reports, &mut io::empty())
}

/// Labels the reports as the stage would, and writes how they look. What it is, in words.
fn make(
    settings: &Settings,
    folder: &Path,
    path: &Path,
    reports: &Reports<'_>,
    stdin: &mut dyn Read,
) -> Result<String, DriftFailure> {
    let options = StudentOptions {
        model: folder.to_path_buf(),
        sessions: 1,
        ..assemble::student_options(settings)
    };
    let student = Student::load(&options)?;
    let identity = student.identity().clone();
    let policy = assemble::policy(&settings.routing, *student.thresholds(), None);
    let asks_rules = policy.max_rule_conflicts.is_some();
    let mut counting = Counting {
        policy,
        rules: asks_rules.then(RuleLabeler::new),
        single: Single::new(student)?,
        counts: Counts::default(),
        others: 0,
    };
    let (decode, _) = assemble::decode_options(settings)?;
    let intake = input::Intake { decode, extract: assemble::extract_policy(settings) };
    read_all(reports, &intake, stdin, &mut counting)?;
    let Counting { counts, others, .. } = counting;
    if counts.reports < LEAST_REPORTS {
        return Err(DriftFailure::Few(counts.reports));
    }
    let failed = |source| DriftFailure::Output { path: path.to_path_buf(), source };
    let text = write(&counts, &identity.sha256).map_err(|error| failed(error.into()))?;
    replace(path, &text).map_err(failed)?;
    #[expect(clippy::cast_precision_loss, reason = "a share for reading")]
    let doubted = 100.0 * counts.doubted as f64 / counts.reports as f64;
    Ok(format!(
        "{} reports as {} {} sees them, {doubted:.1} % doubted ({others} records without text)",
        counts.reports, identity.name, identity.version,
    ))
}

/// A reader never sees half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    std::fs::write(&next, text)?;
    std::fs::rename(&next, path)
}

fn read_all(
    reports: &Reports<'_>,
    intake: &input::Intake,
    stdin: &mut dyn Read,
    counting: &mut Counting,
) -> Result<(), DriftFailure> {
    let bar = progress();
    for path in reports.files {
        let input = |problem: String| DriftFailure::Input { path: path.clone(), problem };
        let mut opened;
        let reader: &mut dyn Read = if path.as_os_str() == "-" {
            &mut *stdin
        } else {
            opened = File::open(path).map_err(|error| input(error.to_string()))?;
            &mut opened
        };
        let name = path.display().to_string();
        let source = input::Source {
            name: &name,
            format: reports.format,
            text_column: None,
            id_column: None,
            identify: false,
            intake: Some(intake),
        };
        let mut sink = |item: Item| {
            bar.inc(1);
            counting.take(&item).map_err(|e| Failed::Label(LabelError::Engine(e.to_string())))
        };
        let read = input::read(&source, BufReader::with_capacity(1 << 16, reader), &mut sink);
        read.map_err(|error| match error {
            ReadError::Io(error) => input(error.to_string()),
            ReadError::Column(column) => input(format!("its header has no column {column:?}")),
            ReadError::Sink(Failed::Label(error)) => DriftFailure::Label(error.to_string()),
            ReadError::Sink(Failed::Write(error)) => input(error.to_string()),
        })?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Hidden when standard error is no terminal.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner:.cyan} {pos} reports  {per_sec}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

struct Counting {
    policy: RoutePolicy,
    rules: Option<RuleLabeler>,
    single: Single,
    counts: Counts,
    /// Records without text to label.
    others: u64,
}

impl Counting {
    fn take(&mut self, item: &Item) -> Result<(), StudentError> {
        match &item.body {
            Body::Text(text) => self.label(text),
            _ => {
                self.others += 1;
                Ok(())
            }
        }
    }

    fn label(&mut self, text: &ReportText) -> Result<(), StudentError> {
        let (scored, encoding) = self.single.read(text)?;
        let rules = self.rules.as_ref();
        let rules = rules.map(|rules| rules.label(text).probabilities.map(|row| choose(&row).0));
        let hints = Hints { tokens_per_word: encoding.per_word(text), rules };
        let answer = doubts(&scored, &[], &hints, &self.policy);
        self.counts.add(&Observed {
            labels: answer.labels,
            confidence: least(&answer.confidence),
            tokens: encoding.len(),
            tokens_per_word: hints.tokens_per_word,
            doubted: !answer.reasons.is_empty(),
        });
        Ok(())
    }
}
