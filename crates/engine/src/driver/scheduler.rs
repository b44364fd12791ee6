//! Which run next: runs without an owner, by rank, as long as there is room. Finds again what a crash left behind.
//!
//! Where several processes share the store, the others are offered what there is no room for here, and sweeping takes from the
//! store what nobody else has.

use crate::driver::engine::{Ports, SubmitError};
use crate::driver::hand_over::HandOver;
use crate::driver::lane::{self, Taken};
use crate::driver::lanes::{Lanes, Place};
use crate::driver::options::Options;
use crate::driver::share;
use crate::driver::thread::{AcceptedTx, Announced, Gauge, Mailbox, Word};
use crate::ports::queue::Offered;
use crate::ports::store::{InboxItem, OpenRun, StoreError};
use crate::run::{RunId, RunNo, Status, Time};
use crate::session::SessionNo;
use crate::shard::wire::Input;
use crate::workflow::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// Runs looked up in the store at once.
const READS_MAX: usize = 32;
/// Runs on their way from a shared store at once.
const TOGETHER_MAX: usize = 256;
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
    /// Others may take it, too.
    Queued(RunNo, u8),
    Offered(Vec<Offered>),
    /// There may be something in the store.
    Look,
    /// A run of this session has left memory.
    LeftLane(SessionNo),
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
    /// Who may go on in each session, where this process has the store alone.
    pub lanes: Arc<Lanes>,
    /// Runs of sessions that are in memory, where it has not.
    pub taken: Arc<Taken>,
}

impl Offers {
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Note>) {
        let (notes, rx) = mpsc::unbounded_channel();
        let (backlog, room, lanes, taken) = Default::default();
        (Self { notes, backlog, room, lanes, taken }, rx)
    }

    fn note(&self, note: Note) {
        // A scheduler that has stopped takes up nothing; what it missed is in the store.
        let _ = self.notes.send(note);
    }

    /// A run that waits for its first worker.
    pub fn queued(&self, run: RunNo, priority: u8) {
        self.note(Note::Queued(run, priority));
    }

    /// What the queue has brought.
    pub fn offered(&self, offered: Vec<Offered>) {
        self.note(Note::Offered(offered));
    }

    /// Somebody says that there is something to do.
    pub fn look(&self) {
        self.note(Note::Look);
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
        self.left_lane(run);
    }

    /// In a shared store the next of a lane is asked for.
    fn left_lane(&self, run: RunNo) {
        if let Some(session) = self.taken.left(run) {
            self.note(Note::LeftLane(session));
        }
    }

    /// A run left memory to wait; it may have said that others need not wait with it.
    pub fn left_while_waiting(&self, run: RunNo) {
        if let Some(next) = self.lanes.parked(run) {
            self.offer(next);
        }
        self.left_lane(run);
    }

    /// Was this run accepted? Only the store knows.
    pub fn verify(&self, run: RunNo, id: RunId, reply: AcceptedTx) {
        self.note(Note::Verify(run, id, reply));
    }
}

pub(crate) struct Scheduler {
    ports: Ports,
    options: Options,
    offers: Offers,
    shards: Vec<(Mailbox, Arc<Gauge>)>,
    /// Names and numbers of the workflows that this program has.
    known: Arc<[(String, u32)]>,
    is_shared: bool,
    /// Waiting for room, by rank.
    queue: BTreeSet<(i64, RunNo)>,
    ranks: BTreeMap<RunNo, i64>,
    /// Being looked up and handed over.
    moving: BTreeSet<RunNo>,
    /// Offers for those that wait.
    offered: BTreeMap<RunNo, Offered>,
    next_due: Option<Time>,
    /// The last sweep left rows behind.
    is_cut: bool,
    /// The room that the queue was told of.
    room_told: Option<usize>,
    /// When what runs here by the store's word is held against what is in memory.
    own_at: tokio::time::Instant,
}

