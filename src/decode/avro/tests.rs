use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::*;

const ENVELOPE: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"id","type":"long"},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["NEW","OLD"]}},
    {"name":"tags","type":{"type":"array","items":"Kind"}},
    {"name":"headers","type":{"type":"map","values":"string"}},
    {"name":"event","type":["null",{"type":"record","name":"Body","fields":[
        {"name":"text","type":["null","string"]},{"name":"raw","type":"bytes"}]}]}]}"#;

fn framed(id: u32, text: Option<&str>, raw: &[u8]) -> Vec<u8> {
    let schema = Schema::parse_str(ENVELOPE).unwrap();
    let kind = || Value::Enum(1, "OLD".into());
    let text = text.map_or(Value::Union(0, Box::new(Value::Null)), |text| {
        Value::Union(1, Box::new(Value::String(text.into())))
    });
    let body = vec![("text".into(), text), ("raw".into(), Value::Bytes(raw.to_vec()))];
    let value = Value::Record(vec![
        ("id".into(), Value::Long(-7)),
        ("kind".into(), kind()),
        ("tags".into(), Value::Array(vec![kind(), kind()])),
        ("headers".into(), Value::Map([("a".into(), Value::String("b".into()))].into())),
        ("event".into(), Value::Union(1, Box::new(Value::Record(body)))),
    ]);
    let mut payload = vec![0];
    payload.extend(id.to_be_bytes());
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value(&mut payload, value).unwrap();
    payload
}

fn input(field: &str) -> AvroInput {
    AvroInput::new(field, WriterSchemas::one(ENVELOPE).unwrap())
}

#[test]
fn the_field_is_found_through_records_and_unions_as_text_or_bytes() {
    let payload = framed(3, Some("MSH|"), b"\x0bMSH|\xf6");
    assert_eq!(open(&payload, &input("event.text")).as_deref(), Ok(&b"MSH|"[..]));
    assert_eq!(open(&payload, &input("event.raw")).as_deref(), Ok(&b"\x0bMSH|\xf6"[..]));
}

#[test]
fn what_is_not_there_is_told_by_class() {
    let payload = framed(3, None, b"x");
    for (field, class) in [
        ("event.text", RejectionClass::Empty),
        ("event.other", RejectionClass::WrongType),
        ("event", RejectionClass::WrongType),
        ("id", RejectionClass::WrongType),
        ("event.text.deeper", RejectionClass::WrongType),
    ] {
        assert_eq!(open(&payload, &input(field)), Err(class), "{field}");
    }
    for end in 5..payload.len() {
        assert!(open(&payload[..end], &input("event.raw")).is_err(), "cut at {end}");
    }
}

#[test]
fn schemas_are_known_by_id_once_told() {
    let schemas = WriterSchemas::default();
    let payload = framed(3, Some("MSH|"), b"");
    assert_eq!(schemas.unknown(&payload), Some(3));
    schemas.insert(3, Some(ENVELOPE)).unwrap();
    assert_eq!(schemas.unknown(&payload), None);
    let other = framed(4, Some("MSH|"), b"");
    schemas.insert(4, None).unwrap();
    assert_eq!(schemas.unknown(&other), None, "asked, and there is none");
    let input = AvroInput { field: vec!["event".into(), "text".into()], schemas: schemas.into() };
    assert!(open(&payload, &input).is_ok());
    assert_eq!(open(&other, &input), Err(RejectionClass::UnknownFormat));
    assert_eq!(WriterSchemas::default().unknown(b"MSH|^~\\&|A"), None);
    assert_eq!(WriterSchemas::default().unknown(b"\0\0\0\0\x07{\"a\":1}"), None, "JSON");
}

#[test]
fn schemas_of_which_little_data_may_stand_for_much_are_refused() {
    let refused = |json: &str| WriterSchemas::one(json).err();
    assert_eq!(refused("{"), Some(SchemaError::Syntax));
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    assert_eq!(refused(list), Some(SchemaError::Recursive));
    let nulls = r#"{"type":"record","name":"N","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#;
    assert_eq!(refused(nulls), Some(SchemaError::Weightless));
    let empty = r#"{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"n","type":"null"}]}}"#;
    assert_eq!(refused(empty), Some(SchemaError::Weightless));
}
