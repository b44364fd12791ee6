//! A command on its way: taken when made, issued when first polled, dropped when nobody waits any more.

use crate::activity::{Effect, Request, Retry};
use crate::cell::{Cell, Command, Given, OpenCall, Produced, Refused, Shared, Traces, What, args_hash, json, raw};
use crate::ctx::{Names, close};
use crate::error::{Error, Result};
use crate::event::Kind;
use crate::journal::body::{ApprovalRequested, ChildStarted, Started};
use crate::ledger::{Amounts, Grant, Limits, Need, Share};
use crate::name::{Key, short_hash};
use crate::run::{RunId, Time};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What a call will ask for once it is polled.
pub(crate) enum Issue {
    Call {
        request: Request,
        effect: Effect,
        retry: Retry,
        timeout_ms: Option<u64>,
        traces: Traces,
        about: Option<Box<RawValue>>,
        agent: Option<String>,
        grant: Option<Grant>,
    },
    Sleep {
        duration: Duration,
    },
    Signal {
        name: String,
        deadline: Option<Duration>,
    },
    Approval {
        request: Bytes,
        deadline: Option<Duration>,
    },
    Child {
        workflow: String,
        input: Bytes,
        shares: u32,
        limits: Option<Limits>,
        agent: Option<String>,
    },
}

/// Reads a slot's result.
type ReadFn<T> = fn(Bytes, Option<String>) -> serde_json::Result<T>;

struct Open<T> {
    shared: Shared,
    names: Names,
    name: &'static str,
    key: Key,
    issue: Option<Issue>,
    agent: Option<String>,
    read: ReadFn<T>,
}

enum State<T> {
    Ready(Option<Result<T>>),
    Open(Box<Open<T>>),
    /// The run is at fault: nothing will come, the shard sees why.
    Never,
}

/// A step, call, timer, wait, approval or child in progress. Await it.
#[must_use = "a call leaves only when it is awaited"]
pub struct Call<T> {
    state: State<T>,
}

impl<T> Unpin for Call<T> {}

impl<T> Call<T> {
    pub(crate) fn ready(result: Result<T>) -> Self {
        Self { state: State::Ready(Some(result)) }
    }

    pub(crate) fn never() -> Self {
        Self { state: State::Never }
    }

    pub(crate) fn open(
        shared: Shared,
        names: Names,
        name: &'static str,
        key: Key,
        issue: Issue,
        read: ReadFn<T>,
    ) -> Self {
        Self { state: State::Open(Box::new(Open { shared, names, name, key, issue: Some(issue), agent: None, read })) }
    }

    /// How often and when a failed attempt is repeated. Only for activities.
    pub fn retry(self, policy: Retry) -> Self {
        self.adjust(|issue| {
            if let Issue::Call { retry, .. } = issue {
                *retry = policy;
            }
        })
    }

    /// How long one attempt may take. Only for activities.
    pub fn timeout(self, bound: Duration) -> Self {
        self.adjust(|issue| {
            if let Issue::Call { timeout_ms, .. } = issue {
                *timeout_ms = u64::try_from(bound.as_millis()).ok();
            }
        })
    }

    /// Which kinds of entries it leaves. Only for activities.
    pub fn traces(self, kinds: Traces) -> Self {
        self.adjust(|issue| {
            if let Issue::Call { traces, .. } = issue {
                *traces = kinds;
            }
        })
    }

    /// What readers of the journal should know: stands in the intent, and in the outcome as far as it is small.
    pub fn about(self, note: &impl Serialize) -> Self {
        let note = raw(&json(note));
        self.adjust(|issue| {
            if let Issue::Call { about, .. } = issue {
                *about = Some(note);
            }
        })
    }

    /// What pays for it. Settled with what the result says that it cost; an attempt that may have cost without a result is
    /// booked at the whole amount. Only for activities.
    pub fn paid_by(self, reserved: Option<Grant>) -> Self {
        self.adjust(|issue| {
            if let Issue::Call { grant, .. } = issue {
                *grant = reserved;
            }
        })
    }

    /// How many children like this one share what is left of the budget, and a limit of its own. Only for children.
    pub fn allot(self, siblings: u32, own: Option<Limits>) -> Self {
        self.adjust(|issue| {
            if let Issue::Child { shares, limits, .. } = issue {
                (*shares, *limits) = (siblings, own);
            }
        })
    }

