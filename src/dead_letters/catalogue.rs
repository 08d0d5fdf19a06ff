//! The dead-letter topic, read once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Place;
use crate::broker::Record;
use crate::publish::{DeadLetterRecord, LetterHead, Origin};

/// What is kept of a letter. No value, no key, no header of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where it stands.
    pub place: Place,
    /// Class of the failure.
    pub class: Arc<str>,
    /// Step that refused the record.
    pub stage: Arc<str>,
    /// Place in the record; empty unless the catalogue keeps places.
    pub location: Arc<str>,
    /// Topic, partition and offset of the record that failed; `None` where the letter does not say.
    pub origin: Option<(Arc<str>, i32, i64)>,
    /// When it failed, milliseconds since 1970-01-01 UTC; `None` where the letter does not say.
    pub failed_at_ms: Option<i64>,
    /// Bytes of key, value and headers.
    pub bytes: u64,
    /// How often the record was replayed before it became this letter.
    pub replays: u32,
    /// Something of the record was left out because it did not fit.
    pub is_cut: bool,
    /// There is a marker behind it.
    pub is_replayed: bool,
}

impl Letter {
    /// Where the record stands that failed.
    pub fn origin(&self) -> Option<Origin> {
        let (topic, partition, offset) = self.origin.as_ref()?;
        Some(Origin { topic: topic.to_string(), partition: *partition, offset: *offset })
    }
}

/// All letters of the topic.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Of each partition, by offset.
    letters: BTreeMap<i32, Vec<Letter>>,
    words: HashSet<Arc<str>>,
    keeps_locations: bool,
    foreign: u64,
}

impl Catalogue {
    /// An empty one. `keeps_locations`: the place of the failure in each record is kept, too.
    pub fn new(keeps_locations: bool) -> Self {
        Self { keeps_locations, ..Self::default() }
    }

    /// Takes a record. Those of one partition must come in their order.
    pub fn take(&mut self, record: &Record) {
        let partition = record.ticket.partition.partition;
        match DeadLetterRecord::read(&record.headers, record.payload.is_some()) {
            DeadLetterRecord::Letter(head) => {
                let place = Place { partition, offset: record.ticket.offset };
                let bytes = record.wire_bytes() as u64;
                let letter = self.letter(place, *head, bytes);
                self.letters.entry(partition).or_default().push(letter);
            }
            // Always behind its letter, so the letter is here, or gone.
            DeadLetterRecord::Replayed(mark) if mark.partition == partition => {
                let letters = self.letters.entry(partition).or_default();
                let found = letters.binary_search_by_key(&mark.offset, |l| l.place.offset);
                if let Some(letter) = found.ok().and_then(|index| letters.get_mut(index)) {
                    letter.is_replayed = true;
                }
            }
            DeadLetterRecord::Replayed(_) | DeadLetterRecord::Foreign => self.foreign += 1,
        }
    }

    fn letter(&mut self, place: Place, head: LetterHead, bytes: u64) -> Letter {
        let location = if self.keeps_locations { head.location.as_str() } else { "" };
        let location = self.word(location);
        Letter {
            place,
            class: self.word(&head.class),
            stage: self.word(&head.stage),
            location,
            origin: head
                .origin
                .map(|Origin { topic, partition, offset }| (self.word(&topic), partition, offset)),
            failed_at_ms: head.failed_at_ms,
            bytes,
            replays: head.replays,
            is_cut: head.omitted.is_some(),
            is_replayed: false,
        }
    }

    /// The same few words come again and again.
    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(word);
        self.words.insert(Arc::clone(&new));
        new
    }

    /// All letters, by partition, then offset.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.values().flatten()
    }

    /// The letter at a place.
    pub fn at(&self, place: Place) -> Option<&Letter> {
        let letters = self.letters.get(&place.partition)?;
        let index = letters.binary_search_by_key(&place.offset, |l| l.place.offset).ok()?;
        letters.get(index)
    }

    /// Records that are neither letters nor markers.
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::broker::{Ticket, TopicPartition};
    use crate::publish::{PublishSettings, Publisher, ReplayMark, Source};

    pub(in crate::dead_letters) fn record(
        place: (i32, i64),
        outgoing: crate::publish::Outgoing,
    ) -> Record {
        let partition = TopicPartition { topic: Arc::from("dead"), partition: place.0 };
        let ticket = Ticket { partition, offset: place.1, sequence: 0, epoch: 0 };
        Record {
            ticket,
            timestamp_ms: outgoing.timestamp_ms,
            key: outgoing.key,
            payload: outgoing.payload,
            headers: outgoing.headers,
        }
    }

    pub(in crate::dead_letters) fn letter(
        place: (i32, i64),
        class: &str,
        now_ms: i64,
        payload: Option<&[u8]>,
    ) -> Record {
        let source = Source {
            topic: "in",
            partition: place.0,
            offset: place.1 + 100,
            timestamp_ms: Some(5),
            part: 0,
            headers: &[],
        };
        let publisher = Publisher::new(PublishSettings::default());
        let letter =
            publisher.dead_letter(&source, Some(b"DOE"), payload, "decode", class, "MSH", now_ms);
        record(place, letter)
    }

    #[test]
    fn a_letter_counts_as_replayed_when_its_marker_stands_behind_it() {
        let mut catalogue = Catalogue::new(true);
        for offset in [0, 2, 5] {
            catalogue.take(&letter((1, offset), "syntax", 1_000, Some(b"x")));
        }
        catalogue.take(&letter((2, 2), "syntax", 1_000, None));
        let mark = |partition, offset| ReplayMark { partition, offset }.record("in", 0);
        catalogue.take(&record((1, 6), mark(1, 2)));
        // Of a letter that is gone; of another partition; of nobody.
        catalogue.take(&record((1, 7), mark(1, 1)));
        catalogue.take(&record((1, 8), mark(2, 2)));
        let mut foreign = letter((1, 9), "syntax", 1_000, Some(b"x"));
        foreign.headers.clear();
        catalogue.take(&foreign);
        let replayed: Vec<Place> =
            catalogue.letters().filter(|l| l.is_replayed).map(|l| l.place).collect();
        assert_eq!(replayed, [Place { partition: 1, offset: 2 }]);
        assert_eq!((catalogue.letters().count(), catalogue.foreign()), (4, 2));
        let found = catalogue.at(Place { partition: 2, offset: 2 }).unwrap();
        assert_eq!(found.origin().unwrap().to_string(), "in/2/102");
        assert_eq!((&*found.location, found.failed_at_ms), ("MSH", Some(1_000)));
        assert_eq!(catalogue.at(Place { partition: 1, offset: 1 }), None);
    }
}
