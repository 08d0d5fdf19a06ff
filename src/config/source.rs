//! What was set, and where: the configuration file and the environment as lists of single settings.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::Problem;

/// Variables of this prefix are settings: `RADSTREAM__KAFKA__GROUP`.
pub(super) const PREFIX: &str = "RADSTREAM__";
/// [`Problem::file`] of what was set by a variable.
pub(super) const ENVIRONMENT: &str = "environment";

/// One setting as somebody wrote it.
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Where a setting was written.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    /// The key as written there: dotted, or the variable's name.
    pub(super) key: String,
}

impl Origin {
    pub(super) fn problem(&self, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            key: self.key.clone(),
            line: self.line,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// The known settings: the defaults as a tree. An object is a section, an empty object an open map
/// (librdkafka properties), everything else a setting.
pub(super) struct Known {
    pub(super) defaults: Value,
    /// What shows every key, for remedies.
    pub(super) shown_in: &'static str,
}

/// What stands at a path of the known settings.
enum Place<'k> {
    Section(&'k serde_json::Map<String, Value>),
    OpenMap,
    Setting(&'k Value),
}

fn place(value: &Value) -> Place<'_> {
    match value {
        Value::Object(map) if map.is_empty() => Place::OpenMap,
        Value::Object(map) => Place::Section(map),
        setting => Place::Setting(setting),
    }
}

impl Known {
    /// Dotted paths of all settings, sections not included.
    pub(super) fn paths(&self) -> Vec<String> {
        fn walk(prefix: &str, value: &Value, paths: &mut Vec<String>) {
            match place(value) {
                Place::Section(map) => {
                    for (key, value) in map {
                        walk(&join(prefix, key), value, paths);
                    }
                }
                Place::OpenMap | Place::Setting(_) => paths.push(prefix.to_owned()),
            }
        }
        let mut paths = Vec::new();
        walk("", &self.defaults, &mut paths);
        paths
    }

    /// The setting's default.
    pub(super) fn default_of(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(&self.defaults, |value, key| value.get(key))
    }

    /// A remedy for a key that is none: where it belongs, or the nearest name.
    fn nearest(&self, wrong: &str) -> String {
        /// Less alike than this is another word, not a slip of the finger.
        const ALIKE: f64 = 0.6;
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let paths = self.paths();
        let same_name: Vec<&String> =
            paths.iter().filter(|known| last(known) == last(wrong)).collect();
        if let [only] = same_name.as_slice() {
            return format!("did you mean {only}?");
        }
        let sections = paths.iter().filter_map(|path| path.rsplit_once('.').map(|(s, _)| s));
        let best = paths
            .iter()
            .map(String::as_str)
            .chain(sections)
            .map(|known| (strsim::normalized_damerau_levenshtein(wrong, known), known))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((alike, known)) if alike >= ALIKE => format!("did you mean {known}?"),
            _ => format!("remove it; {} shows every key", self.shown_in),
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Reads a TOML text. With errors of syntax, only those are reported: what follows them is guesswork.
pub(super) fn from_toml(
    text: &str,
    file: &str,
    known: &Known,
    problems: &mut Vec<Problem>,
) -> Vec<Leaf> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = TomlReader { text, file, known, problems, leaves: Vec::new() };
    if errors.is_empty() {
        reader.section(&[], &known.defaults, table.get_ref());
    } else {
        for error in errors {
            // The message alone: the error's own `Display` quotes the line, which may hold a secret.
            let line = error.span().map(|span| line_of(text, span.start));
            reader.problems.push(Problem {
                file: file.to_owned(),
                key: String::new(),
                line,
                what: format!("not TOML: {}", error.message()),
                remedy: "mend the line; texts stand in double quotes".to_owned(),
            });
        }
    }
    reader.leaves
}

struct TomlReader<'a> {
    text: &'a str,
    file: &'a str,
    known: &'a Known,
    problems: &'a mut Vec<Problem>,
    leaves: Vec<Leaf>,
}

impl TomlReader<'_> {
    fn section(&mut self, prefix: &[String], known: &Value, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref().to_string();
            let mut path = prefix.to_vec();
            path.push(name.clone());
            let origin = Origin {
                file: self.file.to_owned(),
                line: Some(line_of(self.text, key.span().start)),
                key: path.join("."),
            };
            let Some(inner) = known.get(&name) else {
                let remedy = self.known.nearest(&origin.key);
                self.problems.push(origin.problem("there is no such key", remedy));
                continue;
            };
            match (place(inner), value.get_ref()) {
                (Place::Section(_), DeValue::Table(table)) => self.section(&path, inner, table),
                (Place::OpenMap, DeValue::Table(table)) => self.open_map(&path, "", table),
                (Place::Section(_) | Place::OpenMap, _) => {
                    let remedy = format!("write [{}] and its keys below", origin.key);
                    self.problems.push(origin.problem("this is a section, not a key", remedy));
                }
                (Place::Setting(_), _) => self.leaf(path, value, origin),
            }
        }
    }

