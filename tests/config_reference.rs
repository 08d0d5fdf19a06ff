//! `config/radstream.toml`, `docs/CONFIGURATION.md` and the code say the same.
//!
//! The file is written from the code: each key with the doc comment of its field, each value the
//! default. When this test fails after a change of `src/config/`, copy the file that it names.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use radstream::config::{self, Settings, properties};
use serde_json::Value;

const HEAD: &str = "\
# radstream: every setting, with its default.
#
# Delete what you do not change. A variable RADSTREAM__SECTION__KEY overrides a key (sections nested
# by __): RADSTREAM__KAFKA__GROUP=ward-7. Unknown keys are errors. Paths are relative to the working
# directory. `radstream check --config FILE` says what is wrong, all at once. More, and recipes for
# TLS and SASL: docs/CONFIGURATION.md.
";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

/// A field of a settings struct, as written in the source.
struct Field {
    name: String,
    /// Its type: another struct of settings, or of a value.
    kind: String,
    doc: Vec<String>,
}

/// Public fields of `pub struct <name> {`, in their order.
fn fields_of(name: &str, sources: &[String]) -> Option<Vec<Field>> {
    let head = format!("pub struct {name} {{");
    let body = sources.iter().find_map(|source| source.split_once(&head))?.1;
    let (body, _) = body.split_once("\n}").unwrap();
    let mut fields = Vec::new();
    let mut doc = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim().to_owned());
        } else if let Some(field) = line.strip_prefix("pub ") {
            let (name, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
            let doc = std::mem::take(&mut doc);
            fields.push(Field { name: name.to_owned(), kind: kind.to_owned(), doc });
        }
    }
    Some(fields)
}

/// Writes a section: its keys, then the sections below it.
fn render(path: &str, kind: &str, values: &Value, sources: &[String], out: &mut String) {
    let fields = fields_of(kind, sources).unwrap();
    let (sections, keys): (Vec<&Field>, Vec<&Field>) =
        fields.iter().partition(|field| values[&field.name].is_object());
    for field in keys {
        let (name, value) = (&field.name, &values[&field.name]);
        let (examples, doc): (Vec<_>, Vec<_>) =
            field.doc.iter().partition(|line| line.starts_with("Example: "));
        doc.iter().for_each(|line| writeln!(out, "# {line}").unwrap());
        match (value, examples.first()) {
            // No value means "not set": shown with its example, commented out.
            (Value::Null, Some(example)) => {
                writeln!(out, "# {name} = {}\n", example.replacen("Example: ", "", 1)).unwrap();
            }
            _ => writeln!(out, "{name} = {value}\n").unwrap(),
        }
    }
    for field in sections {
        let section =
            if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        let (examples, doc): (Vec<_>, Vec<_>) =
            field.doc.iter().partition(|line| line.starts_with("Example: "));
        doc.iter().for_each(|line| writeln!(out, "# {line}").unwrap());
        writeln!(out, "[{section}]").unwrap();
        match examples.first() {
            Some(example) => writeln!(out, "# {}\n", example.replacen("Example: ", "", 1)).unwrap(),
            None => {
                out.push('\n');
                render(&section, &field.kind, &values[&field.name], sources, out);
            }
        }
    }
}

fn expected_file() -> String {
    let sources = ["settings", "connection", "teacher", "promotion", "redistill"]
        .map(|name| read(&format!("src/config/{name}.rs")));
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let mut out = format!("{HEAD}\n");
    render("", "Settings", &defaults, &sources, &mut out);
    format!("{}\n", out.trim_end())
}

#[test]
fn the_file_shows_every_key_with_the_comment_and_the_default_of_the_code() {
    let expected = expected_file();
    if read("config/radstream.toml") != expected {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("radstream.toml");
        fs::write(&path, &expected).unwrap();
        panic!("config/radstream.toml is not what the code says; copy {}", path.display());
    }
}

#[test]
fn the_file_loads_and_sets_nothing_but_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/radstream.toml");
    let settings = config::load(Some(&path), std::iter::empty())
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(settings, Settings::default());
}

/// Dotted paths of every key of a tree; an empty table is a key.
fn paths(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                paths(&path, value, into);
            }
        }
        _ => {
            into.insert(prefix.to_owned());
        }
    }
}

#[test]
fn every_key_of_the_code_stands_in_the_file_and_the_other_way_round() {
    let mut of_code = BTreeSet::new();
    paths("", &serde_json::to_value(Settings::default()).unwrap(), &mut of_code);
    let text = read("config/radstream.toml")
        .replace("# min_confidence", "min_confidence")
        .replace("# max_rule_conflicts", "max_rule_conflicts");
    let mut of_file = BTreeSet::new();
    paths("", &toml::from_str::<Value>(&text).unwrap(), &mut of_file);
    assert_eq!(of_code, of_file);
}

#[test]
fn every_key_says_its_default() {
    let sources = ["settings", "connection", "teacher", "promotion", "redistill"]
        .map(|name| read(&format!("src/config/{name}.rs")));
    let mut seen = 0;
    for kind in [
        "Kafka",
        "Tls",
        "Sasl",
        "Topics",
        "Delivery",
        "Memory",
        "Intake",
        "Student",
        "Shadow",
        "Drift",
        "Routing",
        "Teacher",
        "Promotion",
        "Redistill",
        "Publish",
        "SchemaRegistry",
        "Http",
        "Log",
        "Shutdown",
    ] {
        for field in fields_of(kind, &sources).unwrap() {
            let section = fields_of(&field.kind, &sources).is_some();
            let doc = field.doc.join(" ");
            let says = doc.contains("Default") || field.kind.starts_with("BTreeMap");
            assert!(section || says, "{kind}.{} does not say its default", field.name);
            seen += 1;
        }
    }
    assert!(seen > 70, "only {seen} fields were found");
}

#[test]
fn the_table_of_refused_properties_in_the_documentation_is_that_of_the_code() {
    let documentation = read("docs/CONFIGURATION.md");
    let (_, table) = documentation.split_once("| property | refused | reason | instead |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let documented: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let of_code: Vec<String> = properties::REFUSED
        .iter()
        .map(|entry| {
            let when = entry.rule.words();
            format!("| `{}` | {when} | {} | {} |", entry.property, entry.reason, entry.remedy)
        })
        .collect();
    assert_eq!(documented, of_code);
}
