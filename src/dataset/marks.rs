//! What was retracted, remembered for samples that come late.
//!
//! Stage teach may still be asking about a report while stage label retracts it: the sample then
//! follows the null value that struck it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Report, TextHash, unhex};
use crate::publish::{PublishedVersion, hex};

/// Retractions are remembered for so long, in milliseconds: an escalation is answered or given up
/// long before, and people who label are rarely slower.
const KEPT_MS: i64 = 400 * 86_400_000;

/// Retractions so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The newest version of each report that was retracted, and when that was read.
    reports: BTreeMap<Report, (PublishedVersion, i64)>,
    /// Texts withdrawn from events, and when that was read.
    texts: BTreeMap<(TextHash, Uuid), i64>,
}

/// One of them as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Report { report: String, version: PublishedVersion, at: i64 },
    Text { text_hash: String, event_id: Uuid, at: i64 },
}

impl Marks {
    /// Notes that a version of a report was retracted.
    pub(super) fn retract(&mut self, report: Report, version: PublishedVersion, at: i64) {
        let mark = self.reports.entry(report).or_insert((version, at));
        *mark = (mark.0.max(version), mark.1.max(at));
    }

    /// Notes that a text was withdrawn from an event.
    pub(super) fn withdraw(&mut self, text: TextHash, event: Uuid, at: i64) {
        self.texts.insert((text, event), at);
    }

    /// This version of the report, or a newer one, was retracted. A sample that does not say of which
    /// version it is gets the benefit of the doubt: what came before the retraction is gone anyway.
    pub(super) fn retracted(&self, report: &Report, version: Option<PublishedVersion>) -> bool {
        let mark = self.reports.get(report);
        mark.zip(version).is_some_and(|((retracted, _), version)| version <= *retracted)
    }

    /// This text was withdrawn from this event.
    pub(super) fn withdrawn(&self, text: TextHash, event: Uuid) -> bool {
        self.texts.contains_key(&(text, event))
    }

    /// Forgets what is too old to matter.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let oldest = now_ms.saturating_sub(KEPT_MS);
        self.reports.retain(|_, (_, at)| *at >= oldest);
        self.texts.retain(|_, at| *at >= oldest);
    }

    /// Number of both kinds.
    pub(super) fn len(&self) -> usize {
        self.reports.len() + self.texts.len()
    }

    /// Writes them, a JSON object a line.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let reports = self.reports.iter().map(|(report, (version, at))| Line::Report {
            report: hex(report),
            version: *version,
            at: *at,
        });
        let texts = self.texts.iter().map(|((text, event), at)| Line::Text {
            text_hash: hex(text),
            event_id: *event,
            at: *at,
        });
        for line in reports.chain(texts) {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads what [`Marks::write`] wrote; `None` in a line that it did not write.
    pub(super) fn read(input: impl BufRead) -> io::Result<Option<Self>> {
        let mut marks = Self::default();
        for line in input.lines() {
            match serde_json::from_str(&line?) {
                Ok(Line::Report { report, version, at }) => {
                    let Some(report) = unhex(&report) else { return Ok(None) };
                    marks.retract(report, version, at);
                }
                Ok(Line::Text { text_hash, event_id, at }) => {
                    let Some(text) = unhex(&text_hash) else { return Ok(None) };
                    marks.withdraw(text, event_id, at);
                }
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(changed_at: i64) -> PublishedVersion {
        PublishedVersion { changed_at, rank: 3, message_at: 0 }
    }

    #[test]
    fn a_late_sample_is_known_by_its_version() {
        let mut marks = Marks::default();
        marks.retract([1; 16], version(5), 100);
        marks.retract([1; 16], version(4), 101);
        assert!(marks.retracted(&[1; 16], Some(version(5))), "the newest retraction counts");
        assert!(!marks.retracted(&[1; 16], Some(version(6))), "a newer version stays");
        assert!(!marks.retracted(&[1; 16], None), "cannot be told");
        assert!(!marks.retracted(&[2; 16], Some(version(1))));
    }

    #[test]
    fn marks_survive_their_file_and_are_forgotten_when_old() {
        let mut marks = Marks::default();
        marks.retract([1; 16], version(5), 100);
        marks.withdraw([2; 32], Uuid::from_u128(7), KEPT_MS);
        let mut file = Vec::new();
        marks.write(&mut file).unwrap();
        assert_eq!(Marks::read(file.as_slice()).unwrap().as_ref(), Some(&marks));
        assert_eq!(Marks::read(&b"{\"report\":\"zz\"}\n"[..]).unwrap(), None);
        marks.expire(KEPT_MS + 101);
        assert_eq!(marks.len(), 1);
        assert!(marks.withdrawn([2; 32], Uuid::from_u128(7)));
    }
}
