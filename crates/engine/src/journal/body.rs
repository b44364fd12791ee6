//! What stands in entry bodies: explicit types, in this one file. Fields are only ever added, with defaults.

use crate::activity::{ActivityError, Effect};
use crate::ledger::{Amounts, Limits, Share};
use crate::run::{Owner, RunId, RunNo, Status, Time};
use crate::session::Terms;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `run.queued`: everything a worker needs to run it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Queued {
    /// The public id.
    pub run_id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's number.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub version: u32,
    /// The input, as given.
    pub input: Box<RawValue>,
    /// When the whole run must be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The parent, and the parent's key for this child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Whether answers are journaled as they arrive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Owner, when it is not the local one.
    #[serde(default = "Owner::local", skip_serializing_if = "is_local")]
    pub owner: Owner,
    /// 0 to 9.
    #[serde(default = "five", skip_serializing_if = "is_five")]
    pub priority: u8,
    /// Not to be started before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_at: Option<Time>,
    /// How it takes part in its session.
    #[serde(default, skip_serializing_if = "Terms::is_default")]
    pub terms: Terms,
    /// Runs of its session whose turns, if they wrote one, are taken back when this one begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<RunNo>,
    /// The most that the run and its children may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Limits>,
    /// Accounts in which its budget is held until it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
}

fn one() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(v: &u32) -> bool {
    *v == 1
}
fn five() -> u8 {
    5
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_five(v: &u8) -> bool {
    *v == 5
}
fn is_local(owner: &Owner) -> bool {
    owner.tenant == "default" && owner.user == "local"
}

/// Who waits for a child run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parent {
    /// The parent's number.
    pub run: RunNo,
    /// The parent's public id.
    pub run_id: RunId,
    /// The parent's step key.
    pub key: String,
    /// How many generations above.
    #[serde(default)]
    pub depth: u32,
}

/// `engine.session`: every later replay reads exactly these turns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRead {
    /// The session's newest turn when the run began; 0 for none.
    pub head: u32,
    /// The oldest turn it reads; `head + 1` when it reads none.
    pub from: u32,
    /// Turns in between that it does not read: they were taken back, or are past the time that runs are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<u32>,
}

/// `engine.claimed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claimed {
    /// The new epoch.
    pub epoch: u32,
    /// Ends in disorder since the run last made progress.
    #[serde(default)]
    pub abnormal: u32,
}

/// `step.started`, `agent.started`, `tool.called`: the intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Started {
    /// The activity's name.
    pub activity: String,
    /// What a repeat may do.
    pub effect: Effect,
    /// The agent or tool that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the caller wants known about it, e.g. where its input came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Box<RawValue>>,
}

/// `step.retrying`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Retrying {
    /// The attempt that comes next.
    pub attempt: u32,
    /// When it may start.
    pub due: Time,
    /// Why the one before failed.
    pub error: ActivityError,
}

/// `step.completed`, `agent.message`, `tool.returned`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Completed {
    /// The result.
    pub output: Box<RawValue>,
    /// Which attempt gave it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub attempt: u32,
    /// The first entry of its streamed text, when the text stands in `agent.delta` entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streamed_from: Option<u32>,
    /// The agent or tool that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `step.failed`, `agent.failed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failed {
    /// Why.
    pub error: ActivityError,
    /// Attempts made.
    pub attempts: u32,
    /// The agent or tool that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `agent.delta`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delta {
    /// Which attempt.
    pub attempt: u32,
    /// Characters sent before this piece, in bytes of UTF-8.
    pub offset: u64,
    /// The piece.
    pub text: String,
    /// The agent or tool that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `agent.retracted`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Retracted {
    /// The attempt whose pieces are void.
    pub attempt: u32,
}

/// `child.started`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChildStarted {
    /// The child's public id.
    pub run_id: RunId,
    /// Its number.
    pub run: RunNo,
    /// Its workflow.
    pub workflow: String,
    /// The agent that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `child.completed`, and the inbox item that brings it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChildCompleted {
    /// The parent's step key.
    pub key: String,
    /// The child's public id.
    pub run_id: RunId,
    /// How it ended.
    pub status: Status,
    /// Its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// What it and its children spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Amounts>,
}

/// `signal.received`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signal {
    /// The signal's name.
    pub name: String,
    /// What it carries.
    pub payload: Box<RawValue>,
}

/// `approval.requested`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovalRequested {
    /// What to name when answering; the step's key.
    pub approval_id: String,
    /// What is asked, exactly.
    pub request: Box<RawValue>,
    /// Hash of the request: the answer is bound to it.
    pub hash: String,
    /// Until when an answer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}

/// `approval.decided`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decision {
    /// Which approval.
    pub approval_id: String,
    /// `approve`, `reject` or `expired`.
    pub decision: Verdict,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Data the person gave with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
}

/// `engine.ignored`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ignored {
    /// Which message.
    pub message: String,
}

/// A person's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Approve,
    /// Do not.
    Reject,
    /// Nobody answered in time.
    Expired,
}

/// `cancel.requested`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Who asked.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `engine.reserved`: an amount is held before a call may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// What is held.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Whether it is the closing answer's.
    #[serde(default, skip_serializing_if = "is_ordinary")]
    pub share: Share,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_ordinary(share: &Share) -> bool {
    *share == Share::Ordinary
}

/// `budget.spent`: what a call cost is booked; what was not spent is free again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spent {
    /// The account.
    pub account: String,
    /// What was held.
    pub reserved: Amounts,
    /// What it cost.
    pub spent: Amounts,
    /// Nobody said what it cost: it is booked at what was held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// The amount is held again, for the next attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_open: bool,
}

/// `engine.refused`: less was left than a call needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// The account.
    pub account: String,
    /// What is counted: `tokens` or `cost`.
    pub unit: String,
    /// The most that may be spent.
    pub limit: u64,
    /// What was left.
    pub left: u64,
    /// What was needed at least.
    pub need: u64,
}

/// A run's failure: data in a 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {message}")]
pub struct RunError {
    /// The contract's class.
    pub class: String,
    /// What failed, where, what to do.
    pub message: String,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The agent that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

impl RunError {
    /// An error without a step or agent.
    pub fn new(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into(), step: None, agent: None }
    }
}

/// `run.completed`, `run.failed`, `run.cancelled`, `run.timed_out`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ended {
    /// The output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// The error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
}

/// `run.waiting`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// For what: step keys with what each waits for.
    pub waiting_for: Vec<String>,
    /// When it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
}

/// `run.blocked`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Blocked {
    /// `nondeterminism`, `version`, `poison`, `damaged`, `foreign_await`, `erased`.
    pub reason: String,
    /// Both sides, where there are two.
    pub message: String,
}

/// Inbox kinds, as stored in [`InboxItem::kind`](crate::ports::store::InboxItem::kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Inbox {
    /// Body: [`Signal`].
    Signal = 1,
    /// Body: [`Decision`].
    Approval = 2,
    /// Body: [`CancelRequested`].
    Cancel = 3,
    /// Body: [`ChildCompleted`].
    ChildEnded = 4,
}

impl Inbox {
    /// The stored number's kind.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Signal),
            2 => Some(Self::Approval),
            3 => Some(Self::Cancel),
            4 => Some(Self::ChildEnded),
            _ => None,
        }
    }
}
