//! Taking a run over: read its journal, claim it, and once the claim is durable replay it to the place where it was.

use crate::activity::{ActivityError, Effect, Next};
use crate::cell::{Again, Command, Given, Refused, Spool, What, json};
use crate::event::{Class, Kind};
use crate::journal::body::{
    Blocked, ChildCompleted, ChildStarted, Claimed, Completed, Delta, Failed, Inbox, Queued, Retrying, Signal, Spent,
};
use crate::journal::frame::{Body, Chain, FrameError};
use crate::journal::{Frame, decode_row};
use crate::name::Key;
use crate::ports::store::{Row, RunRow, Stand};
use crate::run::{RunNo, Status, Time};
use crate::session::Terms;
use crate::shard::core::Env;
use crate::shard::gate::Gate;
use crate::shard::live::{Claim, Live, NextFence, Phase, Polled};
use crate::shard::wire::{Adopt, Recalled};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The error class of an attempt that ended because we did.
const INTERRUPTED: &str = "Interrupted";

/// A journal as read back.
struct History {
    frames: Vec<Frame>,
    chain: Chain,
    damage: Option<String>,
}

fn read(rows: &[Row], blobs: &[([u8; 32], Bytes)]) -> History {
    let mut history = History { frames: Vec::new(), chain: [0; 16], damage: None };
    let mut expected = 1;
    for row in rows {
        let decoded = if row.first == expected && row.last >= row.first {
            decode_row(row.at, row.first, row.last - row.first + 1, &row.body, history.chain)
        } else {
            Err(FrameError::Short(expected))
        };
        match decoded {
            Ok((frames, chain)) => {
                history.chain = chain;
                history.frames.extend(frames);
                expected = row.last + 1;
            }
            Err(e) => {
                history.damage = Some(e.to_string());
                return history;
            }
        }
    }
    for frame in &mut history.frames {
        if let Body::Blob(hash) = frame.body {
            match blobs.iter().find(|(h, _)| *h == hash) {
                Some((_, body)) => frame.body = Body::Here(body.clone()),
                None => history.damage = Some("a large body is missing".into()),
            }
        }
    }
    history
}

/// Ends in disorder since the last progress, this one included.
fn abnormal_ends(frames: &[Frame]) -> u32 {
    let last = frames.iter().rposition(|f| f.kind == Kind::EngineClaimed);
    let since = &frames[last.map_or(0, |i| i + 1)..];
    let before = last
        .and_then(|i| serde_json::from_slice::<Claimed>(frames[i].body.text()).ok())
        .map_or(0, |claimed| claimed.abnormal);
    let started = last.is_some() || since.iter().any(|f| f.kind == Kind::RunStarted);
    match since.last().map(|f| f.kind) {
        _ if !started => 0,
        Some(Kind::RunWaiting | Kind::EngineReleased | Kind::RunBlocked | Kind::EngineReopened) => 0,
        _ if since.iter().any(|f| f.kind.class() != Class::Note) => 1,
        _ => before + 1,
    }
}

/// Children that a journal began and did not hear the end of.
fn open_children(frames: &[Frame]) -> Vec<RunNo> {
    let has_ended = |key: &str| {
        frames.iter().any(|f| matches!(f.kind, Kind::ChildCompleted | Kind::StepCancelled) && &*f.key == key)
    };
    let began = frames.iter().filter(|f| f.kind == Kind::ChildStarted && !has_ended(&f.key));
    began.filter_map(|f| Some(serde_json::from_slice::<ChildStarted>(f.body.text()).ok()?.run)).collect()
}

