//! What re-distillation is worth to a site: the whole loop, once, on real Kafka.
//!
//! 1. Gold reports go through stage label with the shipped student, or another: the figures before.
//! 2. The site's reports go, as HL7 messages, through stage label, which sends all of them on, and stage
//!    teach, which asks a recorded teacher over HTTP.
//! 3. `radstream redistill` exports, trains, and asks the gate, which judges by the set that ships and by
//!    every sixth of the site's reports, kept apart. Stage label, still running, takes the new student over.
//! 4. The gold reports go through it again: the figures after.
//!
//! Prints both with the paired difference, and draws them. It fails when the gate does not promote, when
//! the running process does not swap, or when neither gain is sure.
//!
//! `make site-adaptation REPORTS=train.jsonl GOLD=dev.jsonl [STUDENT=plain]`: label files as
//! `radstream evaluate` reads them. 15 to 40 minutes on two cores, nearly all of it training. OUT
//! (target/site-adaptation) keeps what was made; started again, it begins anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]
#![allow(clippy::print_stdout, reason = "its result")]

mod feed;
mod picture;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use radstream::demo::teacher::{Answers, RecordedLabels, TeacherOptions, TeacherServer};
use serde_json::Value;
use support::kafka::KafkaBroker;
use support::processes::{Radstream, RadstreamCommand, http_get};
use support::records::Message;
use support::stage::Stage;

use feed::{Labelled, SiteReport};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PATIENCE: Duration = Duration::from_secs(3600);

/// The loop of re-distillation, shown on a site's reports.
#[derive(Parser)]
struct Args {
    /// The site's reports with the labels that the teacher is to give (JSONL).
    #[arg(long)]
    reports: PathBuf,
    /// Reports with labels to judge by, never trained on (JSONL).
    #[arg(long)]
    gold: PathBuf,
    /// Where models, data set, decisions and the picture go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/site-adaptation"))]
    out: PathBuf,
    /// The student to begin with, and to go on from: a model folder.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default"))]
    student: PathBuf,
    /// Training configuration.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/distill/configs/site.toml"))]
    training: PathBuf,
    /// A candidate that an earlier run has trained (OUT/work/candidate, moved away), in place of training.
    #[arg(long)]
    trained: Option<PathBuf>,
    /// More for the training command, such as `--set train.steps=300`.
    #[arg(long, allow_hyphen_values = true)]
    more: Vec<String>,
    /// Of cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    args.student = fs::canonicalize(&args.student)
        .unwrap_or_else(|e| panic!("--student {}: {e}", args.student.display()));
    if fs::exists(&args.out).unwrap() {
        fs::remove_dir_all(&args.out).unwrap();
    }
    fs::create_dir_all(&args.out).unwrap();
    let store = args.out.join("models");
    radstream(&["promote", "--initial", path(&args.student), "--store", path(&store)], 0);
    let site = Site::open(&args, &store);
    let gold = feed::read(&args.gold);

