//! The `radstream` program: reads its arguments and hands over to [`radstream::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    radstream::command::main()
}
