//! A model folder as a set of files: what it holds, whether it is whole. Needs no ONNX Runtime.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::StudentError;
use super::manifest::{self, MANIFEST_FILE, MODEL_FILE};
use crate::drift::reference::REFERENCE_FILE;
use crate::publish::{ModelIdentity, hex};

/// What may lie beside a model without being vouched for: what people read of it, and what drift is
/// measured against.
const BESIDE: [&str; 2] = ["README.md", REFERENCE_FILE];

/// The files of a model folder, as its manifest vouches for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Name, version, and hash of the network.
    pub identity: ModelIdentity,
    /// SHA-256 of `manifest.json`. The manifest holds the hashes of the other files, so this one
    /// stands for the folder.
    pub manifest_sha256: String,
    /// Longest text in tokens.
    pub max_tokens: usize,
    /// Files that the manifest lists, by name.
    pub files: Vec<ListedFile>,
    /// Size of the manifest and of the files together, in bytes.
    pub bytes: u64,
}

/// A file that the manifest vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its name in the folder.
    pub name: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Listing {
    /// Reads the manifest of a model folder. The other files are not opened.
    ///
    /// # Errors
    /// [`StudentError`]: no manifest, or not a usable one.
    pub fn read(folder: &Path) -> Result<Self, StudentError> {
        let path = folder.join(MANIFEST_FILE);
        let bytes = manifest::read(&path)?;
        let wrong = |problems| StudentError::Manifest { path: path.clone(), problems };
        let (manifest, entries) = manifest::parse(&bytes).map_err(wrong)?;
        let strange: Vec<String> = entries
            .keys()
            .filter(|name| !is_plain(name))
            .map(|name| format!("`files` lists {name:?}, which is not the name of a file in it"))
            .collect();
        if !strange.is_empty() {
            return Err(wrong(strange));
        }
        let sha256 = entries.get(MODEL_FILE).map(|entry| entry.sha256.to_ascii_lowercase());
        let listed: u64 = entries.values().map(|entry| entry.bytes).fold(0, u64::saturating_add);
        Ok(Self {
            identity: ModelIdentity {
                name: manifest.name,
                version: manifest.version,
                sha256: sha256.unwrap_or_default(),
            },
            manifest_sha256: hex(&Sha256::digest(&bytes)),
            max_tokens: manifest.max_tokens,
            files: entries
                .into_iter()
                .map(|(name, entry)| ListedFile {
                    name,
                    sha256: entry.sha256.to_ascii_lowercase(),
                    bytes: entry.bytes,
                })
                .collect(),
            bytes: listed.saturating_add(bytes.len() as u64),
        })
    }

    /// Whether the folder holds this manifest and every file that it lists.
    ///
    /// # Errors
    /// [`StudentError`]: the first file that is missing or another.
    pub fn verify(&self, folder: &Path) -> Result<(), StudentError> {
        self.every(folder, |_, _| Ok(()))
    }

    /// Copies manifest and listed files into another, empty folder; with them README.md and reference.json,
    /// where there are.
    /// Each copy is on the disk when this returns, and is the file that was hashed.
    ///
    /// # Errors
    /// As [`Listing::verify`]; or a file cannot be written.
    pub fn copy(&self, from: &Path, to: &Path) -> Result<(), CopyError> {
        self.every(from, |name, bytes| write_through(&to.join(name), bytes))?;
        for name in BESIDE {
            match std::fs::read(from.join(name)) {
                Ok(bytes) => write_through(&to.join(name), &bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(manifest::unreadable(&from.join(name), source).into()),
            }
        }
        Ok(())
    }

    /// Hands each file, checked, to `take`; the manifest last.
    fn every<E: From<StudentError>>(
        &self,
        folder: &Path,
        take: impl Fn(&str, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let listed: u64 = self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
        let manifest = (MANIFEST_FILE, &self.manifest_sha256, self.bytes.saturating_sub(listed));
        let files = self.files.iter().map(|file| (file.name.as_str(), &file.sha256, file.bytes));
        for (name, sha256, expected_bytes) in files.chain([manifest]) {
            let bytes = manifest::read_verified(&folder.join(name), sha256, expected_bytes)?;
            take(name, &bytes)?;
        }
        Ok(())
    }
}

/// A model folder cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The original is not whole.
    #[error(transparent)]
    Original(#[from] StudentError),
    /// The copy cannot be written.
    #[error("cannot write `{}`: {source}; check permissions and free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn write_through(path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| CopyError::Write { path: path.to_path_buf(), source })
}

/// The name of a file in the folder itself.
fn is_plain(name: &str) -> bool {
    let path = Path::new(name);
    path.file_name().is_some_and(|file| file == path.as_os_str())
}
