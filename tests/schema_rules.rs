//! Holds the files in `schemas/` to the rules that keep them readable by everyone, in any order of
//! upgrades (FULL_TRANSITIVE).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use radstream::publish::{Contract, DistillationSample, decode};
use serde_json::Value as Json;

fn json(contract: Contract) -> Json {
    serde_json::from_str(contract.json()).unwrap()
}

/// Every object in a schema, at any depth.
fn objects<'a>(json: &'a Json, found: &mut Vec<&'a serde_json::Map<String, Json>>) {
    match json {
        Json::Object(map) => {
            found.push(map);
            map.values().for_each(|value| objects(value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| objects(item, found)),
        _ => {}
    }
}

#[test]
fn every_record_field_and_enum_is_documented() {
    for contract in Contract::ALL {
        let schema = json(contract);
        let mut found = Vec::new();
        objects(&schema, &mut found);
        let mut named = 0;
        for object in found.iter().filter(|object| object.contains_key("name")) {
            named += 1;
            let doc = object.get("doc").and_then(Json::as_str).unwrap_or_default();
            assert!(doc.len() > 10, "{}: {:?}", contract.file(), object.get("name"));
        }
        assert!(named > 30, "{} of {}", named, contract.file());
    }
}

#[test]
fn every_enum_begins_with_unknown_and_falls_back_to_it() {
    for contract in Contract::ALL {
        let schema = json(contract);
        let mut found = Vec::new();
        objects(&schema, &mut found);
        let enums: Vec<_> =
            found.iter().filter(|o| o.get("type") == Some(&Json::from("enum"))).collect();
        assert!(!enums.is_empty());
        for object in enums {
            assert_eq!(object["default"], "UNKNOWN", "{}", contract.file());
            assert_eq!(object["symbols"][0], "UNKNOWN", "{}", contract.file());
        }
    }
}

/// Code generators put every type of a namespace into one package.
#[test]
fn a_type_that_stands_in_several_files_is_the_same_in_all() {
    let schemas = Contract::ALL.map(|contract| (contract.file(), json(contract)));
    let mut seen: BTreeMap<&str, (&str, &serde_json::Map<String, Json>)> = BTreeMap::new();
    let mut shared = 0;
    for (file, schema) in &schemas {
        let mut found = Vec::new();
        objects(schema, &mut found);
        for object in found {
            let is_type =
                matches!(object.get("type").and_then(Json::as_str), Some("record" | "enum"));
            let Some(name) = object.get("name").and_then(Json::as_str).filter(|_| is_type) else {
                continue;
            };
            if let Some((other, first)) = seen.insert(name, (file, object)) {
                shared += 1;
                assert_eq!(first, object, "{name} in {other} and {file}");
            }
        }
    }
    assert!(shared >= 6, "{shared}");
}

/// Readers without a registry find the schema by this fingerprint; these are what Python's fastavro
/// computes (`fastavro.schema.fingerprint(..., "CRC-64-AVRO")`). When a change is meant: add fields
/// with defaults only, rename and retype nothing, and pin the new fingerprint here.
#[test]
fn fingerprints_are_the_specifications_and_change_only_on_purpose() {
    let fingerprints = Contract::ALL.map(|contract| {
        let header = contract.single_object_header();
        assert_eq!(header[..2], [0xC3, 0x01]);
        header[2..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    });
    assert_eq!(fingerprints, ["f0e5960de76b82f1", "dc3d856c8ff6a85b", "d39ec84e5aefbe56"]);
}

#[test]
fn files_and_compiled_schemas_are_the_same() {
    for contract in Contract::ALL {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(contract.file());
        assert_eq!(std::fs::read_to_string(path).unwrap(), contract.json());
        assert_eq!(contract.schema().name().unwrap().to_string(), contract.name());
    }
}

fn avro(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Double(number.as_f64().unwrap()), Value::Long)
        }
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(avro).collect()),
        Json::Object(map) => {
            Value::Map(map.iter().map(|(name, value)| (name.clone(), avro(value))).collect())
        }
    }
}

