//! What the child may use, and how its end is understood.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Address space, bytes: program and libraries take some 100 MiB of it.
const MEMORY: u64 = 512 << 20;
/// Processor time, seconds. A report of a few pages takes milliseconds.
const PROCESSOR: u64 = 5;

/// The document cannot be read.
pub(super) const UNREADABLE: u8 = 1;
/// The document is larger than is read.
pub(super) const OVER_LIMIT: u8 = 2;
/// The system refuses the limits, and without them nothing is read.
pub(super) const NOT_LIMITED: u8 = 3;

/// Limits this process, for good.
pub(super) fn take_on() -> rustix::io::Result<()> {
    let at_most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    // The soft limit ends the process with a signal of its own, the hard one with SIGKILL.
    setrlimit(Resource::Cpu, Rlimit { current: Some(PROCESSOR), maximum: Some(PROCESSOR + 1) })?;
    // No report text in a core file, and no file at all.
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    setrlimit(Resource::As, at_most(MEMORY))
}

/// Whether it came to its end by a limit: a signal (SIGXCPU; SIGABRT when memory is refused; SIGSEGV
/// when the stack is), or by saying so.
pub(super) fn was_stopped(status: ExitStatus) -> bool {
    // SIGKILL is ours: it is sent to every child, and those that had ended do not see it.
    status.signal().is_some_and(|signal| signal != 9) || status.code() == Some(OVER_LIMIT.into())
}
