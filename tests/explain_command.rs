//! `radstream explain` as a library call: what it tells of a record, and what it keeps to itself.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

mod command_support;

use std::fs;
use std::path::{Path, PathBuf};

use command_support::{Ran, call};
use radstream::command::explain::{ExplainArgs, run};
use radstream::decode::{DecodeOptions, Decoded, decode, decode_traced};
use serde_json::Value;

fn explain(arguments: &[&str], stdin: &[u8]) -> Ran {
    call(arguments, |args: &ExplainArgs, out, err| {
        run(args, std::iter::empty(), &mut &stdin[..], out, err)
    })
}

/// The page about a payload given on standard input.
fn page(payload: &[u8], more: &[&str]) -> String {
    let arguments: Vec<&str> = more.iter().copied().chain(["-"]).collect();
    let ran = explain(&arguments, payload);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out
}

fn json(payload: &[u8], more: &[&str]) -> Value {
    let arguments: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&page(payload, &arguments)).unwrap()
}

/// A line of the page, squeezed, that begins with this name.
fn line<'p>(page: &'p str, name: &str) -> &'p str {
    page.lines()
        .find(|line| line.trim_start().starts_with(name))
        .unwrap_or_else(|| panic!("no line {name} in\n{page}"))
}

const ORU: &str = "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|20260102030405||ORU^R01|MSGPLANT1|P|2.5.1\r\
    PID|1||MRNPLANT2^^^GENHOSP^MR||PLANTNAME^ALFA||19500203|F|||STREETPLANT 5\r\
    PV1|1|E|WARDPLANT||||9^PLANTDOC\r\
    ORC|RE|PLACERPLANT|FILLERPLANT^RIS\r\
    OBR|1|PLACERPLANT^EHR|FILLERPLANT^RIS|71046^XR CHEST 2 VIEWS PROCPLANT^C4|||20260102025500|||||||||8^ORDERPLANT||||||20260102030300||RAD|F||||||^REASONPLANT\r\
    OBX|1|TX|71046&GDT^XR CHEST^C4||The heart is normal in size, TEXTPLANT. The lungs are clear.||||||F\r\
    OBX|2|NM|SCORE^Score^L||0.5||||||F\r\
    OBX|3|TX|71046&IMP^XR CHEST^C4||IMPRESSION: No acute disease.||||||F\r\
    OBX|4|RP|IMG^Image^L||https://pacs/PLANTURL||||||F\r\
    NTE|1||NOTEPLANT\r\
    ZPL|LOCALPLANT\r";

/// Everything in [`ORU`] that tells of people, and the report's words.
const PLANTED: [&str; 20] = [
    "MSGPLANT1",
    "MRNPLANT2",
    "PLANTNAME",
    "ALFA",
    "19500203",
    "STREETPLANT",
    "WARDPLANT",
    "PLANTDOC",
    "PLACERPLANT",
    "FILLERPLANT",
    "PROCPLANT",
    "ORDERPLANT",
    "REASONPLANT",
    "TEXTPLANT",
    "acute",
    "PLANTURL",
    "NOTEPLANT",
    "LOCALPLANT",
    "20260102",
    "2026-01-02",
];

fn assert_tells_nothing(payload: &[u8], planted: &[&str]) {
    for shown in [page(payload, &[]), page(payload, &["--json"])] {
        for word in planted {
            assert!(!shown.contains(word), "{word} is in\n{shown}");
        }
    }
}

#[test]
fn without_show_text_nothing_of_the_patient_or_the_text_is_shown() {
    assert_tells_nothing(ORU.as_bytes(), &PLANTED);
    let fhir = r#"{"resourceType":"DiagnosticReport","id":"PLANTID","meta":{"source":"urn:ris#PLANTFRAGMENT","lastUpdated":"2026-01-02T03:04:05Z"},
        "identifier":[{"system":"urn:acc","value":"PLANTNUMBER"}],"status":"final","subject":{"display":"PLANTNAME"},
        "code":{"text":"XR chest PLANTCODE"},"issued":"2026-01-02T03:03:00Z","conclusion":"PLANTTEXT: the lungs are clear and the heart is normal."}"#;
    let planted = [
        "PLANTID",
        "PLANTFRAGMENT",
        "PLANTNUMBER",
        "PLANTNAME",
        "PLANTCODE",
        "PLANTTEXT",
        "lungs",
        "2026-01-02",
    ];
    assert_tells_nothing(fhir.as_bytes(), &planted);
}

