//! Open sessions of agents. What is kept is a reservation, changed only by whoever knows its last version; which sessions are
//! really open, their runs say. So a process that dies leaves nothing open for ever, and no two give the same place away.

use crate::App;
use crate::failure::Failure;
use tutti_agents::registry::{self, SLOTS, Slot, Slots};
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Queued, Signal};
use tutti_engine::ports::records::{Expect, Put};
use tutti_engine::run::{Owner, RunNo, Status, Time};
use tutti_workflows::task::{Input, SEAT, Seat};

/// A task's first rows hold what it was given and who has it.
const ROWS: u32 = 12;

/// What a task's journal begins with.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub input: Option<Input>,
    pub seat: Option<Seat>,
}

/// An open session.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub slot: Slot,
    /// Since when nothing is done in it.
    pub idle_since: Option<Time>,
}

/// An agent's sessions, as they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    pub open: Vec<Open>,
    /// Kept, and over: since when.
    pub closed: Vec<(Slot, Time)>,
    version: Option<u64>,
}

impl Sessions {
    /// Those in which something is done.
    pub fn busy(&self) -> usize {
        self.open.iter().filter(|open| open.idle_since.is_none()).count()
    }

    /// How many are at work at an instance.
    pub fn at(&self, instance_id: &str) -> usize {
        self.open.iter().filter(|open| open.slot.instance_id.as_deref() == Some(instance_id)).count()
    }

    pub fn of(&self, run: RunNo) -> Option<&Open> {
        self.open.iter().find(|open| open.slot.run == run)
    }
}

impl App {
    /// What a task's journal begins with.
    pub(crate) async fn task_head(&self, run: RunNo) -> Result<Head, Failure> {
        let entries = self.engine().entries(run, 0, ROWS).await?;
        Ok(Head { input: entries.first().and_then(input_of), seat: entries.iter().find_map(seat_of) })
    }

    /// An agent's sessions. A task that ended leaves its conversation's session open until it was idle for too long, or the
    /// conversation was deleted; one without a conversation closes with it.
    pub(crate) async fn sessions_of(&self, tenant: &str, agent_id: &str) -> Result<Sessions, Failure> {
        let kept = registry::get::<Slots>(self.records(), SLOTS, tenant, agent_id).await?;
        let Some(kept) = kept else { return Ok(Sessions::default()) };
        let mut sessions = Sessions { version: Some(kept.version), ..Sessions::default() };
        for slot in kept.value.open {
            match self.stands(tenant, agent_id, &slot).await? {
                Ok(idle_since) => sessions.open.push(Open { slot, idle_since }),
                Err(closed_at) => sessions.closed.push((slot, closed_at)),
            }
        }
        Ok(sessions)
    }

    /// Since when a kept session is idle, if it is; or when it was closed.
    async fn stands(&self, tenant: &str, agent_id: &str, slot: &Slot) -> Result<Result<Option<Time>, Time>, Failure> {
        let now = self.engine().now();
        let Some(row) = self.engine().store().run(slot.run).await? else { return Ok(Err(now)) };
        if row.status.is_open() {
            // Two processes may have reserved a place for the same task: the one that told it first has it.
            let seat = self.task_head(slot.run).await?.seat;
            let is_elsewhere = seat.is_some_and(|seat| seat.agent_id != agent_id);
            return Ok(if is_elsewhere { Err(now) } else { Ok(None) });
        }
        let ended_at = row.ended_at.unwrap_or(now);
        let Some(session) = slot.session.clone().filter(|_| row.status != Status::Blocked) else {
            return Ok(Err(ended_at));
        };
        let over_at = ended_at.after(self.orchestrator().idle);
        if over_at <= now {
            return Ok(Err(over_at));
        }
        let owner = Owner { tenant: tenant.into(), user: slot.user.clone() };
        let is_there = self.engine().store().session(owner, session).await?.is_some();
        Ok(if is_there { Ok(Some(ended_at)) } else { Err(now) })
    }

    /// Keeps an agent's open sessions; false where others were faster.
    pub(crate) async fn keep_sessions(
        &self,
        tenant: &str,
        agent_id: &str,
        sessions: &Sessions,
    ) -> Result<bool, Failure> {
        let slots = Slots { open: sessions.open.iter().map(|open| open.slot.clone()).collect() };
        let expect = sessions.version.map_or(Expect::Absent, Expect::Version);
        let put = registry::put(self.records(), (SLOTS, tenant, agent_id), &slots, self.engine().now(), expect).await?;
        Ok(matches!(put, Put::Written(_)))
    }
}

/// What stands in a task's first entry.
pub(crate) fn input_of(entry: &Entry) -> Option<Input> {
    if entry.kind != Kind::RunQueued {
        return None;
    }
    let queued: Queued = serde_json::from_slice(&entry.body).ok()?;
    serde_json::from_str(queued.input.get()).ok()
}

/// Who got a task, where an entry says so.
pub(crate) fn seat_of(entry: &Entry) -> Option<Seat> {
    if entry.kind != Kind::SignalReceived {
        return None;
    }
    let signal: Signal = serde_json::from_slice(&entry.body).ok()?;
    if signal.name == SEAT { serde_json::from_str(signal.payload.get()).ok() } else { None }
}
