//! What the server has seen and done.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::failures::Fault;
use super::request::Asked;

/// Most requests that are kept.
const KEPT: usize = 10_000;
/// Most texts that are told apart; further ones are not counted in `distinct_texts`.
const TEXTS: usize = 1_000_000;

/// Numbers since the start. Of the calls (see [`super::Failures`]), each is counted in
/// `answered_well` or under one fault, once that is known: a good one when it is answered, a failing
/// one when it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests to complete a chat, refused ones included.
    pub requests: u64,
    /// Whole and valid answers, none of them slow.
    pub answered_well: u64,
    /// Calls with [`Fault::RateLimited`].
    pub rate_limited: u64,
    /// Calls with [`Fault::ServerError`].
    pub server_error: u64,
    /// Calls with [`Fault::Hang`].
    pub hang: u64,
    /// Calls with [`Fault::Slow`].
    pub slow: u64,
    /// Calls with [`Fault::Cut`].
    pub cut: u64,
    /// Calls with [`Fault::InvalidJson`].
    pub invalid_json: u64,
    /// Calls with [`Fault::SchemaViolation`].
    pub schema_violation: u64,
    /// Calls with [`Fault::WrongQuote`].
    pub wrong_quote: u64,
    /// Requests refused for their key.
    pub refused_auth: u64,
    /// Requests refused for their form: no JSON, no report, a response format not understood.
    pub refused_request: u64,
    /// Connections closed because the server was down.
    pub closed_while_down: u64,
    /// Requests being worked on now.
    pub in_flight: u64,
    /// The most there ever were at once.
    pub most_at_once: u64,
    /// Prompt tokens of all answers with status 200.
    pub prompt_tokens: u64,
    /// Completion tokens of the same.
    pub completion_tokens: u64,
    /// Calls whose labels were recorded ones, failed calls included.
    pub recorded: u64,
    /// Different report texts, white space, case and punctuation aside.
    pub distinct_texts: u64,
    /// Calls for the text that was asked for most often.
    pub most_per_text: u64,
}

impl Counts {
    /// Calls with that fault.
    pub fn of(&self, fault: Fault) -> u64 {
        match fault {
            Fault::RateLimited => self.rate_limited,
            Fault::ServerError => self.server_error,
            Fault::Hang => self.hang,
            Fault::Slow => self.slow,
            Fault::Cut => self.cut,
            Fault::InvalidJson => self.invalid_json,
            Fault::SchemaViolation => self.schema_violation,
            Fault::WrongQuote => self.wrong_quote,
        }
    }

    fn of_mut(&mut self, fault: Fault) -> &mut u64 {
        match fault {
            Fault::RateLimited => &mut self.rate_limited,
            Fault::ServerError => &mut self.server_error,
            Fault::Hang => &mut self.hang,
            Fault::Slow => &mut self.slow,
            Fault::Cut => &mut self.cut,
            Fault::InvalidJson => &mut self.invalid_json,
            Fault::SchemaViolation => &mut self.schema_violation,
            Fault::WrongQuote => &mut self.wrong_quote,
        }
    }
}

/// A request as it arrived. `Debug` gives sizes only: it holds report text.
#[derive(Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// All system messages, joined by a newline.
    pub system: String,
    /// All user messages, joined by a newline.
    pub user: String,
    /// The model asked for; empty where the request names none.
    pub model: String,
    /// How many messages there were, of any role: more than two when an answer was sent back.
    pub messages: usize,
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenRequest")
            .field("system", &format_args!("{} bytes", self.system.len()))
            .field("user", &format_args!("{} bytes", self.user.len()))
            .field("model", &self.model)
            .field("messages", &self.messages)
            .finish()
    }
}

/// Counts and requests, shared by all connections.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    counts: Counts,
    calls: u64,
    per_text: HashMap<u128, u64>,
    seen: VecDeque<Seen>,
}

struct Seen {
    /// Nearly always that of the request before: then it is kept once.
    system: Arc<str>,
    user: String,
    model: String,
    messages: usize,
}

impl Ledger {
    pub(super) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    pub(super) fn requests(&self) -> Vec<SeenRequest> {
        let full = |seen: &Seen| SeenRequest {
            system: seen.system.to_string(),
            user: seen.user.clone(),
            model: seen.model.clone(),
            messages: seen.messages,
        };
        self.0.lock().seen.iter().map(full).collect()
    }

    /// Changes the counts.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().counts);
    }

    /// A request is here, until the value is dropped.
    pub(super) fn arrive(&self) -> Here<'_> {
        self.count(|counts| {
            counts.requests += 1;
            counts.in_flight += 1;
            counts.most_at_once = counts.most_at_once.max(counts.in_flight);
        });
        Here(self)
    }

    /// Keeps what was asked.
    pub(super) fn see(&self, asked: &Asked) {
        let mut book = self.0.lock();
        let system = match book.seen.back() {
            Some(last) if *last.system == *asked.system => Arc::clone(&last.system),
            _ => Arc::from(asked.system.as_str()),
        };
        if book.seen.len() == KEPT {
            book.seen.pop_front();
        }
        book.seen.push_back(Seen {
            system,
            user: asked.user.clone(),
            model: asked.model.clone().unwrap_or_default(),
            messages: asked.messages,
        });
    }

    /// The number of a call for that text.
    pub(super) fn call(&self, text: u128, recorded: bool) -> u64 {
        let mut book = self.0.lock();
        let book = &mut *book;
        if book.per_text.len() < TEXTS || book.per_text.contains_key(&text) {
            let times = book.per_text.entry(text).or_default();
            *times += 1;
            book.counts.most_per_text = book.counts.most_per_text.max(*times);
        }
        book.counts.distinct_texts = u64::try_from(book.per_text.len()).unwrap_or(u64::MAX);
        book.counts.recorded += u64::from(recorded);
        let number = book.calls;
        book.calls += 1;
        number
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.count(|counts| *counts.of_mut(fault) += 1);
    }
}

/// A request being worked on.
pub(super) struct Here<'l>(&'l Ledger);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.in_flight -= 1);
    }
}
