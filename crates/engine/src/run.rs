//! What a run is: its identity, owner, status and the request that starts it.

use crate::session::Terms;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// Milliseconds since the Unix epoch. The engine never reads a clock: time comes in with each input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// This instant moved by a duration, saturating.
    #[must_use]
    pub fn after(self, d: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long until `later`; zero if it has passed.
    #[must_use]
    pub fn until(self, later: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// Dense run number: the key inside a store. Ids stay at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunNo(pub i64);

/// Public run id, a UUIDv7 (sortable by birth).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A new id from a birth time and ten random bytes (RFC 9562 §5.7).
    #[must_use]
    pub fn new(at: Time, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random).into_uuid())
    }

    /// A child's id: the parent's birth time, then bits of `hash(parent, key)`, so that a replayed parent
    /// names the same child.
    #[must_use]
    pub fn child(parent: Self, key: &str) -> Self {
        let digest = Sha256::new().chain_update(parent.0.as_bytes()).chain_update(key.as_bytes()).finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        Self::new(parent.born(), random)
    }

    /// The birth time carried in the id.
    #[must_use]
    pub fn born(self) -> Time {
        let b = self.0.as_bytes();
        Time(i64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose a row of data is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant: nothing crosses it.
    pub tenant: String,
    /// The user inside the tenant.
    pub user: String,
}

impl Owner {
    /// The owner of everything while no login is configured.
    #[must_use]
    pub fn local() -> Self {
        Self { tenant: "default".into(), user: "local".into() }
    }
}

/// Where a run stands. The numbers are stored: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// Accepted, no worker yet.
    Queued = 0,
    /// Owned by a worker.
    Running = 1,
    /// Waits for a timer, a signal, an approval or a child, without a worker.
    Waiting = 2,
    /// Ended with an output.
    Completed = 3,
    /// Ended with an error.
    Failed = 4,
    /// Stopped on request.
    Cancelled = 5,
    /// Stopped at its deadline.
    TimedOut = 6,
    /// Needs a person: its code changed, its journal is damaged, or it keeps crashing.
    Blocked = 7,
}

impl Status {
    /// Every status, in stored order.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Blocked,
    ];

    /// The stored number's status.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The stored number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Blocked => "blocked",
        }
    }

    /// Whether the run has ended for good (until it is reopened).
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut)
    }

    /// Whether a worker may pick the run up, now or later.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }
}

/// What a caller asks for when starting a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Submit {
    /// The registered workflow's name.
    pub workflow: String,
    /// Its input, a JSON text.
    pub input: Bytes,
    /// Whose run it is.
    pub owner: Owner,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// The whole run's time, children included; `None` is unbounded.
    pub timeout_ms: Option<u64>,
    /// Do not start before.
    pub schedule_at: Option<Time>,
    /// The conversation it belongs to.
    pub session: Option<String>,
    /// How it takes part in that conversation.
    pub terms: Terms,
    /// The client's once-only key and the hash of its canonical request.
    pub once: Option<Once>,
    /// W3C trace context passed on to every outgoing call.
    pub traceparent: Option<String>,
    /// Whether answers should be journaled as they arrive (`agent.delta`).
    pub stream: bool,
    /// The most that the run and its children may spend.
    pub budget: Option<crate::ledger::Limits>,
    /// Accounts that it draws on: all that its budget allows is held in them until it has ended.
    pub accounts: Vec<crate::account::Account>,
    /// What it is found by from its birth on.
    pub labels: Vec<crate::ports::store::Label>,
}

impl Submit {
    /// A request with defaults: priority 5, no bounds, owner `default/local`.
    #[must_use]
    pub fn new(workflow: impl Into<String>, input: Bytes) -> Self {
        Self {
            workflow: workflow.into(),
            input,
            owner: Owner::local(),
            priority: 5,
            timeout_ms: None,
            schedule_at: None,
            session: None,
            terms: Terms::default(),
            once: None,
            traceparent: None,
            stream: false,
            budget: None,
            accounts: Vec::new(),
            labels: Vec::new(),
        }
    }
}

/// An idempotent submission: `scope` is the hash of tenant, user, route and key, `body` of the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Once {
    /// What must be unique.
    pub scope: [u8; 16],
    /// What must be equal for the same answer to be given again.
    pub body: [u8; 16],
}
