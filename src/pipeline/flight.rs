//! A record on its way: its reports go separate ways and come back together.

use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::broker::ledger::Weigh;
use crate::broker::{Record, Ticket};
use crate::decode::{DecodeOptions, Identifiers, identifiers};
use crate::publish::{Outgoing, Topic};
use crate::telemetry::totals::Outcome;

/// What one report led to: its outcome and the messages that say so.
pub struct Part {
    /// The outcome.
    pub outcome: Outcome,
    /// Messages, in order.
    pub outgoing: Vec<Outgoing>,
}

/// A record all of whose reports have an outcome.
pub struct Finished {
    /// Proof of flight.
    pub ticket: Ticket,
    /// Bytes charged to the budget.
    pub cost: usize,
    /// The record's timestamp, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: Option<i64>,
    /// One per report, in the order of the record.
    pub outcomes: Vec<Outcome>,
    /// Messages, in the order of the reports.
    pub outgoing: Vec<Outgoing>,
    /// Given back when the record is committed, or its assignment has ended.
    pub hold: Option<Hold>,
}

/// Something that a record occupies until it is committed, such as a place in a window.
pub type Hold = Box<dyn Send>;

impl Weigh for Finished {
    fn weight(&self) -> usize {
        self.outgoing.iter().map(Outgoing::bytes).sum()
    }
}

/// A record in flight, shared by its reports.
pub struct Flight {
    /// The record. Its bytes are kept for a possible dead letter.
    pub record: Record,
    cost: usize,
    parts: Mutex<Parts>,
    /// Read when the first of its reports is escalated, for all of them.
    identifiers: OnceLock<Identifiers>,
}

struct Parts {
    open: usize,
    done: Vec<Option<Part>>,
    /// The report whose dead letter is kept.
    letter: Option<usize>,
}

impl Parts {
    /// A dead letter is the whole record, so one is enough: that of the first bad report. A thousand
    /// copies of it would fit neither memory nor a transaction, so they go as they come.
    fn keep_one_letter(&mut self, index: usize, part: &mut Part) {
        let is_letter = |message: &Outgoing| message.topic == Topic::DeadLetters;
        if !part.outgoing.iter().any(is_letter) {
            return;
        }
        match self.letter {
            Some(kept) if kept < index => part.outgoing.retain(|message| !is_letter(message)),
            kept => {
                let slot = kept.and_then(|kept| self.done.get_mut(kept)).and_then(Option::as_mut);
                if let Some(later) = slot {
                    later.outgoing.retain(|message| !is_letter(message));
                }
                self.letter = Some(index);
            }
        }
    }
}

impl Flight {
    /// A flight of `parts` reports (at least one).
    pub fn new(record: Record, cost: usize, parts: usize) -> Self {
        let done = std::iter::repeat_with(|| None).take(parts).collect();
        let parts = Mutex::new(Parts { open: parts, done, letter: None });
        Self { record, cost, parts, identifiers: OnceLock::new() }
    }

    /// Whom the record's messages name, read as it was decoded. Read once, and only when asked for.
    pub fn identifiers(&self, options: &DecodeOptions) -> &Identifiers {
        let payload = self.record.payload.as_deref().unwrap_or_default();
        self.identifiers.get_or_init(|| identifiers(payload, options))
    }

    /// Bytes charged to the budget.
    pub const fn cost(&self) -> usize {
        self.cost
    }

    /// Report `index` has its outcome. A record gives one dead letter at most, whatever the number of
    /// its bad reports. Gives the finished record when it was the last one open.
    pub fn complete(&self, index: u32, mut part: Part) -> Option<Finished> {
        let index = usize::try_from(index).ok()?;
        let mut parts = self.parts.lock();
        parts.keep_one_letter(index, &mut part);
        if parts.done.get_mut(index)?.replace(part).is_none() {
            parts.open -= 1;
        }
        if parts.open > 0 {
            return None;
        }
        let mut outcomes = Vec::with_capacity(parts.done.len());
        let mut outgoing = Vec::new();
        for part in parts.done.drain(..).flatten() {
            outcomes.push(part.outcome);
            outgoing.extend(part.outgoing);
        }
        Some(Finished {
            ticket: self.record.ticket.clone(),
            cost: self.cost,
            timestamp_ms: self.record.timestamp_ms,
            outcomes,
            outgoing,
            hold: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::TopicPartition;

    fn flight(parts: usize) -> Flight {
        let partition = TopicPartition { topic: Arc::from("in"), partition: 0 };
        let ticket = Ticket { partition, offset: 5, sequence: 0, epoch: 1 };
        let record =
            Record { ticket, timestamp_ms: None, key: None, payload: None, headers: Vec::new() };
        Flight::new(record, 100, parts)
    }

    fn part(name: &'static str) -> Part {
        Part { outcome: Outcome::plain(name), outgoing: Vec::new() }
    }

    #[test]
    fn a_record_finishes_with_its_last_report_and_keeps_their_order() {
        let flight = flight(3);
        assert!(flight.complete(2, part("c")).is_none());
        assert!(flight.complete(0, part("a")).is_none());
        let finished = flight.complete(1, part("b")).unwrap();
        let names: Vec<_> = finished.outcomes.iter().map(|outcome| outcome.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn a_record_keeps_the_dead_letter_of_its_first_bad_report_whatever_comes_first() {
        let letter = |class: &str| Part {
            outcome: Outcome::plain("dead_letter"),
            outgoing: vec![Outgoing {
                topic: Topic::DeadLetters,
                partition: None,
                key: None,
                payload: Some(class.into()),
                headers: Vec::new(),
                timestamp_ms: None,
            }],
        };
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let flight = flight(4);
            assert!(flight.complete(3, part("labelled")).is_none());
            let names = ["a", "b", "c"];
            let done = order.map(|index| flight.complete(index, letter(names[index as usize])));
            let finished = done.into_iter().flatten().next().unwrap();
            let kept: Vec<_> = finished.outgoing.iter().map(|m| m.payload.clone()).collect();
            assert_eq!(kept, [Some(b"a".to_vec())], "{order:?}");
            assert_eq!(finished.outcomes.len(), 4);
        }
    }

    #[test]
    fn a_report_that_is_not_there_settles_nothing() {
        assert!(flight(1).complete(7, part("x")).is_none());
    }
}
