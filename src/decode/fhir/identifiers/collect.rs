//! What one resource says of people, at any depth, those it contains included.

use serde_json::{Map, Value};

use crate::decode::identifiers::Found;
use crate::report::KnownKind;

/// Elements that hold report text, codes of medicine, or resources that stand for themselves.
const PASSED_OVER: [&str; 12] = [
    "text",
    "div",
    "presentedForm",
    "content",
    "conclusion",
    "conclusionCode",
    "data",
    "code",
    "category",
    "entry",
    "component",
    "referenceRange",
];

/// Whose a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Patient,
    Somebody,
    /// An organisation's, a place's.
    Place,
    /// A device's, a message's source's: nobody's.
    Nobody,
}

/// Adds what a resource gives, and the addresses that it refers to.
pub(super) fn resource<'v>(value: &'v Value, found: &mut Found, references: &mut Vec<&'v str>) {
    walk(value, "", Whose::Nobody, found, references);
}

/// `key` is the element's name. The depth is bounded by the JSON parser's.
fn walk<'v>(
    value: &'v Value,
    key: &str,
    whose: Whose,
    found: &mut Found,
    references: &mut Vec<&'v str>,
) {
    match value {
        Value::Array(items) => {
            items.iter().for_each(|item| walk(item, key, whose, found, references));
        }
        Value::Object(map) => {
            let whose = match map.get("resourceType").and_then(Value::as_str) {
                Some(kind) => whose_name(kind),
                // The contact of a patient or an organisation is a person.
                None if matches!(key, "contact" | "qualification") => Whose::Somebody,
                None => whose,
            };
            element(map, key, whose, found);
            if let Some(address) = map.get("reference").and_then(Value::as_str) {
                references.push(address);
            }
            for (name, inner) in map {
                if !PASSED_OVER.contains(&name.as_str()) {
                    walk(inner, name, whose, found, references);
                }
            }
        }
        Value::String(text) => string(text, key, whose, found),
        _ => {}
    }
}

fn whose_name(resource_type: &str) -> Whose {
    match resource_type {
        "Patient" | "Person" => Whose::Patient,
        "Practitioner" | "PractitionerRole" | "RelatedPerson" => Whose::Somebody,
        "Organization" | "Location" | "HealthcareService" => Whose::Place,
        _ => Whose::Nobody,
    }
}

/// An element that is one thing: an identifier, a name, an address.
fn element(map: &Map<String, Value>, key: &str, whose: Whose, found: &mut Found) {
    match key {
        "identifier"
        | "accessionIdentifier"
        | "accession"
        | "masterIdentifier"
        | "groupIdentifier"
        | "requisition"
        | "valueIdentifier"
        | "placerOrderNumber"
        | "fillerOrderNumber" => {
            found.add(KnownKind::Number, &scalar(map.get("value")));
        }
        "telecom" | "valueContactPoint" => found.add(KnownKind::Contact, &scalar(map.get("value"))),
        "address" | "valueAddress" => {
            found.add(KnownKind::Address, &scalar(map.get("text")));
            let parts = ["line", "city", "district", "state", "postalCode"];
            found.add(KnownKind::Address, &joined(map, &parts));
        }
        "name" | "valueHumanName" => {
            let kind = match whose {
                Whose::Patient => KnownKind::PatientName,
                _ => KnownKind::PersonName,
            };
            found.add(kind, &scalar(map.get("text")));
            found.add(kind, &joined(map, &["family", "given"]));
        }
        "extension" => {
            let url = map.get("url").and_then(Value::as_str).unwrap_or_default();
            if url.ends_with("mothersMaidenName") {
                found.add(KnownKind::PersonName, &scalar(map.get("valueString")));
            }
        }
        _ => {}
    }
    if map.contains_key("display")
        && let Some(kind) = referred(map, key)
    {
        found.add(kind, &scalar(map.get("display")));
    }
}

/// A string that is one thing by the name of its element.
fn string(text: &str, key: &str, whose: Whose, found: &mut Found) {
    let is_day = matches!(
        key,
        "birthDate" | "issued" | "date" | "authoredOn" | "start" | "end" | "started" | "recorded"
    ) || key.ends_with("DateTime")
        || matches!(key, "effectiveInstant" | "lastUpdated" | "timestamp" | "created" | "sent");
    let begins_with_year = text.chars().take(4).filter(char::is_ascii_digit).count() == 4;
    if is_day && begins_with_year {
        return found.add(KnownKind::Date, text);
    }
    match (key, whose) {
        ("name" | "alias", Whose::Place) => found.add(KnownKind::Facility, text),
        ("name", Whose::Patient) => found.add(KnownKind::PatientName, text),
        ("name", Whose::Somebody) => found.add(KnownKind::PersonName, text),
        ("address", Whose::Patient | Whose::Somebody | Whose::Place) => {
            found.add(KnownKind::Address, text);
        }
        ("authorString", _) => found.add(KnownKind::PersonName, text),
        ("telecom", _) => found.add(KnownKind::Contact, text),
        ("identifier", _) => found.add(KnownKind::Number, text),
        ("serialNumber", _) => found.add(KnownKind::Number, text),
        _ => {}
    }
}

/// What the display of a reference names: by the type it points to, else by the element it stands in.
fn referred(map: &Map<String, Value>, key: &str) -> Option<KnownKind> {
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let address = text("reference").split("/_history/").next().unwrap_or_default();
    let of_address = address.rsplit('/').nth(1).unwrap_or_default();
    let of_type = text("type");
    for kind in [of_type, of_address] {
        match whose_name(kind) {
            Whose::Patient => return Some(KnownKind::PatientName),
            Whose::Somebody => return Some(KnownKind::PersonName),
            Whose::Place => return Some(KnownKind::Facility),
            Whose::Nobody => {}
        }
    }
    match key {
        "subject" | "patient" => Some(KnownKind::PatientName),
        "performer"
        | "resultsInterpreter"
        | "interpreter"
        | "author"
        | "requester"
        | "practitioner"
        | "individual"
        | "actor"
        | "recorder"
        | "asserter"
        | "party"
        | "sender"
        | "receiver"
        | "responsible"
        | "referrer"
        | "generalPractitioner"
        | "authenticator"
        | "enterer"
        | "participant"
        | "operator"
        | "informant"
        | "who"
        | "orderer"
        | "member"
        | "source"
        | "recipient"
        | "informationSource" => Some(KnownKind::PersonName),
        "managingOrganization"
        | "organization"
        | "serviceProvider"
        | "custodian"
        | "assigner"
        | "location"
        | "facility"
        | "owner"
        | "provider"
        | "partOf"
        | "issuer"
        | "insurer"
        | "origin"
        | "destination" => Some(KnownKind::Facility),
        _ => None,
    }
}

/// A string or a number as text.
fn scalar(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Elements of an object, each a string or a list of them, parted by `^`.
fn joined(map: &Map<String, Value>, names: &[&str]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for name in names {
        match map.get(*name) {
            Some(Value::Array(items)) => parts.extend(items.iter().map(|item| scalar(Some(item)))),
            one => parts.push(scalar(one)),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("^")
}
