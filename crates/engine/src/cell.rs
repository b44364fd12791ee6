//! The state that a run's futures share with their shard: the journal still to be met again, the entries just written,
//! and the commands still open. One thread, no locks.

use crate::activity::{ActivityError, Effect, Request, Retry};
use crate::event::{Class, Kind};
use crate::journal::Frame;
use crate::journal::body::{Blocked, RunError};
use crate::journal::frame::Body;
use crate::ledger::Limits;
use crate::name::Key;
use crate::run::{Owner, RunId, RunNo, Time};
use crate::session::Said;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::task::Waker;

pub(crate) type Shared = Rc<RefCell<Cell>>;

/// What a finished slot holds: the result, and the text that was streamed before it.
pub(crate) struct Given {
    pub result: Result<Bytes, Refused>,
    pub streamed: Option<String>,
}

/// Why a slot has no result.
pub(crate) enum Refused {
    Activity(ActivityError),
    Child(RunError),
}

/// Which kinds of entries a call leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traces {
    /// `step.started`, `step.completed`, `step.failed`.
    Step,
    /// `agent.started`, `agent.message`, `agent.failed`.
    Agent,
    /// `tool.called`, `tool.returned`, `step.failed`.
    Tool,
}

impl Traces {
    pub(crate) fn started(self) -> Kind {
        match self {
            Self::Step => Kind::StepStarted,
            Self::Agent => Kind::AgentStarted,
            Self::Tool => Kind::ToolCalled,
        }
    }
    pub(crate) fn completed(self) -> Kind {
        match self {
            Self::Step => Kind::StepCompleted,
            Self::Agent => Kind::AgentMessage,
            Self::Tool => Kind::ToolReturned,
        }
    }
    pub(crate) fn failed(self) -> Kind {
        match self {
            Self::Step => Kind::StepFailed,
            Self::Agent => Kind::AgentFailed,
            Self::Tool => Kind::ToolFailed,
        }
    }
}

/// A call that has been issued.
#[derive(Debug, Clone)]
pub(crate) struct OpenCall {
    pub request: Request,
    pub effect: Effect,
    pub retry: Retry,
    pub timeout_ms: Option<u64>,
    pub traces: Traces,
    pub agent: Option<String>,
    /// The attempt in flight or due next.
    pub attempt: u32,
    /// Attempts that failed (a restart of ours is no failure).
    pub failures: u32,
    /// When the next attempt may start; `None` while one is in flight.
    pub due: Option<Time>,
    /// Whether this process has handed the attempt out, or holds it at the gate.
    pub in_flight: bool,
    /// Whether the attempt may have reached the other side: let out here, or perhaps by an earlier owner.
    pub may_be_out: bool,
    /// Noted for later in an earlier life, and certainly not sent then.
    pub is_unsent: bool,
    /// The reservation that pays for it.
    pub grant: Option<Key>,
}

impl OpenCall {
    /// Whether its intent must be durable before it leaves: it has an effect, or it is paid for.
    pub fn waits_for_its_intent(&self) -> bool {
        self.effect != Effect::Pure || self.grant.is_some()
    }
}

/// Where a call stands that was tried before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    /// The attempt that comes next.
    pub attempt: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// When it may start.
    pub due: Time,
    /// The run left memory before it was due, so it cannot have been sent.
    pub is_unsent: bool,
}

/// What an open command waits for.
#[derive(Debug)]
pub(crate) enum What {
    Call(Box<OpenCall>),
    Timer { due: Time },
    Signal { name: String, due: Option<Time> },
    Approval { due: Option<Time> },
    Child { id: RunId, run: RunNo, workflow: String, input: Bytes, budget: Option<Limits> },
}

/// An open command.
pub(crate) struct Slot {
    pub what: What,
    pub given: Option<Given>,
    pub waker: Option<Waker>,
}

/// Streamed text of a call, as journaled so far.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    pub from: u32,
    pub attempt: u32,
    pub text: String,
}

/// Something the shard has to see to after a poll.
#[derive(Debug)]
pub(crate) enum Command {
    /// A command was issued under this key; the entry that must be durable before it leaves.
    Issued { key: Key, seq: u32 },
    /// Its future was dropped.
    Dropped { key: Key, what: What },
}

