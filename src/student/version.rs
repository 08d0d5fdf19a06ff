//! Which model a folder holds, without loading it: cheap enough to ask every few seconds.
//!
//! The manifest vouches for all other files by their hashes, so its own hash names the model. Size and
//! time of the other files tell apart two states of a folder that is being written.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::manifest::{MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE};

/// More than any manifest; a file that is longer is judged by its first bytes.
const LONGEST: u64 = 16 << 20;

/// What a model folder looked like at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    folder: PathBuf,
    /// `None`: there is none that can be read.
    manifest: Option<[u8; 32]>,
    files: [Option<(u64, Option<SystemTime>)>; 2],
}

impl Version {
    /// Looks at the folder that `path` leads to now. Never fails: what is not there is a version too,
    /// one that cannot be loaded.
    pub fn look(path: &Path) -> Self {
        let folder = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let stamp = |name: &str| {
            let state = std::fs::metadata(folder.join(name)).ok()?;
            Some((state.len(), state.modified().ok()))
        };
        Self {
            manifest: hash(&folder.join(MANIFEST_FILE)),
            files: [stamp(MODEL_FILE), stamp(TOKENIZER_FILE)],
            folder,
        }
    }

    /// The folder itself, links followed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether both are the same model in the same place.
    fn is_model_of(&self, other: &Self) -> bool {
        self.folder == other.folder && self.manifest == other.manifest
    }
}

fn hash(path: &Path) -> Option<[u8; 32]> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(&bytes).into())
}

/// What to do about what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is in service.
    Same,
    /// It was refused, and has not changed since.
    KnownBad,
    /// To be tried.
    New,
}

/// Judges what was seen against what is in service and what was refused last.
///
/// A model is loaded whole, so files that change under it later concern it no more; one that was refused
/// is tried again when any of its files changes, since it may have been seen half copied.
pub fn judge(seen: &Version, in_service: &Version, refused: Option<&Version>) -> Look {
    if seen.is_model_of(in_service) {
        Look::Same
    } else if refused == Some(seen) {
        Look::KnownBad
    } else {
        Look::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn model(store: &Path, name: &str, manifest: &str) -> PathBuf {
        let folder = store.join(name);
        fs::create_dir(&folder).unwrap();
        for (file, text) in [(MANIFEST_FILE, manifest), (MODEL_FILE, "net"), (TOKENIZER_FILE, "t")]
        {
            fs::write(folder.join(file), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_link_that_moves_and_a_manifest_that_changes_are_new_and_nothing_else_is() {
        let store = tempfile::tempdir().unwrap();
        let (one, two) = (model(store.path(), "1", "{1}"), model(store.path(), "2", "{1}"));
        let current = store.path().join("current");
        let point_to = |folder: &Path| {
            let next = store.path().join("next");
            std::os::unix::fs::symlink(folder, &next).unwrap();
            fs::rename(next, &current).unwrap();
        };
        point_to(&one);
        let in_service = Version::look(&current);
        assert_eq!(in_service.folder(), one.canonicalize().unwrap());
        fs::write(one.join(MODEL_FILE), "longer").unwrap();
        let look = || judge(&Version::look(&current), &in_service, None);
        assert_eq!(look(), Look::Same, "what is loaded is loaded");
        point_to(&two);
        assert_eq!(look(), Look::New, "another folder is verified, whatever it claims");
        point_to(&one);
        assert_eq!(look(), Look::Same);
        fs::write(one.join(MANIFEST_FILE), "{2}").unwrap();
        assert_eq!(look(), Look::New);
    }

    #[test]
    fn what_was_refused_is_tried_again_when_any_of_its_files_changes() {
        let store = tempfile::tempdir().unwrap();
        let in_service = Version::look(&model(store.path(), "good", "{1}"));
        let bad = model(store.path(), "bad", "{2}");
        let refused = Version::look(&bad);
        let look = || judge(&Version::look(&bad), &in_service, Some(&refused));
        assert_eq!(look(), Look::KnownBad);
        fs::write(bad.join(TOKENIZER_FILE), "the rest of it has come").unwrap();
        assert_eq!(look(), Look::New);
        fs::remove_dir_all(&bad).unwrap();
        assert_eq!(look(), Look::New, "told once that it is missing");
        let gone = Version::look(&bad);
        assert_eq!(judge(&Version::look(&bad), &in_service, Some(&gone)), Look::KnownBad);
    }
}
