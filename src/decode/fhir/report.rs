//! One FHIR resource that is a report → its outcome.

use std::sync::Arc;

use super::Context;
use super::index::{Holder, Index};
use super::model::{CodeableConcept, Identifier, Kind, Resource};
use super::narrative::{self, Narrative};
use crate::decode::status::{self, Status};
use crate::decode::{
    FieldUse, Outcomes, RejectionClass, SourceProfile, has_too_many_lines, note, section_code, time,
};
use crate::report::{
    Coding, Intent, Phi, Procedure, Report, ReportKey, ReportStatus, ReportVersion, Skip, Warning,
};

/// Security label of what an AI asserted (code system `v3-ObservationValue`).
pub(super) const AI_ASSERTED: &str = "AIAST";
/// Security label of test data (code system `v3-ActReason`).
const TEST_DATA: &str = "HTEST";

/// Reads a DiagnosticReport, Composition, DocumentReference or narrative Observation.
pub(super) fn read<'r>(
    resource: &'r Resource,
    composition: Option<&'r Resource>,
    path: &str,
    index: &Index<'r>,
    context: &Context<'_>,
    outcomes: &mut Outcomes,
) {
    outcomes.identify_place(path);
    let profile = profile(resource, context);
    outcomes.trace_next(|reading| {
        reading.place = path.to_owned();
        reading.message_type = resource.resource_type.text().to_owned();
        reading.profile = profile.map(|profile| profile.name.to_string());
    });
    if let Some(field) = malformed(resource) {
        return outcomes.reject(RejectionClass::WrongType, format!("{path}.{field}"));
    }
    let is_report = resource.is("DiagnosticReport");
    let (procedure, whole) = procedure(resource, composition);
    if is_laboratory(resource)
        || (resource.is("Observation") && !is_narrative(resource))
        || (!is_report && !resource.is("Observation") && !is_imaging_document(resource))
    {
        return outcomes.skip(Skip::NonReport);
    }
    if resource.is_labelled(TEST_DATA) && !context.options.accept_test_messages {
        return outcomes.skip(Skip::Test);
    }
    let mut warnings = context.warnings.clone();
    if !whole {
        note(&mut warnings, Warning::CodingsCut);
    }
    let drafted = |document: &Resource| document.is_labelled(AI_ASSERTED);
    if drafted(resource) || composition.is_some_and(drafted) {
        note(&mut warnings, Warning::AiDrafted);
    }
    let is_document = resource.is("DocumentReference");
    let status_code = match resource.resource_type.text() {
        // DocumentReference.status is the reference's; docStatus is the document's.
        "DocumentReference" if resource.status.text() != "entered-in-error" => {
            resource.doc_status.text()
        }
        _ => resource.status.text(),
    };
    let given = status::of_fhir(status_code);
    let reader =
        narrative::Reader { index, pdfs: &context.pdfs, profile, traced: outcomes.is_traced() };
    let mut narrative = match resource.resource_type.text() {
        "DiagnosticReport" => reader.of_report(resource, composition),
        "Composition" => reader.of_composition(resource),
        "DocumentReference" => reader.of_document(resource),
        _ => reader.of_observation(resource),
    };
    outcomes.trace_next(|reading| reading.pieces = std::mem::take(&mut narrative.pieces));
    let status = match given {
        Some(Status::NoResult) if narrative.blocks.is_empty() => {
            return outcomes.skip(Skip::NoText);
        }
        Some(Status::NoResult) => ReportStatus::Partial,
        Some(given) => given.report().unwrap_or(ReportStatus::Final),
        None => {
            // `unknown` is a code of the standard; any other word is not.
            let given = !matches!(status_code.trim(), "" | "unknown");
            let warning = if given { Warning::StatusUnknown } else { Warning::StatusMissing };
            note(&mut warnings, warning);
            ReportStatus::Final
        }
    };
    let Narrative { blocks, unread, of_pdf, elsewhere, .. } = narrative;
    if has_too_many_lines(&blocks) {
        return outcomes.reject(RejectionClass::Oversize, path);
    }
    if of_pdf {
        note(&mut warnings, Warning::TextFromPdf);
    }
    if unread {
        note(&mut warnings, Warning::AttachmentNotRead);
    }
    let retract = status == ReportStatus::Retracted;
    let other = crate::extract::is_plainly_other(&procedure);
    if blocks.is_empty() && elsewhere && !unread && !retract && !other {
        return outcomes.skip(Skip::NeedsFetch);
    }
    let sender = sender(resource, context);
    let found = identity(resource, index, profile, &sender, &mut warnings);
    let Some(Identity { key, number, number_from, authority_from }) = found else {
        return outcomes.reject(RejectionClass::MissingIdentity, format!("{path}.identifier"));
    };
    outcomes.trace_next(|reading| {
        reading.fields = vec![
            FieldUse::new("number", number_from),
            FieldUse::new("authority", authority_from),
            FieldUse::new("status", if is_document { "docStatus" } else { "status" }),
            FieldUse::new("changed_at", "issued, date, meta.lastUpdated or effectiveDateTime"),
        ];
    });
    let zone = profile.and_then(|profile| profile.time_zone.as_deref());
    let zone = zone.unwrap_or(&context.options.time_zone);
    let version = version(resource, status, context, zone, &mut warnings);
    outcomes.report(Report {
        key,
        accession_number: Phi::new(number),
        intent: if retract { Intent::Retract } else { Intent::Label },
        status,
        version,
        procedure,
        blocks: if retract { Vec::new() } else { blocks },
        message_type: resource.resource_type.text().to_owned(),
        sending_application: sender,
        sending_facility: String::new(),
        profile: profile.map(|profile| Arc::clone(&profile.name)),
        charset: context.charset,
        test_message: resource.is_labelled(TEST_DATA),
        warnings,
    });
}

