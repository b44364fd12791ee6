//! An agent's sessions, open and past, with their tasks.

use super::unknown;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::{Filling, Page, seen_by};
use crate::{App, Stamp, cursor};
use serde::Serialize;
use tutti_engine::ports::store::{Label, ListRuns, RunRow};
use tutti_engine::run::RunNo;
use tutti_workflows::task;

/// Tasks that are shown of one session: its newest.
const TASKS: u32 = 200;
/// Rows read at once.
const ROWS: u32 = 200;

/// A session of an agent.
#[derive(Debug, Serialize)]
pub struct SessionView {
    /// The conversation; `null` where a task stands alone.
    pub session_id: Option<String>,
    /// Whose.
    pub user_id: String,
    /// `busy`, `idle` or `closed`.
    pub status: &'static str,
    /// Where the work is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// When its oldest task that is shown was created.
    pub opened_at: Stamp,
    /// When something was done in it last.
    pub last_active_at: Stamp,
    /// Its tasks, newest first.
    pub tasks: Vec<TaskItem>,
}

/// A task of a session.
#[derive(Debug, Serialize)]
pub struct TaskItem {
    /// Its id.
    pub task_id: String,
    /// Where it stands.
    pub status: &'static str,
    /// When it came.
    pub created_at: Stamp,
    /// When it ended.
    pub ended_at: Option<Stamp>,
}

impl App {
    /// A page of an agent's sessions, those worked in last first. Of others' tasks only an admin sees some.
    ///
    /// # Errors
    /// `NotFound`, or a cursor that no page gave.
    pub async fn agent_sessions(
        &self,
        caller: &Caller,
        id: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<SessionView>, Failure> {
        if self.kept_agent(caller, id).await?.is_none() {
            return Err(unknown(id));
        }
        let list = format!("sessions of {id}");
        let mut before = cursor.map(|text| cursor::read(&list, text)).transpose()?.map(|(no, _)| RunNo(no));
        let base = ListRuns {
            workflow: Some(task::NAME.into()),
            labels: vec![Label::new(task::AGENT, id)],
            limit: ROWS,
            ..seen_by(caller)
        };
        let mut page = Filling::new(&list, limit);
        let open = self.sessions_of(&caller.tenant, id).await?.open;
        loop {
            let rows = self.engine().store().list(ListRuns { before, ..base.clone() }).await?;
            let is_end = rows.len() < ROWS as usize;
            for row in rows {
                before = Some(row.run);
                let Some(tasks) = self.tasks_with(&base, &row).await? else { continue };
                if !page.take(row.run, view(&row, &tasks, &open)) {
                    return Ok(page.full());
                }
            }
            if is_end {
                return Ok(page.last());
            }
        }
    }

    /// The tasks of a task's session, newest first; nothing where this is not the newest.
    async fn tasks_with(&self, base: &ListRuns, row: &RunRow) -> Result<Option<Vec<RunRow>>, Failure> {
        let Some(session) = &row.session else { return Ok(Some(vec![row.clone()])) };
        let mut query = ListRuns { user: Some(row.owner.user.clone()), limit: TASKS, ..base.clone() };
        query.labels.insert(0, Label::new(task::SESSION, session.clone()));
        let rows = self.engine().store().list(query).await?;
        Ok((rows.first().map(|first| first.run) == Some(row.run)).then_some(rows))
    }
}

fn view(row: &RunRow, tasks: &[RunRow], open: &[super::slots::Open]) -> SessionView {
    let of = |open: &&super::slots::Open| {
        open.slot.run == row.run || open.slot.is_of(&row.owner.user, row.session.as_deref())
    };
    let found = open.iter().find(of);
    let born = |row: &RunRow| row.id.born();
    SessionView {
        session_id: row.session.clone(),
        user_id: row.owner.user.clone(),
        status: match found.map(|open| open.idle_since) {
            None => "closed",
            Some(None) => "busy",
            Some(Some(_)) => "idle",
        },
        instance_id: found.and_then(|open| open.slot.instance_id.clone()),
        opened_at: Stamp(tasks.last().map_or_else(|| born(row), born)),
        last_active_at: Stamp(row.ended_at.unwrap_or_else(|| born(row))),
        tasks: tasks
            .iter()
            .map(|row| TaskItem {
                task_id: row.id.to_string(),
                status: row.status.as_str(),
                created_at: Stamp(born(row)),
                ended_at: row.ended_at.map(Stamp),
            })
            .collect(),
    }
}
