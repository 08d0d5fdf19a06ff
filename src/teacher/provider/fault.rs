//! What can go wrong with a call, and what it means: ask again, ask another, or give up.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// No answer came. Holds nothing of request or body but a short code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// HTTP 429.
    #[error("the server limits our rate (HTTP 429{})", described(.code))]
    RateLimited {
        /// How long the server wants us to wait.
        retry_after: Option<Duration>,
        /// The server's code, where it is a short word.
        code: String,
    },
    /// HTTP 408, 5xx, or another that passes by itself.
    #[error("the server is in trouble (HTTP {status})")]
    Server {
        /// Status.
        status: u16,
        /// How long the server wants us to wait.
        retry_after: Option<Duration>,
    },
    /// No answer within the time.
    #[error("no answer within the time")]
    Timeout,
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// An answer that is not what the API says.
    #[error("the answer is not one of the chat completions API")]
    Unreadable,
    /// The server cannot read what its model wrote, and keeps it to itself.
    #[error("the server cannot read its model's answer (HTTP {status})")]
    AnswerUnread {
        /// Status.
        status: u16,
    },
    /// The server does not know the schema form of the answer.
    #[error(
        "the server does not know response_format json_schema (HTTP 400); set format = \"json\""
    )]
    FormatRefused,
    /// HTTP 401 or 403.
    #[error("the key is not accepted (HTTP {status}{}); check api_key", described(.code))]
    Unauthorised {
        /// Status.
        status: u16,
        /// The server's code.
        code: String,
    },
    /// HTTP 404 or a redirect: base URL or model.
    #[error("there is no such model or path (HTTP {status}{}); check base_url and model", described(.code))]
    NotThere {
        /// Status.
        status: u16,
        /// The server's code.
        code: String,
    },
    /// Another 4xx: this request, not this moment, is what the server does not like.
    #[error("the request was refused (HTTP {status}{})", described(.code))]
    Refused {
        /// Status.
        status: u16,
        /// The server's code.
        code: String,
    },
}

fn described(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(", {code}") }
}

impl CallError {
    /// Machine name, as counted (`rate_limited`). Semantic conventions call it `error.type`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::Server { .. } => "server_error",
            Self::Timeout => "timeout",
            Self::Connection(_) => "connection",
            Self::Unreadable => "unreadable",
            Self::AnswerUnread { .. } => "answer_unread",
            Self::FormatRefused => "format_refused",
            Self::Unauthorised { .. } => "unauthorised",
            Self::NotThere { .. } => "not_there",
            Self::Refused { .. } => "refused",
        }
    }

    /// It may go well if asked again.
    pub const fn passes(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Timeout
                | Self::Connection(_)
                | Self::Unreadable
        )
    }

    /// The server, not the question, is at fault: another provider may do.
    pub const fn is_of_the_server(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::AnswerUnread { .. })
    }

    /// The server asks for less.
    pub const fn asks_for_less(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Server { .. } | Self::Timeout)
    }

    /// How long the server wants us to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// What the HTTP client says.
    pub(super) fn of_transport(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // Without the URL, which may name a tenant; the innermost cause says what failed.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Connection(cause.to_string())
    }

    /// What a status that is not 200 means.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let error = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let code = code(&error);
        let retry_after = retry_after(headers, Timestamp::now());
        let number = status.as_u16();
        match number {
            429 => Self::RateLimited { retry_after, code },
            500 if is_about_answer(&error) => Self::AnswerUnread { status: number },
            408 | 409 | 425 | 500.. => Self::Server { status: number, retry_after },
            401 | 403 => Self::Unauthorised { status: number, code },
            404 | 405 | 410 | 300..=399 => Self::NotThere { status: number, code },
            400 | 422 if is_about_format(&error) => Self::FormatRefused,
            _ => Self::Refused { status: number, code },
        }
    }
}

