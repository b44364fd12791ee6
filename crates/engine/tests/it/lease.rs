//! A process that loses its lease on a shared store: what begins between the loss and joining anew sends nothing, and goes on
//! afterwards.

use bytes::Bytes;
use futures_util::future::{BoxFuture, join};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tutti_engine::account::AccountRow;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};
use tutti_engine::driver::{Engine, Options, Ports, SubmitError};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_engine::memory::store::MemoryStore;
use tutti_engine::ports::share::{LaneRun, Loaded, Share};
use tutti_engine::ports::store::{
    Done, InboxItem, ListRuns, ListSessions, ListTurns, OpenRun, Prune, Read, Row, RunRow, Store, StoreError,
    StoreStats, Transition,
};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Submit, Time};
use tutti_engine::session::{SessionNo, SessionRow, TurnRow};
use tutti_engine::{Ctx, Registry, Result};

const LONG: Duration = Duration::from_secs(20);

/// A lease that a test takes away and gives back, on a store in memory.
struct Leased {
    store: Arc<MemoryStore>,
    numbers: AtomicI64,
    /// Nobody else may have what is held here.
    is_held: watch::Sender<bool>,
    /// The process has dropped everything and wants to join anew.
    is_dropped: watch::Sender<bool>,
    /// How often it was asked whether the lease is held, when it was not.
    asked_in_vain: watch::Sender<u32>,
    /// No run is offered.
    is_blind: AtomicBool,
    /// What is read about runs that begin waits.
    is_slow: watch::Sender<bool>,
    /// Reads that wait, or waited.
    slow: watch::Sender<u32>,
}

impl Leased {
    fn new(store: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            store,
            numbers: AtomicI64::new(1_000),
            is_held: watch::Sender::new(true),
            is_dropped: watch::Sender::new(false),
            asked_in_vain: watch::Sender::new(0),
            is_blind: AtomicBool::new(false),
            is_slow: watch::Sender::new(false),
            slow: watch::Sender::new(0),
        })
    }

    /// Takes the lease away; resolves when the process has dropped what it had.
    async fn lose(&self) {
        self.is_held.send_replace(false);
        reaches(&self.is_dropped, |is_dropped| *is_dropped).await;
    }

    /// Lets the process join anew.
    fn give_back(&self) {
        self.is_held.send_replace(true);
    }

    fn slowly<T: Send + 'static>(&self, read: impl FnOnce(&MemoryStore) -> Read<T> + Send + 'static) -> Read<T> {
        let (store, mut is_slow) = (Arc::clone(&self.store), self.is_slow.subscribe());
        if *is_slow.borrow() {
            self.slow.send_modify(|count| *count += 1);
        }
        Box::pin(async move {
            let gone = |_| StoreError::Unavailable("the test has ended".into());
            is_slow.wait_for(|is_slow| !is_slow).await.map_err(gone)?;
            read(&store).await
        })
    }
}

async fn reaches<T>(value: &watch::Sender<T>, is: impl FnMut(&T) -> bool) {
    tokio::time::timeout(LONG, value.subscribe().wait_for(is)).await.expect("it comes in time").unwrap();
}