#[test]
fn broken_and_odd_messages_tell_nothing_either() {
    let cut = format!("\u{b}{}", ORU.get(..ORU.len() - 5).unwrap());
    let shifted = ORU.replace("TEXTPLANT.", "TEXTPLANT|and more words|here|and here");
    let log_line = format!("2026-01-02 INFO patient PLANTNAME {ORU}");
    let no_identity = ORU.replace("FILLERPLANT", "").replace("PLACERPLANT", "");
    let odd_segment = ORU.replace("ZPL|", "DOE|JANE|");
    let unknown = ORU.replace("ORU^R01", "PLANTNAME^X");
    let charset = ORU.replace("|P|2.5.1", "|P|2.5.1||||||PLANTNAME");
    let broken =
        r#"{"resourceType":"Bundle","PLANTNAME":[{"conclusion":"TEXTPLANT" x}]}"#.to_owned();
    let envelope = serde_json::json!({ "data": ORU, "PLANTNAME": "ALFA" }).to_string();
    let prose = "PLANTNAME has pneumonia".to_owned();
    for payload in [
        cut,
        shifted,
        log_line,
        no_identity,
        odd_segment,
        unknown,
        charset,
        broken,
        envelope,
        prose,
    ] {
        let mut planted = PLANTED.to_vec();
        planted.extend(["JANE", "DOE", "pneumonia"]);
        assert_tells_nothing(payload.as_bytes(), &planted);
    }
}

#[test]
fn with_show_text_the_key_the_time_and_the_labelled_text_are_shown() {
    let page = page(ORU.as_bytes(), &["--show-text"]);
    for words in ["RIS|FILLERPLANT", "2026-01-02T03:03:00Z", "TEXTPLANT", "PROCPLANT", "No acute"] {
        assert!(page.contains(words), "{words} is not in\n{page}");
    }
    // Not read, so not shown.
    assert!(!page.contains("PLANTNAME") && !page.contains("REASONPLANT"), "{page}");
    let json = json(ORU.as_bytes(), &["--show-text"]);
    let report = &json["reports"][0]["report"];
    assert_eq!(report["shown"]["key"], "RIS|FILLERPLANT");
    assert_eq!(report["labelled"][1]["text"], "No acute disease.");
}

#[test]
fn the_page_tells_what_was_found_and_why() {
    let page = page(ORU.as_bytes(), &[]);
    for (name, words) in [
        ("1  labelled", "goes to the student"),
        ("read as", "HL7 v2, ORU^R01"),
        ("charset", "every byte is ASCII"),
        ("profile", "none"),
        ("segments", "MSH PID PV1 ORC OBR OBX×4 NTE ZPL"),
        ("sender", "RIS · GENHOSP"),
        ("key", "number from OBR-3, authority from OBR-3"),
        ("status", "final  from OBR-25"),
        ("changed at", "from OBR-22"),
        ("exam", "a chest radiograph: the procedure code"),
        ("text in", "OBX[1]-5"),
        ("OBX[2]-5", "not used: a measurement"),
        ("OBX[3]-5", "impression by its code"),
        ("OBX[4]-5", "not used: a pointer is not followed"),
        ("NTE[1]-3", "not used: its observation is no text"),
        ("sections", "findings"),
        ("impression", "by heading, labelled"),
    ] {
        assert!(line(&page, name).contains(words), "{name}: {words} is not in\n{page}");
    }
}

#[test]
fn charset_framing_layers_and_dead_letters_are_told() {
    let latin = ORU.replace("clear.", "clear, caf\u{1}.").replace('\u{1}', "\u{e9}");
    let latin: Vec<u8> = latin.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let mut framed = vec![0x0b];
    framed.extend(&latin);
    framed.extend([0x1c, 0x0d]);
    let told = json(&framed, &[]);
    let report = &told["reports"][0];
    assert_eq!(report["framing"], "mllp");
    assert_eq!(report["charset"], "windows-1252");
    assert_eq!(report["charset_by"], "guessed from the bytes");
    assert_eq!(report["report"]["warnings"][0], "charset_guessed");

    let envelope = serde_json::json!({ "message": { "data": ORU } }).to_string();
    assert_eq!(json(envelope.as_bytes(), &[])["layers"][0], "json_envelope");
    let wide: Vec<u8> = ORU.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(json(&wide, &[])["layers"][0], "utf_16");

    let nobody = ORU.replace("FILLERPLANT^RIS", "").replace("PLACERPLANT", "").replace("^EHR", "");
    let batch = format!("{ORU}{nobody}");
    let told = json(batch.as_bytes(), &[]);
    assert_eq!(told["reports"][0]["outcome"], "labelled");
    assert_eq!(told["reports"][0]["place"], "message[1]");
    assert_eq!(told["reports"][1]["outcome"], "dead_letter");
    assert_eq!(told["reports"][1]["place"], "message[2]");
    assert_eq!(told["reports"][1]["reason"], "missing_identity at message[2]/OBR[1]-3");
}

