//! The model store: a folder of models by version, and a link to the one in service.
//!
//! ```text
//! STORE/current -> versions/2026.11.28-2f100d37-8c1e44a0
//! STORE/versions/NAME/            a model folder, never changed once it is there
//! STORE/history.jsonl             what was in service, oldest first
//! STORE/decisions/                why, or why not
//! STORE/begun                     names the version that is being put in service; gone when it is
//! STORE/lock                      held by whoever changes anything
//! ```
//!
//! Every change is a rename within one folder, after what it leads to is on the disk. Stopped between
//! any two steps, `current` points to the old model or to the new one, whole either way; what is left
//! over goes when the store is opened next. Readers take no lock: they read the link once, and the
//! folder that it names does not change.

mod history;
mod place;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::student::StudentError;
use crate::student::folder::{CopyError, Listing};
pub use history::{Action, Entry, History};
use place::Place;

/// The link to the model in service.
pub const CURRENT: &str = "current";
const VERSIONS: &str = "versions";
const DECISIONS: &str = "decisions";
const HISTORY: &str = "history.jsonl";
/// What a process was about to put in service when it was stopped.
const BEGUN: &str = "begun";
const LOCK: &str = "lock";
/// Begins the name of what is being copied.
const INCOMING: &str = ".incoming-";
/// Begins the name of what is being removed.
const REMOVED: &str = ".removed-";
const NEXT: &str = ".current-next";
/// Longest part of a version name that comes from the manifest, in characters.
const VERSION_CHARACTERS: usize = 64;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process changes it.
    #[error(
        "{} is being changed by another radstream (promote, rollback or redistill); try again later",
        path.display()
    )]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {what} {}: {source}; check permissions and free space", path.display())]
    Io {
        /// What was tried: `write`.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The link does not lead to one of the versions.
    #[error(
        "{} does not point to a model of the store; set it by `radstream rollback --to VERSION`",
        path.display()
    )]
    Astray {
        /// The link.
        path: PathBuf,
    },
    /// The history cannot be read.
    #[error("{}, line {line}: {problem}; repair or remove that line", path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A model is not whole, or cannot be copied.
    #[error("{0}")]
    Model(#[from] StudentError),
    /// A model cannot be copied into the store.
    #[error("the model cannot be copied into the store: {0}")]
    Copy(#[from] CopyError),
    /// No such version.
    #[error("the store has no version {version:?}; it has: {}", known.join(", "))]
    NoVersion {
        /// What was asked for.
        version: String,
        /// What there is.
        known: Vec<String>,
    },
}

/// The name of a model in the store: version and the beginning of the manifest's hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(String);

impl Version {
    /// That of a model folder.
    pub fn of(listing: &Listing) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let version = listing.identity.version.trim_start_matches('.');
        let version: String = version.chars().take(VERSION_CHARACTERS).map(plain).collect();
        let hash: String = listing.manifest_sha256.chars().take(8).collect();
        Self(format!("{version}-{hash}"))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A store, locked against other processes for as long as this lives.
#[derive(Debug)]
pub struct Store {
    root: Place,
    versions: Place,
    history: History,
    _lock: File,
}

impl Store {
    /// Opens a store, which is made when it is not there. Takes its lock, and clears away what an
    /// earlier process left half done.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it; or it cannot be read or written.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        for folder in [root.to_path_buf(), root.join(VERSIONS), root.join(DECISIONS)] {
            fs::create_dir_all(&folder).map_err(|source| StoreError::Io {
                what: "create",
                path: folder.clone(),
                source,
            })?;
        }
        let (root, versions) = (Place::new(root), Place::new(&root.join(VERSIONS)));
        let path = root.path(LOCK);
        let failed = |source| StoreError::Io { what: "lock", path: path.clone(), source };
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: root.path("") });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let history = History::read(&root.path(HISTORY))?;
        let mut store = Self { root, versions, history, _lock: lock };
        store.tidy()?;
        Ok(store)
    }

    /// The model in service, as its name in the store; `None` in an empty store.
    ///
    /// # Errors
    /// [`StoreError::Astray`] when the link leads elsewhere or nowhere.
    pub fn current(&self) -> Result<Option<Version>, StoreError> {
        let path = self.root.path(CURRENT);
        let astray = || StoreError::Astray { path: path.clone() };
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            // A link that was lost is no empty store: the next model would come in without a gate.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.history.is_empty() => {
                return Ok(None);
            }
            Err(_) => return Err(astray()),
        };
        let name = target.strip_prefix(VERSIONS).ok().and_then(Path::to_str).ok_or_else(astray)?;
        if name.starts_with('.') || name.contains('/') || !self.holds(name) {
            return Err(astray());
        }
        Ok(Some(Version(name.to_owned())))
    }

    /// What was in service before the current model, and is still there.
    pub fn previous(&self) -> Option<Version> {
        self.history.previous().filter(|name| self.holds(name)).map(|name| Version(name.to_owned()))
    }

    /// A version that was in service, by its name.
    ///
    /// # Errors
    /// [`StoreError::NoVersion`].
    pub fn version(&self, name: &str) -> Result<Version, StoreError> {
        let mut known = self.versions.names()?;
        known.retain(|name| self.history.latest().any(|served| served == name));
        if known.iter().any(|known| known == name) {
            return Ok(Version(name.to_owned()));
        }
        Err(StoreError::NoVersion { version: name.to_owned(), known })
    }

    /// Names of all versions that are kept.
    ///
    /// # Errors
    /// [`StoreError`]: the folder cannot be read.
    pub fn versions(&self) -> Result<Vec<String>, StoreError> {
        self.versions.names()
    }

    /// The folder of a version.
    pub fn folder(&self, version: &Version) -> PathBuf {
        self.versions.path(version.as_str())
    }

    /// What was in service.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Copies a model into the store, whole or not at all. One that is there already is checked.
    ///
    /// # Errors
    /// [`StoreError`]: the model is not the one listed, or cannot be copied.
    pub fn admit(&self, candidate: &Path, listing: &Listing) -> Result<Version, StoreError> {
        let version = Version::of(listing);
        if self.holds(version.as_str()) {
            listing.verify(&self.folder(&version))?;
            return Ok(version);
        }
        let incoming = format!("{INCOMING}{version}");
        self.versions.remove(&incoming)?;
        self.versions.make(&incoming)?;
        listing.copy(candidate, &self.versions.path(&incoming))?;
        self.versions.sync(&incoming)?;
        self.versions.rename(&incoming, version.as_str())?;
        Ok(version)
    }

    /// Puts a version in service: written into the history, then the link is moved in one step. Before
    /// and after, that it is being done: the history of a process that was stopped in between is told
    /// apart from a link that somebody moved by hand.
    ///
    /// # Errors
    /// [`StoreError`]; then the old model is still in service, unless only the note could not be removed.
    pub fn serve(&mut self, version: &Version, entry: Entry) -> Result<(), StoreError> {
        self.root.write(BEGUN, version.as_str().as_bytes())?;
        self.note(entry)?;
        self.point(version)?;
        self.root.remove(BEGUN)
    }

    /// Removes all but the last `keep` versions that were in service; never the current one and the one
    /// before it. Those that were removed.
    ///
    /// # Errors
    /// [`StoreError`]: a folder cannot be removed.
    pub fn prune(&self, keep: usize) -> Result<Vec<String>, StoreError> {
        let mut kept: Vec<String> = self.history.latest().take(keep).map(str::to_owned).collect();
        kept.extend(self.current()?.map(|version| version.0));
        kept.extend(self.previous().map(|version| version.0));
        let mut removed = Vec::new();
        for name in self.versions.names()? {
            if !kept.contains(&name) {
                // Out of the way first: a folder that is half removed must not look like a model.
                let doomed = format!("{REMOVED}{name}");
                self.versions.rename(&name, &doomed)?;
                self.versions.remove(&doomed)?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Writes the files of a decision under one stem, each whole or not at all, the first last: what
    /// it names is there. A stem that is taken gets a number. The path of the first file.
    ///
    /// # Errors
    /// [`StoreError`]: a file cannot be written.
    pub fn record(
        &self,
        stem: &str,
        files: impl Fn(&str) -> Vec<(String, Vec<u8>)>,
    ) -> Result<PathBuf, StoreError> {
        let decisions = Place::new(&self.root.path(DECISIONS));
        let taken = decisions.names()?;
        let mut chosen = stem.to_owned();
        let mut number = 2;
        while taken
            .iter()
            .any(|name| name.strip_prefix(&chosen).is_some_and(|r| r.starts_with('.')))
        {
            chosen = format!("{stem}-{number}");
            number += 1;
        }
        let files = files(&chosen);
        for (name, bytes) in files.iter().rev() {
            decisions.write(name, bytes)?;
        }
        Ok(files.first().map_or_else(PathBuf::new, |(name, _)| decisions.path(name)))
    }

    fn note(&mut self, entry: Entry) -> Result<(), StoreError> {
        let next = self.history.with(entry);
        self.root.write(HISTORY, &next.bytes())?;
        self.history = next;
        Ok(())
    }

    fn point(&self, version: &Version) -> Result<(), StoreError> {
        self.root.remove(NEXT)?;
        self.root.link(&format!("{VERSIONS}/{version}"), NEXT)?;
        self.root.rename(NEXT, CURRENT)
    }

    fn holds(&self, name: &str) -> bool {
        self.versions.path(name).is_dir()
    }

    /// What is left of a process that was stopped.
    fn tidy(&mut self) -> Result<(), StoreError> {
        self.root.remove(NEXT)?;
        for name in self.versions.all_names()? {
            if name.starts_with(INCOMING) || name.starts_with(REMOVED) {
                self.versions.remove(&name)?;
            }
        }
        // A link that leads astray is for those to tell who need the model in service.
        let Ok(current) = self.current() else { return Ok(()) };
        let current = current.as_ref().map(Version::as_str);
        let begun = self.root.text(BEGUN)?;
        if let Some(repaired) = self.history.agreeing_with(current, begun.as_deref()) {
            self.root.write(HISTORY, &repaired.bytes())?;
            self.history = repaired;
        }
        self.root.remove(BEGUN)
    }
}

#[cfg(test)]
mod tests;
