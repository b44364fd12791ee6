//! What a workflow may say. A `Ctx` is one scope of one run: cheap to clone, bound to its shard's thread.
//!
//! Keys are taken when a method is *called*, in program order; a call leaves when it is first polled. So two branches may
//! be built in any order and joined in any order, and replay finds the same keys.

use crate::activity::{Activity, Request, Retry};
use crate::call::{Call, Issue};
use crate::cell::{Produced, Shared, Traces, args_hash, json};
use crate::error::{Error, Result};
use crate::event::{Class, Kind};
use crate::journal::body::Decision;
use crate::name::{Key, is_name, join};
use crate::run::{Owner, RunId, Time};
use crate::session::{Said, Terms};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

/// What a step may give back: anything that JSON can hold.
pub trait Durable: Serialize + DeserializeOwned + 'static {}
impl<T: Serialize + DeserializeOwned + 'static> Durable for T {}

/// Uses of a name within one scope.
#[derive(Default)]
pub(crate) struct Uses {
    taken: u32,
    open: u32,
}

pub(crate) type Names = Rc<RefCell<BTreeMap<String, Uses>>>;

/// A scope of a run.
#[derive(Clone)]
pub struct Ctx {
    shared: Shared,
    path: Rc<str>,
    names: Names,
}

impl Ctx {
    pub(crate) fn root(shared: Shared) -> Self {
        Self { shared, path: "".into(), names: Names::default() }
    }

