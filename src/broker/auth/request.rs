//! One HTTP request from a thread that has no runtime: what tokens and `check` need.

use std::error::Error;
use std::future::Future;
use std::path::Path;

/// Runs a future to its end on a thread and a runtime of its own: the caller may be a thread of
/// librdkafka or of another runtime, where blocking on a future would panic.
pub(crate) fn on_own_runtime<F: Future>(
    make: impl FnOnce() -> F + Send,
) -> std::io::Result<F::Output>
where
    F::Output: Send,
{
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("radstream-request".to_owned())
            .spawn_scoped(scope, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(make()))
            })?
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the request's thread panicked")))
    })
}

/// Reads an answer up to `limit` bytes; what is beyond is cut off.
pub(crate) async fn read_bounded(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            break;
        }
    }
    Ok(body)
}

/// Certificates of a PEM file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(path).map_err(|problem| problem.to_string())?;
    reqwest::Certificate::from_pem_bundle(&pem).map_err(|problem| problem.to_string())
}

/// An error with what caused it: `error sending request: Connection refused`.
pub(crate) fn chain(problem: &dyn Error) -> String {
    let mut text = problem.to_string();
    let mut cause = problem.source();
    while let Some(problem) = cause {
        text = format!("{text}: {problem}");
        cause = problem.source();
    }
    text.replace('\0', "")
}

/// `name=value`, encoded as a form.
pub(crate) fn form_encoded(name: &str, value: &str) -> String {
    reqwest::Url::parse_with_params("form:", [(name, value)])
        .ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default()
}
