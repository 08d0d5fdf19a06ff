//! Report prose: the project's own corpus.

use std::sync::LazyLock;

use serde::Deserialize;

use super::dice::Dice;

/// Findings and impression of one corpus report; one of them may be empty.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Prose {
    pub(super) findings: String,
    pub(super) impression: String,
}

/// Written for this project, no real patient; see `distill/corpus`.
static CORPUS: LazyLock<Vec<Prose>> = LazyLock::new(|| {
    include_str!("../../../distill/corpus/reports.jsonl")
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
});

/// Draws a report.
pub(super) fn pick(dice: &mut Dice) -> &'static Prose {
    dice.pick(&CORPUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corpus_line_is_read_and_holds_text() {
        let lines = include_str!("../../../distill/corpus/reports.jsonl").lines().count();
        assert_eq!(CORPUS.len(), lines);
        assert!(CORPUS.iter().all(|prose| {
            !(prose.findings.trim().is_empty() && prose.impression.trim().is_empty())
        }));
    }
}
