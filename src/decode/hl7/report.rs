//! Order groups and documents → reports: status, intent, version, procedure.

mod order_status;

use std::borrow::Cow;
use std::sync::Arc;

use self::order_status::{order_status, refine, strongest};
use super::group::{Body, Group};
use super::identity::{self, Identity};
use super::narrative::{self, Narrative};
use super::{Fields, Header};
use crate::decode::status::{self, Status};
use crate::decode::{FieldUse, Outcomes, Reading, RejectionClass, note, time};
use crate::report::{
    Coding, Intent, Procedure, Report, ReportStatus, ReportVersion, SectionKind, Skip, Warning,
};

/// An `ORU^R01`: one report per order, orders with the same key being one report.
pub(super) fn results(header: &Header<'_>, body: &Body<'_>, outcomes: &mut Outcomes) {
    let mut drafts: Vec<Draft> = Vec::new();
    for (index, group) in body.groups.iter().enumerate() {
        if drafts.len() + outcomes.len() > outcomes.limit {
            outcomes.overflow = true;
            break;
        }
        match draft(header, index, group) {
            Ok(Some(made)) => match drafts.iter_mut().find(|draft| draft.is_same_report(&made)) {
                Some(first) => first.absorb(made),
                None => drafts.push(made),
            },
            Ok(None) => outcomes.skip(Skip::NonReport),
            Err((class, location)) => {
                outcomes.reject(class, format!("{}{location}", header.place));
            }
        }
    }
    // "Final without text" means "promote" only in a message that carries no text at all: beside a
    // dictated order it is a linked order that shares the dictation.
    let textless = drafts.iter().all(|draft| draft.narrative.blocks.is_empty());
    for draft in drafts {
        draft.finish(header, textless, outcomes);
    }
}

/// A document of many orders is copied for each: so many may share a long one, and any number a short
/// one, bytes of all copies.
const MOST_SHARING: usize = 8;
const MOST_SHARED_BYTES: usize = 128 * 1024;

/// An `MDM`: one document, one report per distinct order it answers.
pub(super) fn document(header: &Header<'_>, body: &Body<'_>, outcomes: &mut Outcomes) {
    let Some(txa) = &body.txa else {
        // Without TXA there is nothing to tell a document from results.
        return results(header, body, outcomes);
    };
    let answered: Vec<Option<&Group<'_>>> =
        if body.groups.is_empty() { vec![None] } else { body.groups.iter().map(Some).collect() };
    let mut drafts: Vec<Draft> = Vec::new();
    let mut text_bytes = 0;
    for group in answered {
        let Some(identity) = identity::of(header, group, Some(txa)) else { continue };
        let mut procedure = group.map(procedure).unwrap_or_default();
        procedure.codings.extend(title(txa));
        let same = |draft: &&mut Draft| draft.identity.key == identity.key;
        if let Some(first) = drafts.iter_mut().find(same) {
            first.absorb_procedure(procedure);
            continue;
        }
        if drafts.len() + outcomes.len() > outcomes.limit {
            outcomes.overflow = true;
            break;
        }
        // Content stands after TXA; where it does not, each order has its own.
        let content = match group {
            Some(group) if body.content.observations.is_empty() => group,
            _ => &body.content,
        };
        let narrative = match narrative::read(header, content) {
            Ok(narrative) => narrative,
            Err((class, location)) => {
                return outcomes.reject(class, format!("{}{location}", header.place));
            }
        };
        text_bytes += narrative.blocks.iter().map(|b| b.text.expose().len()).sum::<usize>();
        if text_bytes > MOST_SHARED_BYTES && drafts.len() > MOST_SHARING {
            return outcomes.reject(RejectionClass::Oversize, format!("{}TXA", header.place));
        }
        drafts.push(Draft {
            identity,
            procedure,
            order_status: None,
            status_from: "TXA-17, TXA-19 and the trigger event",
            changed_at: version_time(header, group, Some(txa)),
            narrative,
            patient: 0,
        });
    }
    if drafts.is_empty() {
        outcomes.reject(RejectionClass::MissingIdentity, format!("{}TXA-12", header.place));
    }
    for draft in drafts {
        draft.finish_document(header, txa, outcomes);
    }
}

/// A report in the making.
struct Draft {
    identity: Identity,
    procedure: Procedure,
    order_status: Option<Status>,
    /// Where the status was read.
    status_from: &'static str,
    changed_at: time::Time,
    narrative: Narrative,
    /// Which PID it stands under: texts of two patients are never joined, whatever their keys.
    patient: usize,
}

