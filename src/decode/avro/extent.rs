//! Whether an Avro body is as long as it says. The library makes room for a text of the length that
//! stands before it, whatever is left of the body: nineteen bytes may ask for a hundred million.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UuidSchema};

/// Whether every length in `body` stays within it. Values are not looked at, only stepped over.
pub(super) fn fits(schema: &Schema, body: &[u8]) -> bool {
    let mut named = HashMap::new();
    collect(schema, &mut named);
    step(schema, &named, &mut { body }).is_some()
}

type Named<'a> = HashMap<&'a Name, &'a Schema>;

fn collect<'a>(schema: &'a Schema, named: &mut Named<'a>) {
    match schema {
        Schema::Array(array) => collect(&array.items, named),
        Schema::Map(map) => collect(&map.types, named),
        Schema::Union(union) => union.variants().iter().for_each(|one| collect(one, named)),
        Schema::Record(record) => {
            named.insert(&record.name, schema);
            record.fields.iter().for_each(|field| collect(&field.schema, named));
        }
        Schema::Enum(inner) => {
            named.insert(&inner.name, schema);
        }
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            named.insert(&fixed.name, schema);
        }
        Schema::Decimal(decimal) => {
            if let InnerDecimalSchema::Fixed(fixed) = &decimal.inner {
                named.insert(&fixed.name, schema);
            }
        }
        _ => {}
    }
}

/// Steps over one value. Ends: schemas that lead back to themselves, and lists of values without
/// bytes, are refused when the schema is read.
fn step(schema: &Schema, named: &Named<'_>, body: &mut &[u8]) -> Option<()> {
    match schema {
        Schema::Null => Some(()),
        Schema::Boolean => skip(body, 1),
        Schema::Float => skip(body, 4),
        Schema::Double => skip(body, 8),
        Schema::Bytes | Schema::String | Schema::BigDecimal => text(body),
        Schema::Uuid(UuidSchema::String | UuidSchema::Bytes) => text(body),
        Schema::Uuid(UuidSchema::Fixed(fixed)) | Schema::Fixed(fixed) | Schema::Duration(fixed) => {
            skip(body, fixed.size)
        }
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => text(body),
            InnerDecimalSchema::Fixed(fixed) => skip(body, fixed.size),
        },
        Schema::Array(array) => blocks(body, |body| step(&array.items, named, body)),
        Schema::Map(map) => blocks(body, |body| {
            text(body)?;
            step(&map.types, named, body)
        }),
        Schema::Union(union) => {
            let index = usize::try_from(number(body)?).ok()?;
            step(union.variants().get(index)?, named, body)
        }
        Schema::Record(record) => {
            record.fields.iter().try_for_each(|field| step(&field.schema, named, body))
        }
        Schema::Ref { name } => step(named.get(name)?, named, body),
        // Int, long, enum, and all dates and times.
        _ => number(body).map(drop),
    }
}

fn skip(body: &mut &[u8], bytes: usize) -> Option<()> {
    *body = body.get(bytes..)?;
    Some(())
}

fn text(body: &mut &[u8]) -> Option<()> {
    let length = usize::try_from(number(body)?).ok()?;
    skip(body, length)
}

/// Blocks of items, each with its count before it; negative with its size after it.
fn blocks(body: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Option<()>) -> Option<()> {
    loop {
        let count = number(body)?;
        if count == 0 {
            return Some(());
        }
        if count < 0 {
            number(body)?;
        }
        for _ in 0..count.unsigned_abs() {
            item(body)?;
        }
    }
}

/// A zig-zag number of variable length.
fn number(body: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let half = i64::try_from(value >> 1).unwrap_or(i64::MAX);
            return Some(if value & 1 == 0 { half } else { !half });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use apache_avro::types::{Record, Value};
    use apache_avro::writer::datum::GenericDatumWriter;

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"id","type":"long"},
        {"name":"kind","type":{"type":"enum","name":"K","symbols":["A","B"]}},
        {"name":"tags","type":{"type":"map","values":"string"}},
        {"name":"list","type":{"type":"array","items":["null",{"type":"fixed","name":"F","size":3}]}},
        {"name":"again","type":["null","F"]},
        {"name":"score","type":"double"},
        {"name":"data","type":"bytes"}]}"#;

    fn body() -> Vec<u8> {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let fixed = || Value::Union(1, Box::new(Value::Fixed(3, vec![1, 2, 3])));
        let tags = [("x", "y"), ("z", "")]
            .map(|(key, value)| (key.to_owned(), Value::String(value.to_owned())));
        let mut record = Record::new(&schema).unwrap();
        record.put("id", Value::Long(-5));
        record.put("kind", Value::Enum(1, "B".into()));
        record.put("tags", Value::Map(tags.into()));
        record.put("list", Value::Array(vec![fixed(), Value::Union(0, Box::new(Value::Null))]));
        record.put("again", fixed());
        record.put("score", Value::Double(0.5));
        record.put("data", Value::Bytes(b"MSH|".to_vec()));
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        writer.write_value_to_vec(record).unwrap()
    }

    #[test]
    fn a_whole_body_fits_and_no_part_of_it_does() {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let body = body();
        assert!(fits(&schema, &body));
        for cut in 0..body.len() {
            assert!(!fits(&schema, &body[..cut]), "{cut} of {} bytes", body.len());
        }
    }

    #[test]
    fn a_text_longer_than_what_is_left_does_not_fit() {
        let schema = Schema::parse_str(r#"{"type":"string"}"#).unwrap();
        assert!(fits(&schema, &[4, b'a', b'b']));
        assert!(!fits(&schema, &[0x80, 0x80, 0x80, 0x63, b'a', b'b']));
        assert!(!fits(&schema, &[3, b'a']), "a negative length");
        assert!(!fits(&schema, &[0xff; 12]), "a number without an end");
    }
}