    /// Whom to blame in an error.
    pub fn agent(self, who: &str) -> Self {
        self.adjust(|issue| {
            if let Issue::Call { agent, .. } | Issue::Child { agent, .. } = issue {
                *agent = Some(who.into());
            }
        })
    }

    fn adjust(mut self, change: impl FnOnce(&mut Issue)) -> Self {
        if let State::Open(open) = &mut self.state
            && let Some(issue) = &mut open.issue
        {
            change(issue);
        }
        self
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let open = match &mut self.state {
            State::Ready(result) => return result.take().map_or(Poll::Pending, Poll::Ready),
            State::Never => return Poll::Pending,
            State::Open(open) => open,
        };
        let mut cell = open.shared.borrow_mut();
        if let Some(issue) = open.issue.take() {
            if let Issue::Call { agent, .. } = &issue {
                open.agent.clone_from(agent);
            }
            if let Err(refused) = issue_command(&mut cell, &open.key, issue) {
                drop(cell);
                close(&open.names, open.name);
                self.state = State::Never;
                return Poll::Ready(Err(refused));
            }
        }
        let Some(slot) = cell.slots.get_mut(&open.key) else { return Poll::Pending };
        let Some(given) = slot.given.take() else {
            slot.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        cell.slots.remove(&open.key);
        drop(cell);
        close(&open.names, open.name);
        let result = read_given(given, open);
        self.state = State::Never;
        Poll::Ready(result)
    }
}

fn read_given<T>(given: Given, open: &Open<T>) -> Result<T> {
    match given.result {
        Ok(bytes) => (open.read)(bytes, given.streamed).map_err(|e| {
            Error::workflow("InternalError", format!("the recorded result of `{}` does not fit: {e}", open.key))
        }),
        Err(Refused::Activity(error)) => {
            Err(Error::Step { step: open.key.to_string(), agent: open.agent.clone(), error: Box::new(error) })
        }
        Err(Refused::Child(error)) => Err(Error::Child(error)),
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let State::Open(open) = &self.state else { return };
        close(&open.names, open.name);
        let Ok(mut cell) = open.shared.try_borrow_mut() else { return };
        if cell.closing || open.issue.is_some() {
            return;
        }
        if let Some(slot) = cell.slots.remove(&open.key) {
            let leaves_a_mark = slot.given.is_none() && matches!(slot.what, What::Call(_) | What::Child { .. });
            if leaves_a_mark {
                cell.produce(Kind::StepCancelled, &open.key, None, Bytes::new);
                give_back(&mut cell, &open.key, &slot.what);
            }
            cell.commands.push(Command::Dropped { key: open.key.clone(), what: slot.what });
        }
    }
}

/// Nobody waits for it any more: what may be under way may cost all that was held for it, what is not costs nothing.
pub(crate) fn give_back(cell: &mut Cell, key: &str, what: &What) {
    let (key, is_out) = match what {
        What::Call(call) => match &call.grant {
            Some(grant) => (grant.clone(), call.may_be_out),
            None => return,
        },
        What::Child { .. } => (key.into(), true),
        _ => return,
    };
    if let Some(held) = cell.ledger.held(&key) {
        cell.settle(&key, if is_out { held } else { Amounts::default() }, is_out, true);
    }
}

/// Writes the intent (or meets it again) and opens the slot.
fn issue_command(cell: &mut Cell, key: &Key, issue: Issue) -> Result<()> {
    match issue {
        Issue::Call { request, effect, retry, timeout_ms, traces, about, agent, grant } => {
            let grant = grant.and_then(Grant::take);
            let args = args_hash(request.name, &request.args);
            let activity = request.name.to_owned();
            let started = Started { activity, effect, agent: agent.clone(), about };
            let Some(seq) = intent(cell, traces.started(), key, Some(args), || json(&started)) else { return Ok(()) };
            let again = cell.retries.remove(key);
            let was_due = again.is_none_or(|a| !a.is_unsent && a.due <= cell.stamp);
            let call = OpenCall {
                request,
                effect,
                retry,
                timeout_ms,
                traces,
                agent,
                attempt: again.map_or(1, |a| a.attempt),
                failures: again.map_or(0, |a| a.failures),
                due: again.map(|a| a.due),
                in_flight: false,
                may_be_out: seq == 0 && was_due,
                is_unsent: again.is_some_and(|a| a.is_unsent),
                grant,
            };
            open(cell, key, What::Call(Box::new(call)), seq);
        }
        Issue::Sleep { duration } => {
            let due = cell.clock.after(duration);
            open(cell, key, What::Timer { due }, 0);
        }
        Issue::Signal { name, deadline } => {
            let due = deadline.map(|d| cell.clock.after(d));
            let waiting = cell.signals.get_mut(&name).and_then(std::collections::VecDeque::pop_front);
            open(cell, key, What::Signal { name, due }, 0);
            if let Some(payload) = waiting {
                cell.give(key, Given { result: Ok(payload), streamed: None });
            }
        }
        Issue::Approval { request, deadline } => {
            let due = deadline.map(|d| cell.clock.after(d));
            let args = args_hash("approval", &request);
            let asked = ApprovalRequested {
                approval_id: key.to_string(),
                request: raw(&request),
                hash: short_hash(&request),
                deadline: due,
            };
            let Some(seq) = intent(cell, Kind::ApprovalRequested, key, Some(args), || json(&asked)) else {
                return Ok(());
            };
            open(cell, key, What::Approval { due }, seq);
        }
        Issue::Child { workflow, input, shares, limits, agent } => {
            let budget = allotment(cell, key, shares, limits)?;
            issue_child(cell, key, workflow, input, budget, agent);
        }
    }
    Ok(())
}

/// Moves a child's share out of the run's budget.
fn allotment(cell: &mut Cell, key: &Key, shares: u32, own: Option<Limits>) -> Result<Option<Limits>> {
    if !cell.ledger.is_bounded() {
        return Ok(own);
    }
    let limits = cell.ledger.allotment(shares, own).unwrap_or_default();
    // At least one of each bounded unit: a child without anything could only fail.
    let one = |limit: Option<u64>| u64::from(limit.is_some());
    // A child that buys nothing may be born when all is bought.
    let least = Amounts { tokens: one(limits.tokens), cost: one(limits.cost), purchases: 0 };
    let want = Amounts {
        tokens: limits.tokens.unwrap_or(0).max(least.tokens),
        cost: limits.cost.unwrap_or(0).max(least.cost),
        purchases: limits.purchases.unwrap_or(0),
    };
    match cell
        .reserve(key, Share::Ordinary, |ledger| ledger.grant(Need { want, least, share: Share::Ordinary, siblings: 1 }))
    {
        Some(Ok(got)) => Ok(Some(Limits {
            tokens: limits.tokens.map(|_| got.tokens),
            cost: limits.cost.map(|_| got.cost),
            purchases: limits.purchases.map(|_| got.purchases),
        })),
        Some(Err(shortage)) => Err(shortage.error()),
        None => Ok(None),
    }
}

fn issue_child(
    cell: &mut Cell,
    key: &Key,
    workflow: String,
    input: Bytes,
    budget: Option<Limits>,
    agent: Option<String>,
) {
    let args = args_hash(&workflow, &input);
    let id = RunId::child(cell.id, key);
    let new = cell.replay.is_empty().then(|| (cell.numbers)());
    let produced = cell.produce(Kind::ChildStarted, key, Some(args), || {
        json(&ChildStarted { run_id: id, run: new.unwrap_or_default(), workflow: workflow.clone(), agent })
    });
    let (run, seq) = match produced {
        Produced::New(seq) => (new.unwrap_or_default(), seq),
        Produced::Recorded(frame) => match serde_json::from_slice::<ChildStarted>(frame.body.text()) {
            Ok(started) => (started.run, 0),
            Err(e) => return cell.blame(format!("child.started `{key}` cannot be read: {e}")),
        },
        Produced::Fault => return,
    };
    open(cell, key, What::Child { id, run, workflow, input, budget }, seq);
}

/// The number of the intent's entry: 0 when it is recorded already, `None` at fault.
fn intent(cell: &mut Cell, kind: Kind, key: &Key, args: Option<u64>, body: impl FnOnce() -> Bytes) -> Option<u32> {
    match cell.produce(kind, key, args, body) {
        Produced::New(seq) => Some(seq),
        Produced::Recorded(_) => Some(0),
        Produced::Fault => None,
    }
}

fn open(cell: &mut Cell, key: &Key, what: What, seq: u32) {
    cell.open(key.clone(), what);
    cell.commands.push(Command::Issued { key: key.clone(), seq });
}

/// The earliest time at which an open command goes on by itself.
pub(crate) fn due(what: &What) -> Option<Time> {
    match what {
        What::Call(call) if !call.in_flight => call.due,
        What::Call(_) | What::Child { .. } => None,
        What::Timer { due } => Some(*due),
        What::Signal { due, .. } | What::Approval { due } => *due,
    }
}
