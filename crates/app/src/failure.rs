//! Why a request itself failed: one value, which each edge writes in its own dialect. A run's failure is data, not this.

use crate::FieldError;
use std::time::Duration;
use tutti_engine::driver::{Busy, SubmitError};
use tutti_engine::ports::store::StoreError;
use tutti_engine::run::RunId;

/// The contract's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's words, explained there")]
pub enum Class {
    BadRequest,
    Validation,
    AuthenticationError,
    PermissionDenied,
    BudgetExceeded,
    NotFound,
    MethodNotAllowed,
    Conflict,
    PreconditionFailed,
    PayloadTooLarge,
    UnsupportedMediaType,
    RateLimited,
    HeadersTooLarge,
    LlmError,
    AgentError,
    DataError,
    ToolError,
    Unavailable,
    Timeout,
    InternalError,
}

impl Class {
    /// Every class.
    pub const ALL: &'static [Self] = &[
        Self::BadRequest,
        Self::Validation,
        Self::AuthenticationError,
        Self::PermissionDenied,
        Self::BudgetExceeded,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::LlmError,
        Self::AgentError,
        Self::DataError,
        Self::ToolError,
        Self::Unavailable,
        Self::Timeout,
        Self::InternalError,
    ];

    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Validation => "ValidationError",
            Self::AuthenticationError => "AuthenticationError",
            Self::PermissionDenied => "PermissionDenied",
            Self::BudgetExceeded => "BudgetExceeded",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::Conflict => "Conflict",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::RateLimited => "RateLimited",
            Self::HeadersTooLarge => "HeadersTooLarge",
            Self::LlmError => "LlmError",
            Self::AgentError => "AgentError",
            Self::DataError => "DataError",
            Self::ToolError => "ToolError",
            Self::Unavailable => "Unavailable",
            Self::Timeout => "Timeout",
            Self::InternalError => "InternalError",
        }
    }
}

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same request again, not before `after`.
    Retry {
        /// How long to wait.
        after: Duration,
    },
    /// Another request.
    Fix,
    /// Somebody has to decide or to grant.
    Person,
    /// Nothing.
    Never,
}

/// Why a request itself failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The contract's class.
    pub class: Class,
    /// What failed, where, what to do.
    pub message: String,
    /// Every wrong field, for [`Class::Validation`].
    pub fields: Vec<FieldError>,
    /// When the same request may be tried again.
    pub retry_after: Option<Duration>,
    /// Ids of what is known: `run_id` → …
    pub ids: Vec<(&'static str, String)>,
    /// What really happened, for the log alone: an edge writes it there beside the request's id and never sends it.
    pub cause: Option<String>,
}

impl Failure {
    /// A failure of a class.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), fields: Vec::new(), retry_after: None, ids: Vec::new(), cause: None }
    }

    /// A request whose fields are wrong.
    #[must_use]
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let message = match fields.as_slice() {
            [one] => format!("{}: {}", one.path(), one.msg),
            all => format!("{} fields are wrong", all.len()),
        };
        Self { fields, ..Self::new(Class::Validation, message) }
    }

    /// There is no such thing, or it belongs to somebody else.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Class::NotFound, message)
    }

    /// The caller may not.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Class::PermissionDenied, message)
    }

    /// It does not go together with what is there.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Class::Conflict, message)
    }

    /// Not now.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Class::Unavailable, message) }
    }

    /// A fault of ours: the caller learns only where to look.
    pub fn internal(cause: impl Into<String>) -> Self {
        let message = "something went wrong here; the log has the details under this request_id";
        Self { cause: Some(cause.into()), ..Self::new(Class::InternalError, message) }
    }

    /// The same failure, naming a run.
    #[must_use]
    pub fn with_run(mut self, id: RunId) -> Self {
        self.ids.push(("run_id", id.to_string()));
        self
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match (self.class, self.retry_after) {
            (_, Some(after)) => Remedy::Retry { after },
            (
                Class::Unavailable
                | Class::Timeout
                | Class::LlmError
                | Class::AgentError
                | Class::DataError
                | Class::ToolError,
                None,
            ) => Remedy::Retry { after: Duration::from_secs(1) },
            (Class::AuthenticationError | Class::PermissionDenied | Class::BudgetExceeded, None) => Remedy::Person,
            (Class::InternalError, None) => Remedy::Never,
            _ => Remedy::Fix,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = error.to_string();
        match error {
            StoreError::Unavailable(_) => {
                let sentence = "the store is not available right now; try again";
                Self { cause: Some(cause), ..Self::unavailable(sentence, Duration::from_secs(1)) }
            }
            StoreError::Damaged(_) => Self::internal(cause),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy(Busy { what, retry_after }) => Self::unavailable(what, retry_after),
            SubmitError::OnceConflict { id } => {
                Self::conflict("this Idempotency-Key was used with another request; use a new key").with_run(id)
            }
            SubmitError::SessionBusy { id } => {
                let sentence = format!("the session is busy with run {id}; wait for it, or send another on_busy");
                Self::conflict(sentence).with_run(id)
            }
            SubmitError::Overdrawn(overdrawn) => crate::budgets::refused(&overdrawn),
            SubmitError::Stopping => Self::unavailable("the server is stopping", Duration::from_secs(5)),
            SubmitError::Store(error) => error.into(),
            // Callers check the name first, so this is a fault of ours.
            SubmitError::UnknownWorkflow(name) => {
                Self::internal(format!("workflow {name} was checked and is not registered"))
            }
        }
    }
}
