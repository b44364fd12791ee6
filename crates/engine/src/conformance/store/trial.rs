//! A store under trial, and short ways to write rows for it.

use crate::account::AccountRow;
use crate::ports::store::{
    Append, Birth, Fence, InboxItem, ListRuns, OpenRun, Prune, Read, Receipt, Refusal, Row, RunRow, Stand, Store,
    StoreError, StoreStats, Transition,
};
use crate::run::{Once, RunId, RunNo, Status, Time};
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// The instant the cases play at, in milliseconds.
pub(super) const NOW: i64 = 1_700_000_000_000;

/// A store whose errors fail the case.
#[derive(Clone)]
pub(super) struct Trial {
    pub store: Arc<dyn Store>,
}

/// All that a refused transition must leave as it was.
#[derive(Debug, PartialEq)]
pub(super) struct Everything {
    runs: Vec<RunRow>,
    journals: Vec<Vec<Row>>,
    inboxes: Vec<Vec<InboxItem>>,
    next_run: RunNo,
    counts: [u64; 8],
}

impl Trial {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Submits now; the answer can be awaited later.
    pub fn submit(&self, batch: Vec<Transition>) -> impl Future<Output = Vec<Receipt>> + Send + use<> {
        let (size, (told, answer)) = (batch.len(), answer());
        self.store.submit(batch, Box::new(move |receipts| told.tell(receipts)));
        async move {
            let receipts = answer.await;
            assert_eq!(receipts.len(), size, "one receipt per transition: {receipts:?}");
            receipts
        }
    }

    pub async fn send(&self, transition: Transition) -> Receipt {
        self.submit(vec![transition]).await.remove(0)
    }

    /// The row must be accepted.
    pub async fn write(&self, append: Append) {
        let said = format!("{append:?}").chars().take(300).collect::<String>();
        let receipt = self.send(rows([append])).await;
        assert_eq!(receipt, Receipt::Committed, "{said}");
    }

    /// The row must be refused by its fence and leave no trace.
    pub async fn fenced(&self, append: Append) {
        let fenced = Receipt::Refused(Refusal::Fenced { run: append.run });
        let said = format!("{append:?}").chars().take(300).collect::<String>();
        let before = self.everything().await;
        assert_eq!(self.send(rows([append])).await, fenced, "{said}");
        assert_eq!(self.everything().await, before, "refused, but it left a trace: {said}");
    }

    pub async fn everything(&self) -> Everything {
        let runs = self.list(all()).await;
        let (mut journals, mut inboxes) = (Vec::new(), Vec::new());
        // Rows of runs that do not exist would be a trace, too.
        for run in 0..=runs.first().map_or(0, |r| r.run.0).max(20) {
            journals.push(self.journal(run, 0).await);
            inboxes.push(self.inbox(run).await);
        }
        Everything { runs, journals, inboxes, next_run: self.next_run().await, counts: self.stats().await.runs }
    }

    pub async fn next_run(&self) -> RunNo {
        good(self.store.next_run()).await
    }

    /// A run that must exist.
    /// The transition must be accepted.
    pub async fn commits(&self, transition: Transition) {
        assert_eq!(self.send(transition).await, Receipt::Committed);
    }

    pub async fn account(&self, name: &str) -> AccountRow {
        good(self.store.accounts(vec![name.into()])).await.pop().unwrap_or_default()
    }

    pub async fn run(&self, run: i64) -> RunRow {
        self.maybe_run(run).await.unwrap_or_else(|| panic!("run {run} is not there"))
    }

    pub async fn maybe_run(&self, run: i64) -> Option<RunRow> {
        good(self.store.run(RunNo(run))).await
    }

    pub async fn run_by_id(&self, id: RunId) -> Option<RunRow> {
        good(self.store.run_by_id(id)).await
    }

    pub async fn journal(&self, run: i64, after: u32) -> Vec<Row> {
        good(self.store.journal(RunNo(run), after, u32::MAX)).await
    }

    pub async fn firsts(&self, run: i64, after: u32, rows_max: u32) -> Vec<u32> {
        good(self.store.journal(RunNo(run), after, rows_max)).await.iter().map(|row| row.first).collect()
    }

    pub async fn blobs(&self, hashes: &[[u8; 32]]) -> Result<Vec<Bytes>, StoreError> {
        self.store.blobs(hashes.to_vec()).await
    }

    pub async fn inbox(&self, run: i64) -> Vec<InboxItem> {
        good(self.store.inbox(RunNo(run))).await
    }

    /// What waits for a run, by its `dedup`.
    pub async fn waiting_for(&self, run: i64) -> Vec<String> {
        self.inbox(run).await.into_iter().map(|item| item.dedup).collect()
    }

    pub async fn open_rows(&self, now: i64, after: i64, limit: u32) -> Vec<OpenRun> {
        good(self.store.open_runs(Time(now), RunNo(after), limit)).await
    }

    pub async fn open(&self, now: i64) -> Vec<i64> {
        self.open_rows(now, 0, 1_000).await.iter().map(|open| open.run.0).collect()
    }

    pub async fn next_due(&self, now: i64) -> Option<i64> {
        good(self.store.next_due(Time(now))).await.map(|at| at.0)
    }