    /// The run's public id.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.shared.borrow().id
    }

    /// Whose run it is; a child's is its parent's.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.shared.borrow().owner.clone()
    }

    /// How many generations of runs stand above this one.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.shared.borrow().depth
    }

    /// The time of the last outcome the workflow was given; the same on every replay, and free.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.borrow().clock
    }

    /// What the run is found by from its next entry on; the same name again replaces the value.
    pub fn label(&self, name: &'static str, value: impl Into<String>) {
        let mut cell = self.shared.borrow_mut();
        // What is met again was labelled then.
        if cell.replay.is_empty() {
            cell.labels.push(crate::ports::store::Label::new(name, value));
        }
    }

    /// As [`label`](Self::label), and the value is empty once the run has ended, however it ends: what is found by it is at work.
    pub fn label_while_open(&self, name: &'static str, value: impl Into<String>) {
        self.label(name, value);
        self.shared.borrow_mut().fading.insert(name);
    }

    /// What was said in the run's session before it began, oldest first, as far as its window reaches; the same on every
    /// replay. Empty for a run without a session, and for children: their parent hands them what they need.
    #[must_use]
    pub fn history(&self) -> Rc<[Said]> {
        Rc::clone(&self.shared.borrow().history)
    }

    /// How this run takes part in its session.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.shared.borrow().terms
    }

    /// A number that looks random and is the same on every replay.
    #[must_use]
    pub fn random(&self) -> u64 {
        let mut cell = self.shared.borrow_mut();
        cell.draws += 1;
        cell.dice("random", cell.draws)
    }

    /// An id that is unique in the world and the same on every replay.
    #[must_use]
    pub fn uuid(&self) -> uuid::Uuid {
        let (high, low) = (self.random(), self.random());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// A scope of its own, for a loop's turn or a member of a team: `scope("turn", i)`.
    #[must_use]
    pub fn scope(&self, name: &'static str, item: impl Display) -> Self {
        let item = item.to_string();
        let mut local = join("", name, Some(&item));
        if !is_name(name) {
            self.shared.borrow_mut().blame(format!("`{name}` is no name for a scope: use a-z, 0-9, _ . -"));
        }
        let uses = self.count(&local, false).unwrap_or(1);
        if uses > 1 {
            local = format!("{local}#{uses}");
        }
        let path = if self.path.is_empty() { local.into() } else { crate::name::join(&self.path, &local, None).into() };
        Self { shared: Rc::clone(&self.shared), path, names: Names::default() }
    }

    /// A pure computation, done once and remembered: its value is journaled, replay does not compute it again.
    pub fn step<T: Durable>(&self, name: &'static str, compute: impl FnOnce() -> T) -> Call<T> {
        let key = match self.key(name, false) {
            Ok(key) => key,
            Err(e) => return Call::ready(Err(e)),
        };
        let mut value = None;
        let produced = self.shared.borrow_mut().produce(Kind::StepValue, &key, None, || {
            let computed = compute();
            let bytes = json(&computed);
            value = Some(computed);
            if bytes.as_ref() == b"null" { Bytes::new() } else { bytes }
        });
        match (produced, value) {
            (Produced::Recorded(frame), _) => Call::ready(read_json(frame.body.text(), &key)),
            (_, Some(value)) => Call::ready(Ok(value)),
            _ => Call::never(),
        }
    }

    /// Hand an activity to the world. Its intent is journaled before it leaves, its outcome before anything else does.
    pub fn call<A: Activity>(&self, name: &'static str, activity: A) -> Call<A::Output> {
        let effect = activity.effect();
        let request = match Request::of(&activity) {
            Ok(request) => request,
            Err(error) => {
                return Call::ready(Err(Error::Step { step: name.into(), agent: None, error: Box::new(error) }));
            }
        };
        let issue = Issue::Call {
            request,
            effect,
            retry: Retry::DEFAULT,
            timeout_ms: None,
            traces: Traces::Step,
            about: None,
            agent: None,
            grant: None,
        };
        self.open(name, issue, |bytes, streamed| {
            let mut output = serde_json::from_slice(&bytes)?;
            if let Some(streamed) = streamed {
                A::restore(&mut output, &streamed);
            }
            Ok(output)
        })
    }

    /// Wait. Due is the time of the last outcome plus `duration`, so a crash does not start it anew.
    pub fn sleep(&self, name: &'static str, duration: Duration) -> Call<()> {
        self.open(name, Issue::Sleep { duration }, |_, _| Ok(()))
    }

    /// Wait for a signal of this name from outside; `None` once the deadline passes.
    pub fn wait_for<T: Durable>(&self, name: &'static str, deadline: Option<Duration>) -> Call<Option<T>> {
        self.wait_for_signal(name, name, deadline)
    }

    /// As [`wait_for`](Self::wait_for), for a signal whose name is data.
    pub fn wait_for_signal<T: Durable>(
        &self,
        name: &'static str,
        signal: &str,
        deadline: Option<Duration>,
    ) -> Call<Option<T>> {
        let issue = Issue::Signal { name: signal.into(), deadline };
        self.open(
            name,
            issue,
            |bytes, _| if bytes.is_empty() { Ok(None) } else { serde_json::from_slice(&bytes).map(Some) },
        )
    }

    /// Ask a person. The answer is bound to the hash of exactly this request; the first one counts.
    pub fn approval(&self, name: &'static str, request: &Value, deadline: Option<Duration>) -> Call<Decision> {
        self.open(name, Issue::Approval { request: json(request), deadline }, |bytes, _| serde_json::from_slice(&bytes))
    }

    /// Run another workflow as a child of this run and wait for its output.
    pub fn child(&self, name: &'static str, workflow: &str, input: &impl Serialize) -> Call<Value> {
        let issue =
            Issue::Child { workflow: workflow.into(), input: json(input), shares: 1, limits: None, agent: None };
        self.open(name, issue, |bytes, _| serde_json::from_slice(&bytes))
    }

    /// Write an event of one of the kinds that a workflow may write (a handoff, a choice of speaker, a log line).
    pub fn emit(&self, kind: Kind, body: &impl Serialize) {
        let mut cell = self.shared.borrow_mut();
        if kind.class() != Class::Produced {
            cell.blame(format!("a workflow cannot write {}", kind.as_str()));
            return;
        }
        let body = json(body);
        let args = args_hash(kind.as_str(), &body);
        cell.produce(kind, &self.path, Some(args), || body);
    }

    /// The key of this scope: empty for the run itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn open<T>(
        &self,
        name: &'static str,
        issue: Issue,
        read: fn(Bytes, Option<String>) -> serde_json::Result<T>,
    ) -> Call<T> {
        match self.key(name, true) {
            Ok(key) => Call::open(Rc::clone(&self.shared), Rc::clone(&self.names), name, key, issue, read),
            Err(e) => Call::ready(Err(e)),
        }
    }

    /// Takes the next key of `name` in this scope.
    pub(crate) fn key(&self, name: &'static str, lasting: bool) -> Result<Key> {
        if !is_name(name) {
            return Err(Error::workflow("InternalError", format!("`{name}` is no step name: use a-z, 0-9, _ . -")));
        }
        match self.count(name, lasting)? {
            1 => Ok(join(&self.path, name, None).into()),
            n => Ok(format!("{}#{n}", join(&self.path, name, None)).into()),
        }
    }

    fn count(&self, local: &str, lasting: bool) -> Result<u32> {
        let mut names = self.names.borrow_mut();
        if !names.contains_key(local) {
            names.insert(local.into(), Uses::default());
        }
        let Some(uses) = names.get_mut(local) else { return Ok(1) };
        if uses.open > 0 {
            return Err(Error::workflow(
                "InternalError",
                format!(
                    "ambiguous step `{local}` in `{}`: two are open at once; give each branch its own scope",
                    self.path
                ),
            ));
        }
        uses.taken += 1;
        uses.open += u32::from(lasting);
        Ok(uses.taken)
    }
}

/// A call has ended: its name is free again.
pub(crate) fn close(names: &Names, name: &str) {
    if let Some(uses) = names.borrow_mut().get_mut(name) {
        uses.open = uses.open.saturating_sub(1);
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8], key: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::workflow("InternalError", format!("the recorded result of `{key}` does not fit: {e}")))
}
