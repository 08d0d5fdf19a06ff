//! What people get wrong in a configuration, and what they are told.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod rules;

use std::fs;
use std::path::PathBuf;

use radstream::config::{self, Guarantee, Problem, Settings, SubjectStrategy};

/// Loads a text as the file `radstream.toml`, with variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("radstream.toml");
    fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(Some(&path), variables).map_err(|problems| {
        let mut problems = problems.0;
        for problem in &mut problems {
            if problem.file == path.display().to_string() {
                problem.file = "radstream.toml".to_owned();
            }
        }
        problems
    })
}

fn loaded(text: &str, variables: &[(&str, &str)]) -> Settings {
    load(text, variables).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    shown(&load(text, variables).expect_err("it is accepted"))
}

/// Each text gives exactly one problem, at that key, with these words in it.
fn check(cases: &[(&str, &str, &str)]) {
    for (text, key, words) in cases {
        let problems = load(text, &[]).expect_err(text);
        let [problem] = problems.as_slice() else { panic!("{text}\n{}", shown(&problems)) };
        assert_eq!(problem.key, *key, "{text}");
        assert!(problem.to_string().contains(words), "{text}\n{problem}");
    }
}

/// Every text loads.
fn accepts(texts: &[&str]) {
    for text in texts {
        loaded(text, &[]);
    }
}

#[test]
fn nothing_set_is_valid() {
    assert_eq!(config::load(None, std::iter::empty()).unwrap(), Settings::default());
}

