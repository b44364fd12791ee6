//! What is given to a workflow: outcomes, messages, time. And what it then asks for.

use crate::activity::{ActivityError, Effect, Next, Outcome};
use crate::call::due;
use crate::cell::{Command, Given, OpenCall, Refused, What, json, raw};
use crate::event::Kind;
use crate::journal::body::{
    CancelRequested, ChildCompleted, Completed, Decision, Delta, Failed, Ignored, Inbox, Retracted, Retrying, RunError,
    Signal, Verdict, Waiting,
};
use crate::ledger::Amounts;
use crate::name::Key;
use crate::ports::store::{InboxItem, Stand};
use crate::run::{RunNo, Status, Time};
use crate::shard::core::{Env, Unborn};
use crate::shard::live::{Live, Phase, Polled};
use crate::shard::wire::{AttemptId, Leave, Output, Spawn};
use bytes::Bytes;
use serde_json::value::RawValue;

impl Live {
    /// The first poll of a new run.
    pub fn begin(&mut self, env: &mut Env) {
        self.push(Kind::RunStarted, "", Bytes::new());
        let Some(factory) = env.registry.find(&self.queued.workflow, self.queued.version) else {
            return self.block(env, "version", self.unknown_workflow());
        };
        let ctx = crate::ctx::Ctx::root(self.shared.clone());
        self.root = Some(factory(ctx, input_bytes(&self.queued.input)));
        self.drive(env);
    }

    pub fn unknown_workflow(&self) -> String {
        format!("this program has no workflow `{}` number {}", self.queued.workflow, self.queued.version)
    }

    /// Polls the root and sees to what it asked for, until it waits, ends, or fails.
    pub fn drive(&mut self, env: &mut Env) {
        loop {
            let mark = self.shared.borrow().fresh.len();
            match self.poll() {
                Polled::Pending => {
                    if !self.serve(env) {
                        return;
                    }
                }
                Polled::Done(result) => return self.finish(env, result),
                Polled::Blocked(reason, message) => return self.block(env, reason, message),
                Polled::Panicked(text) => return self.panicked(env, mark, &text),
            }
        }
    }

    /// A panic is an abnormal end: what this poll wrote is dropped, the run leaves memory and is picked up again.
    pub(crate) fn panicked(&mut self, env: &mut Env, mark: usize, text: &str) {
        tracing::error!(run = %self.id, workflow = self.queued.workflow, "the workflow panicked: {text}");
        self.drop_root();
        {
            let mut cell = self.shared.borrow_mut();
            let dropped = cell.fresh.len() - mark;
            cell.fresh.truncate(mark);
            cell.next_seq -= u32::try_from(dropped).unwrap_or(0);
            cell.commands.clear();
        }
        self.abort_all(env);
        self.phase = Phase::Over;
        self.gate.leave(self.written(), Leave::Lost(self.no, format!("its workflow panicked: {text}")));
    }

    /// Sees to the commands of the last poll. True when something was given at once, so that the root must be polled again.
    pub fn serve(&mut self, env: &mut Env) -> bool {
        let commands = std::mem::take(&mut self.shared.borrow_mut().commands);
        let (mut given, mut never_began) = (false, Vec::new());
        for command in commands {
            match command {
                Command::Issued { key, .. } if !self.shared.borrow().slots.contains_key(&key) => never_began.push(key),
                Command::Issued { key, seq } => given |= self.issued(env, &key, seq),
                Command::Dropped { key, .. } if never_began.contains(&key) => {}
                Command::Dropped { key, what } => self.dropped(env, &key, what),
            }
        }
        given
    }

    /// As [`serve`](Self::serve) for a run that ends: what it asked for in its last poll does not begin any more.
    pub fn serve_dropped(&mut self, env: &mut Env) {
        let commands = std::mem::take(&mut self.shared.borrow_mut().commands);
        let mut never_began = Vec::new();
        for command in commands {
            match command {
                Command::Issued { key, seq } if seq > 0 => never_began.push(key),
                Command::Issued { .. } => {}
                Command::Dropped { key, .. } if never_began.contains(&key) => {}
                Command::Dropped { key, what } => self.dropped(env, &key, what),
            }
        }
        self.shared.borrow_mut().slots.retain(|key, _| !never_began.contains(key));
    }

