//! What several processes on one store have to agree on: numbers, who owns what, who goes next.
//!
//! A process is a *worker* with a lease. It renews the lease by itself; the store's clock decides. A run is its worker's until
//! it ends, parks, or the lease has ended. The fence alone keeps journals right; the lease says when somebody else may try, and
//! when a worker that was away too long has to let go of what it holds.

use crate::ports::store::{InboxItem, OpenRun, Read, Row, RunRow};
use crate::run::{RunId, RunNo, Status, Time};
use crate::session::{SessionNo, Terms};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// A root run that is open in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRun {
    /// Its number.
    pub run: RunNo,
    /// Its id: earlier births have smaller ones.
    pub id: RunId,
    /// Where it stands.
    pub status: Status,
    /// When it is due, if at a set time.
    pub due_at: Option<Time>,
    /// How it takes part.
    pub terms: Terms,
}

/// A run with all that a worker reads to take it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its own row.
    pub row: RunRow,
    /// Messages that nobody has taken, oldest first.
    pub inbox: Vec<InboxItem>,
    /// Its journal.
    pub rows: Vec<Row>,
}

/// The part of a store that is shared.
pub trait Share: Send + Sync {
    /// Reserves run numbers that nobody else will ever get; answers the first of `count`.
    fn reserve(&self, count: u32) -> Read<RunNo>;
    /// Whether what this process holds is still its own. False some time before its lease ends.
    fn is_owner(&self) -> bool;
    /// How often to look for what nobody told us of.
    fn sweep_every(&self) -> Duration;
    /// Resolves when it is not any more.
    fn disowned(&self) -> BoxFuture<'static, ()>;
    /// Joins anew, once everything that was held is dropped.
    fn rejoin(&self) -> Read<()>;
    /// Takes runs that need a worker and whose workflow is known here (name and number), best first. For a while nobody is offered
    /// them again, this worker neither; nor is it offered what it runs.
    fn take(&self, now: Time, limit: u32, known: &[(String, u32)]) -> Read<Vec<OpenRun>>;
    /// Running runs of this worker after `after`, by number: one that is not in memory was lost without a word.
    fn own(&self, after: RunNo, limit: u32) -> Read<Vec<OpenRun>>;
    /// All that is known of these runs, read together; those that are not there are left out.
    fn load(&self, runs: Vec<RunNo>) -> Read<Vec<Loaded>>;
    /// Runs of this worker that have messages nobody has taken.
    fn mail(&self, limit: u32) -> Read<Vec<InboxItem>>;
    /// The open root runs of a session, in the order of their birth.
    fn lane(&self, session: SessionNo) -> Read<Vec<LaneRun>>;
}
