//! A task as its journal tells it.

use crate::Stamp;
use crate::registry::{input_of, seat_of};
use crate::result::{Digest, Usage};
use crate::runs::ErrorView;
use serde::Serialize;
use serde_json::Value;
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::ChildCompleted;
use tutti_engine::ports::store::RunRow;
use tutti_engine::run::Time;
use tutti_workflows::task::{Input, Seat};

/// A task.
#[derive(Debug, Serialize)]
pub struct AgentTaskView {
    /// Its id, which is its run's.
    pub task_id: String,
    /// The same.
    pub run_id: String,
    /// Where it stands: its run's status, and `queued` for as long as no agent has it.
    pub status: &'static str,
    /// The agent that has it; until one does, the one that it is for, if it is for one.
    pub agent_id: Option<String>,
    /// Which of its instances, or which worker.
    pub instance_id: Option<String>,
    /// The domain that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The capability that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// What kind of task it is.
    pub task_type: Option<String>,
    /// The task itself.
    pub task_data: Option<Value>,
    /// 9 first.
    pub priority: u8,
    /// How long it may take, from its creation.
    pub timeout_seconds: Option<f64>,
    /// Its conversation.
    pub session_id: Option<String>,
    /// What came of it.
    pub result: Option<Value>,
    /// Why nothing came of it.
    pub error: Option<ErrorView>,
    /// How often agents or workers were asked, repeats included.
    pub attempts: u32,
    /// What language models used.
    pub usage: Usage,
    /// When it came.
    pub created_at: Stamp,
    /// When an agent got it.
    pub started_at: Option<Stamp>,
    /// When it ended.
    pub ended_at: Option<Stamp>,
    /// How long it waited, and how long it took then, in milliseconds.
    pub timings: Timings,
}

/// How long a task took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// From its creation until an agent got it, or until it ended without.
    pub queued_ms: Option<i64>,
    /// From then to its end.
    pub took_ms: Option<i64>,
}

/// The fold over a task's journal.
#[derive(Default)]
pub(super) struct Fold {
    digest: Digest,
    input: Option<Input>,
    seat: Option<(Seat, Time)>,
    attempts: u32,
    worker: Option<String>,
    /// When it was written down; its deadline counts from then.
    queued_at: Option<Time>,
}

impl Fold {
    pub fn take(&mut self, entry: &Entry) {
        self.digest.take(entry);
        self.queued_at = self.queued_at.or(Some(entry.at));
        self.input = self.input.take().or_else(|| input_of(entry));
        if self.seat.is_none() {
            self.seat = seat_of(entry).map(|seat| (seat, entry.at));
        }
        match entry.kind {
            Kind::AgentStarted | Kind::ChildStarted if self.seat.is_some() => self.attempts += 1,
            Kind::StepRetrying if self.seat.is_some() => self.attempts += 1,
            Kind::ChildCompleted => {
                let done: Option<ChildCompleted> = serde_json::from_slice(&entry.body).ok();
                let output =
                    done.and_then(|done| serde_json::from_str::<Value>(done.output?.get()).ok()).unwrap_or_default();
                // A job says how often it was open, and who did it.
                let more = output["attempts"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
                self.attempts += more.saturating_sub(1);
                self.worker = output["instance_id"].as_str().map(String::from).or(self.worker.take());
            }
            _ => {}
        }
    }

    pub fn view(self, row: &RunRow) -> AgentTaskView {
        let digest = self.digest.finish();
        let told = digest.told();
        // The row may have been read a moment before the journal's last entry was written.
        let status = digest.status.unwrap_or(row.status);
        let (seat, seated_at) = self.seat.map_or((None, None), |(seat, at)| (Some(seat), Some(at)));
        let seated_at = seated_at.filter(|_| seat.as_ref().is_some_and(|seat| seat.agent.is_some()));
        let created_at = row.id.born();
        let ended_at = digest.ended_at.map(|at| at.0);
        let deadline = digest.queued.as_ref().and_then(|queued| queued.deadline);
        let target = self.input.as_ref().map(|input| input.target.clone()).unwrap_or_default();
        let error = digest.ended.as_ref().and_then(|ended| ended.error.clone()).or(digest.blocked.clone());
        AgentTaskView {
            task_id: row.id.to_string(),
            run_id: row.id.to_string(),
            status: if seat.is_none() && status.is_open() { "queued" } else { status.as_str() },
            agent_id: seat.as_ref().map(|seat| seat.agent_id.clone()).or(target.agent_id),
            instance_id: self.worker.or(seat.and_then(|seat| seat.instance_id)),
            domain: target.domain,
            capability: target.capability,
            task_type: self.input.as_ref().map(|input| input.task_type.clone()),
            task_data: self.input.map(|input| input.task_data),
            priority: row.priority,
            timeout_seconds: deadline.zip(self.queued_at).map(|(at, from)| from.until(at).as_secs_f64()),
            session_id: row.session.clone(),
            result: Some(told.output).filter(|output| !output.is_null()),
            error: error.map(ErrorView::from),
            attempts: self.attempts,
            usage: digest.usage,
            created_at: Stamp(created_at),
            started_at: seated_at.map(Stamp),
            ended_at: ended_at.map(Stamp),
            timings: Timings {
                queued_ms: seated_at.or(ended_at).map(|at| at.0 - created_at.0),
                took_ms: seated_at.zip(ended_at).map(|(from, to)| to.0 - from.0),
            },
        }
    }
}
