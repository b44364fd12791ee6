//! One run in memory: its future, its cell, and where it stands between memory and store.

use crate::account::Account;
use crate::cell::{Cell, Shared};
use crate::error::Result;
use crate::event::Kind;
use crate::journal::Frame;
use crate::journal::body::Queued;
use crate::journal::frame::Chain;
use crate::name::Key;
use crate::ports::store::{Birth, InboxItem, Stand};
use crate::run::{RunId, RunNo, Status, Time};
use crate::shard::gate::Gate;
use crate::shard::wire::Leave;
use crate::workflow::Root;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A poll that wakes itself this often without an outcome is no workflow of ours.
const POLLS_MAX: u32 = 1_000;

/// Where a live run stands.
pub(crate) enum Phase {
    /// The claim is on its way; nothing is polled before it is durable.
    Claiming(Box<Claim>),
    /// The root future is alive.
    Running,
    /// Cancelled or out of time: waiting until what it started has stopped.
    Stopping(Stop),
    /// Its last entry is written; it leaves memory when that is durable.
    Over,
}

/// What is replayed once the claim is durable.
pub(crate) struct Claim {
    pub frames: Vec<Frame>,
    pub inbox: Vec<InboxItem>,
}

/// What an ending run still waits for.
pub(crate) struct Stop {
    pub status: Status,
    pub calls: BTreeSet<Key>,
    pub children: BTreeSet<Key>,
}

/// How the row that comes next is fenced.
pub(crate) enum NextFence {
    Birth(Box<Birth>),
    Claim,
    After,
}

/// A run in memory.
pub(crate) struct Live {
    pub no: RunNo,
    pub id: RunId,
    pub queued: Rc<Queued>,
    pub shared: Shared,
    pub root: Option<Root>,
    pub phase: Phase,
    pub epoch: u32,
    /// First entry of the row handed to the store last.
    pub prev: u32,
    /// Last entry handed to the store.
    pub appended: u32,
    pub chain: Chain,
    pub fence: NextFence,
    pub gate: Gate<Leave>,
    /// The stand to write with the next row.
    pub stand: Option<Stand>,
    /// Open approvals as the store knows them; `None` where nobody has looked yet.
    pub asks: Option<u32>,
    /// Messages moved into the journal since the last row.
    pub inbox_done: Vec<String>,
    /// Messages to others that go out with the next row.
    pub inbox_put: Vec<InboxItem>,
    /// Messages this owner has seen.
    pub seen: BTreeSet<String>,
    /// A message came while it was leaving memory.
    pub has_mail: bool,
    /// Accounts in which its birth holds its budget.
    pub holds: Vec<Account>,
    /// It ends without its journal having been followed: what it spent is not known.
    pub is_unread: bool,
    /// The parent whose next row carries this run's birth.
    pub born_by: Option<RunNo>,
    /// What the shard's timer set holds for this run.
    pub due: Option<Time>,
    pub is_dirty: bool,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a poll came to.
pub(crate) enum Polled {
    Pending,
    Done(Result<Bytes>),
    Panicked(String),
    Blocked(&'static str, String),
}

impl Live {
    pub fn new(no: RunNo, queued: Rc<Queued>, now: Time, numbers: Rc<dyn Fn() -> RunNo>, gate: Gate<Leave>) -> Self {
        let cell = Cell {
            id: queued.run_id,
            owner: queued.owner.clone(),
            depth: queued.parent.as_ref().map_or(0, |p| p.depth + 1),
            clock: now,
            stamp: now,
            replay: VecDeque::new(),
            fresh: Vec::new(),
            next_seq: 1,
            slots: BTreeMap::new(),
            commands: Vec::new(),
            signals: BTreeMap::new(),
            spools: BTreeMap::new(),
            retries: BTreeMap::new(),
            fault: None,
            closing: false,
            draws: 0,
            terms: queued.terms,
            history: Rc::from([]),
            labels: Vec::new(),
            fading: BTreeSet::new(),
            ledger: crate::ledger::Ledger::new(queued.budget),
            numbers,
        };
        Self {
            no,
            id: queued.run_id,
            queued,
            shared: Rc::new(RefCell::new(cell)),
            root: None,
            phase: Phase::Running,
            epoch: 1,
            prev: 0,
            appended: 0,
            chain: [0; 16],
            fence: NextFence::After,
            gate,
            stand: None,
            asks: Some(0),
            inbox_done: Vec::new(),
            inbox_put: Vec::new(),
            seen: BTreeSet::new(),
            has_mail: false,
            holds: Vec::new(),
            is_unread: false,
            born_by: None,
            due: None,
            is_dirty: false,
            flag: Arc::new(Flag(AtomicBool::new(false))),
        }
    }

    /// Writes a new entry; answers its number.
    pub fn push(&self, kind: Kind, key: &str, body: Bytes) -> u32 {
        self.shared.borrow_mut().push(kind, key, None, body)
    }

    /// The number of the last entry written, durable or not.
    pub fn written(&self) -> u32 {
        self.shared.borrow().next_seq - 1
    }

    /// Polls the root until nothing moves any more.
    pub fn poll(&mut self) -> Polled {
        let Some(root) = self.root.as_mut() else { return Polled::Pending };
        let waker = Waker::from(Arc::clone(&self.flag));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..POLLS_MAX {
            self.flag.0.store(false, Ordering::Relaxed);
            let polled = catch_unwind(AssertUnwindSafe(|| root.as_mut().poll(&mut cx)));
            match polled {
                Err(panic) => return Polled::Panicked(panic_text(panic.as_ref())),
                Ok(_) if self.shared.borrow().fault.is_some() => {
                    let message = self.shared.borrow().fault.as_ref().map(|f| f.message.clone()).unwrap_or_default();
                    return Polled::Blocked("nondeterminism", message);
                }
                Ok(Poll::Ready(result)) => return Polled::Done(result),
                Ok(Poll::Pending) if self.flag.0.load(Ordering::Relaxed) => {}
                Ok(Poll::Pending) => return self.pending(),
            }
        }
        Polled::Blocked("foreign_await", format!("the workflow woke itself {POLLS_MAX} times without an outcome"))
    }

    /// Pending is fine only while the engine owes the workflow something.
    fn pending(&self) -> Polled {
        let cell = self.shared.borrow();
        if cell.slots.values().any(|s| s.given.is_none()) {
            return Polled::Pending;
        }
        let last = cell.fresh.iter().rev().find(|f| !f.key.is_empty()).map_or("the start", |f| &f.key).to_owned();
        Polled::Blocked(
            "foreign_await",
            format!("the workflow waits for something that is not the engine's, after `{last}`"),
        )
    }

    /// Drops the root future without letting its drops write anything. A panic while dropping is swallowed: the run is
    /// leaving memory already.
    pub fn drop_root(&mut self) {
        self.shared.borrow_mut().closing = true;
        let root = self.root.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(root))) {
            tracing::error!(
                run = self.no.0,
                "a workflow panicked while it was dropped: {}",
                panic_text(panic.as_ref())
            );
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.drop_root();
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".into())
}
