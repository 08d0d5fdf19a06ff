//! A subcommand as a library call: arguments as a person types them, what it printed, its exit code.

use clap::{Args, Parser};

#[derive(Parser)]
struct Cli<A: Args> {
    #[command(flatten)]
    args: A,
}

/// What came of a call.
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Parses `arguments` (the command's name not among them) and hands them to `run` with its stdout and
/// stderr.
pub(crate) fn call<A: Args>(
    arguments: &[&str],
    run: impl FnOnce(&A, &mut Vec<u8>, &mut Vec<u8>) -> u8,
) -> Ran {
    let cli = Cli::<A>::try_parse_from(["radstream"].iter().chain(arguments)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&cli.args, &mut out, &mut err);
    Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}