    /// `linger.ms = 20` is a table `linger` in TOML's eyes and one property in ours.
    fn open_map(&mut self, map: &[String], prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = join(prefix, key.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.open_map(map, &name, table);
                continue;
            }
            let mut path = map.to_vec();
            path.push(name);
            let origin = Origin {
                file: self.file.to_owned(),
                line: Some(line_of(self.text, key.span().start)),
                key: path.join("."),
            };
            self.leaf(path, value, origin);
        }
    }

    fn leaf(&mut self, path: Vec<String>, value: &Spanned<DeValue<'_>>, origin: Origin) {
        let not_finite = matches!(value.get_ref(), DeValue::Float(_));
        match Value::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(Value::Null) | Err(_) if not_finite => self
                .problems
                .push(origin.problem("this is not a finite number", "write a number such as 0.5")),
            Ok(value) => self.leaves.push(Leaf { path, value, origin }),
            // Not quoted: the value may be a secret.
            Err(_) => {
                let remedy = format!("see {}", self.known.shown_in);
                self.problems.push(origin.problem("this value cannot be read", remedy));
            }
        }
    }
}

/// Line of a byte offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Reads the variables that begin with [`PREFIX`].
///
/// A text setting takes the variable as it is, everything else takes TOML (`["a", "b"]`, `true`). In
/// a map of properties, `_` stands for `.`: `RADSTREAM__KAFKA__PROPERTIES__LINGER_MS`.
pub(super) fn from_environment(
    environment: &BTreeMap<String, String>,
    known: &Known,
    problems: &mut Vec<Problem>,
) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for (variable, text) in environment {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let origin = Origin { file: ENVIRONMENT.to_owned(), line: None, key: variable.clone() };
        let keys: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        match variable_leaf(&keys, text, known) {
            Ok((path, value)) => leaves.push(Leaf { path, value, origin }),
            Err((what, remedy)) => problems.push(origin.problem(what, remedy)),
        }
    }
    leaves
}

/// Path and value of a variable, or what is wrong and the remedy.
fn variable_leaf(
    keys: &[String],
    text: &str,
    known: &Known,
) -> Result<(Vec<String>, Value), (String, String)> {
    if let Some((name, map)) = keys.split_last()
        && let Some(Place::OpenMap) = known.default_of(map).map(place)
    {
        let mut path = map.to_vec();
        path.push(name.replace('_', "."));
        return Ok((path, Value::String(text.to_owned())));
    }
    match known.default_of(keys).map(place) {
        None => Err(("there is no such key".to_owned(), {
            known.nearest(&keys.join(".")) + " (RADSTREAM__SECTION__KEY)"
        })),
        Some(Place::Section(_) | Place::OpenMap) => Err((
            "this is a section, not a key".to_owned(),
            "add __ and the name of one of its keys".to_owned(),
        )),
        Some(Place::Setting(default)) => {
            let reads_as_text = default.is_string() && !looks_like_reference(text);
            let value = if reads_as_text {
                Value::String(text.to_owned())
            } else {
                toml_value(text).ok_or_else(|| {
                    (
                        "this is not a TOML value".to_owned(),
                        format!("write it as in the file, for example {default}"),
                    )
                })?
            };
            Ok((keys.to_vec(), value))
        }
    }
}

/// `{ file = "..." }` and `{ env = "..." }`, and nothing else: a password may begin with a brace.
fn looks_like_reference(text: &str) -> bool {
    toml_value(text).is_some_and(|value| {
        value.as_object().is_some_and(|table| {
            table.len() == 1 && (table.contains_key("file") || table.contains_key("env"))
        })
    })
}

fn toml_value(text: &str) -> Option<Value> {
    let value = ValueDeserializer::parse(text.trim()).ok()?;
    Value::deserialize(value).ok().filter(|value| !value.is_null())
}
