//! A shadow model and drift, on real Kafka: what they say, and that labelling does not notice them.

#![allow(clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use radstream::publish::{Contract, FindingsEvent, decode};
use support::kafka::KafkaBroker;
use support::models::ModelStore;
use support::processes::{RadstreamCommand, http_get};
use support::records::{Message, NewRecord};
use support::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(60);
const REPORTS: usize = 400;

/// A chest report of its own text.
fn hl7(number: usize, impression: &str) -> String {
    format!(
        "MSH|^~\\&|RIS|HOSP|||20260102030405||ORU^R01|{number}|P|2.5\rPID|1||1\r\
         OBR|1||N{number}^RIS|71046^XR CHEST^C4||||||||||||||||||20260102||RAD|F\r\
         OBX|1|TX|&IMP||{impression}||||||F\r"
    )
}

/// What the reports of a quiet month say.
fn usual(number: usize) -> String {
    let findings = [
        "No acute cardiopulmonary disease.",
        "Small left pleural effusion.",
        "Mild cardiomegaly. No pneumothorax.",
        "Possible left lower lobe pneumonia.",
        "Stable right port catheter. No focal consolidation.",
    ];
    hl7(number, &format!("{} Comparison made with study {number}.", findings[number % 5]))
}

/// Another department's: each has a pneumothorax.
fn shifted(number: usize) -> String {
    hl7(REPORTS + number, &format!("Large right pneumothorax, as told at {number} hours."))
}

fn feed(stage: &Stage<'_>, messages: &[String]) {
    let records = messages.iter().map(|message| NewRecord {
        value: Some(message.clone().into_bytes()),
        ..NewRecord::default()
    });
    stage.broker.produce(&stage.topic("in"), records);
}

/// All values of a metric, by its labels as they stand.
fn series<'a>(page: &'a str, name: &str) -> BTreeMap<&'a str, f64> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name));
    let pairs = lines.filter_map(|line| line.strip_prefix('{')?.split_once("} "));
    pairs.map(|(labels, value)| (labels, value.parse().expect("a number"))).collect()
}

fn number(page: &str, name: &str) -> f64 {
    let values = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.map(|value| value.parse::<f64>().expect("a number")).sum()
}

fn versions(messages: &[Message]) -> BTreeSet<String> {
    let events = messages.iter().map(|message| {
        decode::<FindingsEvent<'static>>(Contract::Findings, message.bytes()).expect("findings")
    });
    events.filter_map(|event| event.model.map(|model| model.version.clone())).collect()
}

