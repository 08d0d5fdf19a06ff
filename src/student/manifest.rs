//! A model folder as it lies on disk: `manifest.json`, and the files that it vouches for.
//!
//! The folder is read once, whole, and hashed in memory; what was hashed is what is used, so a
//! file exchanged later cannot slip in.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::StudentError;
use crate::publish::{ModelIdentity, hex};
use crate::report::{FindingStatus, Labels, OBSERVATIONS, Observation};

/// The layout of `manifest.json` that this program reads.
pub const FORMAT_VERSION: u32 = 1;
/// The network.
pub const MODEL_FILE: &str = "model.onnx";
/// The tokenizer, in the format of Hugging Face `tokenizers`.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The manifest itself.
pub const MANIFEST_FILE: &str = "manifest.json";

/// `manifest.json`, checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Name of the model family (`radstream-student`).
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Longest text in tokens, special tokens included. The rest is cut.
    pub max_tokens: usize,
    /// Lengths to pad to, ascending, in tokens; the last is at least `max_tokens`.
    pub length_buckets: Vec<usize>,
    /// Id that fills the rest of a row.
    pub pad_token_id: u32,
    /// Calibration: the logits of observation `i` are divided by `temperatures[i]`.
    pub temperatures: [f32; OBSERVATIONS],
    /// Confidence below which a cell is doubtful, per observation.
    pub thresholds: [f32; OBSERVATIONS],
    /// Sentences with their labels, run at every start.
    pub self_test: Vec<SelfTestCase>,
    /// How it was trained. Not interpreted.
    pub training: serde_json::Value,
    /// How it was calibrated. Not interpreted.
    pub calibration: serde_json::Value,
    /// How well it does, on which data. Not interpreted.
    pub scores: serde_json::Value,
}

/// A sentence of our own, and what the model must say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTestCase {
    /// The text. Written for the purpose: no report, may be shown.
    pub text: String,
    /// All thirteen labels.
    pub labels: Labels,
}

/// A model folder in memory, its hashes checked.
#[derive(Debug)]
pub(super) struct ModelFolder {
    pub(super) path: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) identity: ModelIdentity,
    pub(super) model: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
}

#[derive(Deserialize)]
struct ManifestFile {
    format_version: u32,
    name: String,
    version: String,
    created: String,
    observations: Vec<String>,
    statuses: Vec<String>,
    max_tokens: usize,
    length_buckets: Vec<usize>,
    pad_token_id: u32,
    temperatures: [f32; OBSERVATIONS],
    thresholds: [f32; OBSERVATIONS],
    files: BTreeMap<String, FileEntry>,
    #[serde(default)]
    training: serde_json::Value,
    #[serde(default)]
    calibration: serde_json::Value,
    #[serde(default)]
    scores: serde_json::Value,
    self_test: Vec<SelfTestEntry>,
}

