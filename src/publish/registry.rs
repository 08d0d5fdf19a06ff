//! Schema registry: our schemas get their ids at start, before anything is consumed.
//!
//! Once started, the registry is not needed any more: ids are kept for the life of the process.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schema_registry_converter::async_impl::schema_registry::{SrSettings, perform_sr_call};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SrCall};

use super::{Contract, SchemaIds};

/// How to reach the registry. `Debug` shows no secret.
#[derive(Clone)]
pub struct RegistrySettings {
    /// Base URL, for example `https://registry.example:8081`.
    pub url: String,
    /// User and password (for Confluent Cloud: API key and secret).
    pub basic_auth: Option<(String, String)>,
    /// Bearer token. Not together with `basic_auth`.
    pub bearer_token: Option<String>,
    /// Longest time for one call, connecting included.
    pub timeout: Duration,
    /// Whether to register a schema that the registry does not have. Otherwise its absence is an
    /// error, for sites where schemas are registered by a deployment step.
    pub auto_register: bool,
    /// PEM file with certificates of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySettings")
            .field("url", &shown(&self.url))
            .field("basic_auth", &self.basic_auth.as_ref().map(|_| "<secret>"))
            .field("bearer_token", &self.bearer_token.as_ref().map(|_| "<secret>"))
            .field("timeout", &self.timeout)
            .field("auto_register", &self.auto_register)
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// The registry gave no ids. Each message names the registry and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The settings cannot be used.
    #[error("schema registry {url}: {problem}")]
    Settings {
        /// Configured URL, without credentials.
        url: String,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// No usable answer: not reachable, timed out, TLS, or the registry itself is in trouble.
    #[error(
        "schema registry {url} does not answer: {cause}; check schema_registry.url, that the \
         registry is up and, for https, schema_registry.ca_file"
    )]
    Unreachable {
        /// Configured URL, without credentials.
        url: String,
        /// The client's words.
        cause: String,
    },
    /// Credentials were refused, or do not cover this subject.
    #[error(
        "schema registry {url} refuses access to subject {subject} (HTTP {status}); check the \
         credentials in [schema_registry] and that they may read{} this subject",
        if *.write { " and write" } else { "" }
    )]
    Unauthorized {
        /// Configured URL, without credentials.
        url: String,
        /// Subject asked for.
        subject: String,
        /// HTTP status.
        status: u32,
        /// Whether writing was tried.
        write: bool,
    },
    /// The subject has a schema that ours is not compatible with.
    #[error(
        "schema registry {url}: {file} is not compatible with what subject {subject} holds: \
         {cause}; use another topic, or a build of radstream that fits the registered schema"
    )]
    Incompatible {
        /// Configured URL, without credentials.
        url: String,
        /// Subject.
        subject: String,
        /// File of our schema.
        file: &'static str,
        /// The registry's words.
        cause: String,
    },
    /// Our schema is not registered, and we may not register it.
    #[error(
        "schema registry {url} does not have {file} under subject {subject}; register that file, \
         or set schema_registry.auto_register = true"
    )]
    NotRegistered {
        /// Configured URL, without credentials.
        url: String,
        /// Subject.
        subject: String,
        /// File of our schema.
        file: &'static str,
    },
    /// Any other refusal.
    #[error(
        "schema registry {url} refuses {file} for subject {subject}: {cause}; check that \
         schema_registry.url is the base URL of a Confluent-compatible registry"
    )]
    Refused {
        /// Configured URL, without credentials.
        url: String,
        /// Subject.
        subject: String,
        /// File of our schema.
        file: &'static str,
        /// The registry's words.
        cause: String,
    },
}

/// Gets ids for our schemas, under the subjects `<topic>-value`; that of samples where a topic for
/// them is given.
///
/// Registering a schema that is there already gives its id and changes nothing.
///
/// # Errors
/// [`RegistryError`]: each variant says what to do.
pub async fn register(
    settings: &RegistrySettings,
    findings_topic: &str,
    escalations_topic: &str,
    distillation_topic: Option<&str>,
) -> Result<SchemaIds, RegistryError> {
    let client = client(settings)?;
    let id = async |contract, topic| id_of(settings, &client, contract, topic).await;
    Ok(SchemaIds {
        findings: id(Contract::Findings, findings_topic).await?,
        escalations: id(Contract::Escalation, escalations_topic).await?,
        distillation: match distillation_topic {
            Some(topic) => Some(id(Contract::Distillation, topic).await?),
            None => None,
        },
    })
}

/// What the registry says of an id.
#[derive(Debug, PartialEq, Eq)]
pub enum Registered {
    /// An Avro schema that stands alone, as JSON.
    Avro(String),
    /// There is no schema of that id, or it is none that we can use: of another kind, or with
    /// references to others.
    Unusable,
}

