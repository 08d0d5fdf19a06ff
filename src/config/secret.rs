//! A value that is never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A password or token: given as text, or by where it stands.
///
/// ```toml
/// password = "changeit"                              # in the file: for trying out
/// password = { file = "/run/secrets/kafka" }         # Docker, Kubernetes
/// password = { env = "KAFKA_PASSWORD" }
/// ```
/// `Debug` and `Serialize` print nothing of it. The line end of a file is not part of the secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    source: Source,
    value: String,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Source {
    #[default]
    Unset,
    Text,
    File(PathBuf),
    Variable(String),
}

impl Secret {
    /// A secret given as text.
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        if value.is_empty() { Self::default() } else { Self { source: Source::Text, value } }
    }

    /// Something was given: a text, a file or a variable.
    pub const fn is_set(&self) -> bool {
        !matches!(self.source, Source::Unset)
    }

    /// The secret itself; empty where none is set. The caller answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Fetches the value from its file or variable.
    ///
    /// # Errors
    /// The file cannot be read, the variable is not set, or there is nothing in it.
    pub(super) fn resolve(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), SecretError> {
        let found = match &self.source {
            Source::Unset | Source::Text => return Ok(()),
            Source::File(path) => std::fs::read_to_string(path)
                .map_err(|problem| SecretError::File { path: path.clone(), problem })?,
            Source::Variable(name) => environment
                .get(name)
                .cloned()
                .ok_or_else(|| SecretError::Variable { name: name.clone() })?,
        };
        let value = found.trim_end_matches(['\n', '\r']);
        if value.is_empty() {
            return Err(SecretError::Empty { place: self.place() });
        }
        value.clone_into(&mut self.value);
        Ok(())
    }

    fn place(&self) -> String {
        match &self.source {
            Source::Unset => "nowhere".to_owned(),
            Source::Text => "the file".to_owned(),
            Source::File(path) => path.display().to_string(),
            Source::Variable(name) => format!("the variable {name}"),
        }
    }
}

/// Why a secret cannot be had. Holds nothing of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("the secret's file {} cannot be read: {problem}", .path.display())]
    File { path: PathBuf, problem: std::io::Error },
    #[error("the secret's variable {name} is not set")]
    Variable { name: String },
    #[error("{place} is empty")]
    Empty { place: String },
}

impl SecretError {
    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::File { .. } => "mount the file, let this user read it, or correct the path \
                                  (relative to the working directory)"
                .to_owned(),
            Self::Variable { name } => {
                format!("set {name} in the environment of the process, or use {{ file = \"...\" }}")
            }
            Self::Empty { .. } => "put the secret there, or remove the key".to_owned(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "<secret>" } else { "<none>" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_set() { "<secret>" } else { "" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Reads through a generic value, so that no error message quotes what was given.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let wrong = || {
            de::Error::custom(
                "a secret is a text, { file = \"path\" } or { env = \"NAME\" } (value not shown)",
            )
        };
        match serde_json::Value::deserialize(input).map_err(|_| wrong())? {
            serde_json::Value::String(text) => Ok(Self::new(text)),
            serde_json::Value::Object(table) if table.len() == 1 => {
                let text = |key: &str| table.get(key).and_then(|value| value.as_str());
                let source = match (text("file"), text("env")) {
                    (Some(path), _) if !path.is_empty() => Source::File(PathBuf::from(path)),
                    (_, Some(name)) if !name.is_empty() => Source::Variable(name.to_owned()),
                    _ => return Err(wrong()),
                };
                Ok(Self { source, value: String::new() })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Secret, String> {
        serde_json::from_str(json).map_err(|problem| problem.to_string())
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let secret = parse("\"hunter2\"").unwrap();
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(shown, "<secret> \"<secret>\"");
    }

    #[test]
    fn an_error_about_a_secret_does_not_quote_it() {
        for wrong in ["271828", "[\"hunter2\"]", "{\"hunter2\": 1}", "{\"file\": \"\"}"] {
            let problem = parse(wrong).unwrap_err();
            assert!(!problem.contains("hunter2") && !problem.contains("271828"), "{problem}");
            assert!(problem.contains("{ file ="), "{problem}");
        }
    }

    #[test]
    fn the_line_end_of_a_secret_file_is_not_part_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, " pass word \r\n").unwrap();
        let mut secret = parse(&format!("{{\"file\": {path:?}}}")).unwrap();
        secret.resolve(&BTreeMap::new()).unwrap();
        assert_eq!(secret.expose(), " pass word ");
    }

    #[test]
    fn a_missing_file_and_a_missing_variable_are_named_with_a_remedy() {
        let mut file = parse("{\"file\": \"no/such/file\"}").unwrap();
        let problem = file.resolve(&BTreeMap::new()).unwrap_err();
        assert!(problem.to_string().contains("no/such/file"));
        assert!(problem.remedy().contains("working directory"));

        let mut variable = parse("{\"env\": \"KAFKA_PASSWORD\"}").unwrap();
        let problem = variable.resolve(&BTreeMap::new()).unwrap_err();
        assert!(problem.to_string().contains("KAFKA_PASSWORD"));
        let environment = BTreeMap::from([("KAFKA_PASSWORD".to_owned(), "hunter2\n".to_owned())]);
        variable.resolve(&environment).unwrap();
        assert_eq!(variable.expose(), "hunter2");
    }

    #[test]
    fn an_empty_secret_file_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "\n").unwrap();
        let mut secret = parse(&format!("{{\"file\": {path:?}}}")).unwrap();
        assert!(secret.resolve(&BTreeMap::new()).unwrap_err().to_string().ends_with("is empty"));
    }
}
