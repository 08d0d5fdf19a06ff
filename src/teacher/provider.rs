//! One server that speaks OpenAI's chat completions: one call, and what went wrong with it.
//!
//! `async-openai` makes the requests. It is given our own way to send them, for three reasons: its
//! own retries would stand inside ours; it takes an error whose body is not OpenAI's for a broken
//! answer and forgets the status; and it logs such bodies, which may quote a report.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::{AzureConfig, Config, OpenAIConfig};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::report::Phi;

use super::answer::{AnswerProblem, TokenLogprob};
use super::prompt::{Message, ResponseSchema, response_schema};

mod fault;
mod reply;

pub use fault::CallError;
use reply::Reply;

/// Largest body that is read, bytes. An answer with log-probabilities has some 100 KB.
const LARGEST_BODY: usize = 4 << 20;

/// Whose dialect a server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// `{base_url}/chat/completions`, key as bearer token: OpenAI, vLLM, llama.cpp, Ollama, LiteLLM.
    OpenAi,
    /// `{base_url}/openai/deployments/{model}/chat/completions?api-version=...`, key in `api-key`.
    Azure {
        /// `api-version`, such as `2024-10-21`.
        version: String,
    },
}

/// How the form of the answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFormat {
    /// By schema, and from the first refusal on by JSON mode.
    Auto,
    /// By schema (`response_format` `json_schema`).
    Schema,
    /// JSON mode (`json_object`): the prompt alone says which keys.
    Json,
    /// Not at all.
    None,
}

/// Where and how to call.
#[derive(Clone)]
pub struct ProviderOptions {
    /// Name in metrics, logs and samples.
    pub name: String,
    /// For example `https://api.openai.com/v1`.
    pub base_url: String,
    /// Dialect.
    pub api: Api,
    /// Key; empty where none is wanted.
    pub api_key: String,
    /// Model, or Azure's deployment.
    pub model: String,
    /// On the premises: may be sent text that was not de-identified.
    pub local: bool,
    /// Longest time of one call, connecting included.
    pub timeout: Duration,
    /// How the form of the answer is asked for.
    pub format: AnswerFormat,
    /// Ask for token log-probabilities: the only confidence worth having.
    pub logprobs: bool,
    /// Longest answer, tokens.
    pub max_tokens: u64,
    /// More members of the request, or others in place of ours; null removes one.
    pub request: Map<String, Value>,
    /// PEM file with certificates of authorities to trust besides the system's.
    pub ca_file: Option<std::path::PathBuf>,
    /// Proxy for all calls; `None`: none for a local server, else what the environment says
    /// (`HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<String>,
}

impl fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderOptions")
            .field("name", &self.name)
            .field("model", &self.model)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

/// A provider's settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("teacher provider {name:?}: {problem}")]
pub struct ProviderError {
    /// Which.
    pub name: String,
    /// What is wrong.
    pub problem: String,
}

/// Tokens of a call, as the server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub prompt: u64,
    /// Of the answer.
    pub completion: u64,
    /// The server said so; otherwise this is our estimate.
    pub counted: bool,
}

/// What came back.
#[derive(Clone)]
pub struct Completion {
    /// The answer as written.
    pub content: Phi<String>,
    /// Its tokens, where given.
    pub logprobs: Vec<TokenLogprob>,
    /// Model as the server names it.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// The answer is known to be none: cut off, or declined.
    pub unusable: Option<AnswerProblem>,
}

/// One server.
pub struct Provider {
    options: ProviderOptions,
    client: Client<Box<dyn Config>>,
    /// How many forms of the answer it has refused: the schema, then JSON mode.
    refused: AtomicU8,
}

