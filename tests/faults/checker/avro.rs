//! Published values, read apart from the code under test: framing, fingerprint and fields from the
//! specification of Avro and the files under `schemas/`.

use std::io::{self, Read};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::Value as Json;

/// Fingerprint of nothing, and the polynomial, of CRC-64-AVRO.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

/// A schema that values are framed with (single-object encoding).
pub struct Contract {
    schema: Schema,
    /// What every value begins with.
    header: [u8; 10],
    name: String,
}

impl Contract {
    /// From the text of a schema's file.
    pub fn of(text: &str) -> Self {
        let json: Json = serde_json::from_str(text).expect("a schema is JSON");
        let canonical = canonical(&json, "");
        let fingerprint = crc64(canonical.as_bytes());
        let mut header = [0; 10];
        for (to, from) in
            header.iter_mut().zip([0xc3, 0x01].iter().chain(&fingerprint.to_le_bytes()))
        {
            *to = *from;
        }
        let schema = Schema::parse_str(text).expect("a schema of ours parses");
        let name = full_name(&json, "");
        Self { schema, header, name }
    }

    /// Namespace and name of the record.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The record in a value; what is wrong with it otherwise, without quoting it.
    pub fn read(&self, payload: &[u8]) -> Result<Fields, &'static str> {
        let body = payload.strip_prefix(&self.header).ok_or("not framed as its schema asks")?;
        let mut body = Body { rest: body, cut: false };
        let reader = GenericDatumReader::builder(&self.schema).build().map_err(|_| "its schema")?;
        let value = reader.read_value(&mut body).map_err(|_| "does not fit its schema")?;
        match value {
            _ if body.cut => Err("ends too early"),
            _ if !body.rest.is_empty() => Err("goes on after its end"),
            Value::Record(fields) => Ok(Fields(fields)),
            _ => Err("not a record"),
        }
    }
}

/// Notes when more is asked for than there is: the library then goes on with nulls.
struct Body<'a> {
    rest: &'a [u8],
    cut: bool,
}

impl Read for Body<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(to)?;
        self.cut |= read < to.len();
        Ok(read)
    }
}

/// Fields of a record, by name.
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    fn field(&self, name: &str) -> Result<&Value, &'static str> {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value).ok_or("a field is missing")
    }

    /// A string, an enum's symbol, or a UUID.
    pub fn text(&self, name: &str) -> Result<String, &'static str> {
        match self.field(name)? {
            Value::String(text) | Value::Enum(_, text) => Ok(text.clone()),
            Value::Uuid(id) => Ok(id.to_string()),
            _ => Err("a field is no text"),
        }
    }

    pub fn number(&self, name: &str) -> Result<i64, &'static str> {
        match self.field(name)? {
            Value::Int(number) => Ok(i64::from(*number)),
            Value::Long(number) | Value::TimestampMillis(number) => Ok(*number),
            _ => Err("a field is no number"),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, &'static str> {
        match self.field(name)? {
            Value::Boolean(flag) => Ok(*flag),
            _ => Err("a field is no boolean"),
        }
    }

    pub fn record(&self, name: &str) -> Result<Self, &'static str> {
        match self.field(name)? {
            Value::Record(fields) => Ok(Self(fields.clone())),
            _ => Err("a field is no record"),
        }
    }
}

