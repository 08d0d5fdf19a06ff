//! The shipped model on the real runtime: what it says, and what is refused.
//!
//! Needs `models/default` and ONNX Runtime (`make deps`, or `ORT_DYLIB_PATH`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod promotion_support;

use std::path::{Path, PathBuf};

use radstream::report::{
    FindingStatus, LabelledSection, Labels, Observation, Phi, ReportText, Scored, SectionKind,
};
use radstream::student::labeler::Labeler;
use radstream::student::{Device, Encoding, OnnxLabeler, Student, StudentError, StudentOptions};
use serde_json::Value;

use promotion_support::{Model, SHIPPED as MODEL};

fn options(model: impl Into<PathBuf>) -> StudentOptions {
    StudentOptions { sessions: 1, ..StudentOptions::new(model) }
}

fn student() -> Student {
    Student::load(&options(MODEL)).unwrap_or_else(|error| panic!("{error}"))
}

fn report(sections: &[(SectionKind, &str)]) -> ReportText {
    let sections = sections.iter().filter(|(_, text)| !text.is_empty());
    let labelled = |(kind, text): &(SectionKind, &str)| LabelledSection {
        kind: *kind,
        text: Phi::from(*text),
    };
    ReportText { sections: sections.map(labelled).collect(), present: Vec::new() }
}

fn sentence(text: &str) -> ReportText {
    report(&[(SectionKind::Body, text)])
}

/// Some of the project's own reports, of all lengths.
fn corpus(every: usize) -> Vec<ReportText> {
    let corpus = std::fs::read_to_string("distill/corpus/reports.jsonl").unwrap();
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        report(&[
            (SectionKind::Findings, line["findings"].as_str().unwrap()),
            (SectionKind::Impression, line["impression"].as_str().unwrap()),
        ])
    };
    corpus.lines().step_by(every).map(read).collect()
}

fn labels(scored: &Scored) -> Labels {
    scored.probabilities.map(|row| {
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        FindingStatus::ALL[best]
    })
}

