//! From file and environment to [`Settings`], with every problem reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::bounds::bounds;
use super::problem::{Problem, Problems};
use super::profiles::{self, FolderError};
use super::settings::Settings;
use super::source::{self, Known, Leaf, Origin};
use super::validate::{Finding, validate};

/// Reads the settings: defaults, then the file, then variables `RADSTREAM__SECTION__KEY`, then the
/// files and variables of secrets; and checks them.
///
/// `path` `None` means no file. `environment` is usually [`process_environment`].
///
/// # Errors
/// Everything that is wrong: syntax, unknown keys, wrong types, values out of bounds, settings that
/// contradict each other, refused librdkafka properties, missing files.
pub fn load(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Problems> {
    let environment: BTreeMap<String, String> = environment.collect();
    let mut loader = Loader::new(path);
    loader.read_file(path);
    let leaves = source::from_environment(&environment, &loader.known, &mut loader.problems);
    loader.overlay(leaves);
    let mut settings = loader.settings();
    loader.resolve_secrets(&mut settings, &environment);
    for finding in bounds(&settings) {
        // What else does not fit a number that is out of bounds is no news.
        let key = finding.key.clone();
        loader.report(finding);
        loader.broken.insert(key);
    }
    for finding in validate(&settings) {
        loader.report(finding);
    }
    loader.read_profiles(&mut settings);
    if loader.problems.is_empty() {
        Ok(settings)
    } else {
        loader.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        Err(Problems(loader.problems))
    }
}

/// The variables of this process. One that is not UTF-8 is left out; no setting of ours needs it.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

struct Loader {
    known: Known,
    /// What is set so far, over the defaults. Always reads as [`Settings`].
    merged: Value,
    /// Where each set key was written.
    origins: BTreeMap<String, Origin>,
    /// Keys whose value was refused: what follows from their default is no news.
    broken: BTreeSet<String>,
    /// [`Problem::file`] of what was not written anywhere.
    file: String,
    problems: Vec<Problem>,
}

impl Loader {
    fn new(path: Option<&Path>) -> Self {
        let defaults = tree(&Settings::default());
        Self {
            known: Known { defaults: defaults.clone(), shown_in: "config/radstream.toml" },
            merged: defaults,
            origins: BTreeMap::new(),
            broken: BTreeSet::new(),
            file: path.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string()),
            problems: Vec::new(),
        }
    }

    fn read_file(&mut self, path: Option<&Path>) {
        let Some(path) = path else { return };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let leaves = source::from_toml(&text, &self.file, &self.known, &mut self.problems);
                self.overlay(leaves);
            }
            Err(problem) => self.problems.push(Problem {
                file: self.file.clone(),
                key: String::new(),
                line: None,
                what: format!("the file cannot be read: {problem}"),
                remedy: "give --config the path of a file that this user may read; \
                         config/radstream.toml is a start"
                    .to_owned(),
            }),
        }
    }

    /// Takes each setting that reads well on its own; the others become problems.
    fn overlay(&mut self, leaves: Vec<Leaf>) {
        for Leaf { path, value, origin } in leaves {
            let mut alone = self.known.defaults.clone();
            put(&mut alone, &path, value.clone());
            let key = path.join(".");
            match serde_json::from_value::<Settings>(alone) {
                Ok(_) => {
                    put(&mut self.merged, &path, value);
                    self.broken.remove(&key);
                    self.origins.insert(key, origin);
                }
                Err(problem) => {
                    let what = plain(&problem.to_string());
                    let remedy = match self.known.default_of(&path) {
                        _ if what.starts_with(NO_CHOICE) => "choose one of those".to_owned(),
                        Some(Value::Null) | None => "see config/radstream.toml".to_owned(),
                        Some(default) => format!("write it like the default: {default}"),
                    };
                    self.problems.push(origin.problem(what, remedy));
                    self.broken.insert(key);
                }
            }
        }
    }

    fn settings(&self) -> Settings {
        serde_json::from_value(self.merged.clone()).expect(
            "each setting was read on its own over the defaults, and settings are independent",
        )
    }

    fn resolve_secrets(&mut self, settings: &mut Settings, environment: &BTreeMap<String, String>) {
        for (key, secret) in settings.secrets_mut() {
            if let Err(problem) = secret.resolve(environment) {
                let remedy = problem.remedy();
                self.report(Finding::new(key, problem.to_string(), remedy));
            }
        }
        for provider in &mut settings.teacher.providers {
            let name = &provider.name;
            for (key, secret) in
                [("api_key", &mut provider.api_key), ("proxy", &mut provider.proxy)]
            {
                if let Err(problem) = secret.resolve(environment) {
                    let what = format!("{key} of {name:?}: {problem}");
                    self.report(Finding::new("teacher.providers", what, problem.remedy()));
                }
            }
        }
    }

    /// Reads the source profiles, whose problems stand in their own files.
    fn read_profiles(&mut self, settings: &mut Settings) {
        let folder = &settings.intake.profiles;
        if folder.as_os_str().is_empty() || self.broken.contains("intake.profiles") {
            return;
        }
        match profiles::load(folder) {
            Ok(profiles) => settings.intake.source_profiles = profiles,
            Err(FolderError::Folder { what, remedy }) => {
                self.report(Finding::new("intake.profiles", what, remedy));
            }
            Err(FolderError::Files(Problems(problems))) => self.problems.extend(problems),
        }
    }

    /// Places a finding: at the first of its keys that somebody wrote.
    fn report(&mut self, finding: Finding) {
        let mut keys = std::iter::once(&finding.key).chain(&finding.against);
        if keys.clone().any(|key| self.broken.contains(key)) {
            return;
        }
        let written = keys.find_map(|key| self.origins.get(key));
        self.problems.push(match written {
            // The finding is about its first key; a variable is named as the person knows it.
            Some(origin) if origin.file == source::ENVIRONMENT => {
                origin.problem(finding.what, finding.remedy)
            }
            Some(origin) => Problem {
                file: origin.file.clone(),
                key: finding.key,
                line: origin.line,
                what: finding.what,
                remedy: finding.remedy,
            },
            None => Problem {
                file: self.file.clone(),
                key: finding.key,
                line: None,
                what: finding.what,
                remedy: finding.remedy,
            },
        });
    }
}

/// The settings as a tree. Secrets are not in it.
fn tree(settings: &Settings) -> Value {
    serde_json::to_value(settings).expect("settings are plain values with text keys")
}

pub(super) fn put(tree: &mut Value, path: &[String], value: Value) {
    let Some((last, sections)) = path.split_last() else { return };
    let section = sections.iter().try_fold(tree, |tree, key| tree.get_mut(key));
    if let Some(Value::Object(section)) = section {
        section.insert(last.clone(), value);
    }
}

/// Begins the message about a word that is none of the choices.
pub(super) const NO_CHOICE: &str = "no such choice:";

/// Serde's words for types, in words for people.
pub(super) fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 11] = [
        ("unknown variant", NO_CHOICE),
        ("invalid type:", "wrong kind of value:"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected i64", "expected a whole number"),
        ("expected i32", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
        ("expected path string", "expected a text"),
        ("expected a string", "expected a text"),
        ("expected a boolean", "expected true or false"),
    ];
    let mut message = message.to_owned();
    for (serde, people) in WORDS {
        message = message.replace(serde, people);
    }
    message
}
