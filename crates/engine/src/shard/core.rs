//! The core: routes inputs to runs, gathers what they wrote into transitions, and opens gates on receipts.

use crate::account::{Hold, Settle};
use crate::journal::body::{Parent, Queued};
use crate::journal::encode_row;
use crate::journal::frame::{BODY_INLINE_BYTES_MAX, Body};
use crate::ports::store::{Append, Birth, Blob, Fence, InboxItem, Label, Receipt, Refusal, Stand, Transition, Turn};
use crate::run::{Once, RunId, RunNo, Status, Time};
use crate::session::{OnBusy, Terms};
use crate::shard::gate::Gate;
use crate::shard::live::{Live, NextFence, Phase};
use crate::shard::wire::{AttemptId, Batch, Input, Leave, Output, Start};
use crate::workflow::Registry;
use crate::{cell, event::Kind, journal::Frame};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Bounds and habits of a core.
#[derive(Debug, Clone)]
pub struct CoreOptions {
    /// A run that waits longer than this leaves memory.
    pub park_after: Duration,
    /// Abnormal ends without progress after which a run is blocked.
    pub abnormal_max: u32,
    /// Children of children of … at most.
    pub depth_max: u32,
    /// Opens every gate. Only for the test that the simulation notices.
    pub broken_gate: bool,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self { park_after: Duration::from_secs(5), abnormal_max: 5, depth_max: 8, broken_gate: false }
    }
}

/// What runs need while they handle an input.
pub(crate) struct Env {
    pub registry: Registry,
    pub options: CoreOptions,
    pub numbers: Rc<dyn Fn() -> RunNo>,
    pub now: Time,
    pub out: Vec<Output>,
    /// Children made by the input being handled; polled after it.
    pub births: Vec<Live>,
}

/// What a transition in flight was about.
struct Tag {
    runs: Vec<(RunNo, u32, u32)>,
    mail: Vec<InboxItem>,
    once: Option<Once>,
    is_birth: bool,
}

/// A shard's core.
pub struct Core {
    env: Env,
    runs: BTreeMap<RunNo, Live>,
    timers: BTreeSet<(Time, RunNo)>,
    dirty: Vec<RunNo>,
    batches: BTreeMap<u64, Vec<Tag>>,
    batch_next: u64,
}

impl Core {
    /// A core without runs. `numbers` hands out run numbers that nobody else uses.
    #[must_use]
    pub fn new(registry: Registry, options: CoreOptions, numbers: Rc<dyn Fn() -> RunNo>) -> Self {
        let env = Env { registry, options, numbers, now: Time(0), out: Vec::new(), births: Vec::new() };
        Self {
            env,
            runs: BTreeMap::new(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            batches: BTreeMap::new(),
            batch_next: 1,
        }
    }

    /// Runs in memory.
    #[must_use]
    pub fn live(&self) -> usize {
        self.runs.len()
    }

    /// Whether a run is in memory.
    #[must_use]
    pub fn holds(&self, run: RunNo) -> bool {
        self.runs.contains_key(&run)
    }

    /// Whether its run still waits for this attempt.
    #[must_use]
    pub fn wants(&self, id: &AttemptId) -> bool {
        self.runs.get(&id.run).is_some_and(|live| live.epoch == id.epoch && live.waits_for(id))
    }

    /// When to send the next [`Input::Tick`] at the latest.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Handles one input. What wants out comes back; what wants to be stored waits for [`flush`](Self::flush).
    pub fn handle(&mut self, input: Input, now: Time) -> Vec<Output> {
        self.env.now = now;
        match input {
            Input::Start(start) => self.start(*start),
            Input::Adopt(adopt) => {
                let run = adopt.row.run;
                if self.runs.contains_key(&run) {
                    // It is here already: then it was a message that made somebody offer it.
                    self.with(run, |live, env| live.inbox(env, adopt.inbox));
                } else {
                    let live = Live::claim(&self.env, *adopt);
                    self.runs.insert(run, live);
                    self.after(run);
                }
            }
            Input::Outcome(id, outcome) => self.with(id.run, |live, env| live.outcome(env, &id, outcome)),
            Input::Delta(id, text) => self.with(id.run, |live, _| live.delta(&id, text)),
            Input::Stopped(id) => self.with(id.run, |live, env| live.stopped(env, &id)),
            Input::Inbox(run, items) => self.with(run, |live, env| live.inbox(env, items)),
            Input::Receipts(batch, receipts) => self.receipts(batch, receipts),
            Input::Tick => self.tick(),
            Input::Release => self.release(),
            Input::Disown => self.disown(),
            Input::Abandon(run) => self.abandon(run),
        }
        std::mem::take(&mut self.env.out)
    }

    fn with(&mut self, run: RunNo, act: impl FnOnce(&mut Live, &mut Env)) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.shared.borrow_mut().stamp = self.env.now;
        act(live, &mut self.env);
        self.after(run);
        while let Some(mut child) = self.env.births.pop() {
            let run = child.no;
            child.begin(&mut self.env);
            self.runs.insert(run, child);
            self.after(run);
        }
    }

