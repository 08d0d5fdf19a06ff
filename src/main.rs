//! The `radstream` program: reads its arguments and hands over to [`radstream::command`].

use std::process::ExitCode;

/// Reports are many small texts: the system's allocator costs a twentieth of intake.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    radstream::command::main()
}
