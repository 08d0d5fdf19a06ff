//! Public sample messages, read where they are present beside the project: `../shared/data`.
//! Every one gives at least one outcome without a panic; the radiology ones give their text whole.

mod intake_support;

use std::path::{Path, PathBuf};

use intake_support::outcomes;
use radstream::decode::{DecodeOptions, Decoded, decode};

/// Files under a folder of samples, none (and a plain word) when the folder is absent.
#[expect(clippy::print_stdout, reason = "a test that did not run says so")]
fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(folder);
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "index.tsv") {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        println!("NOT RUN: no sample messages in {}", root.display());
    }
    files.sort();
    files
}

#[test]
fn every_sample_gives_an_outcome() {
    for path in samples("hl7").into_iter().chain(samples("fhir")) {
        let bytes = std::fs::read(&path).expect("readable sample");
        assert!(!outcomes(&bytes).is_empty(), "{}", path.display());
    }
}

/// Words of the text values of a message, by the plainest possible reading: CR between segments, the
/// usual delimiters.
fn words_of_values(message: &str) -> Vec<String> {
    message
        .split('\r')
        .filter(|segment| segment.starts_with("OBX|"))
        .map(|segment| segment.split('|').collect::<Vec<_>>())
        .filter(|fields| matches!(fields.get(2), Some(&("TX" | "ST" | "FT"))))
        .filter_map(|fields| fields.get(5).map(|value| value.replace('~', " ")))
        .flat_map(|value| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn radiology_samples_give_every_word_of_their_text() {
    let mut read = 0;
    for path in samples("hl7/scout") {
        let bytes = std::fs::read(&path).expect("readable sample");
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let wanted = words_of_values(&text);
        // Escapes and several messages in one file are other tests' matter.
        if wanted.is_empty()
            || text.matches("MSH|").count() != 1
            || wanted.iter().any(|w| w.contains('\\'))
        {
            continue;
        }
        let decoded = decode(text.as_bytes(), &DecodeOptions::default());
        let [Decoded::Report(report)] = &decoded[..] else {
            panic!("{}: not one report", path.display())
        };
        let got: Vec<String> = report
            .blocks
            .iter()
            .flat_map(|block| {
                block.text.expose().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        assert!(got == wanted, "{}: text is not whole", path.display());
        read += 1;
    }
    if !samples("hl7/scout").is_empty() {
        assert!(read >= 50, "only {read} radiology samples were compared");
    }
}