    /// Book-keeping once a run has handled something.
    fn after(&mut self, run: RunNo) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.park_if_idle(&self.env);
        if !live.is_dirty && live.has_news() {
            live.is_dirty = true;
            self.dirty.push(run);
        }
        let due = live.next_due();
        if due != live.due {
            if let Some(at) = live.due {
                self.timers.remove(&(at, run));
            }
            if let Some(at) = due {
                self.timers.insert((at, run));
            }
            live.due = due;
        }
        self.let_out(run);
    }

    /// Lets out what may leave; forgets the run when its last word is out.
    fn let_out(&mut self, run: RunNo) {
        let mut gone = false;
        while let Some(leave) = self.runs.get_mut(&run).and_then(|live| live.gate.pop()) {
            if let (Leave::Spawn(spawn), Some(live)) = (leave.get(), self.runs.get(&run)) {
                live.is_out(&spawn.id);
            }
            gone |= matches!(leave.get(), Leave::Ended(_) | Leave::Parked(..) | Leave::Offer { .. } | Leave::Lost(..));
            self.env.out.push(Output::Leave(leave));
        }
        if gone {
            self.forget(run);
        }
    }

    fn forget(&mut self, run: RunNo) {
        let Some(mut live) = self.runs.remove(&run) else { return };
        if let Some(at) = live.due {
            self.timers.remove(&(at, run));
        }
        live.abort_all(&mut self.env);
        if live.has_mail {
            self.env.out.push(Output::Mail(run));
        }
    }

    fn start(&mut self, start: Start) {
        let Start { run, id, version, submit, defer, ahead } = start;
        let now = self.env.now;
        let queued = Rc::new(Queued {
            run_id: id,
            workflow: submit.workflow,
            version,
            input: cell::raw(&submit.input),
            deadline: submit.timeout_ms.map(|ms| now.after(Duration::from_millis(ms))),
            session_id: submit.session,
            parent: None,
            stream: submit.stream,
            traceparent: submit.traceparent,
            owner: submit.owner,
            priority: submit.priority,
            schedule_at: submit.schedule_at,
            terms: submit.terms,
            replaces: if submit.terms.on_busy == OnBusy::Rollback { ahead.clone() } else { Vec::new() },
            budget: submit.budget,
            accounts: submit.accounts.iter().map(|account| account.name.clone()).collect(),
        });
        let mut live = Live::born(&self.env, run, queued, submit.once, submit.labels);
        live.holds = submit.accounts;
        for run in ahead {
            live.cancel_run(run, "a later run of its session took its place");
        }
        if defer {
            live.epoch = 0;
            live.phase = Phase::Over;
            let due = live.queued.schedule_at;
            live.stand = Some(Stand { status: Status::Queued, due_at: due, ended_at: None });
            live.gate.leave(1, Leave::Accepted(run, Status::Queued));
            live.gate.leave(1, Leave::Offer { run, id, priority: live.queued.priority, due });
        } else {
            live.gate.leave(1, Leave::Accepted(run, Status::Running));
        }
        self.runs.insert(run, live);
        if defer { self.after(run) } else { self.with(run, Live::begin) }
    }

    fn tick(&mut self) {
        while let Some((at, run)) = self.timers.first().copied() {
            if at > self.env.now {
                break;
            }
            self.timers.pop_first();
            if let Some(live) = self.runs.get_mut(&run) {
                live.due = None;
            }
            self.with(run, Live::fire);
        }
    }

    fn release(&mut self) {
        for run in self.runs.keys().copied().collect::<Vec<_>>() {
            self.with(run, |live, env| live.release(env));
        }
    }

    fn disown(&mut self) {
        for run in self.runs.keys().copied().collect::<Vec<_>>() {
            self.abandon(run);
        }
    }

    fn abandon(&mut self, run: RunNo) {
        if self.runs.contains_key(&run) {
            self.env.out.push(Output::Lost { run, why: "the lease was lost".into() });
            self.forget(run);
        }
    }

    /// Gathers what runs have written since the last time. Submit the batch before anything else that happens.
    pub fn flush(&mut self) -> Option<Batch> {
        let mut transitions: Vec<Transition> = Vec::new();
        let mut tags: Vec<Tag> = Vec::new();
        let mut place: BTreeMap<RunNo, usize> = BTreeMap::new();
        for run in std::mem::take(&mut self.dirty) {
            let Some(live) = self.runs.get_mut(&run) else { continue };
            live.is_dirty = false;
            if !live.has_news() {
                continue;
            }
            let at = match live.born_by.take().and_then(|parent| place.get(&parent).copied()) {
                Some(at) => at,
                None => {
                    transitions.push(Transition::default());
                    tags.push(Tag { runs: Vec::new(), mail: Vec::new(), once: None, is_birth: false });
                    transitions.len() - 1
                }
            };
            place.insert(run, at);
            live.write(self.env.now, &mut transitions[at], &mut tags[at]);
        }
        if transitions.is_empty() {
            return None;
        }
        let no = self.batch_next;
        self.batch_next += 1;
        self.batches.insert(no, tags);
        Some(Batch { no, transitions })
    }

    fn receipts(&mut self, batch: u64, receipts: Vec<Receipt>) {
        let Some(tags) = self.batches.remove(&batch) else { return };
        for (tag, receipt) in tags.into_iter().zip(receipts) {
            match receipt {
                Receipt::Committed => self.committed(tag),
                Receipt::Refused(Refusal::Repeated { run: earlier, id, body }) => {
                    let same = tag.once.is_some_and(|once| once.body == body);
                    for (run, ..) in tag.runs {
                        self.env.out.push(Output::Repeated { run, earlier, id, same });
                        self.forget(run);
                    }
                }
                Receipt::Refused(Refusal::Overdrawn(overdrawn)) => {
                    for (run, ..) in tag.runs {
                        self.env.out.push(Output::Overdrawn(run, overdrawn.clone()));
                        self.forget(run);
                    }
                }
                Receipt::Refused(refusal) => self.refused(&tag, &refusal.to_string()),
                Receipt::Failed(error) if tag.is_birth => {
                    for (run, ..) in tag.runs {
                        self.env.out.push(Output::NotBorn(run, error.clone()));
                        self.forget(run);
                    }
                }
                Receipt::Failed(error) => self.refused(&tag, &error.to_string()),
                Receipt::Unknown(why) => self.refused(&tag, &format!("the outcome of a write is not known: {why}")),
            }
        }
    }

    fn committed(&mut self, tag: Tag) {
        for (run, epoch, last) in tag.runs {
            self.env.out.push(Output::Grown(run, last));
            if self.runs.get(&run).is_some_and(|live| live.epoch == epoch) {
                self.with(run, |live, env| {
                    live.gate.open_to(last);
                    live.claimed(env);
                });
            }
        }
        for item in tag.mail {
            let run = item.run;
            if self.runs.contains_key(&run) {
                self.with(run, |live, env| live.inbox(env, vec![item]));
            } else {
                self.env.out.push(Output::Mail(run));
            }
        }
    }

    fn refused(&mut self, tag: &Tag, why: &str) {
        for (run, epoch, _) in &tag.runs {
            if self.runs.get(run).is_some_and(|live| live.epoch == *epoch) {
                self.env.out.push(Output::Lost { run: *run, why: why.into() });
                self.forget(*run);
            }
        }
    }
}

