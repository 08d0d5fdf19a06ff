//! The HTTP of the stand-in teacher.

use std::future::{IntoFuture, pending};
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::answers::{Answerer, key_of};
use super::counts::Ledger;
use super::failures::{Failures, Fault};
use super::request::{self, Asked, Refusal};
use super::wire::{Door, Scissors};
use super::{ResponseSupport, TeacherOptions, reply};

/// Largest body of a request.
const LARGEST_BODY: usize = 8 << 20;

/// What all connections share.
pub(super) struct Shared {
    pub(super) ledger: Ledger,
    answerer: Answerer,
    failures: Mutex<Failures>,
    model: String,
    support: ResponseSupport,
    logprobs: bool,
    api_key: Option<String>,
    latency: Duration,
    down: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(options: TeacherOptions) -> Self {
        Self {
            ledger: Ledger::default(),
            answerer: Answerer::new(options.answers),
            failures: Mutex::new(options.failures),
            model: options.model,
            support: options.response_format,
            logprobs: options.logprobs,
            api_key: options.api_key,
            latency: options.latency,
            down: watch::Sender::new(false),
        }
    }

    pub(super) fn set_failures(&self, failures: Failures) {
        *self.failures.lock() = failures;
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.send_replace(down);
    }

    pub(super) fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    fn authorised(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.api_key else { return true };
        let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = given("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer == Some(key) || given("api-key") == Some(key)
    }

    /// Waits; false when the server went down meanwhile.
    async fn pause(&self, wait: impl Future<Output = ()>) -> bool {
        let mut down = self.down.subscribe();
        tokio::select! {
            () = wait => true,
            _ = down.wait_for(|down| *down) => false,
        }
    }
}

/// Serves until told to stop, or until the one who could tell is gone. Says when connections are
/// taken.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    started: mpsc::SyncSender<io::Result<()>>,
    stopped: oneshot::Receiver<()>,
) {
    // A result is not heard only when the caller is gone; `stopped` then ends the server.
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return drop(started.send(Err(error))),
    };
    drop(started.send(Ok(())));
    let door = Door { listener, shared: Arc::clone(&shared) };
    let service = router(shared).into_make_service_with_connect_info::<Scissors>();
    tokio::select! {
        _ = axum::serve(door, service).into_future() => {}
        _ = stopped => {}
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(openai))
        .route("/openai/deployments/{name}/chat/completions", post(azure))
        .route("/v1/models", get(models))
        .fallback(async || error(StatusCode::NOT_FOUND, "no such path", "not_found", None))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(shared)
}

async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !shared.authorised(&headers) {
        return unauthorised();
    }
    let model = json!({
        "id": shared.model, "object": "model", "created": 0, "owned_by": "radstream",
    });
    answer(StatusCode::OK, &json!({ "object": "list", "data": [model] }))
}

async fn openai(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    chat(&shared, &scissors, &headers, &body, false).await
}

async fn azure(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    chat(&shared, &scissors, &headers, &body, true).await
}

async fn chat(
    shared: &Shared,
    scissors: &Scissors,
    headers: &HeaderMap,
    body: &[u8],
    named: bool,
) -> Response {
    let _here = shared.ledger.arrive();
    let read = request::read(body);
    // Before the key is looked at: a refused request has left its sender as well.
    if let Ok(asked) = &read {
        shared.ledger.see(asked);
    }
    if !shared.authorised(headers) {
        shared.ledger.count(|counts| counts.refused_auth += 1);
        return unauthorised();
    }
    let checked = read.and_then(|asked| asked.check(shared.support, named).map(|()| asked));
    match checked {
        Ok(asked) => call(shared, scissors, &asked).await,
        Err(Refusal { message, code }) => {
            shared.ledger.count(|counts| counts.refused_request += 1);
            error(StatusCode::BAD_REQUEST, message, "invalid_request_error", code)
        }
    }
}

async fn call(shared: &Shared, scissors: &Scissors, asked: &Asked) -> Response {
    let report = asked.report.as_deref().unwrap_or_default();
    let key = key_of(report);
    let labels = shared.answerer.answer(report, key);
    let call = shared.ledger.call(key, labels.recorded);
    let (fault, slow_for, mut details) = {
        let failures = shared.failures.lock();
        (failures.at(call), failures.slow_for, failures.details(call))
    };
    if let Some(fault) = fault {
        shared.ledger.fault(fault);
    }
    let mut up = shared.latency.is_zero() || shared.pause(tokio::time::sleep(shared.latency)).await;
    match fault {
        Some(Fault::RateLimited) if up => {
            let mut refusal = error(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests",
                "requests",
                Some("rate_limit_exceeded"),
            );
            refusal.headers_mut().insert(header::RETRY_AFTER, details.below(2).into());
            return refusal;
        }
        Some(Fault::ServerError) if up => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return error(status, "the server had an error", "server_error", None);
        }
        Some(Fault::Slow) if up => up = shared.pause(tokio::time::sleep(slow_for)).await,
        // The client may give up before: the connection then ends, and this future with it.
        Some(Fault::Hang) if up => up = shared.pause(pending()).await,
        _ => {}
    }
    if !up {
        scissors.close();
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let tokens = reply::content(&labels, report, key, fault, &mut details);
    let content: String = tokens.iter().map(|token| token.text.as_str()).collect();
    let frame = reply::Frame {
        call,
        model: &shared.model,
        logprobs: shared.logprobs && asked.logprobs,
        prompt_tokens: reply::tokens_of(asked.bytes),
        completion_tokens: reply::tokens_of(content.len()),
    };
    shared.ledger.count(|counts| {
        counts.answered_well += u64::from(fault.is_none());
        counts.prompt_tokens += u64::try_from(frame.prompt_tokens).unwrap_or_default();
        counts.completion_tokens += u64::try_from(frame.completion_tokens).unwrap_or_default();
    });
    let body = reply::response(&frame, &content, &tokens);
    if fault == Some(Fault::Cut) {
        scissors.cut_body_after(body.to_string().len() / 2);
    }
    answer(StatusCode::OK, &body)
}

fn unauthorised() -> Response {
    error(
        StatusCode::UNAUTHORIZED,
        "incorrect API key",
        "invalid_request_error",
        Some("invalid_api_key"),
    )
}

fn error(status: StatusCode, message: &str, kind: &str, code: Option<&str>) -> Response {
    answer(status, &json!({ "error": { "message": message, "type": kind, "code": code } }))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
