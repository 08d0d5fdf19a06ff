//! `check` and `topics create` against a real Kafka broker: encryption, every SASL mechanism, ACLs.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use radstream::command::check::{self, LocalChecks};
use radstream::command::{exit, topics};
use radstream::config;

use support::kafka::{BrokerOptions, KafkaBroker, Listener, PLAINTEXT};
use support::records::until_known;

const LOCAL: LocalChecks<'_> = LocalChecks {
    runtime: &|_| Ok("not asked".to_owned()),
    model: &|_| Ok("not asked".to_owned()),
};

/// A broker that speaks everything; only `admin` and the plaintext listener may do everything.
struct Secured {
    broker: KafkaBroker,
    folder: tempfile::TempDir,
}

impl Secured {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keystore = make_certificate(folder.path());
        let keystore = keystore.display().to_string();
        let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
        let options = BrokerOptions::new()
            .authorize_only(&["admin"])
            .scram_user("admin", "scram-secret")
            .scram_user("stranger", "stranger-secret")
            .listener(Listener::sasl_plain("PLAIN", &[("admin", "plain-secret")]))
            .listener(Listener::sasl_scram("SCRAM"))
            .listener(
                Listener::new("OAUTH", "SASL_PLAINTEXT")
                    .property("sasl.enabled.mechanisms", "OAUTHBEARER")
                    .property(
                        "oauthbearer.sasl.jaas.config",
                        &format!("{module} required unsecuredLoginStringClaim_sub=\"broker\";"),
                    ),
            )
            .listener(
                Listener::new("TLS", "SSL")
                    .property("ssl.keystore.location", &keystore)
                    .property("ssl.keystore.type", "PKCS12")
                    .property("ssl.keystore.password", "changeit"),
            );
        Self { broker: KafkaBroker::start_with(&options), folder }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A configuration for a listener, with topics of the test's own.
    fn config(&self, listener: &str, test: &str, more: &str) -> PathBuf {
        let servers = self.broker.bootstrap_of(listener);
        let text = format!(
            "[kafka]\nbootstrap_servers = '{servers}'\n\
             [topics]\nreports = ['{test}.reports']\nfindings = '{test}.findings'\n\
             escalations = '{test}.escalations'\ndistillation = '{test}.distillation'\n\
             retries = '{test}.retries'\ndead_letters = '{test}.dead-letters'\npartitions = 2\nreplication_factor = 1\n\
             [student]\nlabeler = 'rules'\n{more}"
        );
        self.file(&format!("{test}-{listener}.toml"), &text)
    }
}

/// A key store for 127.0.0.1 and, as `ca.pem`, the certificate that vouches for it.
fn make_certificate(folder: &Path) -> PathBuf {
    let keystore = folder.join("broker.p12");
    let keytool = |args: &[&str]| {
        let output = Command::new("keytool")
            .args(args)
            .args(["-alias", "broker", "-storepass", "changeit", "-keystore"])
            .arg(&keystore)
            .output()
            .expect("keytool comes with Java; `make deps` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    };
    keytool(&[
        "-genkeypair",
        "-keyalg",
        "EC",
        "-storetype",
        "PKCS12",
        "-dname",
        "CN=broker",
        "-ext",
        "san=ip:127.0.0.1",
        "-validity",
        "2",
    ]);
    fs::write(folder.join("ca.pem"), keytool(&["-exportcert", "-rfc"])).unwrap();
    keystore
}

fn check(path: &Path) -> (u8, String) {
    let mut out = Vec::new();
    let code = check::check(Some(path), std::iter::empty(), false, LOCAL, &mut out);
    (code, String::from_utf8(out).unwrap())
}

fn create(path: &Path) -> (u8, String) {
    let settings = config::load(Some(path), std::iter::empty()).unwrap_or_else(|p| panic!("{p}"));
    let mut out = Vec::new();
    let code = topics::create(&settings, &mut out);
    let told = String::from_utf8(out).unwrap();
    // The controller answers before the brokers know what it made.
    for (before, _) in told.lines().filter_map(|line| line.split_once("created:")) {
        let topic = before.split_whitespace().last().unwrap();
        until_known(&Secured::shared().broker.client(), topic, 2);
    }
    (code, told)
}

#[test]
fn missing_topics_are_created_once_and_then_everything_checks() {
    let kafka = Secured::shared();
    let path = kafka.config(PLAINTEXT, "create", "");
    let (code, told) = check(&path);
    assert_eq!(code, exit::CONFIGURATION, "{told}");
    assert_eq!(told.matches("it does not exist").count(), 5, "{told}");

    let (code, told) = create(&path);
    assert_eq!(code, exit::OK, "{told}");
    assert!(
        told.contains("create.findings              created: 2 partitions, 1 copy, kept 90 days"),
        "{told}"
    );
    assert_eq!(told.matches("created:").count(), 6, "{told}");

    let (code, told) = create(&path);
    assert_eq!(code, exit::OK, "{told}");
    assert_eq!(told.matches("already there").count(), 6, "{told}");
    assert!(!told.contains("would choose"), "{told}");

    let (code, told) = check(&path);
    assert_eq!(code, exit::OK, "{told}");
    assert!(told.contains("✓ read create.reports"), "{told}");
    assert!(told.ends_with("all is well\n"), "{told}");
}

#[test]
fn what_differs_from_our_choice_is_told_and_left_alone() {
    let kafka = Secured::shared();
    kafka.broker.create_topic("differ.findings", 3, &[("cleanup.policy", "compact")]);
    let path = kafka.config(PLAINTEXT, "differ", "");
    for _ in 0..2 {
        let (code, told) = create(&path);
        assert_eq!(code, exit::OK, "{told}");
        assert!(told.contains("partitions is 3; radstream would choose 2"), "{told}");
        assert!(
            told.contains("cleanup.policy is compact; radstream would choose delete"),
            "{told}"
        );
    }
}

#[test]
fn more_copies_than_brokers_are_told_with_the_remedy() {
    let kafka = Secured::shared();
    let path = kafka.config(PLAINTEXT, "copies", "");
    let text = fs::read_to_string(&path).unwrap().replace("replication_factor = 1", "");
    fs::write(&path, text).unwrap();
    let (code, told) = create(&path);
    assert_ne!(code, exit::OK);
    assert!(told.contains("topics.replication_factor"), "{told}");
}

#[test]
fn plain_scram_and_tls_connect() {
    let kafka = Secured::shared();
    let (_, told) = create(&kafka.config(PLAINTEXT, "secure", ""));
    assert_eq!(told.matches("created:").count(), 6, "{told}");
    let password = kafka.file("scram-password", "scram-secret\n");
    let ca = kafka.folder.path().join("ca.pem");
    for (listener, more) in [
        (
            "PLAIN",
            "[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'admin'\npassword = 'plain-secret'"
                .to_owned(),
        ),
        (
            "SCRAM",
            format!(
                "[kafka.sasl]\nmechanism = 'SCRAM-SHA-256'\nusername = 'admin'\n\
                 password = {{ file = '{}' }}",
                password.display()
            ),
        ),
        ("TLS", format!("[kafka.tls]\nenabled = true\nca_file = '{}'", ca.display())),
    ] {
        let path = kafka.config(listener, "secure", &more);
        let (code, told) = check(&path);
        assert_eq!(code, exit::OK, "{listener}\n{told}");
        let (code, told) = create(&path);
        assert_eq!(code, exit::OK, "{listener}\n{told}");
        assert_eq!(told.matches("already there").count(), 6, "{listener}\n{told}");
    }
}

/// An unsigned token, as the broker's validator for development accepts it.
fn token(subject: &str) -> String {
    let now = std::time::SystemTime::now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"{subject}","iat":{seconds},"exp":{}}}"#, seconds + 600);
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims))
}

