//! The one writer of a process: a thread that takes everything waiting and commits it together.
//!
//! It has a runtime of its own, so no caller that goes away can leave a transaction half done.

use crate::postgres::bulk::{self, Put};
use crate::postgres::db::{Db, Place, detail, error, is_lost};
use crate::postgres::exact::{self, Writing};
use crate::postgres::words::Words;
use crate::postgres::worker::Lease;
use crate::writer::Writer;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use tokio_postgres::Error;
use tutti_engine::ports::store::{Done, Receipt, Refusal, StoreError, Transition};

/// Most transitions in one commit: bounds how long the first of them waits for the last.
const TRANSITIONS_MAX: usize = 2_048;
/// How long a group is held while the database cannot be reached: a restart should cost time only.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tries of a group that met another process's locks.
const TRIES_MAX: u32 = 5;
/// Few rows are looked up by many transactions: a plan that reads whole tables is never right here.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";

pub(super) enum Job {
    Write(Vec<Transition>, Done),
    Close,
}

impl crate::writer::Job for Job {
    const CLOSE: Self = Self::Close;

    fn refuse(self, why: &StoreError) {
        if let Self::Write(batch, done) = self {
            done(vec![Receipt::Failed(why.clone()); batch.len()]);
        }
    }
}

/// Starts the writer.
///
/// # Errors
/// The machine gives no thread.
pub(super) fn start(place: Place, lease: Arc<Lease>) -> std::io::Result<Writer<Job>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Writer::start("postgres-writer", move |jobs| {
        let mut committer = Committer { place, lease, db: None, words: Words::default(), is_failing: false };
        committer.run(&runtime, jobs);
    })
}

/// The thread's own.
struct Committer {
    place: Place,
    lease: Arc<Lease>,
    db: Option<Db>,
    words: Words,
    is_failing: bool,
}