    fn issued(&mut self, env: &mut Env, key: &Key, seq: u32) -> bool {
        let child = match self.shared.borrow().slots.get(key).map(|s| &s.what) {
            Some(What::Call(call)) => Some((None, call.waits_for_its_intent())),
            Some(What::Child { id, run, workflow, input, budget }) => {
                Some((Some((*id, *run, workflow.clone(), input.clone(), *budget)), true))
            }
            _ => None,
        };
        match child {
            None => false,
            Some((None, waits)) => {
                self.spawn(key, if waits { seq } else { 0 });
                false
            }
            Some((Some((id, run, workflow, input, budget)), _)) => {
                self.start_child(env, Unborn { run, id, key, workflow: &workflow, version: 0, input: &input, budget })
            }
        }
    }

    fn start_child(&mut self, env: &mut Env, unborn: Unborn<'_>) -> bool {
        let (key, id, workflow) = (unborn.key, unborn.id, unborn.workflow);
        let depth = self.queued.parent.as_ref().map_or(0, |p| p.depth + 1);
        let problem = match env.registry.newest(workflow) {
            _ if depth >= env.options.depth_max => format!("runs may nest at most {} deep", env.options.depth_max),
            Some(version) => {
                let child = self.bear(env, Unborn { version, ..unborn });
                env.births.push(child);
                return false;
            }
            None => format!("there is no workflow named {workflow}"),
        };
        let ended = ChildCompleted {
            key: key.to_string(),
            run_id: id,
            status: Status::Failed,
            output: None,
            error: Some(RunError::new("WorkflowError", problem)),
            spent: Some(Amounts::default()),
        };
        self.child_ended(&ended, env.now);
        true
    }

    fn dropped(&mut self, env: &mut Env, key: &Key, what: What) {
        match what {
            What::Call(call) if call.in_flight => {
                let id = self.attempt_id(key, call.attempt);
                if !self.take_back(&id) {
                    env.out.push(Output::Abort(id));
                }
            }
            What::Child { run, .. } => self.cancel_run(run, "its parent no longer waits for it"),
            _ => {}
        }
    }

    /// An attempt that nobody wants any more does not leave, if it is still held at the gate.
    pub fn take_back(&mut self, id: &AttemptId) -> bool {
        self.gate.take_back(|held| matches!(held, Leave::Spawn(spawn) if spawn.id == *id))
    }

    /// An attempt leaves.
    pub fn is_out(&self, id: &AttemptId) {
        if let Some(What::Call(call)) = self.shared.borrow_mut().slots.get_mut(&*id.key).map(|s| &mut s.what) {
            call.may_be_out = true;
        }
    }

    pub fn attempt_id(&self, key: &str, attempt: u32) -> AttemptId {
        AttemptId { run: self.no, epoch: self.epoch, key: key.into(), attempt }
    }

    /// Sends a cancel with the next row.
    pub fn cancel_run(&mut self, run: RunNo, reason: &str) {
        let body = json(&CancelRequested { by: format!("run {}", self.id), reason: Some(reason.into()) });
        self.inbox_put.push(InboxItem { run, dedup: "cancel".into(), kind: Inbox::Cancel as u8, body });
    }

