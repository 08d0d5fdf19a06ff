//! What becomes of every public sample message, held against `tests/golden`.
//!
//! A golden file says of each report: outcome, key, status, version, warnings, sections with their
//! lengths; and no text, but its length and the beginning of its SHA-256. A change that is meant:
//! `UPDATE_GOLDEN=1 cargo test --release --test intake_golden`, then look at the difference.

mod intake_support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use intake_support::{decoded, samples};
use radstream::decode::Decoded;
use radstream::extract::{ExtractPolicy, Extracted, extract};
use radstream::report::{Intent, Report, ReportText};
use sha2::{Digest, Sha256};

/// A longer key is a text that stands where a key should.
const LONGEST_KEY: usize = 80;

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(8).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    })
}

/// Length and digest of a text.
fn measured(text: &str) -> String {
    format!("{} chars {}", text.chars().count(), digest(text))
}

fn describe(outcome: Decoded) -> String {
    match outcome {
        Decoded::Rejected(rejection) => {
            format!("dead_letter({}) at {}\n", rejection.class.name(), rejection.location)
        }
        Decoded::Skipped(skip) => format!("{}\n", skip.name()),
        Decoded::Report(mut report) => {
            let blocks = blocks(&report);
            let (outcome, text) = match report.intent {
                Intent::Promote => ("promoted", None),
                Intent::Retract => ("retracted", None),
                Intent::Label => match extract(&mut report, &ExtractPolicy::default()) {
                    Extracted::Text(text) => ("labelled", Some(text)),
                    Extracted::Skipped(skip) => (skip.name(), None),
                },
            };
            format!("{outcome}{}{blocks}{}", header(&report), labelled(text.as_ref()))
        }
    }
}

/// Everything of a report but its text; what identifies a person or is long, as a digest.
fn header(report: &Report) -> String {
    let key = report.key.expose();
    let key = if key.chars().count() > LONGEST_KEY || key.contains('\n') {
        format!("({})", measured(key))
    } else {
        key.to_owned()
    };
    let warnings: Vec<&str> = report.warnings.iter().map(|warning| warning.name()).collect();
    let codings = report.procedure.codings.iter();
    let codings: Vec<String> =
        codings.map(|coding| [&*coding.code, &coding.text, &coding.system].join("^")).collect();
    let rest = format!(
        "{} {} {} {} {} {}",
        codings.join("~"),
        report.procedure.service_section.as_deref().unwrap_or("-"),
        report.accession_number.expose(),
        report.sending_application,
        report.sending_facility,
        report.test_message
    );
    let version = &report.version;
    format!(
        " {} {key}\n    status {} version {} {} {}\n    warnings [{}]\n    rest {}\n",
        report.message_type,
        report.status.name(),
        version.changed_at_ms,
        version.rank,
        version.message_at_ms,
        warnings.join(", "),
        digest(&rest)
    )
}

fn blocks(report: &Report) -> String {
    report.blocks.iter().fold(String::new(), |mut lines, block| {
        let section = block.section.map_or("-", |section| section.name());
        writeln!(lines, "    block {section} {}", measured(block.text.expose())).expect("a string");
        lines
    })
}

fn labelled(text: Option<&ReportText>) -> String {
    let Some(text) = text else { return String::new() };
    let present: Vec<&str> = text.present.iter().map(|kind| kind.name()).collect();
    let mut lines = format!("    present {}\n", present.join(", "));
    for section in &text.sections {
        let (kind, text) = (section.kind.name(), section.text.expose());
        writeln!(lines, "    section {kind} {}", measured(text)).expect("a string");
    }
    lines
}

/// The golden text of each folder of samples (`hl7/scout`).
fn found(folder: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for sample in samples::all(folder) {
        let (set, name) = sample.name.rsplit_once('/').expect("a sample lies in a folder");
        let text = files.entry(set.to_owned()).or_default();
        writeln!(text, "{name}").expect("a string");
        for (place, outcome) in decoded(&sample.bytes).into_iter().enumerate() {
            write!(text, "  {} {}", place + 1, describe(outcome)).expect("a string");
        }
    }
    files
}

fn golden(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{set}.txt"))
}

/// The first place where two texts part, with the sample it belongs to.
fn difference(wanted: &str, got: &str) -> Option<String> {
    let mut sample = "";
    let (mut wanted, mut got) = (wanted.lines(), got.lines());
    loop {
        let (wanted, got) = (wanted.next(), got.next());
        if wanted == got {
            wanted?;
            sample = wanted.filter(|line| !line.starts_with(' ')).unwrap_or(sample);
            continue;
        }
        let [wanted, got] = [wanted, got].map(|line| line.unwrap_or("(nothing)").trim());
        return Some(format!("{sample}\n  was {wanted}\n  is  {got}"));
    }
}

fn hold(folder: &str) {
    if samples::root().is_none() {
        return;
    }
    let found = found(folder);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        for (set, text) in &found {
            let path = golden(set);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a golden file");
        }
        return;
    }
    let kept = std::fs::read_dir(golden(folder).with_extension("")).expect("golden files");
    let mut differences: Vec<String> = kept
        .filter_map(|entry| {
            entry.expect("an entry").path().file_stem()?.to_str().map(str::to_owned)
        })
        .map(|set| format!("{folder}/{set}"))
        .filter(|set| !found.contains_key(set))
        .map(|set| format!("{set}: these samples are gone"))
        .collect();
    differences.extend(found.iter().filter_map(|(set, text)| {
        let wanted = std::fs::read_to_string(golden(set)).unwrap_or_default();
        difference(&wanted, text).map(|difference| format!("{set}/{difference}"))
    }));
    assert!(
        differences.is_empty(),
        "what becomes of sample messages has changed; if that is meant, run \
         `UPDATE_GOLDEN=1 cargo test --release --test intake_golden` and look at the difference:\n{}",
        differences.join("\n")
    );
}

#[test]
fn hl7_samples_end_as_before() {
    hold("hl7");
}

#[test]
fn fhir_samples_end_as_before() {
    hold("fhir");
}
