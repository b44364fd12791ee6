//! The engine's face: submit, wait, send, read, follow, stop.

use crate::account::Overdrawn;
use crate::driver::calls::Calls;
use crate::driver::numbers::Numbers;
use crate::driver::options::{Options, Retention};
use crate::driver::read::{Entry, Events, complete, entries};
use crate::driver::recall::{commit, failure};
use crate::driver::retention;
use crate::driver::scheduler::{Offers, Scheduler};
use crate::driver::sessions::Placed;
use crate::driver::share;
use crate::driver::thread::{Announced, Gauge, Mailbox, Shard, Word};
use crate::event::{Class, Kind};
use crate::journal::body::{Blocked, CancelRequested, Decision, Ended, Inbox, RunError, Signal};
use crate::ports::bus::{Bus, ENDED};
use crate::ports::cache::Cache;
use crate::ports::clock::Clock;
use crate::ports::outbound::Outbound;
use crate::ports::queue::Queue;
use crate::ports::store::{InboxItem, Receipt, Refusal, Row, Store, StoreError, Transition};
use crate::run::{RunId, RunNo, Status, Submit, Time};
use crate::shard::core::Core;
use crate::shard::wire::{Input, Start};
use crate::workflow::Registry;
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// A poll that takes longer than this will not end: the process is stopped, so that the run is counted and others go on.
const POLL_MAX: Duration = Duration::from_secs(30);

/// Even with every word lost, whoever waits for an end looks again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

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
    /// Offers between processes, where there is something for it.
    pub queue: Option<Arc<dyn Queue>>,
    /// What may be forgotten, where there is something for it.
    pub cache: Option<Arc<dyn Cache>>,
}

impl Ports {
    /// Everything in memory: for tests and for trying things out. Nothing outlives the process.
    #[must_use]
    pub fn in_memory(outbound: Arc<dyn Outbound>) -> Self {
        Self {
            store: Arc::new(crate::memory::store::MemoryStore::new()),
            bus: Arc::new(crate::memory::bus::LocalBus::new()),
            clock: Arc::new(crate::driver::SystemClock::default()),
            outbound,
            queue: None,
            cache: None,
        }
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
    /// Its whole journal, where it was waited for and the journal is at hand; see [`Engine::read`].
    pub journal: Vec<Row>,
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
    /// The session has a run, and this one does not want to wait.
    #[error("the session is busy with run {id}")]
    SessionBusy {
        /// Who holds its lane.
        id: RunId,
    },
    /// An account has too little left; nothing was accepted.
    #[error(transparent)]
    Overdrawn(#[from] Overdrawn),
    /// The engine is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The store refused or cannot be reached; nothing was accepted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an engine does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine gives no thread.
    #[error("no thread could be started: {0}")]
    Thread(String),
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

/// How the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Runs in memory.
    pub live_runs: usize,
    /// Runs known to wait for a worker.
    pub backlog_runs: usize,
    /// Whether it takes new work.
    pub is_draining: bool,
}

pub(super) struct Inner {
    pub ports: Ports,
    pub options: Options,
    registry: Registry,
    pub offers: Offers,
    pub shards: Vec<(Mailbox, Arc<Gauge>)>,
    pub numbers: Arc<Numbers>,
    pub turn: AtomicUsize,
    submits: AtomicUsize,
    is_draining: AtomicBool,
    tasks: Vec<tokio::task::AbortHandle>,
}

/// Durable runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

/// Counts a submission being written.
struct Writing<'a>(&'a AtomicUsize);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Engine {
    /// Starts an engine inside a tokio runtime, and picks up every run that is open in the store.
    ///
    /// # Errors
    /// The store cannot be read, or no thread can be started.
    pub async fn start(ports: Ports, registry: Registry, options: Options) -> Result<Self, StartError> {
        let numbers = Numbers::of(&ports.store, options.shards).await?;
        let (offers, notes) = Offers::channel();
        if ports.store.share().is_none() {
            offers.lanes.fill(ports.store.as_ref(), ports.clock.now()).await?;
        }
        let call_slots = Arc::new(Semaphore::new(options.calls_max));
        let mut shards = Vec::new();
        for index in 0..options.shards {
            let (tx, words) = mpsc::channel();
            let (mailbox, gauge) = (Mailbox(tx), Arc::new(Gauge::default()));
            shards.push((mailbox.clone(), Arc::clone(&gauge)));
            let calls = Calls::new(tokio::runtime::Handle::current(), ports.clone(), Arc::clone(&call_slots));
            let (registry, core, ports, offers, numbers) =
                (registry.clone(), options.core.clone(), ports.clone(), offers.clone(), Arc::clone(&numbers));
            let observer = options.observer.clone();
            std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || {
                    // Runs live and die on this thread: the core is made here and never moves.
                    let core = Core::new(registry, core, Rc::new(move || numbers.take(index)));
                    let mut shard = Shard::new(core, ports, calls, offers, gauge, mailbox);
                    shard.observer = observer;
                    shard.run(&words);
                })
                .map_err(|e| StartError::Thread(e.to_string()))?;
        }
        watch(&shards, Arc::clone(&ports.clock)).map_err(|e| StartError::Thread(e.to_string()))?;
        let scheduler = Scheduler::new(ports.clone(), options.clone(), &registry, offers.clone(), shards.clone());
        let mut tasks = vec![
            tokio::spawn(scheduler.run(notes)).abort_handle(),
            tokio::spawn(retention::keep_pruning(ports.clone(), options.retention)).abort_handle(),
            tokio::spawn(Arc::clone(&numbers).keep_reserving(Arc::clone(&ports.store))).abort_handle(),
        ];
        if ports.store.share().is_some() {
            tasks.extend(share::join(&ports, &offers, &shards, options.works));
        }
        let (turn, submits, is_draining) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let inner = Inner { ports, options, registry, offers, shards, numbers, turn, submits, is_draining, tasks };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Make a run durable and start it when there is room. On return it is accepted: it will end.
    ///
    /// # Errors
    /// Nothing was accepted; see [`SubmitError`].
    pub async fn submit(&self, submit: Submit) -> Result<Accepted, SubmitError> {
        self.begin(submit, None).await
    }

