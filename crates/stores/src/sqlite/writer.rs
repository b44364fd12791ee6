//! The one writer: a thread that takes everything waiting and commits it together.

use crate::sqlite::prune;
use crate::sqlite::write::{Interned, apply};
use rusqlite::Connection;
use std::fs::File;
use std::sync::mpsc::{Receiver, SendError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tutti_engine::ports::store::{Done, Receipt, StoreError, Transition};
use tutti_engine::run::RunNo;

/// Most transitions in one commit: bounds how long the first of them waits for the last.
const TRANSITIONS_MAX: usize = 4_096;

/// What the writer can be asked to do.
pub(super) enum Job {
    Write(Vec<Transition>, Done),
    Prune(Vec<RunNo>, oneshot::Sender<Result<u64, StoreError>>),
    Probe(oneshot::Sender<Result<(), StoreError>>),
    Close,
}

impl Job {
    /// The store is closed: nothing is written, and whoever submitted it hears so.
    fn refuse(self) {
        if let Self::Write(batch, done) = self {
            done(vec![Receipt::Failed(StoreError::Unavailable("the store is closed".into())); batch.len()]);
        }
    }
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct JobSender(Sender<Job>);

impl JobSender {
    /// After closing, whoever waits for an answer learns from the dropped channel that there is none.
    pub fn send(&self, job: Job) {
        if let Err(SendError(job)) = self.0.send(job) {
            job.refuse();
        }
    }
}

pub(super) struct Writer {
    jobs: JobSender,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    pub fn start(db: Connection, lock: File) -> std::io::Result<Self> {
        let (tx, rx) = channel();
        let thread = std::thread::Builder::new().name("sqlite-writer".into()).spawn(move || {
            run(db, &rx);
            drop(lock);
        })?;
        Ok(Self { jobs: JobSender(tx), thread: Arc::new(Mutex::new(Some(thread))) })
    }

    pub fn send(&self, job: Job) {
        self.jobs.send(job);
    }

    pub fn sender(&self) -> JobSender {
        self.jobs.clone()
    }

    pub fn close(&self) {
        self.send(Job::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended in a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(mut db: Connection, jobs: &Receiver<Job>) {
    db.set_prepared_statement_cache_capacity(64);
    let mut interned = Interned::default();
    let mut next = None;
    let mut is_failing = false;
    while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
        match job {
            Job::Write(batch, done) => {
                let mut count = batch.len();
                let mut batches = vec![(batch, done)];
                while count < TRANSITIONS_MAX {
                    match jobs.try_recv() {
                        Ok(Job::Write(batch, done)) => {
                            count += batch.len();
                            batches.push((batch, done));
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                    }
                }
                let failed = commit(&mut db, batches, &mut interned);
                tell_change(&mut is_failing, failed.as_ref());
            }
            Job::Prune(runs, tell) => {
                let _ = tell.send(prune::remove(&mut db, &runs).map_err(|e| error(&e)));
            }
            Job::Probe(tell) => {
                // Some pages, so that a disk with room for a single row does not pass for one that takes work.
                let wrote = db.execute_batch(
                    "BEGIN IMMEDIATE; INSERT INTO meta VALUES('probed', zeroblob(32768)) ON CONFLICT DO UPDATE SET value = excluded.value;
                     COMMIT; UPDATE meta SET value = 1 WHERE key = 'probed';",
                );
                if wrote.is_err() && !db.is_autocommit() {
                    let _ = db.execute_batch("ROLLBACK");
                }
                let _ = tell.send(wrote.map_err(|e| error(&e)));
            }
            Job::Close => break,
        }
    }
    for job in jobs.try_iter() {
        job.refuse();
    }
    if let Err(e) = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!("the write-ahead log was not folded back at the end: {e}");
    }
}

/// Applies batches in one transaction and tells each what became of it.
fn commit(db: &mut Connection, batches: Vec<(Vec<Transition>, Done)>, interned: &mut Interned) -> Option<Receipt> {
    let sizes: Vec<usize> = batches.iter().map(|(batch, _)| batch.len()).collect();
    let (batches, dones): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
    let mut receipts = Vec::new();
    let written = db.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
        for transition in batches.into_iter().flatten() {
            receipts.push(apply(db, transition, interned)?);
        }
        Ok(())
    });
    let fate = match written {
        Ok(()) => match db.execute_batch("COMMIT") {
            Ok(()) => None,
            Err(e) if db.is_autocommit() => Some(Receipt::Unknown(e.to_string())),
            Err(e) => Some(Receipt::Failed(error(&e))),
        },
        Err(e) => Some(Receipt::Failed(error(&e))),
    };
    if let Some(fate) = fate.clone() {
        if !db.is_autocommit() {
            let _ = db.execute_batch("ROLLBACK");
        }
        interned.forget();
        receipts = vec![fate; sizes.iter().sum()];
    }
    let mut receipts = receipts.into_iter();
    for (done, size) in dones.into_iter().zip(sizes) {
        done(receipts.by_ref().take(size).collect());
    }
    fate
}

/// One line when commits begin to fail and one when they succeed again: a full disk must not fill the log as well.
fn tell_change(is_failing: &mut bool, failed: Option<&Receipt>) {
    match failed {
        Some(fate) if !*is_failing => {
            tracing::error!(?fate, "the store cannot be written; nothing new is accepted until it can")
        }
        None if *is_failing => tracing::warn!("the store can be written again"),
        _ => {}
    }
    *is_failing = failed.is_some();
}

/// An SQLite error as the port's.
pub(super) fn error(e: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    match e.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Damaged(e.to_string()),
        Some(DiskFull) => StoreError::Unavailable("the disk is full".into()),
        _ => StoreError::Unavailable(e.to_string()),
    }
}
