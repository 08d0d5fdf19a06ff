//! `radstream promote` and `rollback` as library calls, with real models: the one that ships is in
//! service, and challengers made of it are refused for the stated reason, or let through.
//!
//! Needs `models/default` and ONNX Runtime.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod command_support;
mod promotion_support;

use std::fs;
use std::path::{Path, PathBuf};

use command_support::{Ran, call};
use promotion_support::{Model, SHIPPED};
use radstream::command::promote::PromoteArgs;
use radstream::command::rollback::RollbackArgs;
use radstream::command::{promote, rollback};
use radstream::promotion::store::Store;
use serde_json::Value;
use tempfile::TempDir;

const SHIPPED_GOLD: &str = "models/gold/held-out.jsonl";
const REFUSED: u8 = 10;
const INSUFFICIENT: u8 = 11;

/// A store in a folder of its own, and the settings of a test.
struct Site {
    root: TempDir,
    settings: Vec<(String, String)>,
}

impl Site {
    /// Resamples and reports are few: what is tested here is far beyond chance.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let gold = root.path().join("held-out.jsonl");
        let whole = fs::read_to_string(SHIPPED_GOLD).unwrap();
        let half: Vec<&str> = whole.lines().step_by(2).collect();
        fs::write(&gold, half.join("\n")).unwrap();
        let site = Self { root, settings: Vec::new() };
        site.set("RESAMPLES", "200").set("GOLD", &format!("[\"{}\"]", gold.display()))
    }

    /// With a first model in service.
    fn serving(model: &Path) -> Self {
        let site = Self::new();
        let ran = site.promote(&["--initial", model.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        site
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((format!("RADSTREAM__PROMOTION__{key}"), value.to_owned()));
        self
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn promote(&self, arguments: &[&str]) -> Ran {
        let store = self.store();
        let all: Vec<&str> = ["--store", store.to_str().unwrap()]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        call(&all, |args: &PromoteArgs, out, err| {
            promote::run(args, self.settings.clone().into_iter(), out, err)
        })
    }

    fn challenge(&self, model: &Model) -> (u8, Value) {
        let ran = self.promote(&[model.path().to_str().unwrap()]);
        assert_eq!(ran.err, "");
        (ran.code, self.last_record(&ran.out))
    }

    fn rollback(&self, arguments: &[&str]) -> Ran {
        let store = self.store();
        let all: Vec<&str> = ["--store", store.to_str().unwrap()]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        call(&all, |args: &RollbackArgs, out, err| {
            rollback::run(args, std::iter::empty(), out, err)
        })
    }

    fn last_record(&self, out: &str) -> Value {
        let path = out.lines().find_map(|line| line.strip_prefix("record: ")).unwrap();
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// Version of the model behind the link.
    fn served(&self) -> String {
        let manifest = fs::read(self.store().join("current/manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["version"].as_str().unwrap().to_owned()
    }

    fn decisions(&self, extension: &str) -> usize {
        let list = fs::read_dir(self.store().join("decisions")).unwrap();
        list.filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|found| found == extension)
        })
        .count()
    }
}

/// Figures of the guards that fail.
fn failing(record: &Value) -> Vec<&str> {
    let guards = record["guards"].as_array().unwrap().iter();
    guards.filter(|g| g["outcome"] == "fails").map(|g| g["figure"].as_str().unwrap()).collect()
}

fn version_of(model: &str) -> String {
    let manifest = fs::read(Path::new(model).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    manifest["version"].as_str().unwrap().to_owned()
}

#[test]
fn an_untrained_and_a_shuffled_challenger_are_refused_with_every_reason_that_can_be_computed() {
    let site = Site::serving(Path::new(SHIPPED));
    for model in [Model::untrained(), Model::shuffled()] {
        let (code, record) = site.challenge(&model);
        assert_eq!(code, REFUSED);
        let failing = failing(&record);
        for figure in [
            "self_test",
            "self_test.champion",
            "supported.positive",
            "supported.uncertainty",
            "supported.negation",
            "label.lung_opacity.positive",
            "gain",
        ] {
            assert!(failing.contains(&figure), "{figure} is not among {failing:?}");
        }
        assert!(!failing.contains(&"speed"), "the work is the same: {:#}", record["speed"]);
        assert_eq!(record["verdict"], "refused");
        assert_eq!(site.served(), version_of(SHIPPED));
    }
    assert_eq!((site.decisions("json"), site.decisions("md")), (3, 3));
    assert_eq!(site.decisions("svg"), 4, "differences and calibration, twice");
}

#[test]
fn a_miscalibrated_challenger_is_refused_for_its_calibration_and_what_follows_from_it() {
    let site = Site::serving(Path::new(SHIPPED)).set("REQUIRE", "not_worse");
    let (code, record) = site.challenge(&Model::overconfident());
    assert_eq!(code, REFUSED);
    let failing = failing(&record);
    assert_eq!(failing[0], "calibration.nll_4");
    // Who is sure of everything doubts nothing, and lets its mistakes pass.
    assert!(failing[1..].iter().all(|f| ["doubted", "passed_mistakes"].contains(f)), "{failing:?}");
    let reason = record["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("calibration.nll_4 on held-out.jsonl: 0."), "{reason}");
    assert!(reason.contains("limit: "), "{reason}");
}

#[test]
fn thresholds_that_doubt_everything_or_nothing_are_refused_for_that_and_such_as_are_none_do_not_load()
 {
    let site = Site::serving(Path::new(SHIPPED)).set("REQUIRE", "not_worse");
    let with = |threshold: f64| {
        let model = Model::shipped();
        model.named("thresholds").manifest(|manifest| {
            for one in manifest["thresholds"].as_array_mut().unwrap() {
                *one = threshold.into();
            }
        });
        let (code, record) = site.challenge(&model);
        assert_eq!(code, REFUSED, "{threshold}");
        record
    };
    let all = with(1.0);
    assert_eq!(failing(&all), ["doubted"]);
    let reason = all["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with("doubted on held-out.jsonl: ") && reason.contains("+0.050"),
        "{reason}"
    );
    let nothing = with(0.0);
    assert!(failing(&nothing).contains(&"doubted"), "{:?}", nothing["reasons"]);
    let none = with(1.5);
    assert_eq!(failing(&none), ["loads"]);
    assert!(none["reasons"][0].as_str().unwrap().contains("`thresholds[0]` is 1.5"), "{none:#}");
}

#[test]
fn a_challenger_several_times_slower_is_refused_for_its_speed_alone() {
    let site = Site::serving(Path::new(SHIPPED)).set("REQUIRE", "not_worse");
    let (code, record) = site.challenge(&Model::slow());
    assert_eq!(code, REFUSED);
    assert_eq!(failing(&record), ["speed"]);
    assert!(record["speed"]["ratio"].as_f64().unwrap() < 0.5, "{:#}", record["speed"]);
    let reason = record["reasons"][0].as_str().unwrap();
    assert!(reason.contains("of the champion's speed"), "{reason}");
}

#[test]
fn a_better_challenger_takes_over_and_the_way_back_is_open() {
    let blind = Model::blind_to_doubt();
    let site = Site::serving(blind.path());
    let shipped = version_of(SHIPPED);

    let dry = site.promote(&[SHIPPED, "--dry-run"]);
    assert_eq!(dry.code, 0, "{}{}", dry.out, dry.err);
    assert!(dry.out.contains("dry run: nothing was installed"), "{}", dry.out);
    assert_eq!(site.last_record(&dry.out)["dry_run"], true);
    assert_eq!(site.served(), "blind");

    let ran = site.promote(&[SHIPPED]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for shown in ["supported.uncertainty", "held-out.jsonl", "promoted", "Floors of single"] {
        assert!(ran.out.contains(shown), "{shown} is missing in\n{}", ran.out);
    }
    let record = site.last_record(&ran.out);
    let gain = record["guards"].as_array().unwrap().iter().find(|g| g["figure"] == "gain").unwrap();
    assert!(gain["why"].as_str().unwrap().starts_with("better: "), "{gain}");
    assert_eq!(site.served(), shipped);

    // The model in service is no challenger.
    let again = site.promote(&[SHIPPED]);
    assert_eq!(again.code, REFUSED);
    assert!(again.out.contains("the candidate is the model in service"), "{}", again.out);

    let back = site.rollback(&["--reason", "hedges too much"]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(site.served(), "blind");
    let record = site.last_record(&back.out);
    assert_eq!(record["reason"], "hedges too much");
    assert!(record["from"].as_str().unwrap().starts_with(&shipped));
    assert_eq!(site.rollback(&[]).code, 64, "nothing was in service before the first");

    let to = record["from"].as_str().unwrap();
    assert_eq!(site.rollback(&["--to", to]).code, 0);
    assert_eq!(site.served(), shipped);
    assert_eq!(site.rollback(&["--to", "nowhere"]).code, 64);
    let list = site.rollback(&["--list"]).out;
    assert_eq!(list.lines().count(), 5, "{list}");
    assert!(list.ends_with(&format!("in service: {to}\n")), "{list}");

    // A version that was damaged on the disk is not gone back to.
    let blind = site.store().join("versions");
    let blind = fs::read_dir(blind).unwrap().map(|e| e.unwrap().path());
    let blind = blind.into_iter().find(|p| p.to_string_lossy().contains("blind-")).unwrap();
    fs::write(blind.join("model.onnx"), "rot").unwrap();
    let name = blind.file_name().unwrap().to_str().unwrap();
    assert_eq!(site.rollback(&["--to", name]).code, 65);
    assert_eq!(site.served(), shipped);
}

#[test]
fn the_model_put_in_service_gets_its_reference_or_keeps_the_one_it_came_with() {
    let site = Site::new();
    let (model, reports) = (Model::shipped(), site.root.path().join("usual.jsonl"));
    let line =
        |n: usize| format!("{{\"id\": \"{n}\", \"text\": \"No pneumothorax, film {n}.\"}}\n");
    fs::write(&reports, (0..200).map(line).collect::<String>()).unwrap();
    let initial = ["--initial", model.path().to_str().unwrap()];
    let ran = site.promote(&initial);
    assert!(ran.out.contains("no reference of drift: set drift.reports"), "{}", ran.out);

    // Made of the site's reports, with the network that is in service.
    let mut site = Site::new();
    let key = "RADSTREAM__DRIFT__REPORTS".to_owned();
    site.settings.push((key.clone(), format!("[\"{}\"]", reports.display())));
    let ran = site.promote(&initial);
    assert!(ran.out.contains("reference of drift: 200 reports as"), "{}{}", ran.out, ran.err);
    let made = site.store().join("current/reference.json");
    let made: Value = serde_json::from_slice(&fs::read(made).unwrap()).unwrap();
    assert_eq!(made["reports"], 200);

    // As it came.
    fs::copy(site.store().join("current/reference.json"), model.file("reference.json")).unwrap();
    let site = Site::new();
    let ran = site.promote(&initial);
    assert!(ran.out.contains("reference of drift: the candidate's"), "{}", ran.out);
    assert!(site.store().join("current/reference.json").exists());

    // One that cannot be made keeps no model out.
    let mut site = Site::new();
    site.settings.push((key, "[\"/nowhere.jsonl\"]".to_owned()));
    let ran = site.promote(&initial);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("no reference of drift: cannot read /nowhere.jsonl"), "{}", ran.out);
}

#[test]
fn few_reports_are_insufficient_evidence() {
    let blind = Model::blind_to_doubt();
    let site = Site::serving(blind.path())
        .set("MIN_REPORTS", "1000")
        .set("GOLD", &format!("[\"{SHIPPED_GOLD}\"]"));
    let ran = site.promote(&[SHIPPED]);
    assert_eq!(ran.code, INSUFFICIENT, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("reports on held-out.jsonl: 269 reports"), "{}", ran.out);
    assert_eq!(site.served(), "blind");
}

#[test]
fn every_gold_set_is_asked() {
    // The site's reports hedge where ours deny: on them the better model is the worse.
    let blind = Model::blind_to_doubt();
    let site = Site::serving(blind.path()).set("MIN_REPORTS", "1");
    let gold = site.root.path().join("site.jsonl");
    let line = |n: usize| {
        format!(
            "{{\"id\": \"{n}\", \"findings\": \"Possible pneumonia, film {n}.\", \"impression\": \"\", \
             \"labels\": {{\"pneumonia\": \"not_mentioned\"}}}}\n"
        )
    };
    fs::write(&gold, (0..40).map(line).collect::<String>()).unwrap();
    let ran = site.promote(&[SHIPPED, "--gold", gold.to_str().unwrap()]);
    assert_eq!(ran.code, REFUSED, "{}{}", ran.out, ran.err);
    let record = site.last_record(&ran.out);
    let reasons = record["reasons"].as_array().unwrap();
    assert!(reasons.iter().all(|r| r.as_str().unwrap().contains(" on site.jsonl")), "{reasons:#?}");
    assert_eq!(record["gold"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_judged_is_said_and_nothing_moves() {
    let site = Site::new();
    let ran = site.promote(&[SHIPPED]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("--initial"), "{}", ran.err);

    // A first model that fails its self-test, or is no model, does not get in, and that is recorded.
    let nowhere = site.root.path().join("nowhere");
    let untrained = Model::untrained();
    for candidate in [untrained.path(), &nowhere] {
        assert_eq!(site.promote(&["--initial", candidate.to_str().unwrap()]).code, REFUSED);
        assert!(!site.store().join("current").exists());
    }
    assert_eq!(site.promote(&["--initial", SHIPPED]).code, 0);
    assert_eq!(site.promote(&["--initial", SHIPPED]).code, 64, "there is one already");

    let damaged = Model::shipped();
    fs::write(damaged.file("tokenizer.json"), "{}").unwrap();
    let (code, record) = site.challenge(&damaged);
    assert_eq!((code, failing(&record)), (REFUSED, vec!["loads", "new"]));

    for (name, content, code) in [("none.jsonl", None, 66), ("empty.jsonl", Some(""), 65)] {
        let path = site.root.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let ran = site.promote(&[SHIPPED, "--gold", path.to_str().unwrap()]);
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains(name), "{}", ran.err);
    }
    let held = Store::open(&site.store()).unwrap();
    let ran = site.promote(&[SHIPPED]);
    assert_eq!(ran.code, 75);
    assert!(ran.err.contains("by another radstream"), "{}", ran.err);
    drop(held);
    assert_eq!(site.served(), version_of(SHIPPED));
}
