//! JSON around a payload: store APIs, webhooks and routers wrap messages in an object.

use super::detect;
use super::pointer;
use super::shape::{self, Field, Shape, Text, object};

object!(
    /// An object that may hold a payload under one of the usual names.
    Envelope {
        data: Wrapped = "data",
        message: Wrapped = "message",
        payload: Wrapped = "payload",
        hl7: Wrapped = "hl7",
        raw: Wrapped = "raw",
        body: Wrapped = "body",
        data_base64: Wrapped = "data_base64",
        content: Wrapped = "content",
        value: Wrapped = "value",
        name: Text = "name",
    }
);

/// A payload as text (raw or base64), or one envelope more.
#[derive(Clone)]
pub(super) enum Wrapped {
    Text(String),
    Envelope(Box<Envelope>),
}

impl Shape for Wrapped {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self::Text(text.to_owned()))
    }

    fn of_map<'de, A: serde::de::MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Ok(Box::<Envelope>::of_map(map)?.map(Self::Envelope))
    }
}

/// What an envelope holds.
pub(super) enum Opened {
    /// A payload to look at again.
    Payload(Vec<u8>),
    /// Only the name of a message kept elsewhere.
    ResourceName,
    /// Nothing we know.
    Nothing,
}

/// Names under which a whole resource may stand.
const RESOURCES: [&str; 7] = ["data", "message", "payload", "resource", "body", "content", "value"];

/// Opens a JSON text that is no FHIR resource. `pointer` says where the message stands; without one, or
/// when nothing is there, the usual names are tried.
pub(super) fn open(json: &str, pointer: Option<&str>) -> Opened {
    if let Some(raw) = pointer.and_then(|pointer| pointer::find(json, pointer)) {
        return match serde_json::from_str::<String>(raw) {
            Ok(text) => of_text(&text),
            Err(_) => Opened::Payload(raw.as_bytes().to_vec()),
        };
    }
    shape::allow(json.len());
    let found = match serde_json::from_str::<Field<Box<Envelope>>>(json) {
        Ok(Field::Given(envelope)) => inside(&envelope),
        _ => Opened::Nothing,
    };
    match found {
        Opened::Nothing => resource(json),
        found => found,
    }
}

/// A FHIR resource that stands in the envelope as it is, as in CloudEvents.
fn resource(json: &str) -> Opened {
    RESOURCES
        .into_iter()
        .filter_map(|name| pointer::member(json, name))
        .find(|raw| pointer::member(raw, "resourceType").is_some())
        .map_or(Opened::Nothing, |raw| Opened::Payload(raw.as_bytes().to_vec()))
}

/// What a text in an envelope is: a message, base64 of one, or only the name of one.
fn of_text(text: &str) -> Opened {
    match detect::detect(text.as_bytes()) {
        detect::Detected::Hl7(bytes)
        | detect::Detected::Json(bytes)
        | detect::Detected::Gzip(bytes)
        | detect::Detected::Xml(bytes) => Opened::Payload(bytes.into_owned()),
        detect::Detected::Wrapped(bytes) => Opened::Payload(bytes),
        detect::Detected::ResourceName => Opened::ResourceName,
        detect::Detected::Empty | detect::Detected::Unknown => Opened::Nothing,
    }
}

fn inside(envelope: &Envelope) -> Opened {
    let fields = [
        &envelope.data,
        &envelope.message,
        &envelope.payload,
        &envelope.hl7,
        &envelope.raw,
        &envelope.body,
        &envelope.data_base64,
        &envelope.content,
        &envelope.value,
    ];
    for wrapped in fields.into_iter().filter_map(Field::as_ref) {
        match wrapped {
            Wrapped::Envelope(inner) => match inside(inner) {
                Opened::Nothing => {}
                found => return found,
            },
            Wrapped::Text(text) => match of_text(text) {
                Opened::Nothing => {}
                found => return found,
            },
        }
    }
    let named =
        matches!(detect::detect(envelope.name.text().as_bytes()), detect::Detected::ResourceName);
    if named { Opened::ResourceName } else { Opened::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_found_under_the_usual_names_raw_or_base64() {
        for json in [
            r#"{"data":"TVNIfF5+XCZ8QXxCDQ=="}"#,
            r#"{"id":1,"hl7":"MSH|^~\\&|A|B\r"}"#,
            r#"{"message":{"attributes":{},"data":"TVNIfF5+XCZ8QXxCDQ=="}}"#,
        ] {
            assert!(
                matches!(open(json, None), Opened::Payload(bytes) if bytes.starts_with(b"MSH|^~\\&|A|B")),
                "{json}"
            );
        }
    }

    #[test]
    fn a_store_notification_names_a_message_and_prose_is_nothing() {
        let name = "projects/p/locations/l/datasets/d/hl7V2Stores/s/messages/m";
        assert!(matches!(open(&format!(r#"{{"name":"{name}"}}"#), None), Opened::ResourceName));
        assert!(matches!(open(r#"{"message":"hello there"}"#, None), Opened::Nothing));
        assert!(matches!(open("[1]", None), Opened::Nothing));
    }
}
