//! De-identification: report text that may leave for a teacher that is not local, and may be kept
//! for training.
//!
//! First what the message itself says of people ([`KnownIdentifier`]), wherever it stands in the
//! text; then patterns: the 18 kinds of the HIPAA Safe Harbor rule, 45 CFR 164.514(b)(2), as far as
//! text can hold them. Each is replaced by a stand-in that keeps the sentence readable (`Person A`).
//! Words of medicine stay: Foley, Swan-Ganz, Kerley, and a patient's surname `Stone` does not take
//! the stones out of the findings.
//!
//! It fails closed. What cannot be done is a [`Refused`], never a text half done. And it is no proof:
//! names that neither the message nor the sentence gives away stay, so a [`Deidentified`] is still
//! wrapped in [`Phi`] and is not for logs.
//!
//! Pure: no clock, no I/O, no chance. The same input gives the same output.

mod dates;
mod known;
mod leaks;
mod lexicon;
mod name_run;
mod names;
mod numbers;
mod people;
mod places;
mod span;
mod surrogate;
mod words;

#[cfg(test)]
mod tests;

use crate::report::{LabelledSection, Phi};

pub use crate::report::{KnownIdentifier, KnownKind};
pub use span::Kind;

use known::Known;
use span::{Span, union};
use surrogate::Surrogates;

/// Names the rules in this module. It changes whenever their output may change, and travels with
/// every sample.
pub const POLICY_VERSION: &str = "safe-harbor-1";

/// Longest text of a report, in bytes, all sections together.
const LONGEST_TEXT: usize = 256 << 10;
/// Passes until nothing more is found. One does nearly all, the second sees what it uncovered.
const PASSES: usize = 6;

/// Why a report's text was not de-identified. A code: nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// No section has text.
    #[error("there is no text to de-identify")]
    NoText,
    /// More than 256 KiB of text, 512 identifiers, or 1,024 bytes in one of them.
    #[error("the text or its list of identifiers is too long to de-identify")]
    TooLong,
    /// Control, invisible or replacement characters, mixed alphabets in a word, or digits that are
    /// not ASCII: an identifier could hide behind them.
    #[error("the text has characters that can hide an identifier")]
    HiddenCharacters,
    /// The message does not name the patient, so the name cannot be looked for.
    #[error("the patient's name is not known")]
    PatientUnknown,
    /// A known identifier is still there.
    #[error("a known identifier remains in the text")]
    KnownRemains,
    /// Something dense stays that looks like an identifier: long digits, an address of a computer,
    /// encoded data.
    #[error("something that looks like an identifier remains in the text")]
    LooksIdentifying,
    /// Each pass uncovered something more.
    #[error("the text still changes after the last pass")]
    Unsettled,
}

impl Refused {
    /// Machine name, as counted (`known_remains`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoText => "no_text",
            Self::TooLong => "too_long",
            Self::HiddenCharacters => "hidden_characters",
            Self::PatientUnknown => "patient_unknown",
            Self::KnownRemains => "known_remains",
            Self::LooksIdentifying => "looks_identifying",
            Self::Unsettled => "unsettled",
        }
    }
}

/// Replacements made, by [`Kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u32; Kind::ALL.len()]);

impl Counts {
    /// Replacements of one kind.
    pub fn of(&self, kind: Kind) -> u32 {
        self.0.get(kind as usize).copied().unwrap_or_default()
    }

    /// Replacements of all kinds.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    fn add(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
    }
}

/// A report's text after de-identification: the only text that a teacher outside of the premises,
/// or a training sample, may be given.
///
/// Only [`Deidentifier::apply`] makes one; there is no other constructor and no `Deserialize`, so a
/// function that takes a `Deidentified` cannot be handed a report as received.
///
/// ```compile_fail
/// let forged = radstream::deidentify::Deidentified { sections: vec![], counts: Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deidentified {
    sections: Vec<LabelledSection>,
    counts: Counts,
}

impl Deidentified {
    /// The sections, in the order given.
    pub fn sections(&self) -> &[LabelledSection] {
        &self.sections
    }

    /// What was replaced.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The rules that made it: [`POLICY_VERSION`].
    pub const fn policy(&self) -> &'static str {
        POLICY_VERSION
    }
}

