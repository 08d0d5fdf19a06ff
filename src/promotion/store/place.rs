//! A folder in which things appear and vanish whole: written beside, put on the disk, renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::StoreError;

#[derive(Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }

    /// Names of what is in it and not hidden, in order.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut names = self.all_names()?;
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    pub(super) fn all_names(&self) -> Result<Vec<String>, StoreError> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.0)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        };
        self.told("list", "", list())
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let beside = format!(".{name}.new");
        let write = || {
            let mut file = File::create(self.path(&beside))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        self.told("write", name, write())?;
        self.rename(&beside, name)
    }

    /// The text of a file; `None` when it is not there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, StoreError> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => self.told("read", name, Err(error)),
        }
    }

    pub(super) fn make(&self, name: &str) -> Result<(), StoreError> {
        self.told("create", name, fs::create_dir(self.path(name)))
    }

    pub(super) fn link(&self, target: &str, name: &str) -> Result<(), StoreError> {
        self.told("link", name, std::os::unix::fs::symlink(target, self.path(name)))
    }

    /// Renames over what is there, and puts that on the disk.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.told("rename", to, fs::rename(self.path(from), self.path(to)))?;
        self.sync("")
    }

    /// Puts on the disk what a folder holds, names that is.
    pub(super) fn sync(&self, name: &str) -> Result<(), StoreError> {
        let sync = || File::open(self.path(name))?.sync_all();
        self.told("sync", name, sync())
    }

    /// Removes a file, a link or a whole folder; nothing when it is not there.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => self.told("remove", name, other),
        }
    }

    fn told<T>(
        &self,
        what: &'static str,
        name: &str,
        result: io::Result<T>,
    ) -> Result<T, StoreError> {
        result.map_err(|source| StoreError::Io { what, path: self.path(name), source })
    }
}