/// Parsing Canonical Form: what a schema says of the bytes, and nothing else of it.
fn canonical(schema: &Json, namespace: &str) -> String {
    let quoted = |text: &str| Json::from(text).to_string();
    let list = |items: &[Json], namespace: &str| {
        let items: Vec<String> = items.iter().map(|item| canonical(item, namespace)).collect();
        items.join(",")
    };
    match schema {
        Json::String(name) if is_primitive(name) || name.contains('.') => quoted(name),
        // A named type of the same namespace.
        Json::String(name) => quoted(&joined(namespace, name)),
        Json::Array(union) => format!("[{}]", list(union, namespace)),
        Json::Object(object) => {
            let kind = object.get("type").and_then(Json::as_str).expect("a type");
            let inner = |name: &str| canonical(&object[name], namespace);
            match kind {
                "array" => format!(r#"{{"type":"array","items":{}}}"#, inner("items")),
                "map" => format!(r#"{{"type":"map","values":{}}}"#, inner("values")),
                "enum" => {
                    let symbols = object["symbols"].to_string();
                    let name = quoted(&full_name(schema, namespace));
                    format!(r#"{{"name":{name},"type":"enum","symbols":{symbols}}}"#)
                }
                "record" => {
                    let name = full_name(schema, namespace);
                    let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
                    let fields = object["fields"].as_array().expect("fields").iter().map(|field| {
                        let name = quoted(field["name"].as_str().expect("a name"));
                        format!(
                            r#"{{"name":{name},"type":{}}}"#,
                            canonical(&field["type"], namespace)
                        )
                    });
                    let fields: Vec<String> = fields.collect();
                    let name = quoted(&name);
                    format!(r#"{{"name":{name},"type":"record","fields":[{}]}}"#, fields.join(","))
                }
                // A logical type: its bytes are the primitive's.
                primitive => {
                    assert!(is_primitive(primitive), "no schema of ours has a {primitive}");
                    quoted(primitive)
                }
            }
        }
        _ => panic!("not a schema"),
    }
}

fn full_name(schema: &Json, namespace: &str) -> String {
    let name = schema["name"].as_str().expect("a name");
    let own = schema.get("namespace").and_then(Json::as_str).unwrap_or(namespace);
    if name.contains('.') { name.to_owned() } else { joined(own, name) }
}

fn joined(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn is_primitive(name: &str) -> bool {
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"].contains(&name)
}

fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(EMPTY, |mut sum, byte| {
        sum ^= u64::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { EMPTY } else { 0 };
        }
        sum
    })
}

#[test]
fn the_fingerprint_is_that_of_the_specification() {
    // From Avro's own test data (share/test/data/schema-tests.txt): "null" and "int".
    assert_eq!(crc64(br#""null""#), 7_195_948_357_588_979_594);
    assert_eq!(crc64(br#""int""#), 8_247_732_601_305_521_295);
    let written = r#"{"type":"record","name":"R","namespace":"n.s","doc":"d","fields":[
        {"name":"a","type":{"type":"string","logicalType":"uuid"},"default":""},
        {"name":"b","type":["null",{"type":"enum","name":"E","symbols":["X"]}]},
        {"name":"c","type":{"type":"array","items":"E"}}]}"#;
    let form = canonical(&serde_json::from_str(written).unwrap(), "");
    assert_eq!(
        form,
        concat!(
            r#"{"name":"n.s.R","type":"record","fields":[{"name":"a","type":"string"},"#,
            r#"{"name":"b","type":["null",{"name":"n.s.E","type":"enum","symbols":["X"]}]},"#,
            r#"{"name":"c","type":{"type":"array","items":"n.s.E"}}]}"#
        )
    );
}

#[test]
fn a_value_is_read_only_if_it_is_framed_right_and_whole() {
    let schema =
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"string"}]}"#;
    let contract = Contract::of(schema);
    assert_eq!(contract.name(), "n.R");
    let good = [&contract.header[..], b"\x04xy"].concat();
    assert_eq!(contract.read(&good).and_then(|fields| fields.text("a")), Ok("xy".into()));
    let mut other_schema = good.clone();
    other_schema[5] ^= 1;
    let more = [&good[..], b"z"].concat();
    let confluent = [b"\x00\x00\x00\x00\x01".as_slice(), b"\x04xy"].concat();
    for (what, bad) in [
        ("another schema", &other_schema[..]),
        ("cut in the text", &good[..good.len() - 1]),
        ("no body", &good[..10]),
        ("goes on", &more),
        ("Confluent's framing", &confluent),
        ("empty", b""),
    ] {
        assert!(contract.read(bad).is_err(), "{what}");
    }
}
