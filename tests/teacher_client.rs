//! The teacher's client against a server that fails in every way there is: over real HTTP.
//!
//! What can be asked of any server is asked of the one whose base URL `RADSTREAM_TEACHER` names, where it
//! is set; `make second-server` does that, with llama.cpp's. Then the stub is not there to count.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

use std::sync::Arc;
use std::time::Duration;

use radstream::deidentify::Deidentifier;
use radstream::demo::teacher::{
    Failures, Fault, ResponseSupport, TeacherOptions as StubOptions, TeacherServer,
};
use radstream::report::{FindingStatus, LabelledSection, Observation, Phi, SectionKind};
use radstream::teacher::ask::{AskError, MemberOptions, Teacher, TeacherOptions};
use radstream::teacher::breaker::BreakerOptions;
use radstream::teacher::limits::LimitOptions;
use radstream::teacher::prompt::Question;
use radstream::teacher::provider::{AnswerFormat, Api, CallError, ProviderOptions};
use radstream::teacher::spend::{DailyBudget, Price};

fn provider(server: &TeacherServer) -> ProviderOptions {
    ProviderOptions {
        name: "stub".into(),
        base_url: server.base_url(),
        api: Api::OpenAi,
        api_key: "key".into(),
        model: "stub-teacher".into(),
        local: false,
        timeout: Duration::from_secs(20),
        format: AnswerFormat::Auto,
        logprobs: true,
        max_tokens: 2048,
        request: serde_json::Map::new(),
        ca_file: None,
        proxy: None,
    }
}

/// A server that answers well, the stub unless `RADSTREAM_TEACHER` names another, and how to reach it.
fn answering(stub: StubOptions) -> (Option<TeacherServer>, ProviderOptions) {
    let server = TeacherServer::start(stub).unwrap();
    let stub = provider(&server);
    match std::env::var("RADSTREAM_TEACHER") {
        Ok(base_url) => {
            let timeout = Duration::from_secs(300);
            (None, ProviderOptions { base_url, timeout, ..stub })
        }
        Err(_) => (Some(server), stub),
    }
}

fn member(provider: ProviderOptions) -> MemberOptions {
    MemberOptions {
        provider,
        limits: LimitOptions { concurrency: 16, requests_per_minute: 0, tokens_per_minute: 0 },
        price: Price { prompt: 1.0, completion: 2.0 },
    }
}

fn options() -> TeacherOptions {
    let cooldown = Duration::from_millis(50);
    TeacherOptions {
        attempts: 5,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(20),
        breaker: BreakerOptions { failures: 8, cooldown, longest: 4 * cooldown },
        budget: DailyBudget::default(),
        patient: true,
        remembered: 1000,
    }
}

fn stub(options: StubOptions) -> (TeacherServer, Teacher) {
    let server = TeacherServer::start(options).unwrap();
    let teacher = Teacher::new(vec![member(provider(&server))], self::options()).unwrap();
    (server, teacher)
}

fn sections(text: &str) -> Vec<LabelledSection> {
    vec![LabelledSection { kind: SectionKind::Impression, text: Phi::from(text) }]
}

fn question(text: &str) -> Question {
    Question::deidentified(&Deidentifier::without_message().apply(&sections(text), &[]).unwrap())
}

const TEXT: &str = "Small left pleural effusion. No pneumothorax.";

async fn ask(teacher: &Teacher, text: &str) -> Result<FindingStatus, AskError> {
    let (given, _) = teacher.ask(&question(text), 1).await?;
    Ok(given.answer.labels()[Observation::PleuralEffusion as usize])
}

#[tokio::test]
async fn an_answer_comes_with_quotes_confidence_tokens_and_cost() {
    let (server, provider) = answering(StubOptions::default());
    let teacher = Teacher::new(vec![member(provider)], options()).unwrap();
    let (given, remembered) = teacher.ask(&question(TEXT), 1).await.unwrap();
    assert!(!remembered);
    let cell = given.answer.cells[Observation::PleuralEffusion as usize];
    assert_eq!(cell.status, FindingStatus::Positive);
    assert!(cell.quote.unwrap().text(&sections(TEXT)).contains("pleural effusion"));
    assert!((0.4..=1.0).contains(&cell.confidence.unwrap()));
    assert!(given.usage.counted);
    let (prompt, completion) = (given.usage.prompt, given.usage.completion);
    if let Some(counts) = server.map(|server| server.counts()) {
        assert_eq!((prompt, completion), (counts.prompt_tokens, counts.completion_tokens));
    }
    let price = prompt as f64 + 2.0 * completion as f64;
    assert!(price > 500.0 && (given.cost - price / 1e6).abs() < 1e-12);
    assert_eq!(teacher.spent_today().tokens, prompt + completion);
}