/// What the manifest says of a file.
#[derive(Deserialize)]
pub(super) struct FileEntry {
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

#[derive(Deserialize)]
struct SelfTestEntry {
    text: String,
    labels: BTreeMap<Observation, FindingStatus>,
}

/// Reads and checks a model folder.
pub(super) fn read_folder(folder: &Path) -> Result<ModelFolder, StudentError> {
    let path = folder.join(MANIFEST_FILE);
    let bytes = read(&path)?;
    let (manifest, files) = parse(&bytes)
        .map_err(|problems| StudentError::Manifest { path: path.clone(), problems })?;

    let mut problems = Vec::new();
    let mut verified = |name: &str| {
        let entry = files.get(name)?;
        match read_verified(&folder.join(name), &entry.sha256, entry.bytes) {
            Ok(bytes) => Some((bytes, entry.sha256.to_ascii_lowercase())),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    };
    let model = verified(MODEL_FILE);
    let tokenizer = verified(TOKENIZER_FILE);
    match (model, tokenizer) {
        (Some((model, sha256)), Some((tokenizer, _))) => {
            let identity = ModelIdentity {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                sha256,
            };
            Ok(ModelFolder { path: folder.to_path_buf(), manifest, identity, model, tokenizer })
        }
        _ => Err(StudentError::all(problems)),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, StudentError> {
    std::fs::read(path).map_err(|source| unreadable(path, source))
}

/// The error of a file that cannot be opened or read.
pub(super) fn unreadable(path: &Path, source: io::Error) -> StudentError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            StudentError::ModelMissing { path: path.to_path_buf() }
        }
        _ => StudentError::Unreadable { path: path.to_path_buf(), source },
    }
}

/// Reads a file that must have this hash and length.
pub(super) fn read_verified(
    path: &Path,
    sha256: &str,
    expected_bytes: u64,
) -> Result<Vec<u8>, StudentError> {
    let bytes = read(path)?;
    let found = hex(&Sha256::digest(&bytes));
    let found_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if found.eq_ignore_ascii_case(sha256) && found_bytes == expected_bytes {
        return Ok(bytes);
    }
    Err(StudentError::HashMismatch {
        file: path.to_path_buf(),
        expected: sha256.to_owned(),
        found,
        expected_bytes,
        found_bytes,
    })
}

/// Parses `manifest.json`; all problems at once.
pub(super) fn parse(bytes: &[u8]) -> Result<(Manifest, BTreeMap<String, FileEntry>), Vec<String>> {
    let json = &mut serde_json::Deserializer::from_slice(bytes);
    let file: ManifestFile = serde_path_to_error::deserialize(json).map_err(|error| {
        let at = error.path().to_string();
        vec![format!("`{at}`: {}", error.into_inner())]
    })?;
    let problems = problems(&file);
    if !problems.is_empty() {
        return Err(problems);
    }
    let self_test = file.self_test.into_iter().map(|entry| SelfTestCase {
        labels: Observation::ALL
            .map(|observation| entry.labels.get(&observation).copied().unwrap_or_default()),
        text: entry.text,
    });
    let manifest = Manifest {
        name: file.name,
        version: file.version,
        created: file.created,
        max_tokens: file.max_tokens,
        length_buckets: file.length_buckets,
        pad_token_id: file.pad_token_id,
        temperatures: file.temperatures,
        thresholds: file.thresholds,
        self_test: self_test.collect(),
        training: file.training,
        calibration: file.calibration,
        scores: file.scores,
    };
    Ok((manifest, file.files))
}

fn problems(file: &ManifestFile) -> Vec<String> {
    let mut problems = Vec::new();
    if file.format_version != FORMAT_VERSION {
        problems.push(format!(
            "`format_version` is {}, this program reads {FORMAT_VERSION}",
            file.format_version
        ));
    }
    for (key, value) in [("name", &file.name), ("version", &file.version)] {
        if value.trim().is_empty() {
            problems.push(format!("`{key}` is empty"));
        }
    }
    let observations = Observation::ALL.map(Observation::name);
    order_problems("observations", &file.observations, &observations, &mut problems);
    let statuses = FindingStatus::ALL.map(FindingStatus::name);
    order_problems("statuses", &file.statuses, &statuses, &mut problems);

    if file.max_tokens < 8 {
        problems.push(format!("`max_tokens` is {}, at least 8 is needed", file.max_tokens));
    }
    let edges = &file.length_buckets;
    if !edges.is_sorted_by(|a, b| a < b) || edges.iter().any(|edge| *edge == 0 || edge % 8 != 0) {
        problems.push("`length_buckets` must ascend in multiples of 8".to_owned());
    }
    if edges.last().is_none_or(|last| *last < file.max_tokens) {
        problems.push(format!(
            "the last of `length_buckets` must be at least `max_tokens` ({})",
            file.max_tokens
        ));
    }
    for (i, temperature) in file.temperatures.iter().enumerate() {
        if !temperature.is_finite() || *temperature <= 0.0 {
            problems.push(format!("`temperatures[{i}]` is {temperature}, must be positive"));
        }
    }
    for (i, threshold) in file.thresholds.iter().enumerate() {
        if !(0.0..=1.0).contains(threshold) {
            problems.push(format!("`thresholds[{i}]` is {threshold}, must lie in 0 to 1"));
        }
    }
    for name in [MODEL_FILE, TOKENIZER_FILE] {
        if !file.files.contains_key(name) {
            problems.push(format!("`files` does not list `{name}`"));
        }
    }
    if file.self_test.is_empty() {
        problems.push("`self_test` is empty: the model could not be checked at start".to_owned());
    }
    problems
}

fn order_problems(key: &str, found: &[String], wanted: &[&str], problems: &mut Vec<String>) {
    if found.len() != wanted.len() {
        problems.push(format!("`{key}` has {} entries, expected {}", found.len(), wanted.len()));
    }
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        if found != wanted {
            problems.push(format!(
                "`{key}[{i}]` is `{found}`, expected `{wanted}`: the order is that of the model's \
                 outputs and may not change"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn valid() -> serde_json::Value {
        json!({
            "format_version": 1, "name": "radstream-student", "version": "0.1.0",
            "created": "2026-01-01T00:00:00Z",
            "observations": Observation::ALL.map(Observation::name),
            "statuses": FindingStatus::ALL.map(FindingStatus::name),
            "max_tokens": 256, "length_buckets": [32, 64, 128, 256], "pad_token_id": 0,
            "temperatures": vec![1.0; 13], "thresholds": vec![0.9; 13],
            "files": {
                "model.onnx": {"sha256": "00", "bytes": 1},
                "tokenizer.json": {"sha256": "00", "bytes": 1},
            },
            "training": {}, "calibration": {}, "scores": {"macro_f1": 0.9},
            "self_test": [{"text": "No pneumothorax.", "labels": {"pneumothorax": "negative"}}],
        })
    }

    fn refused(change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        let mut manifest = valid();
        change(&mut manifest);
        parse(manifest.to_string().as_bytes()).err().expect("must be refused")
    }

    #[test]
    fn unlisted_observations_of_a_self_test_are_not_mentioned() {
        let (manifest, _) = parse(valid().to_string().as_bytes()).unwrap();
        let labels = manifest.self_test[0].labels;
        for (observation, status) in Observation::ALL.into_iter().zip(labels) {
            let wanted = match observation {
                Observation::Pneumothorax => FindingStatus::Negative,
                _ => FindingStatus::NotMentioned,
            };
            assert_eq!(status, wanted);
        }
    }

    #[test]
    fn swapped_observations_are_named_with_their_places() {
        let problems = refused(|m| {
            m["observations"][4] = "consolidation".into();
            m["observations"][5] = "edema".into();
        });
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("`observations[4]` is `consolidation`, expected `edema`"));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = refused(|m| {
            m["format_version"] = 2.into();
            m["statuses"] = json!(["not_mentioned", "positive", "negative"]);
            m["length_buckets"] = json!([64, 32, 100]);
            m["temperatures"][3] = 0.into();
            m["thresholds"][12] = 1.5.into();
            m["files"] = json!({"model.onnx": {"sha256": "00", "bytes": 1}});
            m["self_test"] = json!([]);
        });
        let all = problems.join("\n");
        assert_eq!(problems.len(), 8, "{all}");
        for part in ["format_version", "statuses", "ascend", "max_tokens", "temperatures[3]"] {
            assert!(all.contains(part), "{part} in {all}");
        }
        for part in ["thresholds[12]", "tokenizer.json", "self_test"] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }

    #[test]
    fn a_wrong_type_or_name_is_reported_with_its_path() {
        let problems = refused(|m| m["self_test"][0]["labels"] = json!({"flu": "positive"}));
        assert!(problems[0].starts_with("`self_test[0].labels"), "{problems:?}");
        let problems = refused(|m| m["temperatures"] = json!([1.0, 2.0]));
        assert!(problems[0].starts_with("`temperatures"), "{problems:?}");
    }

    #[test]
    fn hashing_agrees_with_the_published_test_vector() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&Sha256::digest(b"abc")), abc);
    }
}
