//! What the teacher answered, checked. Nothing is guessed: an answer that breaks a rule is none.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::report::{
    Evidence, FindingStatus, LabelledSection, Labels, OBSERVATIONS, Observation, SectionKind,
};
use crate::student::sentences::char_offset;

use super::prompt::unfenced_quote;

/// Longest answer that is looked at, bytes. A usual one has 1,500.
const LONGEST: usize = 64 << 10;
/// Shortest quote: below that it stands everywhere.
const SHORTEST_QUOTE: usize = 2;

/// Why an answer cannot be used. It quotes neither the answer nor the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerProblem {
    /// Empty, cut off, too long, or not JSON.
    #[error("it is not one JSON object")]
    NotJson,
    /// The answer ended before its end.
    #[error("it was cut off")]
    CutOff,
    /// The teacher declined.
    #[error("the teacher declined to answer")]
    Declined,
    /// A key is missing, or has not the form.
    #[error("{} is missing, or has not the form {{\"quote\": \"...\", \"status\": \"...\"}}", .0.name())]
    Missing(Observation),
    /// A key that is no observation.
    #[error("it has keys that are none of the 13 observations")]
    UnknownKey,
    /// A status of another vocabulary.
    #[error("the status of {} is none of the four", .0.name())]
    UnknownStatus(Observation),
    /// Mentioned, without a quote.
    #[error("{} has a status but no quote", .0.name())]
    NoQuote(Observation),
    /// The quote does not stand in the report.
    #[error("the quote of {} does not stand in the report", .0.name())]
    QuoteNotInText(Observation),
}

impl AnswerProblem {
    /// Machine name, as counted (`unknown_status`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::CutOff => "cut_off",
            Self::Declined => "declined",
            Self::Missing(_) => "missing",
            Self::UnknownKey => "unknown_key",
            Self::UnknownStatus(_) => "unknown_status",
            Self::NoQuote(_) => "no_quote",
            Self::QuoteNotInText(_) => "quote_not_in_text",
        }
    }
}

/// Where a quote stands in the question: which section, and the characters in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Position of the section in [`super::prompt::Question::sections`].
    pub section: usize,
    /// Its kind.
    pub kind: SectionKind,
    /// First byte in the section's text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Quote {
    /// The text quoted; empty when `sections` are not those of the question.
    pub fn text<'a>(&self, sections: &'a [LabelledSection]) -> &'a str {
        sections
            .get(self.section)
            .and_then(|section| section.text.expose().get(self.start..self.end))
            .unwrap_or_default()
    }

    /// As evidence: characters in place of bytes.
    pub fn evidence(&self, sections: &[LabelledSection]) -> Evidence {
        let text = sections.get(self.section).map_or("", |section| section.text.expose());
        Evidence {
            section: self.kind,
            start: char_offset(text, self.start),
            end: char_offset(text, self.end),
        }
    }
}

/// What the teacher says of one observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TeacherCell {
    /// Its status.
    pub status: FindingStatus,
    /// Where the text says so. `None` when nothing is said of it.
    pub quote: Option<Quote>,
    /// Probability of the words of the status, from token log-probabilities, 0 to 1. `None` when the
    /// server gives none.
    pub confidence: Option<f32>,
    /// Share of the votes for this status, 0 to 1. `None` when there was one vote.
    pub agreement: Option<f32>,
}

impl TeacherCell {
    /// Nothing is said of it.
    pub const fn silent() -> Self {
        Self { status: FindingStatus::NotMentioned, quote: None, confidence: None, agreement: None }
    }
}

/// A valid answer: all observations, in [`Observation::ALL`] order.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// One per observation.
    pub cells: [TeacherCell; OBSERVATIONS],
}

impl Answer {
    /// The statuses.
    pub fn labels(&self) -> Labels {
        self.cells.map(|cell| cell.status)
    }
}

/// A token of the answer with the logarithm of its probability.
#[derive(Clone, Debug, Deserialize)]
pub struct TokenLogprob {
    /// Its text.
    pub token: String,
    /// Natural logarithm.
    pub logprob: f32,
}

/// One entry as written; kept raw where its place in the answer is wanted.
#[derive(Deserialize)]
struct Entry<'a> {
    quote: String,
    #[serde(borrow)]
    status: &'a RawValue,
}

/// Reads and checks an answer to a question about `sections`.
///
/// # Errors
/// The first rule that it breaks.
pub fn read(
    content: &str,
    logprobs: &[TokenLogprob],
    sections: &[LabelledSection],
) -> Result<Answer, AnswerProblem> {
    let json = unfenced(content);
    if json.is_empty() || json.len() > LONGEST {
        return Err(AnswerProblem::NotJson);
    }
    let entries: std::collections::BTreeMap<String, &RawValue> =
        serde_json::from_str(json).map_err(|_| AnswerProblem::NotJson)?;
    if entries.keys().any(|key| Observation::from_name(key).is_none()) {
        return Err(AnswerProblem::UnknownKey);
    }
    let places = token_places(content, logprobs);
    let mut cells = Vec::with_capacity(OBSERVATIONS);
    for observation in Observation::ALL {
        let raw = entries.get(observation.name()).ok_or(AnswerProblem::Missing(observation))?;
        let entry: Entry<'_> =
            serde_json::from_str(raw.get()).map_err(|_| AnswerProblem::Missing(observation))?;
        let status =
            status_of(entry.status.get()).ok_or(AnswerProblem::UnknownStatus(observation))?;
        let quote = quote_of(observation, status, &entry.quote, sections)?;
        let at = offset_in(content, entry.status.get());
        let confidence = at.and_then(|at| confidence(&places, at, entry.status.get().len()));
        cells.push(TeacherCell { status, quote, confidence, agreement: None });
    }
    let cells = cells.try_into().map_err(|_| AnswerProblem::NotJson)?;
    Ok(Answer { cells })
}

