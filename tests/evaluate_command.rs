//! `radstream evaluate` as a library call: files in, table, JSON and plot out, errors told.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

mod command_support;
mod evaluate_support;
mod promotion_support;

use std::path::{Path, PathBuf};

use command_support::{Ran, call};
use evaluate_support::{gold_jsonl, system_a_csv, system_a_jsonl};
use promotion_support::Model;
use radstream::command::evaluate::{EvaluateArgs, run};
use serde_json::Value;

fn evaluate(arguments: &[&str], stdin: &str) -> Ran {
    call(arguments, |args: &EvaluateArgs, out, err| run(args, &mut stdin.as_bytes(), out, err))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

const TEXTS: &str = r#"{"id": "a", "findings": "Small left pleural effusion.", "impression": "", "labels": {"pleural_effusion": "positive"}}
{"id": "b", "findings": "The heart is normal in size.", "impression": "No pneumothorax.", "labels": {"cardiomegaly": "negative", "pneumothorax": "negative", "no_finding": "positive"}}
{"id": "c", "findings": "", "impression": "No pleural effusion.", "labels": {"pleural_effusion": "negative"}}
"#;

#[test]
fn table_json_and_plot_of_two_systems() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", &gold_jsonl());
    let a = folder.file("a.jsonl", &system_a_jsonl());
    let b = folder.file("b.csv", &system_a_csv());
    let (json, plot) = (folder.path("scores.json"), folder.path("scores.svg"));
    let ran = evaluate(
        &[
            "--gold",
            &gold,
            "--predictions",
            &a,
            "--versus",
            &b,
            "--min-support",
            "2",
            "--resamples",
            "50",
            "--seed",
            "3",
            "--json",
            &json,
            "--plot",
            &plot,
        ],
        "",
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for shown in [
        "12 reports; cells: 7 positive, 7 negative, 3 uncertain",
        "50 resamples, seed 3",
        "macro of 14/14/13/12/14",
        "a.jsonl minus b.csv",
        "no confidence in the predictions",
    ] {
        assert!(ran.out.contains(shown), "{shown} is missing in\n{}", ran.out);
    }
    assert!(!ran.out.contains("rrg5"), "only asked for by --convention");
    let verdict: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(verdict["format_version"], 1);
    assert_eq!(verdict["plan"]["seed"], 3);
    let figures = &verdict["systems"][0]["figures"];
    assert_eq!(figures["exact_match"]["value"], 0.5);
    assert!(figures["supported.positive"]["low"].is_number());
    assert!(figures["rrg5.macro_f1"]["value"].is_number(), "the JSON holds all conventions");
    assert_eq!(verdict["comparisons"][0]["differences"]["exact_match"]["value"], 0.0);
    assert_eq!(verdict["reference"]["sha256"].as_str().unwrap().len(), 64);
    let svg = std::fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("a.jsonl") && !svg.contains("b.csv"));
}

#[test]
fn without_predictions_the_texts_are_labelled() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", TEXTS);
    let json = folder.path("scores.json");
    let ran =
        evaluate(&["--gold", &gold, "--labeler", "rules", "--resamples", "0", "--json", &json], "");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("impression only") && ran.out.contains("rules "), "{}", ran.out);
    let verdict: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let system = &verdict["systems"][0];
    assert_eq!(system["figures"]["exact_match"]["value"], 1.0);
    assert!(system["figures"]["exact_match"].get("low").is_none(), "no resamples, no interval");
    assert_eq!(system["matched_by"], "text");
    assert!(system["figures"]["calibration.brier_4"]["value"].is_number());
}

#[test]
fn answers_come_through_a_pipe_and_unlabelled_reports_are_told() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", TEXTS);
    let answers = "{\"id\": \"b\", \"labels\": null}\n\
        {\"id\": \"c\", \"labels\": {\"Pleural Effusion\": 0}}\n\
        {\"id\": \"a\", \"labels\": {\"pleural_effusion\": 1}}\n\
        {\"id\": \"z\", \"labels\": {}}\n";
    let ran = evaluate(&["--gold", &gold, "--predictions", "-", "--resamples", "0"], answers);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("reports without labels, judged as all blank: 1"));
    assert!(ran.out.contains("answers to reports that the reference does not have, ignored: 1"));
}

