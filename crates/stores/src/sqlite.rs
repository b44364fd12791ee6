//! SQLite: one file, one writer thread with group commit, a few readers. The default store.

mod accounts;
mod log;
mod open;
mod place;
mod prune;
mod read;
mod sessions;
mod transaction;
mod write;
mod writer;

pub use open::OpenError;

use crate::writer::{Writer, closed};
use read::Readers;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use tutti_engine::account::AccountRow;
use tutti_engine::ports::store::{
    Done, InboxItem, ListRuns, ListSessions, ListTurns, OpenRun, Prune, Read, Row, RunRow, Store, StoreError,
    StoreStats, Transition,
};
use tutti_engine::run::{Owner, RunId, RunNo, Time};
use tutti_engine::session::{SessionNo, SessionRow, TurnRow};
use writer::Job;

/// The store in one SQLite file. Closing waits for what was submitted; so does dropping it.
pub struct SqliteStore {
    readers: Arc<Readers>,
    writer: Writer<Job>,
}

impl SqliteStore {
    /// Opens or creates `tutti.db` in a directory, alone.
    ///
    /// # Errors
    /// [`OpenError`] says in one line what is in the way and what to do.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let opened = open::open(dir)?;
        let readers = Arc::new(Readers::new(opened.file.clone()));
        let writer = writer::start(opened).map_err(|e| OpenError::Io { dir: dir.into(), reason: e.to_string() })?;
        Ok(Self { readers, writer })
    }

    /// Writes what was submitted, then closes the file.
    pub fn close(&self) {
        self.writer.close();
    }

    fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Read<T> {
        Box::pin(Arc::clone(&self.readers).ask(ask))
    }

    /// Has the writer do something between two commits.
    fn ask<T: Send + 'static>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Read<T> {
        let (tell, told) = oneshot::channel();
        self.writer.send(job(tell));
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(closed())) })
    }
}

impl Store for SqliteStore {
    fn submit(&self, batch: Vec<Transition>, done: Done) {
        self.writer.send(Job::Write(batch, done));
    }

    fn next_run(&self) -> Read<RunNo> {
        self.read(read::next_run)
    }

    fn run_by_id(&self, id: RunId) -> Read<Option<RunRow>> {
        self.read(move |c| read::run_by_id(c, id))
    }

    fn run(&self, run: RunNo) -> Read<Option<RunRow>> {
        self.read(move |c| read::run(c, run))
    }

    fn journal(&self, run: RunNo, after: u32, rows_max: u32) -> Read<Vec<Row>> {
        self.read(move |c| read::journal(c, run, after, rows_max))
    }

    fn blobs(&self, hashes: Vec<[u8; 32]>) -> Read<Vec<bytes::Bytes>> {
        let found = self.read(move |c| hashes.iter().map(|hash| read::blob(c, hash)).collect::<Result<Vec<_>, _>>());
        Box::pin(async move {
            let missing = || StoreError::Damaged("a large body is missing".into());
            found.await?.into_iter().map(|body| body.ok_or_else(missing)).collect()
        })
    }

    fn inbox(&self, run: RunNo) -> Read<Vec<InboxItem>> {
        self.read(move |c| read::inbox(c, run))
    }

    fn open_runs(&self, now: Time, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.read(move |c| read::open_runs(c, now, after, limit))
    }

    fn next_due(&self, now: Time) -> Read<Option<Time>> {
        self.read(move |c| read::next_due(c, now))
    }

    fn oldest_runnable(&self, now: Time) -> Read<Option<Time>> {
        self.read(move |c| read::oldest_runnable(c, now))
    }

    fn accounts(&self, names: Vec<String>) -> Read<Vec<AccountRow>> {
        self.read(move |c| names.iter().map(|name| accounts::row(c, name)).collect())
    }

    fn list(&self, query: ListRuns) -> Read<Vec<RunRow>> {
        self.read(move |c| read::list(c, &query))
    }

    fn born_with(&self, scope: [u8; 16]) -> Read<Option<(RunNo, RunId, [u8; 16])>> {
        self.read(move |c| read::born_with(c, scope))
    }

    fn session(&self, owner: Owner, id: String) -> Read<Option<SessionRow>> {
        self.read(move |c| sessions::session(c, &owner, &id))
    }

    fn session_of(&self, run: RunNo) -> Read<Option<SessionRow>> {
        self.read(move |c| sessions::session_of(c, run))
    }

    fn sessions(&self, query: ListSessions) -> Read<Vec<SessionRow>> {
        self.read(move |c| sessions::sessions(c, &query))
    }

    fn turns(&self, query: ListTurns) -> Read<Vec<TurnRow>> {
        self.read(move |c| sessions::turns(c, &query))
    }

    fn session_runs(&self, session: Option<SessionNo>, after: RunNo, limit: u32) -> Read<Vec<RunRow>> {
        self.read(move |c| sessions::session_runs(c, session, after, limit))
    }

    fn stats(&self) -> Read<StoreStats> {
        self.read(read::stats)
    }

    fn prune(&self, prune: Prune) -> Read<u64> {
        let found = self.read(move |c| prune::candidates(c, prune));
        let (tell, told) = oneshot::channel();
        let sender = self.writer.sender();
        Box::pin(async move {
            let runs = found.await?;
            if prune.dry_run || runs.is_empty() {
                return Ok(runs.len() as u64);
            }
            sender.send(Job::Prune(runs, tell));
            told.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    fn probe(&self) -> Read<()> {
        self.ask(Job::Probe)
    }
}
