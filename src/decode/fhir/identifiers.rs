//! Whom a FHIR document names: the people, places and numbers in its resources, by report.
//!
//! The document is read as plain JSON here: [`super::model`] has what a report needs of a resource,
//! and any resource may name somebody.
//!
//! A report alone in its document has all that the document gives. Of several reports, each has what
//! it reaches by references, and what no report reaches. Where that does not name a patient, or the
//! references are too many to follow, it has all; but who its own patient is remains unknown, so that
//! the patients are people like others, and de-identification refuses.

mod collect;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::decode::identifiers::Found;
use crate::report::{KnownIdentifier, KnownKind};

/// Most steps from resource to resource for all reports of a document.
const MOST_STEPS: usize = 2_000_000;

/// The identifiers of each report, the places of which are given as outcomes tell them
/// (`$.entry[2].resource`). Nothing when the document cannot be read as plain JSON: without the
/// patient's name, de-identification refuses.
pub(super) fn of(json: &str, places: &[&str]) -> Vec<Arc<[KnownIdentifier]>> {
    let Ok(document) = serde_json::from_str::<Value>(json) else {
        return places.iter().map(|_| Arc::default()).collect();
    };
    let graph = Graph::of(&document);
    if places.len() == 1 {
        return vec![graph.union(|_| true).into()];
    }
    let all = || -> Arc<[KnownIdentifier]> {
        let mut all = Found::default();
        for one in graph.union(|_| true) {
            let kind = match one.kind {
                KnownKind::PatientName => KnownKind::PersonName,
                kind => kind,
            };
            all.add(kind, one.value.expose());
        }
        all.into_list().into()
    };
    let reports: Vec<Option<usize>> =
        places.iter().map(|place| graph.position(at(&document, place)?)).collect();
    let mut steps = MOST_STEPS;
    let anybodys =
        graph.reached(&reports.iter().flatten().copied().collect::<Vec<_>>(), &mut steps);
    let mut whole = None;
    let mut made = Vec::with_capacity(places.len());
    for report in reports {
        let own = report.and_then(|report| {
            let reached = graph.reached(&[report], &mut steps)?;
            let anybodys = anybodys.as_ref()?;
            let is = |of: &[bool], node: usize| of.get(node).copied().unwrap_or_default();
            let found = graph.union(|node| is(&reached, node) || !is(anybodys, node));
            let named = found.iter().any(|one| one.kind == KnownKind::PatientName);
            named.then(|| Arc::from(found))
        });
        made.push(own.unwrap_or_else(|| Arc::clone(whole.get_or_insert_with(all))));
    }
    made
}

/// The resources of a document, those in bundles each for itself, and how they refer to each other.
struct Graph<'v> {
    nodes: Vec<Node<'v>>,
    by_address: HashMap<String, usize>,
}

struct Node<'v> {
    resource: &'v Value,
    found: Vec<KnownIdentifier>,
    /// Addresses that it refers to.
    references: Vec<&'v str>,
}

impl<'v> Graph<'v> {
    fn of(document: &'v Value) -> Self {
        let mut graph = Self { nodes: Vec::new(), by_address: HashMap::new() };
        for resource in objects(document) {
            graph.add(resource, None);
        }
        graph
    }

    fn add(&mut self, resource: &'v Value, address: Option<&Value>) {
        let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
        let node = self.nodes.len();
        let (kind, id) = (text("resourceType"), text("id"));
        if !id.is_empty() {
            self.by_address.entry([kind, "/", id].concat()).or_insert(node);
        }
        if let Some(address) = address.and_then(Value::as_str) {
            self.by_address.entry(address.to_owned()).or_insert(node);
        }
        let mut found = Found::default();
        let mut references = Vec::new();
        collect::resource(resource, &mut found, &mut references);
        self.nodes.push(Node { resource, found: found.into_list(), references });
        for entry in objects(resource.get("entry").unwrap_or(&Value::Null)) {
            if let Some(inner) = entry.get("resource").filter(|inner| inner.is_object()) {
                self.add(inner, entry.get("fullUrl"));
            }
        }
    }

