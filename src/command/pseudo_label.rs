//! `radstream pseudo-label`: a teacher labels a file of reports, for a student to be trained on.
//!
//! The first stage of distillation. Costs money, so it says how much first and asks; takes hours, so
//! it can be killed and goes on where it was: every answer is written as it comes, and what is in the
//! output is not asked about again, neither by id nor by text.

mod asking;
mod done;
mod line;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::assemble::teacher::{TeacherError, price, watched_teacher};
use super::exit;
use super::label::input::{self, Body, Item};
use super::label::{Failed, InputFormat};
use crate::config::Settings;
use crate::deidentify::{Deidentifier, Refused};
use crate::report::{KnownIdentifier, ReportText};
use crate::teacher::prompt::{self, Question};
use asking::{Asking, Stop, Tally};
use done::Done;

/// Arguments of `radstream pseudo-label`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  radstream pseudo-label --config radstream.toml reports.jsonl --out labelled.jsonl
  radstream pseudo-label --config radstream.toml reports.csv --out labelled.jsonl --samples 5 --yes
  radstream pseudo-label --config radstream.toml reports.jsonl --out labelled.jsonl --dry-run

Input as for `radstream label`. Output: one JSON object a report, as distill/ reads it:
  {\"id\", \"findings\", \"impression\", \"labels\": {observation: status}, \"weights\", \"targets\", \"teacher\"}
  weights are the teacher's agreement with itself (--samples) or the probability of its words; targets,
  with --samples, the shares of its votes. Unless all providers are local, the text is de-identified,
  and the output holds the text that was asked about.
What got no answer stands in OUT.failed.jsonl with its reason, and is asked about again by the next run.

Exit codes:
  0 done   64 no --yes and nobody to ask   65 reports without an answer (--strict)   66 input missing
  69 the teacher does not answer   74 the output cannot be written   75 the day's budget is spent
  78 configuration")]
pub struct PseudoLabelArgs {
    /// Reports.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where to write; what is there already is kept and not asked about again.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Configuration file with [[teacher.providers]].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Format of the input.
    #[arg(long, value_enum, default_value_t = InputFormat::Auto)]
    format: InputFormat,
    /// Times each report is asked about, with chance let in. 1 to 25; 3 to 5 give useful weights.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=25))]
    samples: u32,
    /// Do not ask whether the cost is all right.
    #[arg(long)]
    yes: bool,
    /// Say what it would cost; ask nobody.
    #[arg(long)]
    dry_run: bool,
    /// Exit with 65 if any report got no answer.
    #[arg(long)]
    strict: bool,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
enum PseudoLabelError {
    #[error("cannot read {}: {problem}; check the path and its permissions", .path.display())]
    Input { path: PathBuf, problem: String },
    #[error("cannot write {}: {problem}; check the folder, permissions and free space", .path.display())]
    Output { path: PathBuf, problem: io::Error },
    #[error("{}: line {line} is not of this command; name another --out", .path.display())]
    Foreign { path: PathBuf, line: usize },
    #[error("nobody to ask whether the cost is all right: look at it, then give --yes")]
    NotConfirmed,
    #[error("not confirmed; nothing was asked")]
    Declined,
    #[error(
        "the day's budget is spent (teacher.daily_tokens, teacher.daily_cost); run it again tomorrow"
    )]
    OverBudget,
    #[error("the teacher does not answer ({0}); what is written stays, run it again later")]
    Unavailable(String),
    #[error("{0} reports got no answer; see the file of failures")]
    Unanswered(u64),
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    #[error("the process could not be set up: {0}")]
    System(io::Error),
}

impl PseudoLabelError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } => exit::NO_INPUT,
            Self::Output { .. } => exit::IO,
            Self::NotConfirmed | Self::Declined => exit::USAGE,
            Self::OverBudget => exit::TEMPORARY,
            Self::Unavailable(_) => exit::UNAVAILABLE,
            Self::Unanswered(_) | Self::Foreign { .. } => exit::DATA,
            Self::Teacher(_) => exit::CONFIGURATION,
            Self::System(_) => exit::INTERNAL,
        }
    }
}

/// A question about a report of a file; `named`: whom its message names, if it came in one. Where all
/// providers are local the text may go as it is.
///
/// # Errors
/// It could not be de-identified.
pub(super) fn question(
    text: &ReportText,
    named: Option<&[KnownIdentifier]>,
    all_local: bool,
) -> Result<Question, Refused> {
    if all_local {
        return Ok(Question::as_received(text.sections.clone()));
    }
    let deidentified = match named {
        Some(named) => Deidentifier::default().apply(&text.sections, named)?,
        None => Deidentifier::without_message().apply(&text.sections, &[])?,
    };
    Ok(Question::deidentified(&deidentified))
}

/// Runs the command; gives the exit code.
pub fn run(
    args: &PseudoLabelArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdin: &mut dyn Read,
    stderr: &mut dyn Write,
) -> u8 {
    let settings = match super::settings(args.config.as_deref(), environment, stderr) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match label(args, &settings, stdin, stderr) {
        Ok(()) => exit::OK,
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream pseudo-label: {error}"));
            error.exit_code()
        }
    }
}

