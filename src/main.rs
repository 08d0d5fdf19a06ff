//! The `radstream` program: reads its arguments and hands over to [`radstream::command`].

use std::process::ExitCode;

/// Also the `malloc` of librdkafka and of ONNX Runtime, whose clients and sessions come and go for months:
/// the C library's heap keeps the holes that they leave, this one gives them back (docs/RELIABILITY.md, Soak).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    radstream::command::main()
}
