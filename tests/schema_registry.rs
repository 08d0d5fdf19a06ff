//! Registration against a small registry of the Confluent kind, over real HTTP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use radstream::publish::registry::{RegistryError, RegistrySettings, register};
use radstream::publish::{Contract, SchemaIds};
use serde_json::{Value, json};

/// What a test registry holds and how it answers.
#[derive(Default)]
struct Registry {
    /// Schemas by subject and text, with their ids.
    schemas: BTreeMap<(String, String), u32>,
    /// `Authorization` that it asks for.
    authorization: Option<String>,
    /// Status and code that it answers everything with.
    refuse: Option<(StatusCode, u32)>,
    /// Paths asked for, in order.
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Registry>>;
type Answer = (StatusCode, String);

fn refusal(status: StatusCode, code: u32, message: &str) -> Answer {
    (status, json!({ "error_code": code, "message": message }).to_string())
}

fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    subject: String,
    body: &Value,
    write: bool,
) -> Answer {
    let mut registry = shared.lock().unwrap();
    registry.calls.push(format!("{} {subject}", if write { "register" } else { "look up" }));
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if registry.authorization.is_some() && registry.authorization.as_deref() != given {
        return refusal(StatusCode::UNAUTHORIZED, 40101, "Unauthorized");
    }
    if let Some((status, code)) = registry.refuse {
        return refusal(status, code, "told to refuse");
    }
    let schema = body["schema"].as_str().unwrap().to_owned();
    if apache_avro::Schema::parse_str(&schema).is_err() || body["schemaType"] != "AVRO" {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, 42201, "Invalid schema");
    }
    let next = u32::try_from(registry.schemas.len()).unwrap() + 100;
    match registry.schemas.get(&(subject.clone(), schema.clone())) {
        Some(id) => (StatusCode::OK, json!({ "id": id }).to_string()),
        None if write => {
            registry.schemas.insert((subject, schema), next);
            (StatusCode::OK, json!({ "id": next }).to_string())
        }
        None => refusal(StatusCode::NOT_FOUND, 40403, "Schema not found"),
    }
}

/// Starts a registry on a free port of the loopback; gives its URL.
async fn serve(registry: Registry) -> (String, Shared) {
    let shared = Arc::new(Mutex::new(registry));
    let register = |State(shared): State<Shared>,
                    Path(subject): Path<String>,
                    headers: HeaderMap,
                    body: String| async move {
        answer(&shared, &headers, subject, &serde_json::from_str(&body).unwrap(), true)
    };
    let look_up = |State(shared): State<Shared>,
                   Path(subject): Path<String>,
                   headers: HeaderMap,
                   body: String| async move {
        answer(&shared, &headers, subject, &serde_json::from_str(&body).unwrap(), false)
    };
    let app = Router::new()
        .route("/base/subjects/{subject}/versions", post(register))
        .route("/base/subjects/{subject}", post(look_up))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, shared)
}

fn settings(url: &str) -> RegistrySettings {
    RegistrySettings {
        url: url.to_owned(),
        basic_auth: None,
        bearer_token: None,
        timeout: Duration::from_secs(20),
        auto_register: true,
        ca_file: None,
    }
}

async fn ids(settings: &RegistrySettings) -> Result<SchemaIds, RegistryError> {
    register(settings, "findings", "escalations", Some("distillation")).await
}

#[tokio::test]
async fn schemas_are_registered_once_and_keep_their_ids() {
    let (url, registry) = serve(Registry::default()).await;
    let first = ids(&settings(&url)).await.unwrap();
    assert_eq!(first, SchemaIds { findings: 100, escalations: 101, distillation: Some(102) });
    assert_eq!(ids(&settings(&url)).await.unwrap(), first);
    let registry = registry.lock().unwrap();
    let held: Vec<_> = registry.schemas.keys().cloned().collect();
    assert_eq!(
        held,
        [
            ("distillation-value".to_owned(), Contract::Distillation.json().to_owned()),
            ("escalations-value".to_owned(), Contract::Escalation.json().to_owned()),
            ("findings-value".to_owned(), Contract::Findings.json().to_owned()),
        ]
    );
}

