//! What the binary offers: one file a command. Commands write to given writers and return an exit
//! code ([`exit`]).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Settings};
use crate::pdf;
use crate::student::labeler::Labeler;
use crate::student::rules::RuleLabeler;
use crate::student::{OnnxLabeler, Student, StudentError, StudentOptions, runtime};

pub mod assemble;
pub mod check;
pub mod dataset;
pub mod demo;
pub mod dlq;
pub mod drift;
pub mod evaluate;
pub mod exit;
pub mod explain;
pub mod label;
pub mod promote;
pub mod pseudo_label;
pub mod redistill;
pub mod rights;
pub mod rollback;
pub mod run;
pub mod teacher;
pub mod test_profile;
pub mod topics;

use label::{LabelArgs, LabelerChoice};

/// Chest radiograph reports in, structured findings out, on Kafka, exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "radstream",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  radstream demo                                   see it work, nothing to set up
  radstream label report.txt                       label files, no Kafka
  radstream evaluate --gold gold.jsonl             how good are the labels?
  radstream check --config radstream.toml          is everything right?
  radstream teacher try --config radstream.toml report.txt
  radstream pseudo-label --config radstream.toml reports.jsonl --out labelled.jsonl
  radstream promote --config radstream.toml models/candidate
  radstream redistill --config radstream.toml      a new student from the teacher's answers
  radstream drift reference --config radstream.toml reports.jsonl
  radstream explain message.hl7                    how is this message read, and why?
  radstream test-profile profiles/hospital         is a source profile right?
  radstream topics create --config radstream.toml
  radstream run --config radstream.toml
  radstream run --config radstream.toml --stage teach
  radstream dataset export --config radstream.toml --out DIR
  radstream dlq list --config radstream.toml       what could not be processed, and why

Exit codes:
  10 refused by the gate     11 insufficient evidence for it (promote, redistill)
  12 nothing new (redistill)
  0 all is well        64 usage           65 input not as it should be (--strict, test-profile)
  66 input missing     69 unavailable     70 internal, or fenced by another process
  74 input/output      75 temporary, start again    77 not authorised    78 configuration"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Consume reports and publish findings.
    Run(run::RunArgs),
    /// Show the whole of it on an embedded broker with generated messages.
    Demo(demo::DemoArgs),
    /// Label reports from files or standard input, without Kafka.
    Label(LabelArgs),
    /// Judge a labeller against reference labels.
    Evaluate(evaluate::EvaluateArgs),
    /// Check a configuration and what it names.
    Check(CheckArgs),
    /// Make the reference that drift is measured against.
    Drift(drift::DriftArgs),
    /// Show how one record is read, and why.
    Explain(explain::ExplainArgs),
    /// Put a new student in service, if the gate lets it through.
    Promote(promote::PromoteArgs),
    /// Make a new student from what the teacher said, and promote it if it is better.
    Redistill(redistill::RedistillArgs),
    /// Put the student before back in service.
    Rollback(rollback::RollbackArgs),
    /// Have a teacher label a file of reports, to train a student on.
    PseudoLabel(pseudo_label::PseudoLabelArgs),
    /// Try the teacher on one report.
    Teacher(teacher::TeacherArgs),
    /// Work with training samples: export the distillation topic, show what there is.
    Dataset(dataset::DatasetArgs),
    /// Look into the dead letters, and replay them.
    Dlq(dlq::DlqArgs),
    /// Test source profiles on their messages.
    TestProfile(test_profile::TestProfileArgs),
    /// Work with the topics.
    Topics(TopicsArgs),
    /// Takes the text out of a PDF on standard input, under limits. Radstream starts it for itself.
    #[command(hide = true, name = pdf::COMMAND)]
    ReadPdf,
}

/// Arguments of `radstream check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  radstream check --config radstream.toml
  radstream check --config radstream.toml --offline    # the file only, no network, no model

Every problem is listed with file, key, what is wrong and the remedy.
The exit code is that of the first problem (see radstream --help).")]
struct CheckArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask nothing of the network or the model.
    #[arg(long)]
    offline: bool,
}

