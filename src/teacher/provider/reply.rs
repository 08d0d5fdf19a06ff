//! The answer as servers write it. Only what we need is asked of it: servers differ in the rest.

use serde::Deserialize;

use crate::report::Phi;

use super::super::answer::{AnswerProblem, TokenLogprob};
use super::super::prompt::{Message, estimated_tokens};
use super::{CallError, Completion, Usage};

#[derive(Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Option<ReplyUsage>,
}

#[derive(Deserialize)]
struct Choice {
    message: ReplyMessage,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct ReplyMessage {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<TokenLogprob>>,
}

#[derive(Deserialize)]
struct ReplyUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

impl Reply {
    pub(super) fn completion(self, conversation: &[Message]) -> Result<Completion, CallError> {
        let choice = self.choices.into_iter().next().ok_or(CallError::Unreadable)?;
        let content = choice.message.content.unwrap_or_default();
        let declined = choice.message.refusal.is_some_and(|refusal| !refusal.is_empty());
        let unusable = match choice.finish_reason.as_deref() {
            Some("length") => Some(AnswerProblem::CutOff),
            Some("content_filter") => Some(AnswerProblem::Declined),
            _ if declined => Some(AnswerProblem::Declined),
            _ => None,
        };
        let usage = match self.usage {
            Some(ReplyUsage { prompt_tokens: Some(prompt), completion_tokens }) => {
                let completion = completion_tokens.unwrap_or_default();
                Usage { prompt, completion, counted: true }
            }
            _ => Usage {
                prompt: estimated_tokens(conversation).prompt,
                completion: content.len() as u64 / 4 + 1,
                counted: false,
            },
        };
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        Ok(Completion {
            content: Phi::new(content),
            logprobs,
            model: model_name(&self.model),
            usage,
            unusable,
        })
    }
}

/// Longest name of a model that is kept, in characters.
const LONGEST_NAME: usize = 100;

/// The model's name as it may go into findings: the server writes what it likes.
fn model_name(given: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+-".contains(c);
    given.trim().chars().take(LONGEST_NAME).map(|c| if plain(c) { c } else { '_' }).collect()
}

/// What came when the server could not read what its model wrote: nothing that can be used, but
/// tokens that it will have counted.
pub(super) fn unread(conversation: &[Message]) -> Completion {
    let estimate = estimated_tokens(conversation);
    Completion {
        content: Phi::new(String::new()),
        logprobs: Vec::new(),
        model: String::new(),
        usage: Usage { prompt: estimate.prompt, completion: estimate.completion, counted: false },
        unusable: Some(AnswerProblem::NotJson),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_short_and_plain() {
        let usual = "meta-llama/Llama-3.1-8B-Instruct:Q4_K_M@sha256+x";
        assert_eq!(model_name(usual), usual);
        assert_eq!(model_name(" =HYPERLINK(\"x\")\n\u{202e}é "), "_HYPERLINK__x_____");
        assert_eq!(model_name(&"x".repeat(5_000)).len(), LONGEST_NAME);
        assert_eq!(model_name(""), "");
    }
}
