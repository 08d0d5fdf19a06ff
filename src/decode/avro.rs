//! Confluent-framed Avro (`00`, the schema's id in four big-endian bytes, body) around a message.
//!
//! Which schema an id means is told beforehand ([`WriterSchemas`]); here nothing is fetched. Only the
//! configured field is kept: the rest is read past.

mod extent;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use parking_lot::RwLock;
use serde::de::{
    Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::RejectionClass;

/// Magic byte and schema id.
const HEADER: usize = 5;
/// Most schemas that are kept; a topic has a few.
const MOST_SCHEMAS: usize = 1000;
/// Deepest nesting of records, arrays, maps and unions in a schema.
const DEEPEST: usize = 64;

/// How Avro around a message is read.
#[derive(Clone, Debug)]
pub struct AvroInput {
    /// Names of the fields that lead to the message, outermost first. The last is a string or bytes.
    pub field: Vec<String>,
    /// Schemas by id.
    pub schemas: Arc<WriterSchemas>,
}

impl AvroInput {
    /// `path`: field names joined by dots (`event.payload`).
    pub fn new(path: &str, schemas: WriterSchemas) -> Self {
        let field = path.split('.').map(|name| name.trim().to_owned()).collect();
        Self { field, schemas: Arc::new(schemas) }
    }
}

/// Why a schema cannot be used to read input.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SchemaError {
    /// Not an Avro schema.
    #[error("it is not an Avro schema")]
    Syntax,
    /// Contains itself, so that data of it may be nested without end.
    #[error("it contains itself, or is nested more than {DEEPEST} deep")]
    Recursive,
    /// An array or map whose items take no bytes, so that a few bytes stand for billions of items.
    #[error("it has an array or map whose items take no bytes")]
    Weightless,
}

/// The schemas that writers used.
#[derive(Default)]
pub struct WriterSchemas {
    /// For every id, where a file is configured.
    every: Option<Arc<Schema>>,
    /// `None`: the registry says there is no usable one.
    by_id: RwLock<HashMap<u32, Option<Arc<Schema>>>>,
}

impl fmt::Debug for WriterSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterSchemas({} known)", self.by_id.read().len())
    }
}

impl WriterSchemas {
    /// One schema for every id.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn one(json: &str) -> Result<Self, SchemaError> {
        Ok(Self { every: Some(Arc::new(usable(json)?)), ..Self::default() })
    }

    /// The id of a framed payload whose schema is not known yet.
    pub fn unknown(&self, payload: &[u8]) -> Option<u32> {
        let id = schema_id(payload).filter(|_| self.every.is_none())?;
        (!self.by_id.read().contains_key(&id)).then_some(id)
    }

    /// Tells what an id means; `None`: nothing.
    ///
    /// # Errors
    /// [`SchemaError`]; payloads of that id will be rejected.
    pub fn insert(&self, id: u32, json: Option<&str>) -> Result<(), SchemaError> {
        let made = json.map(usable).transpose();
        let schema = made.as_ref().ok().and_then(Clone::clone).map(Arc::new);
        let mut by_id = self.by_id.write();
        if by_id.len() >= MOST_SCHEMAS {
            by_id.clear();
        }
        by_id.insert(id, schema);
        made.map(drop)
    }

    fn get(&self, id: u32) -> Option<Arc<Schema>> {
        self.every.clone().or_else(|| self.by_id.read().get(&id).cloned().flatten())
    }
}

/// The schema id of a payload that is framed like Confluent's.
pub(super) fn schema_id(payload: &[u8]) -> Option<u32> {
    let (head, body) = payload.split_at_checked(HEADER)?;
    let (0, id) = (head.first()?, head.get(1..)?) else { return None };
    // A JSON Schema subject frames text.
    if body.is_empty() || body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    Some(u32::from_be_bytes(id.try_into().ok()?))
}

