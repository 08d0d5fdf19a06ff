//! `/metrics`, `/livez`, `/readyz`, `/startupz`, and a page for people at `/`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::health::{Health, Verdict};
use super::totals::Totals;

/// What the endpoints show.
#[derive(Clone)]
pub struct Endpoints {
    /// Health of the process.
    pub health: Arc<Health>,
    /// Counts for the page.
    pub totals: Arc<Totals>,
    /// Metrics.
    pub metrics: PrometheusHandle,
    /// When set, `/metrics` and `/` want it as a bearer token. Probes never do.
    pub bearer_token: Option<Arc<str>>,
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Listens and serves on the given runtime.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(listen: &str, endpoints: Endpoints) -> std::io::Result<Server> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let server = axum::serve(listener, router(endpoints)).with_graceful_shutdown(async move {
        // The sender is only ever dropped.
        drop(stopped.await);
    });
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(Server { address, _stop: stop })
}

fn router(endpoints: Endpoints) -> Router {
    let guarded = Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(endpoints.clone(), guard));
    Router::new()
        .route("/livez", get(|State(e): State<Endpoints>| async move { answer(e.health.live()) }))
        .route("/readyz", get(|State(e): State<Endpoints>| async move { answer(e.health.ready()) }))
        .route(
            "/startupz",
            get(|State(e): State<Endpoints>| async move { answer(e.health.startup()) }),
        )
        .merge(guarded)
        .with_state(endpoints)
}

async fn guard(State(endpoints): State<Endpoints>, request: Request, next: Next) -> Response {
    let Some(token) = &endpoints.bearer_token else { return next.run(request).await };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
        next.run(request).await
    } else {
        let scheme = [(header::WWW_AUTHENTICATE, "Bearer")];
        let told = "a bearer token is wanted (http.bearer_token)\n";
        (StatusCode::UNAUTHORIZED, scheme, told).into_response()
    }
}

/// Compares without telling by its time where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

fn answer(verdict: Verdict) -> Response {
    match verdict {
        Ok(text) => (StatusCode::OK, format!("{text}\n")).into_response(),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> Response {
    let body = endpoints.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

async fn page(State(endpoints): State<Endpoints>) -> Html<String> {
    let state = match endpoints.health.ready() {
        Ok(text) => text.to_owned(),
        Err(problem) => problem,
    };
    Html(endpoints.totals.snapshot().page(&state))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b"secret2"));
        assert!(!same(b"", b"s"));
    }
}
