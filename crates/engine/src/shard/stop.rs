//! How a run ends: by itself, on request, at its deadline, or blocked.

use crate::cell::{What, json, raw};
use crate::error::Result;
use crate::event::Kind;
use crate::journal::body::{Blocked, ChildCompleted, Ended, Inbox, RunError};
use crate::name::Key;
use crate::ports::store::{InboxItem, Label, Stand};
use crate::run::{RunNo, Status};
use crate::shard::core::Env;
use crate::shard::live::{Live, Phase, Stop};
use crate::shard::wire::{AttemptId, End, Leave, Output};
use bytes::Bytes;
use std::collections::BTreeSet;

impl Live {
    /// The root has returned.
    pub fn finish(&mut self, env: &mut Env, result: Result<Bytes>) {
        self.serve_dropped(env);
        self.drop_root();
        self.abort_all(env);
        for (_, run) in self.open_children() {
            self.cancel_run(run, "its parent has ended");
        }
        let (status, ended) = match result {
            Ok(output) => (Status::Completed, Ended { output: Some(raw(&output)), error: None }),
            Err(e) => (Status::Failed, Ended { output: None, error: Some(e.into_run_error()) }),
        };
        self.end(env, status, ended);
    }

    /// Stops everything the run has going; it ends once that has stopped.
    pub fn stop(&mut self, env: &mut Env, status: Status) {
        self.stop_all(env, status, true);
    }

    /// As [`stop`](Self::stop), where its messages to children may be in the store already.
    pub fn stop_all(&mut self, env: &mut Env, status: Status, tells_children: bool) {
        self.drop_root();
        self.abort_all(env);
        let mut calls: BTreeSet<Key> = BTreeSet::new();
        for (key, is_child, in_flight) in self.open_work() {
            self.shared.borrow_mut().produce(Kind::StepCancelled, &key, None, Bytes::new);
            // A child says itself what it spent, once it has stopped.
            if !is_child {
                self.give_back(&key);
            }
            if in_flight {
                calls.insert(key);
            }
        }
        let children = self.open_children();
        for (_, run) in children.iter().filter(|_| tells_children) {
            self.cancel_run(*run, "its parent was stopped");
        }
        let children = children.into_iter().map(|(key, _)| key).collect();
        self.phase = Phase::Stopping(Stop { status, calls, children });
        self.end_if_stopped(env);
    }

    /// Stops a run that cannot go on, without asking its workflow: only these of its children are known, and not what it
    /// spent.
    pub fn stop_unread(&mut self, env: &mut Env, cancel: InboxItem, children: &[RunNo]) {
        self.drop_root();
        self.abort_all(env);
        {
            let mut cell = self.shared.borrow_mut();
            cell.slots.clear();
            cell.replay.clear();
            cell.commands.clear();
            cell.fault = None;
        }
        self.is_unread = true;
        self.inbox_done.push(cancel.dedup);
        self.push(Kind::CancelRequested, "", cancel.body);
        for run in children {
            self.cancel_run(*run, "its parent was stopped");
        }
        self.stop(env, Status::Cancelled);
    }

    /// An aborted call has stopped.
    pub fn stopped(&mut self, env: &mut Env, id: &AttemptId) {
        if id.epoch == self.epoch
            && let Phase::Stopping(stop) = &mut self.phase
        {
            stop.calls.remove(&*id.key);
            self.end_if_stopped(env);
        }
    }

    /// A child of a stopping run has ended.
    pub fn stopped_child(&mut self, env: &mut Env, ended: &ChildCompleted) {
        let Phase::Stopping(stop) = &mut self.phase else { return };
        if stop.children.remove(ended.key.as_str()) {
            self.push(Kind::ChildCompleted, &ended.key, json(ended));
            self.settle_child(ended);
            self.shared.borrow_mut().ledger.count(ended.spent);
            self.end_if_stopped(env);
        }
    }

    /// Ends a stopping run that waits for nothing any more. While it is replayed the terminal entry is not there yet.
    pub fn end_if_stopped(&mut self, env: &mut Env) {
        let Phase::Stopping(stop) = &self.phase else { return };
        if !stop.calls.is_empty() || !stop.children.is_empty() || !self.shared.borrow().replay.is_empty() {
            return;
        }
        let status = stop.status;
        let error = (status == Status::TimedOut)
            .then(|| RunError::new("Timeout", "the run did not end within its time; see timeout_seconds"));
        self.end(env, status, Ended { output: None, error });
    }

    fn end(&mut self, env: &Env, status: Status, ended: Ended) {
        let kind = match status {
            Status::Completed => Kind::RunCompleted,
            Status::Cancelled => Kind::RunCancelled,
            Status::TimedOut => Kind::RunTimedOut,
            _ => Kind::RunFailed,
        };
        self.give_all_back();
        {
            let mut cell = self.shared.borrow_mut();
            let fading = std::mem::take(&mut cell.fading);
            cell.labels.extend(fading.into_iter().map(|name| Label::new(name, "")));
        }
        let seq = self.push(kind, "", json(&ended));
        self.stand = Some(Stand { status, due_at: None, ended_at: Some(env.now) });
        self.phase = Phase::Over;
        self.tell_parent(status, &ended);
        self.gate.leave(seq, Leave::Ended(Box::new(self.told(env, status, ended))));
    }