fn sample() -> Json {
    let model = serde_json::json!({ "name": "default", "version": "0.1", "sha256": "00" });
    let probabilities = serde_json::json!({
        "not_mentioned": 0.1, "positive": 0.4, "negative": 0.4, "uncertain": 0.1
    });
    serde_json::json!({
        "sample_id": "8c28da81-238c-4326-bddd-4e3d00cc5099",
        "kind": "SAMPLE",
        "event_id": "8c28da81-238c-4326-bddd-4e3d00cc5098",
        "text_hash": "00",
        "sections": [{ "kind": "findings", "text": "No effusion." }],
        "deidentification": { "policy_version": "1", "replaced": { "date": 2 } },
        "labels": [{
            "observation": "pleural_effusion", "status": "negative", "label_source": "TEACHER",
            "student_status": "positive", "student_probabilities": probabilities,
            "teacher_status": "negative", "teacher_confidence": 0.9, "teacher_agreement": null,
            "quote": "No effusion."
        }],
        "selection_reasons": [{
            "reason": "low_confidence", "observation": "pleural_effusion",
            "confidence": 0.4, "threshold": 0.8
        }],
        "inclusion_probability": 1.0, "needs_review": false, "student": model,
        "teacher": { "model": "m", "provider": "p", "prompt_version": "v", "votes": 1 },
        "label_set_version": "1", "procedure_codes": ["36643-5"],
        "created_at": 1_717_243_200_123_i64, "software_version": "0.1.0",
        "shadow": { "model": model, "labels": [
            { "observation": "pleural_effusion", "status": "negative", "confidence": 0.75 }
        ] }
    })
}

#[test]
fn a_distillation_sample_fits_its_schema_and_a_withdrawal_needs_no_text() {
    let withdrawal = serde_json::json!({
        "sample_id": "8c28da81-238c-4326-bddd-4e3d00cc5099",
        "kind": "WITHDRAWN",
        "event_id": "8c28da81-238c-4326-bddd-4e3d00cc5098",
        "text_hash": "00", "sections": [], "deidentification": null, "labels": [],
        "selection_reasons": [], "inclusion_probability": null, "needs_review": false,
        "student": null, "teacher": null, "label_set_version": "1", "procedure_codes": [],
        "created_at": 1_717_243_200_123_i64, "software_version": "0.1.0", "shadow": null
    });
    let schema = Contract::Distillation.schema();
    for value in [sample(), withdrawal] {
        let avro = avro(&value).resolve(schema);
        assert!(avro.is_ok(), "{value}: {avro:?}");
    }
}

/// A distillation topic holds samples for months, and builds change meanwhile.
#[test]
fn what_an_earlier_build_wrote_is_read_in_both_framings() {
    let contract = Contract::Distillation;
    let names = |schema: &Schema| match schema {
        Schema::Record(record) => record.fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    for json in contract.earlier() {
        let writer = Schema::parse_str(json).unwrap();
        assert!(names(contract.schema()).starts_with(&names(&writer)), "only the end may be new");
        let mut fields = sample();
        fields.as_object_mut().unwrap().retain(|name, _| names(&writer).contains(name));
        let value = avro(&fields).resolve(&writer).unwrap();
        let body = GenericDatumWriter::builder(&writer).build().unwrap();
        let body = body.write_value_to_vec(value).unwrap();
        // What the build of that schema wrote in front of its samples.
        let single =
            [&[0xC3, 0x01, 0xca, 0x32, 0xdb, 0x3a, 0x59, 0xac, 0xce, 0x82][..], &body].concat();
        let confluent = [&[0, 0, 0, 0, 7][..], &body].concat();
        for payload in [&single, &confluent] {
            let read: DistillationSample<'static> = decode(contract, payload).unwrap();
            assert_eq!(read.labels[0].quote.as_deref(), Some("No effusion."));
            assert_eq!(read.software_version, "0.1.0");
            assert!(read.shadow.is_none());
            let cut = &payload[..payload.len() - 1];
            assert!(decode::<DistillationSample<'static>>(contract, cut).is_err());
        }
    }
    assert_eq!(contract.earlier().len(), 1);
}
