//! What the classes of dead letters mean, and what usually mends them.

/// A class in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What is wrong.
    pub words: &'static str,
    /// What usually mends it.
    pub remedy: &'static str,
}

/// Stage and class of every letter that this version writes.
pub const ALL: [(&str, &str); 18] = [
    ("decode", "empty"),
    ("decode", "unknown_format"),
    ("decode", "syntax"),
    ("decode", "truncated"),
    ("decode", "charset"),
    ("decode", "missing_identity"),
    ("decode", "oversize"),
    ("decode", "field_shift"),
    ("decode", "wrong_type"),
    ("decode", "panic"),
    ("label", "model"),
    ("label", "panic"),
    ("publish", "oversize"),
    ("publish", "avro"),
    ("teach", "avro"),
    ("teach", "cells"),
    ("teach", "sections"),
    ("teach", "identifiers"),
];

/// The meaning of a letter's class; `None` for one of another version.
pub fn meaning(stage: &str, class: &str) -> Option<Meaning> {
    let (words, remedy) = match (stage, class) {
        ("decode", "empty") => {
            ("no bytes, or only white space", "nothing to replay: find out who sends it")
        }
        ("decode", "unknown_format") => (
            "neither HL7 v2 nor FHIR, nor an envelope around one of them",
            "where it is an envelope, intake.envelope_pointer or intake.avro_field; otherwise the sender",
        ),
        ("decode", "syntax") => {
            ("it breaks the rules of its format", "the sender, or a newer radstream")
        }
        ("decode", "truncated") => (
            "it ends before its format says it may",
            "the sender sends it again; a replay does not make it whole",
        ),
        ("decode", "charset") => (
            "the declared character set does not fit the bytes",
            "a source profile with the right one, or the sender",
        ),
        ("decode", "missing_identity") => (
            "nothing in it identifies the report",
            "a source profile that says which field holds the number",
        ),
        ("decode", "oversize") => (
            "larger, deeper or more numerous than the limits allow",
            "intake.max_payload_mib, where the size is meant",
        ),
        ("decode", "field_shift") => (
            "a field separator inside the text shifted later fields",
            "the sender escapes its separators; or a newer radstream",
        ),
        ("decode", "wrong_type") => (
            "a field that carries the report has a type its format does not allow",
            "the sender, or a newer radstream",
        ),
        (_, "panic") => (
            "a fault of radstream: the record stopped a piece of its code",
            "a newer radstream; tell us",
        ),
        ("label", "model") => (
            "the model failed on this report alone",
            "another model, or a machine with more memory",
        ),
        ("publish", "oversize") => (
            "what came of it is larger than may be published",
            "publish.max_message_bytes, and max.message.bytes of the topics",
        ),
        ("publish", "avro") => {
            ("what came of it could not be encoded", "a newer radstream; tell us")
        }
        ("teach", "avro") => (
            "not an escalation, or of a schema that is not known here",
            "stages label and teach of one version",
        ),
        ("teach", "cells" | "sections" | "identifiers") => (
            "an escalation with names that this version does not know",
            "stage teach of the version of stage label, or newer",
        ),
        _ => return None,
    };
    Some(Meaning { words, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::RejectionClass;

    #[test]
    fn every_class_has_a_meaning_and_a_line_in_the_runbook() {
        let runbook = include_str!("../../docs/DEAD_LETTERS.md");
        for (stage, class) in ALL {
            assert!(meaning(stage, class).is_some(), "{stage} {class}");
            let told = runbook.lines().any(|line| {
                line.starts_with(&format!("| {stage}")) && line.contains(&format!("`{class}`"))
            });
            assert!(told, "docs/DEAD_LETTERS.md has no line for {stage} {class}");
        }
        for class in RejectionClass::ALL {
            assert!(ALL.contains(&("decode", class.name())), "{class:?}");
        }
        assert_eq!(meaning("decode", "of tomorrow"), None);
    }
}
