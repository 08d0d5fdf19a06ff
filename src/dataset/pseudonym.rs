//! Keyed hashes of report keys.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use super::Report;

/// Bytes of a key.
const KEY: usize = 32;

/// Makes keyed hashes: HMAC-SHA-256, its first 16 bytes.
pub(super) struct Pseudonyms(Hmac<Sha256>);

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others than its owner may read it.
    #[error("others may read it (mode {0:o}); chmod 600 it, and think of who may have read it")]
    Open(u32),
    /// Not a key of ours.
    #[error("it does not hold {KEY} bytes; put the right one back, or export into a new folder")]
    Length,
}

impl Pseudonyms {
    /// Reads a key.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open(mode));
        }
        let mut key = Vec::new();
        Read::take(&mut file, KEY as u64 + 1).read_to_end(&mut key)?;
        if key.len() != KEY {
            return Err(KeyError::Length);
        }
        Self::new(&key)
    }

    /// Draws a key and writes it, for its owner alone. `path` must not exist.
    pub(super) fn create(path: &Path) -> Result<Self, KeyError> {
        let mut key = [0; KEY];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&key)?;
        file.sync_all()?;
        Self::new(&key)
    }

    fn new(key: &[u8]) -> Result<Self, KeyError> {
        Hmac::new_from_slice(key).map(Self).map_err(|_| KeyError::Length)
    }

    /// The pseudonym of a report key.
    pub(super) fn of(&self, key: &[u8]) -> Report {
        self.hash(b"report", key)
    }

    /// The pseudonym of an event. Its own id is a hash that knows no key: who has a row's text could find
    /// the report's number by trying all.
    pub(super) fn of_event(&self, event: Uuid) -> Uuid {
        Uuid::from_bytes(self.hash(b"event", event.as_bytes()))
    }

    /// Tells this key from another and nothing more.
    pub(super) fn check(&self) -> Report {
        self.hash(b"check", b"")
    }

    /// `purpose` keeps what is hashed for one apart from what is hashed for another.
    fn hash(&self, purpose: &[u8], value: &[u8]) -> Report {
        let mut mac = self.0.clone();
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(value);
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let mut first = Report::default();
        first.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_and_another_gives_other_pseudonyms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = Pseudonyms::create(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Pseudonyms::read(&path).unwrap().of(b"RIS|A1"), first.of(b"RIS|A1"));
        assert_ne!(first.of(b"RIS|A1"), first.of(b"RIS|A2"));
        assert!(matches!(Pseudonyms::create(&path), Err(KeyError::Io(_))), "never overwritten");
        let other = Pseudonyms::create(&folder.path().join("other")).unwrap();
        assert_ne!(other.of(b"RIS|A1"), first.of(b"RIS|A1"));
        assert_ne!(other.check(), first.check());

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Pseudonyms::read(&path), Err(KeyError::Open(0o640))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [0; KEY - 1]).unwrap();
        assert!(matches!(Pseudonyms::read(&path), Err(KeyError::Length)));
    }
}
