//! The value of one observation: what kind it is, and how it is taken.

use std::borrow::Cow;

use super::Narrative;
use crate::decode::attachment::{self, Document, Pdfs};
use crate::decode::hl7::Refused;
use crate::decode::hl7::fields::{Fields, trimmed};
use crate::decode::status;
use crate::decode::{RejectionClass, note};
use crate::report::Warning;

/// The field of an observation's status.
pub(super) const STATUS: usize = 11;

/// What a value type holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Missing or not a value type of the standard; read as text.
    Unknown,
    Coded,
    Document,
    Pointer,
    Measurement,
    Other,
}

pub(super) fn kind_of(value_type: &str) -> Kind {
    // What nearly all are.
    if matches!(value_type, "TX" | "FT" | "ST") {
        return Kind::Text;
    }
    const KINDS: [(Kind, &[&str]); 6] = [
        (Kind::Text, &["TX", "FT", "ST", "CF"]),
        (Kind::Coded, &["CE", "CWE", "CNE"]),
        (Kind::Document, &["ED"]),
        (Kind::Pointer, &["RP"]),
        (Kind::Measurement, &["NM", "SN", "NA", "MA", "MO", "CP"]),
        (
            Kind::Other,
            &[
                "DT", "TM", "TS", "DTM", "DR", "TN", "XTN", "AD", "XAD", "PN", "XPN", "XCN", "XON",
                "CX", "CK", "CN", "EI", "HD", "ID", "IS", "SI", "EIP", "PL",
            ],
        ),
    ];
    let is = |name: &&str| name.eq_ignore_ascii_case(value_type);
    let found = KINDS.iter().find(|(_, names)| names.iter().any(is));
    found.map_or(Kind::Unknown, |(kind, _)| *kind)
}

/// OBX-5 of a text type: raw up to the next field separator, because `^`, `&` and `~` in it are
/// often not escaped.
pub(super) fn value_text<'m>(obx: &Fields<'m>, narrative: &mut Narrative) -> Cow<'m, str> {
    let raw = obx.raw(5);
    if trimmed(raw) == "\"\"" {
        return Cow::Borrowed("");
    }
    let (text, unknown) = obx.text(raw);
    if unknown {
        note(&mut narrative.warnings, Warning::UnknownEscape);
    }
    text
}

/// DICOM identifiers are sent as strings beside the text.
pub(super) fn is_uid(text: &str) -> bool {
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        return false; // what most lines begin with
    }
    let text = text.trim_start();
    if !text.as_bytes().first().is_some_and(|first| first.is_ascii_digit() || *first == b'.') {
        return false;
    }
    let text = text.trim_end();
    text.len() >= 12
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.bytes().filter(|b| *b == b'.').count() >= 4
}

/// An encapsulated document: application ^ type ^ subtype ^ encoding ^ data. Senders leave the first
/// four empty, so what the data is decides.
pub(super) fn document(obx: &Fields<'_>, pdfs: &Pdfs) -> Document {
    let raw = obx.raw(5);
    let mut parts = raw.splitn(5, obx.component_separator());
    let mut next = || parts.next().unwrap_or_default().trim();
    let (application, _kind, subtype, encoding) = (next(), next(), next(), next());
    let data = next();
    let (data, encoding) = if data.is_empty() { (application, "") } else { (data, encoding) };
    let (data, _) = obx.text(data);
    if encoding.eq_ignore_ascii_case("hex") {
        return attachment::from_hex(&data, subtype, pdfs);
    }
    if encoding.eq_ignore_ascii_case("a") {
        return attachment::from_text(data.into_owned());
    }
    attachment::from_base64(&data, subtype, pdfs)
}

/// An unescaped field separator in the text shifts every later field. Field 11 is no status: when a
/// later field is, the surplus goes back into the text; when the text has clearly spilled and
/// there is no status to find it by, the report cannot be trusted.
pub(super) fn repair_shift<'m>(obx: &Fields<'m>) -> Result<Option<Fields<'m>>, Refused> {
    let is_status = |field: usize| status::of_observation(obx.raw(field)).is_some();
    if obx.last() <= 5 {
        return Ok(None);
    }
    // Fields 6 to 10 of a text line are short codes, and mostly empty.
    let spilled = (6..=10).any(|field| obx.raw(field).split_whitespace().nth(1).is_some());
    let found = (STATUS + 1..=obx.last().min(STATUS + 200)).find(|field| is_status(*field));
    match found {
        Some(at) if (6..=5 + at - STATUS).any(|field| !obx.raw(field).trim().is_empty()) => {
            Ok(Some(obx.with_glued(5, 5 + at - STATUS)))
        }
        _ if spilled && !obx.raw(STATUS).trim().is_empty() => {
            Err((RejectionClass::FieldShift, obx.place(5)))
        }
        _ => Ok(None),
    }
}
