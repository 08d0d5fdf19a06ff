//! Stable names of what we publish: the same input gives the same id, whoever computes it and
//! however often.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ModelIdentity, PublishedVersion, TeacherIdentity};
use crate::report::{
    LabelledSection, Procedure, Report, ReportKey, ReportStatus, ReportText, ReportVersion,
};

/// Namespace of event ids: UUID version 5 of `radstream.org` in the DNS namespace. Never change it.
const EVENTS: Uuid = Uuid::from_u128(0x9f51_61c5_adb8_5f15_ba2c_2410_1640_0f09);

/// Id of a findings event: UUID version 5 of report key, content hash, status, model and revision.
///
/// A report that is delivered twice, or stands twice in one record, has the same id twice; the
/// source coordinates in the event tell the copies apart. The hash of the text is part of it, so
/// the id does not give a guessable identifier away.
pub fn event_id(
    key: &ReportKey,
    content_hash: &[u8; 32],
    status: ReportStatus,
    model: &ModelIdentity,
    revision: u32,
) -> Uuid {
    let mut name = Parts::default();
    name.push(key.expose().as_bytes());
    name.push(content_hash);
    name.push(status.name().as_bytes());
    name.push(model.name.as_bytes());
    name.push(model.version.as_bytes());
    name.push(model.sha256.as_bytes());
    name.push(&revision.to_be_bytes());
    Uuid::new_v5(&EVENTS, &name.0)
}

/// What names a labelled report, computed once: its hash is the dearest step of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of its findings event, revision 0; also the ticket of [`crate::route::draw_of`].
    pub event_id: Uuid,
    /// [`content_hash`] of what was read.
    pub content_hash: [u8; 32],
}

impl Identity {
    /// The identity of `report`, read as `text` by `model`.
    pub fn of(report: &Report, text: &ReportText, model: &ModelIdentity) -> Self {
        let content_hash = content_hash(text, &report.procedure);
        let event_id = event_id(&report.key, &content_hash, report.status, model, 0);
        Self { event_id, content_hash }
    }
}

/// Id of a later revision: UUID version 5 of the id of revision 0, which names report, text, status and
/// model, and the number of the revision.
pub(super) fn revision_event_id(first: &Uuid, revision: u32) -> Uuid {
    let mut name = Parts::default();
    name.push(b"revision");
    name.push(first.as_bytes());
    name.push(&revision.to_be_bytes());
    Uuid::new_v5(&EVENTS, &name.0)
}

/// Id of a training sample: UUID version 5 of text hash, prompt version, teacher and student.
pub(super) fn sample_id(
    text_hash: &str,
    teacher: &TeacherIdentity<'_>,
    student: &ModelIdentity,
) -> Uuid {
    let mut name = Parts::default();
    for part in [
        "sample",
        text_hash,
        &teacher.prompt_version,
        &teacher.provider,
        &teacher.model,
        &student.sha256,
    ] {
        name.push(part.as_bytes());
    }
    Uuid::new_v5(&EVENTS, &name.0)
}

/// Id of an event without text (retraction, promotion): its report's version stands where the
/// content hash stands otherwise, so that two changes of one report have two ids.
pub(super) fn textless_event_id(
    key: &ReportKey,
    status: ReportStatus,
    version: &ReportVersion,
    event_type: &str,
) -> Uuid {
    let mut name = Parts::default();
    name.push(key.expose().as_bytes());
    name.push(event_type.as_bytes());
    name.push(status.name().as_bytes());
    name.push(&version.changed_at_ms.to_be_bytes());
    name.push(&version.message_at_ms.to_be_bytes());
    Uuid::new_v5(&EVENTS, &name.0)
}

/// Id of a marker: which report, which version, and what is said of it.
pub(super) fn marker_id(key: &[u8], version: &PublishedVersion, event_type: &str) -> Uuid {
    let mut name = Parts::default();
    name.push(key);
    name.push(event_type.as_bytes());
    name.push(&version.rank.to_be_bytes());
    name.push(&version.changed_at.to_be_bytes());
    name.push(&version.message_at.to_be_bytes());
    Uuid::new_v5(&EVENTS, &name.0)
}

/// SHA-256 of what was read: kind and text of each labelled section, then code and system of each
/// procedure coding. Free text of the procedure is left out: senders reword it between versions.
pub fn content_hash(text: &ReportText, procedure: &Procedure) -> [u8; 32] {
    let mut parts = Parts::default();
    parts.push(b"radstream content 1");
    parts.push_sections(&text.sections);
    parts.push(b"procedure");
    for coding in &procedure.codings {
        parts.push(coding.code.as_bytes());
        parts.push(coding.system.as_bytes());
    }
    Sha256::digest(&parts.0).into()
}

