//! The one writer: a thread that takes everything waiting and commits it together.

use crate::sqlite::log::{self, Log};
use crate::sqlite::open::{BUSY, Opened};
use crate::sqlite::prune;
use crate::sqlite::transaction::{Undone, durable};
use crate::sqlite::write::{Interned, apply};
use crate::writer::{Job as _, Writer};
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, TryRecvError};
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

impl crate::writer::Job for Job {
    const CLOSE: Self = Self::Close;

    fn refuse(self, why: &StoreError) {
        match self {
            Self::Write(batch, done) => done(vec![Receipt::Failed(why.clone()); batch.len()]),
            Self::Prune(_, tell) => {
                let _ = tell.send(Err(why.clone()));
            }
            Self::Probe(tell) => {
                let _ = tell.send(Err(why.clone()));
            }
            Self::Close => {}
        }
    }
}

/// Starts the writer.
///
/// # Errors
/// The machine gives no thread.
pub(super) fn start(opened: Opened) -> std::io::Result<Writer<Job>> {
    let Opened { writer, log, lock, file: _ } = opened;
    Writer::start("sqlite-writer", move |jobs| {
        Committer {
            db: writer,
            log: Log::new(log, log::BYTES_MAX),
            interned: Interned::default(),
            verdict: None,
            is_failing: false,
        }
        .run(jobs);
        drop(lock);
    })
}

/// The thread's own.
struct Committer {
    db: Connection,
    log: Log,
    interned: Interned,
    /// Why nothing is written any more.
    verdict: Option<StoreError>,
    /// The last transaction was not committed.
    is_failing: bool,
}

impl Committer {
    fn run(mut self, jobs: &Receiver<Job>) {
        self.db.set_prepared_statement_cache_capacity(64);
        let mut next = None;
        while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
            match (job, &self.verdict) {
                (Job::Close, _) => break,
                (job, Some(verdict)) => job.refuse(verdict),
                (Job::Write(batch, done), None) => next = self.write(batch, done, jobs),
                (Job::Prune(runs, tell), None) => {
                    let pruned = durable(&self.db, |db| prune::remove(db, &runs));
                    let _ = tell.send(pruned.map_err(|undone| self.fail(&undone)));
                }
                (Job::Probe(tell), None) => {
                    let _ = tell.send(self.probe().map_err(|undone| self.fail(&undone)));
                }
            }
        }
        if let Err(e) = log::fold(&self.db) {
            tracing::warn!("the write-ahead log was not folded back at the end: {e}");
        }
    }

    /// Writes some pages, so that a disk with room for a single row does not pass for one that takes work.
    fn probe(&self) -> Result<(), Undone> {
        for value in ["zeroblob(32768)", "1"] {
            let write =
                format!("INSERT INTO meta VALUES('probed', {value}) ON CONFLICT DO UPDATE SET value = excluded.value");
            durable(&self.db, |db| db.execute(&write, []))?;
        }
        Ok(())
    }

    /// Takes what else waits, and commits it all; answers a job that came in between and is no write.
    fn write(&mut self, batch: Vec<Transition>, done: Done, jobs: &Receiver<Job>) -> Option<Job> {
        let mut next = None;
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
        self.commit(batches);
        self.log.look(&self.db, BUSY);
        next
    }

    /// Applies batches in one transaction and tells each what became of it.
    fn commit(&mut self, batches: Vec<(Vec<Transition>, Done)>) {
        let sizes: Vec<usize> = batches.iter().map(|(batch, _)| batch.len()).collect();
        let (batches, dones): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        let interned = &mut self.interned;
        let written = durable(&self.db, |db| {
            batches
                .into_iter()
                .flatten()
                .map(|transition| apply(db, transition, interned))
                .collect::<Result<Vec<_>, _>>()
        });
        let receipts = match written {
            Ok(receipts) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::warn!("the store can be written again");
                }
                receipts
            }
            Err(undone) => {
                self.fail(&undone);
                vec![undone.receipt(); sizes.iter().sum()]
            }
        };
        let mut receipts = receipts.into_iter();
        for (done, size) in dones.into_iter().zip(sizes) {
            done(receipts.by_ref().take(size).collect());
        }
    }

    /// Draws the consequences of a transaction that was not committed.
    fn fail(&mut self, undone: &Undone) -> StoreError {
        // One line when it begins: a full disk must not fill the log as well.
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!("the store cannot be written; nothing new is accepted until it can: {}", undone.error());
        }
        self.interned.forget();
        if self.verdict.is_none() {
            self.verdict = undone.verdict();
            if let Some(verdict) = &self.verdict {
                tracing::error!("{verdict}");
            }
        }
        undone.error()
    }
}
