//! A labelled report as `distill/` reads it.

use serde_json::{Map, Value, json};

use super::done::Line;
use crate::report::{
    FindingStatus, LabelledSection, NO_FINDING, Observation, SectionKind, no_finding,
};
use crate::teacher::ask::Given;
use crate::teacher::prompt::{self, Question};

/// The line, but for the hash of its text.
pub(super) fn labelled(id: &str, question: &Question, given: &Given) -> Line {
    let (mut labels, mut weights) = (Map::new(), Map::new());
    let (mut targets, mut quotes) = (Map::new(), Map::new());
    let answered = Observation::ALL.iter().zip(&given.answer.cells).enumerate();
    for (index, (observation, cell)) in answered {
        let name = observation.name();
        if cell.status != FindingStatus::NotMentioned {
            labels.insert(name.to_owned(), json!(cell.status.name()));
        }
        if let Some(weight) = cell.agreement.or(cell.confidence) {
            weights.insert(name.to_owned(), json!(rounded(weight)));
        }
        if let Some(shares) = given.shares.and_then(|shares| shares.get(index).copied()) {
            targets.insert(name.to_owned(), json!(shares.map(rounded)));
        }
        if let Some(quote) = cell.quote {
            quotes.insert(name.to_owned(), json!(quote.text(question.sections())));
        }
    }
    if no_finding(&given.answer.labels()) == FindingStatus::Positive {
        labels.insert(NO_FINDING.to_owned(), json!(FindingStatus::Positive.name()));
    }
    let text = |wanted: fn(SectionKind) -> bool| {
        let matching = |section: &&LabelledSection| wanted(section.kind);
        let texts = question.sections().iter().filter(matching).map(|s| s.text.expose().as_str());
        texts.collect::<Vec<_>>()
    };
    let mut line = Line::new();
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    put("id", json!(id));
    put(
        "findings",
        json!(text(|k| !matches!(k, SectionKind::Impression | SectionKind::Addendum)).join("\n")),
    );
    put("impression", json!(text(|kind| kind == SectionKind::Impression).join("\n")));
    put("labels", Value::Object(labels));
    put("quotes", Value::Object(quotes));
    put("deidentified", json!(question.may_leave()));
    put(
        "teacher",
        json!({
            "provider": *given.provider,
            "model": given.model,
            "prompt_version": prompt::version(),
            "votes": given.votes,
        }),
    );
    let addenda = text(|kind| kind == SectionKind::Addendum);
    for (name, value) in [
        ("addenda", json!(addenda)),
        ("weights", Value::Object(weights)),
        ("targets", Value::Object(targets)),
    ] {
        let empty = value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty);
        if !empty {
            put(name, value);
        }
    }
    line
}

/// Three digits: more are noise.
fn rounded(share: f32) -> f64 {
    (f64::from(share) * 1000.0).round() / 1000.0
}
