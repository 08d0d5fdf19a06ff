//! `radstream dataset stats`: what a dataset holds, from its manifest.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::command::exit;
use crate::dataset::manifest::{Manifest, ManifestError};
use crate::dataset::plot::{self, PlotError};
use crate::dataset::table;

/// Arguments of `radstream dataset stats`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  radstream dataset stats /data/distillation
  radstream dataset stats /data/distillation --plot prevalence.svg
  radstream dataset stats /data/distillation --json | jq .totals

Exit codes:
  0 done   64 --plot does not end in .svg   65 the manifest cannot be understood
  66 there is none   70 the plot cannot be drawn   74 an output cannot be written")]
pub struct StatsArgs {
    /// Folder that `radstream dataset export` wrote.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Draw how often each observation has which status (SVG).
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Write the manifest, without its files, as JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, thiserror::Error)]
enum StatsError {
    #[error("--plot writes SVG: name a file that ends in .svg")]
    NotSvg,
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error("cannot write {}: {source}. Check the folder, permissions and free space.", path.display())]
    Output { path: PathBuf, source: io::Error },
}

impl StatsError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::NotSvg => exit::USAGE,
            Self::Manifest(ManifestError::Io { .. }) => exit::NO_INPUT,
            Self::Manifest(ManifestError::Content { .. }) => exit::DATA,
            Self::Plot(_) => exit::INTERNAL,
            Self::Output { .. } => exit::IO,
        }
    }
}

/// Runs the command; gives the exit code.
pub fn run(args: &StatsArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    match stats(args, stdout) {
        Ok(()) => exit::OK,
        // The reader of a pipe has seen enough: not our failure.
        Err(StatsError::Output { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            exit::OK
        }
        Err(error) => {
            // Nothing can be said when standard error is closed.
            drop(writeln!(stderr, "radstream dataset stats: {error}"));
            error.exit_code()
        }
    }
}

fn stats(args: &StatsArgs, stdout: &mut dyn Write) -> Result<(), StatsError> {
    let is_svg = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg"));
    if args.plot.as_ref().is_some_and(|path| !is_svg(path)) {
        return Err(StatsError::NotSvg);
    }
    let mut manifest = Manifest::read(&args.folder)?;
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&manifest)?)
            .map_err(|source| StatsError::Output { path: path.clone(), source })?;
    }
    let output = |source| StatsError::Output { path: "standard output".into(), source };
    let text = if args.json {
        manifest.files.clear();
        let mut text =
            serde_json::to_string_pretty(&manifest).map_err(|error| output(error.into()))?;
        text.push('\n');
        text
    } else {
        table::render(&manifest)
    };
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(output)
}