/// See the module.
pub(crate) struct Cell {
    pub id: RunId,
    pub owner: Owner,
    pub depth: u32,
    /// Time of the last delivered entry: what `now()` says.
    pub clock: Time,
    /// Time of the input being handled: stamped on new entries.
    pub stamp: Time,
    /// Entries that the workflow must meet again, notes taken out.
    pub replay: VecDeque<Frame>,
    /// Entries not yet handed to the store.
    pub fresh: Vec<Frame>,
    /// Number of the next new entry.
    pub next_seq: u32,
    pub slots: BTreeMap<Key, Slot>,
    pub commands: Vec<Command>,
    /// Signals that arrived before anybody asked.
    pub signals: BTreeMap<String, VecDeque<Bytes>>,
    pub spools: BTreeMap<Key, Spool>,
    /// Attempts and failures of calls, read from notes.
    pub retries: BTreeMap<Key, Again>,
    /// Set when replay and workflow disagree; nothing more is polled.
    pub fault: Option<Blocked>,
    /// Futures are being dropped by the engine: their drops say nothing.
    pub closing: bool,
    /// What was said in the session before the run began.
    pub history: Rc<[Said]>,
    /// How the run takes part in its session.
    pub terms: crate::session::Terms,
    /// Draws taken by `random` and `uuid`.
    pub draws: u64,
    /// Labels not yet handed to the store.
    pub labels: Vec<crate::ports::store::Label>,
    /// Labels that are emptied when the run ends.
    pub fading: BTreeSet<&'static str>,
    /// The run's budget.
    pub ledger: crate::ledger::Ledger,
    /// Takes a run number for a child.
    pub numbers: Rc<dyn Fn() -> RunNo>,
}

/// What became of an entry that the workflow wants to write.
pub(crate) enum Produced {
    /// New, with this number.
    New(u32),
    /// It stands in the journal already.
    Recorded(Frame),
    /// The journal says something else: the run is at fault.
    Fault,
}

impl Cell {
    /// The workflow writes an entry, or meets it again.
    pub fn produce(&mut self, kind: Kind, key: &str, args: Option<u64>, body: impl FnOnce() -> Bytes) -> Produced {
        if self.fault.is_some() {
            return Produced::Fault;
        }
        let Some(front) = self.replay.pop_front() else {
            let body = body();
            return Produced::New(self.push(kind, key, args, body));
        };
        if front.kind == kind && &*front.key == key && front.args == args {
            return Produced::Recorded(front);
        }
        let theirs = describe(front.kind, &front.key, front.args);
        self.blame(format!("the journal has {theirs}, the workflow now does {}", describe(kind, key, args)));
        Produced::Fault
    }

    /// Writes a new entry; answers its number.
    pub fn push(&mut self, kind: Kind, key: &str, args: Option<u64>, body: Bytes) -> u32 {
        debug_assert!(self.replay.is_empty() || kind.class() == Class::Note, "new entries come after the old ones");
        self.fresh.push(Frame { kind, key: key.into(), at: self.stamp, args, body: Body::Here(body) });
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Replay and workflow disagree.
    pub fn blame(&mut self, message: String) {
        self.fault.get_or_insert(Blocked { reason: "nondeterminism".into(), message });
    }

    /// Opens a slot.
    pub fn open(&mut self, key: Key, what: What) {
        self.slots.insert(key, Slot { what, given: None, waker: None });
    }

    /// Fills a slot and wakes whoever polls it; false when no such slot is open.
    pub fn give(&mut self, key: &str, given: Given) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        slot.given = Some(given);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
        true
    }

    /// Eight bytes that depend on the run, a purpose and a count, and on nothing else.
    pub fn dice(&self, purpose: &str, count: u64) -> u64 {
        let digest = Sha256::new()
            .chain_update(self.id.0.as_bytes())
            .chain_update(purpose.as_bytes())
            .chain_update(count.to_le_bytes())
            .finalize();
        let mut out = [0; 8];
        out.copy_from_slice(&digest[..8]);
        u64::from_le_bytes(out)
    }
}

/// One side of a disagreement, for people.
pub(crate) fn describe(kind: Kind, key: &str, args: Option<u64>) -> String {
    match args {
        Some(args) => format!("{} `{key}` (arguments {args:016x})", kind.as_str()),
        None => format!("{} `{key}`", kind.as_str()),
    }
}

/// Hash of a command's name and arguments.
pub(crate) fn args_hash(name: &str, args: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(name.as_bytes()).chain_update([0]).chain_update(args).finalize();
    let mut out = [0; 8];
    out.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(out)
}

/// JSON of a body type. These types cannot fail to serialise: string keys, no maps of other things.
pub(crate) fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
}

/// A JSON text as a raw value; `null` if it is none.
pub(crate) fn raw(bytes: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(bytes).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
