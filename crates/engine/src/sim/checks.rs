//! The promises as checks.

use crate::event::{Class, Kind};
use crate::journal::Frame;
use crate::journal::body::{CancelRequested, Inbox};
use crate::ports::store::{InboxItem, Row, RunRow};
use crate::run::{RunNo, Status};
use crate::shard::adopt::rehearse;
use crate::shard::core::Core;
use crate::shard::wire::{AttemptId, Leave, Output, Spawn};
use crate::sim::is_outcome;
use crate::workflow::Registry;
use crate::{cell::json, journal::decode_row};
use std::collections::BTreeMap;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{promise}: {what}")]
pub struct Violation {
    /// Which.
    pub promise: &'static str,
    /// How.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

/// A call leaves: its intent must be durable, its outcome must not be.
pub(crate) fn spawn(frames: &[Frame], spawn: &Spawn) -> Option<Violation> {
    let key = &*spawn.id.key;
    spawn.idempotency_key.as_ref()?;
    let is_intent = |f: &&Frame| matches!(f.kind, Kind::StepStarted | Kind::AgentStarted | Kind::ToolCalled);
    if !frames.iter().filter(is_intent).any(|f| &*f.key == key) {
        return Some(Violation::new("output commit", format!("`{key}` left before its intent was durable")));
    }
    let retries = frames.iter().filter(|f| f.kind == Kind::StepRetrying && &*f.key == key).count();
    if retries + 1 < spawn.id.attempt as usize {
        return Some(Violation::new(
            "output commit",
            format!("attempt {} of `{key}` left unannounced", spawn.id.attempt),
        ));
    }
    let outcome = frames.iter().find(|f| is_outcome(f.kind) && &*f.key == key)?;
    let what = format!("`{key}` was sent although {} is journaled", outcome.kind.as_str());
    Some(Violation::new("nothing is done twice", what))
}

/// A call that nobody waits for any more does not leave, or is stopped in the same breath.
pub(crate) fn wanted(outputs: &[Output], core: &Core) -> Option<Violation> {
    let is_stopped = |id: &AttemptId| outputs.iter().any(|o| matches!(o, Output::Abort(aborted) if aborted == id));
    outputs.iter().find_map(|output| match output {
        Output::Leave(leave) => match leave.get() {
            Leave::Spawn(spawn) if !core.wants(&spawn.id) && !is_stopped(&spawn.id) => {
                Some(Violation::new("everything stops", format!("`{}` left after it was dropped", spawn.id.key)))
            }
            _ => None,
        },
        _ => None,
    })
}

pub(crate) fn accepted(row: Option<&RunRow>, run: RunNo) -> Option<Violation> {
    let gone = || Violation::new("nothing is lost", format!("run {} was accepted before it was durable", run.0));
    if row.is_none() { Some(gone()) } else { None }
}

pub(crate) fn ended(row: Option<&RunRow>, run: RunNo) -> Option<Violation> {
    let early = || Violation::new("output commit", format!("the end of run {} was told before it was durable", run.0));
    if row.is_none_or(|r| r.status.is_open()) { Some(early()) } else { None }
}

pub(crate) fn cancel(run: RunNo) -> InboxItem {
    let body = json(&CancelRequested { by: "the story".into(), reason: None });
    InboxItem { run, dedup: "cancel".into(), kind: Inbox::Cancel as u8, body }
}

/// A session has a turn of exactly those runs that completed in it, children left out: no half turns.
pub(crate) fn turn(row: &RunRow, turn: Option<(String, u32)>) -> Result<(), Violation> {
    let is_due = row.status == Status::Completed && row.parent.is_none();
    let due = row.session.as_deref().filter(|_| is_due);
    if due == turn.as_ref().map(|(session, _)| session.as_str()) {
        return Ok(());
    }
    let what =
        format!("run {} ended {} in session {:?} with turn {turn:?}", row.run.0, row.status.as_str(), row.session);
    Err(Violation::new("no half turns", what))
}

/// What must hold of every ended run's journal.
///
/// # Errors
/// The first thing that does not.
pub fn check_run(registry: &Registry, row: &RunRow, rows: &[Row]) -> Result<(), Violation> {
    let bad =
        |promise, what: String| Err(Violation::new(promise, format!("run {} ({}): {what}", row.run.0, row.workflow)));
    let mut frames = Vec::new();
    let mut chain = [0; 16];
    let mut epoch = 0;
    for r in rows {
        if r.first as usize != frames.len() + 1 || r.epoch < epoch {
            return bad(
                "every stream is whole",
                format!("row {}..{} of epoch {} does not follow", r.first, r.last, r.epoch),
            );
        }
        epoch = r.epoch;
        match decode_row(r.at, r.first, r.last - r.first + 1, &r.body, chain) {
            Ok((more, next)) => {
                frames.extend(more);
                chain = next;
            }
            Err(e) => return bad("every stream is whole", e.to_string()),
        }
    }
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for frame in frames.iter().filter(|f| is_outcome(f.kind) || f.kind == Kind::StepValue) {
        *outcomes.entry(&frame.key).or_default() += 1;
    }
    if let Some((key, n)) = outcomes.iter().find(|(_, n)| **n > 1) {
        return bad("nothing is done twice", format!("`{key}` has {n} outcomes"));
    }
    let terminals = frames.iter().filter(|f| f.kind.class() == Class::Terminal).count();
    let is_last = frames.last().is_some_and(|f| f.kind.class() == Class::Terminal);
    if row.status.is_terminal() && (terminals != 1 || !is_last) {
        return bad("nothing is lost", format!("{terminals} ends in its journal"));
    }
    if let Some(cancelled) = frames.iter().position(|f| f.kind == Kind::CancelRequested) {
        let starts = |f: &Frame| {
            matches!(f.kind, Kind::StepStarted | Kind::AgentStarted | Kind::ToolCalled | Kind::ChildStarted)
        };
        if frames[cancelled..].iter().any(starts) {
            return bad("everything stops", "something was started after the cancel".into());
        }
    }
    if row.status == Status::Blocked {
        let why = frames.last().map(|f| String::from_utf8_lossy(f.body.text()).into_owned()).unwrap_or_default();
        return bad("replay", format!("blocked: {why}"));
    }
    rehearse(registry, row.clone(), rows.to_vec(), Vec::new())
        .map(|_| ())
        .or_else(|e| bad("replay", format!("the journal does not replay: {e}")))
}