    println!("== before: {} gold reports through {}", gold.len(), args.student.display());
    let before = site.judge("before", &gold);
    let mut label = site.label();
    println!("== the site: {} reports, all of them to the teacher", site.reports.len());
    let calls = site.teach();
    println!("== radstream redistill (training takes most of the time)");
    let decided = site.redistill(&args);
    let swapped = decided == Some(0) && site.swaps(&mut label);
    if !swapped {
        println!("exit {decided:?}: not promoted, or not taken over; see {}", store.display());
        return ExitCode::FAILURE;
    }
    println!("== after: the gold reports through the student that the running process took over");
    let after = site.judge("after", &gold);
    let figures = site.compare(&before, &after);
    let escalated = [&before, &after].map(|labelled| labelled.doubtful_share());
    let won = told(&figures, escalated, calls);
    picture::draw(&args.out.join("site-adaptation.svg"), &figures, escalated).unwrap();
    println!("{}", args.out.join("site-adaptation.svg").display());
    if won { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One figure before and after, and the difference with its interval.
struct Figure {
    name: &'static str,
    before: f64,
    after: f64,
    gain: [f64; 3],
}

/// Prints the figures; whether positive, uncertainty or the share of reports without a wrong cell is surely
/// better.
fn told(figures: &[Figure], escalated: [f64; 2], calls: u64) -> bool {
    println!("{:12} {:>7} {:>7}   gain (95 %)", "macro F1 …", "before", "after");
    for Figure { name, before, after, gain: [gain, low, high] } in figures {
        println!("{name:12} {before:7.3} {after:7.3}   {gain:+.3} ({low:+.3} to {high:+.3})");
    }
    let [before, after] = escalated.map(|share| 100.0 * share);
    println!("{:12} {before:6.1}% {after:6.1}%   of the gold reports", "escalated");
    println!("teacher calls: {calls}");
    figures
        .iter()
        .filter(|figure| matches!(figure.name, "positive" | "uncertainty" | "exact match"))
        .any(|figure| figure.gain[1] > 0.0)
}

/// The site: its reports, its broker, its teacher.
struct Site<'a> {
    broker: &'static KafkaBroker,
    stage: Stage<'static>,
    server: TeacherServer,
    reports: Vec<SiteReport>,
    /// What the gate judges by: never streamed, and other reports than those of the figures.
    gate_gold: PathBuf,
    args: &'a Args,
    store: &'a Path,
}

impl<'a> Site<'a> {
    fn open(args: &'a Args, store: &'a Path) -> Self {
        let broker = KafkaBroker::shared();
        let stage = Stage::create(broker, "site");
        broker.create_topic("site.retries", support::stage::PARTITIONS, &[]);
        let labels = RecordedLabels::read(&args.reports).unwrap();
        let options =
            TeacherOptions { answers: Answers::Recorded(labels), ..TeacherOptions::default() };
        let server = TeacherServer::start(options).unwrap();
        let text = fs::read_to_string(&args.reports).unwrap();
        let joined = |lines: &mut dyn Iterator<Item = (usize, &str)>| {
            lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        let lines = || text.lines().enumerate();
        let kept = joined(&mut lines().filter(|(number, _)| number.is_multiple_of(6)));
        let streamed = joined(&mut lines().filter(|(number, _)| !number.is_multiple_of(6)));
        let gate_gold = args.out.join("gate-gold.jsonl");
        fs::write(&gate_gold, kept).unwrap();
        Self { broker, stage, server, reports: feed::parse(&streamed), gate_gold, args, store }
    }

    fn config(&self, stage: &Stage<'_>, instance: &str, more: &str) -> String {
        let store = path(self.store);
        let more = format!(
            "[student]\nmodel = \"{store}/current\"\nwatch_interval_s = 1\n\
             [promotion]\nstore = \"{store}\"\ngold = [\"models/gold/held-out.jsonl\", \"{}\"]\n{more}",
            path(&self.gate_gold),
        );
        stage
            .config(instance, &more)
            .replace("[topics]\n", "[topics]\nretries = \"site.retries\"\n")
    }

    /// What the student in service says of the gold reports, on topics of their own: nothing of them
    /// reaches the teacher.
    fn judge(&self, name: &'static str, gold: &[SiteReport]) -> Labelled {
        let stage = Stage::create(self.broker, name);
        self.broker.produce(&stage.topic("in"), gold.iter().map(SiteReport::message));
        let config = self.config(&stage, name, "[routing]\nescalate = false\n");
        let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let findings = self.broker.read_committed_all(&stage.topic("findings"));
        let labelled = Labelled::of(&findings, gold);
        fs::write(self.predictions(name), labelled.lines()).unwrap();
        labelled
    }

    fn predictions(&self, name: &str) -> PathBuf {
        self.args.out.join(format!("{name}.jsonl"))
    }

    /// Stage label, which goes on to the end. A first round at a new site: every report is audited.
    fn label(&self) -> Radstream {
        let every = "[routing]\naudit_rate = 1.0\nmax_escalation_rate = 1.0\n";
        let config = self.config(&self.stage, "label", every);
        RadstreamCommand::new(&["run"]).config(&config).spawn()
    }

    /// The site's reports, until each has its second opinion. Gives the teacher's calls.
    fn teach(&self) -> u64 {
        let more = format!(
            "[teacher]\ngroup = \"site.teach\"\n[[teacher.providers]]\nname = \"recorded\"\n\
             base_url = \"{}\"\nmodel = \"recorded\"\nlocal = true\n",
            self.server.base_url()
        );
        let config = self.config(&self.stage, "teach", &more);
        let _teach = RadstreamCommand::new(&["run", "--stage", "teach"]).config(&config).spawn();
        self.broker.produce(&self.stage.topic("in"), self.reports.iter().map(SiteReport::message));
        let mut reader = self.broker.reader(&[&self.stage.topic("findings")]);
        let all = self.reports.len();
        let read = reader.until("a second opinion on every report", PATIENCE, |read| {
            read.iter().filter(|message| is_revision(message)).count() >= all
        });
        let answered = read.iter().filter(|message| feed::is_answered(message)).count();
        println!("{answered} of {all} answered by the teacher");
        self.server.counts().requests
    }

    fn redistill(&self, args: &Args) -> Option<i32> {
        let python = format!("{ROOT}/.venv/bin/python");
        let training = path(&args.training);
        let mut train =
            vec![python.as_str(), "-m", "radstream_distill", "make", "--config", training];
        train.extend(["--out", "{out}", "--work", "{work}"]);
        train.extend(["--set", "data.datasets=[\"{dataset}\"]", "--set", "data.held_out=[{gold}]"]);
        let start = format!("start={}", path(&args.student));
        train.extend(["--set", &start]);
        train.extend(args.more.iter().map(String::as_str));
        if let Some(trained) = &args.trained {
            train = vec!["cp", "-r", path(trained), "{out}"];
        }
        let train: Vec<String> = train.iter().map(|part| toml_text(part)).collect();
        let more = format!(
            "[redistill]\nwork = {}\nmin_new_samples = 1\ntrain = [{}]\n",
            toml_text(path(&args.out.join("work"))),
            train.join(", ")
        );
        let file = args.out.join("redistill.toml");
        fs::write(&file, self.config(&self.stage, "redistill", &more)).unwrap();
        // Not through the harness: its progress is for the one who waits.
        let status = Command::new(env!("CARGO_BIN_EXE_radstream"))
            .args(["redistill", "--config", path(&file)])
            .current_dir(ROOT)
            .env("PYTHONPATH", format!("{ROOT}/distill"))
            .status()
            .unwrap();
        status.code()
    }

    /// Whether the running process labels with the promoted model: told by its findings.
    fn swaps(&self, label: &mut Radstream) -> bool {
        let manifest = fs::read_to_string(self.store.join("current/manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let version = manifest["version"].as_str().unwrap();
        let served = format!("version=\"{version}\"");
        let address = label.address();
        label.until("the swap", PATIENCE, || {
            let (_, metrics) = http_get(&address, "/metrics").ok()?;
            let info = metrics
                .lines()
                .find(|line| line.starts_with("radstream_model_info") && line.contains(&served));
            info.filter(|line| line.ends_with(" 1")).map(|_| ())
        });
        let before = self.broker.read_committed_all(&self.stage.topic("findings")).len();
        let again = self.reports.iter().take(50).map(SiteReport::message_of_another_visit);
        self.broker.produce(&self.stage.topic("in"), again);
        let mut reader = self.broker.reader(&[&self.stage.topic("findings")]);
        let read =
            reader.until("findings of the new student", PATIENCE, |m| m.len() >= before + 50);
        read.iter()
            .filter(|message| feed::model_version(message).as_deref() == Some(version))
            .count()
            >= 50
    }

    /// Both answers against the gold labels, by `radstream evaluate`.
    fn compare(&self, before: &Labelled, after: &Labelled) -> Vec<Figure> {
        assert_eq!(before.reports(), after.reports());
        let (old, new) = (self.predictions("before"), self.predictions("after"));
        let json = self.args.out.join("evaluation.json");
        radstream(
            &[
                "evaluate",
                "--gold",
                path(&self.args.gold),
                "--predictions",
                path(&new),
                "--versus",
                path(&old),
                "--json",
                path(&json),
            ],
            0,
        );
        let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        ["positive", "negation", "uncertainty", "mention", "exact match"]
            .map(|name| {
                let figure = match name {
                    "exact match" => "exact_match".to_owned(),
                    task => format!("supported.{task}"),
                };
                let of = |system: usize| {
                    report["systems"][system]["figures"][&figure]["value"].as_f64().unwrap()
                };
                let gain = &report["comparisons"][0]["differences"][&figure];
                let number = |part: &Value| part.as_f64().unwrap();
                let interval = &gain["interval"];
                let gain =
                    [number(&gain["value"]), number(&interval["low"]), number(&interval["high"])];
                Figure { name, before: of(1), after: of(0), gain }
            })
            .into()
    }
}

fn is_revision(message: &Message) -> bool {
    message.header("ce_type").is_some_and(|kind| kind.contains(".revised."))
}

fn radstream(args: &[&str], code: i32) {
    let ran = RadstreamCommand::new(args).run(PATIENCE);
    assert_eq!(ran.code, Some(code), "radstream {}: {}", args.join(" "), ran.stderr);
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
