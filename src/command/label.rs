//! `radstream label`: files in, labels out. No Kafka.
//!
//! Reads HL7 v2, FHIR JSON, plain text, JSONL or CSV ([`input`]), labels in chunks, and writes
//! JSONL or a CheXpert-style CSV ([`output`]) in input order. Memory is bounded by one chunk and
//! one record. A record that cannot be read becomes a line with its reason; it never ends the run.

pub(super) mod input;
mod output;
mod rows;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::exit;
use crate::report::ReportText;
use crate::student::labeler::{LabelError, Labeler};
use input::{Body, Item};
use output::Output;

/// Most reports that are labelled in one call.
const CHUNK_REPORTS: usize = 512;
/// A chunk is labelled early when its text is longer than this, in bytes.
const CHUNK_BYTES: usize = 8 << 20;

/// Records could not be read, and `--strict` was given (exit code, `EX_DATAERR`).
pub const BAD_DATA: u8 = exit::DATA;

/// Who labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabelerChoice {
    /// The distilled DeBERTa student.
    Student,
    /// The rule-based labeller; needs no model.
    Rules,
}

/// Format of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Told from the file's name and first bytes.
    Auto,
    /// HL7 v2 messages, one or many, MLLP framing allowed.
    Hl7,
    /// FHIR JSON: a DiagnosticReport, a Bundle, or one resource a line.
    Fhir,
    /// Plain text, one report a file.
    Text,
    /// One JSON object a line: {"id", "findings", "impression"} or {"id", "text"}.
    Jsonl,
    /// Comma, semicolon or tab separated values with a header.
    Csv,
}

/// Format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// One JSON object a report.
    Jsonl,
    /// CheXpert-style: 1 positive, 0 negative, -1 uncertain, blank not mentioned.
    Csv,
}

/// Arguments of `radstream label`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream label report.txt
  radstream label --to csv --output labels.csv reports.jsonl
  radstream label --format csv --text-column 'Report Impression' --to csv study.csv
  cat messages.hl7 | radstream label --labeler rules
  radstream label --evidence reports.jsonl | jq 'select(.labels.pneumothorax.status == \"positive\")'

JSONL output, same order, one object a report:
  {\"id\", \"outcome\", \"labels\": {observation: {\"status\", \"confidence\"}}, \"model\"}
  outcome is \"labelled\", or why there are no labels (labels is then null): skipped_not_chest,
  skipped_no_text, ..., retracted, bad_line, bad_row, or the class of a rejected message.

CSV output: id, then the 14 labels under CheXpert's titles in CheXbert's order (No Finding last).
  A report without labels is a row of blanks; a labelled one never is.

Exit codes:
  0 done   64 arguments contradict   65 records were unreadable (with --strict)
  66 an input cannot be read   70 the labeller failed   74 the output cannot be written
  78 the model cannot be loaded")]
pub struct LabelArgs {
    /// Files to label; none or '-' reads standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Format of the input.
    #[arg(long, value_enum, default_value_t = InputFormat::Auto)]
    pub format: InputFormat,
    /// CSV column with the report text (default: findings and impression, or text, report,
    /// 'Report Impression').
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// CSV column with the id (default: id, study_id, accession; else the row number).
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// Where to write; '-' is standard output.
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t = OutputFormat::Jsonl)]
    pub to: OutputFormat,
    /// Adds to each mentioned cell the sentence that its label rests on (JSONL only).
    #[arg(long)]
    pub evidence: bool,
    /// Exit with 65 if any record could not be read.
    #[arg(long)]
    pub strict: bool,
    /// Who labels.
    #[arg(long, value_enum, default_value_t = LabelerChoice::Student)]
    pub labeler: LabelerChoice,
    /// Model folder (default: the one that ships).
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// No progress bar and no summary on standard error.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
enum LabelFailure {
    #[error("{0}")]
    Usage(&'static str),
    #[error("cannot read {}: {source}. Check the path and its permissions.", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error(
        "cannot write {}: {source}. What is there is incomplete; check the folder, permissions and \
         free space, then run again.",
        path.display()
    )]
    Output { path: PathBuf, source: io::Error },
    #[error("the labeller failed: {0}")]
    Labeler(#[from] LabelError),
}