#[test]
fn all_problems_come_at_once_with_file_line_key_and_remedy() {
    let text = "\
[kafka]
bootstrap_server = 'kafka-1:9092'
session_timeout_ms = 'long'

[delivery]
guarantee = 'exactly-once'
commit_records = 0

[kafka.producer_properties]
acks = 1

[studnet]
device = 'cuda'
";
    insta::assert_snapshot!(refused(text, &[("RADSTREAM__HTTP__PORT", "9600")]), @r#"
    radstream.toml:2  kafka.bootstrap_server
        there is no such key
        → did you mean kafka.bootstrap_servers?
    radstream.toml:3  kafka.session_timeout_ms
        wrong kind of value: string "long", expected a whole number, 0 or more
        → write it like the default: 45000
    radstream.toml:6  delivery.guarantee
        no such choice: `exactly-once`, expected `exactly_once` or `at_least_once`
        → choose one of those
    radstream.toml:7  delivery.commit_records
        0 is out of bounds
        → choose 1 to 10000
    radstream.toml:10  kafka.producer_properties.acks
        acks is refused: exactly-once delivery and order rest on its value
        → remove it
    radstream.toml:12  studnet
        there is no such key
        → did you mean student?
    environment  RADSTREAM__HTTP__PORT
        there is no such key
        → remove it; config/radstream.toml shows every key (RADSTREAM__SECTION__KEY)
    "#);
}

#[test]
fn a_syntax_error_names_its_line_and_quotes_nothing() {
    let text = "[kafka.sasl]\nmechanism = 'PLAIN'\npassword = 'hunter2\nusername = 'u'\n";
    let told = refused(text, &[]);
    assert!(told.starts_with("radstream.toml:3\n    not TOML"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let problems = config::load(Some(&PathBuf::from("no/such.toml")), std::iter::empty());
    let told = problems.unwrap_err().to_string();
    assert!(told.contains("no/such.toml\n    the file cannot be read"), "{told}");
    assert!(told.ends_with("1 problem in the configuration"));
}

#[test]
fn a_variable_overrides_the_file_and_takes_texts_as_they_are() {
    let settings = loaded(
        "[kafka]\ngroup = 'a'\n[delivery]\ncommit_records = 7",
        &[
            ("RADSTREAM__KAFKA__GROUP", "123"),
            ("RADSTREAM__TOPICS__REPORTS", "[\"a\", \"b\"]"),
            ("RADSTREAM__DELIVERY__GUARANTEE", "at_least_once"),
            ("RADSTREAM__ROUTING__MIN_CONFIDENCE", "0.75"),
            ("RADSTREAM__INTAKE__LABEL_MIXED_EXAMS", "false"),
            ("RADSTREAM__KAFKA__CONSUMER_PROPERTIES__FETCH_WAIT_MAX_MS", "100"),
            ("RADSTREAM__SCHEMA_REGISTRY__SUBJECT_STRATEGY", "topic_record"),
            ("RADSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(settings.kafka.group, "123");
    assert_eq!(settings.topics.reports, ["a", "b"]);
    assert_eq!(settings.delivery.guarantee, Guarantee::AtLeastOnce);
    assert_eq!(settings.delivery.commit_records, 7);
    assert_eq!(settings.routing.min_confidence, Some(0.75));
    assert!(!settings.intake.label_mixed_exams);
    assert_eq!(settings.kafka.consumer_properties["fetch.wait.max.ms"], "100");
    assert_eq!(settings.schema_registry.subject_strategy, SubjectStrategy::TopicRecord);
}

#[test]
fn a_wrong_variable_is_named_as_it_was_written() {
    for (variable, value, words) in [
        ("RADSTREAM__KAFKA__GRUP", "x", "did you mean kafka.group?"),
        ("RADSTREAM__KAFKA", "x", "this is a section"),
        ("RADSTREAM__TOPICS__REPORTS", "a,b", "[\"radiology.reports\"]"),
        ("RADSTREAM__TOPICS__REPORTS", "'a'", "expected a list"),
        ("RADSTREAM__DELIVERY__COMMIT_RECORDS", "-1", "expected a whole number, 0 or more"),
        ("RADSTREAM__DELIVERY__COMMIT_RECORDS", "0", "choose 1 to 10000"),
        ("RADSTREAM__INTAKE__TIME_ZONE", "Mars", "\"Mars\" is not a time zone"),
    ] {
        let told = refused("", &[(variable, value)]);
        assert!(told.starts_with(&format!("environment  {variable}\n")), "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_key_in_the_wrong_place_is_shown_the_right_one() {
    check(&[
        ("commit_records = 7", "commit_records", "did you mean delivery.commit_records?"),
        ("[kafka]\nca_cert = ''", "kafka.ca_cert", "→"),
        ("[kafka.tls]\nenabeld = true", "kafka.tls.enabeld", "did you mean kafka.tls.enabled?"),
        ("[memory]\nbudget = 256", "memory.budget", "did you mean memory.budget_mib?"),
        ("[zebra]\nstripes = 7", "zebra", "config/radstream.toml shows every key"),
        ("kafka = 'localhost'", "kafka", "write [kafka]"),
        ("[student.model]\npath = 'm'", "student.model", "expected a text"),
    ]);
}

#[test]
fn properties_may_be_dotted_quoted_texts_numbers_or_truth_values() {
    let settings = loaded(
        "[kafka.properties]\nsocket.keepalive.enable = true\n\"client.rack\" = 'b'\n\
         [kafka.producer_properties]\nlinger.ms = 20\n",
        &[],
    );
    assert_eq!(settings.kafka.properties["socket.keepalive.enable"], "true");
    assert_eq!(settings.kafka.properties["client.rack"], "b");
    assert_eq!(settings.kafka.producer_properties["linger.ms"], "20");
}

#[test]
fn a_property_that_breaks_a_guarantee_is_refused_with_reason_and_remedy() {
    check(&[
        (
            "[kafka.consumer_properties]\nenable.auto.commit = true",
            "kafka.consumer_properties.enable.auto.commit",
            "offsets are committed with the results",
        ),
        (
            "[kafka.producer_properties]\nmessage.timeout.ms = 10001",
            "kafka.producer_properties.message.timeout.ms",
            "outside 1 to 10000",
        ),
        (
            "[kafka.properties]\nsasl.password = 'hunter2'",
            "kafka.properties.sasl.password",
            "set kafka.sasl.password",
        ),
        (
            "[kafka.properties]\nsocket.keepalive.enabel = true",
            "kafka.properties.socket.keepalive.enabel",
            "No such configuration property",
        ),
        (
            "[kafka.properties]\nclient.rack = ['hunter2']",
            "kafka.properties.client.rack",
            "a property is a text, a number, true or false",
        ),
    ]);
}

#[test]
fn no_problem_quotes_a_secret() {
    let told = [
        refused("[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'u'\npassword = 271828", &[]),
        refused("[kafka.sasl]\npassword = ['271828']", &[]),
        refused("[kafka.sasl]\npassword = '271828'", &[]),
        refused("[kafka.properties]\nsasl.password = '271828'", &[]),
        refused("[schema_registry]\nurl = 'http://u:271828@registry'", &[]),
        refused("[http]\nbearer_token = { key = '271828' }", &[]),
        refused("", &[("RADSTREAM__KAFKA__SASL__PASSWORD", "271828")]),
    ]
    .join("\n");
    assert!(!told.contains("271828"), "{told}");
}

#[test]
fn a_secret_comes_from_text_file_or_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "from file\n").unwrap();
    let head = "[kafka.sasl]\nmechanism = 'SCRAM-SHA-512'\nusername = 'u'\n";
    let given = format!("{{ file = \"{}\" }}", file.display());
    let by_file = loaded(&format!("{head}password = {given}"), &[]);
    assert_eq!(by_file.kafka.sasl.password.expose(), "from file");
    let by_variable =
        loaded(&format!("{head}password = {{ env = 'PASSWORD' }}"), &[("PASSWORD", "from env")]);
    assert_eq!(by_variable.kafka.sasl.password.expose(), "from env");
    let variable = "RADSTREAM__KAFKA__SASL__PASSWORD";
    assert_eq!(loaded(head, &[(variable, &given)]).kafka.sasl.password.expose(), "from file");
    assert_eq!(loaded(head, &[(variable, "{ odd")]).kafka.sasl.password.expose(), "{ odd");
    let told = refused(&format!("{head}password = {{ env = 'NONE' }}"), &[]);
    assert!(told.contains("radstream.toml:4  kafka.sasl.password"), "{told}");
    assert!(told.contains("set NONE in the environment"), "{told}");
    assert!(!format!("{by_file:?}").contains("from file"));
}

#[test]
fn every_secret_is_resolved() {
    // A setting that reads `{ env = ... }` is a secret.
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let mut secrets = 0;
    walk("", &defaults, &mut |pointer| {
        let mut tree = defaults.clone();
        *tree.pointer_mut(pointer).unwrap() = serde_json::json!({ "env": "NO_SUCH_VARIABLE" });
        if pointer.ends_with("properties") || serde_json::from_value::<Settings>(tree).is_err() {
            return;
        }
        secrets += 1;
        let variable = format!("RADSTREAM{}", pointer.replace('/', "__").to_uppercase());
        let told = refused("", &[(&variable, "{ env = 'NO_SUCH_VARIABLE' }")]);
        assert!(told.contains("NO_SUCH_VARIABLE is not set"), "{pointer} is never resolved");
    });
    assert!(secrets >= 6, "only {secrets} secrets were found");
}

fn walk(pointer: &str, value: &serde_json::Value, visit: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                walk(&format!("{pointer}/{key}"), value, visit);
            }
        }
        _ => visit(pointer),
    }
}