#[test]
fn oauthbearer_connects_with_a_token_and_prints_commands_for_missing_topics() {
    let kafka = Secured::shared();
    let file = kafka.file("token", &token("admin"));
    let sasl = |file: &Path| {
        format!("[kafka.sasl]\nmechanism = 'OAUTHBEARER'\noauth_token_file = '{}'", file.display())
    };
    let path = kafka.config("OAUTH", "oauth", &sasl(&file));
    let (code, told) = create(&path);
    assert_eq!(code, exit::CONFIGURATION, "{told}");
    assert!(told.contains("kafka-topics.sh --bootstrap-server 127.0.0.1:"), "{told}");
    assert_eq!(create(&kafka.config(PLAINTEXT, "oauth", "")).0, exit::OK);
    let (code, told) = check(&path);
    assert_eq!(code, exit::OK, "{told}");

    let wrong = kafka.file("wrong-token", "not a token");
    let (code, told) = check(&kafka.config("OAUTH", "oauth", &sasl(&wrong)));
    assert_eq!(code, exit::NOT_AUTHORISED, "{told}");
    assert!(told.contains("authentication with"), "{told}");
}

#[test]
fn a_wrong_password_and_an_unknown_authority_end_with_77_and_the_reason() {
    let kafka = Secured::shared();
    let sasl = "[kafka.sasl]\nmechanism = 'SCRAM-SHA-256'\nusername = 'admin'\npassword = 'wrong'";
    let (code, told) = check(&kafka.config("SCRAM", "refused", sasl));
    assert_eq!(code, exit::NOT_AUTHORISED, "{told}");
    assert!(told.contains("→ correct kafka.sasl"), "{told}");
    let (code, told) = check(&kafka.config("TLS", "refused", "[kafka.tls]\nenabled = true"));
    assert_eq!(code, exit::NOT_AUTHORISED, "{told}");
    assert!(told.contains("ca_file"), "{told}");
}

#[test]
fn a_user_without_rights_is_told_which_are_missing() {
    let kafka = Secured::shared();
    assert_eq!(create(&kafka.config(PLAINTEXT, "rights", "")).0, exit::OK);
    let sasl = "[kafka.sasl]\nmechanism = 'SCRAM-SHA-256'\nusername = 'stranger'\n\
                password = 'stranger-secret'";
    let (code, told) = check(&kafka.config("SCRAM", "rights", sasl));
    assert_eq!(code, exit::NOT_AUTHORISED, "{told}");
    assert!(told.contains("not authorised to Describe topic rights.reports"), "{told}");
    assert!(told.contains("not authorised to Read group radstream.label"), "{told}");
}