impl Live {
    /// Writes the claim. Nothing is polled before it is durable, so that the count of abnormal ends cannot be lost.
    pub fn claim(env: &Env, adopt: Adopt) -> Self {
        let Adopt { row, rows, blobs, inbox, recalled } = adopt;
        let mut history = read(&rows, &blobs);
        let head = rows.last();
        let queued = history
            .frames
            .first()
            .filter(|f| f.kind == Kind::RunQueued)
            .and_then(|f| serde_json::from_slice(f.body.text()).ok());
        let queued = Rc::new(queued.unwrap_or_else(|| {
            history.damage.get_or_insert("its first entry cannot be read".into());
            stand_in(&row)
        }));
        let durable = head.map_or(0, |r| r.last);
        let gate = Gate::new(durable, env.options.broken_gate);
        let mut live = Self::new(row.run, queued, env.now, Rc::clone(&env.numbers), gate);
        live.epoch = head.map_or(0, |r| r.epoch) + 1;
        live.prev = head.map_or(0, |r| r.first);
        live.appended = durable;
        live.chain = history.chain;
        live.fence = NextFence::Claim;
        let abnormal = abnormal_ends(&history.frames);
        {
            let mut cell = live.shared.borrow_mut();
            cell.next_seq = durable + 1;
            cell.clock = history.frames.first().map_or(env.now, |f| f.at);
        }
        live.asks = None;
        live.push(Kind::EngineClaimed, "", json(&Claimed { epoch: live.epoch, abnormal }));
        if let Some(recalled) = recalled {
            live.remember(&history.frames, recalled);
        }
        if !history.frames.iter().any(|f| f.kind == Kind::RunStarted) {
            live.push(Kind::RunStarted, "", Bytes::new());
        }
        live.stand = Some(Stand { status: Status::Running, due_at: None, ended_at: None });
        if let Some(damage) = history.damage {
            live.fault("damaged", damage);
        } else if abnormal >= env.options.abnormal_max {
            let times = format!("its worker ended abnormally {abnormal} times without progress");
            live.fault("poison", times);
        }
        live.phase = Phase::Claiming(Box::new(Claim { frames: history.frames, inbox }));
        live
    }

    /// Takes what was said before; the first owner notes which turns these are, in the row of its claim.
    fn remember(&self, frames: &[Frame], recalled: Recalled) {
        if !frames.iter().any(|f| f.kind == Kind::EngineSession) {
            self.push(Kind::EngineSession, "", json(&recalled.read));
        }
        if recalled.is_torn {
            self.fault("erased", "turns of its session that it depends on were removed".into());
        }
        self.shared.borrow_mut().history = recalled.said.into();
    }

    fn fault(&self, reason: &str, message: String) {
        self.shared.borrow_mut().fault = Some(Blocked { reason: reason.into(), message });
    }

    /// A row is durable: if it was the claim, replay.
    pub fn claimed(&mut self, env: &mut Env) {
        if let Phase::Claiming(_) = self.phase
            && let Phase::Claiming(claim) = std::mem::replace(&mut self.phase, Phase::Running)
        {
            self.replay(env, *claim);
        }
    }

    fn replay(&mut self, env: &mut Env, claim: Claim) {
        let Claim { frames, mut inbox } = claim;
        let cancel = inbox.iter().position(|item| item.kind == Inbox::Cancel as u8).map(|i| inbox.remove(i));
        let children = if cancel.is_some() { open_children(&frames) } else { Vec::new() };
        match (self.follow(env, frames, cancel.is_some()), cancel) {
            // A run that cannot go on is cancelled without asking its workflow.
            (Err(_), Some(cancel)) => self.stop_unread(env, cancel, &children),
            (Err(blocked), None) => self.block(env, &blocked.reason, blocked.message),
            (Ok(false), _) => {}
            (Ok(true), cancel) => {
                let fresh = self.serve_fresh(env);
                // A cancel comes first: what it stops is not sent again.
                self.inbox(env, cancel.into_iter().collect());
                self.resume(env, &fresh);
                self.inbox(env, inbox);
            }
        }
    }

    /// Follows a journal to its end. False when the run has ended or left memory on the way, an error when it cannot.
    fn follow(&mut self, env: &mut Env, frames: Vec<Frame>, is_cancelled: bool) -> Result<bool, Blocked> {
        let never_began = !frames.iter().any(|f| f.kind == Kind::RunStarted);
        if let Some(fault) = self.shared.borrow_mut().fault.take() {
            return Err(fault);
        }
        self.load(frames);
        // What has not begun and is cancelled does not begin.
        if never_began && is_cancelled {
            return Ok(true);
        }
        let Some(factory) = env.registry.find(&self.queued.workflow, self.queued.version) else {
            return Err(Blocked { reason: "version".into(), message: self.unknown_workflow() });
        };
        let ctx = crate::ctx::Ctx::root(self.shared.clone());
        self.root = Some(factory(ctx, crate::shard::deliver::input_bytes(&self.queued.input)));
        self.catch_up(env)
    }