    /// Hands an attempt out, once entry `seq` is durable.
    pub fn spawn(&mut self, key: &Key, seq: u32) {
        let mut cell = self.shared.borrow_mut();
        let Some(What::Call(call)) = cell.slots.get_mut(key).map(|s| &mut s.what) else { return };
        call.in_flight = true;
        call.due = None;
        let spawn = Spawn {
            id: AttemptId { run: self.no, epoch: self.epoch, key: (&**key).into(), attempt: call.attempt },
            request: call.request.clone(),
            idempotency_key: (call.effect != Effect::Pure).then(|| format!("{}/{key}", self.id)),
            is_paid: call.grant.is_some(),
            deadline: self.queued.deadline,
            timeout_ms: call.timeout_ms,
            stream: self.queued.stream && call.traces == crate::cell::Traces::Agent,
            traceparent: self.queued.traceparent.clone(),
            session: self.queued.session_id.clone(),
            owner: self.queued.owner.clone(),
        };
        drop(cell);
        self.gate.leave(seq, Leave::Spawn(Box::new(spawn)));
    }

    /// An activity's attempt has ended.
    pub fn outcome(&mut self, env: &mut Env, id: &AttemptId, outcome: Outcome) {
        if id.epoch != self.epoch {
            return;
        }
        match self.phase {
            Phase::Running => {}
            Phase::Stopping(_) => return self.stopped(env, id),
            Phase::Claiming(_) | Phase::Over => return,
        }
        let Some(call) = self.call_in_flight(id) else { return };
        let key: Key = (&*id.key).into();
        match outcome {
            Ok(output) => self.completed(&key, &call, &output, env.now),
            Err(error) => {
                let failures = call.failures + 1;
                if let Next::Retry { after_ms } = error.next
                    && failures < call.retry.tries_max
                {
                    if let Err(short) = self.book(&call, &error) {
                        self.failed(&key, &call, short, env.now);
                        return self.drive(env);
                    }
                    let dice = self.shared.borrow().dice(&key, u64::from(call.attempt));
                    let wait = call.retry.wait(failures + 1, after_ms, (dice >> 32) as u32);
                    self.retry(&key, env.now.after(wait), error, failures);
                    return;
                }
                self.failed(&key, &call, error, env.now);
            }
        }
        self.drive(env);
    }

    /// Books a failed attempt that may have cost, and holds the same for the next one.
    pub fn book(&self, call: &OpenCall, error: &ActivityError) -> Result<(), ActivityError> {
        let Some(grant) = call.grant.as_ref().filter(|_| error.may_have_cost) else { return Ok(()) };
        let booked = self.shared.borrow_mut().book_attempt(grant);
        booked.map_err(|short| {
            ActivityError::fatal(crate::ledger::REFUSED, format!("{}; before that: {error}", short.error()))
        })
    }

    pub fn waits_for(&self, id: &AttemptId) -> bool {
        self.call_in_flight(id).is_some()
    }

    fn call_in_flight(&self, id: &AttemptId) -> Option<OpenCall> {
        match self.shared.borrow().slots.get(&*id.key).map(|s| &s.what) {
            Some(What::Call(call)) if call.in_flight && call.attempt == id.attempt => Some((**call).clone()),
            _ => None,
        }
    }

    fn completed(&mut self, key: &Key, call: &OpenCall, output: &Bytes, now: Time) {
        let mut cell = self.shared.borrow_mut();
        let spool = cell.spools.remove(key).filter(|s| s.attempt == call.attempt);
        let body = json(&Completed {
            output: raw(output),
            attempt: call.attempt,
            streamed_from: spool.as_ref().map(|s| s.from),
            agent: call.agent.clone(),
        });
        cell.push(call.traces.completed(), key, None, body);
        let spent = (call.request.spent)(output);
        cell.ledger.count(spent);
        if let Some(grant) = &call.grant {
            let held = cell.ledger.held(grant).unwrap_or_default();
            cell.settle(grant, spent.unwrap_or(held), spent.is_none(), true);
        }
        cell.clock = now;
        cell.give(key, Given { result: Ok(output.clone()), streamed: spool.map(|s| s.text) });
    }