impl LabelFailure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Input { .. } => exit::NO_INPUT,
            Self::Output { .. } => exit::IO,
            Self::Labeler(_) => exit::INTERNAL,
        }
    }
}

/// What came of the records.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    labelled: u64,
    ended: u64,
    bad: u64,
}

/// Labels `args.files` (or `stdin`) and returns the exit code. Messages go to `stderr`.
pub fn run(
    args: &LabelArgs,
    labeler: &mut dyn Labeler,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let started = Instant::now();
    let (code, message) = match label_all(args, labeler, stdin, stdout, stderr) {
        Ok(tally) => {
            let seconds = started.elapsed().as_secs_f64();
            let code = if args.strict && tally.bad > 0 { BAD_DATA } else { exit::OK };
            let said = (!args.quiet).then(|| summary(tally, seconds, labeler));
            (code, said)
        }
        // The reader of a pipe has seen enough: not our failure.
        Err(LabelFailure::Output { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            (exit::OK, None)
        }
        Err(failure) => (failure.exit_code(), Some(format!("radstream label: {failure}"))),
    };
    if let Some(message) = message {
        // Standard error is the last resort: nothing is left to tell its failure to.
        drop(writeln!(stderr, "{message}"));
    }
    code
}

fn label_all(
    args: &LabelArgs,
    labeler: &mut dyn Labeler,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Tally, LabelFailure> {
    let inputs = check(args)?;
    let to_stdout = is_dash(&args.output);
    let bar = progress(args, &inputs, to_stdout);
    let broken = |source| LabelFailure::Output { path: args.output.clone(), source };
    let mut file;
    let sink: &mut dyn Write = if to_stdout {
        stdout
    } else {
        file = File::create(&args.output).map_err(broken)?;
        &mut file
    };
    let mut run = Run {
        labeler,
        output: Output::new(args.to, args.evidence, BufWriter::new(sink)),
        stderr,
        bar: &bar,
        pending: Vec::new(),
        pending_bytes: 0,
        tally: Tally::default(),
    };
    let failed = |failure: Failed| match failure {
        Failed::Write(source) => broken(source),
        Failed::Label(error) => LabelFailure::Labeler(error),
    };
    run.output.begin().map_err(broken)?;
    for path in &inputs {
        let unreadable = |source| LabelFailure::Input { path: path.clone(), source };
        let mut opened;
        let (name, reader): (String, &mut dyn Read) = if is_dash(path) {
            ("stdin".to_owned(), &mut *stdin)
        } else {
            opened = File::open(path).map_err(unreadable)?;
            (path.display().to_string(), &mut opened)
        };
        let reader = BufReader::with_capacity(1 << 16, bar.wrap_read(reader));
        let source = input::Source {
            name: &name,
            format: args.format,
            text_column: args.text_column.as_deref(),
            id_column: args.id_column.as_deref(),
            identify: false,
            intake: None,
        };
        input::read(&source, reader, &mut |item| run.take(item)).map_err(|error| match error {
            input::ReadError::Io(source) => unreadable(source),
            input::ReadError::Column(name) => unreadable(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("its header has no column {name:?}"),
            )),
            input::ReadError::Sink(failure) => failed(failure),
        })?;
    }
    run.flush().map_err(failed)?;
    run.output.finish().map_err(broken)?;
    bar.finish_and_clear();
    Ok(run.tally)
}

/// What is to be read, after checking what can be checked before any output is touched.
fn check(args: &LabelArgs) -> Result<Vec<PathBuf>, LabelFailure> {
    if args.evidence && args.to == OutputFormat::Csv {
        return Err(LabelFailure::Usage("--evidence needs --to jsonl: the CSV has no room for it"));
    }
    let inputs = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files.clone() };
    if inputs.iter().filter(|path| is_dash(path)).count() > 1 {
        return Err(LabelFailure::Usage("standard input ('-') can be read only once"));
    }
    let target = args.output.canonicalize().ok();
    for path in inputs.iter().filter(|path| !is_dash(path)) {
        let meta =
            path.metadata().map_err(|source| LabelFailure::Input { path: path.clone(), source })?;
        if meta.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(LabelFailure::Input { path: path.clone(), source });
        }
        if !is_dash(&args.output) && target.is_some() && path.canonicalize().ok() == target {
            return Err(LabelFailure::Usage("--output is one of the inputs: it would be lost"));
        }
    }
    Ok(inputs)
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A bar over the bytes read; hidden unless standard error is a terminal of its own.
fn progress(args: &LabelArgs, inputs: &[PathBuf], to_stdout: bool) -> ProgressBar {
    if args.quiet || (to_stdout && io::stdout().is_terminal()) || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bytes: Option<u64> = inputs.iter().map(|path| path.metadata().map(|m| m.len()).ok()).sum();
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:32.cyan/dim} {percent:>3} %  {bytes}/{total_bytes}  {msg}  eta {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner:.cyan} {bytes}  {msg}"),
    };
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn summary(tally: Tally, seconds: f64, labeler: &dyn Labeler) -> String {
    let model = labeler.model();
    let mut said =
        format!("labelled {} by {} {}", reports(tally.labelled), model.name, model.version);
    if tally.ended > 0 {
        said.push_str(&format!(", {} without labels", tally.ended));
    }
    if tally.bad > 0 {
        said.push_str(&format!(", {} unreadable", tally.bad));
    }
    let total = tally.labelled + tally.ended + tally.bad;
    said.push_str(&format!(
        " in {seconds:.1} s ({:.0} reports/s)",
        total as f64 / seconds.max(1e-9)
    ));
    said
}

