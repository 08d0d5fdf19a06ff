//! Bounds, names, and settings that contradict each other.

use std::fs;

use radstream::config::Secret;

use super::{accepts, check, loaded};

#[test]
fn numbers_are_taken_up_to_their_bounds_and_not_beyond() {
    accepts(&[
        "[delivery]\ntransaction_timeout_ms = 1000",
        "[delivery]\ncommit_interval_ms = 5000",
        "[delivery]\ncommit_records = 10000",
        "[memory]\nbudget_mib = 64",
        "[memory]\nbudget_mib = 32\n[delivery]\ncommit_bytes = 65536\n[intake]\nmax_payload_mib = 16",
        "[kafka]\nsession_timeout_ms = 10001",
        "[shutdown]\ngrace_s = 11",
        "[publish]\nmax_dead_letter_ratio = 1.0",
        "[topics]\nreplication_factor = -1",
        "[topics]\ndead_letters_retention_hours = -1",
        "[student]\nbatch_tokens = 128",
        "[routing]\nmin_confidence = 1",
        "[routing]\naudit_rate = 0",
    ]);
    check(&[
        ("[delivery]\ntransaction_timeout_ms = 999", "delivery.transaction_timeout_ms", "1000 to"),
        ("[delivery]\ncommit_interval_ms = 5001", "delivery.commit_interval_ms", "at most 5000"),
        ("[delivery]\ncommit_records = 10001", "delivery.commit_records", "1 to 10000"),
        ("[delivery]\ncommit_bytes = 40265385", "delivery.commit_bytes", "15 % of memory"),
        (
            "[memory]\nbudget_mib = 32\n[delivery]\ncommit_bytes = 65536\n\
             [intake]\nmax_payload_mib = 17",
            "intake.max_payload_mib",
            "half of memory",
        ),
        (
            "[kafka]\nsession_timeout_ms = 10000",
            "delivery.transaction_timeout_ms",
            "not below the session timeout",
        ),
        ("[shutdown]\ngrace_s = 10", "shutdown.grace_s", "more than 10 s"),
        ("[publish]\nmax_dead_letter_ratio = 0", "publish.max_dead_letter_ratio", "above 0"),
        ("[topics]\nreplication_factor = 0", "topics.replication_factor", "1 to 100"),
        ("[topics]\nreports_retention_hours = 0", "topics.reports_retention_hours", "1 to"),
        ("[student]\nbatch_tokens = 127", "student.batch_tokens", "128 to"),
        ("[routing]\nmin_confidence = 1.01", "routing.min_confidence", "0 to 1"),
        ("[routing]\naudit_rate = nan", "routing.audit_rate", "finite"),
        ("[student]\nmax_reports_per_second = -0.5", "student.max_reports_per_second", "0 to"),
    ]);
}

#[test]
fn a_session_shorter_than_the_transaction_is_fine_without_transactions() {
    let session = "[kafka]\nsession_timeout_ms = 10000\n[delivery]\n";
    accepts(&[&format!("{session}guarantee = 'at_least_once'")]);
}

#[test]
fn a_refused_value_brings_no_second_problem_about_its_default() {
    check(&[(
        "[kafka]\nsession_timeout_ms = 'short'\n[delivery]\ntransaction_timeout_ms = 60000\n\
         [shutdown]\ngrace_s = 90",
        "kafka.session_timeout_ms",
        "expected a whole number",
    )]);
}

#[test]
fn names_are_checked() {
    accepts(&[
        "[kafka]\nbootstrap_servers = 'a:9092, SSL://b:9093,[::1]:9092'",
        "[http]\nlisten = ''",
        "[http]\nlisten = '[::]:9600'",
        "[intake]\ntime_zone = '+01:00'\ndefault_charset = '8859/1'",
        "[log]\nfilter = 'info,librdkafka=debug'",
        "[student]\nlabeler = 'rules'\nmodel = ''",
    ]);
    check(&[
        (
            "[kafka]\nbootstrap_servers = 'kafka'",
            "kafka.bootstrap_servers",
            "\"kafka\" is not host",
        ),
        ("[kafka]\nbootstrap_servers = 'a:1,,b:2'", "kafka.bootstrap_servers", "\"\" is not"),
        ("[kafka]\nbootstrap_servers = '::1:9092'", "kafka.bootstrap_servers", "host:port"),
        ("[http]\nlisten = '9600'", "http.listen", "127.0.0.1:9600"),
        ("[http]\nlisten = 'localhost:96000'", "http.listen", "127.0.0.1:9600"),
        ("[intake]\ndefault_charset = 'klingon'", "intake.default_charset", "table 0211"),
        ("[log]\nfilter = 'a=b=c'", "log.filter", "level"),
        ("[publish]\nce_source = 'a b'", "publish.ce_source", "without spaces"),
        ("[topics]\nreports = []", "topics.reports", "at least one"),
        ("[topics]\nreports = ['^radiology.*']", "topics.reports", "not a topic name"),
        ("[topics]\nfindings = 'radiology.reports'", "topics.findings", "of topics.reports"),
        ("[kafka]\ngroup = ' '", "kafka.group", "empty"),
        ("[student]\nmodel = ''", "student.model", "labeler"),
    ]);
}

