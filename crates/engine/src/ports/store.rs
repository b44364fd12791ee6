//! The store: the one place of truth. Writes are submitted and acknowledged, never awaited by the core;
//! reads see committed rows only.
//!
//! **One transition is all or nothing.** A batch's transitions are tried in order inside one transaction; one that is
//! refused leaves no trace and does not touch its neighbours.
//!
//! **The fence.** A row may be inserted only if its predecessor row `(run, prev)` exists with the same epoch and ends at
//! `first - 1`; a claim needs the predecessor at `epoch - 1` instead. `(run, seq)` is unique and predecessors never change,
//! so two owners cannot both extend a journal, and no lock or isolation level above READ COMMITTED is needed.

use crate::account::{AccountRow, Hold, Overdrawn, Settle};
use crate::ports::share::Share;
use crate::run::{Once, Owner, RunId, RunNo, Status, Time};
use crate::session::{SessionNo, SessionRow, Terms, TurnRow};
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The first row of a new run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// The public id; unique.
    pub id: RunId,
    /// The registered workflow.
    pub workflow: String,
    /// The workflow's number (version) that the run keeps.
    pub version: u32,
    /// Whose it is.
    pub owner: Owner,
    /// 0 to 9.
    pub priority: u8,
    /// The parent, for child runs.
    pub parent: Option<RunNo>,
    /// The conversation it belongs to. A run without a parent opens it for its owner where it is not there yet.
    pub session: Option<String>,
    /// The client's once-only key: a second birth with the same scope is refused as [`Refusal::Repeated`].
    pub once: Option<Once>,
    /// How it takes part in its session. A shared store keeps lanes by it.
    pub terms: Terms,
}

impl Birth {
    /// A root run of a local caller's, in no session.
    #[must_use]
    pub fn new(id: RunId, workflow: &str) -> Self {
        Self {
            id,
            workflow: workflow.into(),
            version: 1,
            owner: Owner::local(),
            priority: 5,
            parent: None,
            session: None,
            once: None,
            terms: Terms::default(),
        }
    }
}

/// What must hold for a row to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fence {
    /// The run does not exist yet: its number, id and once-scope are free.
    Birth(Box<Birth>),
    /// The row starting at `prev` has this append's epoch and ends right before `first`.
    After {
        /// First seq of the predecessor row.
        prev: u32,
    },
    /// The row starting at `prev` has the epoch before this append's, ends right before `first`, and nothing follows it. In a
    /// shared store nobody else may hold the lane of its session, either.
    Claim {
        /// First seq of the predecessor row.
        prev: u32,
    },
}

/// A change of the run's own row: at birth, on claim, when it parks, when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Where the run stands now.
    pub status: Status,
    /// When it has to be looked at again, if at a set time.
    pub due_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// One journal row: what one run wrote in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The run.
    pub run: RunNo,
    /// What must hold.
    pub fence: Fence,
    /// Number of the first entry; entries are numbered from 1 without a gap.
    pub first: u32,
    /// Number of the last entry.
    pub last: u32,
    /// The owner's epoch.
    pub epoch: u32,
    /// When it was written.
    pub at: Time,
    /// The encoded entries (see `journal::frame`).
    pub body: Bytes,
    /// The run's new stand, if it changes.
    pub stand: Option<Stand>,
    /// Bodies too large for the row; the row holds their hashes.
    pub blobs: Vec<Blob>,
}

/// A large body under its own hash, stored once however many runs refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of the body.
    pub hash: [u8; 32],
    /// The body.
    pub body: Bytes,
}

/// A message to a run's owner. Nobody else appends to a run's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxItem {
    /// The addressee.
    pub run: RunNo,
    /// Unique per run: a second item with the same `dedup` is ignored, even after the first was taken.
    pub dedup: String,
    /// What it is; see `journal::body::Inbox`.
    pub kind: u8,
    /// JSON.
    pub body: Bytes,
}