    pub fn failed(&mut self, key: &Key, call: &OpenCall, error: ActivityError, now: Time) {
        let mut cell = self.shared.borrow_mut();
        let body = json(&Failed { error: error.clone(), attempts: call.attempt, agent: call.agent.clone() });
        cell.push(call.traces.failed(), key, None, body);
        if let Some(grant) = &call.grant {
            let held = cell.ledger.held(grant).unwrap_or_default();
            cell.settle(grant, if error.may_have_cost { held } else { Amounts::default() }, error.may_have_cost, true);
        }
        cell.clock = now;
        cell.give(key, Given { result: Err(Refused::Activity(error)), streamed: None });
    }

    /// Notes that the next attempt is at `due`; answers the note's number, which must be durable before it leaves.
    pub fn retry(&mut self, key: &Key, due: Time, error: ActivityError, failures: u32) -> u32 {
        let mut cell = self.shared.borrow_mut();
        let Some(What::Call(call)) = cell.slots.get_mut(key).map(|s| &mut s.what) else { return 0 };
        let given_up = call.attempt;
        call.attempt += 1;
        call.failures = failures;
        call.due = Some(due);
        (call.in_flight, call.may_be_out) = (false, false);
        let attempt = call.attempt;
        if cell.spools.remove(key).is_some() {
            cell.push(Kind::AgentRetracted, key, None, json(&Retracted { attempt: given_up }));
        }
        cell.push(Kind::StepRetrying, key, None, json(&Retrying { attempt, due, error }))
    }

    /// What a call comes to that may have happened and must not be repeated: a person has to look.
    pub fn unknown(&mut self, key: &Key, call: &OpenCall, now: Time) {
        let error = ActivityError {
            class: "AgentError".into(),
            message: format!(
                "`{}` was interrupted after it was sent; whether it happened is not known, and it must not be repeated",
                call.request.name
            ),
            next: Next::Person,
            may_have_cost: true,
        };
        self.failed(key, call, error, now);
    }

    /// A piece of an answer.
    pub fn delta(&mut self, id: &AttemptId, text: String) {
        let is_mine = id.epoch == self.epoch && matches!(self.phase, Phase::Running);
        let Some(call) = self.call_in_flight(id).filter(|_| is_mine) else { return };
        let key: Key = (&*id.key).into();
        let mut cell = self.shared.borrow_mut();
        let offset = cell.spools.get(&key).map_or(0, |s| s.text.len() as u64);
        let body = json(&Delta { attempt: id.attempt, offset, text: text.clone(), agent: call.agent });
        let seq = cell.push(Kind::AgentDelta, &key, None, body);
        let spool = cell.spools.entry(key).or_insert_with(|| crate::cell::Spool {
            from: seq,
            attempt: id.attempt,
            text: String::new(),
        });
        spool.text.push_str(&text);
    }