#[test]
fn tls_needs_its_files_and_says_when_it_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("a.pem");
    fs::write(&pem, "x").unwrap();
    let pem = pem.display();
    accepts(&[
        "[kafka.tls]\nenabled = true",
        &format!(
            "[kafka.tls]\nenabled = true\nca_file = '{pem}'\ncertificate_file = '{pem}'\n\
             key_file = '{pem}'\nkey_password = 'k'"
        ),
    ]);
    check(&[
        (
            &format!("[kafka.tls]\nca_file = '{pem}'"),
            "kafka.tls.ca_file",
            "nothing would be encrypted",
        ),
        (
            &format!("[kafka.tls]\nenabled = true\ncertificate_file = '{pem}'"),
            "kafka.tls.certificate_file",
            "set kafka.tls.key_file too",
        ),
        (
            "[kafka.tls]\nenabled = true\nca_file = 'no/such.pem'",
            "kafka.tls.ca_file",
            "no/such.pem cannot be read",
        ),
    ]);
}

#[test]
fn sasl_needs_what_its_mechanism_uses_and_nothing_else() {
    let plain = "[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'u'\npassword = 'p'";
    let remote = "[kafka]\nbootstrap_servers = 'localhost:9092,kafka-2:9092'\n";
    let endpoint = "[kafka.sasl]\nmechanism = 'OAUTHBEARER'\noauth_client_id = 'c'\n\
                    oauth_client_secret = 's'\noauth_token_endpoint = ";
    accepts(&[
        plain,
        &format!("{remote}[kafka.tls]\nenabled = true\n{plain}"),
        &format!("{remote}{plain}\nallow_unencrypted = true"),
        &format!("{remote}{}", plain.replace("PLAIN", "SCRAM-SHA-512")),
        &format!("{endpoint}'https://login.example.org/token'"),
        &format!("{endpoint}'http://localhost:8080/token'"),
    ]);
    check(&[
        (
            "[kafka.sasl]\nmechanism = 'SCRAM-SHA-256'\nusername = 'u'",
            "kafka.sasl.password",
            "mechanism SCRAM-SHA-256 needs it",
        ),
        ("[kafka.sasl]\nusername = 'u'", "kafka.sasl.username", "does not use it"),
        ("[kafka.sasl]\nmechanism = 'SCRAM'", "kafka.sasl.mechanism", "SCRAM-SHA-512"),
        ("[kafka.sasl]\nmechanism = 'OAUTHBEARER'", "kafka.sasl.mechanism", "one place"),
        (&format!("{remote}{plain}"), "kafka.sasl.mechanism", "whoever listens"),
        (
            &format!("{endpoint}'http://login.example.org/token'"),
            "kafka.sasl.oauth_token_endpoint",
            "https",
        ),
    ]);
}

#[test]
fn the_registry_takes_one_way_to_authenticate() {
    let url = "[schema_registry]\nurl = 'https://registry.example.org'\n";
    accepts(&[
        &format!("{url}username = 'u'\npassword = 'p'"),
        &format!("{url}bearer_token = 't'"),
        "[schema_registry]\nurl = 'http://a:8081, http://b:8081/'",
    ]);
    check(&[
        (&format!("{url}username = 'u'"), "schema_registry.username", "belong together"),
        ("[schema_registry]\nbearer_token = 't'", "schema_registry.bearer_token", "url is empty"),
        ("[schema_registry]\nurl = 'registry:8081'", "schema_registry.url", "http"),
        (
            &format!("{url}username = 'u'\npassword = 'p'\nbearer_token = 't'"),
            "schema_registry.bearer_token",
            "keep one",
        ),
    ]);
    let settings = loaded("[schema_registry]\nurl = 'http://a:8081, http://b:8081/'", &[]);
    assert_eq!(
        settings.schema_registry.urls().collect::<Vec<_>>(),
        ["http://a:8081", "http://b:8081"]
    );
    assert_eq!(settings.schema_registry.password, Secret::default());
}
