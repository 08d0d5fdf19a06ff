//! A rule-based labeller: mention, denial, hedge, and the reach of each.
//!
//! It needs no model: the baseline that the student must beat, a self-check, and a stand-in teacher
//! for people without an LLM. It follows the labelling guide with our own phrases, sentence by
//! sentence:
//!
//! 1. [`lexicon`] finds mentions; the longest phrase wins.
//! 2. [`silhouette`] pairs heart and mediastinum with what is said of their size.
//! 3. [`scope`] weighs denial and hedges ([`cues`]) that reach a mention.
//! 4. Over the report, positive beats uncertain beats negative (guide, rule 16).
//!
//! Pure: no I/O, no clock, no state.

mod cues;
mod lexicon;
mod scan;
mod scope;
mod silhouette;
#[cfg(test)]
mod tests;

use crate::publish::{ModelIdentity, hex};
use crate::report::{
    Evidence, FindingStatus, OBSERVATIONS, Observation, ReportText, STATUSES, Scored,
};
use crate::student::labeler::{LabelError, Labeler};
use crate::student::sentences::{char_offset, sentences};

use cues::{CUES, Cue};
use lexicon::{PHRASES, SHAPES, SUBJECTS, Shape, Stance};
use scan::Scanner;

/// What a phrase mentions, each with its stance.
type Mentioned = &'static [(Observation, Stance)];

/// The labeller. Build it once: it compiles its tables.
pub struct RuleLabeler {
    identity: ModelIdentity,
    phrases: Scanner<Mentioned>,
    subjects: Scanner<&'static [Observation]>,
    shapes: Scanner<Shape>,
    cues: Scanner<Cue>,
}

impl Default for RuleLabeler {
    fn default() -> Self {
        Self::new()
    }
}

impl RuleLabeler {
    /// Compiles the tables.
    pub fn new() -> Self {
        Self {
            identity: identity(),
            phrases: Scanner::new(PHRASES.iter().copied()),
            subjects: Scanner::new(SUBJECTS.iter().copied()),
            shapes: Scanner::new(SHAPES.iter().copied()),
            cues: Scanner::new(CUES.iter().copied()),
        }
    }

    /// Labels one report. Evidence is the first sentence that gives the chosen status.
    pub fn label(&self, text: &ReportText) -> Scored {
        let mut found: [Option<(FindingStatus, Evidence)>; OBSERVATIONS] = [None; OBSERVATIONS];
        for section in &text.sections {
            let whole = section.text.expose();
            for range in sentences(whole) {
                let Some(sentence) = whole.get(range.clone()) else { continue };
                let mut span = None;
                for (observation, status) in self.statements(sentence) {
                    let Some(cell) = found.get_mut(observation as usize) else { continue };
                    if cell.is_some_and(|(known, _)| strength(known) >= strength(status)) {
                        continue;
                    }
                    let (start, end) = *span.get_or_insert_with(|| {
                        (char_offset(whole, range.start), char_offset(whole, range.end))
                    });
                    *cell = Some((status, Evidence { section: section.kind, start, end }));
                }
            }
        }
        Scored {
            probabilities: found.map(|cell| distribution(cell.map(|(status, _)| status))),
            evidence: found.map(|cell| cell.map(|(_, evidence)| evidence)),
            truncated: false,
        }
    }

    /// What one sentence states, in order; an observation may occur more than once.
    fn statements(&self, sentence: &str) -> Vec<(Observation, FindingStatus)> {
        let sentence = normalise(sentence);
        let phrases = self.phrases.scan(&sentence);
        let subjects = self.subjects.scan(&sentence);
        if phrases.is_empty() && subjects.is_empty() {
            return Vec::new();
        }
        let cues = self.cues.scan(&sentence);
        let mut mentions: Vec<scope::Mention> = phrases
            .iter()
            .flat_map(|hit| {
                let span = hit.span.clone();
                hit.tag.iter().map(move |&(observation, stance)| scope::Mention {
                    observation,
                    stance,
                    span: span.clone(),
                })
            })
            .collect();
        if !subjects.is_empty() {
            let shapes = self.shapes.scan(&sentence);
            silhouette::pair(&sentence, &subjects, &shapes, &cues, &mut mentions);
            mentions.sort_by_key(|mention| mention.span.start);
        }
        scope::weigh(&sentence, &mentions, &cues)
    }
}

impl Labeler for RuleLabeler {
    fn label(&mut self, texts: &[ReportText]) -> Result<Vec<Scored>, LabelError> {
        Ok(texts.iter().map(|text| RuleLabeler::label(self, text)).collect())
    }

    fn model(&self) -> &ModelIdentity {
        &self.identity
    }
}

/// Name and version of the rules. The hash is over the tables: another table is another model.
fn identity() -> ModelIdentity {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (tag, pattern) in PHRASES {
        hash.update(format!("{tag:?}\t{pattern}\n"));
    }
    for (tag, pattern) in SUBJECTS {
        hash.update(format!("{tag:?}\t{pattern}\n"));
    }
    for (tag, pattern) in SHAPES {
        hash.update(format!("{tag:?}\t{pattern}\n"));
    }
    for (tag, pattern) in CUES {
        hash.update(format!("{tag:?}\t{pattern}\n"));
    }
    ModelIdentity {
        name: "rules".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: hex(&hash.finalize()),
    }
}

/// Positive beats uncertain beats negative.
pub(crate) const fn strength(status: FindingStatus) -> u8 {
    match status {
        FindingStatus::NotMentioned => 0,
        FindingStatus::Negative => 1,
        FindingStatus::Uncertain => 2,
        FindingStatus::Positive => 3,
    }
}

/// Rows: the status that the rules chose. Columns: how often each status was the true one. Counted
/// on the 1,840 reports of the corpus in `distill/corpus`, all observations together; each row sums
/// to 1.
const CALIBRATED: [[f32; STATUSES]; STATUSES] = [
    [0.973, 0.006, 0.017, 0.004],
    [0.012, 0.891, 0.039, 0.058],
    [0.005, 0.013, 0.972, 0.010],
    [0.013, 0.043, 0.031, 0.913],
];

fn distribution(status: Option<FindingStatus>) -> [f32; STATUSES] {
    let [none, positive, negative, uncertain] = CALIBRATED;
    match status.unwrap_or_default() {
        FindingStatus::NotMentioned => none,
        FindingStatus::Positive => positive,
        FindingStatus::Negative => negative,
        FindingStatus::Uncertain => uncertain,
    }
}

/// Lower case, single blanks, plain quotes, `xxxx` for every masked word.
fn normalise(sentence: &str) -> String {
    let mut out = String::with_capacity(sentence.len());
    for word in sentence.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if word.starts_with("__") {
            out.push_str("xxxx");
            out.extend(word.chars().skip_while(|c| *c == '_'));
            continue;
        }
        for c in word.chars() {
            match c {
                '\u{2018}' | '\u{2019}' => out.push('\''),
                '\u{2010}'..='\u{2015}' => out.push('-'),
                _ => out.push(c.to_ascii_lowercase()),
            }
        }
    }
    out
}
