//! The folder of a dataset: one process at a time, snapshots that are whole, and nothing left of
//! those before.
//!
//! ```text
//! DIR/key                     mode 0600: pseudonyms of reports
//! DIR/lock                    held by the process that writes
//! DIR/current                 -> snapshots/000000000007
//! DIR/snapshots/000000000007  never changed once it has this name
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::pseudonym::{KeyError, Pseudonyms};

/// Link to the snapshot that counts.
pub(super) const CURRENT: &str = "current";
const SNAPSHOTS: &str = "snapshots";
const KEY: &str = "key";
const LOCK: &str = "lock";
const BUILDING: &str = "building";
const NEW_LINK: &str = ".current.new";
const NEW_KEY: &str = ".key.new";

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system.
    #[error("{}: {source}; check the path, its permissions and the free space", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another export runs.
    #[error("{} is being written by another process; wait for its end", .0.display())]
    Locked(PathBuf),
    /// Something else is in it.
    #[error("{} holds {name:?}, which is not of a dataset; choose an empty folder", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        name: String,
    },
    /// The key.
    #[error("{} cannot be used: {problem}", path.display())]
    Key {
        /// Its path.
        path: PathBuf,
        /// Why.
        problem: KeyError,
    },
    /// The key is gone, the samples are there.
    #[error(
        "{} is missing: without it retractions find no samples; put it back, or export into a new folder and delete this one",
        .0.display()
    )]
    KeyMissing(PathBuf),
    /// The link is gone, and it is not one that was never made.
    #[error(
        "{} is missing: make it again (ln -s {SNAPSHOTS}/NUMBER {CURRENT}, the highest number), or \
         export into a new folder",
        .0.display()
    )]
    LinkMissing(PathBuf),
}

/// Called before each step that changes something on the disk. Tests stop there, as a kill would.
pub(super) type Steps = Box<dyn FnMut(&str) -> io::Result<()> + Send>;

/// The folder, held by this process.
pub(super) struct Folder {
    root: PathBuf,
    /// The lock goes with the file.
    _lock: File,
    pub(super) pseudonyms: Pseudonyms,
    /// The current snapshot's number.
    current: Option<u64>,
    steps: Steps,
}

impl Folder {
    /// Opens a dataset's folder, or makes one, and removes what a killed process left.
    pub(super) fn open(root: &Path, mut steps: Steps) -> Result<Self, FolderError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(root).map_err(at(root))?;
        refuse_foreign(root)?;
        let path = root.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::Locked(root.to_owned()),
            TryLockError::Error(source) => at(&path)(source),
        })?;
        let snapshots = root.join(SNAPSHOTS);
        private.create(&snapshots).map_err(at(&snapshots))?;
        let current = current(root).map_err(at(&root.join(CURRENT)))?;
        // Without a link all would be swept away. In a first run that was killed, that is right.
        let begun = current.is_none() && has_later_snapshots(&snapshots).map_err(at(&snapshots))?;
        if begun {
            return Err(FolderError::LinkMissing(root.join(CURRENT)));
        }
        let pseudonyms = key(root, current.is_some(), &mut steps)?;
        let folder = Self { root: root.to_owned(), _lock: lock, pseudonyms, current, steps };
        folder.sweep().map_err(at(&snapshots))?;
        Ok(folder)
    }

    /// Number of the current snapshot.
    pub(super) const fn current(&self) -> Option<u64> {
        self.current
    }

    /// A snapshot's folder.
    pub(super) fn snapshot(&self, number: u64) -> PathBuf {
        self.root.join(SNAPSHOTS).join(name(number))
    }

    /// Says that a step is about to be taken.
    pub(super) fn step(&mut self, what: &str) -> io::Result<()> {
        (self.steps)(what)
    }

    /// Begins a snapshot; it counts only after [`Folder::publish`].
    pub(super) fn begin(&mut self) -> io::Result<PathBuf> {
        self.step("begin")?;
        let path = self.root.join(SNAPSHOTS).join(BUILDING);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Makes the snapshot that was begun the current one, and removes the one before. Its files must be
    /// on the disk.
    pub(super) fn publish(&mut self, number: u64) -> io::Result<()> {
        let snapshots = self.root.join(SNAPSHOTS);
        let building = snapshots.join(BUILDING);
        sync_folders(&building)?;
        self.step("rename")?;
        fs::rename(&building, snapshots.join(name(number)))?;
        sync(&snapshots)?;
        self.step("link")?;
        let link = self.root.join(NEW_LINK);
        symlink(Path::new(SNAPSHOTS).join(name(number)), &link)?;
        self.step("switch")?;
        fs::rename(&link, self.root.join(CURRENT))?;
        sync(&self.root)?;
        self.current = Some(number);
        self.step("sweep")?;
        self.sweep()
    }

    /// Removes everything but the current snapshot: others, begun ones, links that never counted. A
    /// retracted text is gone from the disk only then.
    fn sweep(&self) -> io::Result<()> {
        for left in [NEW_LINK, NEW_KEY] {
            match fs::remove_file(self.root.join(left)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let kept = self.current.map(name);
        for entry in fs::read_dir(self.root.join(SNAPSHOTS))? {
            let entry = entry?;
            if kept.as_ref().is_none_or(|kept| entry.file_name() != kept.as_str()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        sync(&self.root.join(SNAPSHOTS))
    }
}

fn name(number: u64) -> String {
    format!("{number:012}")
}

/// Nothing is written, and later removed, in a folder that is someone else's.
fn refuse_foreign(root: &Path) -> Result<(), FolderError> {
    let ours = [KEY, LOCK, SNAPSHOTS, CURRENT, NEW_LINK, NEW_KEY];
    let io = |source| FolderError::Io { path: root.to_owned(), source };
    for entry in fs::read_dir(root).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if !ours.iter().any(|known| name == *known) {
            let name = name.to_string_lossy().into_owned();
            return Err(FolderError::Foreign { path: root.to_owned(), name });
        }
    }
    Ok(())
}

/// The number of the snapshot that the link names.
fn current(root: &Path) -> io::Result<Option<u64>> {
    let target = match fs::read_link(root.join(CURRENT)) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let number = target.file_name().and_then(|name| name.to_str()?.parse().ok());
    let named = |number: &u64| target == Path::new(SNAPSHOTS).join(name(*number));
    number.filter(named).map(Some).ok_or_else(|| io::Error::other("it is not a link of ours"))
}

/// A snapshot after the first: it has had one before it, and a link.
fn has_later_snapshots(snapshots: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(snapshots)? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        if number.is_some_and(|number| number > 1) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn key(root: &Path, used: bool, steps: &mut Steps) -> Result<Pseudonyms, FolderError> {
    let path = root.join(KEY);
    let wrong = |problem| FolderError::Key { path: path.clone(), problem };
    if path.exists() {
        return Pseudonyms::read(&path).map_err(wrong);
    }
    if used {
        return Err(FolderError::KeyMissing(path));
    }
    let new = root.join(NEW_KEY);
    let made = (|| {
        if new.exists() {
            fs::remove_file(&new)?;
        }
        steps("key")?;
        let pseudonyms = Pseudonyms::create(&new)?;
        steps("key in place")?;
        fs::rename(&new, &path)?;
        sync(root)?;
        Ok(pseudonyms)
    })();
    made.map_err(wrong)
}

/// Waits until a folder's entries are on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(folder)
}