    pub async fn list(&self, query: ListRuns) -> Vec<RunRow> {
        good(self.store.list(query)).await
    }

    pub async fn listed(&self, query: ListRuns) -> Vec<i64> {
        self.list(query).await.iter().map(|row| row.run.0).collect()
    }

    pub async fn stats(&self) -> StoreStats {
        good(self.store.stats()).await
    }

    pub async fn prune(&self, prune: Prune) -> u64 {
        good(self.store.prune(prune)).await
    }
}

async fn good<T>(read: Read<T>) -> T {
    read.await.unwrap_or_else(|e| panic!("a read failed: {e}"))
}

/// Every run.
pub(super) fn all() -> ListRuns {
    ListRuns { limit: 1_000, ..ListRuns::default() }
}

pub(super) fn rows(appends: impl Into<Vec<Append>>) -> Transition {
    Transition { appends: appends.into(), ..Transition::default() }
}

/// Run `run`'s id.
pub(super) fn id(run: i64) -> RunId {
    let mut random = [7; 10];
    random[2..].copy_from_slice(&run.to_be_bytes());
    RunId::new(Time(NOW + run), random)
}

pub(super) fn once(scope: u8, body: u8) -> Option<Once> {
    Some(Once { scope: [scope; 16], body: [body; 16] })
}

/// A running run's first row: entries 1 to 3, epoch 1.
pub(super) fn birth(run: i64) -> Append {
    birth_with(run, |_| ())
}

pub(super) fn birth_with(run: i64, change: impl FnOnce(&mut Birth)) -> Append {
    let mut birth = Birth { version: 3, ..Birth::new(id(run), "noop") };
    change(&mut birth);
    let fence = Fence::Birth(Box::new(birth));
    Append { stand: Some(RUNNING), ..row(run, fence, 1, 3, 1) }
}

/// A row of the run's owner.
pub(super) fn after(run: i64, prev: u32, first: u32, last: u32, epoch: u32) -> Append {
    row(run, Fence::After { prev }, first, last, epoch)
}

/// A one-entry row that takes a run over.
pub(super) fn claim(run: i64, prev: u32, first: u32, epoch: u32) -> Append {
    Append { stand: Some(RUNNING), ..row(run, Fence::Claim { prev }, first, first, epoch) }
}

fn row(run: i64, fence: Fence, first: u32, last: u32, epoch: u32) -> Append {
    let body = Bytes::from(format!("{run} {first} to {last} of {epoch}"));
    let at = Time(NOW + i64::from(first));
    Append { run: RunNo(run), fence, first, last, epoch, at, body, stand: None, blobs: Vec::new() }
}

pub(super) const QUEUED: Stand = Stand { status: Status::Queued, due_at: None, ended_at: None };
pub(super) const RUNNING: Stand = Stand { status: Status::Running, due_at: None, ended_at: None };
pub(super) const WAITING: Stand = Stand { status: Status::Waiting, due_at: None, ended_at: None };

pub(super) fn waiting_until(due: i64) -> Stand {
    Stand { due_at: Some(Time(due)), ..WAITING }
}

pub(super) fn ended(status: Status, at: i64) -> Stand {
    Stand { status, due_at: None, ended_at: Some(Time(at)) }
}

/// A row that also changes where the run stands.
pub(super) fn standing(append: Append, stand: Stand) -> Append {
    Append { stand: Some(stand), ..append }
}

pub(super) fn item(run: i64, dedup: &str) -> InboxItem {
    InboxItem { run: RunNo(run), dedup: dedup.into(), kind: 2, body: Bytes::from(format!("{{\"for\":\"{dedup}\"}}")) }
}

/// One message and nothing else.
pub(super) fn put(run: i64, dedup: &str) -> Transition {
    Transition { inbox_put: vec![item(run, dedup)], ..Transition::default() }
}

/// A row that moves messages into the journal.
pub(super) fn taking(append: Append, dedups: &[&str]) -> Transition {
    let inbox_done = dedups.iter().map(|dedup| (append.run, (*dedup).to_owned())).collect();
    Transition { appends: vec![append], inbox_done, ..Transition::default() }
}

#[derive(Default)]
struct Answer {
    said: Option<Vec<Receipt>>,
    is_dropped: bool,
    waker: Option<Waker>,
}

/// Tells the receipts, or that nobody ever will.
struct Told(Arc<Mutex<Answer>>);

impl Told {
    fn tell(self, receipts: Vec<Receipt>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).said = Some(receipts);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let mut answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer.is_dropped = true;
        let waker = answer.waker.take();
        drop(answer);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn answer() -> (Told, impl Future<Output = Vec<Receipt>> + Send + 'static) {
    let answer = Arc::new(Mutex::new(Answer::default()));
    let told = Told(Arc::clone(&answer));
    let wait = poll_fn(move |cx| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receipts) = answer.said.take() {
            return Poll::Ready(receipts);
        }
        assert!(!answer.is_dropped, "the store dropped `done` without calling it");
        answer.waker = Some(cx.waker().clone());
        Poll::Pending
    });
    (told, wait)
}
