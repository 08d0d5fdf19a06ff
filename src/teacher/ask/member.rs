//! One provider in service: told how each call went.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Label;
use parking_lot::Mutex;

use super::super::breaker::Breaker;
use super::super::limits::Limits;
use super::super::provider::{CallError, Completion, Provider};
use super::super::spend::Price;
use crate::telemetry::names;

/// A provider with what bounds its use.
pub(super) struct Member {
    pub(super) provider: Provider,
    pub(super) name: Arc<str>,
    pub(super) limits: Arc<Limits>,
    pub(super) breaker: Mutex<Breaker>,
    pub(super) price: Price,
}

impl Member {
    /// Tells breaker, limits and metrics how a call went.
    pub(super) fn note(&self, result: &Result<Completion, CallError>, took: Duration) {
        let was_open = self.breaker.lock().is_open();
        match result {
            Ok(_) => {
                self.breaker.lock().succeeded();
                self.limits.succeeded();
            }
            Err(error) => {
                if error.asks_for_less() {
                    self.limits.slow_down();
                }
                if error.is_of_the_server() {
                    self.breaker.lock().failed(Instant::now(), !error.passes());
                }
            }
        }
        let open = self.breaker.lock().is_open();
        metrics::gauge!(names::TEACHER_BREAKER_OPEN, "provider" => self.name.to_string())
            .set(f64::from(u8::from(open)));
        match (was_open, open, result) {
            (false, true, Err(error)) => tracing::warn!(
                provider = &*self.name, %error,
                "the teacher does not answer; it is left alone for a while, and reports wait"
            ),
            (true, false, _) => tracing::info!(provider = &*self.name, "the teacher answers again"),
            _ => {}
        }
        let outcome = result.as_ref().map_or_else(CallError::code, |_| "answered");
        let provider = self.name.to_string();
        metrics::counter!(names::TEACHER_CALLS_TOTAL, "provider" => provider, "outcome" => outcome)
            .increment(1);
        self.measure(result, took);
    }

    /// OpenTelemetry's semantic conventions for generative AI, client metrics.
    fn measure(&self, result: &Result<Completion, CallError>, took: Duration) {
        let common = vec![
            Label::new("gen_ai_operation_name", "chat"),
            Label::new("gen_ai_provider_name", self.name.to_string()),
            Label::new("gen_ai_request_model", self.provider.options().model.clone()),
        ];
        let with = |name, value| {
            let mut labels = common.clone();
            labels.push(Label::new(name, value));
            labels
        };
        let error = result.as_ref().map_or_else(CallError::code, |_| "");
        metrics::histogram!(names::GEN_AI_OPERATION_DURATION_SECONDS, with("error_type", error))
            .record(took.as_secs_f64());
        if let Ok(completion) = result {
            let usage = completion.usage;
            for (kind, tokens) in [("input", usage.prompt), ("output", usage.completion)] {
                #[expect(clippy::cast_precision_loss, reason = "tokens of a call are few")]
                metrics::histogram!(names::GEN_AI_TOKEN_USAGE, with("gen_ai_token_type", kind))
                    .record(tokens as f64);
            }
        }
    }
}
