//! The self-test: a model proves at every start, on this machine's runtime and device, that it still
//! says what it said when it was made.

use std::fmt;

use super::StudentError;
use super::labeler::{LabelError, Labeler};
use super::manifest::SelfTestCase;
use super::onnx::{Session, argmax};
use super::tokenize::Encoder;
use crate::report::{
    FindingStatus, LabelledSection, Observation, Phi, ReportText, Scored, SectionKind,
};

/// A label of the self-test that came out otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfTestFailure {
    /// The sentence. It is our own, from the manifest: no report text.
    pub text: String,
    /// The observation that differs.
    pub observation: Observation,
    /// What the manifest says.
    pub expected: FindingStatus,
    /// What the model says.
    pub found: FindingStatus,
    /// How sure the model is of what it says.
    pub confidence: f32,
}

impl fmt::Display for SelfTestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {} should be {}, is {} ({:.2})",
            self.text,
            self.observation.name(),
            self.expected.name(),
            self.found.name(),
            self.confidence
        )
    }
}

/// Runs all cases; every label that differs.
pub(super) fn run(
    cases: &[SelfTestCase],
    encoder: &mut Encoder,
    session: &mut Session,
    length_buckets: &[usize],
) -> Result<Vec<SelfTestFailure>, StudentError> {
    let mut failures = Vec::new();
    for case in cases {
        let encoding = encoder.encode(&as_report(&case.text));
        let fits = |edge: &&usize| **edge >= encoding.len();
        let bucket = length_buckets.iter().find(fits).copied().unwrap_or(encoding.len());
        for scored in session.run(&[&encoding], bucket)? {
            differences(case, &scored, &mut failures);
        }
    }
    Ok(failures)
}

/// Runs all cases through any labeller; every label that differs. It is how one model is held to
/// another's sentences.
///
/// # Errors
/// [`LabelError`] when the labeller fails.
pub fn failures_of(
    labeler: &mut dyn Labeler,
    cases: &[SelfTestCase],
) -> Result<Vec<SelfTestFailure>, LabelError> {
    let texts: Vec<ReportText> = cases.iter().map(|case| as_report(&case.text)).collect();
    let mut failures = Vec::new();
    for (case, scored) in cases.iter().zip(labeler.label(&texts)?) {
        differences(case, &scored, &mut failures);
    }
    Ok(failures)
}

/// A sentence as the student sees a report without headings.
fn as_report(text: &str) -> ReportText {
    ReportText {
        sections: vec![LabelledSection { kind: SectionKind::Body, text: Phi::from(text) }],
        present: vec![SectionKind::Body],
    }
}

fn differences(case: &SelfTestCase, scored: &Scored, failures: &mut Vec<SelfTestFailure>) {
    let rows = Observation::ALL.into_iter().zip(&case.labels).zip(&scored.probabilities);
    for ((observation, expected), row) in rows {
        let column = argmax(row);
        let found = FindingStatus::ALL.get(column).copied().unwrap_or_default();
        if found != *expected {
            failures.push(SelfTestFailure {
                text: case.text.clone(),
                observation,
                expected: *expected,
                found,
                confidence: row.get(column).copied().unwrap_or_default(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{OBSERVATIONS, STATUSES};

    #[test]
    fn only_the_cells_that_differ_are_listed() {
        let mut labels = [FindingStatus::NotMentioned; OBSERVATIONS];
        labels[8] = FindingStatus::Negative;
        labels[9] = FindingStatus::Positive;
        let case = SelfTestCase { text: "Effusion, no pneumothorax.".to_owned(), labels };
        let mut probabilities = [[0.7, 0.1, 0.1, 0.1]; OBSERVATIONS];
        probabilities[8] = [0.0, 0.1, 0.9, 0.0];
        probabilities[9] = [0.1, 0.15, 0.0, 0.75];
        let scored = Scored { probabilities, evidence: [None; OBSERVATIONS], truncated: false };
        assert_eq!(scored.probabilities[0].len(), STATUSES);

        let mut failures = Vec::new();
        differences(&case, &scored, &mut failures);
        let shown: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "\"Effusion, no pneumothorax.\": pleural_effusion should be positive, is uncertain (0.75)"
            ]
        );
    }
}
