//! Callbacks of a client that asks on behalf of a person.

use std::error::Error;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::broker::auth::Authenticator;

/// Reasons of the client that are kept, so that the story is told and not the noise.
const MAX_REASONS: usize = 3;

/// Callbacks that keep what the client says, for the person who asked.
pub(super) struct Asking {
    auth: Arc<Authenticator>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    reasons: Vec<String>,
    authentication_failed: bool,
    group_refused: bool,
}

impl Asking {
    pub(super) fn new(auth: Arc<Authenticator>) -> Self {
        Self { auth, heard: Mutex::default() }
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        self.heard.lock().reasons.clone()
    }

    pub(super) fn authentication_failed(&self) -> bool {
        self.heard.lock().authentication_failed
    }

    pub(super) fn group_refused(&self) -> bool {
        self.heard.lock().group_refused
    }

    fn hear(&self, reason: &str, authentication_failed: bool) {
        let mut heard = self.heard.lock();
        heard.authentication_failed |= authentication_failed;
        let reason = reason.trim();
        if heard.reasons.len() < MAX_REASONS && !heard.reasons.iter().any(|known| known == reason) {
            heard.reasons.push(reason.to_owned());
        }
    }
}

impl ClientContext for Asking {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // "All brokers are down" follows the reasons and adds nothing.
            Some(Code::AllBrokersDown) => {}
            Some(Code::Authentication | Code::SSL | Code::SaslAuthenticationFailed) => {
                self.hear(reason, true);
            }
            Some(Code::GroupAuthorizationFailed) => {
                self.heard.lock().group_refused = true;
                self.hear(reason, false);
            }
            _ => self.hear(reason, is_refusal(reason)),
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.auth.token().inspect_err(|problem| self.hear(&problem.to_string(), true))
    }
}

/// A broker that refuses our certificate, or wants one, says so after its side of the handshake is done
/// (TLS 1.3): the client then reports a lost connection, and only its words tell why.
fn is_refusal(reason: &str) -> bool {
    reason.contains("SSL routines") && reason.contains("SSL alert number")
}

impl ConsumerContext for Asking {}

#[cfg(test)]
mod tests {
    use super::is_refusal;

    #[test]
    fn a_certificate_that_a_broker_refuses_is_no_lost_connection() {
        let alert = "ssl://127.0.0.1:9/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 \
                     alert bad certificate: SSL alert number 42 (after 6ms in state APIVERSION_QUERY)";
        assert!(is_refusal(alert));
        assert!(!is_refusal("Connect to ipv4#127.0.0.1:9 failed: Connection refused"));
        assert!(!is_refusal("Disconnected while requesting ApiVersion"));
    }
}
