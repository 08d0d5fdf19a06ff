//! The stand-in teacher, over real HTTP: what it answers, and that each failure is what it says.

mod stub_teacher_support;
mod support;

use std::time::Duration;

use radstream::demo::teacher::{
    Answers, Failures, Fault, RecordedLabels, ResponseSupport, TeacherOptions,
};
use radstream::report::{FindingStatus, Observation};
use serde_json::{Value, json};
use stub_teacher_support::{
    CLIENT, FINDINGS, IMPRESSION, PATIENCE, ask, failing, post, problems, prompt, request,
    request_for, start, try_ask,
};
use support::server::wait_until;

#[tokio::test]
async fn an_answer_is_complete_and_valid() {
    let server = start(TeacherOptions::default());
    let reply = ask(&server, &request()).await;
    assert_eq!(reply.status, 200);
    let labels = reply.labels();
    assert_eq!(problems(&labels), Vec::<String>::new());
    for (name, status, quote) in [
        ("cardiomegaly", "positive", "The heart is mildly enlarged."),
        ("pleural_effusion", "positive", "There is a small left pleural effusion."),
        ("pneumothorax", "negative", "No pneumothorax."),
        ("pneumonia", "uncertain", "Possible pneumonia at the left base."),
        ("fracture", "not_mentioned", ""),
    ] {
        assert_eq!(labels[name], json!({ "status": status, "quote": quote }), "{name}");
    }
    let at = |observation: Observation| {
        reply.content().find(&format!("\"{}\":", observation.name())).expect("named")
    };
    assert!(Observation::ALL.is_sorted_by_key(|&observation| at(observation)), "their order");

    let body = &reply.body;
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "stub-teacher");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["choices"][0]["message"]["refusal"], Value::Null);
    assert_eq!(body["choices"][0]["logprobs"], Value::Null);
    let usage = |name: &str| body["usage"][name].as_u64().expect("a number");
    assert_eq!(usage("completion_tokens"), reply.content().len().div_ceil(4) as u64);
    assert_eq!(usage("total_tokens"), usage("prompt_tokens") + usage("completion_tokens"));

    let counts = server.counts();
    assert_eq!((counts.requests, counts.answered_well, counts.distinct_texts), (1, 1, 1));
    assert_eq!(counts.prompt_tokens, usage("prompt_tokens"));
    assert_eq!(counts.completion_tokens, usage("completion_tokens"));
}

#[tokio::test]
async fn azures_path_query_strings_and_content_in_parts_are_understood() {
    let server = start(TeacherOptions::default());
    let mut body = request();
    body.as_object_mut().unwrap().remove("model");
    body["messages"][1]["content"] =
        json!([{ "type": "text", "text": prompt(FINDINGS, IMPRESSION) }]);
    let url = format!("{}/chat/completions?api-version=2026-01-01", server.azure_url("gpt"));
    let reply = post(&url, None, &body).await.expect("an answer");
    assert_eq!((reply.status, problems(&reply.labels())), (200, vec![]));

    let models =
        CLIENT.get(format!("{}/models", server.base_url())).send().await.expect("an answer");
    let models: Value = serde_json::from_str(&models.text().await.expect("text")).expect("JSON");
    assert_eq!(models["data"][0]["id"], "stub-teacher");
}

#[tokio::test]
async fn what_was_asked_is_kept_but_not_shown_in_debug() {
    let server = start(TeacherOptions::default());
    let mut body = request();
    ask(&server, &body).await;
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": "{}" }));
    messages.push(json!({ "role": "user", "content": "Observations are missing." }));
    let repaired = ask(&server, &body).await;
    assert_eq!(problems(&repaired.labels()), Vec::<String>::new());

    let seen = server.requests();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].system, "Label the report. Answer in JSON.");
    assert_eq!(seen[0].user, prompt(FINDINGS, IMPRESSION));
    assert_eq!((seen[0].model.as_str(), seen[0].messages, seen[1].messages), ("any", 2, 4));
    assert!(seen[1].user.ends_with("\nObservations are missing."));
    assert!(!format!("{seen:?}").contains("effusion"));
    let counts = server.counts();
    assert_eq!((counts.distinct_texts, counts.most_per_text), (1, 2));
}

