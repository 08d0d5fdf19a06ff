//! The teacher: a large language model that gives a second opinion on a report, and the labels that
//! students are distilled from. Behind any API that speaks OpenAI's chat completions.
//!
//! * [`prompt`] — what is asked. Pure; its fixed part has a version.
//! * [`answer`] — what was answered, checked against schema, vocabulary and text. Pure.
//! * [`merge`] — student and teacher become one revision. Pure.
//! * [`provider`] — one server: one call, its faults told apart.
//! * [`limits`], [`breaker`], [`spend`] — how fast, whether, and for how much it is asked.
//! * [`ask`] — providers in order, one retry loop, one repair, a cache of texts.
//!
//! Fails closed: text that was not de-identified goes to local providers only ([`prompt::Question`]),
//! and an answer that is not valid is none. There is no default status.

pub mod answer;
pub mod ask;
pub mod breaker;
pub mod limits;
pub mod merge;
pub mod prompt;
pub mod provider;
pub mod spend;
