//! Which samples there are, which of those of one text is shown, and which files that changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use uuid::Uuid;

use super::marks::Marks;
use super::{Entry, Report, SampleKey, TextHash};
use crate::publish::PublishedVersion;

/// Where a sample stands in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Shelf {
    /// Among those to train on: one for each text.
    Samples,
    /// Set aside: another sample of the same text is shown. It takes the other's place when that goes.
    Folded,
}

impl Shelf {
    pub(super) const ALL: [Self; 2] = [Self::Samples, Self::Folded];

    /// Its folder in a snapshot.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Folded => "folded",
        }
    }
}

/// Shelf, and how many samples of its text there are (0 on [`Shelf::Folded`], where nobody reads it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shelf: Shelf,
    pub(super) times_seen: i64,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    /// In the current snapshot, there.
    Stored(Place),
    /// Read since; its number among the rows that wait.
    New(usize),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    entry: Entry,
    kept: Kept,
    /// Where it will stand in the next snapshot.
    next: Place,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in. The waiting row of this number is no longer needed.
    In { replaced: Option<usize>, again: bool },
    /// The same event has a sample that counts more.
    Less,
    /// Its report was retracted, or its text withdrawn, before it came.
    Retracted,
}

/// All samples of the dataset, about 300 bytes each.
#[derive(Default)]
pub(super) struct Index {
    slots: BTreeMap<SampleKey, Slot>,
    by_report: BTreeSet<(Report, TextHash, Uuid)>,
    pub(super) marks: Marks,
    /// Days that have lost a stored sample.
    thinned: BTreeSet<Date>,
}

const UNPLACED: Place = Place { shelf: Shelf::Folded, times_seen: -1 };

impl Index {
    /// Adds a sample of the current snapshot.
    pub(super) fn stored(&mut self, entry: Entry, place: Place) {
        self.by_report.insert((entry.key.report, entry.key.text, entry.key.event));
        self.slots.insert(entry.key, Slot { entry, kept: Kept::Stored(place), next: place });
    }

    /// Takes a new sample, whose row waits under this number.
    pub(super) fn sample(&mut self, entry: Entry, row: usize) -> Taken {
        let SampleKey { text, report, event } = entry.key;
        if self.marks.retracted(&report, entry.version) || self.marks.withdrawn(text, event) {
            return Taken::Retracted;
        }
        let slot = Slot { entry, kept: Kept::New(row), next: UNPLACED };
        let Some(known) = self.slots.get_mut(&entry.key) else {
            self.by_report.insert((report, text, event));
            self.slots.insert(entry.key, slot);
            return Taken::In { replaced: None, again: false };
        };
        if known.entry.precedence() > entry.precedence() {
            return Taken::Less;
        }
        let before = std::mem::replace(known, slot);
        let replaced = match before.kept {
            Kept::New(row) => Some(row),
            Kept::Stored(_) => {
                self.thinned.insert(before.entry.day);
                None
            }
        };
        Taken::In { replaced, again: true }
    }

    /// Removes the samples of a retracted report; gives the numbers of rows that waited, and how many
    /// samples went.
    pub(super) fn retract(
        &mut self,
        report: Report,
        version: Option<PublishedVersion>,
        at: i64,
    ) -> (Vec<usize>, u64) {
        if let Some(version) = version {
            self.marks.retract(report, version, at);
        }
        let meant: Vec<SampleKey> = self
            .by_report
            .range((report, [0; 32], Uuid::nil())..=(report, [0xFF; 32], Uuid::max()))
            .map(|&(report, text, event)| SampleKey { text, report, event })
            .filter(|key| {
                let of = self.slots.get(key).and_then(|slot| slot.entry.version);
                of.zip(version).is_none_or(|(of, retracted)| of <= retracted)
            })
            .collect();
        self.remove(&meant)
    }

    /// Removes the samples of a text and an event; as [`Index::retract`].
    pub(super) fn withdraw(&mut self, text: TextHash, event: Uuid, at: i64) -> (Vec<usize>, u64) {
        self.marks.withdraw(text, event, at);
        let meant: Vec<SampleKey> =
            self.of_text(text).filter(|key| key.event == event).copied().collect();
        self.remove(&meant)
    }

