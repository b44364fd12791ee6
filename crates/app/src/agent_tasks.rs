//! `agent_tasks`: work for registered agents. A task is a run; who does it is decided once an agent has a place for it.

mod view;

pub use view::AgentTaskView;

use crate::caller::Caller;
use crate::failure::Failure;
use crate::registry::{read_name, unknown};
use crate::runs::{Filling, Page, seen_by};
use crate::start::{Ask, Prepared, Started, read_session_id};
use crate::{App, cursor};
use serde_json::Value;
use std::time::Duration;
use tutti_agents::form::{Errors, FieldError, Form};
use tutti_agents::registry::{self, AGENT, Agent, State};
use tutti_engine::ports::store::{Label, ListRuns, RunRow};
use tutti_engine::run::RunNo;
use tutti_engine::session::Terms;
use tutti_workflows::patterns::TIMEOUT_SECONDS_MAX;
use tutti_workflows::task::{self, FOR, Input, NAME, SESSION, STAGE, Target, WAITS};
use view::Fold;

const LIST: &str = "agent tasks";
const WORD_CHARS_MAX: usize = 200;
/// The contract's default of `timeout_seconds`.
const TIMEOUT_MS: u64 = 300_000;
/// Rows read at once.
const ROWS: u32 = 200;

/// Every status of a task: a run's, and `queued` for as long as no agent has it.
pub const STATUSES: [&str; 8] =
    ["queued", "running", "waiting", "completed", "failed", "cancelled", "timed_out", "blocked"];

/// Which tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAgentTasks {
    /// Only those that this agent has or had.
    pub agent_id: Option<String>,
    /// Only of this conversation.
    pub session_id: Option<String>,
    /// Only with this status.
    pub status: Option<&'static str>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// 1 to 200.
    pub limit: u32,
}

/// A request for a task, read.
struct Asked {
    input: Input,
    priority: u8,
    timeout_ms: u64,
    session: Option<String>,
}

impl App {
    /// Reads `{agent_id?|domain?|capability?, task_type, task_data, priority?, timeout_seconds?, session_id?}` and finds out whether
    /// somebody could do it. An agent that is only registered is started.
    ///
    /// # Errors
    /// Every wrong field at once; `NotFound` for an agent that is not there; `Conflict` for one that takes no work, or where
    /// nobody does such work.
    pub async fn read_agent_task(&self, caller: &Caller, body: &Value) -> Result<Prepared, Failure> {
        let errors = Errors::default();
        let asked = Form::body(body, &errors).and_then(|form| read(&form));
        let Asked { input, priority, timeout_ms, session } = errors.or(asked).map_err(Failure::invalid)?;
        let mut labels = vec![Label::new(STAGE, WAITS)];
        labels.extend(input.target.agent_id.iter().map(|id| Label::new(FOR, id.clone())));
        labels.extend(session.iter().map(|id| Label::new(SESSION, id.clone())));
        let target = input.target.clone();
        let ask = Ask {
            priority,
            timeout_ms: Some(timeout_ms),
            session,
            terms: Terms { window: self.window(), ..Terms::default() },
            labels,
            ..Ask::new(NAME, serde_json::to_vec(&input).unwrap_or_default())
        };
        let prepared = self.submission(caller, "execute-task", body, ask)?;
        // What was accepted once is answered again, whatever became of the agent.
        let is_known = match prepared.submit.once {
            Some(once) => self.engine().store().born_with(once.scope).await?.is_some(),
            None => false,
        };
        if !is_known {
            self.find_agent(caller, &target).await?;
        }
        Ok(prepared)
    }

    /// Makes sure that some agent may take a task, and that one of them runs.
    async fn find_agent(&self, caller: &Caller, target: &Target) -> Result<(), Failure> {
        let agents = match &target.agent_id {
            Some(id) => vec![self.settled_agent(caller, id).await?],
            None => {
                let all = registry::list::<Agent>(self.records(), AGENT, &caller.tenant, "").await?;
                all.into_iter().map(|(_, kept)| kept.value).collect()
            }
        };
        let fitting: Vec<&Agent> = agents.iter().filter(|agent| crate::registry::fits(target, agent)).collect();
        let takes = |agent: &&&Agent| agent.state.takes_work();
        let Some(first) = fitting.iter().find(takes) else {
            return Err(nobody(target, &agents, &fitting));
        };
        let is_up = |agent: &&Agent| matches!(agent.state, State::Running | State::Starting);
        if !fitting.iter().any(is_up) {
            self.begin_start(&caller.tenant, &caller.user, &first.agent_id).await?;
        }
        Ok(())
    }

