//! FHIR JSON → reports: DiagnosticReport, Bundle of any type, Composition, DocumentReference, and
//! narrative Observations that stand alone. R4, R4B and R5.

mod identifiers;
mod index;
mod model;
mod narrative;
mod report;

use self::index::Index;
use self::model::{Kind, Resource};
use super::attachment::Pdfs;
use super::shape::{self, Field, List, TOO_MANY};
use super::{
    DecodeOptions, Outcomes, Reading, RejectionClass, charset, decode_nested, envelope, note,
};
use crate::report::{Skip, Warning};

/// What holds for every report of one payload or bundle.
#[derive(Clone)]
struct Context<'o> {
    options: &'o DecodeOptions,
    /// How many payloads this one was taken out of.
    depth: u8,
    warnings: Vec<Warning>,
    /// Reads attached PDF documents.
    pdfs: Pdfs,
    /// Character set it was read in.
    charset: &'static str,
    /// MessageHeader's source, where there is one.
    source: String,
    /// Bundle.timestamp, where there is one.
    timestamp: String,
}

/// Reads JSON: one resource, an array of them, or one per line.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions, depth: u8, outcomes: &mut Outcomes) {
    let mut context = Context {
        options,
        depth,
        warnings: Vec::new(),
        pdfs: outcomes.pdfs.clone(),
        charset: "US-ASCII",
        source: String::new(),
        timestamp: String::new(),
    };
    // JSON is UTF-8; a sender that writes Latin-1 all the same is understood and told of.
    let Some(text) = charset::decode(bytes, "UTF-8", b'~', None) else {
        return outcomes.reject(RejectionClass::Charset, "payload");
    };
    if text.guessed {
        note(&mut context.warnings, Warning::CharsetGuessed);
    }
    context.charset = text.name();
    outcomes.trace_message(|reading| {
        *reading = Reading {
            format: "json",
            framing: "none",
            charset: text.name(),
            charset_by: if text.guessed { text.by } else { "JSON is UTF-8" },
            ..Reading::default()
        };
    });
    let text = &*text.text;
    let mut rest = text;
    let mut line = 0;
    while !rest.trim_start().is_empty() && !outcomes.is_full() {
        shape::allow(rest.len());
        let mut stream =
            serde_json::Deserializer::from_str(rest).into_iter::<Field<List<Box<Resource>>>>();
        let root = match line {
            0 => "$".to_owned(),
            line => format!("line[{}]$", line + 1),
        };
        let (document, used) = match stream.next() {
            Some(Ok(document)) => (document, stream.byte_offset()),
            Some(Err(error)) => return reject_json(rest, &root, &error, outcomes),
            None => return,
        };
        let (this, after) = rest.split_at_checked(used).unwrap_or((rest, ""));
        if line == 0 && !matches!(after.trim_start().chars().next(), None | Some('{' | '[')) {
            // What follows is no further resource: the payload is not JSON as a whole.
            return outcomes.reject(RejectionClass::Syntax, "$");
        }
        read(&document, this, &root, &context, outcomes);
        rest = after;
        line += 1;
    }
}

/// Says where broken JSON breaks. The path needs a second, slower parse.
fn reject_json(text: &str, root: &str, error: &serde_json::Error, outcomes: &mut Outcomes) {
    shape::allow(text.len());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let path = match serde_path_to_error::deserialize::<_, Field<List<Box<Resource>>>>(
        &mut deserializer,
    ) {
        Err(error) => error.path().to_string().trim_end_matches(['?', '.']).to_owned(),
        Ok(_) => String::new(),
    };
    let class = if error.is_eof() {
        RejectionClass::Truncated
    } else if error.to_string().starts_with(TOO_MANY) || error.to_string().contains("recursion") {
        RejectionClass::Oversize
    } else {
        RejectionClass::Syntax
    };
    let place = known_path(&path);
    let place = match place {
        "" => root.to_owned(),
        path if path.starts_with('[') => format!("{root}{path}"),
        path => format!("{root}.{path}"),
    };
    outcomes.reject(class, place);
}

/// The part of a path that is made of the standard's names: any other key may be anything, a name
/// among it.
fn known_path(path: &str) -> &str {
    const NAMES: [&str; 24] = [
        "entry",
        "resource",
        "contained",
        "resourceType",
        "id",
        "meta",
        "text",
        "div",
        "identifier",
        "status",
        "code",
        "coding",
        "category",
        "result",
        "presentedForm",
        "data",
        "conclusion",
        "issued",
        "valueString",
        "section",
        "content",
        "attachment",
        "type",
        "subject",
    ];
    let mut end = 0;
    for part in path.split('.') {
        let (name, index) = part.split_once('[').unwrap_or((part, ""));
        let indexed = index.chars().all(|c| c.is_ascii_digit() || matches!(c, '[' | ']'));
        if !indexed || !(name.is_empty() || NAMES.contains(&name)) {
            break;
        }
        end += part.len() + usize::from(end > 0);
    }
    path.get(..end).unwrap_or_default()
}

fn read(
    document: &Field<List<Box<Resource>>>,
    json: &str,
    root: &str,
    context: &Context<'_>,
    outcomes: &mut Outcomes,
) {
    let resources = document.items();
    let array = json.trim_start().starts_with('[');
    if resources.is_empty()
        || (!array && resources.iter().all(|r| r.resource_type.text().is_empty()))
    {
        match envelope::open(json, context.options.envelope_pointer.as_deref()) {
            envelope::Opened::Payload(bytes) => {
                outcomes.layer("json_envelope");
                decode_nested(&bytes, context.options, context.depth + 1, outcomes);
            }
            envelope::Opened::ResourceName => outcomes.skip(Skip::NeedsFetch),
            envelope::Opened::Nothing => outcomes.reject(RejectionClass::UnknownFormat, root),
        }
        return;
    }
    outcomes.trace_message(|reading| reading.format = "fhir_json");
    for (position, resource) in resources.iter().enumerate() {
        let path = if array { format!("{root}[{position}]") } else { root.to_owned() };
        let index = Index::default();
        resource_outcomes(resource, &path, &index, context, outcomes);
    }
    outcomes.identify_document(|places| identifiers::of(json, places));
}