#[tokio::test]
async fn each_failure_that_passes_is_tried_again_until_it_has_passed() {
    for fault in [Fault::RateLimited, Fault::ServerError, Fault::Cut, Fault::Hang] {
        // Which calls fail is a function of seed and number: half of them.
        let (server, teacher) = stub(StubOptions::default());
        let mut failures = Failures { seed: 3, ..Failures::default() };
        match fault {
            Fault::RateLimited => failures.rate_limited = 0.5,
            Fault::ServerError => failures.server_error = 0.5,
            Fault::Cut => failures.cut = 0.5,
            _ => failures.hang = 0.5,
        }
        server.set_failures(failures);
        let mut slow = provider(&server);
        slow.timeout = Duration::from_millis(400);
        let teacher = if fault == Fault::Hang {
            Teacher::new(vec![member(slow)], TeacherOptions { attempts: 20, ..options() }).unwrap()
        } else {
            teacher
        };
        for number in 0..6 {
            let text = format!("{TEXT} Case {}.", ["a", "b", "c", "d", "e", "f"][number]);
            match ask(&teacher, &text).await {
                Ok(status) => assert_eq!(status, FindingStatus::Positive),
                // Five in a row: one in 32.
                Err(error) => assert!(matches!(error, AskError::Unavailable(_)), "{error}"),
            }
        }
        assert!(server.counts().of(fault) > 0, "{fault:?}");
        assert!(server.counts().answered_well >= 4, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_a_rule_is_repaired_once_and_then_given_up() {
    for fault in [Fault::InvalidJson, Fault::SchemaViolation, Fault::WrongQuote] {
        let (server, teacher) =
            stub(StubOptions { failures: Failures::always(fault), ..StubOptions::default() });
        let error = ask(&teacher, TEXT).await.unwrap_err();
        assert!(matches!(error, AskError::Invalid(_)), "{fault:?}: {error}");
        assert_eq!(server.counts().of(fault), 2, "{fault:?}: asked, and once more");
        assert_eq!(server.requests()[1].messages, 4, "with the answer and what is wrong with it");
        server.set_failures(Failures::default());
        assert_eq!(ask(&teacher, TEXT).await, Ok(FindingStatus::Positive), "a failure is not kept");
    }
}

#[tokio::test]
async fn the_same_text_is_asked_about_once_however_many_ask_at_once() {
    let (server, provider) = answering(StubOptions::default());
    let teacher = Arc::new(Teacher::new(vec![member(provider)], options()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let teacher = Arc::clone(&teacher);
        tasks.spawn(async move {
            let text = if number % 2 == 0 { TEXT } else { "No pleural effusion." };
            teacher.ask(&question(text), 1).await.unwrap().1
        });
    }
    let remembered = tasks.join_all().await.into_iter().filter(|remembered| *remembered).count();
    assert_eq!(remembered, 198);
    assert!(server.is_none_or(|server| server.counts().requests == 2));
}

#[tokio::test]
async fn a_server_that_knows_no_schema_is_asked_in_json_mode() {
    let response_format = ResponseSupport::JsonModeOnly;
    let (server, teacher) = stub(StubOptions { response_format, ..StubOptions::default() });
    assert_eq!(ask(&teacher, TEXT).await, Ok(FindingStatus::Positive));
    assert_eq!(ask(&teacher, "Large pleural effusion.").await, Ok(FindingStatus::Positive));
    assert_eq!(server.counts().refused_request, 1, "the refusal is remembered");
}

#[tokio::test]
async fn a_key_that_is_not_accepted_waits_for_a_person_and_costs_one_call_a_cooldown() {
    let api_key = Some("key".to_owned());
    let (server, provider) = answering(StubOptions { api_key, ..StubOptions::default() });
    let wrong = ProviderOptions { api_key: "another key".into(), ..provider };
    let two = TeacherOptions { attempts: 2, ..options() };
    let teacher = Teacher::new(vec![member(wrong)], two).unwrap();
    let error = ask(&teacher, TEXT).await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(CallError::Unauthorised { status: 401, .. })));
    assert!(server.is_none_or(|server| server.counts().refused_auth == 2));
    assert!(!error.to_string().contains("another key"), "{error}");
}

#[tokio::test]
async fn the_next_provider_is_asked_while_the_first_is_out_of_order() {
    let first = TeacherServer::start(StubOptions::default()).unwrap();
    let second = TeacherServer::start(StubOptions::default()).unwrap();
    let named = |server: &TeacherServer, name: &str| {
        member(ProviderOptions { name: name.into(), ..provider(server) })
    };
    let breaker = BreakerOptions {
        failures: 3,
        cooldown: Duration::from_secs(3600),
        longest: Duration::from_secs(3600),
    };
    let options = TeacherOptions { breaker, ..options() };
    let members = vec![named(&first, "first"), named(&second, "second")];
    let teacher = Teacher::new(members, options).unwrap();
    let (given, _) = teacher.ask(&question(TEXT), 1).await.unwrap();
    assert_eq!(&*given.provider, "first");
    first.set_down(true);
    for text in ["Pleural effusion.", "No effusion.", "Edema.", "Normal heart size."] {
        let (given, _) = teacher.ask(&question(text), 1).await.unwrap();
        assert_eq!(&*given.provider, "second", "{text}");
    }
    // Three failures opened the breaker; after that it is not called at all.
    assert_eq!(first.counts().closed_while_down, 3);
}

#[tokio::test]
async fn text_as_received_goes_to_local_providers_only() {
    let (server, provider) = answering(StubOptions::default());
    let teacher = Teacher::new(vec![member(provider.clone())], options()).unwrap();
    let question = Question::as_received(sections(TEXT));
    assert_eq!(teacher.ask(&question, 1).await.err(), Some(AskError::NotAllowed));
    assert!(server.as_ref().is_none_or(|server| server.counts().requests == 0));
    let local = ProviderOptions { local: true, ..provider };
    let teacher = Teacher::new(vec![member(local)], options()).unwrap();
    assert!(teacher.ask(&question, 1).await.is_ok());
}

#[tokio::test]
async fn no_more_are_asked_at_once_than_allowed_and_all_are_answered() {
    let latency = Duration::from_millis(5);
    let (server, provider) = answering(StubOptions { latency, ..StubOptions::default() });
    let mut limited = member(provider);
    limited.limits.concurrency = 6;
    let teacher = Arc::new(Teacher::new(vec![limited], options()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..120_u8 {
        let teacher = Arc::clone(&teacher);
        let word = [b'a' + number / 26, b'a' + number % 26].map(char::from);
        let text = format!("{TEXT} Marker q{}{}.", word[0], word[1]);
        tasks.spawn(async move { ask(&teacher, &text).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|answered| answered));
    if let Some(counts) = server.map(|server| server.counts()) {
        assert_eq!(counts.answered_well, 120);
        assert!((2..=6).contains(&counts.most_at_once), "{counts:?}");
    }
}

#[tokio::test]
async fn a_days_budget_is_never_overrun_however_many_ask_at_once() {
    let (server, _) = stub(StubOptions::default());
    let budget = DailyBudget { tokens: 20_000, cost: 0.0 };
    let teacher =
        Teacher::new(vec![member(provider(&server))], TeacherOptions { budget, ..options() });
    let teacher = Arc::new(teacher.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60_u8 {
        let teacher = Arc::clone(&teacher);
        let word = [b'a' + number / 26, b'a' + number % 26].map(char::from);
        let text = format!("{TEXT} Marker q{}{}.", word[0], word[1]);
        tasks.spawn(async move { ask(&teacher, &text).await });
    }
    let results = tasks.join_all().await;
    let over = results.iter().filter(|r| **r == Err(AskError::OverBudget)).count();
    let counts = server.counts();
    let spent = counts.prompt_tokens + counts.completion_tokens;
    assert!(over > 0 && results.len() - over == counts.answered_well as usize, "{counts:?}");
    assert!(spent <= 20_000, "{spent} tokens at the server");
    assert!(spent > 10_000, "{spent} tokens: most of it can be used");
}

#[tokio::test]
async fn calls_a_minute_are_limited_at_the_server() {
    let (server, _) = stub(StubOptions::default());
    let mut limited = member(provider(&server));
    // A burst of a twentieth of a minute: 3 at once, then one a second.
    limited.limits.requests_per_minute = 60;
    let teacher = Arc::new(Teacher::new(vec![limited], options()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for word in ["a", "b", "c", "d", "e", "f"] {
        let teacher = Arc::clone(&teacher);
        let text = format!("{TEXT} Marker {word}.");
        tasks.spawn(async move { ask(&teacher, &text).await.is_ok() });
    }
    let started = std::time::Instant::now();
    while tasks.join_next().await.is_some() {
        let burst_and_rate = 3.0 + started.elapsed().as_secs_f64() + 1.0;
        let asked = server.counts().requests as f64;
        assert!(asked <= burst_and_rate, "{asked} asked, {burst_and_rate} allowed");
    }
    assert_eq!(server.counts().answered_well, 6);
}

#[tokio::test]
async fn votes_give_shares_and_agreement() {
    let (server, provider) = answering(StubOptions::default());
    let teacher = Teacher::new(vec![member(provider)], options()).unwrap();
    let (given, _) = teacher.ask(&question(TEXT), 3).await.unwrap();
    assert_eq!(given.votes, 3);
    assert!(server.is_none_or(|server| server.counts().requests == 3));
    let effusion = Observation::PleuralEffusion as usize;
    // Either server is of one mind.
    assert_eq!(given.answer.cells[effusion].agreement, Some(1.0));
    assert_eq!(given.shares.unwrap()[effusion], [0.0, 1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn azures_dialect_is_spoken_too() {
    let api_key = Some("key".to_owned());
    let (server, _) = stub(StubOptions { api_key, ..StubOptions::default() });
    let root = server.base_url().trim_end_matches("/v1").to_owned();
    let azure = ProviderOptions {
        base_url: root,
        api: Api::Azure { version: "2024-10-21".into() },
        model: "our-deployment".into(),
        ..provider(&server)
    };
    let teacher = Teacher::new(vec![member(azure)], options()).unwrap();
    assert_eq!(ask(&teacher, TEXT).await, Ok(FindingStatus::Positive));
}
