//! Finds phrases in a sentence: one pass of a regex set, then spans of what it hit.

use std::ops::Range;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Room for one lazy DFA, in bytes. With the crate's 2 MiB the tables' states are thrown away and
/// built again all the time. A DFA grows only as far as the text at hand needs.
const DFA_BYTES: usize = 32 << 20;

/// A tagged span of a sentence.
#[derive(Clone, Debug)]
pub(super) struct Hit<T> {
    pub(super) span: Range<usize>,
    pub(super) tag: T,
}

/// A table of phrases, compiled once.
pub(super) struct Scanner<T> {
    set: RegexSet,
    rows: Vec<(T, Regex)>,
}

impl<T: Copy> Scanner<T> {
    /// Compiles a table. Patterns match whole words, unless they start with `=`.
    ///
    /// # Panics
    /// Never for the tables of this crate: a test compiles them all.
    #[expect(clippy::expect_used, reason = "constant tables, compiled by a test")]
    pub(super) fn new(table: impl Iterator<Item = (T, &'static str)>) -> Self {
        let mut sources = Vec::new();
        let mut rows = Vec::new();
        for (tag, pattern) in table {
            // ASCII word boundaries: the tables are ASCII and the lazy DFA stays small.
            let source = match pattern.strip_prefix('=') {
                Some(raw) => format!("(?-u:{raw})"),
                None => format!(r"(?-u:\b(?:{pattern})\b)"),
            };
            let row = RegexBuilder::new(&source).dfa_size_limit(DFA_BYTES).build();
            rows.push((tag, row.expect("constant pattern")));
            sources.push(source);
        }
        let set = RegexSetBuilder::new(&sources).dfa_size_limit(DFA_BYTES).build();
        Self { set: set.expect("constant patterns"), rows }
    }

    /// Hits in `text`, by start; a hit that lies within a longer one is dropped.
    pub(super) fn scan(&self, text: &str) -> Vec<Hit<T>> {
        let mut hits = Vec::new();
        for row in self.set.matches(text) {
            let Some((tag, regex)) = self.rows.get(row) else { continue };
            hits.extend(regex.find_iter(text).map(|found| Hit { span: found.range(), tag: *tag }));
        }
        hits.sort_by_key(|hit| (hit.span.start, usize::MAX - hit.span.end));
        let mut kept: Vec<Hit<T>> = Vec::with_capacity(hits.len());
        for hit in hits {
            let inside = kept.iter().any(|other| other.span.end >= hit.span.end);
            if !inside {
                kept.push(hit);
            }
        }
        kept
    }
}
