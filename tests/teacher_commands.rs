//! `radstream teacher try` and `radstream pseudo-label`, the binary against a server on loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use radstream::demo::teacher::{Failures, Fault, TeacherOptions, TeacherServer};
use serde_json::{Value, json};
use support::processes::{Finished, RadstreamCommand};

const PATIENCE: Duration = Duration::from_secs(120);

fn config(server: &TeacherServer, more: &str) -> String {
    format!(
        "[teacher]\nattempts = 2\nwindow = 8\n{more}\n[[teacher.providers]]\nname = \"stub\"\n\
         base_url = \"{}\"\nmodel = \"stub-teacher\"\nprompt_price = 1.0\ncompletion_price = 2.0\n",
        server.base_url()
    )
}

fn run(args: &[&str], config: &str) -> Finished {
    RadstreamCommand::new(args).config(config).run(PATIENCE)
}

fn reports(path: &Path, count: usize) {
    let findings = [
        "Small left pleural effusion.",
        "No pneumothorax.",
        "Heart size is normal.",
        "Mild edema.",
    ];
    let lines: Vec<String> = (0..count)
        .map(|n| {
            // Every fifth text is a copy of another.
            let text = if n % 5 == 4 { n - 1 } else { n };
            let marker: String = [text / 26, text % 26]
                .map(|digit| char::from(b'a' + digit as u8))
                .into_iter()
                .collect();
            let findings = format!("{} Marker q{marker}.", findings[text % 4]);
            json!({"id": format!("r{n}"), "findings": findings, "impression": ""}).to_string()
        })
        .collect();
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn try_shows_prompt_answer_and_cost_of_one_report() {
    let server = TeacherServer::start(TeacherOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.txt");
    std::fs::write(&file, "IMPRESSION: Dr. Okonkwo was called. Small left pleural effusion.\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let dry = run(&["teacher", "try", "--dry-run", file], &config(&server, ""));
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert!(dry.stdout.contains("<report>") && dry.stdout.contains("pleural effusion"));
    assert!(!dry.stdout.contains("Okonkwo"), "de-identified before it is shown as sent");
    assert_eq!(server.counts().requests, 0, "a dry run asks nobody");

    let tried = run(&["teacher", "try", "--brief", file], &config(&server, ""));
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    for part in ["pleural_effusion", "positive", "stub-teacher by stub", "tokens, cost 0.00"] {
        assert!(tried.stdout.contains(part), "{part} in\n{}", tried.stdout);
    }
    assert!(!tried.stdout.contains("RULES"), "--brief leaves the rules out");
    assert_eq!(server.counts().requests, 1);

    let nobody = run(&["teacher", "try", file], "");
    assert_eq!(nobody.code, Some(78), "{}", nobody.stderr);
    server.set_down(true);
    let down = run(&["teacher", "try", file], &config(&server, ""));
    assert_eq!(down.code, Some(69), "{}", down.stderr);
}

#[test]
fn pseudo_label_writes_what_distill_reads_and_asks_about_no_text_twice() {
    let server = TeacherServer::start(TeacherOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    reports(&input, 50);
    let (input, out_text) = (input.to_str().unwrap(), out.to_str().unwrap());
    let args = ["pseudo-label", input, "--out", out_text];

    let unasked = run(&args, &config(&server, ""));
    assert_eq!(unasked.code, Some(64), "{}", unasked.stderr);
    assert!(unasked.stderr.contains("50 reports") && unasked.stderr.contains("cost about"));
    let dry = run(&[&args[..], &["--dry-run"]].concat(), &config(&server, ""));
    assert_eq!((dry.code, server.counts().requests), (Some(0), 0), "{}", dry.stderr);

    let ran = run(&[&args[..], &["--yes"]].concat(), &config(&server, ""));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(server.counts().requests, 40, "ten of the fifty texts are copies");
    let written = lines(&out);
    let ids: BTreeSet<&str> = written.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!((written.len(), ids.len()), (50, 50));
    let first = written.iter().find(|line| line["id"] == "r0").unwrap();
    assert_eq!(first["labels"]["pleural_effusion"], "positive");
    assert_eq!(
        first["quotes"]["pleural_effusion"].as_str().unwrap(),
        "Small left pleural effusion."
    );
    assert!(first["weights"]["pleural_effusion"].as_f64().unwrap() > 0.4);
    assert_eq!(first["teacher"]["votes"], 1);
    assert_eq!(first["deidentified"], true);

    let again = run(&[&args[..], &["--yes"]].concat(), &config(&server, ""));
    assert_eq!((again.code, server.counts().requests), (Some(0), 40), "{}", again.stderr);
}

#[test]
fn pseudo_label_goes_on_after_a_kill_and_a_spent_budget() {
    let options =
        TeacherOptions { latency: Duration::from_millis(200), ..TeacherOptions::default() };
    let server = TeacherServer::start(options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    reports(&input, 200);
    let args = ["pseudo-label", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--yes"];
    let mut process = RadstreamCommand::new(&args).config(&config(&server, "")).spawn();
    process.until("some lines", PATIENCE, || {
        let text = std::fs::read_to_string(&out).ok()?;
        (text.lines().count() >= 30).then_some(())
    });
    process.kill();
    // A budget for some of the rest: it stops by itself.
    let poor = run(&args, &config(&server, "daily_tokens = 10000"));
    assert_eq!(poor.code, Some(75), "{}", poor.stderr);
    let rich = run(&args, &config(&server, ""));
    assert_eq!(rich.code, Some(0), "{}", rich.stderr);
    let written = lines(&out);
    let ids: BTreeSet<&str> = written.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!((written.len(), ids.len()), (200, 200), "each once");
    let requests = server.counts().requests;
    assert!(
        requests <= 160 + 8,
        "{requests} calls for 160 texts: only those under way are repeated"
    );
}

#[test]
fn pseudo_label_notes_what_got_no_answer_and_stops_when_nobody_is_there() {
    let failures = Failures::always(Fault::InvalidJson);
    let server =
        TeacherServer::start(TeacherOptions { failures, ..TeacherOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    reports(&input, 30);
    let args = ["pseudo-label", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--yes"];
    let strict = run(&[&args[..], &["--strict"]].concat(), &config(&server, ""));
    assert_eq!(strict.code, Some(65), "{}", strict.stderr);
    let failed = lines(&folder.path().join("out.jsonl.failed.jsonl"));
    assert_eq!(failed.len(), 30);
    assert!(failed.iter().all(|line| line["problem"] == "not_json"), "{:?}", failed[0]);
    assert!(lines(&out).is_empty());

    server.set_failures(Failures::always(Fault::ServerError));
    let gone = run(&args, &config(&server, ""));
    assert_eq!(gone.code, Some(69), "{}", gone.stderr);

    // A handful is enough when none of them is answered: a key that is not accepted is no success.
    reports(&input, 3);
    let closed = TeacherOptions { api_key: Some("key".to_owned()), ..TeacherOptions::default() };
    let closed = TeacherServer::start(closed).unwrap();
    let few = run(&args, &config(&closed, ""));
    assert_eq!(few.code, Some(69), "{}", few.stderr);
    assert!(few.stderr.contains("the key is not accepted"), "{}", few.stderr);
}

#[test]
fn messages_are_deidentified_by_what_they_say_and_two_versions_of_a_report_are_two_lines() {
    let server = TeacherServer::start(TeacherOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.hl7"), folder.path().join("out.jsonl"));
    let message = |text: &str| {
        format!(
            "MSH|^~\\&|RIS|HOSP|||20260102030405||ORU^R01|1|P|2.5\rPID|1||778812||OKONKWO^MARIA\r\
             OBR|1||A1^RIS|71046^XR CHEST^C4||||||||||||||||||20260102||RAD|F\r\
             OBX|1|TX|&IMP||{text}||||||F\r"
        )
    };
    let texts = ["Okonkwo: small left pleural effusion.", "Okonkwo: large left pleural effusion."];
    std::fs::write(&input, texts.map(message).concat()).unwrap();
    let (input, out_text) = (input.to_str().unwrap(), out.to_str().unwrap());
    let args = ["pseudo-label", input, "--out", out_text, "--yes"];
    let ran = run(&args, &config(&server, ""));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let written = lines(&out);
    assert_eq!(written.len(), 2, "both versions: {}", ran.stderr);
    let sent: String = server.requests().into_iter().map(|request| request.user).collect();
    let kept = std::fs::read_to_string(&out).unwrap();
    for text in [sent, kept] {
        assert!(text.contains("pleural effusion") && !text.to_lowercase().contains("okonkwo"));
    }
    let again = run(&args, &config(&server, ""));
    assert_eq!((again.code, server.counts().requests), (Some(0), 2), "{}", again.stderr);
}