impl Provider {
    /// Makes the client; calls nobody.
    ///
    /// # Errors
    /// A setting that no client can be made of.
    pub fn new(options: ProviderOptions) -> Result<Self, ProviderError> {
        let wrong = |problem: String| ProviderError { name: options.name.clone(), problem };
        if reqwest::Url::parse(&options.base_url).is_err() {
            return Err(wrong(String::from("base_url is not a URL")));
        }
        // The library's own conversion panics.
        if http::HeaderValue::from_str(&format!("Bearer {}", options.api_key)).is_err() {
            return Err(wrong(String::from("api_key holds characters that no HTTP header may")));
        }
        let mut builder = reqwest::Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            // A redirect would send a report, and the key, to another host.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &options.ca_file {
            let certificates = crate::broker::auth::request::certificates(path)
                .map_err(|problem| wrong(format!("ca_file {}: {problem}", path.display())))?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(proxy) = &options.proxy {
            let proxy = reqwest::Proxy::all(proxy.as_str())
                .map_err(|problem| wrong(format!("proxy: {}", problem.without_url())))?;
            builder = builder.proxy(proxy);
        } else if options.local {
            // What may be sent as received must not pass through a proxy of the environment.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|problem| wrong(problem.to_string()))?;
        let base = options.base_url.trim_end_matches('/');
        let config: Box<dyn Config> = match &options.api {
            Api::OpenAi => Box::new(
                OpenAIConfig::new()
                    .with_api_base(base)
                    .with_api_key(options.api_key.as_str())
                    // Not from the environment: it may be meant for another provider.
                    .with_org_id("")
                    .with_project_id(""),
            ),
            Api::Azure { version } => Box::new(
                AzureConfig::new()
                    .with_api_base(base)
                    .with_api_version(version.as_str())
                    .with_deployment_id(options.model.as_str())
                    .with_api_key(options.api_key.as_str()),
            ),
        };
        let sender = http.clone();
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let http = sender.clone();
            async move { send(&http, request).await.map_err(|e| OpenAIError::Boxed(Box::new(e))) }
        });
        let client = Client::build(http, config).with_http_service(service);
        Ok(Self { options, client, refused: AtomicU8::new(0) })
    }

    /// Its settings.
    pub const fn options(&self) -> &ProviderOptions {
        &self.options
    }

    /// Asks once. `seed` tells votes on one question apart.
    ///
    /// # Errors
    /// [`CallError`]: no answer came.
    pub async fn complete(
        &self,
        conversation: &[Message],
        vote: Option<u32>,
    ) -> Result<Completion, CallError> {
        let format = self.format();
        let result = self.call(conversation, vote, format).await;
        let refused = matches!(result, Err(CallError::FormatRefused));
        if !refused || self.options.format != AnswerFormat::Auto {
            return result;
        }
        let next = match format {
            AnswerFormat::Json => AnswerFormat::None,
            _ => AnswerFormat::Json,
        };
        self.refused.fetch_max(if next == AnswerFormat::Json { 1 } else { 2 }, Ordering::Relaxed);
        tracing::warn!(
            provider = self.options.name,
            from_now_on = ?next,
            "the teacher refuses how the form of its answer is asked for"
        );
        self.call(conversation, vote, next).await
    }

    fn format(&self) -> AnswerFormat {
        match self.options.format {
            AnswerFormat::Auto => match self.refused.load(Ordering::Relaxed) {
                0 => AnswerFormat::Schema,
                1 => AnswerFormat::Json,
                _ => AnswerFormat::None,
            },
            other => other,
        }
    }

    async fn call(
        &self,
        conversation: &[Message],
        vote: Option<u32>,
        format: AnswerFormat,
    ) -> Result<Completion, CallError> {
        let request = self.request(conversation, vote, format);
        let answer: Result<Value, OpenAIError> =
            self.client.chat().create_byot::<&Request, Value>(&request).await;
        match answer {
            Ok(value) => {
                let reply: Reply =
                    serde_json::from_value(value).map_err(|_| CallError::Unreadable)?;
                reply.completion(conversation)
            }
            Err(OpenAIError::Boxed(error)) => match error.downcast::<CallError>() {
                // An answer like any other that is not valid: it may be repaired.
                Ok(error) if matches!(*error, CallError::AnswerUnread { .. }) => {
                    Ok(reply::unread(conversation))
                }
                Ok(error) => Err(*error),
                Err(_) => Err(CallError::Unreadable),
            },
            // Its words may quote the body.
            Err(_) => Err(CallError::Unreadable),
        }
    }

    fn request(
        &self,
        conversation: &[Message],
        vote: Option<u32>,
        format: AnswerFormat,
    ) -> Request {
        let mut members = Map::new();
        members.insert("model".to_owned(), json!(self.options.model));
        members.insert("messages".to_owned(), json!(conversation));
        // One answer: the most probable. Votes differ because chance is let in.
        members.insert("temperature".to_owned(), json!(if vote.is_some() { 0.7 } else { 0.0 }));
        members.insert("seed".to_owned(), json!(vote.unwrap_or(0)));
        members.insert("max_completion_tokens".to_owned(), json!(self.options.max_tokens));
        if self.options.logprobs {
            members.insert("logprobs".to_owned(), json!(true));
        }
        let mut schema = None;
        match format {
            AnswerFormat::Schema | AnswerFormat::Auto => schema = Some(SchemaFormat::default()),
            AnswerFormat::Json => {
                members.insert(RESPONSE_FORMAT.to_owned(), json!({ "type": "json_object" }));
            }
            AnswerFormat::None => {}
        }
        for (name, value) in &self.options.request {
            if name == RESPONSE_FORMAT {
                schema = None;
            }
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        Request { members, schema }
    }
}

