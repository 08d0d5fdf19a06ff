//! Why the gate could not be asked, and the exit code of it.

use std::path::PathBuf;

use crate::command::evaluate::EvaluateFailure;
use crate::command::exit;
use crate::promotion::store::{StoreError, Version};
use crate::student::StudentError;
use crate::student::labeler::LabelError;

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum PromoteFailure {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// There is nothing to compare with.
    #[error(
        "{} holds no model in service yet; install the first with `radstream promote --initial DIR`",
        .0.display()
    )]
    Empty(PathBuf),
    /// There is a model already.
    #[error(
        "{} has a model in service ({version}): a challenger has to pass the gate; leave out --initial",
        store.display()
    )]
    NotEmpty {
        /// The store.
        store: PathBuf,
        /// The model in service.
        version: Version,
    },
    /// No gold set is named.
    #[error("no gold set to judge on; set promotion.gold, or give --gold FILE")]
    NoGold,
    /// A gold set without texts.
    #[error(
        "{}: {without} of {of} reports have no text to label (findings, impression or text)",
        path.display()
    )]
    NoText {
        /// The gold set.
        path: PathBuf,
        /// Reports without text.
        without: usize,
        /// Reports.
        of: usize,
    },
    /// A gold set cannot be read.
    #[error("{message}")]
    Gold {
        /// What is wrong.
        message: String,
        /// Exit code.
        code: u8,
    },
    /// The model in service cannot be loaded.
    #[error("the model in service cannot be loaded, so there is nothing to compare with: {0}")]
    Champion(StudentError),
    /// A model failed.
    #[error("the model in service failed: {0}")]
    Label(#[from] LabelError),
    /// A plot could not be drawn.
    #[error("{0}")]
    Plot(String),
}

impl From<EvaluateFailure> for PromoteFailure {
    fn from(failure: EvaluateFailure) -> Self {
        Self::Gold { message: failure.to_string(), code: failure.exit_code() }
    }
}

impl PromoteFailure {
    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(problem) => of_store_error(problem),
            Self::Empty(_) | Self::NotEmpty { .. } | Self::NoGold => exit::USAGE,
            Self::NoText { .. } => exit::DATA,
            Self::Gold { code, .. } => *code,
            Self::Champion(_) => exit::CONFIGURATION,
            Self::Label(_) | Self::Plot(_) => exit::INTERNAL,
        }
    }
}

/// The exit code of a store that cannot be used.
pub(in crate::command) const fn of_store_error(problem: &StoreError) -> u8 {
    match problem {
        StoreError::Locked { .. } => exit::TEMPORARY,
        StoreError::Io { .. } | StoreError::Copy(_) => exit::IO,
        StoreError::Astray { .. } | StoreError::History { .. } | StoreError::Model(_) => exit::DATA,
        StoreError::NoVersion { .. } => exit::USAGE,
    }
}