/// Takes the message out.
///
/// # Errors
/// The id is not known, the body does not fit its schema, or the field is not there.
pub(super) fn open(payload: &[u8], input: &AvroInput) -> Result<Vec<u8>, RejectionClass> {
    let id = schema_id(payload).ok_or(RejectionClass::UnknownFormat)?;
    let schema = input.schemas.get(id).ok_or(RejectionClass::UnknownFormat)?;
    let mut body = payload.get(HEADER..).unwrap_or_default();
    if !extent::fits(&schema, body) {
        return Err(RejectionClass::Syntax);
    }
    let mut node: Node = GenericDatumReader::builder(&schema)
        .human_readable(true)
        .build()
        .and_then(|reader| reader.read_deser(&mut body))
        .map_err(|_| RejectionClass::Syntax)?;
    for name in &input.field {
        let Node::Record(fields) = node else { return Err(RejectionClass::WrongType) };
        let found = fields.into_iter().find(|(own, _)| own == name.as_bytes());
        node = found.map(|(_, node)| node).ok_or(RejectionClass::WrongType)?;
    }
    match node {
        Node::Bytes(bytes) => Ok(bytes),
        Node::Null => Err(RejectionClass::Empty),
        Node::Record(_) | Node::Other => Err(RejectionClass::WrongType),
    }
}

fn usable(json: &str) -> Result<Schema, SchemaError> {
    let schema = Schema::parse_str(json).map_err(|_| SchemaError::Syntax)?;
    check(&schema, &mut HashMap::new(), 0)?;
    Ok(schema)
}

/// Whether a value may take no bytes; an error for what must not be read from strangers.
fn check(
    schema: &Schema,
    closed: &mut HashMap<String, bool>,
    depth: usize,
) -> Result<bool, SchemaError> {
    if depth > DEEPEST {
        return Err(SchemaError::Recursive);
    }
    let items_of = |items: bool| if items { Err(SchemaError::Weightless) } else { Ok(false) };
    match schema {
        Schema::Null => Ok(true),
        Schema::Fixed(fixed) => {
            closed.insert(fixed.name.to_string(), fixed.size == 0);
            Ok(fixed.size == 0)
        }
        Schema::Ref { name } => {
            // Weightless ones, named again and again, multiply without data.
            match closed.get(&name.to_string()) {
                Some(true) => Err(SchemaError::Weightless),
                Some(false) => Ok(false),
                None => Err(SchemaError::Recursive),
            }
        }
        Schema::Array(array) => items_of(check(&array.items, closed, depth + 1)?),
        Schema::Map(map) => {
            check(&map.types, closed, depth + 1)?;
            Ok(false)
        }
        Schema::Union(union) => {
            for variant in union.variants() {
                check(variant, closed, depth + 1)?;
            }
            Ok(false)
        }
        Schema::Record(record) => {
            let mut weightless = true;
            for field in &record.fields {
                weightless &= check(&field.schema, closed, depth + 1)?;
            }
            closed.insert(record.name.to_string(), weightless);
            Ok(weightless)
        }
        Schema::Enum(inner) => {
            closed.insert(inner.name.to_string(), false);
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// What of a value is worth keeping on the way to a field.
enum Node {
    Null,
    Bytes(Vec<u8>),
    Record(Vec<(Vec<u8>, Node)>),
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Avro value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Bytes(text.as_bytes().to_vec()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Bytes(text.into_bytes()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Node, E> {
        Ok(Node::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Node, E> {
        Ok(Node::Bytes(bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        const MOST_FIELDS: usize = 1000;
        let mut fields = Vec::new();
        // The library gives names as identifiers, which only a visitor of anything takes.
        while let Some((name, node)) = map.next_entry::<Node, Node>()? {
            let Node::Bytes(name) = name else { continue };
            // Numbers and lists lead nowhere.
            if fields.len() < MOST_FIELDS && !matches!(node, Node::Other) {
                fields.push((name, node));
            }
        }
        Ok(Node::Record(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        while seq.next_element::<Node>()?.is_some() {}
        Ok(Node::Other)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (_, variant) = data.variant::<Node>()?;
        variant.unit_variant()?;
        Ok(Node::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }
}

#[cfg(test)]
mod tests;