impl Scheduler {
    pub fn new(
        ports: Ports,
        options: Options,
        registry: &Registry,
        offers: Offers,
        shards: Vec<(Mailbox, Arc<Gauge>)>,
    ) -> Self {
        Self {
            is_shared: ports.store.share().is_some(),
            known: registry.known().into(),
            ports,
            options,
            offers,
            shards,
            queue: BTreeSet::new(),
            ranks: BTreeMap::new(),
            moving: BTreeSet::new(),
            offered: BTreeMap::new(),
            next_due: None,
            is_cut: false,
            room_told: None,
            own_at: tokio::time::Instant::now(),
        }
    }

    pub async fn run(mut self, mut notes: mpsc::UnboundedReceiver<Note>) {
        self.sweep().await;
        let room = Arc::clone(&self.offers.room);
        loop {
            self.dispatch();
            self.tell_room();
            let now = self.ports.clock.now();
            let sweep = self.ports.store.share().map_or(SWEEP, |share| share.sweep_every());
            let wake = self.next_due.map_or(sweep, |due| now.until(due).min(sweep)).max(Duration::from_millis(1));
            tokio::select! {
                note = notes.recv() => {
                    let Some(note) = note else { return };
                    let mut looks = self.hear(note);
                    // Words come in crowds, and one look answers them all.
                    while let Ok(note) = notes.try_recv() {
                        looks |= self.hear(note);
                    }
                    if looks {
                        self.take().await;
                    }
                },
                () = room.notified() => {
                    if self.is_cut && self.is_shared {
                        self.take().await;
                    } else if self.is_cut && self.queue.len() < QUEUE_MAX / 2 {
                        self.sweep().await;
                    }
                }
                () = tokio::time::sleep(wake) => self.sweep().await,
            }
        }
    }

