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

/// What a program of somebody else's may know of our environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Environment {
    /// All of it: it connects as we do.
    Ours,
    /// What [`is_harmless`]: our secrets may stand in the rest.
    Harmless,
}

/// A variable that training may see: where programs, libraries and caches are, what a GPU is called.
fn is_harmless(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TERM",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    const BEGINNINGS: [&str; 11] = [
        "LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "OMP_", "MKL_", "TORCH_", "HF_", "PYTHON",
        "XDG_",
    ];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Runs a configured command to its end.
pub(super) fn run(
    what: &'static str,
    command: &[String],
    places: &Placeholders,
    environment: Environment,
    lock: &File,
) -> Result<(), ChildFailure> {
    let (program, arguments) = command.split_first().ok_or(ChildFailure::None { what })?;
    let arguments: Vec<String> = arguments.iter().map(|text| places.fill(text)).collect();
    let mut command = Command::new(program);
    if environment == Environment::Harmless {
        let kept = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_harmless));
        command.env_clear().envs(kept);
    }
    wait(what, Path::new(program), command.args(arguments), lock, false)
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
    wait(what, &program, Command::new(&program).args(arguments), lock, true)
}

fn wait(
    what: &'static str,
    program: &Path,
    command: &mut Command,
    lock: &File,
    ours: bool,
) -> Result<(), ChildFailure> {
    let start =
        |source| ChildFailure::Start { what, program: program.display().to_string(), source };
    // The lock belongs to the open file, and the child's standard input is that file (it is empty):
    // as long as the child lives, or a child of its own, nobody else gets the lock.
    let stdin = lock.try_clone().map_err(start)?;
    let status = command.stdin(Stdio::from(stdin)).status().map_err(start)?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(ChildFailure::Failed { what, status, ours: code.filter(|_| ours) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_sees_no_setting_and_no_secret_of_ours() {
        for name in [
            "RADSTREAM__KAFKA__SASL__PASSWORD",
            "KAFKA_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "OPENAI_API_KEY",
            "HTTPS_PROXY",
            "PATHS",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
        for name in ["PATH", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONPATH"] {
            assert!(is_harmless(name), "{name}");
        }
    }
}
