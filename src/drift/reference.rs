//! `reference.json`: the figures that drift is measured against, beside the manifest of their model.
//!
//! It is not part of the model: a site makes it of its own reports (`radstream drift reference`), and
//! again when it likes. It names the network that it was made with, and holds for no other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BINS, CONFIDENCE_EDGES, Counts, LENGTH_EDGES, WORD_EDGES};
use crate::report::{FindingStatus, OBSERVATIONS, Observation, STATUSES};

/// The file, in the model folder.
pub const REFERENCE_FILE: &str = "reference.json";
/// The layout that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Fewer reports than this say too little: the index of ten bins is then about 0.05 by chance alone.
pub const LEAST_REPORTS: u64 = 200;

/// Why a reference cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Not the layout.
    #[error("it is not a reference: {0}")]
    Format(String),
    /// Made by another release.
    #[error("its format_version is {0}, this program reads {FORMAT_VERSION}")]
    Version(u32),
    /// Made with another network.
    #[error("it was made with the model {made_with}, this one is {model}")]
    OtherModel {
        /// SHA-256 in the file.
        made_with: String,
        /// SHA-256 of the model.
        model: String,
    },
    /// Its counts contradict each other.
    #[error("`{0}` does not add up to `reports`")]
    Sum(String),
    /// Too few.
    #[error("it is of {0} reports, at least {LEAST_REPORTS} are needed")]
    Few(u64),
}

#[derive(Serialize, Deserialize)]
struct File {
    format_version: u32,
    /// SHA-256 of `model.onnx`.
    model_sha256: String,
    reports: u64,
    /// Columns of `labels`. For readers.
    statuses: Vec<String>,
    labels: BTreeMap<Observation, [u64; STATUSES]>,
    confidence: Bins,
    length: Bins,
    tokens_per_word: Bins,
    doubted: u64,
}

#[derive(Serialize, Deserialize)]
struct Bins {
    /// Upper edges, exclusive; the last bin is open.
    below: [f64; BINS - 1],
    counts: [u64; BINS],
}

/// The file's text.
///
/// # Errors
/// Never with these counts; the writer's reason.
pub fn write(counts: &Counts, model_sha256: &str) -> Result<String, serde_json::Error> {
    let bins =
        |below: &[f64; BINS - 1], counts: &[u64; BINS]| Bins { below: *below, counts: *counts };
    let file = File {
        format_version: FORMAT_VERSION,
        model_sha256: model_sha256.to_owned(),
        reports: counts.reports,
        statuses: FindingStatus::ALL.map(|status| status.name().to_owned()).into(),
        labels: Observation::ALL.into_iter().zip(counts.labels).collect(),
        confidence: bins(&CONFIDENCE_EDGES, &counts.confidence),
        length: bins(&LENGTH_EDGES, &counts.length),
        tokens_per_word: bins(&WORD_EDGES, &counts.words),
        doubted: counts.doubted,
    };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

/// Reads and checks the file's text, for the model with this network.
///
/// # Errors
/// [`ReferenceError`].
pub fn read(text: &[u8], model_sha256: &str) -> Result<Counts, ReferenceError> {
    let file: File =
        serde_json::from_slice(text).map_err(|e| ReferenceError::Format(e.to_string()))?;
    if file.format_version != FORMAT_VERSION {
        return Err(ReferenceError::Version(file.format_version));
    }
    if file.model_sha256 != model_sha256 {
        let (made_with, model) = (file.model_sha256, model_sha256.to_owned());
        return Err(ReferenceError::OtherModel { made_with, model });
    }
    if file.reports < LEAST_REPORTS {
        return Err(ReferenceError::Few(file.reports));
    }
    let adds_up = |name: &str, counts: &[u64]| {
        let sum = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        if sum == Some(file.reports) { Ok(()) } else { Err(ReferenceError::Sum(name.to_owned())) }
    };
    let mut labels = [[0; STATUSES]; OBSERVATIONS];
    for (row, observation) in labels.iter_mut().zip(Observation::ALL) {
        *row = file.labels.get(&observation).copied().unwrap_or_default();
        adds_up(observation.name(), row)?;
    }
    let edges = [
        ("confidence", &file.confidence, &CONFIDENCE_EDGES),
        ("length", &file.length, &LENGTH_EDGES),
        ("tokens_per_word", &file.tokens_per_word, &WORD_EDGES),
    ];
    for (name, bins, ours) in edges {
        if bins.below != *ours {
            return Err(ReferenceError::Format(format!("`{name}` has other bins")));
        }
        adds_up(name, &bins.counts)?;
    }
    if file.doubted > file.reports {
        return Err(ReferenceError::Sum("doubted".to_owned()));
    }
    Ok(Counts {
        reports: file.reports,
        labels,
        confidence: file.confidence.counts,
        length: file.length.counts,
        words: file.tokens_per_word.counts,
        doubted: file.doubted,
    })
}
