//! Every secret is set to a planted value that can be recognised; it must be seen nowhere.

use std::io::{Read, Write};
use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use radstream::demo::teacher::{TeacherOptions, TeacherServer};

use super::http::get;
use super::support::escalations::Case;
use super::support::processes::{Finished, RadstreamCommand};
use super::support::stage::Stage;
use super::{PASSWORD, PATIENCE, Secured, scram};

/// Pairs of user and password as HTTP sends them.
const PAIRS: [&str; 3] =
    ["registry:PLANTED-registry", "client:PLANTED-oauth", "proxy:PLANTED-proxy"];
const TRACE: &str = "[log]\nfilter = \"trace\"\n[kafka.properties]\ndebug = \"all\"\n";

#[track_caller]
fn assert_unseen(place: &str, text: &str) {
    let mut forms: Vec<String> = PAIRS.iter().map(|pair| STANDARD.encode(pair)).collect();
    forms.push("PLANTED".to_owned());
    for line in text.lines() {
        // In small letters as well: a host's name is made so.
        let seen = forms.iter().any(|form| line.contains(form.as_str()))
            || line.to_lowercase().contains("planted-");
        assert!(!seen, "a secret is in {place}: {line}");
    }
}

#[track_caller]
fn assert_nothing_seen(ran: &Finished) {
    assert_unseen("the output", &ran.stdout);
    assert_unseen("the log", &ran.stderr);
}

/// A server that refuses everybody, and repeats what secrets it was given: its address.
fn echo(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = vec![0; 65_536];
            let read = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let given: Vec<&str> = request
                .lines()
                .filter(|line| line.to_lowercase().contains("authorization:"))
                .collect();
            let body = serde_json::json!({
                "error_code": 40101, "message": given.join(" "), "error": given.join(" "),
                "error_description": given.join(" "),
            })
            .to_string();
            // Whoever asked may be gone.
            drop(write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    address
}

#[test]
fn a_stage_at_work_shows_no_secret_whatever_it_logs() {
    let kafka = Secured::shared();
    let stage = Stage::create(&kafka.broker, "planted");
    stage.feed(1, 12);
    let key = kafka.authority.encrypted_key("client", "PLANTED-key");
    let more = format!(
        "{}certificate_file = {:?}\nkey_file = {key:?}\nkey_password = \"PLANTED-key\"\n{}{TRACE}\
         [[teacher.providers]]\nname = \"stub\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
         model = \"m\"\napi_key = \"PLANTED-api-key\"\nproxy = \"http://proxy:PLANTED-proxy@127.0.0.1:9\"\n",
        kafka.tls(),
        kafka.certificate.0,
        scram("everything", PASSWORD),
    );
    let config = kafka
        .config(&stage, "SASL", &more)
        .replace("[http]", "[http]\nbearer_token = \"PLANTED-bearer\"");
    let mut process = RadstreamCommand::new(&["run"]).config(&config).spawn();
    let findings = stage.topic("findings");
    kafka.broker.reader(&[&findings]).until("findings", PATIENCE, |found| !found.is_empty());
    for path in ["/", "/metrics", "/livez", "/readyz", "/startupz", "/config", "/env"] {
        let answer = get(&mut process, path, "Authorization: Bearer PLANTED-bearer\r\n");
        assert_unseen(path, &answer);
    }
    process.terminate();
    assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.log_tail(40));
    let log = process.stderr();
    assert!(log.contains("librdkafka") && log.contains("sasl.password"), "its debug log is there");
    assert_unseen("the log", &log);
    assert_unseen("the output", &process.stdout());

    let checked = RadstreamCommand::new(&["check"]).config(&config).run(PATIENCE);
    assert_nothing_seen(&checked);
}

#[test]
fn a_teacher_a_proxy_a_registry_and_a_token_endpoint_that_refuse_reveal_nothing() {
    let kafka = Secured::shared();
    let stage = Stage::create(&kafka.broker, "refusing");
    let report = "FINDINGS: Small left pleural effusion.";
    let teacher = |url: &str, proxy: &str| {
        let config = format!(
            "{TRACE}[[teacher.providers]]\nname = \"stub\"\nbase_url = \"{url}\"\nmodel = \"m\"\n\
             local = true\napi_key = \"PLANTED-api-key\"\nproxy = \"{proxy}\"\n"
        );
        let tried = RadstreamCommand::new(&["teacher", "try", "-"]).config(&config).stdin(report);
        tried.run(PATIENCE)
    };
    let refusing = format!("http://{}/v1", echo("401 Unauthorized"));
    let ran = teacher(&refusing, "");
    assert_ne!(ran.code, Some(0));
    assert_nothing_seen(&ran);
    let proxy = format!("http://proxy:PLANTED-proxy@{}", echo("407 Proxy Authentication Required"));
    let ran = teacher("http://teacher.invalid/v1", &proxy);
    assert_ne!(ran.code, Some(0));
    assert_nothing_seen(&ran);

    let registries = [
        "username = \"registry\"\npassword = \"PLANTED-registry\"",
        "bearer_token = \"PLANTED-registry\"",
    ];
    for secret in registries {
        let url = echo("401 Unauthorized");
        let more = format!(
            "{}{}{TRACE}[schema_registry]\nurl = \"http://{url}\"\n{secret}\n",
            kafka.tls(),
            scram("everything", PASSWORD)
        );
        let config = kafka.config(&stage, "SASL", &more);
        for command in [&["run", "--until-end"][..], &["check"]] {
            let ran = RadstreamCommand::new(command).config(&config).run(PATIENCE);
            assert_eq!(ran.code, Some(77), "{}{}", ran.stdout, ran.stderr);
            assert_nothing_seen(&ran);
        }
    }

    let more = format!(
        "{}{TRACE}[kafka.sasl]\nmechanism = \"OAUTHBEARER\"\noauth_client_id = \"client\"\n\
         oauth_client_secret = \"PLANTED-oauth\"\noauth_token_endpoint = \"http://{}/token\"\n",
        kafka.tls(),
        echo("401 Unauthorized"),
    );
    let config = kafka.config(&stage, "SASL", &more);
    for command in [&["run", "--until-end"][..], &["check"]] {
        let ran = RadstreamCommand::new(command).config(&config).run(PATIENCE);
        assert_eq!(ran.code, Some(77), "{}{}", ran.stdout, ran.stderr);
        assert_nothing_seen(&ran);
    }
}

