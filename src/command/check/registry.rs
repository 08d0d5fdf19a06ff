//! Asks the schema registry whether it is there, lets us in, and knows our subjects.

use std::time::Duration;

use crate::broker::auth::request::{certificates, chain, on_own_runtime, read_bounded};
use crate::command::exit;
use crate::config::{SchemaRegistry, Settings, SubjectStrategy};

/// Longest list of subjects that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// What is wrong with the registry.
pub(super) struct Objection {
    pub(super) what: String,
    pub(super) remedy: String,
    pub(super) code: u8,
}

/// Asks every address until one answers.
pub(super) fn ask(settings: &Settings) -> Result<String, Objection> {
    let registry = &settings.schema_registry;
    let mut last = None;
    for url in registry.urls() {
        match subjects(registry, url) {
            Ok(subjects) => return judge(settings, url, &subjects),
            Err(objection) => last = Some(objection),
        }
    }
    Err(last.unwrap_or_else(|| unavailable("no address is given".to_owned())))
}

fn unavailable(what: String) -> Objection {
    Objection {
        what,
        remedy: "start the registry, or correct schema_registry.url".to_owned(),
        code: exit::UNAVAILABLE,
    }
}

/// With automatic registration off, our subjects must be there.
fn judge(settings: &Settings, url: &str, subjects: &[String]) -> Result<String, Objection> {
    let registry = &settings.schema_registry;
    if !registry.auto_register && registry.subject_strategy == SubjectStrategy::Topic {
        let topics = &settings.topics;
        let missing: Vec<String> = [&topics.findings, &topics.escalations]
            .into_iter()
            .map(|topic| format!("{topic}-value"))
            .filter(|subject| !subjects.contains(subject))
            .collect();
        if !missing.is_empty() {
            return Err(Objection {
                what: format!("subjects are missing: {}", missing.join(", ")),
                remedy: "register the schemas of schemas/, or set schema_registry.auto_register = \
                         true"
                    .to_owned(),
                code: exit::CONFIGURATION,
            });
        }
    }
    Ok(format!("{} subjects at {url}", subjects.len()))
}

fn subjects(registry: &SchemaRegistry, url: &str) -> Result<Vec<String>, Objection> {
    let (status, body) = on_own_runtime(|| fetch(registry, url))
        .map_err(|problem| unavailable(problem.to_string()))?
        .map_err(|problem| unavailable(format!("{url} does not answer: {problem}")))?;
    match status {
        200 => serde_json::from_slice(&body)
            .map_err(|_| unavailable(format!("{url} is not a schema registry"))),
        401 | 403 => Err(Objection {
            what: format!("{url} does not let us in (HTTP status {status})"),
            remedy: "correct schema_registry.username and password, or bearer_token".to_owned(),
            code: exit::NOT_AUTHORISED,
        }),
        status => Err(unavailable(format!("{url} answers with HTTP status {status}"))),
    }
}

async fn fetch(registry: &SchemaRegistry, url: &str) -> Result<(u16, Vec<u8>), String> {
    let mut builder =
        reqwest::Client::builder().timeout(Duration::from_millis(registry.timeout_ms));
    if !registry.ca_file.as_os_str().is_empty() {
        builder = builder.tls_certs_merge(certificates(&registry.ca_file)?);
    }
    let plain = |problem: reqwest::Error| chain(&problem.without_url());
    let mut request = builder.build().map_err(plain)?.get(format!("{url}/subjects"));
    if registry.bearer_token.is_set() {
        request = request.bearer_auth(registry.bearer_token.expose());
    } else if !registry.username.is_empty() {
        request = request.basic_auth(&registry.username, Some(registry.password.expose()));
    }
    let response = request.send().await.map_err(plain)?;
    let status = response.status().as_u16();
    Ok((status, read_bounded(response, MAX_ANSWER_BYTES).await.map_err(plain)?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// A registry that gives one answer.
    fn registry(status: &'static str, body: &'static str) -> Settings {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = Settings::default();
        settings.schema_registry.url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
            stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
        });
        settings
    }

    #[test]
    fn a_registry_that_answers_is_counted_and_one_that_refuses_is_told() {
        let told = ask(&registry("200 OK", "[\"a-value\"]")).ok().unwrap();
        assert!(told.starts_with("1 subjects at http://127.0.0.1:"), "{told}");
        let refused = ask(&registry("401 Unauthorized", "{}")).err().unwrap();
        assert_eq!(refused.code, exit::NOT_AUTHORISED);
        let other = ask(&registry("200 OK", "<html>")).err().unwrap();
        assert!(other.what.contains("is not a schema registry"), "{}", other.what);
    }

    #[test]
    fn without_automatic_registration_our_subjects_must_be_there() {
        let mut settings = registry("200 OK", "[\"radiology.findings-value\"]");
        settings.schema_registry.auto_register = false;
        let objection = ask(&settings).err().unwrap();
        assert_eq!(objection.code, exit::CONFIGURATION);
        assert_eq!(objection.what, "subjects are missing: radiology.escalations-value");
    }

    #[test]
    fn the_second_address_answers_for_the_first() {
        let mut settings = registry("200 OK", "[]");
        settings.schema_registry.url = format!(
            "http://{},{}",
            crate::command::check::tests::nobody(),
            settings.schema_registry.url
        );
        assert!(ask(&settings).is_ok());
    }
}