/// Arguments of `radstream topics`.
#[derive(Debug, Args)]
struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Create the topics that are missing; change none that are there.
    #[command(after_help = "Example:
  radstream topics create --config radstream.toml")]
    Create {
        /// Configuration file. Without it: defaults and the environment.
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            // A closed standard output is the reader's wish.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    // Before anything reads a report: a panic's message may quote it.
    crate::telemetry::silence_panic_messages();
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let code = match cli.command {
        Command::Run(args) => run::run(&args, &mut stderr),
        Command::Demo(args) => demo::run(&args, &mut stdout, &mut stderr),
        Command::Label(args) => label(&args),
        Command::ReadPdf => pdf::child(&mut io::stdin().lock(), &mut stdout.lock()),
        Command::Evaluate(args) => {
            evaluate::run(&args, &mut io::stdin().lock(), &mut stdout, &mut stderr)
        }
        Command::Check(args) => {
            let local = check::LocalChecks { runtime: &onnx_runtime, model: &model };
            let environment = config::process_environment();
            check::check(args.config.as_deref(), environment, args.offline, local, &mut stdout)
        }
        Command::Drift(args) => {
            let environment = config::process_environment();
            drift::run(&args, environment, &mut io::stdin().lock(), &mut stdout, &mut stderr)
        }
        Command::Explain(args) => {
            let environment = config::process_environment();
            explain::run(&args, environment, &mut io::stdin().lock(), &mut stdout, &mut stderr)
        }
        Command::PseudoLabel(args) => {
            let environment = config::process_environment();
            pseudo_label::run(&args, environment, &mut io::stdin().lock(), &mut stderr)
        }
        Command::Promote(args) => {
            let environment = config::process_environment();
            promote::run(&args, environment, &mut stdout, &mut stderr)
        }
        Command::Redistill(args) => {
            let environment = config::process_environment();
            redistill::run(&args, environment, &mut stdout, &mut stderr)
        }
        Command::Rollback(args) => {
            let environment = config::process_environment();
            rollback::run(&args, environment, &mut stdout, &mut stderr)
        }
        Command::Teacher(args) => {
            let environment = config::process_environment();
            teacher::run(&args, environment, &mut io::stdin().lock(), &mut stdout, &mut stderr)
        }
        Command::Dataset(args) => {
            let environment = config::process_environment();
            dataset::run(&args, environment, &mut stdout, &mut stderr)
        }
        Command::Dlq(args) => {
            let environment = config::process_environment();
            dlq::run(&args, environment, &mut stdout, &mut stderr)
        }
        Command::TestProfile(args) => test_profile::run(&args, &mut stdout, &mut stderr),
        Command::Topics(TopicsArgs { command: TopicsCommand::Create { config } }) => {
            let environment = config::process_environment();
            settings(config.as_deref(), environment, &mut stderr)
                .map_or_else(|code| code, |settings| topics::create(&settings, &mut stdout))
        }
    };
    ExitCode::from(code)
}

/// The settings of a command; or, with all problems told, its exit code.
fn settings(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    stderr: &mut dyn io::Write,
) -> Result<Settings, u8> {
    config::load(path, environment).map_err(|problems| {
        // Nothing can be said when standard error is closed.
        drop(write!(stderr, "{problems}"));
        exit::CONFIGURATION
    })
}

fn label(args: &LabelArgs) -> u8 {
    let mut stderr = io::stderr();
    let mut labeler = match labeler(args.labeler, args.model.as_deref()) {
        Ok(labeler) => labeler,
        Err(error) => {
            drop(writeln!(stderr, "radstream: {error}"));
            return exit::CONFIGURATION;
        }
    };
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout());
    label::run(args, labeler.as_mut(), &mut stdin, &mut stdout, &mut stderr)
}

/// Who labels without Kafka; without `model`, the one that ships.
fn labeler(choice: LabelerChoice, model: Option<&Path>) -> Result<Box<dyn Labeler>, StudentError> {
    Ok(match choice {
        LabelerChoice::Rules => Box::new(RuleLabeler::new()),
        LabelerChoice::Student => {
            let model = model.map_or_else(default_model, Path::to_owned);
            Box::new(OnnxLabeler::new(Student::load(&StudentOptions::new(model))?))
        }
    })
}

/// The model that ships.
fn default_model() -> PathBuf {
    shipped(Path::new("models/default"))
}

/// Something that ships: in the working directory, or beside the executable's folder.
fn shipped(here: &Path) -> PathBuf {
    if here.exists() {
        return here.to_owned();
    }
    let beside = std::env::current_exe().ok().and_then(|exe| {
        let folder = exe.parent().and_then(Path::parent)?;
        [folder.join(here), folder.join("share/radstream").join(here)]
            .into_iter()
            .find(|path| path.exists())
    });
    beside.unwrap_or_else(|| here.to_owned())
}

fn onnx_runtime(settings: &Settings) -> Result<String, String> {
    let options = assemble::student_options(settings);
    runtime::find_runtime(options.onnxruntime.as_deref())
        .map(|path| path.display().to_string())
        .map_err(|error| error.to_string())
}

fn model(settings: &Settings) -> Result<String, String> {
    let options = StudentOptions { sessions: 1, ..assemble::student_options(settings) };
    let student = Student::load(&options).map_err(|error| error.to_string())?;
    let described = |student: &Student| {
        let identity = student.identity();
        let cases = student.manifest().self_test.len();
        format!("{} {}, {cases} self-test sentences right", identity.name, identity.version)
    };
    if settings.shadow.model.as_os_str().is_empty() {
        return Ok(described(&student));
    }
    let options = StudentOptions { model: settings.shadow.model.clone(), ..options };
    let shadow = Student::load(&options).map_err(|error| format!("[shadow] {error}"))?;
    Ok(format!("{}; shadow {}", described(&student), described(&shadow)))
}
