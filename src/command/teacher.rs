//! `radstream teacher`: try the teacher on one report.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};

use super::assemble::teacher::{TeacherError, watched_teacher};
use super::label::InputFormat;
use super::label::input::{self, Body, Item};
use super::{exit, pseudo_label};
use crate::config::Settings;
use crate::report::{FindingStatus, KnownIdentifier, Observation, ReportText};
use crate::teacher::ask::{AskError, Given};
use crate::teacher::prompt::{self, Question, Role};

/// Arguments of `radstream teacher`.
#[derive(Debug, Args)]
pub struct TeacherArgs {
    #[command(subcommand)]
    command: TeacherCommand,
}

#[derive(Debug, Subcommand)]
enum TeacherCommand {
    /// Ask the teacher about one report; show what it is asked, what it answers, and what that costs.
    #[command(after_help = "Examples:
  radstream teacher try --config radstream.toml report.txt
  radstream teacher try --config radstream.toml --dry-run message.hl7   # what would be sent

The file is as for `radstream label`; its first report is taken. Text is de-identified before it goes to
a provider that is not marked local. Without a message to name the patient, names in running text are
found only where the sentence says that they are names: read the prompt before you send what is not
your own.

Exit codes:
  0 answered   65 no report in the file   66 the file cannot be read   69 no teacher answers
  70 the answer is not valid   78 no teacher is configured")]
    Try(TryArgs),
}

/// Arguments of `radstream teacher try`.
#[derive(Debug, Args)]
struct TryArgs {
    /// Report, or '-' for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Configuration file with [[teacher.providers]].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Format of the file.
    #[arg(long, value_enum, default_value_t = InputFormat::Auto)]
    format: InputFormat,
    /// Show what would be asked; ask nobody.
    #[arg(long)]
    dry_run: bool,
    /// Leave the rules of the prompt out of what is shown.
    #[arg(long)]
    brief: bool,
}

/// A report, and whom its message names.
type FirstReport = (ReportText, Option<Vec<KnownIdentifier>>);

/// Why `teacher try` ended early.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("cannot read {}: {problem}; check the path and its permissions", .path.display())]
    Input { path: PathBuf, problem: String },
    #[error("{}: there is no report in it ({reason})", .path.display())]
    NoReport { path: PathBuf, reason: String },
    #[error("the text was not de-identified ({0}) and no provider is local: it is not sent")]
    NotSent(#[from] crate::deidentify::Refused),
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the process could not be set up: {0}")]
    System(#[from] io::Error),
}

impl TryError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } => exit::NO_INPUT,
            Self::NoReport { .. } => exit::DATA,
            Self::NotSent(_) | Self::Ask(_) => match self {
                Self::Ask(AskError::Unavailable(_)) => exit::UNAVAILABLE,
                Self::Ask(AskError::OverBudget) => exit::TEMPORARY,
                _ => exit::INTERNAL,
            },
            Self::Teacher(_) => exit::CONFIGURATION,
            Self::System(_) => exit::IO,
        }
    }
}

/// Runs the subcommand; gives the exit code.
pub fn run(
    args: &TeacherArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let TeacherCommand::Try(args) = &args.command;
    let settings = match super::settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match attempt(args, &settings, stdin, stdout) {
        Ok(()) => exit::OK,
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream: {error}"));
            error.exit_code()
        }
    }
}

fn attempt(
    args: &TryArgs,
    settings: &Settings,
    stdin: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), TryError> {
    let (text, named) = first_report(args, stdin)?;
    let local = settings.teacher.providers.iter().all(|provider| provider.local);
    let question = pseudo_label::question(
        &text,
        named.as_deref(),
        local && !settings.teacher.providers.is_empty(),
    )?;
    for message in prompt::messages(&question) {
        let name = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        if message.role == Role::System && args.brief {
            continue;
        }
        writeln!(out, "── {name} ──\n{}\n", message.content)?;
    }
    let estimate = prompt::estimated_tokens(&prompt::messages(&question));
    writeln!(
        out,
        "prompt {}: about {} tokens, and {} for the answer; text {}",
        prompt::version(),
        estimate.prompt,
        estimate.completion,
        if question.may_leave() { "de-identified" } else { "as received (the teacher is local)" }
    )?;
    if args.dry_run {
        return Ok(());
    }
    let teacher = watched_teacher(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (given, _) = runtime.block_on(teacher.ask(&question, 1))?;
    writeln!(out, "\n{}", answer(&given, &question))?;
    writeln!(
        out,
        "{} by {}: {} + {} tokens{}, cost {:.6}",
        given.model,
        given.provider,
        given.usage.prompt,
        given.usage.completion,
        if given.usage.counted { "" } else { " (estimated)" },
        given.cost
    )?;
    Ok(())
}

fn answer(given: &Given, question: &Question) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["observation", "status", "confidence", "quote"]);
    for (observation, cell) in Observation::ALL.iter().zip(&given.answer.cells) {
        if cell.status == FindingStatus::NotMentioned {
            continue;
        }
        let quote = cell.quote.map_or("", |quote| quote.text(question.sections()));
        let confidence = cell.confidence.map_or_else(String::new, |c| format!("{c:.3}"));
        table.add_row([observation.name(), cell.status.name(), &confidence, quote]);
    }
    table
}

fn first_report(args: &TryArgs, stdin: &mut dyn Read) -> Result<FirstReport, TryError> {
    let path = &args.file;
    let wrong = |problem: String| TryError::Input { path: path.clone(), problem };
    let mut opened;
    let (name, reader): (String, &mut dyn Read) = if path.as_os_str() == "-" {
        ("stdin".to_owned(), stdin)
    } else {
        opened = File::open(path).map_err(|problem| wrong(problem.to_string()))?;
        (path.display().to_string(), &mut opened)
    };
    let source = input::Source {
        name: &name,
        format: args.format,
        text_column: None,
        id_column: None,
        identify: true,
        intake: None,
    };
    let mut found = None;
    let mut reason = String::from("it is empty");
    let mut take = |item: Item| {
        match item.body {
            Body::Text(text) => drop(found.get_or_insert((text, item.named))),
            Body::Ended(outcome) => reason = outcome.to_owned(),
            Body::Bad { reason: why, .. } => reason = why,
        }
        Ok(())
    };
    input::read(&source, BufReader::new(reader), &mut take).map_err(|error| match error {
        input::ReadError::Io(problem) => wrong(problem.to_string()),
        _ => wrong(String::from("its columns are not known")),
    })?;
    found.ok_or_else(|| TryError::NoReport { path: path.clone(), reason })
}