/// A field that carries the report and is not of the type FHIR gives it.
fn malformed(resource: &Resource) -> Option<&'static str> {
    [
        (resource.presented_form.is_malformed(), "presentedForm"),
        (resource.conclusion.is_malformed(), "conclusion"),
        (resource.status.is_malformed(), "status"),
        (resource.section.is_malformed(), "section"),
        (resource.value_string.is_malformed(), "valueString"),
    ]
    .into_iter()
    .find_map(|(wrong, field)| wrong.then_some(field))
}

/// Whether an Observation is a piece of an imaging report and not a measurement.
pub(super) fn is_narrative(observation: &Resource) -> bool {
    let long = observation.value_string.text().len() >= 20;
    let imaging = observation.category.items().iter().any(|c| c.has_code("imaging"));
    let coded = observation
        .code
        .as_ref()
        .is_some_and(|code| code.codes().any(section_code::is_imaging_narrative));
    long && (imaging || coded)
}

/// Whether a Composition or DocumentReference says it is an imaging report.
fn is_imaging_document(document: &Resource) -> bool {
    let imaging = |concept: &CodeableConcept| {
        concept.codes().any(|code| {
            section_code::is_imaging_narrative(code)
                || matches!(code, "LP29684-5" | "RAD" | "imaging")
        }) || crate::extract::names_chest_radiograph(concept.text.text())
            || concept
                .coding
                .items()
                .iter()
                .any(|c| crate::extract::names_chest_radiograph(c.display.text()))
    };
    let of_type =
        matches!(document.kind.as_ref(), Some(Kind::Concept(concept)) if imaging(concept));
    of_type || document.category.items().iter().any(|concept| imaging(concept))
}

fn is_laboratory(resource: &Resource) -> bool {
    resource.category.items().iter().any(|category| category.codes().any(status::is_laboratory))
}

/// What was done, and whether all of its codings had room.
fn procedure(resource: &Resource, composition: Option<&Resource>) -> (Procedure, bool) {
    let mut procedure = Procedure::default();
    let mut whole = true;
    let mut add = |concept: &CodeableConcept| {
        for coding in concept.coding.items() {
            whole &= procedure.add(Coding {
                code: coding.code.text().to_owned(),
                text: coding.display.text().to_owned(),
                system: coding.system.text().to_owned(),
            });
        }
        let text = concept.text.text();
        if !text.is_empty() && !procedure.codings.iter().any(|coding| coding.text == text) {
            whole &= procedure.add(Coding { text: text.to_owned(), ..Coding::default() });
        }
    };
    if let Some(code) = resource.code.as_ref() {
        add(code);
    }
    for document in [Some(resource), composition].into_iter().flatten() {
        if let Some(Kind::Concept(kind)) = document.kind.as_ref() {
            add(kind);
        }
    }
    for title in [Some(resource), composition].into_iter().flatten().map(|r| r.title.text()) {
        if !title.is_empty() {
            whole &= procedure.add(Coding { text: title.to_owned(), ..Coding::default() });
        }
    }
    let codes = || resource.category.items().iter().flat_map(|category| category.codes());
    procedure.service_section = codes()
        .find(|code| code.len() <= 3 && code.bytes().all(|b| b.is_ascii_uppercase()))
        .map(ToOwned::to_owned)
        .or_else(|| {
            let radiology = |code: &str| matches!(code, "LP29684-5" | "394914008" | "imaging");
            codes().any(radiology).then(|| "RAD".to_owned())
        });
    (procedure, whole)
}

fn sender(resource: &Resource, context: &Context<'_>) -> String {
    let source = resource.meta.as_ref().map_or("", |meta| meta.source.text());
    if source.is_empty() { context.source.clone() } else { source.to_owned() }
}

/// The profile of who made it: by `meta.source`, the message's source, or who issues its numbers.
fn profile<'c>(resource: &Resource, context: &Context<'c>) -> Option<&'c SourceProfile> {
    let profiles = &context.options.profiles;
    if profiles.is_empty() {
        return None;
    }
    let own = resource.meta.as_ref().map_or("", |meta| meta.source.text());
    let issuers = resource.identifier.items().iter().map(|identifier| identifier.system.text());
    profiles.of_fhir([own, &context.source].into_iter().chain(issuers))
}

