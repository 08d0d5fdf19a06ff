//! `radstream evaluate`: judges a labeller's output against reference labels.
//!
//! Reads files, labels the reference's own texts where asked to, writes table, JSON and plot. What
//! the numbers mean is [`crate::evaluate`]'s part.

pub(super) mod source;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit;
use super::label::{BAD_DATA, LabelerChoice};
use crate::evaluate::convention::{Average, Binary};
use crate::evaluate::judge::judge;
use crate::evaluate::pairing::{Gold, MatchBy, PairError};
use crate::evaluate::plot::{self, PlotError};
use crate::evaluate::read::{Aggregate, ReadError, Reading};
use crate::evaluate::table::{self, Shown};
use crate::evaluate::verdict::Plan;
use crate::student::StudentError;
use crate::student::labeler::LabelError;

/// A convention to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Convention {
    /// CheXbert's macros: 14, 13 and 12 labels.
    Chexbert,
    /// Macros over the observations with at least --min-support such cells in the reference.
    Supported,
    /// The same with No Finding in mention, positive and blank.
    SupportedNf,
    /// F1-CheXbert of report generation: uncertain counts as positive, 14 labels.
    Rrg14,
    /// The same over five labels.
    Rrg5,
    /// Present or not, 13 observations.
    Binary13,
    /// Reference cells that are positive or negative only.
    CertainOnly,
    /// All of them.
    All,
}

/// Arguments of `radstream evaluate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream evaluate --gold gold.jsonl                            the student that ships
  radstream evaluate --gold gold.jsonl --labeler rules
  radstream evaluate --gold gold.jsonl --versus rules             student against rules, paired
  radstream evaluate --gold gold.jsonl --model models/candidate --versus student
  radstream evaluate --gold gold.jsonl --predictions chexbert.csv
  radstream evaluate --gold gold.jsonl --predictions a.jsonl b.csv --versus c.jsonl
  radstream label gold.jsonl | radstream evaluate --gold gold.jsonl --predictions -
  radstream evaluate --gold gold.jsonl --teacher pseudo.jsonl     student with a teacher behind it
  radstream evaluate --gold gold.jsonl --convention all --json scores.json --plot scores.svg

