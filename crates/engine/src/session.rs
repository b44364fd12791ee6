//! Sessions: conversations that runs belong to. A session is a log of turns; a turn points at a run, whose journal holds the
//! text, so text is stored once.

use crate::run::{Owner, RunId, RunNo, Time};
use serde::{Deserialize, Serialize};

/// A session's key inside a store: the number of the run that opened it. Never used again, so a run of a session that was
/// removed cannot write into a later one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionNo(pub i64);

/// A session's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its key.
    pub no: SessionNo,
    /// The name its owner gave it; unique for that owner.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// When its first run was accepted.
    pub created_at: Time,
    /// When its newest turn was written.
    pub updated_at: Time,
    /// The number of its newest turn; 0 before the first. Numbers are never used again.
    pub head: u32,
}

/// One turn: what a completed run added to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnRow {
    /// Its number in the session, from 1.
    pub n: u32,
    /// The run whose journal holds what was said.
    pub run: RunNo,
    /// That run's public id.
    pub id: RunId,
    /// When that run ended.
    pub at: Time,
    /// It was taken back: later runs do not read it.
    pub is_void: bool,
}

/// What becomes of a new run while its session has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    /// It waits; first in, first out.
    #[default]
    Queue,
    /// It is refused.
    Reject,
    /// Whoever stands before it in the session's lane is cancelled; it begins when they have ended.
    Interrupt,
    /// As `Interrupt`, and a turn that one of them still managed to write is taken back.
    Rollback,
    /// It begins at once, beside the other.
    Parallel,
}

/// How much of its session a run reads, newest turns first; whole turns only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Most messages.
    pub messages: u32,
    /// Most tokens, by estimate: four bytes of UTF-8 are one.
    pub tokens: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { messages: 20, tokens: 8_000 }
    }
}

/// How a run takes part in its session. Stored in `run.queued`: fields are only ever added, with defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// When the session is busy.
    pub on_busy: OnBusy,
    /// What it reads.
    pub window: Window,
    /// Whether others may go on while it waits for a person, a signal or a far-off time.
    pub release_while_waiting: bool,
    /// Whether what fills most of the window is folded into a summary, so that nothing is dropped unread.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub summarise: bool,
}

impl Terms {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who said something in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// Whoever asked.
    User,
    /// The agents.
    Assistant,
    /// A summary of everything before this turn.
    Summary,
}

/// One message of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// By whom.
    pub role: Speaker,
    /// The agent, where one answered alone.
    pub agent: Option<String>,
    /// What.
    pub text: String,
    /// The run whose journal holds it.
    pub run_id: RunId,
    /// When.
    pub at: Time,
    /// A summary's turns: those that its run read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<Turns>,
}

/// Turns of a session, by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// The oldest.
    pub from: u32,
    /// The newest.
    pub to: u32,
    /// Those between that do not count: they had been taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<u32>,
}

/// What text costs of a window, in tokens. An estimate that needs no model's tokeniser.
#[must_use]
pub fn tokens_of(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX)
}