/// What is written together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transition {
    /// Journal rows, each fenced.
    pub appends: Vec<Append>,
    /// Messages to runs. A waiting addressee becomes due at once; an ended or absent one drops the message.
    pub inbox_put: Vec<InboxItem>,
    /// Messages that were moved into the journal by this transition's appends, whose fences cover them.
    pub inbox_done: Vec<(RunNo, String)>,
    /// Completed runs whose sessions grow by a turn, in this order. A run without a session, whose session was removed, or
    /// that has its turn, adds none.
    pub turns: Vec<Turn>,
    /// Runs whose turn, if they have one, is taken back.
    pub voids: Vec<RunNo>,
    /// A session to remove with its turns; runs and journals stay. One that is not there refuses the transition as
    /// [`Refusal::Gone`].
    pub session_drop: Option<SessionNo>,
    /// How many approvals a run waits for, where that number changed; covered by the fences of this transition's appends.
    pub asks: Vec<(RunNo, u32)>,
    /// What runs are found by; the same name of a run again replaces its value. Covered by the fences of the appends.
    pub labels: Vec<(RunNo, Label)>,
    /// What births hold in accounts; one that does not fit refuses the transition as [`Refusal::Overdrawn`].
    pub holds: Vec<Hold>,
    /// What ends settle in accounts; covered by the fences of the appends.
    pub settles: Vec<Settle>,
}

/// A name and a value that a run is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// One of few.
    pub name: std::borrow::Cow<'static, str>,
    /// Any text.
    pub value: String,
}

impl Label {
    /// A label.
    pub fn new(name: impl Into<std::borrow::Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A turn to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The run that completed.
    pub run: RunNo,
    /// When.
    pub at: Time,
}

/// Why a transition was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A fence does not hold: this writer is not (any longer) the owner.
    #[error("run {} is owned by another worker or already holds these entries", run.0)]
    Fenced {
        /// The run whose fence failed.
        run: RunNo,
    },
    /// The once-scope is taken.
    #[error("this Idempotency-Key was used before")]
    Repeated {
        /// The first run born with it.
        run: RunNo,
        /// Its public id.
        id: RunId,
        /// The hash of the request it was born with.
        body: [u8; 16],
    },
    /// An account has too little left.
    #[error(transparent)]
    Overdrawn(Overdrawn),
    /// An inbox item's `dedup` was seen before; only reported when the transition holds nothing else.
    #[error("already received")]
    Duplicate,
    /// An inbox item's run does not exist or has ended; only reported when the transition holds nothing else.
    #[error("the run has ended or does not exist")]
    Gone,
}

/// A transition's fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Durable.
    Committed,
    /// Not written, and never will be.
    Refused(Refusal),
    /// Certainly not written, for no fault of the transition; the store may take it later.
    Failed(StoreError),
    /// May or may not be durable: gates stay shut until the row is read again by key.
    Unknown(String),
}

/// Called once with one receipt per transition, in order.
pub type Done = Box<dyn FnOnce(Vec<Receipt>) + Send>;

/// What went wrong in a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Cannot be reached or written right now; trying later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Its content is not what it should be.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// A run's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Number.
    pub run: RunNo,
    /// Public id.
    pub id: RunId,
    /// Workflow.
    pub workflow: String,
    /// Workflow number it was born with.
    pub version: u32,
    /// Owner.
    pub owner: Owner,
    /// Priority.
    pub priority: u8,
    /// Parent.
    pub parent: Option<RunNo>,
    /// Session.
    pub session: Option<String>,
    /// Status.
    pub status: Status,
    /// When to look again.
    pub due_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// It is running in another process whose lease has not ended.
    pub is_elsewhere: bool,
}

/// A journal row as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of the first entry.
    pub first: u32,
    /// Number of the last entry.
    pub last: u32,
    /// First entry of the predecessor row; 0 for the first row.
    pub prev: u32,
    /// The writer's epoch.
    pub epoch: u32,
    /// When it was written.
    pub at: Time,
    /// The encoded entries.
    pub body: Bytes,
}

/// A run that may need a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub run: RunNo,
    /// Its public id.
    pub id: RunId,
    /// Its status.
    pub status: Status,
    /// 0 to 9.
    pub priority: u8,
    /// When it becomes due, for scheduled and waiting runs.
    pub due_at: Option<Time>,
}

/// A page of runs, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRuns {
    /// Only this tenant's; `None` is all (for the store's own tools).
    pub tenant: Option<String>,
    /// Only this user's.
    pub user: Option<String>,
    /// Only with this status.
    pub status: Option<Status>,
    /// Only of this workflow.
    pub workflow: Option<String>,
    /// Only those that wait for an approval.
    pub asking: bool,
    /// Only those with all of these labels.
    pub labels: Vec<Label>,
    /// Only older than this run.
    pub before: Option<RunNo>,
    /// Most rows.
    pub limit: u32,
}

/// A page of sessions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSessions {
    /// Only this tenant's.
    pub tenant: String,
    /// Only this user's.
    pub user: Option<String>,
    /// Only opened before this one.
    pub before: Option<SessionNo>,
    /// Most rows.
    pub limit: u32,
}