/// The member that says in what form the answer is wanted.
const RESPONSE_FORMAT: &str = "response_format";

/// The body of a request.
#[derive(Debug, Serialize)]
struct Request {
    #[serde(flatten)]
    members: Map<String, Value>,
    /// Not a member like the others: a `Value` would put the schema's keys in the order of the
    /// alphabet.
    #[serde(rename = "response_format", skip_serializing_if = "Option::is_none")]
    schema: Option<SchemaFormat>,
}

/// `response_format` with our schema.
#[derive(Debug, Serialize)]
struct SchemaFormat {
    r#type: &'static str,
    json_schema: NamedSchema,
}

#[derive(Debug, Serialize)]
struct NamedSchema {
    name: &'static str,
    strict: bool,
    schema: &'static ResponseSchema,
}

impl Default for SchemaFormat {
    fn default() -> Self {
        let json_schema =
            NamedSchema { name: "radstream_answer", strict: true, schema: response_schema() };
        Self { r#type: "json_schema", json_schema }
    }
}

/// Sends, and reads the whole body. A response that reaches the library is a success and JSON.
async fn send(http: &reqwest::Client, request: HttpRequestFactory) -> Result<Response, CallError> {
    let request = request.build().await.map_err(|_| CallError::Unreadable)?;
    let mut response = http.execute(request).await.map_err(CallError::of_transport)?;
    let status = response.status();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(CallError::of_transport)? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(CallError::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    if status != StatusCode::OK {
        return Err(CallError::of_status(status, &headers, &body));
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        return Err(CallError::Unreadable);
    }
    Ok(Response::from(http::Response::new(body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Observation;

    fn provider(request: Value) -> Provider {
        Provider::new(ProviderOptions {
            name: "stub".into(),
            base_url: "http://127.0.0.1:1/v1".into(),
            api: Api::OpenAi,
            api_key: String::new(),
            model: "stub-teacher".into(),
            local: true,
            timeout: Duration::from_secs(1),
            format: AnswerFormat::Auto,
            logprobs: true,
            max_tokens: 2048,
            request: request.as_object().cloned().unwrap_or_default(),
            ca_file: None,
            proxy: None,
        })
        .unwrap()
    }

    fn body(provider: &Provider, format: AnswerFormat) -> String {
        serde_json::to_string(&provider.request(&[], None, format)).unwrap()
    }

    #[test]
    fn the_schema_names_the_observations_in_the_order_of_the_prompt() {
        // Servers that hold a model to a schema let it write the keys in that order.
        let body = body(&provider(json!({})), AnswerFormat::Auto);
        let mut rest = body.split_once("\"properties\"").unwrap().1;
        for observation in Observation::ALL {
            rest = rest.split_once(&format!("\"{}\"", observation.name())).expect("in order").1;
        }
        let cell = body.split_once("\"$defs\"").unwrap().1;
        assert!(cell.find("\"quote\"") < cell.find("\"status\""), "the quote comes first");
        let read: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read["response_format"]["type"], "json_schema");
        assert_eq!(read["response_format"]["json_schema"]["strict"], true);
        assert_eq!(read["model"], "stub-teacher");
    }

    #[test]
    fn members_of_the_settings_take_the_place_of_ours_or_take_them_out() {
        let read = |provider: &Provider, format| -> Value {
            serde_json::from_str(&body(provider, format)).unwrap()
        };
        let own = provider(json!({"response_format": {"type": "text"}, "temperature": null}));
        let sent = read(&own, AnswerFormat::Auto);
        assert_eq!(sent["response_format"], json!({"type": "text"}));
        assert!(sent.get("temperature").is_none() && sent["seed"] == 0);
        let without = provider(json!({"response_format": null}));
        assert!(read(&without, AnswerFormat::Schema).get("response_format").is_none());
        assert!(read(&without, AnswerFormat::Json).get("response_format").is_none());
    }
}