#[tokio::test]
async fn recorded_labels_win_over_the_rules() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let line = json!({
        "id": "1", "findings": FINDINGS.replace('\n', "  "), "impression": IMPRESSION,
        "labels": { "no_finding": "positive", "pleural_effusion": "negative", "edema": "uncertain" },
    });
    std::fs::write(file.path(), format!("{line}\n")).expect("written");
    let recorded = RecordedLabels::read(file.path()).expect("labels");
    assert_eq!(recorded.len(), 1);
    let answers = Answers::Recorded(recorded);
    let server = start(TeacherOptions { answers, ..TeacherOptions::default() });

    let labels = ask(&server, &request()).await.labels();
    assert_eq!(problems(&labels), Vec::<String>::new());
    let effusion = "There is a small left pleural effusion.";
    let first = "The heart is mildly enlarged.";
    assert_eq!(labels["pleural_effusion"], json!({ "status": "negative", "quote": effusion }));
    assert_eq!(labels["edema"], json!({ "status": "uncertain", "quote": first }));
    assert_eq!(labels["cardiomegaly"], json!({ "status": "not_mentioned", "quote": "" }));

    let other = ask(&server, &request_for("No pneumothorax.", "")).await.labels();
    assert_eq!(other["pneumothorax"]["status"], "negative");
    assert_eq!(server.counts().recorded, 1);
}

#[tokio::test]
async fn rate_limits_and_server_errors_say_so() {
    let server = failing(Failures::always(Fault::RateLimited));
    let mut waits = Vec::new();
    for _ in 0..20 {
        let reply = ask(&server, &request()).await;
        assert_eq!(
            (reply.status, &reply.body["error"]["code"]),
            (429, &json!("rate_limit_exceeded"))
        );
        waits.push(reply.retry_after.expect("when to come back"));
    }
    waits.sort();
    waits.dedup();
    assert_eq!(waits, ["0", "1"]);

    server.set_failures(Failures::always(Fault::ServerError));
    assert_eq!(ask(&server, &request()).await.status, 500);
    let counts = server.counts();
    assert_eq!((counts.rate_limited, counts.server_error, counts.answered_well), (20, 1, 0));
}

#[tokio::test]
async fn a_slow_answer_comes_late_and_is_good() {
    let slow_for = Duration::from_millis(80);
    let server = failing(Failures { slow_for, ..Failures::always(Fault::Slow) });
    let begun = std::time::Instant::now();
    let reply = ask(&server, &request()).await;
    assert!(begun.elapsed() >= slow_for);
    assert_eq!(problems(&reply.labels()), Vec::<String>::new());
    let counts = server.counts();
    assert_eq!((counts.slow, counts.answered_well), (1, 0));
}

#[tokio::test]
async fn a_cut_ends_in_the_middle_of_the_body() {
    let server = failing(Failures::always(Fault::Cut));
    let url = format!("{}/chat/completions", server.base_url());
    let call = CLIENT.post(url).body(request().to_string());
    let mut response = call.send().await.expect("the head arrives");
    let whole = response.content_length().expect("a length is promised");
    let mut got = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => got += bytes.len() as u64,
            Ok(None) => panic!("the body ended well"),
            Err(error) => break error,
        }
    };
    assert!(!error.is_timeout());
    assert!(got > 0 && got < whole, "{got} of {whole} bytes");
    assert_eq!(server.counts().cut, 1);
}