/// Turns of one session, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListTurns {
    /// The session.
    pub session: SessionNo,
    /// From this number on.
    pub from: u32,
    /// Up to this number.
    pub to: u32,
    /// Those that were taken back as well.
    pub voids: bool,
    /// Most rows.
    pub limit: u32,
}

/// What may be pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune {
    /// Runs that ended before this.
    pub ended_before: Time,
    /// Beyond this many ended runs, the oldest go whatever their age.
    pub keep_max: u64,
    /// Most runs in this chunk.
    pub limit: u32,
    /// Only count.
    pub dry_run: bool,
}

/// Counts for health and `db status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Which store and version, e.g. `SQLite 3.51.3`.
    pub name: String,
    /// Schema version.
    pub schema: u32,
    /// Bytes on disk.
    pub bytes: u64,
    /// Runs by status, indexed by [`Status::code`].
    pub runs: [u64; 8],
    /// When the oldest run was born that is kept.
    pub oldest: Option<Time>,
}

/// A read in progress.
pub type Read<T> = BoxFuture<'static, Result<T, StoreError>>;

/// The port. Implementations live in `tutti-stores`; the one in memory in `memory`.
pub trait Store: Send + Sync {
    /// Queue a batch for the single writer. Batches commit in the order they were submitted; each is one or part of one
    /// transaction. Never blocks for longer than a full queue takes to drain.
    fn submit(&self, batch: Vec<Transition>, done: Done);

    /// The run number after the highest ever used.
    fn next_run(&self) -> Read<RunNo>;
    /// A run by its public id.
    fn run_by_id(&self, id: RunId) -> Read<Option<RunRow>>;
    /// A run by number.
    fn run(&self, run: RunNo) -> Read<Option<RunRow>>;
    /// Journal rows whose last entry is after `after`, in order, at most `rows_max`.
    fn journal(&self, run: RunNo, after: u32, rows_max: u32) -> Read<Vec<Row>>;
    /// Large bodies by hash, in the order asked; an unknown hash is `Damaged`.
    fn blobs(&self, hashes: Vec<[u8; 32]>) -> Read<Vec<Bytes>>;
    /// Messages waiting for a run, oldest first (those already taken are left out).
    fn inbox(&self, run: RunNo) -> Read<Vec<InboxItem>>;
    /// Runs with status queued or running, and waiting ones due at or before `now`, after `after`, by number.
    fn open_runs(&self, now: Time, after: RunNo, limit: u32) -> Read<Vec<OpenRun>>;
    /// The earliest `due_at` of waiting or scheduled runs that lies after `now`.
    fn next_due(&self, now: Time) -> Read<Option<Time>>;
    /// When the oldest run was born that is due and has no worker yet.
    fn oldest_runnable(&self, now: Time) -> Read<Option<Time>>;
    /// Where accounts stand, in the order asked; one that was never used stands at nothing.
    fn accounts(&self, names: Vec<String>) -> Read<Vec<AccountRow>>;
    /// A page of runs, newest first.
    fn list(&self, query: ListRuns) -> Read<Vec<RunRow>>;
    /// The run that was born with a once-scope, and the hash of its request.
    fn born_with(&self, scope: [u8; 16]) -> Read<Option<(RunNo, RunId, [u8; 16])>>;
    /// An owner's session by its name.
    fn session(&self, owner: Owner, id: String) -> Read<Option<SessionRow>>;
    /// The session that a run was born into, unless it was removed since.
    fn session_of(&self, run: RunNo) -> Read<Option<SessionRow>>;
    /// A page of sessions, newest first.
    fn sessions(&self, query: ListSessions) -> Read<Vec<SessionRow>>;
    /// Turns, newest first. The work does not grow with the turns that are not asked for.
    fn turns(&self, query: ListTurns) -> Read<Vec<TurnRow>>;
    /// Queued, running and waiting runs that were born into a session (or, without one, into any), after `after`, by number.
    fn session_runs(&self, session: Option<SessionNo>, after: RunNo, limit: u32) -> Read<Vec<RunRow>>;
    /// Counts.
    fn stats(&self) -> Read<StoreStats>;
    /// Remove (or count) one chunk of ended runs with all that hangs on them, their turns too, and sessions that have neither
    /// turns nor open runs left; answers how many runs.
    fn prune(&self, prune: Prune) -> Read<u64>;
    /// Write and read something: is the store able to accept work?
    fn probe(&self) -> Read<()>;
    /// What processes that share this store agree on; `None` where one process has it alone.
    fn share(&self) -> Option<&dyn Share> {
        None
    }
}