#[test]
fn notes_that_are_the_report_and_those_that_are_not_are_told_apart() {
    let notes = ORU
        .replace("The heart is normal in size, TEXTPLANT. The lungs are clear.", "See Comments")
        .replace("IMPRESSION: No acute disease.", "See Comments")
        .replace("NOTEPLANT", "The lungs are clear and the heart is normal in size.");
    let told = json(notes.as_bytes(), &[]);
    let pieces = told["reports"][0]["pieces"].as_array().unwrap();
    let of = |place: &str| pieces.iter().find(|p| p["place"] == place).unwrap();
    assert_eq!(of("OBX[1]-5")["ignored"], "the notes are the report");
    // A note under a pointer is nobody's.
    let under_text = notes.replace("OBX|4|RP|IMG^Image^L||https://pacs/PLANTURL||||||F\r", "");
    let told = json(under_text.as_bytes(), &[]);
    let pieces = told["reports"][0]["pieces"].as_array().unwrap();
    let note = pieces.iter().find(|p| p["place"] == "NTE[1]-3").unwrap();
    assert_eq!(note["ignored"], Value::Null, "{told}");
    let withdrawn = ORU.replace("The lungs are clear.||||||F", "The lungs are clear.||||||D");
    let told = json(withdrawn.as_bytes(), &[]);
    assert_eq!(told["reports"][0]["pieces"][0]["ignored"], "withdrawn by OBX-11");
}

#[test]
fn a_profile_is_named_and_what_it_did_is_told() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
    let message = profiles.join("general-hospital/final.hl7");
    let ran = explain(&["--profiles", profiles.to_str().unwrap(), message.to_str().unwrap()], b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    for (name, words) in [
        ("profile", "general-hospital"),
        ("charset", "default of the profile"),
        ("key", "number from OBR-18, authority from the profile"),
        ("OBX[4]-5", "findings by the profile"),
        ("OBX[7]-5", "not used: the profile leaves this identifier out"),
        ("NTE[1]-3", "not used: the profile takes text from OBX only"),
        ("sections", "by code or profile, not labelled"),
    ] {
        assert!(line(&ran.out, name).contains(words), "{name}: {words} is not in\n{}", ran.out);
    }
}

#[test]
fn fhir_sources_are_told() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
    let message = fs::read(profiles.join("lakeside-imaging/final.json")).unwrap();
    let told = json(&message, &["--profiles", profiles.to_str().unwrap()]);
    let report = &told["reports"][0];
    assert_eq!(report["profile"], "lakeside-imaging");
    assert_eq!(report["format"], "fhir_json");
    assert_eq!(report["message_type"], "DiagnosticReport");
    assert_eq!(report["pieces"][0]["place"], "result and contained Observations");
    let number = &report["fields"][0];
    assert_eq!(
        (&number["part"], &number["from"]),
        (&"number".into(), &"identifier of the profile's system".into())
    );
}

#[test]
fn what_is_neither_file_nor_offset_is_told() {
    for name in ["no/such/file.hl7", "topic/1", "topic/x/1", "topic/1/-3", "a/b/1/2"] {
        let ran = explain(&[name], b"");
        assert_eq!(ran.code, 66, "{name}");
        assert!(ran.err.contains("neither a file nor TOPIC/PARTITION/OFFSET"), "{}", ran.err);
    }
    let ran = explain(&["--profiles", "no/such/folder", "-"], b"");
    assert_eq!(ran.code, 78, "{}", ran.err);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(explain(&[folder.path().to_str().unwrap()], b"").code, 66);
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// What a decoded outcome says, without its trace.
fn told(decoded: &[Decoded]) -> String {
    format!("{decoded:?}")
}

#[test]
fn asking_how_changes_nothing_and_every_outcome_has_its_reading() {
    let mut samples = Vec::new();
    for folder in ["../shared/data/hl7", "../shared/data/fhir", "config/profiles"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        if folder.is_dir() {
            files(&folder, &mut samples);
        }
    }
    assert!(samples.len() >= 10, "{} samples", samples.len());
    for limit in [1000, 1] {
        let options = DecodeOptions { max_reports_per_record: limit, ..DecodeOptions::default() };
        for path in &samples {
            let payload = fs::read(path).unwrap();
            let plain = decode(&payload, &options);
            let (traced, trace) = decode_traced(&payload, &options);
            assert_eq!(told(&plain), told(&traced), "{}", path.display());
            assert_eq!(traced.len(), trace.readings.len(), "{}", path.display());
        }
    }
}
