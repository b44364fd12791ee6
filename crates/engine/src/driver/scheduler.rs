//! Which run next: runs without an owner, by rank, as long as there is room. Finds again what a crash left behind.

use crate::driver::engine::{Ports, SubmitError};
use crate::driver::lanes::{Lanes, Place};
use crate::driver::options::Options;
use crate::driver::read::{Entry, decode, fetch_blobs};
use crate::driver::recall::{self, Recall};
use crate::driver::thread::{AcceptedTx, Announced, Gauge, Mailbox, Word};
use crate::journal::body::Inbox;
use crate::ports::store::{OpenRun, RunRow, StoreError};
use crate::run::{RunId, RunNo, Status, Time};
use crate::session::OnBusy;
use crate::shard::wire::Adopt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// Runs looked up in the store at once.
const READS_MAX: usize = 32;
/// Even with all hints lost, a due run is found after this long.
const SWEEP: Duration = Duration::from_secs(5);
/// Runs per page of a sweep.
const PAGE: u32 = 1_000;
/// Runs known to wait for room; beyond that they are only rows until some have left.
const QUEUE_MAX: usize = 100_000;
/// A lost run is not picked up again at once: whatever lost it may need a moment.
const LOST_WAIT: Duration = Duration::from_millis(100);
/// Ten seconds of waiting are worth one step of priority, so nothing starves.
const PRIORITY_MS: i64 = 10_000;
/// What was begun goes before what was not.
const BEGUN: u8 = 9;

/// A word to the scheduler.
pub(crate) enum Note {
    Offer(RunNo, u8),
    Parked(Option<Time>),
    Moved(RunNo),
    Lost(RunNo),
    Verify(RunNo, RunId, AcceptedTx),
}

/// The way to the scheduler.
#[derive(Clone)]
pub(crate) struct Offers {
    notes: mpsc::UnboundedSender<Note>,
    /// Runs known to wait for a worker.
    pub backlog: Arc<AtomicUsize>,
    /// A run has left memory: there is room.
    pub room: Arc<Notify>,
    /// Who may go on in each session.
    pub lanes: Arc<Lanes>,
}

impl Offers {
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Note>) {
        let (notes, rx) = mpsc::unbounded_channel();
        (Self { notes, backlog: Arc::default(), room: Arc::default(), lanes: Arc::default() }, rx)
    }

    fn note(&self, note: Note) {
        // A scheduler that has stopped takes up nothing; what it missed is in the store.
        let _ = self.notes.send(note);
    }

    /// A run that waits for its first worker.
    pub fn queued(&self, run: RunNo, priority: u8) {
        self.note(Note::Offer(run, priority));
    }

    /// A run that was begun and may go on.
    pub fn offer(&self, run: RunNo) {
        self.note(Note::Offer(run, BEGUN));
    }

    /// Some run waits until `due`, or for a message.
    pub fn parked(&self, due: Option<Time>) {
        self.note(Note::Parked(due));
    }

    /// A run left memory in disorder.
    pub fn lost(&self, run: RunNo) {
        self.note(Note::Lost(run));
    }

    /// A shard has it, or nobody needs it.
    pub fn moved(&self, run: RunNo) {
        self.note(Note::Moved(run));
    }

    /// A run has ended, or was never born: the next in its session's lane may begin.
    pub fn left(&self, run: RunNo) {
        if let Some(next) = self.lanes.left(run) {
            self.offer(next);
        }
    }

    /// A run left memory to wait; it may have said that others need not wait with it.
    pub fn left_while_waiting(&self, run: RunNo) {
        if let Some(next) = self.lanes.parked(run) {
            self.offer(next);
        }
    }

    /// Was this run accepted? Only the store knows.
    pub fn verify(&self, run: RunNo, id: RunId, reply: AcceptedTx) {
        self.note(Note::Verify(run, id, reply));
    }
}

pub(crate) struct Scheduler {
    pub ports: Ports,
    pub options: Options,
    pub offers: Offers,
    pub shards: Vec<(Mailbox, Arc<Gauge>)>,
    /// Waiting for room, by rank.
    pub queue: BTreeSet<(i64, RunNo)>,
    pub ranks: BTreeMap<RunNo, i64>,
    /// Being looked up and handed over.
    pub moving: BTreeSet<RunNo>,
    pub next_due: Option<Time>,
    /// The last sweep left rows behind.
    pub is_cut: bool,
}

impl Scheduler {
    pub async fn run(mut self, mut notes: mpsc::UnboundedReceiver<Note>) {
        self.sweep().await;
        let room = Arc::clone(&self.offers.room);
        loop {
            self.dispatch();
            let now = self.ports.clock.now();
            let wake = self.next_due.map_or(SWEEP, |due| now.until(due).min(SWEEP)).max(Duration::from_millis(1));
            tokio::select! {
                note = notes.recv() => match note {
                    Some(note) => self.hear(note),
                    None => return,
                },
                () = room.notified() => {
                    if self.is_cut && self.queue.len() < QUEUE_MAX / 2 {
                        self.sweep().await;
                    }
                }
                () = tokio::time::sleep(wake) => self.sweep().await,
            }
        }
    }