impl Share for Leased {
    fn reserve(&self, count: u32) -> Read<RunNo> {
        let first = self.numbers.fetch_add(i64::from(count), Ordering::SeqCst);
        Box::pin(async move { Ok(RunNo(first)) })
    }
    fn is_owner(&self) -> bool {
        let is_held = *self.is_held.borrow();
        if !is_held {
            self.asked_in_vain.send_modify(|count| *count += 1);
        }
        is_held
    }
    // Nothing is found but what is told of: a sweep would ask for the lease, too.
    fn sweep_every(&self) -> Duration {
        Duration::from_secs(3_600)
    }
    fn disowned(&self) -> BoxFuture<'static, ()> {
        let mut is_held = self.is_held.subscribe();
        Box::pin(async move {
            if is_held.wait_for(|is_held| !is_held).await.is_err() {
                std::future::pending().await
            }
        })
    }
    fn rejoin(&self) -> Read<()> {
        self.is_dropped.send_replace(true);
        let mut is_held = self.is_held.subscribe();
        Box::pin(async move {
            let gone = |_| StoreError::Unavailable("the test has ended".into());
            is_held.wait_for(|is_held| *is_held).await.map_err(gone).map(|_| ())
        })
    }
    fn take(&self, now: Time, limit: u32, _: &[(String, u32)]) -> Read<Vec<OpenRun>> {
        if self.is_blind.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(Vec::new()) });
        }
        self.store.open_runs(now, RunNo(0), limit)
    }
    fn own(&self, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.store.open_runs(Time(0), after, limit)
    }
    fn load(&self, runs: Vec<RunNo>) -> Read<Vec<Loaded>> {
        let store = Arc::clone(&self.store);
        self.slowly(|_| {
            Box::pin(async move {
                let mut all = Vec::new();
                for run in runs {
                    let (inbox, rows) = (store.inbox(run).await?, store.journal(run, 0, u32::MAX).await?);
                    all.extend(store.run(run).await?.map(|row| Loaded { row, inbox, rows }));
                }
                Ok(all)
            })
        })
    }
    fn mail(&self, _: u32) -> Read<Vec<InboxItem>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn lane(&self, _: SessionNo) -> Read<Vec<LaneRun>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Store for Leased {
    fn share(&self) -> Option<&dyn Share> {
        Some(self)
    }
    fn session(&self, owner: Owner, id: String) -> Read<Option<SessionRow>> {
        self.slowly(move |store| store.session(owner, id))
    }
    fn submit(&self, batch: Vec<Transition>, done: Done) {
        self.store.submit(batch, done);
    }
    fn next_run(&self) -> Read<RunNo> {
        self.store.next_run()
    }
    fn run_by_id(&self, id: RunId) -> Read<Option<RunRow>> {
        self.store.run_by_id(id)
    }
    fn run(&self, run: RunNo) -> Read<Option<RunRow>> {
        self.store.run(run)
    }
    fn journal(&self, run: RunNo, after: u32, rows_max: u32) -> Read<Vec<Row>> {
        self.store.journal(run, after, rows_max)
    }
    fn blobs(&self, hashes: Vec<[u8; 32]>) -> Read<Vec<Bytes>> {
        self.store.blobs(hashes)
    }
    fn inbox(&self, run: RunNo) -> Read<Vec<InboxItem>> {
        self.store.inbox(run)
    }
    fn open_runs(&self, now: Time, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.store.open_runs(now, after, limit)
    }
    fn next_due(&self, now: Time) -> Read<Option<Time>> {
        self.store.next_due(now)
    }
    fn oldest_runnable(&self, now: Time) -> Read<Option<Time>> {
        self.store.oldest_runnable(now)
    }
    fn accounts(&self, names: Vec<String>) -> Read<Vec<AccountRow>> {
        self.store.accounts(names)
    }
    fn list(&self, query: ListRuns) -> Read<Vec<RunRow>> {
        self.store.list(query)
    }
    fn born_with(&self, scope: [u8; 16]) -> Read<Option<(RunNo, RunId, [u8; 16])>> {
        self.store.born_with(scope)
    }
    fn session_of(&self, run: RunNo) -> Read<Option<SessionRow>> {
        self.store.session_of(run)
    }
    fn sessions(&self, query: ListSessions) -> Read<Vec<SessionRow>> {
        self.store.sessions(query)
    }
    fn turns(&self, query: ListTurns) -> Read<Vec<TurnRow>> {
        self.store.turns(query)
    }
    fn session_runs(&self, session: Option<SessionNo>, after: RunNo, limit: u32) -> Read<Vec<RunRow>> {
        self.store.session_runs(session, after, limit)
    }
    fn stats(&self) -> Read<StoreStats> {
        self.store.stats()
    }
    fn prune(&self, prune: Prune) -> Read<u64> {
        self.store.prune(prune)
    }
    fn probe(&self) -> Read<()> {
        self.store.probe()
    }
}