/// Takes what identifies people out of report text.
#[derive(Clone, Copy, Debug)]
pub struct Deidentifier {
    needs_patient: bool,
}

impl Default for Deidentifier {
    /// Refuses a report whose message does not name its patient.
    fn default() -> Self {
        Self { needs_patient: true }
    }
}

impl Deidentifier {
    /// For text that comes without a message, as in a file of reports: patterns, and whatever is
    /// known. Names in running text are then found only where the sentence says that they are names.
    pub const fn without_message() -> Self {
        Self { needs_patient: false }
    }

    /// Replaces known identifiers, then patterns, in all sections of one report.
    ///
    /// The result is a fixed point: applied again, with the same identifiers, nothing changes.
    ///
    /// # Errors
    ///
    /// [`Refused`] when it cannot be done or was not done; the text must then go nowhere.
    pub fn apply(
        &self,
        sections: &[LabelledSection],
        known: &[KnownIdentifier],
    ) -> Result<Deidentified, Refused> {
        let length: usize = sections.iter().map(|section| section.text.expose().len()).sum();
        if sections.iter().all(|section| section.text.expose().trim().is_empty()) {
            return Err(Refused::NoText);
        }
        let too_long = |identifier: &KnownIdentifier| {
            identifier.value.expose().len() > KnownIdentifier::LONGEST
        };
        if length > LONGEST_TEXT
            || known.len() > KnownIdentifier::MOST
            || known.iter().any(too_long)
        {
            return Err(Refused::TooLong);
        }
        if sections.iter().any(|section| leaks::hides_characters(section.text.expose())) {
            return Err(Refused::HiddenCharacters);
        }
        let compiled = Known::compile(known);
        if self.needs_patient && !compiled.names_patient() {
            return Err(Refused::PatientUnknown);
        }

        let mut counts = Counts::default();
        let mut texts: Vec<String> =
            sections.iter().map(|section| section.text.expose().clone()).collect();
        let mut surrogates = Surrogates::new(texts.iter().map(String::as_str));
        let mut settled = false;
        for _ in 0..PASSES {
            let mut changed = false;
            for text in &mut texts {
                let spans = find(text, &compiled);
                changed |= !spans.is_empty();
                *text = rewrite(text, &spans, &mut surrogates, &mut counts);
            }
            if !changed {
                settled = true;
                break;
            }
        }
        if !settled {
            return Err(Refused::Unsettled);
        }
        for text in &texts {
            leaks::check(text, &compiled)?;
        }
        let sections = sections
            .iter()
            .zip(texts)
            .map(|(section, text)| LabelledSection { kind: section.kind, text: Phi::new(text) });
        Ok(Deidentified { sections: sections.collect(), counts })
    }
}

/// Everything in a text that identifies, without overlaps, in order.
fn find(text: &str, known: &Known) -> Vec<Span> {
    let words = words::words(text);
    let kept = surrogate::places(text);
    let mut found = known.find(text, &words, &kept);
    dates::find(text, &mut found);
    numbers::find(text, &mut found);
    places::find(text, &words, &mut found);
    people::find(text, &words, &kept, known, &mut found);
    found.retain(|span| !surrogate::covers(&kept, span.start, span.end));
    union(found)
}

/// The text with each span replaced.
fn rewrite(text: &str, spans: &[Span], surrogates: &mut Surrogates, counts: &mut Counts) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut done = 0;
    for span in spans {
        rewritten.push_str(text.get(done..span.start).unwrap_or_default());
        // A stand-in is a word of its own, or the next pass does not know it: "07/01/19Seen".
        if rewritten.ends_with(is_of_word) {
            rewritten.push(' ');
        }
        rewritten.push_str(&surrogates.stand_in(span));
        if text.get(span.end..).is_some_and(|rest| rest.starts_with(is_of_word)) {
            rewritten.push(' ');
        }
        counts.add(span.kind);
        done = span.end;
    }
    rewritten.push_str(text.get(done..).unwrap_or_default());
    rewritten
}

/// Letters, digits, and whatever else is not plainly between words.
fn is_of_word(c: char) -> bool {
    match c {
        '\u{2010}'..='\u{2027}' | '\u{a0}' | '°' | '·' => false,
        c if c.is_ascii() => c.is_ascii_alphanumeric() || c == '_',
        c => !c.is_whitespace(),
    }
}
