//! What is allowed, and yet unsafe: told by `check`, and in the log of `run` at its start.

use super::address::is_loopback;
use super::connection::Mechanism;
use super::settings::Settings;

/// A setting that would better be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// `http.listen`.
    pub key: &'static str,
    /// What is unsafe about it.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Everything unsafe that these settings allow. None holds a value of a secret.
pub fn advice(s: &Settings) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut note = |key, what: String, remedy| all.push(Advice { key, what, remedy });
    let sasl = s.kafka.sasl.mechanism;
    if !s.kafka.tls.enabled && matches!(sasl, Mechanism::Plain | Mechanism::OauthBearer) {
        let what = format!("{} sends its secret unencrypted", sasl.name());
        note("kafka.sasl", what, "set kafka.tls.enabled = true");
    }
    if s.kafka.tls.enabled && !s.kafka.tls.verify_hostname {
        let what = "any host with a certificate of the authority passes for a broker".to_owned();
        note("kafka.tls.verify_hostname", what, "set it to true");
    }
    let registry = &s.schema_registry;
    let secret = registry.password.is_set() || registry.bearer_token.is_set();
    if secret && registry.urls().any(|url| url.starts_with("http://")) {
        note("schema_registry", "its secret is sent unencrypted".to_owned(), "use an https URL");
    }
    if !s.http.listen.is_empty() && !is_loopback(&s.http.listen) && !s.http.bearer_token.is_set() {
        let what = "other hosts may read /metrics and /, whose counts tell of single reports";
        let remedy = "set http.bearer_token, or listen on 127.0.0.1";
        note("http.listen", what.to_owned(), remedy);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn keys(s: &Settings) -> Vec<&'static str> {
        advice(s).into_iter().map(|advice| advice.key).collect()
    }

    #[test]
    fn the_defaults_listen_to_this_host_only() {
        let settings = Settings::default();
        assert!(is_loopback(&settings.http.listen), "{}", settings.http.listen);
        assert!(keys(&settings).is_empty());
    }

    #[test]
    fn an_endpoint_for_all_hosts_wants_a_token() {
        let mut settings = Settings::default();
        for listen in ["0.0.0.0:9600", "[::]:9600", "metrics.example.org:9600"] {
            settings.http.listen = listen.to_owned();
            assert_eq!(keys(&settings), ["http.listen"], "{listen}");
        }
        settings.http.bearer_token = Secret::new("token");
        assert!(keys(&settings).is_empty());
        settings.http.bearer_token = Secret::default();
        for listen in ["127.0.0.1:0", "[::1]:9600", "localhost:9600", ""] {
            settings.http.listen = listen.to_owned();
            assert!(keys(&settings).is_empty(), "{listen}");
        }
    }

    #[test]
    fn secrets_on_an_open_line_are_noted() {
        let mut settings = Settings::default();
        settings.kafka.sasl.mechanism = Mechanism::Plain;
        settings.schema_registry.url = "http://registry:8081".to_owned();
        settings.schema_registry.bearer_token = Secret::new("token");
        assert_eq!(keys(&settings), ["kafka.sasl", "schema_registry"]);
        settings.kafka.tls.enabled = true;
        settings.kafka.tls.verify_hostname = false;
        assert_eq!(keys(&settings), ["kafka.tls.verify_hostname", "schema_registry"]);
    }
}