#[test]
fn usual_reports_do_not_drift_others_do_and_a_shadow_of_the_same_model_agrees() {
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "shadowed");
    let store = ModelStore::create();
    store.good("v-live");
    store.good("v-shadow");
    let usual: Vec<String> = (0..REPORTS).map(usual).collect();
    let made = RadstreamCommand::new(&[
        "drift",
        "reference",
        "--format",
        "hl7",
        "--model",
        &store.folder("v-live").display().to_string(),
    ])
    .stdin(usual.concat())
    .run(PATIENCE);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("400 reports as"), "{}", made.stdout);
    assert!(store.folder("v-live").join("reference.json").exists());

    let more = format!(
        "[student]\nmodel = {:?}\n[shadow]\nmodel = {:?}\nshare = 1.0\n[drift]\nwindow = {REPORTS}\n",
        store.folder("v-live").display().to_string(),
        store.folder("v-shadow").display().to_string(),
    );
    let config = stage.config("only", &more);
    let mut process = RadstreamCommand::new(&["run"]).config(&config).spawn();
    let address = process.address();
    let mut ask = |what: &str, enough: &dyn Fn(&str) -> bool| {
        process.until(what, PATIENCE, || {
            let (_, page) = http_get(&address, "/metrics").ok()?;
            enough(&page).then_some(page)
        })
    };
    // It loads beside a stage that works already.
    ask("the shadow", &|page| number(page, "radstream_shadow_running") == 1.0);
    feed(&stage, &usual);
    let window = REPORTS as f64;
    ask("the reference", &|page| number(page, "radstream_drift_reference") == 1.0);
    ask("a full window", &|page| number(page, "radstream_drift_reports") == window);
    // A page may be drawn between two figures of one moment: the next one has both.
    let page = ask("the same, whole", &|_| true);
    let drift = series(&page, "radstream_drift_psi");
    assert_eq!(drift.len(), 13 + 4, "{drift:?}");
    assert!(drift.values().all(|psi| *psi == 0.0), "the same reports as the reference: {drift:?}");
    ask("the shadow to have seen all", &|page| {
        series(page, "radstream_shadow_reports_total").values().sum::<f64>() == window
    });
    let page = ask("what it saw in them", &|page| {
        let scored = series(page, "radstream_shadow_reports_total")["outcome=\"scored\""];
        series(page, "radstream_shadow_cells_total").values().sum::<f64>() >= 13.0 * scored
    });
    let outcomes = series(&page, "radstream_shadow_reports_total");
    let scored = outcomes["outcome=\"scored\""];
    assert!(scored > 0.0 && !outcomes.contains_key("outcome=\"failed\""), "{outcomes:?}");
    let cells = series(&page, "radstream_shadow_cells_total");
    assert_eq!(cells.values().sum::<f64>(), 13.0 * scored);
    let differ = |labels: &str| {
        let status = |name: &str| labels.split(name).nth(1).and_then(|rest| rest.split('"').nth(1));
        status(",status=") != status(",shadow_status=")
    };
    let differ: Vec<_> = cells.iter().filter(|(labels, _)| differ(labels)).collect();
    assert!(differ.is_empty(), "it is the same network: {differ:?}");

    feed(&stage, &(0..REPORTS).map(shifted).collect::<Vec<_>>());
    let pneumothorax = "figure=\"labels\",observation=\"pneumothorax\"";
    ask("drift", &|page| {
        let drift = series(page, "radstream_drift_psi");
        // All of the window are the others: no report of the reference has one.
        drift[pneumothorax] > 5.0
    });
    let page = ask("the same, whole", &|_| true);
    let drift = series(&page, "radstream_drift_psi");
    assert!(drift["figure=\"labels\",observation=\"fracture\""] < 0.1, "{drift:?}");
    assert!(drift["figure=\"length\",observation=\"\""] > 0.0, "{drift:?}");
    assert!(process.get("/").1.contains("(shifted)"), "the page says so");

    process.terminate();
    assert_eq!(process.wait(GRACE).code(), Some(0), "{}", process.log_tail(40));
    let findings = broker.read_committed_all(&stage.topic("findings"));
    assert_eq!(findings.len(), 2 * REPORTS);
    assert_eq!(
        versions(&findings),
        BTreeSet::from(["v-live".to_owned()]),
        "no finding is a shadow's"
    );
}

#[test]
fn a_shadow_that_is_not_there_is_told_and_labelling_goes_on_without_it() {
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "shadowless");
    feed(&stage, &(0..20).map(usual).collect::<Vec<_>>());
    let config = stage.config("only", "[shadow]\nmodel = \"models/absent\"\nshare = 1.0\n");
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("the shadow model cannot be used"), "{}", ran.stderr);
    assert_eq!(broker.read_committed_all(&stage.topic("findings")).len(), 20);
    let checked = RadstreamCommand::new(&["check"]).config(&config).run(PATIENCE);
    assert_eq!(checked.code, Some(78), "{}", checked.stdout);
    assert!(checked.stdout.contains("models/absent"), "{}", checked.stdout);
}

#[test]
fn a_reference_of_too_few_reports_is_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("reference.json");
    let reports: String = (0..20).map(usual).collect();
    let out_path = out.display().to_string();
    let arguments = ["drift", "reference", "--format", "hl7", "--out", &out_path];
    let ran = RadstreamCommand::new(&arguments).stdin(reports).run(PATIENCE);
    assert_eq!(ran.code, Some(65), "{}", ran.stderr);
    assert!(ran.stderr.contains("20 reports were labelled, at least 200"), "{}", ran.stderr);
    assert!(!out.exists());
}
