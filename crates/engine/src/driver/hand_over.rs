//! From a row to a shard: reads everything about a run that was offered, if it needs a worker now.

use crate::driver::engine::Ports;
use crate::driver::lane;
use crate::driver::lanes::Place;
use crate::driver::read::{Entry, decode, fetch_blobs};
use crate::driver::recall::{self, Recall};
use crate::driver::scheduler::Offers;
use crate::driver::share::{Shards, shard_of};
use crate::driver::thread::Word;
use crate::journal::body::Inbox;
use crate::ports::bus::Call;
use crate::ports::queue::Offered;
use crate::ports::share::Loaded;
use crate::ports::store::{RunRow, StoreError};
use crate::run::{RunNo, Status};
use crate::session::OnBusy;
use crate::shard::wire::Adopt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A run whose workflow nobody here knows is given back after so long.
const STRANGE_WAIT: Duration = Duration::from_secs(1);

/// On its way from a row to a shard.
#[derive(Clone)]
pub(super) struct HandOver {
    pub ports: Ports,
    pub recall: Recall,
    pub offers: Offers,
    /// Names and numbers of the workflows that this program has.
    pub known: Arc<[(String, u32)]>,
    pub shards: Shards,
}

impl HandOver {
    /// As [`over`](Self::over), of many runs that a shared store reads together.
    pub async fn over_many(self, mut runs: BTreeMap<RunNo, Option<Offered>>) {
        let Some(share) = self.ports.store.share() else { return };
        match share.load(runs.keys().copied().collect()).await {
            Ok(all) => {
                for loaded in all {
                    let run = loaded.row.run;
                    let Some(offered) = runs.remove(&run) else { continue };
                    let asks_more = loaded.row.session.is_some();
                    let one = self.clone().over(run, offered, Some(loaded));
                    // Whoever has to ask the store for more keeps nobody waiting.
                    if asks_more {
                        tokio::spawn(one);
                    } else {
                        one.await;
                    }
                }
                // These are not there any more.
                for (run, offered) in runs {
                    offered.map(Offered::done).unwrap_or_default();
                    self.offers.moved(run);
                }
            }
            Err(e) => {
                tracing::error!("{} runs cannot be read and are tried again: {e}", runs.len());
                for run in runs.into_keys() {
                    self.offers.lost(run);
                    self.offers.moved(run);
                }
            }
        }
    }

    /// Ends with the run at its shard, or with a word that nobody needs it. What was read of it already is not read again.
    pub async fn over(self, run: RunNo, offered: Option<Offered>, loaded: Option<Loaded>) {
        match self.look_up(run, loaded).await {
            Ok(Looked::Wanted(adopt)) => return shard_of(&self.shards, run).send(Word::Adopt(adopt, offered)),
            Ok(Looked::NotWanted) => {
                if let Some(offered) = offered {
                    offered.done();
                }
            }
            Ok(Looked::Strange) => {
                // Left for others, after a moment: a worker that knows it may be about to start.
                tokio::time::sleep(STRANGE_WAIT).await;
                drop(offered);
            }
            Err(e) => {
                tracing::error!(run = run.0, "the run cannot be read and is tried again: {e}");
                self.offers.lost(run);
            }
        }
        self.offers.moved(run);
    }

    /// Everything about a run, if it needs a worker now.
    async fn look_up(&self, run: RunNo, loaded: Option<Loaded>) -> Result<Looked, StoreError> {
        let Self { ports, recall, offers, .. } = self;
        let (row, rest) = match loaded {
            Some(Loaded { row, inbox, rows }) => (Some(row), Some((inbox, rows))),
            None => (ports.store.run(run).await?, None),
        };
        let Some(row) = row else { return Ok(Looked::NotWanted) };
        if row.status.is_terminal() {
            offers.left(run);
            return Ok(Looked::NotWanted);
        }
        if row.is_elsewhere {
            ports.bus.call(Call::Mail(run));
            return Ok(Looked::NotWanted);
        }
        let is_shared = ports.store.share().is_some();
        if is_shared && !self.known.iter().any(|(name, n)| *name == row.workflow && *n == row.version) {
            tracing::warn!(
                run = run.0,
                "workflow {} {} is not in this program; the run is left for a worker that has it",
                row.workflow,
                row.version
            );
            return Ok(Looked::Strange);
        }
        let (inbox, rows) = match rest {
            Some((inbox, rows)) => (inbox, Some(rows)),
            None => (ports.store.inbox(run).await?, None),
        };
        let is_due = row.due_at.is_some_and(|at| at <= ports.clock.now());
        let is_cancelled = inbox.iter().any(|m| m.kind == Inbox::Cancel as u8);
        let is_wanted = match row.status {
            Status::Running => true,
            // Before its time only a cancel concerns it.
            Status::Queued => is_due || row.due_at.is_none() || is_cancelled,
            _ => is_due || !inbox.is_empty(),
        };
        // A cancel does not wait in line.
        if !is_wanted || (!is_cancelled && offers.lanes.place(run) == Place::Waits) {
            return Ok(Looked::NotWanted);
        }
        let rows = match rows {
            Some(rows) => rows,
            None => ports.store.journal(run, 0, u32::MAX).await?,
        };
        let blobs = fetch_blobs(ports.store.as_ref(), &rows).await?;
        let mut recalled = None;
        if row.session.is_some() && row.parent.is_none() {
            let journal = decode(&rows, &blobs)?;
            if self.waits_in_line(&row, &journal, is_cancelled).await? {
                return Ok(Looked::NotWanted);
            }
            recalled = recall::recalled(ports, recall, &row, &journal).await?;
        }
        Ok(Looked::Wanted(Box::new(Adopt { row, rows, blobs, inbox, recalled })))
    }

    async fn waits_in_line(&self, row: &RunRow, journal: &[Entry], is_cancelled: bool) -> Result<bool, StoreError> {
        if self.ports.store.share().is_none() {
            return Ok(!is_cancelled && waits_in_line(&self.offers, row, journal));
        }
        let Some(session) = self.ports.store.session_of(row.run).await? else { return Ok(false) };
        let is_parallel = recall::queued(journal).is_some_and(|queued| queued.terms.on_busy == OnBusy::Parallel);
        if !is_cancelled && !is_parallel && lane::lane(&self.ports, session.no).await?.waits(row.run) {
            return Ok(true);
        }
        self.offers.taken.note(row.run, session.no);
        Ok(false)
    }
}

/// What a look at a run's row came to.
enum Looked {
    Wanted(Box<Adopt>),
    NotWanted,
    /// This program does not have its workflow.
    Strange,
}

/// Whether a run of a session has to wait for its lane. One that is not in the table enters it, unless it shares its session.
fn waits_in_line(offers: &Offers, row: &RunRow, journal: &[Entry]) -> bool {
    let place = match offers.lanes.place(row.run) {
        Place::Unknown => {
            let terms = recall::queued(journal).map(|queued| queued.terms).unwrap_or_default();
            if terms.on_busy == OnBusy::Parallel {
                return false;
            }
            offers.lanes.enter_again(row, terms)
        }
        known => known,
    };
    place == Place::Waits
}
