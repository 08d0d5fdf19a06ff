//! The answer's content and its JSON, good or spoilt.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::answers::Answer;
use super::failures::Fault;
use crate::demo::generator::dice::Dice;
use crate::report::{FindingStatus, LabelledSection, Observation};

/// A piece of the content. The pieces joined are the content.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Natural logarithm of its probability.
    pub(super) logprob: f64,
}

struct Row {
    observation: Observation,
    quote: String,
    status: &'static str,
}

/// The content for an answer: one JSON object, observations in order, spoilt when the fault is one of
/// content.
pub(super) fn content(
    answer: &Answer<'_>,
    report: &[LabelledSection],
    key: u128,
    fault: Option<Fault>,
    details: &mut Dice,
) -> Vec<Token> {
    let mut rows: Vec<Row> = Observation::ALL
        .into_iter()
        .zip(&answer.said)
        .map(|(observation, said)| Row {
            observation,
            quote: said.quote.to_owned(),
            status: said.status.name(),
        })
        .collect();
    match fault {
        Some(Fault::SchemaViolation) => break_schema(&mut rows, details),
        Some(Fault::WrongQuote) => misquote(&mut rows, report),
        Some(Fault::InvalidJson) if details.chance(50) => {
            let mut tokens = Vec::new();
            push_plain(&mut tokens, "I am sorry, but I cannot label this report.");
            return tokens;
        }
        _ => {}
    }
    let mut tokens = render(&rows, key);
    if fault == Some(Fault::InvalidJson) {
        // As when the tokens run out.
        tokens.truncate(tokens.len() / 2);
    }
    tokens
}

fn break_schema(rows: &mut Vec<Row>, details: &mut Dice) {
    let missing = details.chance(50);
    let at = details.below(u32::try_from(rows.len()).unwrap_or_default());
    let at = usize::try_from(at).unwrap_or_default();
    if missing {
        rows.remove(at);
    } else if let Some(row) = rows.get_mut(at) {
        row.status = "possible";
    }
}

/// Gives the first thing mentioned a quote that the report does not have.
fn misquote(rows: &mut [Row], report: &[LabelledSection]) {
    let mentioned = rows.iter().position(|row| !row.quote.is_empty()).unwrap_or(0);
    let Some(row) = rows.get_mut(mentioned) else { return };
    if row.quote.is_empty() {
        row.status = FindingStatus::Negative.name();
    }
    // Some number is not in the report: it ends.
    row.quote = (1..)
        .map(|number: u64| format!("Sentence {number} is not in this report."))
        .find(|quote| !report.iter().any(|section| section.text.expose().contains(quote)))
        .unwrap_or_default();
}

fn render(rows: &[Row], key: u128) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut before = "{";
    for row in rows {
        // A string is always written.
        let quote = serde_json::to_string(&row.quote).unwrap_or_default();
        let name = row.observation.name();
        push_plain(&mut tokens, &format!("{before}\"{name}\":{{\"quote\":{quote},\"status\":\""));
        let logprob = status_logprob(key, row.observation);
        tokens.push(Token { text: row.status.to_owned(), logprob });
        before = "\"},";
    }
    push_plain(&mut tokens, if rows.is_empty() { "{}" } else { "\"}}" });
    tokens
}

/// Cuts in front of blanks and quotation marks, roughly as a tokenizer does. All of it is certain.
fn push_plain(tokens: &mut Vec<Token>, text: &str) {
    let mut token = String::new();
    for c in text.chars() {
        if matches!(c, ' ' | '"') && !token.is_empty() {
            tokens.push(Token { text: std::mem::take(&mut token), logprob: 0.0 });
        }
        token.push(c);
    }
    tokens.push(Token { text: token, logprob: 0.0 });
}

/// How sure the teacher is: a probability of 0.9 to 1, for one status in twenty of 0.5 to 0.9. It
/// depends on the text and the observation alone, and says nothing of how right the status is.
fn status_logprob(key: u128, observation: Observation) -> f64 {
    let [low, high] = [key, key >> 64].map(|half| (half & u128::from(u64::MAX)) as u64);
    let mut dice = Dice::new(low ^ high, observation as u64, "teacher's doubt");
    let (least, most) = if dice.chance(5) { (0.5, 0.9) } else { (0.9, 0.9999) };
    let probability: f64 = least + (most - least) * dice.share();
    probability.ln()
}

/// Tokens as this server counts them: bytes / 4, rounded up.
pub(super) const fn tokens_of(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

/// What the response says beside the content.
pub(super) struct Frame<'m> {
    pub(super) call: u64,
    pub(super) model: &'m str,
    pub(super) logprobs: bool,
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
}

/// The response's JSON.
pub(super) fn response(frame: &Frame<'_>, content: &str, tokens: &[Token]) -> Value {
    let created =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let logprobs = frame.logprobs.then(|| {
        let listed: Vec<Value> = tokens
            .iter()
            .map(|token| {
                json!({
                    "token": token.text,
                    "bytes": token.text.as_bytes(),
                    "logprob": token.logprob,
                    "top_logprobs": [],
                })
            })
            .collect();
        json!({ "content": listed, "refusal": null })
    });
    json!({
        "id": format!("chatcmpl-stub-{}", frame.call),
        "object": "chat.completion",
        "created": created,
        "model": frame.model,
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": { "role": "assistant", "content": content, "refusal": null },
            "logprobs": logprobs,
        }],
        "usage": {
            "prompt_tokens": frame.prompt_tokens,
            "completion_tokens": frame.completion_tokens,
            "total_tokens": frame.prompt_tokens + frame.completion_tokens,
        },
    })
}
