//! Whom the messages of a record name outside of their reports' text, for de-identification.
//!
//! The record is decoded once more, in the decoder's own way, and each message on that way leaves its
//! identifiers. That is paid for the few records of which a report is escalated, not for each.
//!
//! Nothing is lost unseen. Where a message gives more than [`KnownIdentifier::MOST`] identifiers, or
//! one longer than [`KnownIdentifier::LONGEST`], the list is one over the limit on purpose:
//! de-identification refuses it, and the text goes nowhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::attachment::Pdfs;
use super::{DecodeOptions, Decoded, Outcomes, fill};
use crate::report::{KnownIdentifier, KnownKind, Report, ReportKey};

/// What the messages of one record say of people.
#[derive(Clone, Debug)]
pub struct Identifiers {
    /// For each message, the position of its first outcome and what it gives. In order.
    messages: Vec<Message>,
    /// The keys of the reports, at their positions.
    reports: Vec<Option<ReportKey>>,
}

#[derive(Clone, Debug)]
struct Message {
    first: usize,
    found: Arc<[KnownIdentifier]>,
}

/// Everything identifying that the messages of a payload give outside of their reports' text.
///
/// An attached PDF document is report text: it is not opened again.
pub fn identifiers(payload: &[u8], options: &DecodeOptions) -> Identifiers {
    let mut outcomes = Outcomes::new(options);
    outcomes.pdfs = Pdfs::new(None);
    outcomes.identifying = Some(Box::default());
    fill(payload, options, &mut outcomes);
    let identifying = outcomes.identifying.take();
    let (decoded, _) = outcomes.finish();
    let key = |decoded: Decoded| match decoded {
        Decoded::Report(report) => Some(report.key),
        Decoded::Skipped(_) | Decoded::Rejected(_) => None,
    };
    Identifiers {
        messages: identifying.map(|identifying| identifying.messages).unwrap_or_default(),
        reports: decoded.into_iter().map(key).collect(),
    }
}

impl Identifiers {
    /// Those of the message that holds `report`, at position `part` of the record. The union of all
    /// messages' when the report is not found there.
    pub fn of(&self, part: u32, report: &Report) -> Vec<KnownIdentifier> {
        let mut found = Found::default();
        // Also where the sender's profile found it in a field that nobody else reads.
        found.add(KnownKind::Number, report.accession_number.expose());
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let there = self.reports.get(part).and_then(Option::as_ref) == Some(&report.key);
        match self.messages.iter().rfind(|message| there && message.first <= part) {
            Some(message) => found.extend(&message.found),
            None => self.messages.iter().for_each(|message| found.extend(&message.found)),
        }
        found.list
    }
}

/// Identifiers in the making, each once.
#[derive(Default)]
pub(super) struct Found {
    list: Vec<KnownIdentifier>,
    seen: HashSet<(KnownKind, String)>,
}

impl Found {
    /// Adds a value as the message wrote it, unescaped. Nothing and HL7's null are left out.
    pub(super) fn add(&mut self, kind: KnownKind, value: &str) {
        let value = value.trim_matches(|c: char| c.is_whitespace() || c == '^');
        if value.is_empty() || value == "\"\"" || self.is_over() {
            return;
        }
        // What is too long is cut, but to a length that is still too long.
        let end = value.ceil_char_boundary(KnownIdentifier::LONGEST + 1);
        let value = value.get(..end).unwrap_or(value);
        if self.seen.insert((kind, value.to_owned())) {
            self.list.push(KnownIdentifier::new(kind, value));
        }
    }

    /// Adds those of another list.
    pub(super) fn extend(&mut self, others: &[KnownIdentifier]) {
        for other in others {
            self.add(other.kind, other.value.expose());
        }
    }

    /// One more than may be: no further one changes what becomes of the list.
    pub(super) fn is_over(&self) -> bool {
        self.list.len() > KnownIdentifier::MOST
    }

    pub(super) fn into_list(self) -> Vec<KnownIdentifier> {
        self.list
    }
}

/// What a reading of a record gathers besides its outcomes, when somebody asked.
#[derive(Default)]
pub(super) struct Identifying {
    messages: Vec<Message>,
    /// Reports of the JSON document at hand: positions of their outcomes, and where they stand in it.
    places: Vec<(usize, String)>,
}

impl Outcomes {
    /// Notes what the message says of people whose outcomes come next.
    pub(super) fn identify(&mut self, find: impl FnOnce() -> Vec<KnownIdentifier>) {
        let first = self.len();
        if let Some(identifying) = &mut self.identifying {
            identifying.messages.push(Message { first, found: find().into() });
        }
    }

    /// Notes where in its document the report stands whose outcome comes next.
    pub(super) fn identify_place(&mut self, place: &str) {
        let first = self.len();
        if let Some(identifying) = &mut self.identifying {
            identifying.places.push((first, place.to_owned()));
        }
    }

    /// Notes what a document says of people, for each of the places noted in it.
    pub(super) fn identify_document(
        &mut self,
        find: impl FnOnce(&[&str]) -> Vec<Arc<[KnownIdentifier]>>,
    ) {
        let Some(identifying) = &mut self.identifying else { return };
        let noted = std::mem::take(&mut identifying.places);
        if noted.is_empty() {
            return;
        }
        let places: Vec<&str> = noted.iter().map(|(_, place)| place.as_str()).collect();
        let found = find(&places);
        let messages = noted.iter().zip(found);
        identifying
            .messages
            .extend(messages.map(|((first, _), found)| Message { first: *first, found }));
    }
}