#[tokio::test]
async fn without_auto_registration_a_missing_schema_is_named_and_nothing_is_written() {
    let (url, registry) = serve(Registry::default()).await;
    let look_up = RegistrySettings { auto_register: false, ..settings(&url) };
    let error = ids(&look_up).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, RegistryError::NotRegistered { .. }), "{message}");
    for part in ["findings-value", "schemas/findings_event.avsc", "auto_register", "127.0.0.1"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(registry.lock().unwrap().calls, ["look up findings-value"]);

    let registered = ids(&settings(&url)).await.unwrap();
    assert_eq!(ids(&look_up).await.unwrap(), registered);
}

#[tokio::test]
async fn credentials_are_sent_and_their_refusal_is_told() {
    let asked = |authorization: &str| Registry {
        authorization: Some(authorization.to_owned()),
        ..Registry::default()
    };
    let (url, _) = serve(asked("Basic dXNlcjpzM2NyZXQ=")).await;
    let basic = Some(("user".to_owned(), "s3cret".to_owned()));
    ids(&RegistrySettings { basic_auth: basic, ..settings(&url) }).await.unwrap();

    let (url, _) = serve(asked("Bearer t0ken")).await;
    let bearer = Some("t0ken".to_owned());
    ids(&RegistrySettings { bearer_token: bearer, ..settings(&url) }).await.unwrap();

    let wrong = RegistrySettings { bearer_token: Some("wr0ng".to_owned()), ..settings(&url) };
    let error = ids(&wrong).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, RegistryError::Unauthorized { status: 401, write: true, .. }));
    assert!(message.contains("credentials") && !message.contains("wr0ng"), "{message}");
}

#[tokio::test]
async fn an_incompatible_subject_and_other_refusals_are_kept_apart() {
    let refusing = |status, code| Registry { refuse: Some((status, code)), ..Registry::default() };
    let (url, _) = serve(refusing(StatusCode::CONFLICT, 409)).await;
    let error = ids(&settings(&url)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Incompatible { .. }), "{error}");
    assert!(error.to_string().contains("told to refuse"));

    let (url, _) = serve(refusing(StatusCode::UNPROCESSABLE_ENTITY, 42201)).await;
    let error = ids(&settings(&url)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error}");

    for (status, code) in
        [(StatusCode::INTERNAL_SERVER_ERROR, 50001), (StatusCode::TOO_MANY_REQUESTS, 429)]
    {
        let (url, _) = serve(refusing(status, code)).await;
        let error = ids(&settings(&url)).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_no_registry_is_told_from_one_that_is_down() {
    let (url, _) = serve(Registry::default()).await;
    let error = ids(&settings(&format!("{url}wrong"))).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("HTTP 404"), "{error}");

    // Bound and dropped: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ids(&settings(&format!("http://{free}"))).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{message}");
    assert!(message.contains(&free.to_string()) && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn unusable_settings_are_told_before_any_call() {
    let told = async |settings: RegistrySettings| {
        let error = ids(&settings).await.unwrap_err();
        assert!(matches!(error, RegistryError::Settings { .. }), "{error}");
        error.to_string()
    };
    let base = || settings("http://127.0.0.1:1");
    assert!(told(settings("registry:8081/x")).await.contains("schema_registry.url"));
    let leaking = told(settings("http://user:s3cret@registry")).await;
    assert!(leaking.contains("credentials") && !leaking.contains("s3cret"), "{leaking}");
    let both = RegistrySettings {
        basic_auth: Some(("user".into(), "s3cret".into())),
        bearer_token: Some("t0ken".into()),
        ..base()
    };
    assert!(told(both).await.contains("keep one"));
    let missing = RegistrySettings { ca_file: Some("/no/such/ca.pem".into()), ..base() };
    assert!(told(missing).await.contains("/no/such/ca.pem"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "not a certificate").unwrap();
    let empty = RegistrySettings { ca_file: Some(file), ..base() };
    assert!(told(empty).await.contains("no certificate"));
}

#[test]
fn debug_of_settings_shows_no_secret() {
    let settings = RegistrySettings {
        basic_auth: Some(("user".into(), "s3cret".into())),
        bearer_token: Some("t0ken".into()),
        ..settings("http://user:p4ss@registry:8081/?token=x")
    };
    let shown = format!("{settings:?}");
    assert!(shown.contains("http://registry:8081"), "{shown}");
    for secret in ["s3cret", "t0ken", "p4ss", "token=x"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
