//! What a workflow sees when something it asked for does not come.

use crate::activity::{ActivityError, Next};
use crate::journal::body::RunError;

/// A workflow's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step, a child or the workflow itself failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A call failed for good.
    #[error("{error}")]
    Step {
        /// The step's key.
        step: String,
        /// The agent that was asked, if one was.
        agent: Option<String>,
        /// Why.
        error: Box<ActivityError>,
    },
    /// A child run did not complete.
    #[error("{0}")]
    Child(RunError),
    /// The workflow gives up with a reason of its own.
    #[error("{0}")]
    Workflow(RunError),
}

impl Error {
    /// A failure the workflow itself declares.
    pub fn workflow(class: &str, message: impl Into<String>) -> Self {
        Self::Workflow(RunError::new(class, message))
    }

    /// The contract's error class.
    #[must_use]
    pub fn class(&self) -> &str {
        match self {
            Self::Step { error, .. } => &error.class,
            Self::Child(error) | Self::Workflow(error) => &error.class,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn next(&self) -> Next {
        match self {
            Self::Step { error, .. } => error.next.clone(),
            Self::Child(_) | Self::Workflow(_) => Next::Never,
        }
    }

    /// The form in which a run's failure is journaled and shown.
    #[must_use]
    pub fn into_run_error(self) -> RunError {
        match self {
            Self::Step { step, agent, error } => {
                RunError { class: error.class, message: error.message, step: Some(step), agent }
            }
            Self::Child(error) | Self::Workflow(error) => error,
        }
    }
}