/// The object, without the Markdown fence that models like to put around it.
fn unfenced(content: &str) -> &str {
    let trimmed = content.trim();
    let inner = trimmed.strip_prefix("```json").or_else(|| trimmed.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).map_or(trimmed, str::trim)
}

fn status_of(raw: &str) -> Option<FindingStatus> {
    let name: String = serde_json::from_str(raw).ok()?;
    FindingStatus::ALL.into_iter().find(|status| status.name() == name)
}

fn quote_of(
    observation: Observation,
    status: FindingStatus,
    quote: &str,
    sections: &[LabelledSection],
) -> Result<Option<Quote>, AnswerProblem> {
    let quote = quote.trim();
    if status == FindingStatus::NotMentioned {
        // What it may have quoted all the same supports nothing.
        return Ok(None);
    }
    if quote.chars().filter(|c| c.is_alphanumeric()).count() < SHORTEST_QUOTE {
        return Err(AnswerProblem::NoQuote(observation));
    }
    // As it was sent, or as it stands in the report.
    let original = unfenced_quote(quote);
    let found = sections.iter().enumerate().find_map(|(index, section)| {
        let text = section.text.expose();
        let (start, end) = locate(text, quote).or_else(|| locate(text, &original))?;
        Some(Quote { section: index, kind: section.kind, start, end })
    });
    found.map(Some).ok_or(AnswerProblem::QuoteNotInText(observation))
}

/// Where `quote` stands in `text`: word for word, whatever the case, the white space, the kind of
/// quotation marks and the full stop after it. Those are what models change when they copy.
fn locate(text: &str, quote: &str) -> Option<(usize, usize)> {
    if let Some(start) = text.find(quote) {
        return Some((start, start + quote.len()));
    }
    let wanted = quote.trim_end_matches(['.', ',', ';', ':', '\u{2026}']).trim();
    let wanted: Vec<char> = folded(wanted).map(|(_, c)| c).collect();
    let found: Vec<(usize, char)> = folded(text).collect();
    if wanted.is_empty() || wanted.len() > found.len() {
        return None;
    }
    let at = found
        .windows(wanted.len())
        .position(|window| window.iter().map(|(_, c)| c).eq(wanted.iter()))?;
    let start = found.get(at)?.0;
    let (last, _) = *found.get(at + wanted.len() - 1)?;
    let end = last + text.get(last..)?.chars().next()?.len_utf8();
    Some((start, end))
}

/// Characters with their places: lower case, runs of white space as one space.
fn folded(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut blank = true;
    text.char_indices().filter_map(move |(at, c)| {
        if c.is_whitespace() {
            let first = !blank;
            blank = true;
            return first.then_some((at, ' '));
        }
        blank = false;
        let plain = match c {
            '\u{2018}' | '\u{2019}' => '\'',
            '\u{201c}' | '\u{201d}' => '"',
            '\u{2010}'..='\u{2015}' => '-',
            other => other.to_lowercase().next().unwrap_or(other),
        };
        Some((at, plain))
    })
}

/// Byte ranges of the tokens, when together they are the answer; otherwise none is trusted.
fn token_places(content: &str, logprobs: &[TokenLogprob]) -> Vec<(usize, usize, f32)> {
    let mut at = 0;
    let mut places = Vec::with_capacity(logprobs.len());
    for token in logprobs {
        if !content.get(at..).is_some_and(|rest| rest.starts_with(&token.token)) {
            return Vec::new();
        }
        places.push((at, at + token.token.len(), token.logprob));
        at += token.token.len();
    }
    if at == content.len() { places } else { Vec::new() }
}

/// Byte offset of `part`, a slice of `content`.
fn offset_in(content: &str, part: &str) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(content.as_ptr() as usize)?;
    (content.get(at..at + part.len())? == part).then_some(at)
}

/// Probability of the tokens that spell the status, without its quotation marks.
fn confidence(places: &[(usize, usize, f32)], at: usize, length: usize) -> Option<f32> {
    let (first, last) = (at + 1, at + length.saturating_sub(1));
    let inside = |(start, end, _): &&(usize, usize, f32)| *start < last && *end > first;
    let mut covered = places.iter().filter(inside).peekable();
    covered.peek()?;
    let total: f32 = covered.map(|(_, _, logprob)| logprob).sum();
    total.is_finite().then(|| total.exp().clamp(0.0, 1.0))
}

#[cfg(test)]
#[path = "answer/tests.rs"]
mod tests;
