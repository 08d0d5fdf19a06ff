//! The folder in which the job works: lock, state, dataset, checkpoints, candidate.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::redistill::{Dataset, FORMAT, State};

const LOCK: &str = "lock";
const STATE: &str = "state.json";
const DATASET: &str = "dataset";
const TRAINING: &str = "training";
const CANDIDATE: &str = "candidate";

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error(
        "another run is at work in {}, or a step of one that was killed; try again when it has ended",
        .0.display()
    )]
    Locked(PathBuf),
    #[error("cannot use {}: {source}; check permissions and free space", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} cannot be read: {problem}; remove it to start anew", path.display())]
    Content { path: PathBuf, problem: String },
}

/// Locked for as long as this lives, and longer while a child has the lock.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    lock: File,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io { path: root.to_path_buf(), source };
        fs::create_dir_all(root).map_err(failed)?;
        // Absolute, since a child may look at paths from elsewhere.
        let root = fs::canonicalize(root).map_err(failed)?;
        let path = root.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| FolderError::Io { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::Locked(root)),
            Err(TryLockError::Error(source)) => Err(FolderError::Io { path, source }),
        }
    }

    pub(super) fn lock(&self) -> &File {
        &self.lock
    }

    pub(super) fn dataset_folder(&self) -> PathBuf {
        self.root.join(DATASET)
    }

    pub(super) fn candidate(&self) -> PathBuf {
        self.root.join(CANDIDATE)
    }

    pub(super) fn training(&self) -> PathBuf {
        self.root.join(TRAINING)
    }

    pub(super) fn state(&self) -> Result<State, FolderError> {
        let path = self.root.join(STATE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(source) => return Err(FolderError::Io { path, source }),
        };
        let problem = match serde_json::from_slice::<State>(&bytes) {
            Ok(state) if state.format == FORMAT => return Ok(state),
            Ok(state) => format!("its format is {}, not {FORMAT}", state.format),
            Err(error) => error.to_string(),
        };
        Err(FolderError::Content { path, problem })
    }

    /// Writes the state, whole or not at all.
    pub(super) fn write(&self, state: &State) -> Result<(), FolderError> {
        let (path, beside) = (self.root.join(STATE), self.root.join(".state.json.new"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&beside)?;
            serde_json::to_writer_pretty(&mut file, state)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|source| FolderError::Io { path: path.clone(), source })
    }

    /// What the dataset's manifest says.
    pub(super) fn dataset(&self) -> Result<Dataset, FolderError> {
        let path = self.dataset_folder().join("current/manifest.json");
        let bytes =
            fs::read(&path).map_err(|source| FolderError::Io { path: path.clone(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| FolderError::Content { path, problem: error.to_string() })
    }

    /// Clears away the candidate of an earlier run, and its checkpoints unless training goes on.
    pub(super) fn make_ready(&self, resume: bool) -> Result<(), FolderError> {
        let mut old = vec![self.candidate()];
        if !resume {
            old.push(self.training());
        }
        for path in old {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(FolderError::Io { path, source }),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