#[test]
fn the_key_that_opens_a_teacher_is_in_no_log_of_its_stage() {
    let kafka = Secured::shared();
    let stage = Stage::create(&kafka.broker, "key");
    kafka.broker.create_topic(&stage.topic("retries"), 1, &[]);
    kafka.broker.produce(&stage.topic("escalations"), [Case::of_series(1).record()]);
    let api_key = Some("PLANTED-api-key".to_owned());
    let server = TeacherServer::start(TeacherOptions { api_key, ..TeacherOptions::default() });
    let server = server.unwrap();
    let more = format!(
        "{}{}{TRACE}[[teacher.providers]]\nname = \"stub\"\nbase_url = \"{}\"\n\
         model = \"stub-teacher\"\napi_key = \"PLANTED-api-key\"\n",
        kafka.tls(),
        scram("everything", PASSWORD),
        server.base_url(),
    );
    let retries = format!("[topics]\nretries = \"{}\"", stage.topic("retries"));
    let config = kafka.config(&stage, "SASL", &more).replace("[topics]", &retries);
    let ran = RadstreamCommand::new(&["run", "--stage", "teach", "--until-end"]).config(&config);
    let ran = ran.run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(server.counts().answered_well, 1, "the key was right");
    assert_nothing_seen(&ran);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated_by_the_error() {
    for wrong in [
        "[kafka.properties]\n\"sasl.jaas.config\" = 'x required password=\"PLANTED\";'",
        "[kafka.properties]\n\"sasl.password\" = \"PLANTED\"",
        "[kafka.properties]\n\"ssl.keystore.password\" = \"PLANTED\"",
        "[kafka.properties]\n\"sasl.oauthbearer.client.secret\" = \"PLANTED\"",
        "[kafka.properties]\n\"debug\" = \"PLANTED\"",
        "[kafka.properties]\n\"socket.timeout.ms\" = \"PLANTED\"",
        "[kafka.properties]\n\"client.dns.lookup\" = \"PLANTED\"",
        "[kafka]\nbootstrap_servers = \"user:PLANTED@broker:9092\"",
        "[kafka.sasl]\npassword = [\"PLANTED\"]",
        "[kafka.sasl]\npassword = { PLANTED = 1 }",
        "[kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"PLANTED\"\n\
         [kafka]\nbootstrap_servers = \"broker:9092\"",
        "[kafka.sasl]\nmechanism = \"OAUTHBEARER\"\noauth_client_id = \"c\"\n\
         oauth_client_secret = \"PLANTED\"\noauth_token_endpoint = \"https://u:PLANTED@host/t\"",
        "[schema_registry]\nurl = \"http://u:PLANTED@registry:8081\"",
        "[schema_registry]\nurl = \"PLANTED@registry\"",
        "[http]\nbearer_token = 1\nlisten = \"127.0.0.1:0\"\n[kafka.sasl]\npassword = \"PLANTED\"",
        "[[teacher.providers]]\nname = \"t\"\nmodel = \"m\"\nbase_url = \"https://u:PLANTED@host/v1\"",
        "[[teacher.providers]]\nname = \"t\"\nmodel = \"m\"\nbase_url = \"https://host/v1\"\n\
         proxy = [\"PLANTED\"]",
    ] {
        for command in [&["run", "--until-end"][..], &["check", "--offline"]] {
            let ran = RadstreamCommand::new(command).config(wrong).run(PATIENCE);
            assert_eq!(ran.code, Some(78), "{wrong}\n{}{}", ran.stdout, ran.stderr);
            assert_nothing_seen(&ran);
        }
    }
    // A proxy that is no URL is found when the teacher is made.
    let wrong = "[[teacher.providers]]\nname = \"t\"\nmodel = \"m\"\nbase_url = \"https://host/v1\"\n\
                 proxy = \"http://u:PLANTED@ho st\"";
    let run = RadstreamCommand::new(&["run", "--stage", "teach", "--until-end"]).config(wrong);
    let ran = run.run(PATIENCE);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert_nothing_seen(&ran);
}
