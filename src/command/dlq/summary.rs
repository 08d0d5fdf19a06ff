//! What a replay did, or would do.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::table;
use crate::dead_letters::Place;
use crate::dead_letters::catalogue::Letter;
use crate::dead_letters::decision::Refusal;

/// Letters that stay and are named one by one; the others are counted.
const MOST_NAMED: usize = 1000;
/// The same in a table.
const MOST_SHOWN: usize = 20;

/// What a replay did.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// The dead-letter topic.
    pub(super) topic: String,
    /// Nothing was written.
    pub(super) dry_run: bool,
    /// Letters that are meant, those that were replayed before included.
    pub(super) selected: u64,
    /// Of those, replayed by an earlier run.
    pub(super) replayed_before: u64,
    /// Replayed by this run, by topic; in a dry run those that would be.
    pub(super) replayed: BTreeMap<String, u64>,
    /// Left for another run (`--limit`).
    pub(super) left: u64,
    /// Deleted from the topic between finding and reading them.
    pub(super) gone: u64,
    /// Named with `--letter`, and there is none.
    pub(super) not_found: Vec<String>,
    /// Cannot be replayed, or may not, by reason.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// Those, one by one; the first thousand.
    pub(super) refused_letters: Vec<RefusedLetter>,
}

/// A letter that stays.
#[derive(Debug, Serialize)]
pub(super) struct RefusedLetter {
    letter: String,
    class: String,
    reason: Refusal,
    /// Where its record stood.
    came_from: Option<String>,
}

impl Summary {
    pub(super) fn refuse(&mut self, letter: &Letter, reason: Refusal) {
        *self.refused.entry(reason.name()).or_default() += 1;
        if self.refused_letters.len() < MOST_NAMED {
            self.refused_letters.push(RefusedLetter {
                letter: letter.place.to_string(),
                class: letter.class.to_string(),
                reason,
                came_from: letter.origin().map(|origin| origin.to_string()),
            });
        }
    }

    pub(super) fn missing(&mut self, place: Place) {
        self.not_found.push(place.to_string());
    }

    /// Some of what was meant cannot be replayed.
    pub(super) fn is_partial(&self) -> bool {
        !self.refused.is_empty() || !self.not_found.is_empty() || self.gone > 0
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let verb = if self.dry_run { "would be replayed" } else { "replayed" };
        let before = self.replayed_before;
        writeln!(
            out,
            "{}: {} letters selected, {before} replayed before",
            self.topic, self.selected
        )?;
        let total: u64 = self.replayed.values().sum();
        writeln!(out, "{total} {verb}")?;
        for (topic, count) in &self.replayed {
            writeln!(out, "  {count} to {topic}")?;
        }
        if self.left > 0 {
            writeln!(out, "{} left by --limit", self.left)?;
        }
        if self.gone > 0 {
            writeln!(out, "{} gone from the topic meanwhile", self.gone)?;
        }
        if !self.not_found.is_empty() {
            writeln!(out, "no letter at {}", self.not_found.join(", "))?;
        }
        if self.refused.is_empty() {
            return out.flush();
        }
        writeln!(out, "{} stay:", self.refused.values().sum::<u64>())?;
        let mut lines = table(&["letter", "class", "came from", "why"]);
        for stays in self.refused_letters.iter().take(MOST_SHOWN) {
            lines.add_row([
                stays.letter.as_str(),
                &stays.class,
                stays.came_from.as_deref().unwrap_or(""),
                stays.reason.words(),
            ]);
        }
        writeln!(out, "{lines}")?;
        if self.refused.values().sum::<u64>() > MOST_SHOWN as u64 {
            let counts: Vec<String> =
                self.refused.iter().map(|(name, count)| format!("{count} {name}")).collect();
            writeln!(out, "in all {} (--format json names them)", counts.join(", "))?;
        }
        out.flush()
    }
}
