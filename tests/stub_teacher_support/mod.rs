//! How tests call the stand-in teacher, and what they ask it.

#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` marks what tests call")]

use std::sync::LazyLock;
use std::time::Duration;

use radstream::demo::teacher::{Failures, TeacherOptions, TeacherServer};
use radstream::report::{FindingStatus, Observation};
use serde_json::{Value, json};

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const FINDINGS: &str = "The heart is mildly enlarged. There is a small left pleural effusion.\n\
                        No pneumothorax. Possible pneumonia at the left base.";
pub const IMPRESSION: &str = "1. Small left pleural effusion.";

/// One for all: each new one reads the system's certificates again. It keeps no connection, because
/// one belongs to the runtime of the test that made it.
pub static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
    client.build().expect("a client")
});

pub fn start(options: TeacherOptions) -> TeacherServer {
    TeacherServer::start(options).expect("a port of loopback is free")
}

pub fn failing(failures: Failures) -> TeacherServer {
    start(TeacherOptions { failures, ..TeacherOptions::default() })
}

pub fn prompt(findings: &str, impression: &str) -> String {
    format!(
        "<report>\n<section kind=\"findings\">\n{findings}\n</section>\n\
         <section kind=\"impression\">\n{impression}\n</section>\n</report>"
    )
}

pub fn request_for(findings: &str, impression: &str) -> Value {
    json!({
        "model": "any",
        "messages": [
            { "role": "system", "content": "Label the report. Answer in JSON." },
            { "role": "user", "content": prompt(findings, impression) },
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "labels", "strict": true, "schema": { "type": "object" } },
        },
        "temperature": 0, "seed": 1, "max_completion_tokens": 2048, "n": 1,
    })
}

pub fn request() -> Value {
    request_for(FINDINGS, IMPRESSION)
}

/// An answer with its body whole.
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Reply {
    pub fn content(&self) -> &str {
        let content = self.body.pointer("/choices/0/message/content");
        content.and_then(Value::as_str).expect("content")
    }

    pub fn labels(&self) -> Value {
        serde_json::from_str(self.content()).expect("content is JSON")
    }
}

pub async fn post(url: &str, key: Option<&str>, body: &Value) -> reqwest::Result<Reply> {
    let mut call = CLIENT.post(url).body(body.to_string());
    if let Some(key) = key {
        call = call.bearer_auth(key);
    }
    let response = call.send().await?;
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    let body = response.text().await?;
    Ok(Reply { status, retry_after, body: serde_json::from_str(&body).expect("JSON") })
}

pub async fn try_ask(server: &TeacherServer, body: &Value) -> reqwest::Result<Reply> {
    post(&format!("{}/chat/completions", server.base_url()), None, body).await
}

pub async fn ask(server: &TeacherServer, body: &Value) -> Reply {
    try_ask(server, body).await.expect("an answer")
}

/// What is wrong with an answer's labels, as a strict reader would say.
pub fn problems(labels: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let rows = labels.as_object().expect("an object");
    if rows.len() != Observation::ALL.len() {
        problems.push("another number of observations".to_owned());
    }
    for observation in Observation::ALL {
        let name = observation.name();
        let Some(row) = rows.get(name) else {
            problems.push(format!("{name} is missing"));
            continue;
        };
        let of_row = |name: &str| row[name].as_str().expect("text");
        let (status, quote) = (of_row("status"), of_row("quote"));
        if !FindingStatus::ALL.iter().any(|known| known.name() == status) {
            problems.push(format!("{name} has an unknown status"));
        }
        let found = FINDINGS.contains(quote) || IMPRESSION.contains(quote);
        if !found || quote.is_empty() != (status == "not_mentioned") {
            problems.push(format!("{name} has a wrong quote"));
        }
    }
    problems
}
