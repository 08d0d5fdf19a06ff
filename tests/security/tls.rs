//! Who the broker is, who we are, and that nothing is said in the clear instead.

use super::support::kafka::PLAINTEXT;
use super::support::stage::Stage;
use super::{PASSWORD, Secured, run, scram};

const REPORTS: u64 = 12;

/// Topics of a stage with reports on them.
fn fed(kafka: &'static Secured, name: &'static str) -> Stage<'static> {
    let stage = Stage::create(&kafka.broker, name);
    stage.feed(1, REPORTS);
    stage
}

fn findings(stage: &Stage<'_>) -> usize {
    stage.broker.read_committed_all(&stage.topic("findings")).len()
}

#[test]
fn over_tls_the_right_authority_lets_the_stage_work() {
    let kafka = Secured::shared();
    let stage = fed(kafka, "tls");
    let ran = run(&kafka.config(&stage, "TLS", &kafka.tls()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(findings(&stage) > 0);
}

#[test]
fn a_broker_that_nobody_vouches_for_or_of_another_name_is_refused() {
    let kafka = Secured::shared();
    let stage = fed(kafka, "imposter");
    let stranger = format!("[kafka.tls]\nenabled = true\nca_file = {:?}\n", kafka.stranger);
    let ran = run(&kafka.config(&stage, "TLS", &stranger));
    ran.assert_told(77, &["certificate verify failed", "kafka.tls"]);
    // The certificate names 127.0.0.1.
    let renamed = kafka.config(&stage, "TLS", &kafka.tls()).replace("\"127.0.0.1:", "\"localhost:");
    let listen = "listen = \"localhost:0\"";
    let ran = run(&renamed.replace(listen, "listen = \"127.0.0.1:0\""));
    ran.assert_told(77, &["certificate verify failed", "kafka.tls"]);
    assert_eq!(findings(&stage), 0, "not a word in the clear");
}

#[test]
fn encryption_is_never_left_out_by_itself() {
    let kafka = Secured::shared();
    let stage = fed(kafka, "clear");
    // A broker that does not speak TLS would get everything in the clear.
    let ran = run(&kafka.config(&stage, PLAINTEXT, &kafka.tls()));
    assert_ne!(ran.code, Some(0));
    ran.assert_told(ran.code.unwrap(), &["kafka.tls"]);
    let ran = run(&kafka.config(&stage, "TLS", ""));
    ran.assert_told(69, &["kafka.tls"]);
    assert_eq!(findings(&stage), 0);
}

#[test]
fn mutual_tls_wants_our_certificate() {
    let kafka = Secured::shared();
    let stage = fed(kafka, "mutual");
    let ran = run(&kafka.config(&stage, "MUTUAL", &kafka.tls()));
    ran.assert_told(77, &["SSL alert", "kafka.tls"]);
    assert_eq!(findings(&stage), 0);
    let (certificate, key) = &kafka.certificate;
    let ours = format!("{}certificate_file = {certificate:?}\nkey_file = {key:?}\n", kafka.tls());
    let ran = run(&kafka.config(&stage, "MUTUAL", &ours));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(findings(&stage) > 0);
}

#[test]
fn a_wrong_password_ends_with_77_and_is_not_repeated() {
    let kafka = Secured::shared();
    let stage = fed(kafka, "password");
    for user in ["everything", "nobody"] {
        let sasl = scram(user, "PLANTED-wrong");
        let ran = run(&kafka.config(&stage, "SASL", &(kafka.tls() + &sasl)));
        ran.assert_told(77, &["uthentication", "kafka.sasl"]);
        assert!(!ran.stderr.contains("PLANTED"), "{}", ran.stderr);
    }
    let sasl = scram("everything", PASSWORD);
    let ran = run(&kafka.config(&stage, "SASL", &(kafka.tls() + &sasl)));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(findings(&stage) > 0);
}
