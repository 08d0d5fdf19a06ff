//! The HTTP endpoints: what a stranger gets, and what a bearer token opens.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Secured;
use super::support::kafka::PLAINTEXT;
use super::support::processes::{Radstream, RadstreamCommand};
use super::support::stage::Stage;

/// A GET with these further lines of its head: head and body.
pub(super) fn get(process: &mut Radstream, path: &str, lines: &str) -> String {
    let address = process.address();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{lines}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.to_lowercase()
}

#[test]
fn a_token_guards_the_numbers_and_leaves_the_probes_open() {
    let kafka = Secured::shared();
    let stage = Stage::create(&kafka.broker, "http");
    let config = kafka
        .config(&stage, PLAINTEXT, "")
        .replace("[http]", "[http]\nbearer_token = \"Open-Sesame\"");
    let mut process = RadstreamCommand::new(&["run"]).config(&config).spawn();
    for probe in ["/livez", "/startupz"] {
        assert!(!get(&mut process, probe, "").contains(" 401 "), "{probe} is for everyone");
    }
    for path in ["/metrics", "/"] {
        for lines in
            ["", "Authorization: Bearer open-sesame\r\n", "Authorization: Basic Open-Sesame\r\n"]
        {
            let answer = get(&mut process, path, lines);
            assert!(answer.starts_with("http/1.0 401 "), "{path}: {answer}");
            assert!(answer.contains("\nwww-authenticate: bearer\r\n"), "{answer}");
            assert!(!answer.contains("radstream_"), "{answer}");
        }
        let answer = get(&mut process, path, "Authorization: Bearer Open-Sesame\r\n");
        assert!(answer.starts_with("http/1.0 200 "), "{path}: {answer}");
    }
    for path in ["/config", "/env", "/debug"] {
        let answer = get(&mut process, path, "Authorization: Bearer Open-Sesame\r\n");
        assert!(answer.starts_with("http/1.0 404 "), "{path}: {answer}");
    }
}

#[test]
fn numbers_for_all_hosts_without_a_token_are_warned_of() {
    let told = |more: &str| {
        let config = format!("[kafka]\nbootstrap_servers = \"127.0.0.1:9\"\n[http]\n{more}\n");
        let run = RadstreamCommand::new(&["run", "--until-end"]).config(&config);
        run.run(super::PATIENCE).stderr
    };
    let open = told("listen = \"0.0.0.0:0\"");
    assert!(open.contains("http.listen") && open.contains("http.bearer_token"), "{open}");
    for fine in ["listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"\nbearer_token = \"t\""] {
        let log = told(fine);
        assert!(!log.contains("http.bearer_token"), "{log}");
    }
}
