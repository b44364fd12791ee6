//! The engine's face: submit, wait, send, read, follow, stop.

use crate::event::Kind;
use crate::journal::body::{CancelRequested, Decision, Ended, Signal};
use crate::ports::bus::Bus;
use crate::ports::clock::Clock;
use crate::ports::outbound::Outbound;
use crate::ports::store::{Refusal, Store, StoreError};
use crate::run::{RunId, RunNo, Status, Submit, Time};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The parts an engine stands on.
#[derive(Clone)]
pub struct Ports {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Wake-ups.
    pub bus: Arc<dyn Bus>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The way out.
    pub outbound: Arc<dyn Outbound>,
}

/// Bounds of one engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shard threads.
    pub shards: usize,
    /// Runs held in memory at once; the rest are rows.
    pub live_runs_max: usize,
    /// Open runs in the store beyond which new ones are refused.
    pub backlog_runs_max: u64,
    /// Submissions being written at once.
    pub submits_max: usize,
    /// Calls in flight at once.
    pub calls_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { shards: 1, live_runs_max: 2_000, backlog_runs_max: 1_000_000, submits_max: 4_096, calls_max: 4_096 }
    }
}

/// A submission that is durable.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Number.
    pub run: RunNo,
    /// Public id.
    pub id: RunId,
    /// Whether this is an earlier run with the same once-key.
    pub replayed: bool,
    /// Where the run stands.
    pub status: Status,
    /// Its end, when it was waited for and came in time.
    pub end: Option<Ended>,
}

/// Too much at once; nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}; try again in {} s", retry_after.as_secs().max(1))]
pub struct Busy {
    /// Which bound was met.
    pub what: &'static str,
    /// When to try again.
    pub retry_after: Duration,
}

/// Why a submission was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No workflow of that name is registered.
    #[error("there is no workflow named {0}")]
    UnknownWorkflow(String),
    /// Over a bound.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The once-key was used with another request.
    #[error("this Idempotency-Key was used with another request (run {id})")]
    OnceConflict {
        /// The run of the first request.
        id: RunId,
    },
    /// The engine is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The store refused or cannot be reached; nothing was accepted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A message to a run.
#[derive(Debug, Clone)]
pub enum Message {
    /// A named signal; `dedup` makes repeats count once.
    Signal {
        /// The sender's own once-key; `None` makes each one new.
        dedup: Option<String>,
        /// Name and payload.
        signal: Signal,
    },
    /// A person's decision; the first counts.
    Approval(Decision),
    /// Stop.
    Cancel(CancelRequested),
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Durable; the run will see it.
    Taken,
    /// The same message came before.
    Duplicate,
    /// The run has ended.
    Ended,
}

/// A journal entry as read by people and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the run, from 1.
    pub seq: u32,
    /// When.
    pub at: Time,
    /// What happened.
    pub kind: Kind,
    /// Which step; empty for the run itself.
    pub key: String,
    /// JSON text (see `journal::body`).
    pub body: Bytes,
}

/// Durable runs.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Make a run durable and start it when there is room. On return it is accepted: it will end.
    pub async fn submit(&self, _submit: Submit) -> Result<Accepted, SubmitError> {
        unimplemented!()
    }

    /// As [`submit`](Self::submit), then wait at most `wait` for its end.
    pub async fn submit_and_wait(&self, _submit: Submit, _wait: Duration) -> Result<Accepted, SubmitError> {
        unimplemented!()
    }

    /// Wait for a run's end (terminal or blocked); `None` when the time is up first.
    pub async fn wait(&self, _run: RunNo, _wait: Duration) -> Result<Option<(Status, Ended)>, StoreError> {
        unimplemented!()
    }

    /// Put a message into a run's inbox; durable on return.
    pub async fn send(&self, _run: RunNo, _message: Message) -> Result<Sent, StoreError> {
        unimplemented!()
    }

    /// Entries after `after`, at most about `max` (whole rows), bodies complete (blobs fetched, streamed text put back).
    pub async fn entries(&self, _run: RunNo, _after: u32, _max: u32) -> Result<Vec<Entry>, StoreError> {
        unimplemented!()
    }

    /// Follow a run's entries after `after`, as they become durable.
    #[must_use]
    pub fn follow(&self, _run: RunNo, _after: u32) -> Events {
        unimplemented!()
    }

    /// The store, for questions that need no worker.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        unimplemented!()
    }

    /// Now, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        unimplemented!()
    }

    /// Registered workflows: name, number.
    #[must_use]
    pub fn workflows(&self) -> Vec<(String, u32)> {
        unimplemented!()
    }

    /// Take no more work, give live runs back in good order, and stop within `grace`.
    pub async fn shutdown(&self, _grace: Duration) {
        unimplemented!()
    }
}

/// A reader's cursor over one run.
pub struct Events {}

impl Events {
    /// The next entries, in order, each once. `None` after the run's last entry.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        unimplemented!()
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}