fn reports(count: u64) -> String {
    format!("{count} report{}", if count == 1 { "" } else { "s" })
}

/// What stops a run from within.
pub(in crate::command) enum Failed {
    Write(io::Error),
    Label(LabelError),
}

struct Run<'a, W: Write> {
    labeler: &'a mut dyn Labeler,
    output: Output<W>,
    stderr: &'a mut dyn Write,
    bar: &'a ProgressBar,
    pending: Vec<Item>,
    pending_bytes: usize,
    tally: Tally,
}

impl<W: Write> Run<'_, W> {
    /// Takes one record; labels when a chunk is full.
    fn take(&mut self, item: Item) -> Result<(), Failed> {
        if let Body::Bad { place, reason, .. } = &item.body {
            let told = format!("radstream label: {place}: {reason}");
            self.bar.suspend(|| drop(writeln!(self.stderr, "{told}")));
        }
        self.pending_bytes += item.bytes();
        self.pending.push(item);
        if self.pending.len() >= CHUNK_REPORTS || self.pending_bytes >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.pending_bytes = 0;
        let mut texts: Vec<ReportText> = Vec::new();
        let mut heads = Vec::with_capacity(self.pending.len());
        for item in self.pending.drain(..) {
            heads.push(match item.body {
                Body::Text(text) => {
                    texts.push(text);
                    (item.id, None)
                }
                Body::Ended(outcome) => (item.id, Some((outcome, None))),
                Body::Bad { outcome, reason, .. } => (item.id, Some((outcome, Some(reason)))),
            });
        }
        let scored = self.labeler.label(&texts).map_err(Failed::Label)?;
        if scored.len() != texts.len() {
            let (expected, got) = (texts.len(), scored.len());
            return Err(Failed::Label(LabelError::Count { expected, got }));
        }
        let mut results = texts.iter().zip(&scored);
        for (id, ended) in heads {
            match ended {
                Some((outcome, reason)) => {
                    match reason {
                        Some(_) => self.tally.bad += 1,
                        None => self.tally.ended += 1,
                    }
                    let (model, reason) = (self.labeler.model(), reason.as_deref());
                    self.output.unlabelled(&id, outcome, reason, model).map_err(Failed::Write)?;
                }
                None => {
                    let Some((text, scored)) = results.next() else { break };
                    self.tally.labelled += 1;
                    let model = self.labeler.model();
                    self.output.labelled(&id, text, scored, model).map_err(Failed::Write)?;
                }
            }
        }
        self.bar.set_message(reports(self.tally.labelled));
        Ok(())
    }
}