/// Who a report is, and where that was read.
struct Identity {
    key: ReportKey,
    number: String,
    number_from: &'static str,
    authority_from: &'static str,
}

/// Filler or accession number: that of the profile's system, the report's own, its order's, its study's; then, said so, any
/// business identifier, and the resource id.
fn identity(
    resource: &Resource,
    index: &Index<'_>,
    profile: Option<&SourceProfile>,
    sender: &str,
    warnings: &mut Vec<Warning>,
) -> Option<Identity> {
    let own: Vec<&Identifier> = usable(resource.identifier.items().iter().map(|i| &**i));
    let mut related: Vec<&Identifier> = Vec::new();
    let holder = Holder::of(resource);
    let references = [&resource.based_on, &resource.imaging_study, &resource.study];
    for reference in references.into_iter().flat_map(|list| list.items()) {
        related.extend(usable(reference.identifier.as_ref().map(|i| &**i).into_iter()));
        if let Some(target) = index.resolve(&holder, reference) {
            related.extend(usable(target.identifier.items().iter().map(|i| &**i)));
            let accession = target.accession_identifier.as_ref().map(|i| &**i);
            related.extend(usable(accession.into_iter()));
        }
    }
    let typed = |identifiers: &[&'_ Identifier], code: &str| -> Option<(String, String)> {
        identifiers
            .iter()
            .find(|i| i.kind.as_ref().is_some_and(|kind| kind.has_code(code)))
            .map(|i| parts(i))
    };
    let with = |from: &'static str| move |found: (String, String)| (found, from);
    let system = profile.and_then(|profile| profile.fhir_accession_system.as_deref());
    let named = system.and_then(|system| {
        let mut all = own.iter().chain(&related);
        all.find(|i| i.system.text().trim() == system).map(|i| parts(i))
    });
    let filler = named
        .map(with("identifier of the profile's system"))
        .or_else(|| typed(&own, "FILL").map(with("identifier, type FILL")))
        .or_else(|| typed(&own, "ACSN").map(with("identifier, type ACSN")))
        .or_else(|| typed(&related, "FILL").map(with("identifier of the order, type FILL")))
        .or_else(|| typed(&related, "ACSN").map(with("identifier of order or study, type ACSN")));
    let ((number, authority), number_from) = match filler {
        Some(found) => found,
        None => {
            note(warnings, Warning::FillerNumberMissing);
            own.iter()
                .find(|i| !i.kind.as_ref().is_some_and(|kind| kind.has_code("PLAC")))
                .or_else(|| own.first())
                .map(|i| (parts(i), "identifier"))
                .or_else(|| {
                    let id = resource.id.text().trim();
                    (!id.is_empty()).then(|| ((id.to_owned(), String::new()), "id"))
                })?
        }
    };
    let own = profile.and_then(|profile| profile.authority.clone());
    let (authority, authority_from) = match own {
        _ if !authority.is_empty() => (authority, "identifier.system or assigner"),
        Some(own) => (own, "the profile"),
        None => {
            note(warnings, Warning::AuthorityMissing);
            (sender.to_owned(), "meta.source or MessageHeader.source")
        }
    };
    let key = ReportKey::new(&authority, &number);
    Some(Identity { key, number, number_from, authority_from })
}

fn usable<'i>(identifiers: impl Iterator<Item = &'i Identifier>) -> Vec<&'i Identifier> {
    identifiers.filter(|identifier| !identifier.value.text().trim().is_empty()).collect()
}

/// Number and authority.
fn parts(identifier: &Identifier) -> (String, String) {
    let assigner = identifier.assigner.as_ref().map_or("", |assigner| assigner.display.text());
    let system = identifier.system.text();
    let authority = if system.is_empty() { assigner } else { system };
    (identifier.value.text().trim().to_owned(), authority.trim().to_owned())
}

fn version(
    resource: &Resource,
    status: ReportStatus,
    context: &Context<'_>,
    zone: &str,
    warnings: &mut Vec<Warning>,
) -> ReportVersion {
    let mut read = |text: &str| match time::parse(text, zone) {
        time::Time::At(ms) => Some(ms),
        time::Time::Absent => None,
        time::Time::Bad => {
            note(warnings, Warning::BadTimestamp);
            None
        }
    };
    let updated = resource.meta.as_ref().map_or("", |meta| meta.last_updated.text());
    let message_at = read(updated).or_else(|| read(&context.timestamp));
    let changed_at = read(resource.issued.text())
        .or_else(|| read(resource.date.text()))
        .or(message_at)
        .or_else(|| read(resource.effective_date_time.text()));
    ReportVersion {
        changed_at_ms: changed_at.unwrap_or(0),
        rank: status.rank(),
        message_at_ms: message_at.unwrap_or(0),
    }
}