/// `error.code` or `error.type`, if it is a word and not a sentence: sentences may quote.
fn code(body: &Value) -> String {
    let error = body.get("error").unwrap_or(body);
    let is_word = |word: &&str| {
        (1..=48).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    };
    ["code", "type"]
        .iter()
        .find_map(|key| error.get(key)?.as_str().filter(is_word))
        .unwrap_or_default()
        .to_owned()
}

/// Whether the server's words are about the form of the answer. llama.cpp speaks of a "JSON schema"
/// and of the grammar that it makes of it.
fn is_about_format(body: &Value) -> bool {
    says(body, &["response_format", "json_schema", "json schema", "grammar", "structured output"])
}

/// Whether the server's words are about what its model wrote. llama.cpp answers so, with 500, where it
/// is not of the form that was asked for, such as text that is no UTF-8. Asked the same again, the
/// model would write the same.
fn is_about_answer(body: &Value) -> bool {
    says(body, &["produced output that does not match"])
}

/// Whether one of `phrases`, in lower case, stands in what the server says.
fn says(body: &Value, phrases: &[&str]) -> bool {
    let error = body.get("error").unwrap_or(body);
    let words = ["message", "param", "detail"]
        .iter()
        .filter_map(|key| error.get(key).and_then(Value::as_str));
    let mut words = words.chain(error.as_str());
    words.any(|words| {
        let words = words.to_ascii_lowercase();
        phrases.iter().any(|phrase| words.contains(phrase))
    })
}

/// Seconds, or an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wait = at.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> CallError {
        let status = StatusCode::from_u16(status).unwrap();
        CallError::of_status(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn statuses_mean_what_they_say_whatever_the_body() {
        for body in ["", "busy", r#"{"error":{"message":"slow down","code":429}}"#] {
            assert!(matches!(of(429, body), CallError::RateLimited { .. }), "{body}");
        }
        assert!(of(503, "<html>").passes() && of(529, "").passes());
        assert!(!of(401, "").passes() && of(401, "").is_of_the_server());
        assert!(matches!(of(404, ""), CallError::NotThere { .. }));
        assert!(matches!(of(302, ""), CallError::NotThere { .. }), "never followed");
        let refused =
            of(400, r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#);
        assert_eq!(
            refused.to_string(),
            "the request was refused (HTTP 400, context_length_exceeded)"
        );
        assert!(!refused.is_of_the_server());
    }

    #[test]
    fn a_refused_schema_is_told_from_other_refusals() {
        let body = r#"{"error":{"message":"response_format json_schema is not supported"}}"#;
        assert_eq!(of(400, body), CallError::FormatRefused);
        let plain = r#"{"error":"'response_format.type' must be 'json_object'"}"#;
        assert_eq!(of(400, plain), CallError::FormatRefused);
        let llama = r##"{"error":{"code":400,"message":"Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #/properties/a: cannot resolve $ref","type":"invalid_request_error"}}"##;
        assert_eq!(of(400, llama), CallError::FormatRefused);
    }

    #[test]
    fn an_answer_that_the_server_cannot_read_is_no_trouble_of_the_server() {
        let body = r#"{"error":{"code":500,"message":"The model produced output that does not match the expected peg-native format","type":"server_error"}}"#;
        let unread = of(500, body);
        assert_eq!(unread, CallError::AnswerUnread { status: 500 });
        assert!(!unread.passes() && !unread.is_of_the_server() && !unread.asks_for_less());
        let trouble = of(500, r#"{"error":{"code":500,"message":"out of memory"}}"#);
        assert!(trouble.passes(), "{trouble}");
    }

    #[test]
    fn what_the_server_says_is_never_repeated_unless_it_is_a_word() {
        let body = r#"{"error":{"message":"bad: Jane Doe","code":"Jane Doe is bad"}}"#;
        assert!(!of(400, body).to_string().contains("Jane"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-28T07:00:00Z".parse().unwrap();
        let wait = |value: &str| {
            let headers = [(RETRY_AFTER, value.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("Sat, 28 Nov 2026 07:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(wait("Sat, 28 Nov 2026 06:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-3"), Some(Duration::ZERO));
    }
}
