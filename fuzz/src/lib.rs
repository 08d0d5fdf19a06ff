//! What `cargo fuzz` runs: the targets, watched for time and memory.
//!
//! The targets themselves are in [`target`], a file that `tests/fuzzing.rs` runs as well.

pub mod target;

use std::cell::Cell;
use std::io::Write as _;
use std::time::Duration;

use cpu_time::ThreadTime;

pub use self::target::Target;

/// Longest that one input may take, in time of the processor, so that a busy machine does not count.
const LONGEST: Duration = Duration::from_millis(100);

/// Runs a target on one input.
///
/// Where `RADSTREAM_FUZZ_WORST` names a file, each input that is worse than all before it appends a
/// line: `slowest MICROSECONDS LENGTH` or `peak BYTES LENGTH`.
///
/// # Panics
///
/// When something that must hold of any input does not: libFuzzer then keeps the input.
pub fn watched(target: Target, data: &[u8]) {
    thread_local! {
        static SLOWEST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static PEAK: Cell<u64> = const { Cell::new(0) };
    }
    target::warm_up();
    let start = ThreadTime::now();
    let peak = target.measure(data).unwrap_or_else(|told| panic!("{told}"));
    let time = start.elapsed();
    if time > SLOWEST.replace(SLOWEST.get().max(time)) {
        tell("slowest", time.as_micros(), data.len());
    }
    // What any input takes is many times the length of a small one.
    if data.len() >= 4096 && peak * 256 / data.len() as u64 > PEAK.get() {
        PEAK.set(peak * 256 / data.len() as u64);
        tell("peak", u128::from(peak), data.len());
    }
    assert!(time <= LONGEST, "{} bytes took {time:?}", data.len());
}

/// A line of the file of worst inputs; a file that cannot be written is not worth stopping for.
fn tell(what: &str, cost: u128, length: usize) {
    let Some(path) = std::env::var_os("RADSTREAM_FUZZ_WORST") else { return };
    if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
        let _ = writeln!(file, "{what} {cost} {length}");
    }
}