/// The outcomes of one resource that stands by itself.
fn resource_outcomes(
    resource: &Resource,
    path: &str,
    index: &Index<'_>,
    context: &Context<'_>,
    outcomes: &mut Outcomes,
) {
    match resource.resource_type.text() {
        "Bundle" => bundle(resource, path, context, outcomes),
        "DiagnosticReport" | "Composition" | "DocumentReference" | "Observation" => {
            report::read(resource, None, path, index, context, outcomes);
        }
        "SubscriptionStatus" | "Parameters" => outcomes.skip(notification(resource)),
        _ => outcomes.skip(Skip::NonReport),
    }
}

/// Reads a bundle: each report in it is an outcome; a bundle without one is one outcome.
fn bundle(bundle: &Resource, path: &str, context: &Context<'_>, outcomes: &mut Outcomes) {
    if bundle.entry.is_malformed() {
        return outcomes.reject(RejectionClass::WrongType, format!("{path}.entry"));
    }
    let before = outcomes.len();
    let index = Index::of(bundle);
    let mut context = context.clone();
    bundle.timestamp.text().clone_into(&mut context.timestamp);
    if bundle.is_labelled(report::AI_ASSERTED) {
        note(&mut context.warnings, Warning::AiDrafted);
    }
    let entries = || {
        bundle.entry.items().iter().enumerate().filter_map(|(position, entry)| {
            let removed = entry.request.as_ref().is_some_and(|r| r.method.text() == "DELETE");
            let resource = entry.resource.as_ref().filter(|_| !removed)?;
            Some((format!("{path}.entry[{position}].resource"), &**resource))
        })
    };
    if let Some((_, header)) = entries().find(|(_, r)| r.is("MessageHeader"))
        && let Some(source) = header.source.as_ref()
    {
        let name = source.name.text();
        if name.is_empty() { source.endpoint.text() } else { name }.clone_into(&mut context.source);
    }
    let composition = entries().find(|(_, r)| r.is("Composition")).map(|(_, r)| r);
    let of = |kind: &'static str| entries().filter(move |(_, r)| r.is(kind));
    for (place, resource) in of("DiagnosticReport") {
        report::read(resource, composition, &place, &index, &context, outcomes);
    }
    if outcomes.len() == before {
        for kind in ["Composition", "DocumentReference"] {
            for (place, resource) in of(kind) {
                report::read(resource, None, &place, &index, &context, outcomes);
            }
            if outcomes.len() > before {
                break;
            }
        }
    }
    if outcomes.len() == before {
        for (place, resource) in of("Observation").filter(|(_, r)| report::is_narrative(r)) {
            report::read(resource, None, &place, &index, &context, outcomes);
        }
    }
    for (place, inner) in of("Bundle") {
        self::bundle(inner, &place, &context, outcomes);
    }
    if outcomes.len() == before {
        let first = entries().next().map(|(_, resource)| resource);
        let notice = first.filter(|r| r.is("SubscriptionStatus") || r.is("Parameters"));
        outcomes.skip(notice.map_or(Skip::NonReport, notification));
    }
}

/// A subscription notification that came without its resource: a reference to fetch, or only a sign
/// of life.
fn notification(status: &Resource) -> Skip {
    let kind = match status.kind.as_ref() {
        Some(Kind::Code(code)) => code.as_str(),
        _ => status
            .parameter
            .items()
            .iter()
            .find(|parameter| parameter.name.text() == "type")
            .map_or("", |parameter| parameter.value_code.text()),
    };
    let event = !status.notification_event.items().is_empty()
        || status.parameter.items().iter().any(|p| p.name.text() == "notification-event");
    match kind {
        "handshake" | "heartbeat" | "query-status" => Skip::NonReport,
        "event-notification" | "query-event" => Skip::NeedsFetch,
        _ if event => Skip::NeedsFetch,
        _ => Skip::NonReport,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(json: &str) -> Vec<super::super::Decoded> {
        super::super::decode(json.as_bytes(), &DecodeOptions::default())
    }

    #[test]
    fn broken_json_says_where_without_saying_what() {
        use super::super::Decoded;
        let json = r#"{"resourceType":"Bundle","entry":[{"resource":{"status":"final","conclusion":"SECRET" x}}]}"#;
        let decoded = outcomes(json);
        let [Decoded::Rejected(rejection)] = &decoded[..] else { panic!("not rejected") };
        assert_eq!(rejection.class, RejectionClass::Syntax);
        assert_eq!(rejection.location, "$.entry[0].resource");
    }

    #[test]
    fn a_place_is_told_by_the_standards_names_only() {
        assert_eq!(known_path("entry[0].resource.conclusion"), "entry[0].resource.conclusion");
        assert_eq!(known_path("entry[0].resource.DOE.id"), "entry[0].resource");
        assert_eq!(known_path("[2].code"), "[2].code");
        assert_eq!(known_path("JANE"), "");
    }

    #[test]
    fn one_resource_per_line_gives_one_outcome_each() {
        assert_eq!(
            outcomes("{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\"}\n").len(),
            2
        );
    }
}