impl Committer {
    fn run(&mut self, runtime: &tokio::runtime::Runtime, jobs: &Receiver<Job>) {
        let mut batches: Vec<(Vec<Transition>, Done)> = Vec::new();
        while let Ok(Job::Write(batch, done)) = jobs.recv() {
            let mut count = batch.len();
            batches.push((batch, done));
            let mut is_closing = false;
            while count < TRANSITIONS_MAX {
                match jobs.try_recv() {
                    Ok(Job::Write(batch, done)) => {
                        count += batch.len();
                        batches.push((batch, done));
                    }
                    Ok(Job::Close) => is_closing = true,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
                if is_closing {
                    break;
                }
            }
            let sizes: Vec<usize> = batches.iter().map(|(batch, _)| batch.len()).collect();
            let (groups, dones): (Vec<_>, Vec<_>) = batches.drain(..).unzip();
            let group: Vec<Transition> = groups.into_iter().flatten().collect();
            let mut receipts = runtime.block_on(self.commit(&group)).into_iter();
            for (done, size) in dones.into_iter().zip(sizes) {
                done(receipts.by_ref().take(size).collect());
            }
            if is_closing {
                break;
            }
        }
        runtime.block_on(self.leave());
    }

    /// Others need not wait for the lease to end.
    async fn leave(&mut self) {
        let db = match self.db.take() {
            Some(db) if !db.client.is_closed() => Ok(db),
            _ => self.place.connect("SET statement_timeout = '2s'").await,
        };
        let left = match db {
            Ok(mut db) => self.lease.leave(&mut db).await,
            Err(e) => Err(e),
        };
        if let Err(e) = left {
            tracing::debug!("the lease was not given back and ends by itself: {}", detail(&e));
        }
    }

    /// Writes a group; tries again over a new connection for as long as patience lasts.
    async fn commit(&mut self, group: &[Transition]) -> Vec<Receipt> {
        let begun = Instant::now();
        let mut is_again = false;
        let mut tries = 0;
        let mut pause = Duration::from_millis(20);
        loop {
            let e = match self.attempt(group, is_again).await {
                Ok(receipts) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::warn!("the store can be written again");
                    }
                    return receipts;
                }
                Err(e) => e,
            };
            self.words = Words::default();
            let is_lost = is_lost(&e);
            if is_lost {
                // It may have been on its way to the disk: from now on, what is there already counts.
                is_again |= self.db.take().is_some();
            } else if !exact::is_retryable(&e) || tries >= TRIES_MAX {
                self.fail(&e);
                return vec![Receipt::Failed(error(&e)); group.len()];
            }
            tries += 1;
            if begun.elapsed() > PATIENCE {
                self.fail(&e);
                let receipt = if is_again { Receipt::Unknown(detail(&e)) } else { Receipt::Failed(error(&e)) };
                return vec![receipt; group.len()];
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    async fn attempt(&mut self, group: &[Transition], is_again: bool) -> Result<Vec<Receipt>, Error> {
        let db = match &mut self.db {
            Some(db) if !db.client.is_closed() => db,
            slot => slot.insert(self.place.connect(SETTINGS).await?),
        };
        let me = self.lease.worker();
        self.words.learn(db, group).await?;
        if is_again {
            return one_by_one(db, group, &Writing { words: &self.words, me, is_again }).await;
        }
        let writing = Writing { words: &self.words, me, is_again: false };
        match together(db, group, &writing).await {
            Ok(receipts) => Ok(receipts),
            Err(e) if is_lost(&e) || exact::is_retryable(&e) => {
                if !is_lost(&e) {
                    db.client.batch_execute("ROLLBACK").await?;
                }
                Err(e)
            }
            // Somebody is refused; nothing is written yet.
            Err(_) => {
                db.client.batch_execute("ROLLBACK").await?;
                one_by_one(db, group, &writing).await
            }
        }
    }

    fn fail(&mut self, e: &Error) {
        // One line when it begins.
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!("the store cannot be written; nothing new is accepted until it can: {}", detail(e));
        }
    }
}

/// The whole group at once; an error means that nothing is written, unless the connection was lost.
async fn together(db: &mut Db, group: &[Transition], writing: &Writing<'_>) -> Result<Vec<Receipt>, Error> {
    let (plain, special) = bulk::split(group);
    let columns: Vec<&Transition> = plain.iter().map(|i| &group[*i]).collect();
    let mut put = bulk::write(db, &columns, writing.words, writing.me, special.is_empty()).await?;
    let mut receipts = vec![Receipt::Committed; group.len()];
    if !special.is_empty() {
        for i in special {
            receipts[i] = exact::apply(db, &group[i], writing).await?;
        }
        db.execute("COMMIT", &[]).await?;
    }
    for i in plain {
        if let Some(refusal) = not_put(db, &group[i], &mut put).await {
            receipts[i] = Receipt::Refused(refusal);
        }
    }
    Ok(receipts)
}

/// Why a lone message was not taken, if so; the first of several equal ones was. The group is written: nothing here may fail it.
async fn not_put(db: &mut Db, transition: &Transition, put: &mut Put) -> Option<Refusal> {
    let mut was_put = true;
    for item in &transition.inbox_put {
        was_put = put.remove(&(item.run.0, item.dedup.clone()));
    }
    let is_lone =
        transition.appends.is_empty() && transition.inbox_done.is_empty() && transition.session_drop.is_none();
    let [item] = transition.inbox_put.as_slice() else { return None };
    if !is_lone || was_put {
        return None;
    }
    Some(exact::why_not(db, item.run).await.unwrap_or(Refusal::Duplicate))
}

async fn one_by_one(db: &mut Db, group: &[Transition], writing: &Writing<'_>) -> Result<Vec<Receipt>, Error> {
    db.execute("BEGIN", &[]).await?;
    let mut receipts = Vec::with_capacity(group.len());
    for transition in group {
        match exact::apply(db, transition, writing).await {
            Ok(receipt) => receipts.push(receipt),
            Err(e) => {
                if !is_lost(&e) {
                    db.client.batch_execute("ROLLBACK").await?;
                }
                return Err(e);
            }
        }
    }
    db.execute("COMMIT", &[]).await?;
    Ok(receipts)
}