/// A child about to be made.
pub(crate) struct Unborn<'a> {
    pub run: RunNo,
    pub id: RunId,
    pub key: &'a str,
    pub workflow: &'a str,
    pub version: u32,
    pub input: &'a Bytes,
    pub budget: Option<crate::ledger::Limits>,
}

impl Live {
    /// A new run with its first entries written.
    fn born(env: &Env, run: RunNo, queued: Rc<Queued>, once: Option<Once>, labels: Vec<Label>) -> Self {
        let gate = Gate::new(0, env.options.broken_gate);
        let mut live = Self::new(run, Rc::clone(&queued), env.now, Rc::clone(&env.numbers), gate);
        live.shared.borrow_mut().labels = labels;
        live.push(Kind::RunQueued, "", cell::json(&*queued));
        live.stand = Some(Stand { status: Status::Running, due_at: None, ended_at: None });
        live.fence = NextFence::Birth(Box::new(Birth {
            id: queued.run_id,
            workflow: queued.workflow.clone(),
            version: queued.version,
            owner: queued.owner.clone(),
            priority: queued.priority,
            parent: queued.parent.as_ref().map(|p| p.run),
            session: queued.session_id.clone(),
            once,
            terms: queued.terms,
        }));
        live
    }

    /// A child of this run, to be born in this run's next row.
    pub(crate) fn bear(&self, env: &Env, child: Unborn<'_>) -> Self {
        let Unborn { run, id, key, workflow, version, input, budget } = child;
        let mine = &self.queued;
        let queued = Rc::new(Queued {
            run_id: id,
            workflow: workflow.into(),
            version,
            input: cell::raw(input),
            deadline: mine.deadline,
            session_id: mine.session_id.clone(),
            parent: Some(Parent {
                run: self.no,
                run_id: self.id,
                key: key.into(),
                depth: mine.parent.as_ref().map_or(0, |p| p.depth + 1),
            }),
            stream: mine.stream,
            traceparent: mine.traceparent.clone(),
            owner: mine.owner.clone(),
            priority: mine.priority,
            schedule_at: None,
            terms: Terms::default(),
            replaces: Vec::new(),
            budget,
            accounts: Vec::new(),
        });
        let mut child = Self::born(env, run, queued, None, Vec::new());
        child.born_by = Some(self.no);
        child
    }