fn assert_alike(a: &Scored, b: &Scored) {
    let pairs = a.probabilities.iter().flatten().zip(b.probabilities.iter().flatten());
    for (a, b) in pairs {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert_eq!(a.evidence, b.evidence);
}

fn refusal(folder: &Path) -> StudentError {
    Student::load(&options(folder)).expect_err("must be refused")
}

#[test]
fn the_shipped_model_gives_the_labels_of_its_self_test() {
    let student = student();
    let cases = student.manifest().self_test.clone();
    assert!(cases.len() >= 10, "a self-test worth the name");
    let texts: Vec<_> = cases.iter().map(|case| sentence(&case.text)).collect();
    let scored = OnnxLabeler::new(student).label(&texts).unwrap();
    for (case, scored) in cases.iter().zip(&scored) {
        assert_eq!(labels(scored), case.labels, "{}", case.text);
        for row in scored.probabilities {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn a_report_scores_the_same_in_any_batch() {
    let mut student = student();
    let edges = student.manifest().length_buckets.clone();
    let mut encoder = student.encoder();
    let mut session = student.take_sessions().pop().unwrap();
    let encodings: Vec<Encoding> = corpus(60).iter().map(|text| encoder.encode(text)).collect();
    let edge = |n: usize| edges.iter().copied().find(|edge| *edge >= n).unwrap();

    let mut alone = Vec::new();
    for encoding in &encodings {
        alone.extend(session.run(&[encoding], edge(encoding.len())).unwrap());
    }
    for size in [3, 8] {
        let mut together = Vec::new();
        for batch in encodings.chunks(size) {
            let batch: Vec<&Encoding> = batch.iter().collect();
            let longest = batch.iter().map(|encoding| encoding.len()).max().unwrap();
            together.extend(session.run(&batch, edge(longest)).unwrap());
        }
        assert_eq!(alone.len(), together.len());
        for (alone, together) in alone.iter().zip(&together) {
            assert_alike(alone, together);
        }
    }
}

#[test]
fn bulk_labelling_keeps_the_order_of_its_input() {
    let texts = corpus(23);
    let mut student = student();
    let mut encoder = student.encoder();
    let edges = student.manifest().length_buckets.clone();
    let mut session = student.take_sessions().pop().unwrap();
    let two = StudentOptions { sessions: 2, ..options(MODEL) };
    let mut bulk = OnnxLabeler::new(Student::load(&two).unwrap());
    let scored = bulk.label(&texts).unwrap();
    assert_eq!(scored.len(), texts.len());
    for (text, scored) in texts.iter().zip(&scored).step_by(7) {
        let encoding = encoder.encode(text);
        let bucket = edges.iter().copied().find(|edge| *edge >= encoding.len()).unwrap();
        assert_alike(&session.run(&[&encoding], bucket).unwrap()[0], scored);
    }
    assert!(bulk.label(&[]).unwrap().is_empty());
}

#[test]
fn the_evidence_is_the_sentence_that_says_it() {
    let text = report(&[
        (SectionKind::Findings, "Heart size is normal. There is a large right pneumothorax."),
        (SectionKind::Impression, "Small left pleural effusion."),
    ]);
    let scored = OnnxLabeler::new(student()).label(std::slice::from_ref(&text)).unwrap();
    let scored = &scored[0];
    let quoted = |observation: Observation| {
        let place = Observation::ALL.iter().position(|o| *o == observation).unwrap();
        let evidence = scored.evidence[place]?;
        let section = text.sections.iter().find(|s| s.kind == evidence.section).unwrap();
        let (start, end) = (evidence.start as usize, evidence.end as usize);
        Some(section.text.expose().chars().skip(start).take(end - start).collect::<String>())
    };
    assert_eq!(quoted(Observation::Cardiomegaly).unwrap(), "Heart size is normal.");
    let pneumothorax = quoted(Observation::Pneumothorax).unwrap();
    assert_eq!(pneumothorax, "There is a large right pneumothorax.");
    let effusion = quoted(Observation::PleuralEffusion).unwrap();
    assert_eq!(effusion, "Small left pleural effusion.");
    assert_eq!(quoted(Observation::Fracture), None, "not mentioned, so nothing to point at");
}

#[test]
fn a_text_longer_than_the_model_reads_is_scored_and_marked() {
    let text = sentence(&"There is a small left pleural effusion. ".repeat(500));
    let scored = OnnxLabeler::new(student()).label(&[text]).unwrap();
    assert!(scored[0].truncated);
    assert_eq!(labels(&scored[0])[9], FindingStatus::Positive);
}

#[test]
fn a_bucket_too_short_for_its_text_is_an_error_without_the_text() {
    let mut student = student();
    let encoding = student.encoder().encode(&sentence("Unmistakable words about a fracture."));
    let mut session = student.take_sessions().pop().unwrap();
    let shown = session.run(&[&encoding], 2).unwrap_err().to_string();
    assert!(shown.contains("does not fit bucket 2") && !shown.contains("fracture"), "{shown}");
    assert!(session.run(&[], 8).unwrap().is_empty());
}

#[test]
fn missing_files_are_named() {
    let nowhere = tempfile::tempdir().unwrap().path().join("nowhere");
    let shown = refusal(&nowhere).to_string();
    assert!(shown.contains("nowhere") && shown.contains("does not exist"), "{shown}");
    for file in ["manifest.json", "model.onnx", "tokenizer.json"] {
        let model = Model::shipped();
        std::fs::remove_file(model.file(file)).unwrap();
        let error = refusal(model.path());
        assert!(matches!(error, StudentError::ModelMissing { .. }), "{error}");
        assert_eq!(error.path(), Some(model.file(file).as_path()));
    }
}

#[test]
fn damaged_files_are_refused_all_in_one_error() {
    let model = Model::shipped();
    for file in ["model.onnx", "tokenizer.json"] {
        let path = model.file(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let error = refusal(model.path());
    let StudentError::Several(problems) = &error else { panic!("{error}") };
    assert!(problems.iter().all(|p| matches!(p, StudentError::HashMismatch { .. })), "{error}");
    let shown = error.to_string();
    assert!(shown.contains("model.onnx") && shown.contains("tokenizer.json"), "{shown}");
}

#[test]
fn a_manifest_in_another_order_is_refused() {
    let model = Model::shipped();
    model.manifest(|manifest| {
        manifest["observations"].as_array_mut().unwrap().swap(0, 1);
    });
    let error = refusal(model.path());
    assert!(matches!(error, StudentError::Manifest { .. }), "{error}");
    let shown = error.to_string();
    assert!(shown.contains("manifest.json") && shown.contains("observations[0]"), "{shown}");
}

#[test]
fn a_model_that_says_otherwise_than_its_manifest_is_refused() {
    let model = Model::shipped();
    let text = "Normal heart size. Clear lungs.";
    model.manifest(|manifest| {
        let wrong = serde_json::json!({"text": text, "labels": {"fracture": "positive"}});
        manifest["self_test"].as_array_mut().unwrap().push(wrong);
    });
    let error = refusal(model.path());
    let StudentError::SelfTest { failures, .. } = &error else { panic!("{error}") };
    assert!(failures.iter().all(|failure| failure.text == text));
    assert!(failures.iter().any(|failure| failure.observation == Observation::Fracture));
    assert!(error.to_string().contains("fracture should be positive"), "{error}");
}

#[test]
fn files_that_the_manifest_vouches_for_but_that_are_rubbish_are_named() {
    for (file, content) in [("model.onnx", "no graph"), ("tokenizer.json", "{}")] {
        let model = Model::shipped();
        std::fs::write(model.file(file), content).unwrap();
        let StudentError::HashMismatch { found, .. } = refusal(model.path()) else { panic!() };
        model.manifest(|manifest| {
            manifest["files"][file]["sha256"] = found.into();
            manifest["files"][file]["bytes"] = content.len().into();
        });
        let error = refusal(model.path());
        let expected = match file {
            "model.onnx" => matches!(error, StudentError::Shape { .. }),
            _ => matches!(error, StudentError::Tokenizer { .. }),
        };
        assert!(expected && error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_not_a_silent_fall_back() {
    let device = Device::Cuda { device_id: 99 };
    let error = Student::load(&StudentOptions { device, ..options(MODEL) }).unwrap_err();
    assert!(matches!(error, StudentError::Provider { device_id: 99, .. }), "{error}");
    assert!(error.to_string().contains("student.device"), "{error}");
}

#[test]
fn a_library_that_is_none_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    for exists in [false, true] {
        if exists {
            std::fs::write(&library, "no library").unwrap();
        }
        let onnxruntime = Some(library.clone());
        let error = Student::load(&StudentOptions { onnxruntime, ..options(MODEL) }).unwrap_err();
        assert!(matches!(error, StudentError::Runtime { .. }), "{error}");
        let shown = error.to_string();
        assert!(shown.contains("libonnxruntime.so") && shown.contains("make deps"), "{shown}");
    }
}
