//! Steps that are other programs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::command::exit;

/// What stands for the words in braces of a configured command.
#[derive(Clone, Debug)]
pub(super) struct Placeholders {
    /// `{config}`: our configuration file.
    pub(super) config: PathBuf,
    /// `{dataset}`: folder of the dataset.
    pub(super) dataset: PathBuf,
    /// `{out}`: folder of the model that is to be made.
    pub(super) out: PathBuf,
    /// `{work}`: folder for checkpoints.
    pub(super) work: PathBuf,
    /// `{gold}`: the gold sets, quoted, with commas between them. Their texts must not be trained on.
    pub(super) gold: Vec<PathBuf>,
}

impl Placeholders {
    fn fill(&self, argument: &str) -> String {
        let gold: Vec<String> = self.gold.iter().map(|path| format!("{path:?}")).collect();
        [
            ("{config}", &self.config),
            ("{dataset}", &self.dataset),
            ("{out}", &self.out),
            ("{work}", &self.work),
        ]
        .into_iter()
        .fold(argument.to_owned(), |text, (name, path)| {
            text.replace(name, &path.display().to_string())
        })
        .replace("{gold}", &gold.join(","))
    }
}

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildFailure {
    #[error("{what} cannot be started: no command is configured; set redistill.train")]
    None { what: &'static str },
    #[error(
        "{what} cannot be started: {program}: {source}; correct redistill.export or redistill.train"
    )]
    Start { what: &'static str, program: String, source: io::Error },
    #[error("{what} failed ({status}); what it said stands above. The next run goes on")]
    Failed { what: &'static str, status: ExitStatus, ours: Option<u8> },
}

impl ChildFailure {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::None { .. } | Self::Start { .. } => exit::CONFIGURATION,
            // Our own program's codes mean the same here.
            Self::Failed { ours: Some(code), .. } => *code,
            Self::Failed { ours: None, .. } => exit::INTERNAL,
        }
    }
}

/// Runs a configured command to its end.
pub(super) fn run(
    what: &'static str,
    command: &[String],
    places: &Placeholders,
    lock: &File,
) -> Result<(), ChildFailure> {
    let (program, arguments) = command.split_first().ok_or(ChildFailure::None { what })?;
    let arguments: Vec<String> = arguments.iter().map(|text| places.fill(text)).collect();
    wait(what, Path::new(program), &arguments, lock, false)
}

/// Runs `radstream dataset export`.
pub(super) fn run_ourselves(
    what: &'static str,
    places: &Placeholders,
    keep_days: u32,
    lock: &File,
) -> Result<(), ChildFailure> {
    let program = std::env::current_exe().map_err(|source| ChildFailure::Start {
        what,
        program: "this program".to_owned(),
        source,
    })?;
    let arguments = ["dataset", "export", "--config", "{config}", "--out", "{dataset}"];
    let mut arguments: Vec<String> = arguments.iter().map(|text| places.fill(text)).collect();
    if keep_days > 0 {
        arguments.extend(["--keep-days".to_owned(), keep_days.to_string()]);
    }
    wait(what, &program, &arguments, lock, true)
}

fn wait(
    what: &'static str,
    program: &Path,
    arguments: &[String],
    lock: &File,
    ours: bool,
) -> Result<(), ChildFailure> {
    let start =
        |source| ChildFailure::Start { what, program: program.display().to_string(), source };
    // The lock belongs to the open file, and the child's standard input is that file (it is empty):
    // as long as the child lives, or a child of its own, nobody else gets the lock.
    let stdin = lock.try_clone().map_err(start)?;
    let status =
        Command::new(program).args(arguments).stdin(Stdio::from(stdin)).status().map_err(start)?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(ChildFailure::Failed { what, status, ours: code.filter(|_| ours) })
}