/// The schema of an id, for reading what others wrote.
///
/// # Errors
/// The registry does not answer, or lets nobody in: ask again later. A registry that answers that
/// there is no such id is no error.
pub async fn schema_of(settings: &RegistrySettings, id: u32) -> Result<Registered, RegistryError> {
    let client = client(settings)?;
    match perform_sr_call(&client, SrCall::GetById(id)).await {
        Ok(answer) => {
            let avro = answer.schema_type.is_none_or(|kind| kind.eq_ignore_ascii_case("AVRO"));
            let alone = answer.references.is_none_or(|references| references.is_empty());
            Ok(match answer.schema {
                Some(schema) if avro && alone => Registered::Avro(schema),
                _ => Registered::Unusable,
            })
        }
        Err(error) => {
            let of_id = format!("of schema id {id}");
            match explain(settings, &error, of_id, "the schema of the input") {
                RegistryError::Refused { .. } | RegistryError::NotRegistered { .. } => {
                    Ok(Registered::Unusable)
                }
                trouble => Err(trouble),
            }
        }
    }
}

async fn id_of(
    settings: &RegistrySettings,
    client: &SrSettings,
    contract: Contract,
    topic: &str,
) -> Result<u32, RegistryError> {
    let subject = format!("{topic}-value");
    let body = serde_json::json!({ "schema": contract.json(), "schemaType": "AVRO" }).to_string();
    let call = if settings.auto_register {
        SrCall::PostNew(&subject, &body)
    } else {
        SrCall::PostForVersion(&subject, &body)
    };
    match perform_sr_call(client, call).await {
        Ok(answer) => answer.id.ok_or_else(|| RegistryError::Refused {
            url: shown(&settings.url),
            subject,
            file: contract.file(),
            cause: "its answer has no id".to_owned(),
        }),
        Err(error) => Err(explain(settings, &error, subject, contract.file())),
    }
}

/// Says which kind of trouble the client's error is.
fn explain(
    settings: &RegistrySettings,
    error: &SRCError,
    subject: String,
    file: &'static str,
) -> RegistryError {
    let url = shown(&settings.url);
    let raw = std::error::Error::source(error).and_then(|s| s.downcast_ref::<RawError>());
    let status = http_status(error, raw);
    // The registry's own words say most; else the innermost cause ("connection refused").
    let cause = raw.filter(|raw| raw.error_code != 0).map_or_else(
        || match status {
            Some(status) => format!("HTTP {status}"),
            None => root_cause(error),
        },
        |raw| raw.message.clone(),
    );
    match status {
        Some(status @ (401 | 403)) => {
            RegistryError::Unauthorized { url, subject, status, write: settings.auto_register }
        }
        Some(404) if !settings.auto_register => RegistryError::NotRegistered { url, subject, file },
        Some(409) => RegistryError::Incompatible { url, subject, file, cause },
        // Too slow, too early, too many: it asks for patience (RFC 9110, 15.5.9; RFC 8470; RFC 6585).
        Some(408 | 425 | 429 | 500..) | None => RegistryError::Unreachable { url, cause },
        Some(_) => RegistryError::Refused { url, subject, file, cause },
    }
}

/// The client keeps the HTTP status only in its words (`... failed with status 409 Conflict`) and
/// the registry's code, whose first three digits are the status (`40901`), in the source.
fn http_status(error: &SRCError, raw: Option<&RawError>) -> Option<u32> {
    let in_words = error
        .error
        .split_once("with status ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|status| status.parse().ok());
    let in_code = raw.map(|raw| raw.error_code).filter(|code| *code >= 100).map(|mut code| {
        while code >= 1000 {
            code /= 10;
        }
        code
    });
    in_words.or(in_code)
}

fn root_cause(error: &SRCError) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if std::ptr::addr_eq(innermost, error) { error.error.clone() } else { innermost.to_string() }
}

fn client(settings: &RegistrySettings) -> Result<SrSettings, RegistryError> {
    let problem = |problem: String| RegistryError::Settings { url: shown(&settings.url), problem };
    let url = reqwest::Url::parse(&settings.url)
        .map_err(|error| problem(format!("schema_registry.url is no URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem("schema_registry.url must begin with http:// or https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(problem(
            "schema_registry.url holds credentials; put them in their own keys, so that they are \
             never shown"
                .to_owned(),
        ));
    }

    let mut http = reqwest::Client::builder().connect_timeout(settings.timeout);
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|error| {
            problem(format!("schema_registry.ca_file {}: {error}", path.display()))
        })?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(problem(format!(
                "schema_registry.ca_file {} holds no certificate in PEM form",
                path.display()
            )));
        }
        http = http.tls_certs_merge(certificates);
    }

    let mut builder = SrSettings::new_builder(settings.url.trim_end_matches('/').to_owned());
    builder.set_timeout(settings.timeout);
    match (&settings.basic_auth, &settings.bearer_token) {
        (Some(_), Some(_)) => {
            return Err(problem(
                "both a user and a bearer token are set in [schema_registry]; keep one".to_owned(),
            ));
        }
        (Some((user, password)), None) => {
            builder.set_basic_authorization(user, Some(password));
        }
        (None, Some(token)) => {
            builder.set_token_authorization(token);
        }
        (None, None) => {}
    }
    builder.build_with(http).map_err(|error| problem(root_cause(&error)))
}

/// The URL without credentials and query.
fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(parsed) => {
            let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
            let host = parsed.host_str().unwrap_or("?");
            format!("{}://{host}{port}{}", parsed.scheme(), parsed.path().trim_end_matches('/'))
        }
        Err(_) => "<not a URL>".to_owned(),
    }
}
