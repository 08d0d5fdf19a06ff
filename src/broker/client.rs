//! Callbacks that every Kafka client of ours shares: logs, errors, OAUTHBEARER tokens.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::auth::Authenticator;
use crate::telemetry::names;

/// An error that keeps coming is logged once in this time.
const ERROR_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What all our clients do in librdkafka's callbacks. The consumer's and the producer's contexts
/// hold one and delegate to it.
pub struct Callbacks {
    auth: Arc<Authenticator>,
    logged: Mutex<HashMap<String, Instant>>,
}

impl Callbacks {
    /// Callbacks with tokens from `auth`.
    pub fn new(auth: Arc<Authenticator>) -> Self {
        Self { auth, logged: Mutex::new(HashMap::new()) }
    }
}

/// How long quotas of the brokers held back `client` (consumer, producer) since the last statistics.
pub(super) fn note_throttling(client: &'static str, statistics: &Statistics) {
    let throttles = statistics.brokers.values().filter_map(|broker| broker.throttle.as_ref());
    let longest_ms = throttles.map(|window| window.max).max().unwrap_or_default();
    metrics::gauge!(names::BROKER_THROTTLE_SECONDS, "client" => client)
        .set(longest_ms as f64 / 1e3);
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        // Reached the end of a partition: news, not trouble, and it comes by the poll as well.
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        metrics::counter!(names::KAFKA_ERRORS_TOTAL, "code" => format!("{code:?}")).increment(1);
        let now = Instant::now();
        let mut logged = self.logged.lock();
        let key = error.to_string();
        let due = logged.get(&key).is_none_or(|last| now - *last >= ERROR_LOG_INTERVAL);
        if due {
            logged.insert(key, now);
            tracing::warn!(target: "kafka", %error, reason, "Kafka client reports an error; it goes on trying");
        }
    }

    fn stats(&self, _: Statistics) {}

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.auth.token()
    }
}