    /// Sorts a journal into what the workflow must meet again and what the engine has to remember.
    fn load(&mut self, frames: Vec<Frame>) {
        let mut cell = self.shared.borrow_mut();
        for (seq, frame) in (1..).zip(frames) {
            match frame.kind {
                Kind::StepRetrying => {
                    if let Ok(note) = serde_json::from_slice::<Retrying>(frame.body.text()) {
                        let before = cell.retries.get(&*frame.key).map_or(0, |again| again.failures);
                        let failures = before + u32::from(note.error.class != INTERRUPTED);
                        let again = Again { attempt: note.attempt, failures, due: note.due, is_unsent: false };
                        cell.retries.insert((&*frame.key).into(), again);
                    }
                }
                Kind::AgentDelta => {
                    if let Ok(delta) = serde_json::from_slice::<Delta>(frame.body.text()) {
                        let start = || Spool { from: seq, attempt: delta.attempt, text: String::new() };
                        let spool = cell.spools.entry((&*frame.key).into()).or_insert_with(start);
                        if spool.attempt != delta.attempt {
                            *spool = start();
                        }
                        spool.text.push_str(&delta.text);
                    }
                }
                Kind::AgentRetracted => {
                    cell.spools.remove(&*frame.key);
                }
                Kind::RunWaiting | Kind::EngineReleased => {
                    cell.retries.values_mut().for_each(|again| again.is_unsent = again.due > frame.at);
                }
                Kind::EngineClaimed => cell.retries.values_mut().for_each(|again| again.is_unsent = false),
                Kind::BudgetSpent => {
                    if let Ok(note) = serde_json::from_slice::<Spent>(frame.body.text()) {
                        cell.ledger.settle(&frame.key, note.spent, !note.is_open);
                    }
                }
                Kind::BudgetReserved => {
                    if let Ok(reserved) = serde_json::from_slice(frame.body.text()) {
                        cell.ledger.hold((&*frame.key).into(), reserved);
                    }
                    cell.replay.push_back(frame);
                }
                kind if kind.class() == Class::Note => {}
                _ => cell.replay.push_back(frame),
            }
        }
    }

    /// Replays until the journal is used up. False when the run has ended or left memory on the way.
    fn catch_up(&mut self, env: &mut Env) -> Result<bool, Blocked> {
        // A run that was stopped before it wrote anything may never have been polled.
        let mut is_silent = self.shared.borrow().replay.front().is_some_and(|f| f.kind == Kind::CancelRequested);
        loop {
            let is_running = matches!(self.phase, Phase::Running);
            if is_running && !std::mem::take(&mut is_silent) {
                let mark = self.shared.borrow().fresh.len();
                match self.poll() {
                    Polled::Pending => {}
                    Polled::Done(result) => {
                        if let Some(left) = self.shared.borrow().replay.front() {
                            let there = crate::cell::describe(left.kind, &left.key, left.args);
                            self.fault(
                                "nondeterminism",
                                format!("the workflow ends, the journal goes on with {there}"),
                            );
                        }
                        if let Some(fault) = self.shared.borrow_mut().fault.take() {
                            return Err(fault);
                        }
                        self.finish(env, result);
                        return Ok(false);
                    }
                    Polled::Blocked(reason, message) => return Err(Blocked { reason: reason.into(), message }),
                    Polled::Panicked(text) => {
                        self.shared.borrow_mut().replay.clear();
                        self.panicked(env, mark, &text);
                        return Ok(false);
                    }
                }
            }
            let Some(frame) = self.shared.borrow_mut().replay.pop_front() else {
                self.end_if_stopped(env);
                return Ok(!matches!(self.phase, Phase::Over));
            };
            self.drop_old_commands();
            self.deliver(env, &frame).map_err(|message| Blocked { reason: "nondeterminism".into(), message })?;
        }
    }

    /// What was asked for in an earlier life was seen to then.
    fn drop_old_commands(&self) {
        self.shared.borrow_mut().commands.clear();
    }

