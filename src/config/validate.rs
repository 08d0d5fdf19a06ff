//! What contradicts what. Everything is reported; nothing stops at the first problem.

use std::collections::BTreeMap;

use super::address::{has_credentials, is_own_host, is_server};
use super::promotion::PromotionRequire;
use super::security::security;
use super::settings::{Guarantee, Intake, Labeler, Settings};
use super::teacher::TeacherApi;
use super::{kafka, properties};
use crate::decode::DecodeOptions;

/// Something wrong with the values, not yet placed in a file.
#[derive(Debug)]
pub(super) struct Finding {
    /// The key that is wrong.
    pub(super) key: String,
    /// The keys it contradicts.
    pub(super) against: Vec<String>,
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn new(
        key: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), against: Vec::new(), what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn against(mut self, other: &str) -> Self {
        self.against.push(other.to_owned());
        self
    }
}

/// Everything that contradicts something. Single numbers are checked by [`super::bounds`].
pub(super) fn validate(settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    names(settings, &mut found);
    topics(settings, &mut found);
    times(settings, &mut found);
    sizes(settings, &mut found);
    security(settings, &mut found);
    passed_properties(settings, &mut found);
    teacher(settings, &mut found);
    promotion(settings, &mut found);
    files(settings, &mut found);
    found
}

impl Intake {
    /// What decode needs to know, but for what must be asked for: schemas, and a reader of PDF.
    pub fn decode_options(&self) -> DecodeOptions {
        let mib = usize::try_from(self.max_payload_mib).unwrap_or(usize::MAX);
        DecodeOptions {
            default_charset: Some(self.default_charset.clone()).filter(|name| !name.is_empty()),
            time_zone: self.time_zone.clone(),
            accept_test_messages: self.accept_test_messages,
            max_payload_bytes: mib.saturating_mul(1 << 20),
            envelope_pointer: Some(self.envelope_pointer.clone()).filter(|p| !p.is_empty()),
            max_future_ms: Some(i64::from(self.max_future_days).saturating_mul(86_400_000)),
            profiles: self.source_profiles.clone(),
            ..DecodeOptions::default()
        }
    }
}

fn names(s: &Settings, found: &mut Vec<Finding>) {
    if let Some(wrong) = s.kafka.bootstrap_servers.split(',').find(|server| !is_server(server)) {
        // People write passwords before an @: then nothing of it is quoted.
        let shown =
            if wrong.contains('@') { "an entry".into() } else { format!("{:?}", wrong.trim()) };
        found.push(Finding::new(
            "kafka.bootstrap_servers",
            format!("{shown} is not host:port"),
            "write host:port, several separated by commas: \"kafka-1:9092,kafka-2:9092\"",
        ));
    }
    if s.kafka.group.trim().is_empty() {
        found.push(Finding::new("kafka.group", "it is empty", "name the consumer group"));
    }
    let options = s.intake.decode_options();
    if !options.default_charset_is_known() {
        found.push(Finding::new(
            "intake.default_charset",
            format!("{:?} is not a character set that can be read", s.intake.default_charset),
            "write an HL7 table 0211 name (\"8859/1\", \"UNICODE UTF-8\") or \"windows-1252\"",
        ));
    }
    if !options.time_zone_is_known() {
        found.push(Finding::new(
            "intake.time_zone",
            format!("{:?} is not a time zone that can be read", s.intake.time_zone),
            "write an IANA name (\"Europe/Paris\"), \"UTC\", an offset (\"+01:00\") or a POSIX rule (\"CET-1CEST,M3.5.0,M10.5.0/3\")",
        ));
    }
    let pointer = &s.intake.envelope_pointer;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        found.push(Finding::new(
            "intake.envelope_pointer",
            format!("{pointer:?} is not a JSON pointer"),
            "begin it with a slash: \"/event/payload\"",
        ));
    }
    let (field, schema) = (&s.intake.avro_field, &s.intake.avro_schema);
    let in_file = !schema.as_os_str().is_empty();
    if field.split('.').any(|name| name.trim().is_empty()) && !field.is_empty() {
        found.push(Finding::new(
            "intake.avro_field",
            format!("{field:?} is not a path of field names"),
            "write names joined by dots: \"event.payload\"",
        ));
    }
    if !field.is_empty() && !in_file && s.schema_registry.url.is_empty() {
        let what = "nothing says what the input's Avro schema is";
        let remedy = "set schema_registry.url, or name the schema's file as intake.avro_schema";
        found.push(Finding::new("intake.avro_field", what, remedy).against("schema_registry.url"));
    }
    if field.is_empty() && in_file {
        let what = "it is not used without intake.avro_field";
        let remedy = "name the field that holds the message, or remove this";
        found.push(Finding::new("intake.avro_schema", what, remedy).against("intake.avro_field"));
    }
    if s.student.labeler == Labeler::Student && s.student.model.as_os_str().is_empty() {
        found.push(Finding::new(
            "student.model",
            "no model folder is given",
            "name it, or set student.labeler = \"rules\"",
        ));
    }
    let source = &s.publish.ce_source;
    if source.is_empty() || source.chars().any(|c| !c.is_ascii_graphic()) {
        found.push(Finding::new(
            "publish.ce_source",
            format!("{source:?} is not a URI reference"),
            "write a path or URL without spaces, such as \"/radstream/label\"",
        ));
    }
    if !s.http.listen.is_empty() && !is_server(&s.http.listen) {
        found.push(Finding::new(
            "http.listen",
            format!("{:?} is not host:port", s.http.listen),
            "write \"127.0.0.1:9600\", \"0.0.0.0:9600\", or \"\" for none",
        ));
    }
    if let Err(problem) = tracing_subscriber::EnvFilter::try_new(&s.log.filter) {
        found.push(Finding::new(
            "log.filter",
            format!("not a filter: {problem}"),
            "write a level (\"info\") or levels by module (\"info,librdkafka=debug\")",
        ));
    }
}

