//! `radstream label` as a library call: every input format in, both output formats out, with the
//! rules as labeller.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

mod command_support;

use std::path::{Path, PathBuf};

use command_support::{Ran, call};
use radstream::command::label::{LabelArgs, run};
use radstream::student::rules::RuleLabeler;
use serde_json::Value;

impl Ran {
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `id outcome` of each line.
    fn outcomes(&self) -> Vec<String> {
        let lines = self.lines();
        let pair = |line: &Value| {
            format!("{} {}", line["id"].as_str().unwrap(), line["outcome"].as_str().unwrap())
        };
        lines.iter().map(pair).collect()
    }

    fn status(&self, line: usize, observation: &str) -> String {
        self.lines()[line]["labels"][observation]["status"].as_str().unwrap().to_owned()
    }
}

fn label(arguments: &[&str], stdin: &[u8]) -> Ran {
    let mut labeler = RuleLabeler::new();
    call(arguments, |args: &LabelArgs, out, err| run(args, &mut labeler, &mut &*stdin, out, err))
}

fn file(folder: &Path, name: &str, content: &[u8]) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

const ORU: &str = "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|20260102030405||ORU^R01^ORU_R01|MSG1|P|2.5.1\r\
    PID|1||900001^^^GENHOSP^MR||TESTER^ALFA||19500101|F\r\
    OBR|1|PL1^EHR|A1000001^RIS|71046^XR CHEST 2 VIEWS^C4|||20260102025500|||||||||||||||20260102030300||RAD|F\r\
    OBX|1|TX|71046&GDT^XR CHEST^C4||Heart size is normal. Small left pleural effusion.||||||F\r\
    OBX|2|TX|71046&IMP^XR CHEST^C4||No pneumothorax. Pneumonia cannot be excluded.||||||F\r";

#[test]
fn jsonl_keeps_order_and_names_every_cell() {
    let input = br#"{"id": "a", "findings": "Small left pleural effusion.", "impression": ""}
{"id": 7, "text": "FINDINGS: The heart is normal in size. IMPRESSION: No pneumothorax."}

{"id": "c", "findings": " ", "impression": ""}
"#;
    let ran = label(&["--format", "jsonl"], input);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.outcomes(), ["a labelled", "7 labelled", "c skipped_no_text"]);
    let lines = ran.lines();
    let labels = lines[0]["labels"].as_object().unwrap();
    assert_eq!(labels.len(), 14);
    assert_eq!(labels["pleural_effusion"]["status"], "positive");
    assert_eq!(labels["fracture"]["status"], "not_mentioned");
    assert_eq!(labels["no_finding"]["status"], "not_mentioned");
    assert!(labels["fracture"]["confidence"].as_f64().unwrap() > 0.5);
    assert_eq!(lines[0]["model"]["name"], "rules");
    assert_eq!(ran.status(1, "cardiomegaly"), "negative");
    assert_eq!(ran.status(1, "no_finding"), "positive");
    assert_eq!(lines[2]["labels"], Value::Null);
}

#[test]
fn a_bad_line_is_an_outcome_and_fails_only_when_strict() {
    let input = b"{\"id\": \"a\", \"text\": \"Lungs are clear.\"}\n\
        {\"id\": \"b\", \"text\": \"secret pneum\n\
        {\"id\": \"c\", \"findings\": 3}\n\
        {\"id\": \"d\"}\n\
        {\"id\": \"e\", \"text\": \"Lungs are clear.\"}\n";
    let ran = label(&["--format", "jsonl"], input);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.outcomes(),
        ["a labelled", "2 bad_line", "3 bad_line", "d bad_line", "e labelled"]
    );
    assert!(ran.err.contains("stdin, line 2:"), "{}", ran.err);
    assert!(!ran.err.contains("secret") && !ran.out.contains("secret"));
    assert_eq!(label(&["--format", "jsonl", "--strict"], input).code, 65);
}

#[test]
fn csv_columns_are_found_by_name_and_bad_rows_told() {
    let input = b"Study_ID,Report Impression\n\
        s1,\"No effusion.\nHeart, mildly enlarged.\"\n\
        s2\n\
        s3,\"\"\n";
    let ran = label(&["--quiet"], input);
    assert_eq!(ran.outcomes(), ["s1 labelled", "s2 bad_row", "s3 skipped_no_text"]);
    assert_eq!(ran.status(0, "pleural_effusion"), "negative");
    assert_eq!(ran.status(0, "cardiomegaly"), "positive");
    assert!(ran.err.contains("line 4: 1 fields where the header has 2"), "{}", ran.err);

    let other = b"key;body\nx;Small effusion.\n";
    let chosen = label(&["--format", "csv", "--text-column", "BODY", "--id-column", "key"], other);
    assert_eq!(chosen.outcomes(), ["x labelled"]);
    let missing = label(&["--format", "csv", "--text-column", "nope"], other);
    assert_eq!(missing.code, 66);
    assert!(missing.err.contains("no column \"nope\""), "{}", missing.err);
}