Files:
  JSONL, one object a line: {\"id\", \"findings\", \"impression\", \"labels\": {observation: status}};
    absent is not_mentioned. A cell may be {\"status\", \"confidence\"} as `radstream label` writes
    it, or a list of mentions.
  CSV as CheXpert and CheXbert write it: columns by title; 1 positive, 0 negative, -1 uncertain,
    blank not mentioned.
  No Finding is derived, but a CSV's own column of that name is judged as it stands.

docs/EVALUATION.md says what each figure means.

Exit codes:
  0 done   64 arguments contradict   65 a file is not a label file, or does not fit the reference
  66 a file cannot be read   70 the labeller failed   74 an output cannot be written
  78 the model cannot be loaded")]
pub struct EvaluateArgs {
    /// Reference labels, JSONL or CSV.
    #[arg(long, value_name = "FILE")]
    pub gold: PathBuf,
    /// Answers to judge, each file a system; '-' is standard input. Without it the reference's own
    /// texts are labelled.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub predictions: Vec<PathBuf>,
    /// Compare with this: a file, a model folder, `rules`, or `student`: the one that ships, or with
    /// --predictions that of --model.
    #[arg(long, value_name = "WHAT")]
    pub versus: Option<String>,
    /// Judge each system also with this teacher behind it, at several call rates: its answers, as a
    /// label file (`radstream pseudo-label`, or recorded labels).
    #[arg(long, value_name = "FILE")]
    pub teacher: Option<PathBuf>,
    /// Who labels when there are no predictions.
    #[arg(long, value_enum, default_value_t = LabelerChoice::Student, conflicts_with = "predictions")]
    pub labeler: LabelerChoice,
    /// Model folder of the student (default: the one that ships).
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Conventions to show in the table. The JSON always holds all.
    #[arg(long, value_enum, num_args = 1.., value_delimiter = ',',
        default_values_t = [Convention::Chexbert, Convention::Supported])]
    pub convention: Vec<Convention>,
    /// Cells of a task's target that an observation needs in the reference to be `supported`.
    #[arg(long, value_name = "CELLS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub min_support: u64,
    /// How predictions find their reports.
    #[arg(long = "match", value_enum, value_name = "HOW", default_value_t = MatchBy::Auto)]
    pub match_by: MatchBy,
    /// CSV column with the id (default: id, study_id, accession).
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// What several mentions in one cell come to.
    #[arg(long, value_enum, default_value_t = Aggregate::Documented)]
    pub aggregate: Aggregate,
    /// Derive No Finding for a CSV, too, instead of judging its own column.
    #[arg(long)]
    pub derive_no_finding: bool,
    /// Bootstrap resamples for the intervals; 0: none.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub resamples: u32,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw reliability diagram and deferral curve (SVG).
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum EvaluateFailure {
    #[error("{0}")]
    Usage(String),
    #[error("cannot read {}: {source}. Check the path and its permissions.", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("{} is not a label file: {problem}", path.display())]
    Format { path: PathBuf, problem: ReadError },
    #[error("{} cannot be evaluated: {problem}", path.display())]
    Pairing { path: PathBuf, problem: PairError },
    #[error("{0}")]
    Model(#[from] StudentError),
    #[error("the labeller failed: {0}")]
    Labeler(#[from] LabelError),
    #[error("{0}")]
    Plot(#[from] PlotError),
    #[error("cannot write {}: {source}. Check the folder, permissions and free space.", path.display())]
    Output { path: PathBuf, source: io::Error },
}

impl EvaluateFailure {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Input { .. } => exit::NO_INPUT,
            Self::Format { .. } | Self::Pairing { .. } => BAD_DATA,
            Self::Model(_) => exit::CONFIGURATION,
            Self::Labeler(_) | Self::Plot(_) => exit::INTERNAL,
            Self::Output { .. } => exit::IO,
        }
    }
}

/// Evaluates and returns the exit code. The table goes to `stdout`, messages to `stderr`.
pub fn run(
    args: &EvaluateArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    match evaluate(args, stdin, stdout) {
        Ok(()) => exit::OK,
        // The reader of a pipe has seen enough: not our failure.
        Err(EvaluateFailure::Output { source, .. })
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            exit::OK
        }
        Err(failure) => {
            // Standard error is the last resort: nothing is left to tell its failure to.
            drop(writeln!(stderr, "radstream evaluate: {failure}"));
            failure.exit_code()
        }
    }
}

fn evaluate(
    args: &EvaluateArgs,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
) -> Result<(), EvaluateFailure> {
    check(args)?;
    let reading = Reading { aggregate: args.aggregate, id_column: args.id_column.clone() };
    let file = source::read(&args.gold, &reading, stdin)?;
    let pairing = |problem| EvaluateFailure::Pairing { path: source::spoken(&args.gold), problem };
    let gold = Gold::new(file.sheet, args.derive_no_finding).map_err(pairing)?;
    let systems = source::systems(args, &gold, &reading, stdin)?;
    let teacher = match &args.teacher {
        Some(path) => Some(source::system(args, path, &gold, &reading, stdin)?),
        None => None,
    };
    let plan = Plan {
        seed: args.seed,
        resamples: args.resamples as usize,
        min_support: args.min_support,
        aggregate: args.aggregate,
        derive_no_finding: args.derive_no_finding,
    };
    let verdict = judge(&gold, file.from, &systems, args.versus.is_some(), teacher.as_ref(), plan);
    if let Some(path) = &args.json {
        let mut bytes = serde_json::to_vec_pretty(&verdict).map_err(|error| {
            EvaluateFailure::Output { path: path.clone(), source: error.into() }
        })?;
        bytes.push(b'\n');
        write(path, &bytes)?;
    }
    if let Some(path) = &args.plot {
        write(path, plot::svg(&verdict)?.as_bytes())?;
    }
    let text = table::render(&verdict, &shown(&args.convention));
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|source| EvaluateFailure::Output { path: "standard output".into(), source })
}

/// What can be said before any work is done.
fn check(args: &EvaluateArgs) -> Result<(), EvaluateFailure> {
    let from_stdin = std::iter::once(&args.gold).chain(&args.predictions).chain(&args.teacher);
    let versus = args.versus.as_deref() == Some("-");
    if from_stdin.filter(|path| is_dash(path)).count() + usize::from(versus) > 1 {
        return Err(EvaluateFailure::Usage("standard input ('-') can be read only once".into()));
    }
    if let Some(path) = &args.plot
        && path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg"))
    {
        return Err(EvaluateFailure::Usage(
            "--plot writes SVG: name a file that ends in .svg".into(),
        ));
    }
    Ok(())
}

fn shown(conventions: &[Convention]) -> Shown {
    let wanted = |one| conventions.contains(&one) || conventions.contains(&Convention::All);
    let averages = [
        (Convention::Chexbert, Average::Chexbert),
        (Convention::Supported, Average::Supported),
        (Convention::SupportedNf, Average::SupportedNf),
    ];
    let binary = [
        (Convention::Rrg14, Binary::Rrg14),
        (Convention::Rrg5, Binary::Rrg5),
        (Convention::Binary13, Binary::Binary13),
        (Convention::CertainOnly, Binary::CertainOnly),
    ];
    Shown {
        averages: averages.into_iter().filter(|(c, _)| wanted(*c)).map(|(_, a)| a).collect(),
        binary: binary.into_iter().filter(|(c, _)| wanted(*c)).map(|(_, b)| b).collect(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), EvaluateFailure> {
    std::fs::write(path, bytes)
        .map_err(|source| EvaluateFailure::Output { path: path.to_owned(), source })
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}