/// SHA-256 of sections: kind and text of each, in their order. The same text is the same question to a
/// teacher and the same sample.
pub(crate) fn sections_hash(sections: &[LabelledSection]) -> [u8; 32] {
    let mut parts = Parts::default();
    parts.push_sections(sections);
    Sha256::digest(&parts.0).into()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

/// Byte strings one after another, each with its length before it: `ab` + `c` differs from
/// `a` + `bc`.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn push(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
    }

    fn push_sections(&mut self, sections: &[LabelledSection]) {
        for section in sections {
            self.push(section.kind.name().as_bytes());
            self.push(section.text.expose().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Coding, Phi, SectionKind};

    fn text(sections: &[(SectionKind, &str)]) -> ReportText {
        ReportText {
            sections: sections
                .iter()
                .map(|&(kind, text)| LabelledSection { kind, text: Phi::from(text) })
                .collect(),
            present: Vec::new(),
        }
    }

    fn procedure(code: &str, words: &str) -> Procedure {
        let coding = Coding { code: code.into(), text: words.into(), system: "LN".into() };
        Procedure { codings: vec![coding], service_section: None }
    }

    fn model() -> ModelIdentity {
        ModelIdentity { name: "m".into(), version: "1".into(), sha256: "00".into() }
    }

    /// Published ids must not change between releases: readers deduplicate by them.
    #[test]
    fn ids_of_a_known_report_stay_what_they_were() {
        let hash = content_hash(
            &text(&[(SectionKind::Findings, "Clear."), (SectionKind::Impression, "Normal.")]),
            &procedure("36643-5", "XR CHEST 2 VIEWS"),
        );
        assert_eq!(hex(&hash), "cbf6b0d4b8e643172572812bed7b92235ac492a8bfeb362e8b5eddfff56fb18c");
        let key = ReportKey::new("RIS", "A1");
        let id = event_id(&key, &hash, ReportStatus::Final, &model(), 0);
        assert_eq!(id.to_string(), "a5c5ac17-a85d-5776-9d89-7d9fb7a46133");
        assert_eq!(id.get_version_num(), 5);
    }

    #[test]
    fn every_part_of_the_identity_changes_the_id() {
        let key = ReportKey::new("RIS", "A1");
        let base = event_id(&key, &[0; 32], ReportStatus::Final, &model(), 0);
        let other_model = ModelIdentity { sha256: "01".into(), ..model() };
        let others = [
            event_id(&ReportKey::new("RIS", "A2"), &[0; 32], ReportStatus::Final, &model(), 0),
            event_id(&key, &[1; 32], ReportStatus::Final, &model(), 0),
            event_id(&key, &[0; 32], ReportStatus::Corrected, &model(), 0),
            event_id(&key, &[0; 32], ReportStatus::Final, &other_model, 0),
            event_id(&key, &[0; 32], ReportStatus::Final, &model(), 1),
        ];
        assert!(others.iter().all(|id| *id != base));
    }

    #[test]
    fn text_that_moves_between_sections_changes_the_hash_and_rewording_the_exam_does_not() {
        let codes = procedure("36643-5", "XR CHEST 2 VIEWS");
        let one = content_hash(&text(&[(SectionKind::Findings, "ab")]), &codes);
        let moved = content_hash(&text(&[(SectionKind::Impression, "ab")]), &codes);
        let split = content_hash(
            &text(&[(SectionKind::Findings, "a"), (SectionKind::Findings, "b")]),
            &codes,
        );
        assert!(one != moved && one != split && moved != split);
        let reworded = procedure("36643-5", "CHEST PA AND LATERAL");
        assert_eq!(one, content_hash(&text(&[(SectionKind::Findings, "ab")]), &reworded));
        let other_exam = procedure("30745-4", "XR CHEST 2 VIEWS");
        assert_ne!(one, content_hash(&text(&[(SectionKind::Findings, "ab")]), &other_exam));
    }

    #[test]
    fn two_changes_of_one_report_without_text_have_two_ids() {
        let key = ReportKey::new("RIS", "A1");
        let at = |changed_at_ms| ReportVersion { changed_at_ms, ..ReportVersion::default() };
        let id = |version: &ReportVersion, event_type| {
            textless_event_id(&key, ReportStatus::Final, version, event_type)
        };
        assert_ne!(id(&at(1), "promoted"), id(&at(2), "promoted"));
        assert_ne!(id(&at(1), "promoted"), id(&at(1), "retracted"));
        assert_eq!(id(&at(1), "promoted"), id(&at(1), "promoted"));
    }
}
