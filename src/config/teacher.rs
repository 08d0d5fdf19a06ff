//! Settings of the teacher: whom stage teach and `radstream pseudo-label` ask, and within what bounds.
//!
//! As in [`super::settings`], the doc comment of a field is also its comment in
//! `config/radstream.toml`; those of a provider stand in `docs/TEACHER.md`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// Who gives second opinions, and within what bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teacher {
    /// Servers that speak OpenAI's chat completions, asked in this order: the next only while the one
    /// before is out of order. Default []: none. One looks so (all keys: docs/TEACHER.md):
    /// [[teacher.providers]]
    /// name = "ward-llm"; base_url = "http://127.0.0.1:8000/v1"; model = "..."; local = true
    pub providers: Vec<TeacherProvider>,
    /// Consumer group of stage teach. Default "radstream.teach". Its transactional.id is
    /// `<group>.<kafka.instance_id>`.
    pub group: String,
    /// Escalations that one process works on at once, waiting ones included. 1 to 10000. Default 64.
    /// After a crash at most so many are asked again.
    pub window: usize,
    /// Calls for one report, before it is put off to the retry topic. 1 to 20. Default 5.
    pub attempts: u32,
    /// An escalation that was put off is tried again after this time. Seconds, 1 to 86400. Default 60.
    pub retry_delay_s: u64,
    /// An escalation older than this ends as teacher_failed. Seconds, 60 to 2592000. Default 86400
    /// (a day). Below topics.escalations_retention_hours, or the broker ends it without a word.
    pub give_up_after_s: u64,
    /// Tokens that may be spent on a day (UTC), prompt and answer, by this process since its start.
    /// Default 0: no limit. What comes when they are spent ends as budget_exhausted.
    pub daily_tokens: u64,
    /// The same in money, in the currency of the providers' prices. Default 0.0: no limit.
    pub daily_cost: f64,
    /// Answers remembered by their text, so that the same text is not asked about twice. 0 to 10000000,
    /// about 1 KiB each. Default 10000.
    pub remember: usize,
    /// A student at least so sure is not helped but contradicted by a teacher who differs: a person
    /// should look. 0 to 1. Default 0.95.
    pub review_sure: f64,
    /// A teacher less sure than this is not sure: a person should look. 0 to 1. Default 0.6. Only where
    /// its server gives log-probabilities.
    pub review_unsure: f64,
    /// A person should look when the teacher contradicts a sure student in so many observations.
    /// 1 to 13. Default 3.
    pub review_many: usize,
}

impl Default for Teacher {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            group: "radstream.teach".to_owned(),
            window: 64,
            attempts: 5,
            retry_delay_s: 60,
            give_up_after_s: 86_400,
            daily_tokens: 0,
            daily_cost: 0.0,
            remember: 10_000,
            review_sure: 0.95,
            review_unsure: 0.6,
            review_many: 3,
        }
    }
}

/// A server that speaks OpenAI's chat completions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeacherProvider {
    /// Name in metrics, logs and samples.
    pub name: String,
    /// URL up to the version: `https://api.openai.com/v1`, `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// `openai` (and all that are compatible) or `azure`.
    pub api: TeacherApi,
    /// Azure's `api-version`.
    pub api_version: String,
    /// A text, `{ file = "..." }` or `{ env = "..." }`. Empty where the server wants none.
    pub api_key: Secret,
    /// Model; with Azure the deployment.
    pub model: String,
    /// The server is on the premises: text that could not be de-identified may be sent to it.
    pub local: bool,
    /// Longest time of one call. Seconds, 1 to 3600.
    pub timeout_s: u64,
    /// How the form of the answer is asked for: `auto` (schema, then JSON mode), `schema`, `json`,
    /// `none`.
    pub format: TeacherFormat,
    /// Ask for log-probabilities of tokens: they are the teacher's confidence.
    pub logprobs: bool,
    /// Longest answer, tokens. 256 to 1000000. Models that think need more.
    pub max_tokens: u64,
    /// Calls at once, at most. 1 to 1000. It starts with 4 and finds what the server can take.
    pub concurrency: u32,
    /// Calls a minute, at most; 0: no limit.
    pub requests_per_minute: u32,
    /// Tokens a minute, at most; 0: no limit.
    pub tokens_per_minute: u32,
    /// Price of a million tokens of prompt.
    pub prompt_price: f64,
    /// Price of a million tokens of answer.
    pub completion_price: f64,
    /// PEM file of the authorities that may vouch for the server, besides the system's.
    pub ca_file: PathBuf,
    /// Proxy for all calls. Empty: none for a local server, else `HTTPS_PROXY` and `NO_PROXY` of the
    /// environment. A text, `{ file = "..." }` or `{ env = "..." }`: the URL may hold a password.
    pub proxy: Secret,
    /// More members of the request, such as `reasoning_effort = "low"`; the word `"remove"` takes one
    /// of ours out, such as `temperature`.
    pub request: serde_json::Map<String, serde_json::Value>,
}

impl Default for TeacherProvider {
    fn default() -> Self {
        Self {
            name: String::new(),
            base_url: String::new(),
            api: TeacherApi::Openai,
            api_version: String::new(),
            api_key: Secret::default(),
            model: String::new(),
            local: false,
            timeout_s: 60,
            format: TeacherFormat::Auto,
            logprobs: true,
            max_tokens: 2048,
            concurrency: 16,
            requests_per_minute: 0,
            tokens_per_minute: 0,
            prompt_price: 0.0,
            completion_price: 0.0,
            ca_file: PathBuf::new(),
            proxy: Secret::default(),
            request: serde_json::Map::new(),
        }
    }
}

/// Whose dialect a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the two that there are")]
pub enum TeacherApi {
    Openai,
    Azure,
}

/// How the form of an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in the doc of the setting")]
pub enum TeacherFormat {
    Auto,
    Schema,
    Json,
    None,
}
