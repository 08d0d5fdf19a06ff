//! `radstream redistill` as a process, with stand-ins for export and training: what it answers, and
//! that it can be killed at any time.
//!
//! The stand-ins are shell scripts that say where they are and stop there when they are told to, so
//! that a kill falls on a known moment. Needs `models/default` and ONNX Runtime.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod promotion_support;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use promotion_support::{Model, SHIPPED};
use radstream::promotion::store::{Action, Entry, Store};
use radstream::student::folder::Listing;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const AT: &str = r#"at() {
  echo "$1" >> "$BASE/log"
  echo "stand-in at $1" >&2
  if [ "$(cat "$BASE/stop")" = "$1" ]; then
    echo $$ > "$BASE/pid"
    echo "stand-in stops" >&2
    read -r nothing < "$BASE/fifo"
  fi
}
"#;
const EXPORT: &str = r#"at export-begin
mkdir -p "$1/current"
cp "$BASE/dataset.json" "$1/current/manifest.json"
at export-end
"#;
const TRAIN: &str = r#"at train-begin
[ ! -e "$BASE/fail" ] || exit 3
mkdir -p "$1" "$2"
head -c 1000 "$BASE/prepared/model.onnx" > "$1/model.onnx"
at train-half
cp "$BASE/prepared/model.onnx" "$BASE/prepared/tokenizer.json" "$1"
at train-files
cp "$BASE/prepared/manifest.json" "$1"
at train-whole
"#;

struct Site {
    base: TempDir,
    first: String,
}

impl Site {
    /// The shipped model in service, and a candidate that training will make.
    fn new(candidate: &Model) -> Self {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        let head = format!("#!/bin/sh\nset -e\nBASE='{}'\n{AT}", base.path().display());
        fs::write(path("export.sh"), format!("{head}{EXPORT}")).unwrap();
        fs::write(path("train.sh"), format!("{head}{TRAIN}")).unwrap();
        fs::write(path("stop"), "").unwrap();
        fs::write(path("log"), "").unwrap();
        assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        let gold = fs::read_to_string("models/gold/held-out.jsonl").unwrap();
        let some: Vec<&str> = gold.lines().step_by(20).collect();
        fs::write(path("gold.jsonl"), some.join("\n")).unwrap();
        fs::create_dir(path("prepared")).unwrap();
        for file in ["manifest.json", "model.onnx", "tokenizer.json"] {
            fs::copy(candidate.file(file), path("prepared").join(file)).unwrap();
        }
        let mut store = Store::open(&path("store")).unwrap();
        let first = store.admit(Path::new(SHIPPED), &Listing::read(Path::new(SHIPPED)).unwrap());
        let first = first.unwrap();
        let entry = Entry {
            time: "2026-01-01T00:00:00Z".to_owned(),
            action: Action::Initial,
            version: first.to_string(),
            decision: String::new(),
            reason: String::new(),
        };
        store.serve(&first, entry).unwrap();
        let site = Self { base, first: first.to_string() };
        site.samples(100);
        site.configure("");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Speed is not the matter here, and the reports are few.
    fn configure(&self, more: &str) {
        let base = self.base.path().display();
        let toml = format!(
            "[redistill]\nwork = '{base}/work'\nmin_new_samples = 100\n\
             export = ['/bin/sh', '{base}/export.sh', '{{dataset}}']\n\
             train = ['/bin/sh', '{base}/train.sh', '{{out}}', '{{work}}']\n\
             [promotion]\nstore = '{base}/store'\ngold = ['{base}/gold.jsonl']\n\
             require = 'not_worse'\nresamples = 200\nmin_support = 1\nmin_speed_ratio = 0.0\n{more}"
        );
        let few = if more.contains("min_reports") { "" } else { "min_reports = 1\n" };
        fs::write(self.path("radstream.toml"), toml + few).unwrap();
    }

    fn samples(&self, samples: u64) {
        let manifest = json!({
            "dataset_id": format!("d{samples}"), "history": {"samples": samples},
            "totals": {"rows": samples},
        });
        fs::write(self.path("dataset.json"), manifest.to_string()).unwrap();
    }

    fn start(&self) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_radstream"))
            .args(["redistill", "--config"])
            .arg(self.path("radstream.toml"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, lines, said: Vec::new() }
    }

    /// A whole run: exit code, and what it said.
    fn run(&self) -> (i32, String) {
        let mut running = self.start();
        running.said.extend(running.lines.by_ref().map(Result::unwrap));
        (running.child.wait().unwrap().code().unwrap(), running.said.join("\n"))
    }

    fn stop_at(&self, place: &str) {
        fs::write(self.path("stop"), place).unwrap();
    }

    /// Ends the stand-in that has stopped, if one has: what a machine that goes down does.
    fn kill_stand_in(&self) {
        if let Ok(pid) = fs::read_to_string(self.path("pid")) {
            let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
            fs::remove_file(self.path("pid")).unwrap();
        }
        self.stop_at("");
    }

    fn trainings(&self) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap();
        log.lines().filter(|line| *line == "train-begin").count()
    }

