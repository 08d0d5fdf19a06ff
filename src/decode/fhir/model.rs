//! The parts of FHIR resources that a report needs: R4, R4B and R5 (older ones where they agree).
//!
//! One struct stands for every resource type, because `resourceType` may come last.

use crate::decode::shape::{List, Shape, Text, object};

object!(Coding { system: Text = "system", code: Text = "code", display: Text = "display" });

object!(CodeableConcept { coding: List<Box<Coding>> = "coding", text: Text = "text", });

object!(Reference {
    reference: Text = "reference",
    identifier: Box<Identifier> = "identifier",
    display: Text = "display",
});

object!(Identifier {
    kind: Box<CodeableConcept> = "type",
    system: Text = "system",
    value: Text = "value",
    assigner: Box<Reference> = "assigner",
});

object!(Attachment { content_type: Text = "contentType", data: Text = "data", url: Text = "url" });

object!(Narrative { status: Text = "status", div: Text = "div" });

object!(Meta {
    last_updated: Text = "lastUpdated",
    source: Text = "source",
    security: List<Box<Coding>> = "security",
});

object!(Section {
    title: Text = "title",
    code: Box<CodeableConcept> = "code",
    text: Box<Narrative> = "text",
    section: List<Box<Section>> = "section",
    entry: List<Box<Reference>> = "entry",
});

object!(Request { method: Text = "method" });

object!(Entry {
    full_url: Text = "fullUrl",
    resource: Box<Resource> = "resource",
    request: Box<Request> = "request",
});

object!(Endpoint { name: Text = "name", endpoint: Text = "endpoint" });

object!(Event { focus: Box<Reference> = "focus", });

object!(Content { attachment: Box<Attachment> = "attachment", });

object!(Annotation { text: Text = "text" });

object!(Parameter {
    name: Text = "name",
    value_code: Text = "valueCode",
    value_reference: Box<Reference> = "valueReference",
    part: List<Box<Parameter>> = "part",
});

object!(
    /// Any resource: the fields we read of all the types we read.
    Resource {
        resource_type: Text = "resourceType",
        id: Text = "id",
        meta: Box<Meta> = "meta",
        contained: List<Box<Resource>> = "contained",
        text: Box<Narrative> = "text",
        identifier: List<Box<Identifier>> = "identifier",
        status: Text = "status",
        code: Box<CodeableConcept> = "code",
        category: List<Box<CodeableConcept>> = "category",
        // DiagnosticReport
        based_on: List<Box<Reference>> = "basedOn",
        result: List<Box<Reference>> = "result",
        imaging_study: List<Box<Reference>> = "imagingStudy",
        study: List<Box<Reference>> = "study",
        presented_form: List<Box<Attachment>> = "presentedForm",
        conclusion: Text = "conclusion",
        effective_date_time: Text = "effectiveDateTime",
        // Binary
        data: Text = "data",
        issued: Text = "issued",
        // Observation
        value_string: Text = "valueString",
        value_codeable_concept: Box<CodeableConcept> = "valueCodeableConcept",
        component: List<Box<Resource>> = "component",
        has_member: List<Box<Reference>> = "hasMember",
        note: List<Box<Annotation>> = "note",
        // Composition, DocumentReference
        kind: Kind = "type",
        title: Text = "title",
        date: Text = "date",
        section: List<Box<Section>> = "section",
        content: List<Box<Content>> = "content",
        doc_status: Text = "docStatus",
        // Bundle, MessageHeader, subscription notifications
        entry: List<Box<Entry>> = "entry",
        source: Box<Endpoint> = "source",
        timestamp: Text = "timestamp",
        parameter: List<Box<Parameter>> = "parameter",
        notification_event: List<Box<Event>> = "notificationEvent",
        // ServiceRequest, ImagingStudy
        accession_identifier: Box<Identifier> = "accessionIdentifier",
    }
    fn is_empty(&self) -> bool {
        self.resource_type.text().is_empty() && self.code.is_absent()
    }
);

/// `type`: a concept on documents, a code on bundles and notifications.
#[derive(Clone)]
pub(in crate::decode) enum Kind {
    Code(String),
    Concept(Box<CodeableConcept>),
}

impl Shape for Kind {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self::Code(text.to_owned()))
    }

    fn of_map<'de, A: serde::de::MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Ok(Box::<CodeableConcept>::of_map(map)?.map(Self::Concept))
    }
}

impl Resource {
    /// Whether it carries a security label of that code.
    pub(super) fn is_labelled(&self, code: &str) -> bool {
        let labels = self.meta.as_ref().map_or(&[][..], |meta| meta.security.items());
        labels.iter().any(|label| label.code.text() == code)
    }

    pub(super) fn is(&self, resource_type: &str) -> bool {
        self.resource_type.text() == resource_type
    }
}

impl CodeableConcept {
    /// Every coding's code.
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.coding.items().iter().map(|coding| coding.code.text())
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.codes().any(|own| own == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::shape::Field;

    fn resource(json: &str) -> Resource {
        match serde_json::from_str::<Field<Box<Resource>>>(json) {
            Ok(Field::Given(resource)) => *resource,
            Ok(_) => panic!("no object"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_resource_type_may_come_last_and_unknown_fields_are_skipped() {
        let read = resource(
            r#"{"x":[{"y":[1,null,{"z":true}]}],"conclusion":"Clear.","resourceType":"DiagnosticReport"}"#,
        );
        assert!(read.is("DiagnosticReport"));
        assert_eq!(read.conclusion.text(), "Clear.");
    }

    #[test]
    fn a_wrong_type_is_malformed_and_fails_nothing_else() {
        let read = resource(
            r#"{"resourceType":"X","presentedForm":"no","status":{"a":1},"category":{"text":"one"},
               "identifier":[1,{"value":"A1"}],"code":null}"#,
        );
        assert!(read.presented_form.is_malformed() && read.status.is_malformed());
        assert!(!read.code.is_malformed());
        assert_eq!(read.category.items().len(), 1);
        assert_eq!(read.identifier.items()[0].value.text(), "A1");
    }

    #[test]
    fn nesting_without_end_is_an_error_or_skipped_never_a_crash() {
        let deep = "{\"contained\":[".repeat(100_000);
        assert!(serde_json::from_str::<Field<Box<Resource>>>(&deep).is_err());
        let ignored = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(serde_json::from_str::<Field<Box<Resource>>>(&ignored).is_ok());
    }

    #[test]
    fn a_resource_is_small_enough_to_hold_thousands() {
        assert!(size_of::<Resource>() <= 1024, "{}", size_of::<Resource>());
    }
}
