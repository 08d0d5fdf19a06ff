//! Avro: the schemas that this build writes, and their two framings.
//!
//! * Single-object encoding (Avro specification): `C3 01`, the schema's CRC-64-AVRO fingerprint
//!   in eight little-endian bytes, body. Used without a schema registry.
//! * Confluent wire format: `00`, the schema's id in four big-endian bytes, body.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::headers::{HeaderBuilder, RabinFingerprintHeader};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Length of the single-object header.
const SINGLE_OBJECT_HEADER: usize = 10;
/// Length of the Confluent header.
const CONFLUENT_HEADER: usize = 5;

/// A record type that crosses a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contract {
    /// `org.radstream.FindingsEvent`.
    Findings,
    /// `org.radstream.Escalation`.
    Escalation,
    /// `org.radstream.DistillationSample`.
    Distillation,
}

impl Contract {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Findings, Self::Escalation, Self::Distillation];

    /// Full name of the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Findings => "org.radstream.FindingsEvent",
            Self::Escalation => "org.radstream.Escalation",
            Self::Distillation => "org.radstream.DistillationSample",
        }
    }

    /// File that the schema stands in, relative to the project.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Findings => "schemas/findings_event.avsc",
            Self::Escalation => "schemas/escalation.avsc",
            Self::Distillation => "schemas/distillation_sample.avsc",
        }
    }

    /// The schema as JSON, as its file has it.
    pub const fn json(self) -> &'static str {
        match self {
            Self::Findings => include_str!("../../schemas/findings_event.avsc"),
            Self::Escalation => include_str!("../../schemas/escalation.avsc"),
            Self::Distillation => include_str!("../../schemas/distillation_sample.avsc"),
        }
    }

    /// The schemas that earlier builds wrote, newest first: what waits in a topic for months is read by
    /// builds that came after it. A newer schema has further fields, with defaults, at the record's end only.
    pub const fn earlier(self) -> &'static [&'static str] {
        match self {
            Self::Findings | Self::Escalation => &[],
            Self::Distillation => {
                &[include_str!("../../schemas/earlier/distillation_sample.1.avsc")]
            }
        }
    }

    /// The parsed schema.
    pub fn schema(self) -> &'static Schema {
        &self.versions().ours.schema
    }

    /// The header of single-object encoding: `C3 01` and the schema's CRC-64-AVRO fingerprint.
    pub fn single_object_header(self) -> &'static [u8] {
        &self.versions().ours.header
    }

    fn versions(self) -> &'static Versions {
        match self {
            Self::Findings => &FINDINGS,
            Self::Escalation => &ESCALATION,
            Self::Distillation => &DISTILLATION,
        }
    }

    fn writer(self) -> &'static GenericDatumWriter<'static> {
        match self {
            Self::Findings => &FINDINGS_WRITER,
            Self::Escalation => &ESCALATION_WRITER,
            Self::Distillation => &DISTILLATION_WRITER,
        }
    }
}

struct Parsed {
    schema: Schema,
    header: Vec<u8>,
}

/// All that payloads of a contract were written with.
struct Versions {
    ours: Parsed,
    /// Newest first.
    earlier: Vec<Parsed>,
}

static FINDINGS: LazyLock<Versions> = LazyLock::new(|| versions(Contract::Findings));
static ESCALATION: LazyLock<Versions> = LazyLock::new(|| versions(Contract::Escalation));
static DISTILLATION: LazyLock<Versions> = LazyLock::new(|| versions(Contract::Distillation));
static FINDINGS_WRITER: LazyLock<GenericDatumWriter<'static>> =
    LazyLock::new(|| writer(&FINDINGS.ours.schema));
static ESCALATION_WRITER: LazyLock<GenericDatumWriter<'static>> =
    LazyLock::new(|| writer(&ESCALATION.ours.schema));
static DISTILLATION_WRITER: LazyLock<GenericDatumWriter<'static>> =
    LazyLock::new(|| writer(&DISTILLATION.ours.schema));

fn versions(contract: Contract) -> Versions {
    let earlier = contract.earlier().iter().map(|json| parse(json));
    Versions { ours: parse(contract.json()), earlier: earlier.collect() }
}