    /// Starts a task; with `wait`, answers when it ends or the time is up.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn execute_task(
        &self,
        prepared: Prepared,
        wait: Option<Duration>,
    ) -> Result<(AgentTaskView, Started), Failure> {
        let started = self.start(prepared, wait).await?;
        let row = self.engine().store().run(started.no).await?;
        let row = row.ok_or_else(|| Failure::internal("a run that was accepted is not there"))?;
        Ok((self.agent_task_of(&row).await?, started))
    }

    /// A task as it stands.
    ///
    /// # Errors
    /// `NotFound`, also for somebody else's and for runs that are no tasks.
    pub async fn agent_task(&self, caller: &Caller, id: &str) -> Result<AgentTaskView, Failure> {
        let row = self.agent_task_row(caller, id).await?;
        self.agent_task_of(&row).await
    }

    /// A page of the caller's tasks (for an admin the tenant's), newest first.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_agent_tasks(
        &self,
        caller: &Caller,
        query: ListAgentTasks,
    ) -> Result<Page<AgentTaskView>, Failure> {
        let mut before =
            query.cursor.as_deref().map(|text| cursor::read(LIST, text)).transpose()?.map(|(no, _)| RunNo(no));
        let mut labels: Vec<Label> = query.session_id.iter().map(|id| Label::new(SESSION, id.clone())).collect();
        labels.extend(query.agent_id.iter().map(|id| Label::new(task::AGENT, id.clone())));
        if query.status == Some("queued") {
            labels.insert(0, Label::new(STAGE, WAITS));
        }
        let list = ListRuns {
            // Who waits for an agent is parked, or about to be.
            status: query.status.filter(|word| *word != "queued").and_then(crate::runs::read_status),
            workflow: Some(NAME.into()),
            labels,
            limit: ROWS,
            ..seen_by(caller)
        };
        let mut page = Filling::new(LIST, query.limit);
        loop {
            let rows = self.engine().store().list(ListRuns { before, ..list.clone() }).await?;
            let is_end = rows.len() < ROWS as usize;
            for row in rows {
                before = Some(row.run);
                let view = self.agent_task_of(&row).await?;
                if query.status.is_some_and(|status| status != view.status) {
                    continue;
                }
                if !page.take(row.run, view) {
                    return Ok(page.full());
                }
            }
            if is_end {
                return Ok(page.last());
            }
        }
    }

    /// Asks a task to stop: as [`cancel`](Self::cancel).
    ///
    /// # Errors
    /// `NotFound`, or a wrong `reason`.
    pub async fn cancel_agent_task(
        &self,
        caller: &Caller,
        id: &str,
        body: &Value,
    ) -> Result<(AgentTaskView, bool), Failure> {
        self.agent_task_row(caller, id).await?;
        let (_, is_stopped) = self.cancel(caller, id, body).await?;
        Ok((self.agent_task(caller, id).await?, is_stopped))
    }

    async fn agent_task_row(&self, caller: &Caller, id: &str) -> Result<RunRow, Failure> {
        self.row_of(caller, id, NAME, "task").await
    }

    async fn agent_task_of(&self, row: &RunRow) -> Result<AgentTaskView, Failure> {
        let mut fold = Fold::default();
        self.each_entry(row.run, |entry| fold.take(&entry)).await?;
        Ok(fold.view(row))
    }
}

fn nobody(target: &Target, agents: &[Agent], fitting: &[&Agent]) -> Failure {
    let words: Vec<String> = [("domain", &target.domain), ("capability", &target.capability)]
        .into_iter()
        .filter_map(|(word, value)| value.as_ref().map(|value| format!("{word} {value:?}")))
        .collect();
    let words = words.join(" and ");
    let message = match (&target.agent_id, fitting.first()) {
        (Some(id), None) if agents.is_empty() => return unknown(id),
        (Some(id), None) => format!("agent {id} is not of {words}"),
        (Some(id), Some(agent)) => {
            let why = agent.error.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            format!("agent {id} is {}{why}; start it first", agent.state.as_str())
        }
        (None, None) => format!("no agent is registered for {words}"),
        (None, Some(_)) => format!("no agent for {words} takes work now; start one of them"),
    };
    Failure::conflict(message)
}

fn read(form: &Form<'_>) -> Option<Asked> {
    let agent = form.field("agent_id");
    let agent_id = if agent.is_present() { read_name(&agent) } else { None };
    let domain = form.field("domain").text(WORD_CHARS_MAX).map(String::from);
    let capability = form.field("capability").text(WORD_CHARS_MAX).map(String::from);
    if !["agent_id", "domain", "capability"].iter().any(|name| form.field(name).is_present()) {
        let msg = "field required: agent_id, domain or capability says who is to do it";
        form.errors().push(FieldError { loc: agent.loc(), msg: msg.into(), kind: "value_error.missing" });
    }
    let task_type = form.field("task_type").required().text(WORD_CHARS_MAX).map(String::from);
    let data = form.field("task_data").required();
    // Only an object: an agent finds what it needs by name.
    let task_data = data.form().and_then(|_| data.value().cloned());
    let priority = form.field("priority").integer(0, 9).and_then(|n| u8::try_from(n).ok()).unwrap_or(5);
    let timeout_ms = form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX).unwrap_or(TIMEOUT_MS);
    let session = read_session_id(form);
    let target = Target { agent_id, domain, capability };
    Some(Asked { input: Input { task_type: task_type?, task_data: task_data?, target }, priority, timeout_ms, session })
}