fn teacher(s: &Settings, found: &mut Vec<Finding>) {
    if s.teacher.group.trim().is_empty() {
        found.push(Finding::new("teacher.group", "it is empty", "name the consumer group"));
    }
    if s.teacher.group == s.kafka.group {
        let what = "it is also the group of stage label: neither would get all its partitions";
        let finding = Finding::new("teacher.group", what, "give each stage a group of its own");
        found.push(finding.against("kafka.group"));
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, provider) in s.teacher.providers.iter().enumerate() {
        let mut wrong = |name: &str, what: &str, remedy: &str| {
            found.push(Finding::new(format!("teacher.providers[{index}].{name}"), what, remedy));
        };
        if provider.name.trim().is_empty() || !names.insert(provider.name.as_str()) {
            wrong("name", "it is empty, or another provider has it", "give each its own name");
        }
        let url = reqwest::Url::parse(&provider.base_url);
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            let remedy =
                "write http:// or https://, host and version: \"http://127.0.0.1:8000/v1\"";
            wrong("base_url", "it is not an http or https URL", remedy);
        }
        let parsed = reqwest::Url::parse(&provider.base_url);
        if parsed.as_ref().is_ok_and(has_credentials) {
            let remedy = "use api_key";
            wrong("base_url", "a user name or password in the URL would show in logs", remedy);
        }
        let open = parsed.is_ok_and(|url| {
            url.scheme() == "http" && !is_own_host(url.host_str().unwrap_or_default())
        });
        if open && !provider.local {
            let what = "reports and the key would go over the network unencrypted";
            wrong("base_url", what, "use https, or set local = true where the network is your own");
        }
        if provider.model.trim().is_empty() {
            wrong("model", "it is empty", "name the model as the server does");
        }
        if provider.api == TeacherApi::Azure && provider.api_version.is_empty() {
            let remedy = "name the version of Azure's API, such as \"2024-10-21\"";
            wrong("api_version", "Azure wants one", remedy);
        }
    }
}

fn promotion(s: &Settings, found: &mut Vec<Finding>) {
    let gate = &s.promotion;
    if gate.store.as_os_str().is_empty() {
        let remedy = "name the folder of the model store";
        found.push(Finding::new("promotion.store", "it is empty", remedy));
    }
    if s.redistill.work.as_os_str().is_empty() {
        let remedy = "name the folder in which the job works";
        found.push(Finding::new("redistill.work", "it is empty", remedy));
    }
    if s.redistill.train.first().is_none_or(|program| program.trim().is_empty()) {
        let remedy = "name the program that trains, and its arguments, as a list of words";
        found.push(Finding::new("redistill.train", "it is empty", remedy));
    }
    if gate.require == PromotionRequire::Better && gate.primary.is_empty() {
        let what = "nothing is named that could be better";
        let remedy = "name \"positive\" or another task, or set promotion.require = \"not_worse\"";
        found.push(Finding::new("promotion.primary", what, remedy).against("promotion.require"));
    }
}

fn topics(s: &Settings, found: &mut Vec<Finding>) {
    let reports = s.topics.reports.iter().map(|name| ("topics.reports", name));
    let names: Vec<(&str, &String)> = reports
        .chain([
            ("topics.findings", &s.topics.findings),
            ("topics.escalations", &s.topics.escalations),
            ("topics.distillation", &s.topics.distillation),
            ("topics.retries", &s.topics.retries),
            ("topics.dead_letters", &s.topics.dead_letters),
        ])
        .collect();
    if s.topics.reports.is_empty() {
        found.push(Finding::new(
            "topics.reports",
            "no input topic is named",
            "name at least one: [\"radiology.reports\"]",
        ));
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, name) in names {
        if key == "topics.distillation" && name.is_empty() {
            continue; // not used
        }
        // Kafka's own rule (org.apache.kafka.common.internals.Topic).
        let legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !legal {
            found.push(Finding::new(
                key,
                format!("{name:?} is not a topic name"),
                "use letters, digits, '.', '_' and '-', at most 249 of them",
            ));
        } else if let Some(other) = seen.insert(name, key) {
            found.push(
                Finding::new(
                    key,
                    format!("topic {name} is already the one of {other}"),
                    "give each its own topic: what we write must not come back as input",
                )
                .against(other),
            );
        }
    }
}

