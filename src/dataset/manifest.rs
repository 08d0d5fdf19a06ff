//! What a snapshot holds, and up to where it has read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::tally::{Counts, Tally};
use crate::publish::hex;

/// Name of the file in a snapshot.
pub(super) const MANIFEST: &str = "manifest.json";
/// Version of the layout that this build writes and reads.
pub(super) const FORMAT: u32 = 1;

/// `manifest.json` of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Number of the snapshot, from 1.
    pub snapshot: u64,
    /// First 16 digits of `dataset_sha256`: what a model card names.
    pub dataset_id: String,
    /// SHA-256 over path and SHA-256 of every file of samples, in the order of `files`.
    pub dataset_sha256: String,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
    /// Version of radstream that made it.
    pub software_version: String,
    /// Topic that it was read from.
    pub topic: String,
    /// Partition to the offset that is read next.
    pub next_offsets: BTreeMap<i32, i64>,
    /// Tells whether the key beside the snapshots is the one that made the pseudonyms.
    pub key_check: String,
    /// Retention as it was applied last.
    pub retention: Retention,
    /// What was read since the dataset was begun.
    pub history: History,
    /// Counts of all samples to train on.
    pub totals: Tally,
    /// Samples set aside because another of the same text is shown.
    pub folded: u64,
    /// Retractions that are remembered for samples that come late.
    pub remembered_retractions: u64,
    /// The files, by path.
    pub files: Vec<FileEntry>,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Full days before the day of the export; null: all.
    pub keep_days: Option<u32>,
    /// Days before this one were dropped (`YYYY-MM-DD`).
    pub first_day: Option<String>,
}

/// What was read, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Records read.
    pub records: u64,
    /// Samples among them.
    pub samples: u64,
    /// Null values: retractions of whole reports.
    pub delete_markers: u64,
    /// `WITHDRAWN` records.
    pub withdrawals: u64,
    /// Records that could not be used, by reason.
    pub unusable: Counts,
    /// Offsets that the topic no longer had when they were to be read. What was retracted in them is
    /// not known.
    pub missed_offsets: u64,
    /// Samples removed by null values.
    pub retracted: u64,
    /// Samples removed by `WITHDRAWN` records.
    pub withdrawn: u64,
    /// Samples that came after their report was retracted or their text withdrawn.
    pub late: u64,
    /// Samples that stood twice for one event: the one that counts less was dropped.
    pub repeated: u64,
    /// Samples removed by retention.
    pub expired: u64,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path in the snapshot: `samples/day=2026-11-28/part.parquet`.
    pub path: String,
    /// Day of its samples (`YYYY-MM-DD`).
    pub day: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Counts of its rows.
    pub tally: Tally,
}

/// A manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file.
    #[error("cannot read {}: {source}; is this a folder that `radstream dataset export` wrote?", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its content.
    #[error("{} is not a manifest that this version of radstream reads: {problem}", path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Manifest {
    /// Reads the manifest of a dataset (its current snapshot), or of one snapshot.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let current = folder.join(super::folder::CURRENT).join(MANIFEST);
        let path = if current.exists() { current } else { folder.join(MANIFEST) };
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ManifestError::Io { path: path.clone(), source })?;
        let content = |problem| ManifestError::Content { path: path.clone(), problem };
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(content(format!("its format is {}, not {FORMAT}", manifest.format)));
        }
        Ok(manifest)
    }

    /// Files of samples to train on.
    pub fn samples(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().filter(|file| file.path.starts_with("samples/"))
    }

    /// Works out what follows from the files: totals and the dataset's hash.
    pub(super) fn total(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        let (mut totals, mut sha) = (Tally::default(), Sha256::new());
        for file in self.samples() {
            totals.add(&file.tally);
            sha.update(format!("{}\n{}\n", file.path, file.sha256));
        }
        let rows: u64 = self.files.iter().map(|file| file.tally.rows).sum();
        self.folded = rows - totals.rows;
        self.totals = totals;
        self.dataset_sha256 = hex(&sha.finalize());
        self.dataset_id = self.dataset_sha256.chars().take(16).collect();
    }
}
