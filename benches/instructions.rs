//! What one report costs in instructions, stage by stage, and whether that has changed.
//!
//! Instructions do not depend on what else the machine does, so a change of three in a hundred can
//! be told on a busy one. The benchmark runs itself under `valgrind --tool=callgrind`, once for each
//! stage, and counts the second pass over the same reports: what a report costs when caches and
//! lazily built tables are warm. Start-up is not in it.
//!
//! `cargo bench --profile release --bench instructions`, with `-- --json` for machines and
//! `-- --bless` to write `benches/instructions.json` anew. Needs valgrind and `models/default` (its
//! tokenizer only). What callgrind wrote stays in the target folder: `callgrind_annotate` shows it by
//! function.
//!
//! Valgrind does not know all extensions of a processor (SHA-NI, AVX-512): what uses them runs
//! another path there, and SHA-256 in `route` and `encode` counts for more than it costs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

mod stages;
mod workload;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use clap::Parser;
use serde::{Deserialize, Serialize};

use stages::Stage;

/// Where the counts to compare with are kept.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");
/// Growth that fails, in hundredths.
const FAILS: f64 = 3.0;
/// Growth that is worth a line, in hundredths.
const WARNS: f64 = 1.0;

/// Instructions per report of each stage of the hot path.
#[derive(Parser)]
struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Make the counts of now the ones to compare with.
    #[arg(long)]
    bless: bool,
    /// Run one stage here, not under valgrind: what the benchmark calls itself with.
    #[arg(long, hide = true, value_enum)]
    stage: Option<Stage>,
    /// Of cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Counts, and what they depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// Compiler.
    toolchain: String,
    /// SHA-256 of the messages and the tokenizer.
    inputs: String,
    /// Reports in a pass.
    reports: usize,
    /// Instructions per report.
    instructions: BTreeMap<Stage, u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(stage) = args.stage {
        stage.run();
        // Not by returning: what is left over must not be counted as it is dropped.
        std::process::exit(0);
    }
    match measure().and_then(|counts| report(&counts, &args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            let mut stderr = io::stderr();
            writeln!(stderr, "instructions: {problem}").unwrap();
            ExitCode::FAILURE
        }
    }
}

/// Runs every stage under callgrind, as many at a time as there are cores: counts do not mind.
fn measure() -> Result<Counts, String> {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        return Err(String::from(
            "valgrind is not installed; on Debian and Ubuntu: apt-get install valgrind",
        ));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut instructions = BTreeMap::new();
    for together in Stage::ALL.chunks(cores) {
        let counted: Vec<Result<u64, String>> = thread::scope(|scope| {
            let folder = &folder;
            let threads: Vec<_> = together
                .iter()
                .map(|stage| scope.spawn(move || callgrind(*stage, folder)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (stage, counted) in together.iter().zip(counted) {
            instructions.insert(*stage, counted? / stages::REPORTS as u64);
        }
    }
    Ok(Counts {
        toolchain: toolchain(),
        inputs: stages::inputs(),
        reports: stages::REPORTS,
        instructions,
    })
}

/// Instructions of one pass.
fn callgrind(stage: Stage, folder: &Path) -> Result<u64, String> {
    let out = folder.join(format!("{}.out", stage.name()));
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect={}", stages::COUNTED))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(own)
        .args(["--stage", stage.name()])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| error.to_string())?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(format!("stage {} failed under valgrind:\n{said}", stage.name()));
    }
    total(&out).filter(|count| *count > 0).ok_or_else(|| format!("{} has no count", out.display()))
}

fn total(out: &PathBuf) -> Option<u64> {
    let text = std::fs::read_to_string(out).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn toolchain() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    version.map_or_else(
        |_| String::from("unknown"),
        |version| String::from_utf8_lossy(&version.stdout).trim().to_owned(),
    )
}

/// Prints, compares or blesses; false when a stage has grown too much.
fn report(counts: &Counts, args: &Args) -> Result<bool, String> {
    let write = |text: &str| writeln!(io::stdout(), "{text}").map_err(|error| error.to_string());
    let before = baseline()?;
    if args.json {
        write(&json(counts)?)?;
    } else {
        write(&table(counts, before.as_ref()))?;
    }
    if args.bless {
        std::fs::write(BASELINE, format!("{}\n", json(counts)?))
            .map_err(|error| format!("{BASELINE}: {error}"))?;
        return Ok(true);
    }
    let say = |text: String| writeln!(io::stderr(), "{text}").map_err(|error| error.to_string());
    let Some(before) = before else {
        say(format!("there is no {BASELINE} to compare with; make it with `-- --bless`"))?;
        return Ok(false);
    };
    if before.inputs != counts.inputs || before.reports != counts.reports {
        say(String::from(
            "the reports or the tokenizer have changed, so the counts cannot be compared: look at \
             them, then `-- --bless`",
        ))?;
        return Ok(false);
    }
    let mut within = true;
    for (stage, growth) in growths(counts, &before) {
        let name = stage.name();
        if growth > FAILS {
            within = false;
            say(format!("{name} costs {growth:+.1} %: more than {FAILS} % fails"))?;
        } else if growth > WARNS {
            say(format!("{name} costs {growth:+.1} %: worth a look"))?;
        }
    }
    if before.toolchain != counts.toolchain {
        // Another compiler is no fault of the code.
        say(format!("only told, not judged: the counts before are of {}", before.toolchain))?;
        return Ok(true);
    }
    Ok(within)
}

fn baseline() -> Result<Option<Counts>, String> {
    match std::fs::read_to_string(BASELINE) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| format!("{BASELINE}: {error}; write it anew with `-- --bless`")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{BASELINE}: {error}")),
    }
}

fn json(counts: &Counts) -> Result<String, String> {
    serde_json::to_string_pretty(counts).map_err(|error| error.to_string())
}

/// By how many hundredths each stage has grown; a stage that is new has not.
fn growths(now: &Counts, before: &Counts) -> Vec<(Stage, f64)> {
    let growth = |(stage, now): (&Stage, &u64)| {
        let before = before.instructions.get(stage).copied().filter(|count| *count > 0)?;
        Some((*stage, 100.0 * (*now as f64 / before as f64 - 1.0)))
    };
    now.instructions.iter().filter_map(growth).collect()
}

fn table(counts: &Counts, before: Option<&Counts>) -> String {
    let growths: BTreeMap<Stage, f64> =
        before.map(|before| growths(counts, before).into_iter().collect()).unwrap_or_default();
    let mut lines =
        vec![format!("{:<10}{:>24}{:>10}   what", "stage", "instructions a report", "change")];
    for (stage, count) in &counts.instructions {
        let change =
            growths.get(stage).map_or_else(String::new, |growth| format!("{growth:+.1} %"));
        lines.push(format!("{:<10}{count:>24}{change:>10}   {}", stage.name(), stage.what()));
    }
    let sum: u64 = counts.instructions.values().sum();
    lines.push(format!("{:<10}{sum:>24}{:>10}   {}", "all", "", counts.toolchain));
    lines.join("\n")
}