/// Reads one order group; `None` when it is no report.
fn draft(
    header: &Header<'_>,
    index: usize,
    group: &Group<'_>,
) -> Result<Option<Draft>, super::Refused> {
    let obr = group.obr.as_ref();
    if obr.is_some_and(|obr| status::is_laboratory(&obr.value(24, 1))) {
        return Ok(None);
    }
    let (order_status, status_from) = order_status(header, group);
    let unknown_status =
        order_status.is_none() && obr.is_some_and(|obr| !obr.value(25, 1).is_empty());
    if order_status == Some(Status::Query) {
        return Ok(None);
    }
    let mut narrative = narrative::read(header, group)?;
    if unknown_status {
        note(&mut narrative.warnings, Warning::StatusUnknown);
    }
    let Some(identity) = identity::of(header, Some(group), None) else {
        if narrative.blocks.is_empty() && !narrative.withdrawn {
            return Ok(None); // measurements, pointers, nothing: no report is lost
        }
        let place = if obr.is_some() { format!("OBR[{}]-3", index + 1) } else { "OBR".to_owned() };
        return Err((RejectionClass::MissingIdentity, place));
    };
    Ok(Some(Draft {
        identity,
        procedure: procedure(group),
        order_status,
        status_from,
        changed_at: version_time(header, Some(group), None),
        narrative,
        patient: group.patient,
    }))
}

/// OBR-22 or TXA-8: when the result last changed.
fn version_time(
    header: &Header<'_>,
    group: Option<&Group<'_>>,
    txa: Option<&Fields<'_>>,
) -> time::Time {
    let read = |value: &str| time::parse(value, header.time_zone);
    let obr = group.and_then(|group| group.obr.as_ref());
    let order = obr.map_or(time::Time::Absent, |obr| read(&obr.value(22, 1)));
    let document = txa.map_or(time::Time::Absent, |txa| read(&txa.value(8, 1)));
    match (document, order) {
        (time::Time::Absent, order) => order,
        (time::Time::Bad, time::Time::At(ms)) => time::Time::At(ms),
        (document, _) => document,
    }
}

/// OBR-4 and OBR-44 with their alternates, OBR-24.
fn procedure(group: &Group<'_>) -> Procedure {
    let mut procedure = Procedure::default();
    let Some(obr) = &group.obr else { return procedure };
    for field in [4, 44] {
        let [code, text, system, other_code, other_text, other_system] = obr.parse(field).values();
        for (code, text, system) in [(code, text, system), (other_code, other_text, other_system)] {
            if code.is_empty() && text.is_empty() {
                continue;
            }
            let [code, text, system] = [code, text, system].map(Cow::into_owned);
            procedure.add(Coding { code, text, system });
        }
    }
    let section = obr.value(24, 1);
    if !section.is_empty() {
        procedure.service_section = Some(section.to_ascii_uppercase());
    }
    procedure
}

/// TXA-2 and TXA-25 name the document where no OBR does.
fn title(txa: &Fields<'_>) -> Option<Coding> {
    let text = [txa.value(25, 1), txa.value(2, 2)].into_iter().find(|text| !text.is_empty())?;
    Some(Coding { text: text.into_owned(), ..Coding::default() })
}

impl Draft {
    fn is_same_report(&self, other: &Self) -> bool {
        self.identity.key == other.identity.key && self.patient == other.patient
    }

    /// Joins a later group of the same key: more text, more codings, the stronger status.
    fn absorb(&mut self, other: Self) {
        self.absorb_procedure(other.procedure);
        if self.order_status.is_none() {
            self.order_status = other.order_status;
        }
        if !matches!(self.changed_at, time::Time::At(_)) {
            self.changed_at = other.changed_at;
        }
        let says_otherwise = |n: &Narrative| !n.withdrawn && !n.blocks.is_empty();
        self.narrative.withdrawn = (self.narrative.withdrawn || other.narrative.withdrawn)
            && !says_otherwise(&self.narrative)
            && !says_otherwise(&other.narrative);
        self.narrative.blocks.extend(other.narrative.blocks);
        self.narrative.statuses.extend(other.narrative.statuses);
        self.narrative.has_values |= other.narrative.has_values;
        self.narrative.measurements += other.narrative.measurements;
        self.narrative.pieces.extend(other.narrative.pieces);
        for warning in other.narrative.warnings {
            note(&mut self.narrative.warnings, warning);
        }
    }

    fn absorb_procedure(&mut self, other: Procedure) {
        for coding in other.codings {
            if !self.procedure.add(coding) {
                note(&mut self.narrative.warnings, Warning::CodingsCut);
            }
        }
        if self.procedure.service_section.is_none() {
            self.procedure.service_section = other.service_section;
        }
    }

    /// Says how it was read.
    fn trace(&self, changed_from: &str, reading: &mut Reading) {
        let given = matches!(self.changed_at, time::Time::At(_));
        reading.fields.extend(self.identity.fields.iter().cloned());
        reading.fields.push(FieldUse::new("status", self.status_from));
        let changed_from = if given { changed_from } else { "MSH-7" };
        reading.fields.push(FieldUse::new("changed_at", changed_from));
        reading.pieces.clone_from(&self.narrative.pieces);
    }

