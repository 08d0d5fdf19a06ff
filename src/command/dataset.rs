//! `radstream dataset`: the distillation topic as files to train on.

use std::io::Write;

use clap::{Args, Subcommand};

pub mod export;
pub mod stats;

/// Arguments of `radstream dataset`.
#[derive(Debug, Args)]
pub struct DatasetArgs {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, Subcommand)]
enum DatasetCommand {
    /// Bring a dataset up to date with the distillation topic.
    Export(export::ExportArgs),
    /// Show what a dataset holds.
    Stats(stats::StatsArgs),
}

/// Runs the command; gives the exit code.
pub fn run(
    args: &DatasetArgs,
    environment: impl Iterator<Item = (String, String)>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    match &args.command {
        DatasetCommand::Export(args) => export::run(args, environment, stdout, stderr),
        DatasetCommand::Stats(args) => stats::run(args, stdout, stderr),
    }
}