    /// The run is written down as decided.
    fn is_done(&self) -> bool {
        let Ok(state) = fs::read(self.path("work/state.json")) else { return false };
        let state: Value = serde_json::from_slice(&state).unwrap();
        state["run"].is_null() && !state["last"].is_null()
    }

    /// The version in service. It is whole, and the first or one that the gate let through.
    fn served(&self) -> String {
        let folder = fs::canonicalize(self.path("store/current")).unwrap();
        let listing = Listing::read(&folder).unwrap();
        listing.verify(&folder).unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let promoted = |path: PathBuf| {
            let record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            record["version"] == name && record["verdict"] == "promoted"
        };
        let decisions = fs::read_dir(self.path("store/decisions")).unwrap();
        let mut records = decisions
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        assert!(name == self.first || records.any(promoted), "{name} was not let through");
        listing.identity.version
    }
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Running {
    /// Reads on until something is said.
    fn until(&mut self, marker: &str) {
        for line in self.lines.by_ref() {
            self.said.push(line.unwrap());
            if self.said.last().unwrap().contains(marker) {
                return;
            }
        }
        panic!("it ended without saying {marker:?}:\n{}", self.said.join("\n"));
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn as_good() -> Model {
    let model = Model::shipped();
    model.named("next");
    model
}

fn shipped_version() -> String {
    Listing::read(Path::new(SHIPPED)).unwrap().identity.version
}

#[test]
fn killed_at_any_moment_the_next_run_finishes_and_current_is_always_whole_and_gated() {
    let candidate = as_good();
    // A place where a stand-in stops, or something that radstream says.
    let moments = [
        ("", "redistill: exporting"),
        ("export-begin", "stand-in stops"),
        ("export-end", "stand-in stops"),
        ("", "redistill: exported"),
        ("", "redistill: training on"),
        ("train-begin", "stand-in stops"),
        ("train-half", "stand-in stops"),
        ("train-files", "stand-in stops"),
        ("train-whole", "stand-in stops"),
        ("", "redistill: trained"),
        ("", "redistill: judging"),
        ("", "redistill: decided: promoted"),
    ];
    for (stop, marker) in moments {
        let site = Site::new(&candidate);
        site.stop_at(stop);
        let mut running = site.start();
        running.until(marker);
        running.kill();
        site.kill_stand_in();
        let served = site.served();
        assert!(served == "next" || served == shipped_version(), "{served}");
        // The kill may come when all is written down.
        let is_done = served == "next" && site.is_done();
        // A stand-in that was not stopped may be at work still: then it has the lock.
        let (mut code, mut said) = site.run();
        while code == 75 {
            (code, said) = site.run();
        }
        let expected = if is_done { 12 } else { 0 };
        assert_eq!(code, expected, "after a kill at {stop} {marker}:\n{said}");
        assert_eq!(site.served(), "next");
        if marker.contains("judging") || marker.contains("decided") {
            assert_eq!(site.trainings(), 1, "what is trained is not trained again");
        }
        let (code, said) = site.run();
        assert_eq!(code, 12, "{said}");
        assert!(said.contains("nothing new: 0 samples"), "{said}");
    }
}

/// Runs to the end, then puts back what was written down when the gate began: as if the run had been
/// killed after it moved the link, and before it could write that down.
fn stopped_after_the_link_was_moved(site: &Site) {
    let mut running = site.start();
    running.until("redistill: judging");
    let judging = fs::read(site.path("work/state.json")).unwrap();
    let state: Value = serde_json::from_slice(&judging).unwrap();
    assert!(state["run"]["candidate"].is_string(), "{state}");
    running.said.extend(running.lines.by_ref().map(Result::unwrap));
    assert!(running.child.wait().unwrap().success(), "{}", running.said.join("\n"));
    fs::write(site.path("work/state.json"), judging).unwrap();
}

fn roll_back(site: &Site) {
    let done = Command::new(env!("CARGO_BIN_EXE_radstream"))
        .args(["rollback", "--config"])
        .arg(site.path("radstream.toml"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_promotion_that_was_not_written_down_is_not_repeated_over_a_rollback() {
    let site = Site::new(&as_good());
    stopped_after_the_link_was_moved(&site);
    assert_eq!(site.served(), "next");
    let decided = fs::read_dir(site.path("store/decisions")).unwrap().count();
    roll_back(&site);
    assert_eq!(site.served(), shipped_version());
    let (code, said) = site.run();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("it stays out") && !said.contains("judging"), "{said}");
    assert_eq!(site.served(), shipped_version());
    let rollback = 2;
    let now = fs::read_dir(site.path("store/decisions")).unwrap().count();
    assert_eq!(now, decided + rollback, "the gate was not asked again");
    assert_eq!(site.run().0, 12, "the run is done");
}

#[test]
fn without_a_rollback_a_promotion_that_was_not_written_down_is_found_in_service() {
    let site = Site::new(&as_good());
    stopped_after_the_link_was_moved(&site);
    let (code, said) = site.run();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("in service already"), "{said}");
    assert_eq!((site.served().as_str(), site.run().0), ("next", 12));
}

#[test]
fn a_step_that_outlives_its_killed_parent_keeps_the_next_run_out() {
    let site = Site::new(&as_good());
    site.stop_at("train-half");
    let mut running = site.start();
    running.until("stand-in stops");
    let (code, said) = site.run();
    assert_eq!(code, 75, "two at once: {said}");
    running.kill();
    let (code, said) = site.run();
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("of one that was killed"), "{said}");
    site.kill_stand_in();
    // It has the lock until it is gone.
    let code = std::iter::repeat_with(|| site.run().0).find(|code| *code != 75);
    assert_eq!(code, Some(0));
    assert_eq!((site.served().as_str(), site.trainings()), ("next", 2));
}

#[test]
fn each_answer_has_its_exit_code() {
    let site = Site::new(&Model::untrained());
    site.samples(99);
    let (code, said) = site.run();
    assert_eq!(code, 12, "{said}");
    assert!(said.contains("99 samples since the last run, 100 are needed"), "{said}");
    assert_eq!(site.trainings(), 0);

    // Training fails; the next run tries again, and the gate refuses what it makes.
    site.samples(100);
    fs::write(site.path("fail"), "").unwrap();
    let (code, said) = site.run();
    assert_eq!(code, 70, "{said}");
    assert!(said.contains("training failed (exit status: 3)"), "{said}");
    fs::remove_file(site.path("fail")).unwrap();
    let (code, said) = site.run();
    assert_eq!(code, 10, "{said}");
    assert_eq!(site.served(), shipped_version());
    assert_eq!(site.run().0, 12, "the same samples are not tried again");

    // More samples, too few gold reports.
    site.samples(200);
    for file in ["manifest.json", "model.onnx"] {
        fs::copy(as_good().file(file), site.path("prepared").join(file)).unwrap();
    }
    site.configure("min_reports = 1000\n");
    let (code, said) = site.run();
    assert_eq!(code, 11, "{said}");
    assert_eq!(site.served(), shipped_version());

    site.samples(300);
    site.configure("");
    let (code, said) = site.run();
    assert_eq!(code, 0, "{said}");
    assert_eq!(site.served(), "next");

    fs::remove_dir_all(site.path("store")).unwrap();
    let (code, said) = site.run();
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("--initial"), "{said}");
}