#[tokio::test]
async fn spoilt_content_is_spoilt_in_the_way_that_it_is_named() {
    let server = failing(Failures::always(Fault::InvalidJson));
    let mut prose = 0;
    for _ in 0..20 {
        let reply = ask(&server, &request()).await;
        assert_eq!(reply.status, 200);
        assert!(serde_json::from_str::<Value>(reply.content()).is_err());
        prose += u32::from(!reply.content().starts_with('{'));
    }
    assert!((1..20).contains(&prose), "both prose and JSON cut short: {prose}");

    server.set_failures(Failures::always(Fault::SchemaViolation));
    let mut missing = 0;
    for _ in 0..20 {
        let found = problems(&ask(&server, &request()).await.labels());
        assert!(!found.is_empty());
        missing += u32::from(found.iter().any(|problem| problem.ends_with("missing")));
    }
    assert!((1..20).contains(&missing), "both missing and unknown: {missing}");

    server.set_failures(Failures::always(Fault::WrongQuote));
    for (findings, wrong) in
        [(FINDINGS, "cardiomegaly"), ("Nothing.", "enlarged_cardiomediastinum")]
    {
        let labels = ask(&server, &request_for(findings, "")).await.labels();
        let quote = labels[wrong]["quote"].as_str().expect("a quote");
        assert!(!quote.is_empty() && !findings.contains(quote));
        assert_ne!(labels[wrong]["status"], "not_mentioned");
    }
    let counts = server.counts();
    assert_eq!((counts.invalid_json, counts.schema_violation, counts.wrong_quote), (20, 20, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_call_ends_when_the_client_gives_up_and_the_peak_is_counted() {
    let server = failing(Failures::always(Fault::Hang));
    let url = format!("{}/chat/completions", server.base_url());
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(
                async move { post(&url, None, &request()).await.map(|reply| reply.status) },
            )
        })
        .collect();
    wait_until("five calls at once", PATIENCE, || (server.counts().in_flight == 5).then_some(()));
    for call in &calls {
        assert!(!call.is_finished());
        call.abort();
    }
    wait_until("the calls to end", PATIENCE, || (server.counts().in_flight == 0).then_some(()));
    server.set_failures(Failures::default());
    assert_eq!(ask(&server, &request()).await.status, 200);
    let counts = server.counts();
    assert_eq!((counts.most_at_once, counts.hang, counts.answered_well), (5, 5, 1));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_schedule() {
    async fn run(seed: u64) -> Vec<String> {
        let failures = Failures { hang: 0.0, slow: 0.0, ..Failures::all_evenly(0.8, seed) };
        let server = failing(failures);
        let mut outcomes = Vec::new();
        for _ in 0..40 {
            outcomes.push(match try_ask(&server, &request()).await {
                Ok(reply) if reply.status == 200 => reply.content().to_owned(),
                Ok(reply) => format!("{} {:?}", reply.status, reply.retry_after),
                Err(_) => "cut".to_owned(),
            });
        }
        outcomes
    }
    let first = run(11).await;
    assert_eq!(first, run(11).await);
    assert_ne!(first, run(12).await);
}

#[tokio::test]
async fn another_key_is_refused_and_not_told_back() {
    let api_key = Some("right".to_owned());
    let server = start(TeacherOptions { api_key, ..TeacherOptions::default() });
    let url = format!("{}/chat/completions", server.base_url());
    for key in [None, Some("wrong"), Some("")] {
        let reply = post(&url, key, &request()).await.expect("an answer");
        assert_eq!((reply.status, &reply.body["error"]["code"]), (401, &json!("invalid_api_key")));
        assert!(!reply.body.to_string().contains("wrong"));
    }
    assert_eq!(post(&url, Some("right"), &request()).await.expect("an answer").status, 200);
    let azure = CLIENT.post(&url).header("api-key", "right");
    let azure = azure.body(request().to_string()).send().await.expect("an answer");
    assert_eq!(azure.status().as_u16(), 200);
    let models =
        CLIENT.get(format!("{}/models", server.base_url())).send().await.expect("an answer");
    assert_eq!(models.status().as_u16(), 401);
    let counts = server.counts();
    assert_eq!((counts.refused_auth, counts.requests, counts.answered_well), (3, 5, 2));
}

#[tokio::test]
async fn a_server_of_json_mode_only_refuses_schemas() {
    let response_format = ResponseSupport::JsonModeOnly;
    let server = start(TeacherOptions { response_format, ..TeacherOptions::default() });
    let mut body = request();
    let refused = ask(&server, &body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.body["error"],
        json!({
            "message": "response_format json_schema is not supported",
            "type": "invalid_request_error",
            "code": "unsupported",
        })
    );
    body["response_format"] = json!({ "type": "json_object" });
    assert_eq!(problems(&ask(&server, &body).await.labels()), Vec::<String>::new());
    body["messages"][0]["content"] = json!("Label the report.");
    assert_eq!(
        ask(&server, &body).await.status,
        400,
        "the prompt must say JSON, as OpenAI wants it"
    );
    assert_eq!(server.counts().refused_request, 2);
}

#[tokio::test]
async fn log_probabilities_are_of_tokens_that_join_to_the_content() {
    let server = start(TeacherOptions::default());
    let mut body = request();
    body["logprobs"] = json!(true);
    let reply = ask(&server, &body).await;
    let tokens = reply.body["choices"][0]["logprobs"]["content"].as_array().expect("tokens");
    let text = |token: &Value| token["token"].as_str().expect("text").to_owned();
    assert_eq!(tokens.iter().map(text).collect::<String>(), reply.content());
    for token in tokens {
        assert_eq!(token["bytes"], json!(text(token).as_bytes()));
        assert_eq!(token["top_logprobs"], json!([]));
    }
    let doubted: Vec<&Value> =
        tokens.iter().filter(|token| token["logprob"].as_f64() != Some(0.0)).collect();
    assert_eq!(doubted.len(), Observation::ALL.len());
    for token in doubted {
        assert!(FindingStatus::ALL.iter().any(|status| status.name() == text(token)));
        let logprob = token["logprob"].as_f64().expect("a number");
        assert!((0.5_f64.ln()..0.0).contains(&logprob), "{logprob}");
    }
    let again = ask(&server, &body).await;
    assert_eq!(again.body["choices"], reply.body["choices"]);

    let without = start(TeacherOptions { logprobs: false, ..TeacherOptions::default() });
    assert_eq!(ask(&without, &body).await.body["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_is_a_closed_connection_and_up_again_is_as_before() {
    let server = failing(Failures::always(Fault::Hang));
    let url = format!("{}/chat/completions", server.base_url());
    let of_call = url.clone();
    let hung = tokio::spawn(async move { post(&of_call, None, &request()).await.map(|_| ()) });
    wait_until("the call to hang", PATIENCE, || (server.counts().hang == 1).then_some(()));
    // A connection that is kept: it was there before the server went down.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
    let models = || client.get(format!("{}/models", server.base_url())).send();
    models().await.expect("an answer").text().await.expect("its body");

    server.set_down(true);
    let ended = hung.await.expect("no panic").expect_err("the call that hung is closed");
    assert!(!ended.is_timeout());
    assert!(!models().await.expect_err("the kept connection is closed").is_timeout());
    let refused = post(&url, None, &request()).await.err().expect("a new connection is closed");
    assert!(!refused.is_timeout());
    assert!(server.counts().closed_while_down >= 2);

    server.set_down(false);
    server.set_failures(Failures::default());
    assert_eq!(models().await.expect("an answer").status().as_u16(), 200);
    assert_eq!(problems(&ask(&server, &request()).await.labels()), Vec::<String>::new());
}

#[tokio::test]
async fn dropping_the_server_ends_it_also_within_a_runtime() {
    let server = failing(Failures::always(Fault::Hang));
    let url = format!("{}/chat/completions", server.base_url());
    drop(server);
    let error = post(&url, None, &request()).await.err().expect("nobody listens");
    assert!(error.is_connect());
}
