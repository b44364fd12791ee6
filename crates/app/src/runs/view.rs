//! A run as it is answered. Stored types and answered types are two promises, so these are types of their own.

use crate::Stamp;
use crate::result::{Digest, Usage};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tutti_engine::driver::{Accepted, Entry};
use tutti_engine::journal::body::RunError;
use tutti_engine::ports::store::RunRow;
use tutti_engine::run::{Owner, Status, Submit};

/// Whose a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OwnerView {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub user: String,
}

impl From<Owner> for OwnerView {
    fn from(owner: Owner) -> Self {
        Self { tenant: owner.tenant, user: owner.user }
    }
}

/// Why a run or a step failed: data in a good answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// The contract's class.
    pub class: String,
    /// What failed, where, what to do.
    pub message: String,
    /// The step.
    pub step: Option<String>,
    /// The agent.
    pub agent: Option<String>,
}

impl From<RunError> for ErrorView {
    fn from(error: RunError) -> Self {
        Self { class: error.class, message: error.message, step: error.step, agent: error.agent }
    }
}

/// One journal entry.
#[derive(Debug, Serialize)]
pub struct JournalItem {
    /// Its number, from 1.
    pub seq: u32,
    /// When.
    pub at: Stamp,
    /// The step; empty for the run itself.
    pub key: String,
    /// The event type.
    pub kind: &'static str,
    /// What it holds.
    pub body: Option<Box<RawValue>>,
}

impl JournalItem {
    pub(crate) fn of(entry: Entry) -> Self {
        let body = serde_json::from_slice(&entry.body).ok();
        Self { seq: entry.seq, at: Stamp(entry.at), key: entry.key, kind: entry.kind.as_str(), body }
    }
}

/// A run. What an answer does not know it leaves out; what is known to be nothing is `null`.
#[derive(Debug, Default, Serialize)]
pub struct Run {
    /// Public id.
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// The workflow's number.
    pub version: u32,
    /// Where it stands.
    pub status: &'static str,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<Vec<String>>,
    /// What it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The run that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    /// Whose it is.
    pub owner: OwnerView,
    /// 0 to 9.
    pub priority: u8,
    /// What it used so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// When it was accepted.
    pub created_at: Option<Stamp>,
    /// When a worker began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Option<Stamp>>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Option<Stamp>>,
    /// Every entry, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<Vec<JournalItem>>,
}

impl Run {
    /// A run about to be submitted.
    pub(crate) fn asked(submit: &Submit, version: u32) -> Self {
        Self {
            workflow: submit.workflow.clone(),
            version,
            input: serde_json::from_slice(&submit.input).ok(),
            session_id: submit.session.clone(),
            owner: submit.owner.clone().into(),
            priority: submit.priority,
            ..Self::default()
        }
    }

    /// What its acceptance, and its end if that was waited for, tell. Read from no store.
    pub(crate) fn accepted(&mut self, accepted: &Accepted) {
        self.run_id = accepted.id.to_string();
        self.status = accepted.status.as_str();
        self.created_at = Some(Stamp(accepted.id.born()));
        if accepted.status.is_open() {
            self.ended_at = Some(None);
        }
        if let Some(end) = &accepted.end {
            self.output.clone_from(&end.output);
            self.error = end.error.clone().map(ErrorView::from);
        }
    }

    /// What its row tells.
    pub(crate) fn of_row(row: &RunRow) -> Self {
        Self {
            run_id: row.id.to_string(),
            workflow: row.workflow.clone(),
            version: row.version,
            status: row.status.as_str(),
            session_id: row.session.clone(),
            owner: row.owner.clone().into(),
            priority: row.priority,
            created_at: Some(Stamp(row.id.born())),
            ended_at: Some(row.ended_at.map(Stamp)),
            ..Self::default()
        }
    }

    /// What its journal adds.
    pub(crate) fn with(mut self, digest: Digest) -> Self {
        self.output = digest.output().and_then(|output| to_raw_value(&output).ok());
        // The row may have been read a moment before the journal's last entry was written.
        self.status = digest.status.map_or(self.status, Status::as_str);
        if self.status == Status::Waiting.as_str() {
            self.waiting_for = digest.waiting_for;
        }
        if let Some(queued) = digest.queued {
            self.input = Some(queued.input);
            self.parent_run_id = queued.parent.map(|p| p.run_id.to_string());
        }
        if let Some(ended) = digest.ended {
            self.error = ended.error.map(ErrorView::from);
        }
        self.error = self.error.or(digest.blocked.map(ErrorView::from));
        self.usage = Some(digest.usage);
        self.created_at = digest.created_at.or(self.created_at);
        self.started_at = Some(digest.started_at);
        self.ended_at = Some(digest.ended_at);
        self
    }
}
