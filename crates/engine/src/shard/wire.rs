//! What goes into a shard and what comes out of it.

use crate::activity::{Outcome, Request};
use crate::journal::body::{Ended, SessionRead};
use crate::ports::store::{InboxItem, Receipt, Row, RunRow, StoreError, Transition};
use crate::run::{Owner, RunId, RunNo, Status, Submit, Time};
use crate::session::Said;
use crate::shard::gate::Durable;
use bytes::Bytes;

/// A new run.
#[derive(Debug)]
pub struct Start {
    /// Its number.
    pub run: RunNo,
    /// Its id.
    pub id: RunId,
    /// Its workflow's number.
    pub version: u32,
    /// What was asked.
    pub submit: Submit,
    /// Write it without an owner: there is no room, or it is scheduled for later.
    pub defer: bool,
    /// Runs of its session that are cancelled with its birth.
    pub ahead: Vec<RunNo>,
}

/// What a run reads of its session.
#[derive(Debug, Clone, Default)]
pub struct Recalled {
    /// Which turns.
    pub read: SessionRead,
    /// What was said in them, oldest first.
    pub said: Vec<Said>,
    /// Turns that the run has read before are gone: it cannot be replayed.
    pub is_torn: bool,
}

/// A run read back from the store.
#[derive(Debug)]
pub struct Adopt {
    /// Its row.
    pub row: RunRow,
    /// Its whole journal.
    pub rows: Vec<Row>,
    /// The blobs its journal names.
    pub blobs: Vec<([u8; 32], Bytes)>,
    /// Its inbox.
    pub inbox: Vec<InboxItem>,
    /// What it reads of its session, if it has one.
    pub recalled: Option<Recalled>,
}

/// An attempt's identity: a late word about another attempt or another owner's attempt is ignored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptId {
    /// The run.
    pub run: RunNo,
    /// The owner's epoch.
    pub epoch: u32,
    /// The step.
    pub key: Box<str>,
    /// Which attempt.
    pub attempt: u32,
}

/// What happens to a shard.
#[derive(Debug)]
pub enum Input {
    /// Begin a run.
    Start(Box<Start>),
    /// Take over a run.
    Adopt(Box<Adopt>),
    /// An activity has ended.
    Outcome(AttemptId, Outcome),
    /// A piece of an activity's answer.
    Delta(AttemptId, String),
    /// An aborted activity's task has ended; its sockets are closed.
    Stopped(AttemptId),
    /// Committed messages for a live run.
    Inbox(RunNo, Vec<InboxItem>),
    /// The fate of a batch.
    Receipts(u64, Vec<Receipt>),
    /// Time has passed.
    Tick,
    /// Give every live run back in good order.
    Release,
    /// The lease is lost: every run in memory may be somebody else's by now. Nothing more is written or sent for them.
    Disown,
    /// As `Disown`, of one run.
    Abandon(RunNo),
}

/// An activity that may start now.
#[derive(Debug)]
pub struct Spawn {
    /// Which attempt.
    pub id: AttemptId,
    /// What to do.
    pub request: Request,
    /// `<run>/<step>`; absent for pure activities.
    pub idempotency_key: Option<String>,
    /// Whether a budget pays for it.
    pub is_paid: bool,
    /// By when.
    pub deadline: Option<Time>,
    /// How long this attempt may take.
    pub timeout_ms: Option<u64>,
    /// Whether pieces of the answer are wanted.
    pub stream: bool,
    /// Trace context.
    pub traceparent: Option<String>,
    /// The run's conversation.
    pub session: Option<String>,
    /// Whose run it is.
    pub owner: Owner,
}

/// A run's end, or its block.
#[derive(Debug, Clone)]
pub struct End {
    /// The run.
    pub run: RunNo,
    /// Its public id.
    pub id: RunId,
    /// Of what.
    pub workflow: String,
    /// How it ended.
    pub status: Status,
    /// When.
    pub at: Time,
    /// With what.
    pub ended: Ended,
}

/// What leaves the process, or lets something else leave it.
#[derive(Debug)]
pub enum Leave {
    /// Start an activity.
    Spawn(Box<Spawn>),
    /// The run is accepted.
    Accepted(RunNo, Status),
    /// The run has ended.
    Ended(Box<End>),
    /// The run has left memory; it goes on at `due`, or when a message comes.
    Parked(RunNo, Option<Time>),
    /// The run leaves memory because its workflow panicked; offer it again.
    Lost(RunNo, String),
    /// A run without an owner is in the store: find it a worker.
    Offer {
        /// The run.
        run: RunNo,
        /// Its id.
        id: RunId,
        /// Its priority.
        priority: u8,
        /// Not before.
        due: Option<Time>,
    },
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Output {
    /// Something passed its gate.
    Leave(Durable<Leave>),
    /// Stop an activity and say when it has stopped.
    Abort(AttemptId),
    /// Entries up to this number are durable.
    Grown(RunNo, u32),
    /// Messages for a run that is not live here are in the store.
    Mail(RunNo),
    /// The run left memory without leave: another owner, an unknown outcome, or a panic. Offer it again.
    Lost {
        /// The run.
        run: RunNo,
        /// Why, for the log.
        why: String,
    },
    /// The birth was refused: an earlier run has this once-key.
    Repeated {
        /// The new run that was not made.
        run: RunNo,
        /// The earlier one.
        earlier: RunNo,
        /// Its id.
        id: RunId,
        /// Whether the earlier request was the same.
        same: bool,
    },
    /// The birth was not written.
    NotBorn(RunNo, StoreError),
    /// A submission was not accepted: an account has too little left.
    Overdrawn(RunNo, crate::account::Overdrawn),
}

/// Transitions to submit together; their receipts come back under `no`.
#[derive(Debug)]
pub struct Batch {
    /// The batch's number.
    pub no: u64,
    /// What to write.
    pub transitions: Vec<Transition>,
}