    /// As [`submit`](Self::submit), then wait at most `wait` for its end.
    ///
    /// # Errors
    /// Nothing was accepted; see [`SubmitError`].
    pub async fn submit_and_wait(&self, submit: Submit, wait: Duration) -> Result<Accepted, SubmitError> {
        self.begin(submit, Some(wait)).await
    }

    async fn begin(&self, submit: Submit, wait: Option<Duration>) -> Result<Accepted, SubmitError> {
        let inner = &*self.inner;
        let Some(version) = inner.registry.newest(&submit.workflow) else {
            return Err(SubmitError::UnknownWorkflow(submit.workflow));
        };
        let _writing = self.admit()?;
        let until = wait.map(|wait| tokio::time::Instant::now() + wait);
        let now = inner.ports.clock.now();
        let id = RunId::new(now, inner.ports.clock.random());
        let is_repeated = self.is_repeated(&submit).await?;
        let lane = self.lane_of(&submit).await?;
        // From here to the shard nothing waits: a caller who goes away leaves no place in a lane behind.
        let Placed { shard, run, defer, ahead } = self.place(&submit, lane, is_repeated, id, now)?;
        let (reply, answer) = oneshot::channel();
        let start = Box::new(Start { run, id, version, submit, defer, ahead });
        let until_end = wait.is_some() && !defer;
        inner.shards[shard].0.send(Word::Start { start, until_end, reply });
        // A run that is waited for announces itself at its end; if that takes too long it was accepted long since.
        let announced = match until.filter(|_| until_end) {
            Some(until) => match tokio::time::timeout_at(until, answer).await {
                Ok(announced) => announced,
                Err(_) => return self.accepted_by_now(run, id).await,
            },
            None => answer.await,
        };
        match announced.map_err(|_| SubmitError::Stopping)?? {
            Announced::Accepted { run, status, end: Some((_, ended)), journal } => {
                Ok(Accepted { run, id, replayed: false, status, end: Some(ended), journal })
            }
            Announced::Accepted { run, status, end: None, .. } => self.rest(run, id, false, status, until).await,
            Announced::Earlier { run, id } => {
                let status = inner.ports.store.run(run).await?.map_or(Status::Queued, |row| row.status);
                self.rest(run, id, true, status, until).await
            }
        }
    }

    /// Bounded work: over a bound, nothing is begun.
    fn admit(&self) -> Result<Writing<'_>, SubmitError> {
        let inner = &*self.inner;
        if inner.is_draining.load(Ordering::Relaxed) {
            return Err(SubmitError::Stopping);
        }
        let retry_after = Duration::from_secs(1);
        if inner.ports.store.share().is_some_and(|share| !share.is_owner()) {
            return Err(StoreError::Unavailable("this process has to join the store anew".into()).into());
        }
        if !inner.numbers.has_some() {
            return Err(StoreError::Unavailable("no run numbers could be reserved".into()).into());
        }
        if inner.offers.backlog.load(Ordering::Relaxed) >= inner.options.backlog_runs_max {
            return Err(Busy { what: "too many runs are waiting", retry_after: retry_after * 5 }.into());
        }
        if inner.submits.fetch_add(1, Ordering::Relaxed) >= inner.options.submits_max {
            inner.submits.fetch_sub(1, Ordering::Relaxed);
            return Err(Busy { what: "too many runs are being submitted at once", retry_after }.into());
        }
        Ok(Writing(&inner.submits))
    }