    /// True when the store should be looked at.
    fn hear(&mut self, note: Note) -> bool {
        match note {
            Note::Offer(run, priority) if self.options.works => self.enqueue(run, self.rank(priority)),
            Note::Offer(run, priority) => {
                tokio::spawn(share::pass_on(self.ports.clone(), self.offers.clone(), run, priority));
            }
            Note::Queued(run, priority) if self.is_shared && self.room() == 0 => {
                share::offer(&self.ports, run, priority);
            }
            Note::Queued(run, priority) => self.enqueue(run, self.rank(priority)),
            Note::Offered(offered) => {
                for offer in offered {
                    self.enqueue(offer.run, self.rank(offer.priority));
                    // One that is here already has been offered twice: the later word stands for both.
                    if let Some(twin) = self.offered.insert(offer.run, offer) {
                        twin.done();
                    }
                }
            }
            Note::Look => return self.options.works,
            Note::LeftLane(session) => {
                tokio::spawn(lane::offer_next(self.ports.clone(), self.offers.clone(), session));
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
        false
    }

    fn rank(&self, priority: u8) -> i64 {
        self.ports.clock.now().0 - i64::from(priority) * PRIORITY_MS
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

    /// How many more runs this process can take.
    fn room(&self) -> usize {
        let busy = self.live() + self.moving.len() + self.queue.len();
        if self.options.works { self.options.live_runs_max.saturating_sub(busy) } else { 0 }
    }

    fn tell_room(&mut self) {
        let Some(queue) = &self.ports.queue else { return };
        let room = self.room();
        if self.room_told != Some(room) {
            self.room_told = Some(room);
            queue.room(room);
        }
    }

    /// Hands over as many runs as there is room for.
    fn dispatch(&mut self) {
        // One question reads many from a shared store; others are asked run by run.
        let reads_max = if self.is_shared { TOGETHER_MAX } else { READS_MAX };
        let mut together = BTreeMap::new();
        while self.moving.len() < reads_max && self.live() + self.moving.len() < self.options.live_runs_max {
            let Some((_, run)) = self.queue.pop_first() else { break };
            self.ranks.remove(&run);
            if !self.moving.insert(run) {
                // Its earlier hand-over is still going on; what made it runnable again may come too late for that.
                self.offers.lost(run);
                continue;
            }
            let offered = self.offered.remove(&run);
            if self.is_shared {
                together.insert(run, offered);
            } else {
                tokio::spawn(self.hand().over(run, offered, None));
            }
        }
        if !together.is_empty() {
            tokio::spawn(self.hand().over_many(together));
        }
        self.offers.backlog.store(self.queue.len(), Ordering::Relaxed);
    }

    fn hand(&self) -> HandOver {
        HandOver {
            ports: self.ports.clone(),
            recall: self.options.recall.clone(),
            offers: self.offers.clone(),
            known: Arc::clone(&self.known),
            shards: self.shards.clone(),
        }
    }

    /// Asks the store for every run that may need a worker, and takes up those that no shard holds.
    async fn sweep(&mut self) {
        let now = self.ports.clock.now();
        if self.is_shared {
            self.take().await;
            self.fetch_mail().await;
            if tokio::time::Instant::now() >= self.own_at {
                self.own_at = tokio::time::Instant::now() + SWEEP;
                self.find_lost(now).await;
            }
        } else {
            self.sweep_all(now).await;
        }
        self.next_due = self.ports.store.next_due(now).await.unwrap_or(None);
    }

    async fn sweep_all(&mut self, now: Time) {
        self.is_cut = false;
        let mut after = RunNo(0);
        loop {
            let page = match self.ports.store.open_runs(now, after, PAGE).await {
                Ok(page) => page,
                Err(e) => return cannot_look(&e),
            };
            let Some(last) = page.last() else { break };
            after = last.run;
            let is_full = page.len() == PAGE as usize;
            self.take_up(now, page).await;
            if !is_full || self.is_cut {
                break;
            }
        }
    }

    /// Takes from a shared store what nobody else has, as much as there is room for.
    async fn take(&mut self) {
        let now = self.ports.clock.now();
        let limit = u32::try_from(self.room()).unwrap_or(u32::MAX).min(PAGE);
        let Some(share) = self.ports.store.share().filter(|_| limit > 0) else {
            self.is_cut = true;
            return;
        };
        if !share.is_owner() {
            return;
        }
        match share.take(now, limit, &self.known).await {
            Ok(taken) => {
                self.is_cut = taken.len() >= limit as usize;
                self.take_up(now, taken).await;
            }
            Err(e) => cannot_look(&e),
        }
    }

    /// Runs that are this process' own by the store's word, and that no shard holds.
    async fn find_lost(&mut self, now: Time) {
        let mut after = RunNo(0);
        loop {
            let Some(share) = self.ports.store.share().filter(|share| share.is_owner()) else { return };
            let page = match share.own(after, PAGE).await {
                Ok(page) => page,
                Err(e) => return cannot_look(&e),
            };
            let Some(last) = page.last() else { return };
            after = last.run;
            self.take_up(now, page).await;
        }
    }

    /// Messages for runs in memory here that nobody told us of.
    async fn fetch_mail(&self) {
        let Some(share) = self.ports.store.share() else { return };
        let items = match share.mail(PAGE).await {
            Ok(items) => items,
            Err(e) => return cannot_look(&e),
        };
        let mut by_run: BTreeMap<RunNo, Vec<InboxItem>> = BTreeMap::new();
        for item in items {
            by_run.entry(item.run).or_default().push(item);
        }
        for (run, items) in by_run {
            share::shard_of(&self.shards, run).send(Word::Input(Input::Inbox(run, items)));
        }
    }

    async fn take_up(&mut self, now: Time, page: Vec<OpenRun>) {
        let is_shared = self.is_shared;
        let is_due =
            |run: &OpenRun| is_shared || run.status == Status::Running || run.due_at.is_none_or(|at| at <= now);
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

fn cannot_look(e: &StoreError) {
    tracing::error!("runs that need a worker cannot be looked up, trying again in {SWEEP:?}: {e}");
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
