//! TLS, SASL and registry settings that contradict each other, or would send a secret unencrypted.

use std::path::Path;

use super::address::{has_credentials, is_loopback, is_safe_url};
use super::connection::{Mechanism, Sasl};
use super::settings::Settings;
use super::validate::Finding;

/// Every contradiction in how we connect and authenticate.
pub(super) fn security(settings: &Settings, found: &mut Vec<Finding>) {
    tls(settings, found);
    sasl(settings, found);
    registry(settings, found);
}

fn tls(s: &Settings, found: &mut Vec<Finding>) {
    let tls = &s.kafka.tls;
    let given = |path: &Path| !path.as_os_str().is_empty();
    let (certificate, key) = (given(&tls.certificate_file), given(&tls.key_file));
    if !tls.enabled {
        for (key, set) in [
            ("kafka.tls.certificate_file", certificate),
            ("kafka.tls.key_file", key),
            ("kafka.tls.key_password", tls.key_password.is_set()),
            // The authority also serves the token endpoint.
            (
                "kafka.tls.ca_file",
                given(&tls.ca_file) && s.kafka.sasl.oauth_token_endpoint.is_empty(),
            ),
        ] {
            if set {
                found.push(
                    Finding::new(
                        key,
                        "it is set, but kafka.tls.enabled is false: nothing would be encrypted",
                        "set kafka.tls.enabled = true, or remove it",
                    )
                    .against("kafka.tls.enabled"),
                );
            }
        }
    }
    for (present, missing, one_alone) in [
        ("kafka.tls.certificate_file", "kafka.tls.key_file", certificate && !key),
        ("kafka.tls.key_file", "kafka.tls.certificate_file", key && !certificate),
    ] {
        if one_alone {
            found.push(
                Finding::new(present, format!("it needs {missing}"), format!("set {missing} too"))
                    .against(missing),
            );
        }
    }
}

fn sasl(s: &Settings, found: &mut Vec<Finding>) {
    let sasl = &s.kafka.sasl;
    let mechanism = "kafka.sasl.mechanism";
    let password = sasl.mechanism.takes_password();
    let oauth = sasl.mechanism == Mechanism::OauthBearer;
    for (key, set, used, needed) in [
        ("kafka.sasl.username", !sasl.username.is_empty(), password, password),
        ("kafka.sasl.password", sasl.password.is_set(), password, password),
        ("kafka.sasl.oauth_token_endpoint", !sasl.oauth_token_endpoint.is_empty(), oauth, false),
        (
            "kafka.sasl.oauth_token_file",
            !sasl.oauth_token_file.as_os_str().is_empty(),
            oauth,
            false,
        ),
        ("kafka.sasl.oauth_client_id", !sasl.oauth_client_id.is_empty(), oauth, false),
        ("kafka.sasl.oauth_client_secret", sasl.oauth_client_secret.is_set(), oauth, false),
    ] {
        let name = sasl.mechanism.name();
        if needed && !set {
            found.push(
                Finding::new(key, format!("mechanism {name} needs it"), "set it")
                    .against(mechanism),
            );
        } else if set && !used {
            found.push(
                Finding::new(
                    key,
                    format!("it is set, but {mechanism} = {name:?} does not use it"),
                    format!("set {mechanism}, or remove it"),
                )
                .against(mechanism),
            );
        }
    }
    if oauth {
        oauth_source(sasl, found);
    }
    // SCRAM and Kerberos do not send what they prove.
    let sends_secret = oauth || sasl.mechanism == Mechanism::Plain;
    let own_host = s.kafka.bootstrap_servers.split(',').all(is_loopback);
    if sends_secret && !s.kafka.tls.enabled && !own_host && !sasl.allow_unencrypted {
        let what = format!(
            "{} sends its secret as it is, and kafka.tls.enabled is false: whoever listens has it",
            sasl.mechanism.name()
        );
        let remedy = "set kafka.tls.enabled = true; where the network encrypts by itself, \
                      kafka.sasl.allow_unencrypted = true";
        found.push(Finding::new(mechanism, what, remedy).against("kafka.tls.enabled"));
    }
    if sasl.mechanism == Mechanism::Gssapi && !cfg!(feature = "gssapi") {
        found.push(Finding::new(
            mechanism,
            "this build has no Kerberos",
            "build with --features gssapi, or use SCRAM-SHA-512 or OAUTHBEARER",
        ));
    }
}

fn oauth_source(sasl: &Sasl, found: &mut Vec<Finding>) {
    let endpoint = sasl.oauth_token_endpoint.as_str();
    let file = !sasl.oauth_token_file.as_os_str().is_empty();
    if endpoint.is_empty() != file {
        found.push(
            Finding::new(
                "kafka.sasl.mechanism",
                "OAUTHBEARER needs a token from one place: an endpoint or a file",
                "set one of kafka.sasl.oauth_token_endpoint and kafka.sasl.oauth_token_file",
            )
            .against("kafka.sasl.oauth_token_endpoint")
            .against("kafka.sasl.oauth_token_file"),
        );
        return;
    }
    if endpoint.is_empty() {
        return;
    }
    if reqwest::Url::parse(endpoint).is_ok_and(|url| has_credentials(&url)) {
        found.push(Finding::new(
            "kafka.sasl.oauth_token_endpoint",
            "a user name or password in the URL would show in logs",
            "use kafka.sasl.oauth_client_id and kafka.sasl.oauth_client_secret",
        ));
    }
    if !is_safe_url(endpoint) {
        found.push(Finding::new(
            "kafka.sasl.oauth_token_endpoint",
            "the client secret would travel unencrypted, or this is no URL",
            "write https://...; http:// only for localhost",
        ));
    }
    for (key, missing) in [
        ("kafka.sasl.oauth_client_id", sasl.oauth_client_id.is_empty()),
        ("kafka.sasl.oauth_client_secret", !sasl.oauth_client_secret.is_set()),
    ] {
        if missing {
            found.push(Finding::new(key, "the token endpoint needs it", "set it"));
        }
    }
}

fn registry(s: &Settings, found: &mut Vec<Finding>) {
    let registry = &s.schema_registry;
    for url in registry.urls() {
        let http = reqwest::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https"));
        if !http {
            found.push(Finding::new(
                "schema_registry.url",
                // Not quoted: people put passwords into URLs.
                "not an http or https URL",
                "write \"http://registry:8081\", several separated by commas",
            ));
        } else if url.contains('@') {
            found.push(Finding::new(
                "schema_registry.url",
                "a user name in the URL would show in logs",
                "use schema_registry.username and schema_registry.password",
            ));
        }
    }
    for (key, set) in [
        ("schema_registry.username", !registry.username.is_empty()),
        ("schema_registry.password", registry.password.is_set()),
        ("schema_registry.bearer_token", registry.bearer_token.is_set()),
    ] {
        if set && registry.url.is_empty() {
            found.push(
                Finding::new(
                    key,
                    "it is set, but schema_registry.url is empty",
                    "set schema_registry.url, or remove it",
                )
                .against("schema_registry.url"),
            );
        }
    }
    let (user, password) = (!registry.username.is_empty(), registry.password.is_set());
    if user != password {
        found.push(
            Finding::new(
                "schema_registry.username",
                "user and password belong together",
                "set both schema_registry.username and schema_registry.password, or none",
            )
            .against("schema_registry.password"),
        );
    }
    if registry.bearer_token.is_set() && (user || password) {
        found.push(
            Finding::new(
                "schema_registry.bearer_token",
                "a token and a password are both set",
                "keep one of them",
            )
            .against("schema_registry.username"),
        );
    }
}