/// Counts its calls, each test its own.
#[derive(Serialize, Deserialize)]
struct Ask {
    test: usize,
}

static CALLS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

impl Activity for Ask {
    type Output = u32;
    const NAME: &'static str = "ask";
    async fn run(self, _: ActivityCx) -> std::result::Result<u32, ActivityError> {
        Ok(CALLS[self.test].fetch_add(1, Ordering::SeqCst) + 1)
    }
}

async fn asks(ctx: Ctx, test: usize) -> Result<u32> {
    ctx.call("ask", Ask { test }).await
}

async fn engine(store: Arc<dyn Store>, works: bool) -> Engine {
    let ports = Ports { store, ..Ports::in_memory(Arc::new(NoOutbound)) };
    let registry = Registry::new().with("asks", 1, asks);
    Engine::start(ports, registry, Options { works, ..Options::default() }).await.unwrap()
}

fn submit(test: usize) -> Submit {
    Submit::new("asks", test.to_string().into())
}

/// A run is about to begin: the lease is lost, it begins, and the lease comes back once the run's call was held back.
async fn begins_without_a_lease(leased: &Leased, test: usize) {
    reaches(&leased.slow, |count| *count > 0).await;
    leased.lose().await;
    leased.is_slow.send_replace(false);
    reaches(&leased.asked_in_vain, |count| *count > 0).await;
    assert_eq!(CALLS[test].load(Ordering::SeqCst), 0, "without a lease nothing is sent");
    leased.give_back();
}

/// It ends, and its call was made once.
async fn goes_on(engine: &Engine, run: RunNo) {
    let (status, ended) = engine.wait(run, LONG).await.unwrap().expect("it ends");
    assert_eq!((status, ended.output.unwrap().get()), (Status::Completed, "1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_accepted_as_the_lease_is_lost_goes_on_when_it_is_back() {
    let leased = Leased::new(Arc::new(MemoryStore::new()));
    let engine = engine(leased.clone(), true).await;
    // It was let in, and its session is being looked up.
    leased.is_slow.send_replace(true);
    let submitting = engine.submit(Submit { session: Some("talk".into()), ..submit(0) });
    let (submitted, ()) = join(submitting, begins_without_a_lease(&leased, 0)).await;
    goes_on(&engine, submitted.unwrap().run).await;
}

/// A run that nobody has begun.
async fn born_elsewhere(test: usize) -> (Arc<MemoryStore>, RunNo) {
    let store = Arc::new(MemoryStore::new());
    let elsewhere = engine(Leased::new(store.clone()), false).await;
    let run = elsewhere.submit(submit(test)).await.unwrap().run;
    elsewhere.shutdown(Duration::ZERO).await;
    (store, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_this_process_that_nobody_holds_is_found() {
    let (store, run) = born_elsewhere(2).await;
    let leased = Leased::new(store);
    leased.is_blind.store(true, Ordering::SeqCst);
    goes_on(&engine(leased, true).await, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_taken_as_the_lease_is_lost_goes_on_when_it_is_back() {
    let (store, run) = born_elsewhere(1).await;
    let leased = Leased::new(store);
    leased.is_slow.send_replace(true);
    let engine = engine(leased.clone(), true).await;
    // It was taken, and is being read.
    begins_without_a_lease(&leased, 1).await;
    goes_on(&engine, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lease_nothing_is_accepted() {
    let leased = Leased::new(Arc::new(MemoryStore::new()));
    let engine = engine(leased.clone(), true).await;
    leased.lose().await;
    let refused = engine.submit(submit(0)).await.unwrap_err();
    assert!(matches!(&refused, SubmitError::Store(StoreError::Unavailable(why)) if why.contains("join")), "{refused}");
    assert_eq!(engine.store().list(ListRuns { limit: 9, ..ListRuns::default() }).await.unwrap(), []);
}