    fn hear(&mut self, note: Note) {
        match note {
            Note::Offer(run, priority) => {
                let rank = self.ports.clock.now().0 - i64::from(priority) * PRIORITY_MS;
                self.enqueue(run, rank);
            }
            Note::Parked(due) => self.next_due = [self.next_due, due].into_iter().flatten().min(),
            Note::Moved(run) => {
                self.moving.remove(&run);
            }
            Note::Lost(run) => {
                let offers = self.offers.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(LOST_WAIT).await;
                    offers.offer(run);
                });
            }
            Note::Verify(run, id, reply) => {
                tokio::spawn(verify(self.ports.clone(), self.offers.clone(), run, id, reply));
            }
        }
    }

    fn enqueue(&mut self, run: RunNo, rank: i64) {
        if self.queue.len() >= QUEUE_MAX {
            self.is_cut = true;
            return;
        }
        if let std::collections::btree_map::Entry::Vacant(entry) = self.ranks.entry(run) {
            entry.insert(rank);
            self.queue.insert((rank, run));
            self.offers.backlog.store(self.queue.len(), Ordering::Relaxed);
        }
    }

    fn live(&self) -> usize {
        self.shards.iter().map(|(_, gauge)| gauge.live.load(Ordering::Relaxed)).sum()
    }

    /// Hands over as many runs as there is room for.
    fn dispatch(&mut self) {
        while self.moving.len() < READS_MAX && self.live() + self.moving.len() < self.options.live_runs_max {
            let Some((_, run)) = self.queue.pop_first() else { break };
            self.ranks.remove(&run);
            if !self.moving.insert(run) {
                // Its earlier hand-over is still going on; what made it runnable again may come too late for that.
                self.offers.lost(run);
                continue;
            }
            let shard = usize::try_from(run.0).unwrap_or(0) % self.shards.len();
            let (ports, recall) = (self.ports.clone(), self.options.recall.clone());
            tokio::spawn(hand_over(ports, recall, self.offers.clone(), self.shards[shard].0.clone(), run));
        }
        self.offers.backlog.store(self.queue.len(), Ordering::Relaxed);
    }

    /// Asks the store for every run that may need a worker, and takes up those that no shard holds.
    async fn sweep(&mut self) {
        let now = self.ports.clock.now();
        self.is_cut = false;
        let mut after = RunNo(0);
        loop {
            let page = match self.ports.store.open_runs(now, after, PAGE).await {
                Ok(page) => page,
                Err(e) => {
                    tracing::error!("runs that need a worker cannot be looked up, trying again in {SWEEP:?}: {e}");
                    break;
                }
            };
            let Some(last) = page.last() else { break };
            after = last.run;
            let is_full = page.len() == PAGE as usize;
            self.take_up(now, page).await;
            if !is_full || self.is_cut {
                break;
            }
        }
        self.next_due = self.ports.store.next_due(now).await.unwrap_or(None);
    }

    async fn take_up(&mut self, now: Time, page: Vec<OpenRun>) {
        let is_due = |run: &OpenRun| run.status == Status::Running || run.due_at.is_none_or(|at| at <= now);
        let mut wanted: BTreeMap<RunNo, OpenRun> = page
            .into_iter()
            .filter(is_due)
            .filter(|run| !self.ranks.contains_key(&run.run) && !self.moving.contains(&run.run))
            .filter(|run| self.offers.lanes.place(run.run) != Place::Waits)
            .map(|run| (run.run, run))
            .collect();
        if wanted.is_empty() {
            return;
        }
        for (mailbox, _) in &self.shards {
            let (tell, held) = oneshot::channel();
            mailbox.send(Word::Holds(wanted.keys().copied().collect(), tell));
            for run in held.await.unwrap_or_default() {
                wanted.remove(&run);
            }
        }
        for (no, run) in wanted {
            let priority = if run.status == Status::Queued { run.priority } else { BEGUN };
            self.enqueue(no, run.id.born().0 - i64::from(priority) * PRIORITY_MS);
        }
    }
}

async fn hand_over(ports: Ports, recall: Recall, offers: Offers, shard: Mailbox, run: RunNo) {
    match look_up(&ports, &recall, &offers, run).await {
        Ok(Some(adopt)) => return shard.send(Word::Adopt(Box::new(adopt))),
        Ok(None) => {}
        Err(e) => {
            tracing::error!(run = run.0, "the run cannot be read and is tried again: {e}");
            offers.lost(run);
        }
    }
    offers.moved(run);
}

/// Everything about a run, if it needs a worker now.
async fn look_up(ports: &Ports, recall: &Recall, offers: &Offers, run: RunNo) -> Result<Option<Adopt>, StoreError> {
    let Some(row) = ports.store.run(run).await? else { return Ok(None) };
    if row.status.is_terminal() {
        offers.left(run);
        return Ok(None);
    }
    let inbox = ports.store.inbox(run).await?;
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
        return Ok(None);
    }
    let rows = ports.store.journal(run, 0, u32::MAX).await?;
    let blobs = fetch_blobs(ports.store.as_ref(), &rows).await?;
    let mut recalled = None;
    if row.session.is_some() && row.parent.is_none() {
        let journal = decode(&rows, &blobs)?;
        if !is_cancelled && waits_in_line(offers, &row, &journal) {
            return Ok(None);
        }
        recalled = recall::recalled(ports, recall, &row, &journal).await?;
    }
    Ok(Some(Adopt { row, rows, blobs, inbox, recalled }))
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

async fn verify(ports: Ports, offers: Offers, run: RunNo, id: RunId, reply: AcceptedTx) {
    let answer = match ports.store.run_by_id(id).await {
        Ok(Some(row)) => {
            offers.offer(run);
            Ok(Announced::Accepted { run, status: row.status, end: None, journal: Vec::new() })
        }
        Ok(None) => {
            offers.left(run);
            Err(SubmitError::Store(StoreError::Unavailable("the run was not written".into())))
        }
        Err(e) => Err(SubmitError::Store(e)),
    };
    let _ = reply.send(answer);
}