    /// Ends an order group as its outcome.
    fn finish(self, header: &Header<'_>, message_is_textless: bool, outcomes: &mut Outcomes) {
        outcomes.trace_next(|reading| self.trace("OBR-22", reading));
        let narrative = &self.narrative;
        let has_text = !narrative.blocks.is_empty();
        let unread = narrative.warnings.contains(&Warning::AttachmentNotRead);
        if !has_text && !narrative.withdrawn && !unread && narrative.measurements > 0 {
            return outcomes.skip(Skip::NonReport);
        }
        let mut missing = false;
        let status = match self.order_status {
            Some(Status::Withdrawn) => ReportStatus::Retracted,
            _ if narrative.withdrawn => ReportStatus::Retracted,
            Some(Status::NoResult) if !has_text => return outcomes.skip(Skip::NoText),
            Some(Status::NoResult) => ReportStatus::Partial,
            Some(given) => refine(given, &narrative.statuses),
            None => {
                let of_lines = strongest(&narrative.statuses);
                missing = of_lines.is_none();
                of_lines.unwrap_or(ReportStatus::Final)
            }
        };
        let unsent = narrative.statuses.contains(&Status::FinalUnsent)
            || (self.order_status == Some(Status::Final)
                && message_is_textless
                && !narrative.has_values
                && !unread);
        let intent = match status {
            ReportStatus::Retracted => Intent::Retract,
            _ if !has_text && unsent => Intent::Promote,
            _ => Intent::Label,
        };
        let mut report = self.into_report(header, status, intent);
        if missing && !report.warnings.contains(&Warning::StatusUnknown) {
            report.warn(Warning::StatusMissing);
        }
        outcomes.report(report);
    }

    /// Ends a document as its outcome.
    fn finish_document(self, header: &Header<'_>, txa: &Fields<'_>, outcomes: &mut Outcomes) {
        outcomes.trace_next(|reading| self.trace("TXA-8 or OBR-22", reading));
        let has_text = !self.narrative.blocks.is_empty();
        let completion = status::of_document(&txa.value(17, 1));
        let of_lines = strongest(&self.narrative.statuses);
        let given = completion.and_then(Status::report).or(of_lines);
        let deleted = txa.value(19, 1).eq_ignore_ascii_case("CA"); // table 0273: deleted
        let status = match &*header.trigger {
            "T11" => ReportStatus::Retracted,
            _ if deleted || self.narrative.withdrawn => ReportStatus::Retracted,
            "T05" | "T06" => ReportStatus::Appended,
            "T07" | "T08" => ReportStatus::Amended,
            "T09" | "T10" => ReportStatus::Corrected,
            _ => given.unwrap_or(ReportStatus::Final),
        };
        let without_content = matches!(&*header.trigger, "T01" | "T03" | "T05" | "T07" | "T09");
        let intent = match status {
            ReportStatus::Retracted => Intent::Retract,
            ReportStatus::Final if header.trigger == "T03" && !has_text => Intent::Promote,
            _ if without_content && !has_text => return outcomes.skip(Skip::NonReport),
            _ => Intent::Label,
        };
        let mut report = self.into_report(header, status, intent);
        if given.is_none() && status == ReportStatus::Final {
            report.warn(Warning::StatusMissing);
        }
        outcomes.report(report);
    }

    fn into_report(mut self, header: &Header<'_>, status: ReportStatus, intent: Intent) -> Report {
        let mut warnings = header.warnings.clone();
        for warning in self.identity.warnings.iter().chain(&self.narrative.warnings) {
            note(&mut warnings, *warning);
        }
        let changed_at_ms = match self.changed_at {
            time::Time::At(ms) => ms,
            time::Time::Absent => header.message_at_ms,
            time::Time::Bad => {
                note(&mut warnings, Warning::BadTimestamp);
                header.message_at_ms
            }
        };
        // What arrives as an addendum is one, whatever its lines are called. Headings inside still
        // tell a whole report that was sent again.
        if header.trigger == "T06" || self.order_status == Some(Status::Appended) {
            for block in &mut self.narrative.blocks {
                block.section.get_or_insert(SectionKind::Addendum);
            }
        }
        Report {
            key: self.identity.key,
            accession_number: self.identity.accession_number,
            intent,
            status,
            version: ReportVersion {
                changed_at_ms,
                rank: status.rank(),
                message_at_ms: header.message_at_ms,
            },
            procedure: self.procedure,
            blocks: if intent == Intent::Label { self.narrative.blocks } else { Vec::new() },
            message_type: super::type_name(&header.kind, &header.trigger),
            sending_application: header.msh.value(3, 1).into_owned(),
            sending_facility: header.msh.value(4, 1).into_owned(),
            charset: header.charset,
            profile: header.profile.map(|profile| Arc::clone(&profile.name)),
            test_message: header.test_message,
            warnings,
        }
    }
}