fn label(
    args: &PseudoLabelArgs,
    settings: &Settings,
    stdin: &mut dyn Read,
    stderr: &mut dyn Write,
) -> Result<(), PseudoLabelError> {
    let teacher = Arc::new(watched_teacher(settings)?);
    let all_local = settings.teacher.providers.iter().all(|provider| provider.local);
    let broken = |problem| PseudoLabelError::Output { path: args.out.clone(), problem };
    let mut done = Done::open(&args.out).map_err(|error| match error {
        done::OpenError::Io(problem) => broken(problem),
        done::OpenError::Foreign(line) => {
            PseudoLabelError::Foreign { path: args.out.clone(), line }
        }
    })?;
    let plan = plan(args, &done, all_local)?;
    drop(writeln!(stderr, "{}", plan.told(args, settings)));
    if args.dry_run || plan.reports == 0 {
        return Ok(());
    }
    if !args.yes {
        confirm(stdin, stderr)?;
    }
    let bar = progress(plan.reports);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(PseudoLabelError::System)?;
    let (items, received) = mpsc::channel(64);
    let reader = {
        let (path, format) = (args.input.clone(), args.format);
        std::thread::Builder::new()
            .name(String::from("reader"))
            .spawn(move || each(&path, format, |item| items.blocking_send(item).is_ok()))
            .map_err(PseudoLabelError::System)?
    };
    let mut asking = Asking {
        teacher: &teacher,
        all_local,
        votes: args.samples,
        window: settings.teacher.window,
        done: &mut done,
        bar: &bar,
        tally: Tally::default(),
    };
    let result = runtime.block_on(asking.all(received));
    let tally = asking.tally;
    bar.finish_and_clear();
    // It ends when nobody receives any more.
    let read = reader.join().unwrap_or_else(|_| {
        let problem = String::from("the reader ended unexpectedly");
        Err(PseudoLabelError::Input { path: args.input.clone(), problem })
    });
    let spent = teacher.spent_today();
    drop(writeln!(
        stderr,
        "{} labelled, {} of them without a call; {} without an answer; {} tokens, cost {:.4}",
        tally.labelled, tally.remembered, tally.failed, spent.tokens, spent.cost
    ));
    result.map_err(|error| match error {
        Stop::Write(problem) => broken(problem),
        Stop::OverBudget => PseudoLabelError::OverBudget,
        Stop::Unavailable(why) => PseudoLabelError::Unavailable(why),
    })?;
    read?;
    if args.strict && tally.failed > 0 {
        return Err(PseudoLabelError::Unanswered(tally.failed));
    }
    Ok(())
}

/// Hands on every record of the input until `take` says no.
fn each(
    path: &std::path::Path,
    format: InputFormat,
    mut take: impl FnMut(Item) -> bool,
) -> Result<(), PseudoLabelError> {
    let wrong = |problem: String| PseudoLabelError::Input { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|problem| wrong(problem.to_string()))?;
    let name = path.display().to_string();
    let source = input::Source {
        name: &name,
        format,
        text_column: None,
        id_column: None,
        identify: true,
        intake: None,
    };
    let mut sink = |item| {
        let enough = || Failed::Write(io::Error::from(io::ErrorKind::Interrupted));
        if take(item) { Ok(()) } else { Err(enough()) }
    };
    match input::read(&source, BufReader::new(file), &mut sink) {
        Ok(()) | Err(input::ReadError::Sink(_)) => Ok(()),
        Err(input::ReadError::Io(problem)) => Err(wrong(problem.to_string())),
        Err(input::ReadError::Column(name)) => {
            Err(wrong(format!("its header has no column {name:?}")))
        }
    }
}

/// What is to be done.
#[derive(Debug, Default)]
struct Plan {
    reports: u64,
    done: u64,
    unreadable: u64,
    prompt: u64,
    completion: u64,
}

fn plan(args: &PseudoLabelArgs, done: &Done, all_local: bool) -> Result<Plan, PseudoLabelError> {
    let mut plan = Plan::default();
    each(&args.input, args.format, |item| {
        match item.body {
            Body::Text(text) => {
                let question = question(&text, item.named.as_deref(), all_local);
                let hash = question.as_ref().ok().map(Question::text_hash);
                if hash.is_some_and(|hash| done.has(&item.id, &hash)) {
                    plan.done += 1;
                    return true;
                }
                plan.reports += 1;
                if let (Ok(question), Some(hash)) = (&question, hash)
                    && !done.has_text(&hash)
                {
                    let tokens = prompt::estimated_tokens(&prompt::messages(question));
                    plan.prompt += tokens.prompt;
                    plan.completion += tokens.completion;
                }
            }
            Body::Ended(_) | Body::Bad { .. } => plan.unreadable += 1,
        }
        true
    })?;
    Ok(plan)
}

impl Plan {
    fn told(&self, args: &PseudoLabelArgs, settings: &Settings) -> String {
        let votes = u64::from(args.samples);
        let (prompt, completion) = (self.prompt * votes, self.completion * votes);
        let first = settings.teacher.providers.first();
        let cost = first.map_or(0.0, |first| price(first).of(prompt, completion));
        let priced = if cost > 0.0 { format!(", cost about {cost:.2}") } else { String::new() };
        let who = first.map_or("", |first| first.model.as_str());
        format!(
            "{} reports to ask {who} about, {} time(s) each: about {prompt} + {completion} \
             tokens{priced}; {} done already, {} without text",
            self.reports, args.samples, self.done, self.unreadable
        )
    }
}

fn confirm(stdin: &mut dyn Read, stderr: &mut dyn Write) -> Result<(), PseudoLabelError> {
    if !io::stdin().is_terminal() {
        return Err(PseudoLabelError::NotConfirmed);
    }
    drop(write!(stderr, "Go on? [y/N] "));
    drop(stderr.flush());
    let mut answer = String::new();
    BufReader::new(stdin).read_line(&mut answer).map_err(PseudoLabelError::System)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(PseudoLabelError::Declined),
    }
}

fn progress(reports: u64) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(reports);
    let template = "{bar:32} {pos}/{len}  {msg}  eta {eta}";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
