//! Whoever labels text: the student, or the rules.

use crate::publish::ModelIdentity;
use crate::report::{ReportText, Scored};

/// Labels texts in bulk.
pub trait Labeler {
    /// One [`Scored`] per text, in input order.
    ///
    /// # Errors
    /// [`LabelError`] when the engine fails. Nothing of the batch is then usable.
    fn label(&mut self, texts: &[ReportText]) -> Result<Vec<Scored>, LabelError>;

    /// Who labels: written on every result.
    fn model(&self) -> &ModelIdentity;
}

/// The labeller could not do its work. Never holds report text.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The inference engine failed.
    #[error("inference failed: {0}")]
    Engine(String),
    /// The engine returned another number of results than it was given texts.
    #[error("{expected} texts were given and {got} results came back")]
    Count {
        /// Texts given.
        expected: usize,
        /// Results returned.
        got: usize,
    },
}