    /// Removes what is older than a day; as [`Index::retract`].
    pub(super) fn expire(&mut self, first_kept: Date) -> (Vec<usize>, u64) {
        let old = |slot: &&Slot| slot.entry.day < first_kept;
        let meant: Vec<SampleKey> =
            self.slots.values().filter(old).map(|slot| slot.entry.key).collect();
        self.remove(&meant)
    }

    fn of_text(&self, text: TextHash) -> impl Iterator<Item = &SampleKey> {
        let first = SampleKey { text, report: [0; 16], event: Uuid::nil() };
        let last = SampleKey { text, report: [0xFF; 16], event: Uuid::max() };
        self.slots.range(first..=last).map(|(key, _)| key)
    }

    fn remove(&mut self, keys: &[SampleKey]) -> (Vec<usize>, u64) {
        let (mut waiting, mut removed) = (Vec::new(), 0);
        for key in keys {
            self.by_report.remove(&(key.report, key.text, key.event));
            let Some(slot) = self.slots.remove(key) else { continue };
            removed += 1;
            match slot.kept {
                Kept::New(row) => waiting.push(row),
                Kept::Stored(_) => _ = self.thinned.insert(slot.entry.day),
            }
        }
        (waiting, removed)
    }

    /// Decides where every sample stands in the next snapshot. Gives the days whose files change, each
    /// with the numbers of its waiting rows in the order in which they came.
    pub(super) fn plan(&mut self) -> BTreeMap<Date, Vec<usize>> {
        let shown = self.shown();
        let mut days: BTreeMap<Date, Vec<usize>> =
            self.thinned.iter().map(|day| (*day, Vec::new())).collect();
        for (key, slot) in &mut self.slots {
            slot.next = match shown.get(key) {
                Some(times_seen) => Place { shelf: Shelf::Samples, times_seen: *times_seen },
                None => Place { shelf: Shelf::Folded, times_seen: 0 },
            };
            match slot.kept {
                Kept::New(row) => days.entry(slot.entry.day).or_default().push(row),
                Kept::Stored(place) if place != slot.next => {
                    days.entry(slot.entry.day).or_default();
                }
                Kept::Stored(_) => {}
            }
        }
        days.values_mut().for_each(|rows| rows.sort_unstable());
        days
    }

    /// The sample of each text that is shown, and how many there are of the text.
    fn shown(&self) -> BTreeMap<SampleKey, i64> {
        let mut shown = BTreeMap::new();
        let mut best: Option<(&Slot, i64)> = None;
        for slot in self.slots.values() {
            best = Some(match best {
                Some((before, seen)) if before.entry.key.text == slot.entry.key.text => {
                    let newer = slot.entry.precedence() > before.entry.precedence();
                    (if newer { slot } else { before }, seen + 1)
                }
                other => {
                    shown.extend(other.map(|(slot, seen)| (slot.entry.key, seen)));
                    (slot, 1)
                }
            });
        }
        shown.extend(best.map(|(slot, seen)| (slot.entry.key, seen)));
        shown
    }

    /// Where a row of the current snapshot goes; `None`: it goes away, or a waiting one replaces it.
    pub(super) fn place_of_stored(&self, key: &SampleKey) -> Option<Place> {
        let slot = self.slots.get(key)?;
        matches!(slot.kept, Kept::Stored(_)).then_some(slot.next)
    }

    /// Where a waiting row goes; `None`: it goes away.
    pub(super) fn place_of_new(&self, key: &SampleKey) -> Option<Place> {
        let slot = self.slots.get(key)?;
        matches!(slot.kept, Kept::New(_)).then_some(slot.next)
    }

    /// The plan was carried out: nothing waits any more.
    pub(super) fn settle(&mut self) {
        self.thinned.clear();
        for slot in self.slots.values_mut() {
            slot.kept = Kept::Stored(slot.next);
        }
    }
}

#[cfg(test)]
mod tests;