fn times(s: &Settings, found: &mut Vec<Finding>) {
    let transaction = s.delivery.transaction_timeout_ms;
    let timeout = "delivery.transaction_timeout_ms";
    if s.delivery.guarantee == Guarantee::ExactlyOnce && transaction >= s.kafka.session_timeout_ms {
        let session = s.kafka.session_timeout_ms;
        found.push(
            Finding::new(
                timeout,
                format!("{transaction} ms is not below the session timeout of {session} ms"),
                "lower it, or raise kafka.session_timeout_ms: a commit that hangs must end before \
                 our partitions go to others",
            )
            .against("kafka.session_timeout_ms"),
        );
    }
    if s.delivery.commit_interval_ms > transaction / 2 {
        found.push(
            Finding::new(
                "delivery.commit_interval_ms",
                format!("{} ms is more than half of {timeout}", s.delivery.commit_interval_ms),
                format!("choose at most {}, or raise {timeout}", transaction / 2),
            )
            .against(timeout),
        );
    }
    if s.shutdown.grace_s.saturating_mul(1_000) <= transaction {
        found.push(
            Finding::new(
                "shutdown.grace_s",
                format!("{} s is not longer than {timeout}", s.shutdown.grace_s),
                format!(
                    "choose more than {} s: the last commit may take so long",
                    transaction / 1_000
                ),
            )
            .against(timeout),
        );
    }
}

fn sizes(s: &Settings, found: &mut Vec<Finding>) {
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let produced = s.memory.producer_bytes();
    for (key, bytes, share, words) in [
        ("delivery.commit_bytes", wide(s.delivery.commit_bytes), produced, "15 %"),
        ("publish.max_message_bytes", wide(s.publish.max_message_bytes), produced, "15 %"),
        (
            "intake.max_payload_mib",
            s.intake.max_payload_mib.saturating_mul(1 << 20),
            s.memory.in_flight_bytes(),
            "half",
        ),
    ] {
        if bytes > share {
            found.push(
                Finding::new(
                    key,
                    format!("{bytes} bytes are more than {words} of memory.budget_mib ({share})"),
                    "lower it, or raise memory.budget_mib",
                )
                .against("memory.budget_mib"),
            );
        }
    }
}

fn passed_properties(s: &Settings, found: &mut Vec<Finding>) {
    for (section, map) in [
        ("kafka.properties", &s.kafka.properties),
        ("kafka.consumer_properties", &s.kafka.consumer_properties),
        ("kafka.producer_properties", &s.kafka.producer_properties),
    ] {
        for (name, value) in map {
            let key = format!("{section}.{name}");
            if let Some((what, remedy)) = properties::refusal(s, name, value) {
                found.push(Finding::new(key, what, remedy));
            } else if let Some(objection) = kafka::objection(name, value) {
                found.push(Finding::new(
                    key,
                    objection,
                    "see librdkafka's CONFIGURATION.md for names and values",
                ));
            }
        }
    }
}

/// Files that are named must be there. The model is not among them: `run` and `check` load it.
fn files(s: &Settings, found: &mut Vec<Finding>) {
    let tls = &s.kafka.tls;
    let student = s.student.labeler == Labeler::Student;
    for (key, path, used) in [
        ("kafka.tls.ca_file", &tls.ca_file, true),
        ("kafka.tls.certificate_file", &tls.certificate_file, tls.enabled),
        ("kafka.tls.key_file", &tls.key_file, tls.enabled),
        ("kafka.sasl.oauth_token_file", &s.kafka.sasl.oauth_token_file, true),
        ("schema_registry.ca_file", &s.schema_registry.ca_file, true),
        ("intake.avro_schema", &s.intake.avro_schema, true),
        ("student.onnxruntime", &s.student.onnxruntime, student),
    ] {
        if !used || path.as_os_str().is_empty() {
            continue;
        }
        let problem = match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => continue,
            Ok(_) => "it is not a file".to_owned(),
            Err(problem) => problem.to_string(),
        };
        found.push(Finding::new(
            key,
            format!("{} cannot be read: {problem}", path.display()),
            "correct the path (relative to the working directory) or the file's rights",
        ));
    }
}
