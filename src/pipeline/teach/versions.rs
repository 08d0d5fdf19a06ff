//! The newest version of each report that was seen, as far as it is remembered.

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::publish::PublishedVersion;

/// Bounded; the least useful are forgotten first. A version that is forgotten supersedes nothing: its
/// older sister is then asked about in vain, and readers take the newer one all the same.
pub(super) struct Versions(Cache<[u8; 32], PublishedVersion>);

impl Versions {
    pub(super) fn new(reports: usize) -> Self {
        Self(Cache::new(reports))
    }

    /// Notes a version of the report of that key.
    pub(super) fn note(&self, key: &[u8], version: PublishedVersion) {
        let key = digest(key);
        if self.0.get(&key).is_none_or(|known| known < version) {
            self.0.insert(key, version);
        }
    }

    /// A newer version than this one has been seen.
    pub(super) fn is_superseded(&self, key: &[u8], version: PublishedVersion) -> bool {
        self.0.get(&digest(key)).is_some_and(|newest| newest > version)
    }
}

/// Keys identify patients: what is kept in memory for long is a hash.
fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(changed_at: i64) -> PublishedVersion {
        PublishedVersion { changed_at, rank: 3, message_at: 0 }
    }

    #[test]
    fn only_a_newer_version_of_the_same_report_supersedes() {
        let versions = Versions::new(10);
        versions.note(b"RIS|A", version(2));
        versions.note(b"RIS|A", version(1));
        assert!(versions.is_superseded(b"RIS|A", version(1)));
        assert!(!versions.is_superseded(b"RIS|A", version(2)), "the same again");
        assert!(!versions.is_superseded(b"RIS|B", version(1)));
    }
}