    /// Which node a resource is.
    fn position(&self, resource: &Value) -> Option<usize> {
        self.nodes.iter().position(|node| std::ptr::eq(node.resource, resource))
    }

    /// The resource of an address: as it stands, or by its last two parts.
    fn resolve(&self, address: &str) -> Option<usize> {
        let versionless = address.split("/_history/").next().unwrap_or(address);
        if let Some(node) = self.by_address.get(versionless) {
            return Some(*node);
        }
        let mut parts = versionless.rsplit('/');
        let (id, kind) = (parts.next()?, parts.next()?);
        self.by_address.get(&[kind, "/", id].concat()).copied()
    }

    /// Which resources can be reached from some of them; `None` when that takes too many steps.
    fn reached(&self, from: &[usize], steps: &mut usize) -> Option<Vec<bool>> {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = from.to_vec();
        while let Some(node) = open.pop() {
            let Some(seen) = reached.get_mut(node) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            for reference in self.nodes.get(node).into_iter().flat_map(|node| &node.references) {
                *steps = steps.checked_sub(1)?;
                open.extend(self.resolve(reference));
            }
        }
        Some(reached)
    }

    /// What some of the resources give together.
    fn union(&self, takes: impl Fn(usize) -> bool) -> Vec<KnownIdentifier> {
        let mut union = Found::default();
        for (_, node) in self.nodes.iter().enumerate().filter(|(position, _)| takes(*position)) {
            union.extend(&node.found);
        }
        union.into_list()
    }
}

/// The objects of a list, or the one that stands where a list belongs: what the decoder counts.
fn objects(list: &Value) -> impl Iterator<Item = &Value> {
    let items = match list {
        Value::Array(items) => items.as_slice(),
        Value::Object(_) => std::slice::from_ref(list),
        _ => &[],
    };
    items.iter().filter(|item| item.is_object())
}

/// The resource at a place: `$[1].entry[2].resource`.
fn at<'v>(document: &'v Value, place: &str) -> Option<&'v Value> {
    let number = |step: &str| step.strip_suffix(']')?.parse::<usize>().ok();
    let (_, path) = place.split_once('$')?;
    let mut steps = path.split('.');
    let mut here = match steps.next()?.strip_prefix('[') {
        Some(position) => {
            // As the decoder: what says nothing is no resource.
            let says = |resource: &&Value| {
                let given = |name: &str| resource.get(name).is_some_and(|value| !value.is_null());
                given("resourceType") || given("code")
            };
            objects(document).filter(says).nth(number(position)?)?
        }
        None => document,
    };
    for step in steps {
        here = match step.strip_prefix("entry[") {
            Some(position) => objects(here.get("entry")?).nth(number(position)?)?,
            None => here.get(step)?,
        };
    }
    Some(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_where_the_decoder_counts_objects_only() {
        let document = serde_json::json!([
            null, {"x": 1},
            {"resourceType": "Bundle", "entry": [7, {"resource": {"id": "a"}}, {"resource": {"id": "b"}}]}
        ]);
        let found = at(&document, "$[0].entry[1].resource").and_then(|resource| resource.get("id"));
        assert_eq!(found, Some(&Value::from("b")));
        assert_eq!(at(&document, "$[1]"), None);
        assert_eq!(at(&document, "nowhere"), None);
    }

    #[test]
    fn references_in_a_circle_end() {
        let json = r#"{"resourceType":"Bundle","entry":[
            {"resource":{"resourceType":"A","id":"1","x":{"reference":"B/1"}}},
            {"resource":{"resourceType":"B","id":"1","x":{"reference":"A/1"}}}]}"#;
        let document = serde_json::from_str(json).unwrap();
        let graph = Graph::of(&document);
        let reached = graph.reached(&[1], &mut 100);
        assert_eq!(reached, Some(vec![false, true, true]));
        assert_eq!(graph.reached(&[1], &mut 1), None);
    }
}