    fn has_news(&self) -> bool {
        !self.inbox_done.is_empty() || !self.inbox_put.is_empty() || !self.shared.borrow().fresh.is_empty()
    }

    /// Hands everything written since the last time to a transition.
    fn write(&mut self, now: Time, transition: &mut Transition, tag: &mut Tag) {
        let mut frames = std::mem::take(&mut self.shared.borrow_mut().fresh);
        transition.inbox_done.extend(self.inbox_done.drain(..).map(|dedup| (self.no, dedup)));
        tag.mail.extend(self.inbox_put.iter().cloned());
        transition.inbox_put.append(&mut self.inbox_put);
        if frames.is_empty() {
            return;
        }
        self.write_standing(now, transition);
        let blobs = spill(&mut frames);
        let first = self.appended + 1;
        let last = self.appended + u32::try_from(frames.len()).unwrap_or(u32::MAX);
        let row = encode_row(now, &frames, self.chain);
        let fence = match std::mem::replace(&mut self.fence, NextFence::After) {
            NextFence::Birth(birth) => {
                tag.is_birth = true;
                tag.once = birth.once;
                Fence::Birth(birth)
            }
            NextFence::Claim => Fence::Claim { prev: self.prev },
            NextFence::After => Fence::After { prev: self.prev },
        };
        tag.runs.push((self.no, self.epoch, last));
        transition.appends.push(Append {
            run: self.no,
            fence,
            first,
            last,
            epoch: self.epoch,
            at: now,
            body: row.body,
            stand: self.stand.take(),
            blobs,
        });
        self.chain = row.chain;
        self.prev = first;
        self.appended = last;
    }
}

impl Live {
    /// What a row brings along: the session's turn, and how many approvals are open now.
    /// Births hold what the run may spend, ends settle it.
    fn write_accounts(&mut self, transition: &mut Transition) {
        let held = self.queued.budget.unwrap_or_default().held();
        let holds = self.holds.drain(..).map(|account| Hold { account, amounts: held });
        transition.holds.extend(holds);
        if !self.stand.is_some_and(|stand| stand.status.is_terminal()) {
            return;
        }
        // What is not known may be all of it.
        let spent = if self.is_unread { held } else { self.shared.borrow().ledger.spent() };
        let settle = |name: &String| Settle { name: name.clone(), held, spent };
        transition.settles.extend(self.queued.accounts.iter().map(settle));
    }

    fn write_standing(&mut self, now: Time, transition: &mut Transition) {
        self.write_accounts(transition);
        transition.labels.extend(self.shared.borrow_mut().labels.drain(..).map(|label| (self.no, label)));
        let status = self.stand.map(|stand| stand.status);
        // Only whole turns: a run that did not complete adds none. Children are part of their root's turn.
        if status == Some(Status::Completed) && self.queued.session_id.is_some() && self.queued.parent.is_none() {
            transition.turns.push(Turn { run: self.no, at: now });
        }
        // Before it is replayed nobody knows what it waits for.
        if matches!(self.phase, Phase::Claiming(_)) {
            return;
        }
        let is_over = status.is_some_and(|status| !status.is_open());
        let asks = if is_over { 0 } else { self.open_approvals() };
        if self.asks != Some(asks) {
            self.asks = Some(asks);
            transition.asks.push((self.no, asks));
        }
    }
}

/// Moves large bodies out of their frames.
fn spill(frames: &mut [Frame]) -> Vec<Blob> {
    let mut blobs = Vec::new();
    for frame in frames {
        if let Body::Here(body) = &frame.body
            && body.len() > BODY_INLINE_BYTES_MAX
        {
            let hash = Sha256::digest(body).into();
            blobs.push(Blob { hash, body: body.clone() });
            frame.body = Body::Blob(hash);
        }
    }
    blobs
}