    fn takes_mail(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(_))
    }

    /// Moves messages into the journal, each with its consequences.
    pub fn inbox(&mut self, env: &mut Env, items: Vec<InboxItem>) {
        for item in items {
            if let Phase::Claiming(claim) = &mut self.phase {
                claim.inbox.push(item);
                continue;
            }
            if !self.takes_mail() {
                // A run that parks in this very moment: whoever forgets it tells the driver again.
                self.has_mail = true;
                return;
            }
            if !self.seen.insert(item.dedup.clone()) {
                continue;
            }
            let before = self.written();
            self.take(env, &item);
            // What is taken leaves an entry: the entry's fence says whether this owner had the right to take it.
            if self.written() == before {
                self.push(Kind::EngineIgnored, "", json(&Ignored { message: item.dedup.clone() }));
            }
            self.inbox_done.push(item.dedup);
        }
    }

    fn take(&mut self, env: &mut Env, item: &InboxItem) {
        match Inbox::from_code(item.kind) {
            Some(Inbox::Signal) => {
                let Ok(signal) = serde_json::from_slice::<Signal>(&item.body) else { return };
                self.push(Kind::SignalReceived, "", item.body.clone());
                self.signal(&signal, env.now);
            }
            Some(Inbox::Approval) => {
                let Ok(decision) = serde_json::from_slice::<Decision>(&item.body) else { return };
                let key: Key = decision.approval_id.as_str().into();
                if !self.waits_for_approval(&key) {
                    return;
                }
                self.push(Kind::ApprovalDecided, &key, item.body.clone());
                self.approval(&key, item.body.clone(), env.now);
            }
            Some(Inbox::Cancel) => {
                if matches!(self.phase, Phase::Stopping(_)) {
                    return;
                }
                self.push(Kind::CancelRequested, "", item.body.clone());
                return self.stop(env, Status::Cancelled);
            }
            Some(Inbox::ChildEnded) => {
                let Ok(ended) = serde_json::from_slice::<ChildCompleted>(&item.body) else { return };
                if let Phase::Stopping(_) = self.phase {
                    return self.stopped_child(env, &ended);
                }
                if !self.shared.borrow().slots.contains_key(ended.key.as_str()) {
                    return;
                }
                self.child_ended(&ended, env.now);
            }
            None => tracing::error!(run = %self.id, kind = item.kind, "a message of an unknown kind was dropped"),
        }
        if matches!(self.phase, Phase::Running) {
            self.drive(env);
        }
    }

    fn waits_for_approval(&self, key: &Key) -> bool {
        matches!(
            self.shared.borrow().slots.get(key).map(|s| (&s.what, s.given.is_none())),
            Some((What::Approval { .. }, true))
        )
    }

    /// Approvals that a person has yet to decide.
    pub fn open_approvals(&self) -> u32 {
        let cell = self.shared.borrow();
        let open = cell.slots.values().filter(|s| s.given.is_none() && matches!(s.what, What::Approval { .. }));
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    /// Gives a signal to the first who waits for its name, or keeps it.
    pub fn signal(&mut self, signal: &Signal, now: Time) {
        let mut cell = self.shared.borrow_mut();
        cell.clock = now;
        let payload = Bytes::copy_from_slice(signal.payload.get().as_bytes());
        let waiting = cell.slots.iter().find(|(_, slot)| {
            slot.given.is_none() && matches!(&slot.what, What::Signal { name, .. } if *name == signal.name)
        });
        match waiting.map(|(key, _)| key.clone()) {
            Some(key) => {
                cell.give(&key, Given { result: Ok(payload), streamed: None });
            }
            None => cell.signals.entry(signal.name.clone()).or_default().push_back(payload),
        }
    }

    pub fn approval(&mut self, key: &Key, body: Bytes, now: Time) -> bool {
        let mut cell = self.shared.borrow_mut();
        cell.clock = now;
        cell.give(key, Given { result: Ok(body), streamed: None })
    }

    fn child_ended(&mut self, ended: &ChildCompleted, now: Time) {
        self.push(Kind::ChildCompleted, &ended.key, json(ended));
        self.settle_child(ended);
        self.child_given(ended, now);
    }

    /// What a child did not spend of its allotment is free again.
    pub fn settle_child(&self, ended: &ChildCompleted) {
        let mut cell = self.shared.borrow_mut();
        if let Some(held) = cell.ledger.held(&ended.key) {
            cell.settle(&ended.key, ended.spent.unwrap_or(held), ended.spent.is_none(), true);
        }
    }

    pub fn child_given(&mut self, ended: &ChildCompleted, now: Time) -> bool {
        let mut cell = self.shared.borrow_mut();
        cell.clock = now;
        cell.ledger.count(ended.spent);
        let result = match (&ended.output, &ended.error) {
            (Some(output), None) => Ok(Bytes::copy_from_slice(output.get().as_bytes())),
            (_, Some(error)) => Err(Refused::Child(error.clone())),
            (None, None) if ended.status == Status::Completed => Ok(Bytes::from_static(b"null")),
            (None, None) => Err(Refused::Child(RunError::new(
                "WorkflowError",
                format!("the run {} ended as {}", ended.run_id, ended.status.as_str()),
            ))),
        };
        cell.give(&ended.key, Given { result, streamed: None })
    }

    /// When this run wants to be looked at again.
    pub fn next_due(&self) -> Option<Time> {
        if !matches!(self.phase, Phase::Running) {
            return None;
        }
        let cell = self.shared.borrow();
        let slots = cell.slots.values().filter(|s| s.given.is_none()).filter_map(|s| due(&s.what)).min();
        [slots, self.queued.deadline].into_iter().flatten().min()
    }

    /// Time has passed: fires what is due, one thing at a time, in order.
    pub fn fire(&mut self, env: &mut Env) {
        while matches!(self.phase, Phase::Running) {
            if self.queued.deadline.is_some_and(|at| at <= env.now) {
                self.push(Kind::EngineDeadline, "", Bytes::new());
                return self.stop(env, Status::TimedOut);
            }
            let next = {
                let cell = self.shared.borrow();
                let open = cell.slots.iter().filter(|(_, s)| s.given.is_none());
                open.filter_map(|(key, s)| Some((due(&s.what)?, key.clone()))).filter(|(at, _)| *at <= env.now).min()
            };
            let Some((_, key)) = next else { return };
            self.fire_one(env, &key);
        }
    }

    fn fire_one(&mut self, env: &mut Env, key: &Key) {
        enum Due {
            Attempt,
            Approval,
            Timer,
        }
        let due = match self.shared.borrow().slots.get(key).map(|s| &s.what) {
            Some(What::Call(_)) => Due::Attempt,
            Some(What::Approval { .. }) => Due::Approval,
            _ => Due::Timer,
        };
        match due {
            Due::Attempt => return self.spawn(key, self.written()),
            Due::Approval => {
                let expired = Decision {
                    approval_id: key.to_string(),
                    decision: Verdict::Expired,
                    by: None,
                    note: None,
                    input: None,
                };
                let body = json(&expired);
                self.push(Kind::ApprovalDecided, key, body.clone());
                self.approval(key, body, env.now);
            }
            Due::Timer => {
                self.push(Kind::TimerFired, key, Bytes::new());
                self.timer(key, env.now);
            }
        }
        self.drive(env);
    }

    pub fn timer(&mut self, key: &Key, now: Time) -> bool {
        let mut cell = self.shared.borrow_mut();
        cell.clock = now;
        cell.give(key, Given { result: Ok(Bytes::new()), streamed: None })
    }

    /// A run that only waits, and for long, leaves memory.
    pub fn park_if_idle(&mut self, env: &Env) {
        if !matches!(self.phase, Phase::Running) || self.root.is_none() || !self.shared.borrow().replay.is_empty() {
            return;
        }
        let due = self.next_due();
        if due.is_some_and(|at| env.now.until(at) <= env.options.park_after) {
            return;
        }
        let waiting_for: Option<Vec<String>> = {
            let cell = self.shared.borrow();
            cell.slots.iter().map(|(key, slot)| waits(key, &slot.what)).collect()
        };
        let Some(waiting_for) = waiting_for.filter(|w| !w.is_empty()) else { return };
        self.push(Kind::RunWaiting, "", json(&Waiting { waiting_for, due_at: due }));
        self.stand = Some(Stand { status: Status::Waiting, due_at: due, ended_at: None });
        self.phase = Phase::Over;
        self.drop_root();
        self.gate.leave(self.written(), Leave::Parked(self.no, due));
    }
}

/// How an open command reads in `waiting_for`; `None` for what keeps a run in memory.
fn waits(key: &Key, what: &What) -> Option<String> {
    match what {
        What::Call(call) if call.in_flight || call.due.is_none() => None,
        What::Child { .. } => None,
        What::Call(_) => Some(format!("retry of {key}")),
        What::Timer { .. } => Some(format!("timer {key}")),
        What::Signal { name, .. } => Some(format!("signal {name}")),
        What::Approval { .. } => Some(format!("approval {key}")),
    }
}

pub(crate) fn input_bytes(input: &RawValue) -> Bytes {
    Bytes::copy_from_slice(input.get().as_bytes())
}
