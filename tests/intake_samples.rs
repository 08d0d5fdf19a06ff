//! Public sample messages give at least one outcome without a panic; the radiology ones give their
//! text whole: every OBX and every repetition, counted here by the plainest possible reading.

mod intake_support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use intake_support::{outcomes, samples};
use radstream::decode::{DecodeOptions, Decoded, decode};
use radstream::report::Report;
use serde_json::Value;

#[test]
fn every_sample_gives_an_outcome() {
    for sample in samples::all("hl7").into_iter().chain(samples::all("fhir")) {
        assert!(!outcomes(&sample.bytes).is_empty(), "{}", sample.name);
    }
}

/// A message as a person with a ruler would read it.
#[derive(Default)]
struct Ruled {
    /// Number of OBX segments.
    observations: usize,
    /// Values of text types, each cut into its repetitions, in order.
    repetitions: Vec<String>,
}

/// Reads the messages of a file. Lines of a log end in `<R>`.
fn ruled(text: &str) -> Vec<Ruled> {
    let text = text.replace("<R>", "").replace('\n', "\r");
    let mut messages: Vec<Ruled> = Vec::new();
    let mut delimiters = ['|', '~', '\\'];
    for line in text.split('\r') {
        if let Some((_, header)) = line.split_once("MSH") {
            let mut header = header.chars();
            let [field, _component, repetition, escape] =
                std::array::from_fn(|_| header.next().unwrap_or(' '));
            delimiters = [field, repetition, escape];
            messages.push(Ruled::default());
        }
        let [field, repetition, escape] = delimiters;
        let Some(message) = messages.last_mut() else { continue };
        let fields: Vec<&str> = line.split(field).collect();
        if fields.first() != Some(&"OBX") {
            continue;
        }
        message.observations += 1;
        let value_type = fields.get(2).copied().unwrap_or_default();
        if matches!(value_type, "TX" | "ST" | "FT" | "") {
            let value = fields.get(5).copied().unwrap_or_default();
            let plain = |part: &str| unescaped(part, escape);
            message.repetitions.extend(value.split(repetition).map(plain));
        }
    }
    messages
}

/// The escapes that the samples have.
fn unescaped(text: &str, escape: char) -> String {
    const KNOWN: [(&str, &str); 9] = [
        ("F", "|"),
        ("S", "^"),
        ("T", "&"),
        ("R", "~"),
        (".br", "\n"),
        (".sp", "\n"),
        (".ce", "\n"),
        (".in", ""),
        ("E", "\\"),
    ];
    KNOWN.iter().fold(text.to_owned(), |text, (name, plain)| {
        text.replace(&format!("{escape}{name}{escape}"), plain)
    })
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

fn words_of(report: &Report) -> Vec<String> {
    report.blocks.iter().flat_map(|block| words(block.text.expose())).collect()
}

/// Samples whose OBX values are no text of a report.
const NOT_REPORTS: [&str; 2] = [
    // Identifiers of a DICOM study beside a PDF.
    "dcm4che/ORU_R01-PDF.hl7",
    // Nothing in it identifies the report: a dead letter.
    "hl7v2-fhir-converter/Hl7MessageTest-12-ORU.hl7",
];

/// The reports of a file, those of test messages as well.
fn reports(bytes: &[u8]) -> Vec<Report> {
    let options = DecodeOptions { accept_test_messages: true, ..DecodeOptions::default() };
    decode(bytes, &options)
        .into_iter()
        .filter_map(|outcome| match outcome {
            Decoded::Report(report) => Some(*report),
            _ => None,
        })
        .collect()
}

#[test]
fn radiology_samples_give_every_obx_and_repetition() {
    let index = samples::index("hl7");
    let (mut files, mut values, mut longest) = (0, 0, 0);
    for entry in &index {
        let result = entry.get("msg_type").starts_with("ORU") || entry.get("file").ends_with("log");
        if !entry.get("radiology").contains("rad") || !result {
            continue;
        }
        let sample = samples::read("hl7", entry.get("file"));
        let name = &sample.name;
        let messages = ruled(&String::from_utf8_lossy(&sample.bytes));
        // The ruler itself is held against the index, which another program made.
        let observations: usize = messages.iter().map(|message| message.observations).sum();
        assert_eq!(observations.to_string(), entry.get("obx"), "{name}: OBX segments");
        let wanted: Vec<String> =
            messages.iter().flat_map(|m| &m.repetitions).flat_map(|value| words(value)).collect();
        let got: Vec<String> = reports(&sample.bytes).iter().flat_map(words_of).collect();
        let wanted = if NOT_REPORTS.contains(&entry.get("file")) { Vec::new() } else { wanted };
        assert!(got == wanted, "{name}: {} words of {}", got.len(), wanted.len());
        files += 1;
        let of_file = messages.iter().flat_map(|m| &m.repetitions).filter(|r| !r.trim().is_empty());
        let of_file = of_file.count();
        values += of_file;
        longest = longest.max(of_file);
    }
    if !index.is_empty() {
        assert!(files >= 120, "only {files} radiology samples were compared");
        assert!(values >= 2_000 && longest >= 30, "{values} values, at most {longest} in a file");
    }
}

/// The words of a document's body without its tags.
fn untagged(document: &str) -> Vec<String> {
    let body = document.split_once("<body").map_or(document, |(_, body)| body);
    let parts = body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    words(&parts.collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn radiology_resources_give_their_conclusion_and_their_documents() {
    let index = samples::index("fhir");
    let mut compared = 0;
    for entry in &index {
        let file = entry.get("file");
        if !entry.get("radiology").contains("rad")
            || entry.get("resource") != "DiagnosticReport"
            || !file.ends_with("json")
        {
            continue;
        }
        let sample = samples::read("fhir", file);
        let text = String::from_utf8_lossy(&sample.bytes);
        let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).expect("JSON");
        let got: Vec<String> = reports(&sample.bytes).iter().flat_map(words_of).collect();
        let conclusion = json["conclusion"].as_str().map(|text| words(text).collect());
        let forms = json["presentedForm"].as_array().into_iter().flatten();
        let forms = forms.filter_map(|form| form["data"].as_str()).map(|data| {
            let bytes = STANDARD.decode(data).expect("base64");
            untagged(&String::from_utf8(bytes).expect("text"))
        });
        for wanted in forms.chain(conclusion) {
            let found = got.windows(wanted.len()).any(|words| words == wanted);
            assert!(found, "{}: {} words are not there", sample.name, wanted.len());
            compared += 1;
        }
    }
    if !index.is_empty() {
        assert!(compared >= 6, "only {compared} texts were compared");
    }
}