    fn told(&self, env: &Env, status: Status, ended: Ended) -> End {
        let workflow = self.queued.workflow.clone();
        End { run: self.no, id: self.id, workflow, status, at: env.now, ended }
    }

    fn tell_parent(&mut self, status: Status, ended: &Ended) {
        let Some(parent) = &self.queued.parent else { return };
        let body = json(&ChildCompleted {
            key: parent.key.clone(),
            run_id: self.id,
            status,
            output: ended.output.clone(),
            error: ended.error.clone(),
            spent: (!self.is_unread).then(|| self.shared.borrow().ledger.spent()),
        });
        let dedup = format!("child:{}", parent.key);
        self.inbox_put.push(InboxItem { run: parent.run, dedup, kind: Inbox::ChildEnded as u8, body });
    }

    /// Takes the run out of work until a person has looked.
    pub fn block(&mut self, env: &mut Env, reason: &str, message: String) {
        tracing::error!(run = %self.id, workflow = self.queued.workflow, reason, "the run is blocked: {message}");
        self.drop_root();
        self.abort_all(env);
        {
            let mut cell = self.shared.borrow_mut();
            cell.replay.clear();
            cell.commands.clear();
        }
        let error = RunError::new("WorkflowError", format!("blocked ({reason}): {message}"));
        let seq = self.push(Kind::RunBlocked, "", json(&Blocked { reason: reason.into(), message }));
        self.stand = Some(Stand { status: Status::Blocked, due_at: None, ended_at: None });
        self.phase = Phase::Over;
        let ended = Ended { output: None, error: Some(error) };
        self.gate.leave(seq, Leave::Ended(Box::new(self.told(env, Status::Blocked, ended))));
    }

    /// Gives the run back in good order: another worker goes on where it stands.
    pub fn release(&mut self, env: &mut Env) {
        if !matches!(self.phase, Phase::Running | Phase::Stopping(_)) {
            return;
        }
        self.drop_root();
        self.abort_all(env);
        let seq = self.push(Kind::EngineReleased, "", Bytes::new());
        self.phase = Phase::Over;
        self.gate.leave(seq, Leave::Parked(self.no, None));
    }

    fn give_back(&self, key: &str) {
        let mut cell = self.shared.borrow_mut();
        let Some(slot) = cell.slots.remove(key) else { return };
        crate::call::give_back(&mut cell, key, &slot.what);
        cell.slots.insert(key.into(), slot);
    }

    /// Nothing stays held when a run ends: what may be under way may cost what was held for it, the rest costs nothing.
    fn give_all_back(&self) {
        let open: Vec<Key> = self.shared.borrow().slots.keys().cloned().collect();
        open.iter().for_each(|key| self.give_back(key));
        let mut cell = self.shared.borrow_mut();
        for key in cell.ledger.open() {
            let held = cell.ledger.held(&key).filter(|_| self.is_unread);
            cell.settle(&key, held.unwrap_or_default(), self.is_unread, true);
        }
    }

    /// Aborts every call in flight; one that is still held at the gate does not leave.
    pub fn abort_all(&mut self, env: &mut Env) {
        let in_flight: Vec<AttemptId> = {
            let cell = self.shared.borrow();
            let out = cell.slots.iter().filter(|(_, slot)| slot.given.is_none());
            out.filter_map(|(key, slot)| match &slot.what {
                What::Call(call) if call.in_flight => Some(self.attempt_id(key, call.attempt)),
                _ => None,
            })
            .collect()
        };
        for id in in_flight {
            if !self.take_back(&id) {
                env.out.push(Output::Abort(id));
            } else if let Some(What::Call(call)) =
                self.shared.borrow_mut().slots.get_mut(&*id.key).map(|slot| &mut slot.what)
            {
                call.in_flight = false;
            }
        }
    }

    /// Calls and children without a result: key, whether it is a child, whether it is a call in flight.
    fn open_work(&self) -> Vec<(Key, bool, bool)> {
        let cell = self.shared.borrow();
        let open = cell.slots.iter().filter(|(_, slot)| slot.given.is_none());
        open.filter_map(|(key, slot)| match &slot.what {
            What::Call(call) => Some((key.clone(), false, call.in_flight)),
            What::Child { .. } => Some((key.clone(), true, false)),
            _ => None,
        })
        .collect()
    }

    fn open_children(&self) -> Vec<(Key, RunNo)> {
        let cell = self.shared.borrow();
        let open = cell.slots.iter().filter(|(_, slot)| slot.given.is_none());
        open.filter_map(|(key, slot)| match slot.what {
            What::Child { run, .. } => Some((key.clone(), run)),
            _ => None,
        })
        .collect()
    }
}

/// The status that a terminal entry stands for.
pub(crate) fn status_of(kind: Kind) -> Option<Status> {
    match kind {
        Kind::RunCompleted => Some(Status::Completed),
        Kind::RunFailed => Some(Status::Failed),
        Kind::RunCancelled => Some(Status::Cancelled),
        Kind::RunTimedOut => Some(Status::TimedOut),
        _ => None,
    }
}