#[test]
fn chexpert_csv_has_one_zero_minus_one_and_blank() {
    let input =
        b"{\"id\": \"a,b\", \"text\": \"Small effusion. No pneumothorax. Possible edema.\"}\n\
        {\"id\": \"n\", \"text\": \"Lungs are clear.\"}\n\
        {\"id\": \"e\", \"text\": \"\"}\n";
    let ran = label(&["--format", "jsonl", "--to", "csv"], input);
    assert_eq!(
        ran.out,
        "id,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,\
         Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices,\
         No Finding\n\
         \"a,b\",,,,,-1,,,,0,1,,,,\n\
         n,,,0,,,,,,,,,,,1\n\
         e,,,,,,,,,,,,,,\n"
    );
}

#[test]
fn hl7_messages_are_cut_at_msh_whatever_ends_their_segments() {
    let second = ORU.replace("A1000001", "A1000002").replace('\r', "\n");
    let framed = format!("\x0b{}\x1c\r", ORU.replace("A1000001", "A1000003"));
    let ct = ORU.replace("A1000001", "A4").replace("71046^XR CHEST 2 VIEWS", "71260^CT CHEST");
    let stream = format!("FHS|^~\\&|\rBHS|^~\\&|\r{ORU}{second}{framed}{ct}BTS|4\rFTS|1\r");
    let ran = label(&[], stream.as_bytes());
    assert_eq!(
        ran.outcomes(),
        ["A1000001 labelled", "A1000002 labelled", "A1000003 labelled", "A4 skipped_not_chest"],
        "{}",
        ran.err
    );
    assert_eq!(ran.status(1, "pleural_effusion"), "positive");
    assert_eq!(ran.status(1, "pneumonia"), "uncertain");
}

#[test]
fn an_unreadable_message_does_not_end_the_stream() {
    let stream = format!("MSH|^~\\&\r{ORU}");
    let ran = label(&["--format", "hl7"], stream.as_bytes());
    let lines = ran.lines();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    assert_eq!(lines[0]["labels"], Value::Null);
    assert_eq!(lines[0]["id"], "stdin#1");
    assert_eq!(lines[1]["outcome"], "labelled");
}

#[test]
fn fhir_is_read_as_a_document_and_as_one_resource_a_line() {
    let resource = serde_json::json!({
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "identifier": [{"system": "urn:ris", "value": "F1"}],
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "36643-5", "display": "XR Chest 2 Views"}]},
        "conclusion": "Small left pleural effusion. No pneumothorax is seen on this examination.",
    });
    let pretty = serde_json::to_string_pretty(&resource).unwrap();
    let ran = label(&[], pretty.as_bytes());
    assert_eq!(ran.lines().len(), 1, "{}{}", ran.out, ran.err);
    assert_eq!(ran.status(0, "pleural_effusion"), "positive");
    let lines = format!("{resource}\n{resource}\n");
    assert_eq!(label(&[], lines.as_bytes()).lines().len(), 2);
}

#[test]
fn a_text_file_is_one_report_and_its_sentence_is_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        file(folder.path(), "one.txt", b"Heart is normal.\nSmall left effusion. T\xe9l\xe9.");
    let ran = label(&["--evidence", &path], b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines = ran.lines();
    assert_eq!(lines[0]["id"], path.as_str());
    assert_eq!(lines[0]["labels"]["pleural_effusion"]["evidence"]["text"], "Small left effusion.");
    assert_eq!(lines[0]["labels"]["fracture"].get("evidence"), None);
}

#[test]
fn many_chunks_keep_their_order() {
    let input: String = (0..1500)
        .map(|n| format!("{{\"id\": \"{n}\", \"text\": \"Small effusion, view {n}.\"}}\n"))
        .collect();
    let ran = label(&["--format", "jsonl", "--to", "csv"], input.as_bytes());
    let ids: Vec<&str> =
        ran.out.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(ids, (0..1500).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(ran.err.starts_with("labelled 1500 reports by rules"), "{}", ran.err);
}

#[test]
fn what_cannot_be_read_or_written_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "a.jsonl", b"{\"id\": 1, \"text\": \"Lungs are clear.\"}\n");
    let absent = folder.path().join("absent.txt");
    let absent = absent.to_str().unwrap();

    let missing = label(&[&good, absent], b"");
    assert_eq!(missing.code, 66);
    assert!(missing.out.is_empty(), "nothing is written before every input is known to exist");
    assert!(missing.err.contains(absent), "{}", missing.err);

    let nowhere = folder.path().join("no/such/out.jsonl");
    assert_eq!(label(&["--output", nowhere.to_str().unwrap(), &good], b"").code, 74);
    assert_eq!(label(&["--output", &good, &good], b"").code, 64);
    assert_eq!(label(&["--to", "csv", "--evidence", &good], b"").code, 64);
    assert!(std::fs::read(&good).unwrap().starts_with(b"{\"id\""), "the input is untouched");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_noticed_even_when_everything_fits_the_buffer() {
    let ran =
        label(&["--output", "/dev/full", "--format", "jsonl"], b"{\"text\": \"Clear lungs.\"}");
    assert_eq!(ran.code, 74);
    assert!(ran.err.contains("/dev/full"), "{}", ran.err);
}

/// A pipe whose reader has gone.
struct Closed;

impl std::io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut stdin: &[u8] = b"{\"text\": \"Clear lungs.\"}\n";
    let mut labeler = RuleLabeler::new();
    let ran = call(&["--format", "jsonl"], |args: &LabelArgs, _, err| {
        run(args, &mut labeler, &mut stdin, &mut Closed, err)
    });
    assert_eq!((ran.code, ran.err.len()), (0, 0));
}
