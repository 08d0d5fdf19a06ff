//! What people and machines can see of a running process: logs, metrics, health.
//!
//! No report text and no identifier goes through here: values that hold them do not print, metric
//! labels are small closed sets, and a panic reports its place only (its message may quote a slice
//! of report text).

use std::io::{IsTerminal, Write as _};
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

pub mod health;
pub mod http;
pub mod names;
pub mod totals;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` is not a filter.
    #[error("log.filter is not valid: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The metrics recorder could not be installed.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// Starts logging to standard error. A second call changes nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    // The teacher's client library logs bodies that it cannot read, and they may quote a report. The
    // tokenizer's logs each character of a text.
    let filter = EnvFilter::try_new(format!("{filter},async_openai=off,tokenizers=off"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Human => builder.compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}

/// Makes panics report their place and thread, never their message.
pub fn silence_panic_messages() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        // Straight to standard error: a command without logging must not fail in silence either.
        let line = format!(
            "panic at {place} in thread {thread} (message withheld: it may quote report text)"
        );
        drop(writeln!(std::io::stderr(), "{line}"));
    }));
}

/// Installs the metrics recorder, once per process, and describes every metric.
///
/// # Errors
/// Another recorder is installed.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE.get_or_init(install_recorder).clone().map_err(TelemetryError::Metrics)
}

fn install_recorder() -> Result<PrometheusHandle, String> {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, _) in names::ALL {
        if *kind == names::Kind::Histogram {
            let buckets = if name.ends_with("_seconds") {
                names::LATENCY_BUCKETS
            } else if name.ends_with("_ratio") {
                names::RATIO_BUCKETS
            } else {
                names::SIZE_BUCKETS
            };
            builder = builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
                .map_err(|error| error.to_string())?;
        }
    }
    let handle = builder.install_recorder().map_err(|error| error.to_string())?;
    for (name, kind, help) in names::ALL {
        match kind {
            names::Kind::Counter => metrics::describe_counter!(*name, *help),
            names::Kind::Gauge => metrics::describe_gauge!(*name, *help),
            names::Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}