    /// Gives a recorded entry to the workflow again.
    fn deliver(&mut self, env: &mut Env, frame: &Frame) -> Result<(), String> {
        if let Body::Erased(_) = frame.body {
            return Err("erased: the text this run depends on was removed on request".into());
        }
        let key: Key = (&*frame.key).into();
        let text = frame.body.text();
        let bad = |e: serde_json::Error| format!("{} `{}` cannot be read: {e}", frame.kind.as_str(), frame.key);
        let found = match frame.kind {
            Kind::StepCompleted | Kind::AgentMessage | Kind::ToolReturned => {
                let done: Completed = serde_json::from_slice(text).map_err(bad)?;
                let output = Bytes::copy_from_slice(done.output.get().as_bytes());
                let mut cell = self.shared.borrow_mut();
                if let Some(What::Call(call)) = cell.slots.get(&key).map(|slot| &slot.what) {
                    let spent = (call.request.spent)(&output);
                    cell.ledger.count(spent);
                }
                let streamed = cell.spools.remove(&key).filter(|_| done.streamed_from.is_some()).map(|s| s.text);
                cell.clock = frame.at;
                cell.give(&key, Given { result: Ok(output), streamed })
            }
            Kind::StepFailed | Kind::AgentFailed | Kind::ToolFailed => {
                let failed: Failed = serde_json::from_slice(text).map_err(bad)?;
                let mut cell = self.shared.borrow_mut();
                cell.clock = frame.at;
                cell.give(&key, Given { result: Err(Refused::Activity(failed.error)), streamed: None })
            }
            Kind::TimerFired => self.timer(&key, frame.at),
            Kind::ApprovalDecided => self.approval(&key, Bytes::copy_from_slice(text), frame.at),
            Kind::ChildCompleted => {
                let ended: ChildCompleted = serde_json::from_slice(text).map_err(bad)?;
                if let Phase::Stopping(stop) = &mut self.phase {
                    self.shared.borrow_mut().ledger.count(ended.spent);
                    stop.children.remove(&key)
                } else {
                    self.child_given(&ended, frame.at)
                }
            }
            Kind::SignalReceived => {
                let signal: Signal = serde_json::from_slice(text).map_err(bad)?;
                self.signal(&signal, frame.at);
                true
            }
            Kind::CancelRequested => {
                self.restop(env, Status::Cancelled);
                true
            }
            Kind::EngineDeadline => {
                self.restop(env, Status::TimedOut);
                true
            }
            _ => false,
        };
        let here = crate::cell::describe(frame.kind, &frame.key, frame.args);
        if found { Ok(()) } else { Err(format!("the journal has {here}, the workflow did not ask for it")) }
    }

    /// A stop that began in an earlier life. Its messages to children are in the store already.
    fn restop(&mut self, env: &mut Env, status: Status) {
        self.stop_all(env, status, false);
    }

    /// The journal is used up: sees to what is new, and answers its keys.
    fn serve_fresh(&mut self, env: &mut Env) -> BTreeSet<Key> {
        let commands = std::mem::take(&mut self.shared.borrow_mut().commands);
        let new = |c: &Command| match c {
            Command::Issued { key, seq } => (*seq > 0).then(|| key.clone()),
            Command::Dropped { .. } => None,
        };
        let fresh: BTreeSet<Key> = commands.iter().filter_map(new).collect();
        let keep = |c: &Command| new(c).is_some() || matches!(c, Command::Dropped { .. });
        self.shared.borrow_mut().commands = commands.into_iter().filter(keep).collect();
        if matches!(self.phase, Phase::Running) && self.serve(env) {
            self.drive(env);
        }
        fresh
    }

    /// Sends again what was on its way, as its contract allows.
    fn resume(&mut self, env: &mut Env, fresh: &BTreeSet<Key>) {
        let waiting: Vec<Key> = {
            let cell = self.shared.borrow();
            let call = |what: &What| matches!(what, What::Call(call) if !call.in_flight);
            let open = cell.slots.iter().filter(|(key, s)| s.given.is_none() && call(&s.what) && !fresh.contains(*key));
            open.map(|(key, _)| key.clone()).collect()
        };
        for key in waiting {
            if !matches!(self.phase, Phase::Running) {
                return;
            }
            self.resume_call(env, &key);
        }
    }