#[test]
fn rows_without_ids_are_matched_by_their_order() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", &gold_jsonl());
    let csv: String = system_a_csv()
        .lines()
        .map(|line| format!("{}\n", line.split_once(',').unwrap().1))
        .collect();
    let csv = folder.file("chexbert.csv", &csv);
    let ran = evaluate(&["--gold", &gold, "--predictions", &csv, "--resamples", "0"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("rows were matched by their order"));
    assert!(ran.out.contains("0.500"), "half of the reports match exactly");
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_line_and_without_its_content() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", TEXTS);
    let told = |content: &str, more: &[&str]| {
        let file = folder.file("secret-free", content);
        let ran = evaluate(&[&["--gold", &gold, "--predictions", &file], more].concat(), "");
        assert!(!ran.err.contains("SECRET") && ran.out.is_empty(), "{}", ran.err);
        (ran.code, ran.err)
    };
    let header = system_a_csv().lines().next().unwrap().to_owned();
    let blanks = ",".repeat(13);
    let cases: Vec<(String, &[&str], &str)> = vec![
        (String::new(), &[], "it holds no records"),
        (
            "{\"id\": \"SECRET\", \"labels\": {}".into(),
            &[],
            "line 1: the JSON object is not complete",
        ),
        ("{\"id\": \"SECRET\"}".into(), &[], "line 1: has no labels"),
        (
            "{\"id\": \"a\", \"labels\": {\"plural_effusion\": \"SECRET\"}}".into(),
            &[],
            "line 1: an unknown observation; did you mean pleural_effusion?",
        ),
        (
            "{\"id\": \"a\", \"labels\": {}}\n{\"id\": \"b\", \"labels\": {\"edema\": \"SECRET\"}}"
                .into(),
            &[],
            "line 2: edema is not positive, negative, uncertain, not_mentioned",
        ),
        ("SECRET,Edema\n1,1\n".into(), &[], "line 1: the header has no column for Enlarged"),
        (format!("{header}\na,SECRET{blanks}\n"), &[], "line 2: 15 fields where the header has 14"),
        (
            format!("{header}\na,3{}\n", ",".repeat(12)),
            &[],
            "line 2: Support Devices is not 1, 0, -1 or blank (CheXbert's internal class numbers",
        ),
        (
            format!("{header}\nSECRET{blanks}\nSECRET{blanks}\n"),
            &[],
            "lines 2 and 3 have the same id",
        ),
        (
            format!("{header}\nSECRET{blanks}\n"),
            &[],
            "3 of 3 reports of the reference are not in it by id (first: line 1 of the reference)",
        ),
        (
            format!("{header}\nSECRET{blanks}\n"),
            &["--match", "order"],
            "it has 1 records and the reference 3",
        ),
    ];
    for (content, more, expected) in cases {
        let (code, err) = told(&content, more);
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(expected), "{expected:?} is not in {err:?}");
    }
}

#[test]
fn standard_input_is_named_in_words() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", TEXTS);
    let ran = evaluate(&["--gold", &gold, "--predictions", "-"], "{}");
    assert!(ran.err.contains("standard input is not a label file: line 1"), "{}", ran.err);
}

#[test]
fn many_bad_lines_are_told_together() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", &"{\"id\": 1}\n".repeat(9));
    let ran = evaluate(&["--gold", &gold], "");
    assert_eq!(ran.code, 65);
    assert!(ran.err.contains("line 5: has no labels") && !ran.err.contains("line 6"));
    assert!(ran.err.contains("and 4 more lines"), "{}", ran.err);
}

#[test]
fn exit_codes_tell_what_kind_of_failure() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", TEXTS);
    let code = |arguments: &[&str]| evaluate(arguments, "").code;
    assert_eq!(code(&["--gold", &folder.path("absent.jsonl")]), 66);
    assert_eq!(code(&["--gold", "-", "--predictions", "-"]), 64);
    assert_eq!(code(&["--gold", &gold, "--labeler", "rules", "--plot", "scores.png"]), 64);
    let blind = folder.file("blind.jsonl", "{\"id\": \"a\", \"labels\": {}}\n");
    assert_eq!(code(&["--gold", &blind, "--labeler", "rules"]), 64);
    let unwritable = folder.path("no/such/folder/scores.json");
    assert_eq!(code(&["--gold", &gold, "--labeler", "rules", "--json", &unwritable]), 74);
    let nowhere = folder.path("no-model");
    assert_eq!(code(&["--gold", &gold, "--model", &nowhere]), 78);
}

#[test]
fn real_reports_can_be_judged_with_the_rules() {
    let gold: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/labels/openi-dev.jsonl");
    if !gold.exists() {
        println!("skipped: ../shared/labels/openi-dev.jsonl is not here");
        return;
    }
    let folder = Folder::new();
    let json = folder.path("scores.json");
    let gold = gold.to_str().unwrap();
    let ran = evaluate(
        &["--gold", gold, "--labeler", "rules", "--resamples", "100", "--json", &json],
        "",
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let verdict: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let value = |name: &str| verdict["systems"][0]["figures"][name]["value"].as_f64().unwrap();
    assert!(value("supported.positive") > 0.85 && value("supported.mention") > 0.9);
    assert!(value("certain-only.micro_f1") > value("micro.positive"), "it flatters");
}

#[test]
fn a_student_is_compared_with_the_one_that_ships_and_never_with_itself() {
    let folder = Folder::new();
    let gold = folder.file("gold.jsonl", TEXTS);
    let model = Model::shipped();
    let candidate = model.named("candidate").path().to_str().unwrap();
    let json = folder.path("scores.json");
    let compared = |arguments: &[&str]| {
        let mut all = vec!["--gold", &gold, "--resamples", "0", "--json", &json];
        all.extend(arguments);
        let ran = evaluate(&all, "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        let verdict: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let name = |side| verdict["comparisons"][0][side].as_str().unwrap().to_owned();
        (name("first"), name("second"))
    };
    let (first, second) = compared(&["--model", candidate, "--versus", "student"]);
    assert!(first.ends_with(" candidate") && !second.contains("candidate"), "{first}, {second}");
    let (first, second) = compared(&["--versus", candidate]);
    assert!(second.ends_with(" candidate") && !first.contains("candidate"), "{first}, {second}");

    let itself = evaluate(&["--gold", &gold, "--versus", "student"], "");
    assert_eq!(itself.code, 64);
    assert!(itself.err.contains("give --model"), "{}", itself.err);
}
