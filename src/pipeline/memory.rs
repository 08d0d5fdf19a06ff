//! Answers remembered by the text they were given for, so that a report that is delivered again, or
//! stands under several accession numbers, costs no second inference.
//!
//! Only scores are remembered. Who the report is, its version and its outcome are worked out anew, so
//! every delivery is published and committed as if it were the first.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::publish::content_hash;
use crate::report::{Procedure, ReportText, Scored};

/// SHA-256 of the labelled sections, their kinds included.
pub type TextHash = [u8; 32];

/// What one answer takes: key, value, reference counts, and its places in the cache's tables.
const ENTRY_BYTES: usize = size_of::<TextHash>() + size_of::<Scored>() + 128;

/// Scores by text, of one model. The least useful go first when it is full.
pub struct ScoreMemory {
    /// `None`: nothing is remembered.
    cache: Option<Cache<TextHash, Arc<Scored>>>,
}

impl ScoreMemory {
    /// A memory of at most `bytes`; with less than one answer takes, nothing is remembered. Make a new
    /// one with every model: scores of two models must not meet.
    pub fn new(bytes: usize) -> Self {
        let entries = bytes / ENTRY_BYTES;
        Self { cache: (entries > 0).then(|| Cache::new(entries)) }
    }

    /// What texts are told apart by; `None` when nothing is remembered and hashing would be in vain.
    pub fn key(&self, text: &ReportText) -> Option<TextHash> {
        // The exam is no part of it: the model reads the text alone.
        self.cache.as_ref().map(|_| content_hash(text, &Procedure::default()))
    }

    /// The answer for this text, if it is remembered.
    pub fn get(&self, key: &TextHash) -> Option<Arc<Scored>> {
        self.cache.as_ref()?.get(key)
    }

    /// Remembers an answer.
    pub fn insert(&self, key: TextHash, scored: Arc<Scored>) {
        if let Some(cache) = &self.cache {
            cache.insert(key, scored);
        }
    }

    /// Most answers that are remembered at a time.
    pub fn capacity(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| usize::try_from(cache.capacity()).unwrap_or(0))
    }

    /// Answers remembered now.
    pub fn len(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::len)
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LabelledSection, OBSERVATIONS, Phi, SectionKind};

    fn text(kind: SectionKind, text: &str) -> ReportText {
        let sections = vec![LabelledSection { kind, text: Phi::from(text) }];
        ReportText { sections, present: Vec::new() }
    }

    fn scored(share: f32) -> Arc<Scored> {
        let rest = (1.0 - share) / 3.0;
        Arc::new(Scored {
            probabilities: [[share, rest, rest, rest]; OBSERVATIONS],
            evidence: [None; OBSERVATIONS],
            truncated: false,
        })
    }

    #[test]
    fn an_answer_is_found_by_its_text_and_section_alone() {
        let memory = ScoreMemory::new(1 << 20);
        let key = memory.key(&text(SectionKind::Findings, "Clear.")).unwrap();
        memory.insert(key, scored(0.7));
        assert_eq!(memory.get(&key), Some(scored(0.7)));
        for other in [text(SectionKind::Findings, "Clear"), text(SectionKind::Impression, "Clear.")]
        {
            assert_eq!(memory.get(&memory.key(&other).unwrap()), None);
        }
    }

    #[test]
    fn it_never_holds_more_than_its_bytes_allow() {
        let memory = ScoreMemory::new(100 * ENTRY_BYTES);
        for n in 0..10_000 {
            let key = memory.key(&text(SectionKind::Findings, &format!("Nodule {n}."))).unwrap();
            memory.insert(key, scored(0.5));
        }
        assert!(memory.len() <= memory.capacity() && memory.len() > 50, "{}", memory.len());
        assert!(memory.capacity() <= 128, "{} for 100", memory.capacity());
    }

    #[test]
    fn no_room_is_no_memory_and_no_hashing() {
        let memory = ScoreMemory::new(ENTRY_BYTES - 1);
        assert_eq!(memory.key(&text(SectionKind::Findings, "Clear.")), None);
        memory.insert([0; 32], scored(0.5));
        assert!(memory.get(&[0; 32]).is_none() && memory.is_empty());
    }
}