// The schemas are compiled in and a test parses each of them: no input can make these fail.
fn parse(json: &str) -> Parsed {
    let schema = Schema::parse_str(json).expect("a compiled-in schema parses");
    // The library's canonical form keeps `{"type":"string"}` where a logical type stood; the
    // specification's, and with it the fingerprint that Java and Python look up, has `"string"`.
    let canonical = ["string", "long", "int", "bytes"].iter().fold(
        schema.canonical_form(),
        |form, primitive| {
            form.replace(&format!(r#"{{"type":"{primitive}"}}"#), &format!(r#""{primitive}""#))
        },
    );
    let plain = Schema::parse_str(&canonical).expect("a canonical form parses");
    let header = RabinFingerprintHeader::from_schema(&plain).build_header();
    Parsed { schema, header }
}

fn writer(schema: &'static Schema) -> GenericDatumWriter<'static> {
    GenericDatumWriter::builder(schema)
        .human_readable(true) // UUIDs as text, as the schemas have them
        .build()
        .expect("a compiled-in schema resolves")
}

/// Ids that a schema registry gave to our schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaIds {
    /// Id of [`Contract::Findings`].
    pub findings: u32,
    /// Id of [`Contract::Escalation`].
    pub escalations: u32,
    /// Id of [`Contract::Distillation`]; `None` for a stage that writes no samples.
    pub distillation: Option<u32>,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Avro single-object encoding.
    #[default]
    SingleObject,
    /// Confluent wire format with the ids of a registry.
    Confluent(SchemaIds),
}

/// A value could not be made into a record.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The value does not fit its schema. The Avro library's words are left out: they may quote the
    /// value.
    #[error("{schema}: a record does not fit its schema; this is a fault in radstream, report it")]
    DoesNotFit {
        /// Full name of the schema.
        schema: &'static str,
    },
    /// The record is larger than the broker takes.
    #[error(
        "{schema}: a record of {bytes} bytes is over the limit of {limit} bytes; raise the limit \
         for messages here and on the broker (max.message.bytes)"
    )]
    TooLarge {
        /// Full name of the schema.
        schema: &'static str,
        /// Size of the record with key and headers.
        bytes: usize,
        /// Configured limit.
        limit: usize,
    },
}

/// A payload could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Neither of the two framings.
    #[error("{schema}: the payload is neither Avro single-object encoding nor Confluent framing")]
    Framing {
        /// Full name of the expected schema.
        schema: &'static str,
    },
    /// Written with another schema than this build's.
    #[error("{schema}: the payload was written with another version of the schema")]
    OtherSchema {
        /// Full name of the expected schema.
        schema: &'static str,
    },
    /// Cut short, too long, or not what the schema says.
    #[error("{schema}: the payload does not fit its schema")]
    Body {
        /// Full name of the expected schema.
        schema: &'static str,
    },
}

/// Writes `value` as `contract`, framed.
pub(crate) fn encode<T: Serialize>(
    contract: Contract,
    framing: Framing,
    value: &T,
) -> Result<Vec<u8>, EncodeError> {
    let mut payload = Vec::with_capacity(1024);
    match framing {
        Framing::SingleObject => payload.extend_from_slice(contract.single_object_header()),
        Framing::Confluent(ids) => {
            let id = match contract {
                Contract::Findings => ids.findings,
                Contract::Escalation => ids.escalations,
                Contract::Distillation => {
                    ids.distillation.ok_or(EncodeError::DoesNotFit { schema: contract.name() })?
                }
            };
            payload.push(0);
            payload.extend_from_slice(&id.to_be_bytes());
        }
    }
    match contract.writer().write_ser(&mut payload, value) {
        Ok(_) => Ok(payload),
        Err(_) => Err(EncodeError::DoesNotFit { schema: contract.name() }),
    }
}

/// Reads a payload of either framing that this build's schema wrote, or an earlier one of the same
/// contract. A Confluent id is not looked up: the caller knows that topic and build agree, and an earlier
/// body is known by its end, which comes before the fields that were added since.
///
/// # Errors
/// [`DecodeError`], which quotes nothing of the payload.
pub fn decode<T: DeserializeOwned>(contract: Contract, payload: &[u8]) -> Result<T, DecodeError> {
    let schema = contract.name();
    let Versions { ours, earlier } = contract.versions();
    let mut writers = std::iter::once(ours).chain(earlier);
    let read = match payload.first() {
        Some(0xC3) => {
            let (header, body) = payload
                .split_at_checked(SINGLE_OBJECT_HEADER)
                .ok_or(DecodeError::Framing { schema })?;
            let writer = writers.find(|writer| header == writer.header);
            read(&writer.ok_or(DecodeError::OtherSchema { schema })?.schema, body)
        }
        Some(0) => {
            let body = payload.get(CONFLUENT_HEADER..).ok_or(DecodeError::Framing { schema })?;
            writers.find_map(|writer| read(&writer.schema, body))
        }
        _ => return Err(DecodeError::Framing { schema }),
    };
    read.ok_or(DecodeError::Body { schema })
}

/// Reads a whole body that `writer` wrote. `T` says itself what stands for a field that `writer` did not have
/// (`serde(default)`).
fn read<T: DeserializeOwned>(writer: &Schema, mut body: &[u8]) -> Option<T> {
    let reader = GenericDatumReader::builder(writer).human_readable(true).build();
    let value = reader.and_then(|reader| reader.read_deser(&mut body)).ok();
    value.filter(|_| body.is_empty())
}