    fn resume_call(&mut self, env: &mut Env, key: &Key) {
        let call = match self.shared.borrow().slots.get(key).map(|s| &s.what) {
            Some(What::Call(call)) if !call.in_flight => (**call).clone(),
            _ => return,
        };
        match (call.effect, call.due) {
            (_, Some(due)) if due > env.now => {}
            _ if !call.waits_for_its_intent() => self.spawn(key, 0),
            _ if call.is_unsent => self.spawn(key, self.written()),
            (Effect::AtMostOnce, _) => {
                self.unknown(key, &call, env.now);
                self.drive(env);
            }
            (Effect::Idempotent | Effect::Pure, _) => {
                let error = ActivityError {
                    class: INTERRUPTED.into(),
                    message: "the worker ended before the answer was recorded".into(),
                    next: Next::Retry { after_ms: None },
                    may_have_cost: true,
                };
                if let Err(short) = self.book(&call, &error) {
                    self.failed(key, &call, short, env.now);
                    return self.drive(env);
                }
                let seq = self.retry(key, env.now, error, call.failures);
                self.spawn(key, seq);
            }
        }
    }
}

/// What is known of a run whose first entry cannot be read.
fn stand_in(row: &RunRow) -> Queued {
    Queued {
        run_id: row.id,
        workflow: row.workflow.clone(),
        version: row.version,
        input: serde_json::value::RawValue::NULL.to_owned(),
        deadline: None,
        session_id: row.session.clone(),
        parent: None,
        stream: false,
        traceparent: None,
        owner: row.owner.clone(),
        priority: row.priority,
        schedule_at: None,
        terms: Terms::default(),
        replaces: Vec::new(),
        budget: None,
        accounts: Vec::new(),
    }
}

/// Replays a recorded journal against this program's workflows, without a store and without the world.
///
/// # Errors
/// What differs: the journal was written by code that did something else.
pub fn rehearse(
    registry: &crate::workflow::Registry,
    row: RunRow,
    rows: Vec<Row>,
    blobs: Vec<([u8; 32], Bytes)>,
) -> Result<Option<Status>, String> {
    let history = read(&rows, &blobs);
    if let Some(damage) = history.damage {
        return Err(damage);
    }
    let recorded = history.frames.iter().rev().find(|f| f.kind.class() == Class::Terminal).cloned();
    let mut env = Env {
        registry: registry.clone(),
        options: super::core::CoreOptions { abnormal_max: u32::MAX, ..Default::default() },
        numbers: Rc::new(|| RunNo(i64::MAX)),
        now: rows.last().map_or(Time(0), |r| r.at),
        out: Vec::new(),
        births: Vec::new(),
    };
    let mut live = Live::claim(&env, Adopt { row, rows, blobs, inbox: Vec::new(), recalled: None });
    let Phase::Claiming(claim) = std::mem::replace(&mut live.phase, Phase::Running) else { return Ok(None) };
    let frames = claim.frames.into_iter().filter(|f| f.kind.class() != Class::Terminal).collect();
    live.replay(&mut env, Claim { frames, inbox: Vec::new() });
    let cell = live.shared.borrow();
    if let Some(blocked) = cell.fresh.iter().find(|f| f.kind == Kind::RunBlocked) {
        return Err(String::from_utf8_lossy(blocked.body.text()).into_owned());
    }
    let Some(recorded) = recorded else { return Ok(None) };
    let again = cell.fresh.iter().find(|f| f.kind.class() == Class::Terminal);
    match again {
        Some(again) if again.kind == recorded.kind && again.body == recorded.body => {
            Ok(super::stop::status_of(recorded.kind))
        }
        Some(again) => Err(format!(
            "it ended with {} {}, and now with {} {}",
            recorded.kind.as_str(),
            String::from_utf8_lossy(recorded.body.text()),
            again.kind.as_str(),
            String::from_utf8_lossy(again.body.text())
        )),
        None => Err(format!("it ended with {}, and now it goes on", recorded.kind.as_str())),
    }
}
