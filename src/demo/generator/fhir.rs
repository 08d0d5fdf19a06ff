//! FHIR R4 resources.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::order::Order;

/// A DiagnosticReport with the whole text as attachment.
pub(super) fn report(order: &Order) -> Value {
    let form = json!([{
        "contentType": "text/plain; charset=utf-8",
        "language": "en",
        "data": STANDARD.encode(order.document()),
    }]);
    with(order, "presentedForm", form)
}

/// A collection: DiagnosticReport, one Observation a section, Patient.
pub(super) fn bundle(order: &Order) -> Value {
    let (findings, impression) = order.texts();
    let mut results = Vec::new();
    let mut observations = Vec::new();
    let sections = [("59776-5", "Findings", findings), ("19005-8", "Impression", impression)];
    for (n, (code, name, text)) in (1..).zip(sections) {
        if text.is_empty() {
            continue;
        }
        let url = format!("urn:uuid:00000000-0000-4000-8000-{:011x}{n}", order.number);
        results.push(json!({"reference": url}));
        observations.push(json!({"fullUrl": url, "resource": {
            "resourceType": "Observation",
            "status": order.fhir_status(),
            "category": [{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": "imaging",
            }]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": name}]},
            "valueString": text,
        }}));
    }
    let report = with(order, "result", Value::Array(results));
    let (family, given) = order.patient;
    let mut entries = vec![json!({
        "fullUrl": format!("urn:uuid:00000000-0000-4000-8000-{:012x}", order.number),
        "resource": report,
    })];
    entries.extend(observations);
    entries.push(json!({"resource": {
        "resourceType": "Patient",
        "id": order.patient_id.to_lowercase(),
        "name": [{"family": family, "given": [given]}],
        "gender": if order.sex == "F" { "female" } else { "male" },
    }}));
    json!({
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": order.changed_fhir(),
        "entry": entries,
    })
}

/// A DiagnosticReport with its text in `field`.
pub(super) fn with(order: &Order, field: &str, text: Value) -> Value {
    let mut report = bare(order);
    if let Some(fields) = report.as_object_mut() {
        fields.insert(field.to_owned(), text);
    }
    report
}

/// The DiagnosticReport without its text.
fn bare(order: &Order) -> Value {
    let exam = order.exam;
    let (family, given) = order.doctor;
    json!({
        "resourceType": "DiagnosticReport",
        "id": order.accession.to_lowercase(),
        "meta": {"lastUpdated": order.changed_fhir(), "source": "urn:radstream:demo"},
        "identifier": [{
            "type": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                "code": "FILL",
            }]},
            "system": format!("urn:radstream:demo:{}", order.authority.to_lowercase()),
            "value": order.accession,
        }],
        "status": order.fhir_status(),
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
            "code": exam.section,
        }]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": exam.loinc, "display": exam.text}],
            "text": exam.text,
        },
        "subject": {"reference": format!("Patient/{}", order.patient_id.to_lowercase())},
        "effectiveDateTime": order.examined_fhir(),
        "issued": order.changed_fhir(),
        "resultsInterpreter": [{"display": format!("{given} {family}, MD")}],
    })
}