    async fn rest(
        &self,
        run: RunNo,
        id: RunId,
        replayed: bool,
        status: Status,
        until: Option<tokio::time::Instant>,
    ) -> Result<Accepted, SubmitError> {
        let Some(until) = until else {
            return Ok(Accepted { run, id, replayed, status, end: None, journal: Vec::new() });
        };
        if let Some((status, ended)) = self.wait_until(run, until).await? {
            return Ok(Accepted { run, id, replayed, status, end: Some(ended), journal: Vec::new() });
        }
        // It may have begun, or wait for a person by now.
        let status = self.inner.ports.store.run(run).await?.map_or(status, |row| row.status);
        Ok(Accepted { run, id, replayed, status, end: None, journal: Vec::new() })
    }

    async fn accepted_by_now(&self, run: RunNo, id: RunId) -> Result<Accepted, SubmitError> {
        match self.inner.ports.store.run(run).await? {
            Some(row) => Ok(Accepted { run, id, replayed: false, status: row.status, end: None, journal: Vec::new() }),
            None => Err(StoreError::Unavailable("the run could not be written in time".into()).into()),
        }
    }

    /// Wait for a run's end (terminal or blocked); `None` when the time is up first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn wait(&self, run: RunNo, wait: Duration) -> Result<Option<(Status, Ended)>, StoreError> {
        self.wait_until(run, tokio::time::Instant::now() + wait).await
    }

    async fn wait_until(&self, run: RunNo, until: tokio::time::Instant) -> Result<Option<(Status, Ended)>, StoreError> {
        let (tell, mut told) = oneshot::channel();
        let mut listener = self.inner.ports.bus.listen(run);
        self.shard_of(run).send(Word::Wait(run, tell));
        loop {
            if let Some(end) = self.end_of(run).await? {
                return Ok(Some(end));
            }
            let left = until.min(tokio::time::Instant::now() + LOOK_AGAIN);
            tokio::select! {
                // It ended here, or elsewhere.
                Ok(end) = &mut told => return Ok(Some(end)),
                () = listener.grown(ENDED - 1) => {}
                () = tokio::time::sleep_until(left) => if left == until {
                    return self.end_of(run).await;
                }
            }
        }
    }

    /// How a run ended, read from the store.
    async fn end_of(&self, run: RunNo) -> Result<Option<(Status, Ended)>, StoreError> {
        let store = &self.inner.ports.store;
        let Some(row) = store.run(run).await? else { return Ok(None) };
        if row.status.is_open() {
            return Ok(None);
        }
        let journal = entries(store.as_ref(), run, 0, u32::MAX).await?;
        let last = journal.iter().rev().find(|e| e.kind.class() == Class::Terminal || e.kind == Kind::RunBlocked);
        let ended = match last {
            Some(entry) if entry.kind == Kind::RunBlocked => {
                let blocked = serde_json::from_slice::<Blocked>(&entry.body).ok();
                let text = blocked.map_or_else(String::new, |b| format!("blocked ({}): {}", b.reason, b.message));
                Ended { output: None, error: Some(RunError::new("WorkflowError", text)) }
            }
            Some(entry) => serde_json::from_slice(&entry.body).unwrap_or_default(),
            None => Ended::default(),
        };
        Ok(Some((row.status, ended)))
    }

    /// Put a message into a run's inbox; durable on return.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn send(&self, run: RunNo, message: Message) -> Result<Sent, StoreError> {
        let item = self.envelope(run, message);
        let transition = Transition { inbox_put: vec![item.clone()], ..Transition::default() };
        match commit(self.inner.ports.store.as_ref(), transition).await {
            Receipt::Committed => {
                self.shard_of(run).send(Word::Mail(item));
                Ok(Sent::Taken)
            }
            Receipt::Refused(Refusal::Duplicate) => Ok(Sent::Duplicate),
            Receipt::Refused(_) => Ok(Sent::Ended),
            other => Err(failure(other)),
        }
    }

    pub(super) fn envelope(&self, run: RunNo, message: Message) -> InboxItem {
        let random = || uuid::Uuid::now_v7().to_string();
        let (kind, dedup, body) = match message {
            Message::Signal { dedup, signal } => {
                let dedup = format!("signal:{}:{}", signal.name, dedup.unwrap_or_else(random));
                (Inbox::Signal, dedup, serde_json::to_vec(&signal))
            }
            Message::Approval(decision) => {
                (Inbox::Approval, format!("approval:{}", decision.approval_id), serde_json::to_vec(&decision))
            }
            Message::Cancel(cancel) => (Inbox::Cancel, "cancel".into(), serde_json::to_vec(&cancel)),
        };
        InboxItem { run, dedup, kind: kind as u8, body: body.map(Bytes::from).unwrap_or_default() }
    }

    /// Entries after `after` from at most `rows_max` rows, bodies complete (blobs fetched, streamed text put back).
    ///
    /// # Errors
    /// The store cannot be read, or holds what it should not.
    pub async fn entries(&self, run: RunNo, after: u32, rows_max: u32) -> Result<Vec<Entry>, StoreError> {
        entries(self.inner.ports.store.as_ref(), run, after, rows_max).await
    }

    /// The entries of a journal that came with the end of a run; bodies complete.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read(&self, run: RunNo, journal: &[Row]) -> Result<Vec<Entry>, StoreError> {
        complete(self.inner.ports.store.as_ref(), run, journal).await
    }

    /// Follow a run's entries after `after`, as they become durable.
    #[must_use]
    pub fn follow(&self, run: RunNo, after: u32) -> Events {
        Events::new(self.clone(), run, after, self.inner.ports.bus.listen(run))
    }

    /// Removes (or counts) ended runs that retention no longer keeps, a chunk at a time; answers how many.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn prune(&self, dry_run: bool) -> Result<u64, StoreError> {
        retention::prune(&self.inner.ports, self.inner.options.retention, dry_run).await
    }

    /// What ended runs are kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.inner.options.retention
    }

    /// The store, for questions that need no worker.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.ports.store
    }

    /// What may be forgotten, where there is such a place.
    #[must_use]
    pub fn cache(&self) -> Option<&Arc<dyn Cache>> {
        self.inner.ports.cache.as_ref()
    }

    /// The way out, for questions that no run asks.
    #[must_use]
    pub fn outbound(&self) -> &Arc<dyn Outbound> {
        &self.inner.ports.outbound
    }

    /// Now, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.inner.ports.clock.now()
    }

    /// Registered workflows: name, number.
    #[must_use]
    pub fn workflows(&self) -> Vec<(String, u32)> {
        self.inner.registry.list()
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = &*self.inner;
        Health {
            live_runs: inner.shards.iter().map(|(_, gauge)| gauge.live.load(Ordering::Relaxed)).sum(),
            backlog_runs: inner.offers.backlog.load(Ordering::Relaxed),
            is_draining: inner.is_draining.load(Ordering::Relaxed),
        }
    }

    /// Take no more work, let live runs end for at most `grace`, give the others back in good order, and stop.
    pub async fn shutdown(&self, grace: Duration) {
        let inner = &*self.inner;
        inner.is_draining.store(true, Ordering::Relaxed);
        inner.tasks.iter().for_each(tokio::task::AbortHandle::abort);
        if let Some(queue) = &inner.ports.queue {
            queue.close().await;
        }
        let until = tokio::time::Instant::now() + grace;
        self.emptied(until).await;
        for (mailbox, _) in &inner.shards {
            mailbox.send(Word::Input(Input::Release));
        }
        self.emptied(tokio::time::Instant::now() + Duration::from_secs(5)).await;
        for (mailbox, _) in &inner.shards {
            mailbox.send(Word::Stop);
        }
    }

    /// Resolves when no run is in memory, or at `until`.
    async fn emptied(&self, until: tokio::time::Instant) {
        while self.health().live_runs > 0 && tokio::time::Instant::now() < until {
            let left = self.inner.offers.room.notified();
            let _ =
                tokio::time::timeout_at(until.min(tokio::time::Instant::now() + Duration::from_millis(50)), left).await;
        }
    }

    pub(super) fn shard_of(&self, run: RunNo) -> &Mailbox {
        let shards = &self.inner.shards;
        &shards[usize::try_from(run.0).unwrap_or(0) % shards.len()].0
    }
}

/// Watches for polls that never end. Ends with the process.
fn watch(shards: &[(Mailbox, Arc<Gauge>)], clock: Arc<dyn Clock>) -> std::io::Result<()> {
    let gauges: Vec<_> = shards.iter().map(|(_, gauge)| Arc::downgrade(gauge)).collect();
    std::thread::Builder::new().name("watchdog".into()).spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let mut is_alive = false;
            for gauge in gauges.iter().filter_map(std::sync::Weak::upgrade) {
                is_alive = true;
                let since = gauge.busy_since.load(Ordering::Relaxed);
                if since != 0 && Time(since).until(clock.now()) > POLL_MAX {
                    tracing::error!(
                        "a workflow's poll has taken more than {POLL_MAX:?}; the process stops so that others can go on"
                    );
                    std::process::abort();
                }
            }
            if !is_alive {
                return;
            }
        }
    })?;
    Ok(())
}
