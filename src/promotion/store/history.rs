//! What was in service: one line a change, oldest first.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The first model of a store.
    Initial,
    /// A challenger passed the gate.
    Promote,
    /// Back to an earlier one.
    Rollback,
    /// Somebody moved the link by hand.
    Found,
}

/// A change of the model in service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339; empty for what was found.
    pub time: String,
    /// What was done.
    pub action: Action,
    /// The version in service from then on.
    pub version: String,
    /// File name of the decision; empty where there is none.
    #[serde(default)]
    pub decision: String,
    /// Why, where a person gave a reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// All changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Entry>);

impl History {
    /// Reads the file; none is an empty history.
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(StoreError::Io { what: "read", path: path.to_path_buf(), source });
            }
        };
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let entry = |(line, text): (usize, &str)| {
            serde_json::from_str(text).map_err(|error| StoreError::History {
                path: path.to_path_buf(),
                line,
                problem: error.to_string(),
            })
        };
        lines.map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// As JSONL.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let line = |entry: &Entry| {
            let mut line = serde_json::to_vec(entry).unwrap_or_default();
            line.push(b'\n');
            line
        };
        self.0.iter().flat_map(line).collect()
    }

    pub(super) fn with(&self, entry: Entry) -> Self {
        let mut entries = self.0.clone();
        entries.push(entry);
        Self(entries)
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Nothing was ever in service.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Different versions, the latest first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &str> {
        let versions: Vec<&str> = self.0.iter().rev().map(|entry| entry.version.as_str()).collect();
        let mut seen = Vec::new();
        versions.into_iter().filter(move |version| {
            let new = !seen.contains(version);
            seen.push(version);
            new
        })
    }

    /// The version to go back to: a rollback takes away what came after its target, so that rolling
    /// back twice goes two back and does not return.
    pub(super) fn previous(&self) -> Option<&str> {
        let mut stack: Vec<&str> = Vec::new();
        for entry in &self.0 {
            let version = entry.version.as_str();
            let earlier = stack.iter().position(|known| *known == version);
            match (entry.action, earlier) {
                (Action::Rollback, Some(place)) => stack.truncate(place + 1),
                (_, _) if stack.last() == Some(&version) => {}
                (_, _) => stack.push(version),
            }
        }
        stack.len().checked_sub(2).and_then(|place| stack.get(place)).copied()
    }

    /// Whether the gate ever let this version into service, whatever is in service now.
    pub fn let_in(&self, version: &str) -> bool {
        let gated = |entry: &Entry| matches!(entry.action, Action::Initial | Action::Promote);
        self.0.iter().any(|entry| entry.version == version && gated(entry))
    }

    /// The history as it should be, when it does not end with what is in service: an entry whose link was
    /// not moved, since the process was stopped before it could, goes; a link that was moved by hand is
    /// added. `begun`: the version that a process had begun to put in service and did not finish.
    pub(super) fn agreeing_with(&self, current: Option<&str>, begun: Option<&str>) -> Option<Self> {
        let last = self.0.last().map(|entry| entry.version.as_str());
        if last == current {
            return None;
        }
        if last.is_some() && last == begun {
            let mut entries = self.0.clone();
            entries.pop();
            return Some(Self(entries));
        }
        current.map(|version| {
            self.with(Entry {
                time: String::new(),
                action: Action::Found,
                version: version.to_owned(),
                decision: String::new(),
                reason: String::new(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(Action, &str)]) -> History {
        let entry = |(action, version): &(Action, &str)| Entry {
            time: String::new(),
            action: *action,
            version: (*version).to_owned(),
            decision: String::new(),
            reason: String::new(),
        };
        History(entries.iter().map(entry).collect())
    }

    #[test]
    fn rolling_back_twice_goes_two_back() {
        use Action::{Initial, Promote, Rollback};
        let mut entries = vec![(Initial, "a"), (Promote, "b"), (Promote, "c")];
        assert_eq!(history(&entries).previous(), Some("b"));
        entries.push((Rollback, "b"));
        assert_eq!(history(&entries).previous(), Some("a"));
        entries.push((Rollback, "a"));
        assert_eq!(history(&entries).previous(), None);
        entries.push((Promote, "c"));
        assert_eq!(history(&entries).previous(), Some("a"));
        assert_eq!(history(&entries).latest().collect::<Vec<_>>(), ["c", "a", "b"]);
    }

    #[test]
    fn an_entry_whose_link_was_not_moved_goes_and_a_moved_link_is_added() {
        use Action::{Found, Initial, Promote};
        let two = history(&[(Initial, "a"), (Promote, "b")]);
        assert_eq!(two.agreeing_with(Some("b"), None), None);
        assert_eq!(two.agreeing_with(Some("b"), Some("b")), None, "it was moved");
        assert_eq!(two.agreeing_with(Some("a"), Some("b")), Some(history(&[(Initial, "a")])));
        for elsewhere in ["x", "a"] {
            let by_hand = two.agreeing_with(Some(elsewhere), None).unwrap();
            let whole = [(Initial, "a"), (Promote, "b"), (Found, elsewhere)];
            assert_eq!(by_hand, history(&whole), "back by hand is no promotion that never was");
            assert!(by_hand.let_in("b") && !by_hand.let_in("x"));
        }
        let first = history(&[(Initial, "a")]);
        assert_eq!(first.agreeing_with(None, Some("a")), Some(History::default()));
        assert_eq!(History::default().agreeing_with(None, None), None);
    }
}
