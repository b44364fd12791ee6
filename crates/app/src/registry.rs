//! `registry`: agents that are registered, where they live, and who gets which task.
//!
//! Everything stands in records and in runs, so any process on the same store may answer, and may give tasks to agents.

mod desk;
mod instances;
mod lifecycle;
mod named;
mod read;
mod sessions;
mod slots;
mod view;

pub(crate) use desk::fits;
pub use instances::{Heard, InstanceView};
pub use sessions::{SessionView, TaskItem};
pub(crate) use slots::{input_of, seat_of};
pub use view::{AgentView, Figures, Latency, SessionCounts};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Class, cursor};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tutti_agents::factory::Hooks;
use tutti_agents::form::{Errors, Field, Form};
use tutti_agents::registry::{self, AGENT, Agent, INSTANCE, Kept, State, TENANT};
use tutti_agents::tool::named_tools;
use tutti_engine::driver::Message;
use tutti_engine::journal::body::CancelRequested;
use tutti_engine::memory::records::MemoryRecords;
use tutti_engine::ports::jobs::JobBroker;
use tutti_engine::ports::records::{Expect, Put, Records};
use tutti_engine::ports::store::{Label, ListRuns, RunRow};
use tutti_engine::run::RunNo;
use tutti_workflows::task;

/// Every state of an agent with its word.
pub const STATES: [(&str, State); 6] = State::WORDS;

const LIST: &str = "agents";
/// How often a registration is tried again when others are faster.
const TRIES: usize = 20;
/// Rows read at once.
const ROWS: u32 = 500;

/// What the wiring decides about registered agents.
#[derive(Clone)]
pub struct Orchestrator {
    /// Where they are kept.
    pub records: Arc<dyn Records>,
    /// Most open sessions of an agent (`MAX_CONCURRENT_AGENT_SESSIONS`).
    pub sessions_max: u32,
    /// How long a session may be idle (`AGENT_SESSION_TIMEOUT_MINUTES`).
    pub idle: Duration,
    /// How long an instance may be silent (`AGENT_HEARTBEAT_TIMEOUT`).
    pub silence: Duration,
    /// Who makes agents.
    pub hooks: Hooks,
    /// Where jobs wait for workers that do not come over HTTP, if anywhere.
    pub jobs: Option<Arc<dyn JobBroker>>,
}

impl Default for Orchestrator {
    fn default() -> Self {
        Self {
            records: Arc::new(MemoryRecords::new()),
            sessions_max: 10,
            idle: Duration::from_secs(3_600),
            silence: Duration::from_secs(90),
            hooks: Hooks::default(),
            jobs: None,
        }
    }
}

impl fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator").field("sessions_max", &self.sessions_max).finish_non_exhaustive()
    }
}

/// Which agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAgents {
    /// Only of this domain.
    pub domain: Option<String>,
    /// Only in this state.
    pub state: Option<State>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// 1 to 200.
    pub limit: u32,
}

impl App {
    /// Registers an agent, or updates the one with the same id; says which. An update keeps the state, save that a failed agent
    /// may be started again.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub async fn register_agent(&self, caller: &Caller, body: &Value) -> Result<(AgentView, bool), Failure> {
        let draft = self.read_agent(caller, body, [], []).await?;
        let (agent, is_new) = self.keep_registration(caller, draft).await?;
        Ok((self.agent_view(caller, agent).await?, is_new))
    }

    /// A registration, read; `more` and `more_tools` will exist beside those that do.
    pub(crate) async fn read_agent(
        &self,
        caller: &Caller,
        body: &Value,
        more: impl IntoIterator<Item = &String>,
        more_tools: impl IntoIterator<Item = &String>,
    ) -> Result<Agent, Failure> {
        let mut known = self.known_agents(caller, &read::named(body)).await?;
        known.extend(more.into_iter().cloned());
        let tools = named_tools(&body["brain_config"]).into_iter().collect();
        let tools = self.tool_book(caller, &tools).await?.with_coming(more_tools);
        let errors = Errors::default();
        let has_hooks = !self.orchestrator().hooks.is_empty();
        let book = self.book();
        let draft =
            Form::body(body, &errors).and_then(|form| read::registration(&form, &book, (&known, &tools), has_hooks));
        errors.or(draft).map_err(Failure::invalid)
    }

    /// Keeps what was read, and says whether it is new.
    pub(crate) async fn keep_registration(&self, caller: &Caller, draft: Agent) -> Result<(Agent, bool), Failure> {
        let kept = self.keep_agent(caller, draft).await?;
        registry::poke();
        Ok(kept)
    }

    async fn keep_agent(&self, caller: &Caller, draft: Agent) -> Result<(Agent, bool), Failure> {
        let (records, now) = (self.records(), self.engine().now());
        self.keep_tenant(caller).await?;
        for _ in 0..TRIES {
            let found = self.kept_agent(caller, &draft.agent_id).await?;
            let mut agent = Agent { registered_by: caller.user.to_string(), updated_at: now, ..draft.clone() };
            let expect = match &found {
                None => {
                    agent.registered_at = now;
                    Expect::Absent
                }
                Some(Kept { value: old, version }) => {
                    agent.state = if old.state == State::Failed { State::Registered } else { old.state };
                    (agent.token, agent.made_at) = (old.token.clone(), old.made_at.clone());
                    (agent.registered_at, agent.registered_by) = (old.registered_at, old.registered_by.clone());
                    Expect::Version(*version)
                }
            };
            let key = (AGENT, caller.tenant.as_ref(), agent.agent_id.as_str());
            if let Put::Written(_) = registry::put(records, key, &agent, now, expect).await? {
                return Ok((agent, found.is_none()));
            }
        }
        Err(Failure::unavailable("this agent is being changed by too many at once", Duration::from_secs(1)))
    }

    /// Whoever looks after agents finds their tenant by it.
    async fn keep_tenant(&self, caller: &Caller) -> Result<(), Failure> {
        let (records, tenant) = (self.records(), caller.tenant.as_ref());
        if records.get(TENANT, "", tenant).await?.is_none() {
            registry::put(records, (TENANT, "", tenant), &json!({}), self.engine().now(), Expect::Any).await?;
        }
        Ok(())
    }

    /// Takes an agent out: `{agent_id, force?}`. What it works on goes on, or is cancelled with `force`; what only waits for it
    /// ends. Answers how many tasks were cancelled.
    ///
    /// # Errors
    /// `NotFound`, or wrong fields.
    pub async fn unregister_agent(&self, caller: &Caller, body: &Value) -> Result<Value, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let id = read_name(&form.field("agent_id").required());
            let force = form.field("force").boolean().unwrap_or_default();
            Some((id?, force))
        });
        let (id, force) = errors.or(read).map_err(Failure::invalid)?;
        let (records, tenant) = (self.records(), caller.tenant.as_ref());
        if !records.delete(AGENT, tenant, &id, Expect::Any).await? {
            return Err(unknown(&id));
        }
        for (name, _) in registry::list::<Value>(records, INSTANCE, tenant, &format!("{id}/")).await? {
            records.delete(INSTANCE, tenant, &name, Expect::Any).await?;
        }
        let mut cancelled = 0;
        if force {
            let mut rows = self.open_tasks(tenant, vec![Label::new(task::AGENT, id.clone())]).await?;
            rows.extend(self.waiting_for(tenant, &id).await?);
            for row in rows {
                let reason = Some(format!("agent {id} was unregistered"));
                let cancel = CancelRequested { by: caller.user.to_string(), reason };
                self.engine().send(row.run, Message::Cancel(cancel)).await?;
                cancelled += 1;
            }
        }
        registry::poke();
        Ok(json!({"agent_id": id, "status": "unregistered", "cancelled": cancelled}))
    }

    /// An agent as it stands.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn agent(&self, caller: &Caller, id: &str) -> Result<AgentView, Failure> {
        let agent = self.settled_agent(caller, id).await?;
        self.agent_view(caller, agent).await
    }

    /// A page of the tenant's agents, by id.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_agents(&self, caller: &Caller, query: ListAgents) -> Result<Page<AgentView>, Failure> {
        let mut after = query.cursor.as_deref().map(|text| cursor::read_name(LIST, text)).transpose()?;
        let limit = query.limit.clamp(1, 200) as usize;
        let mut items: Vec<AgentView> = Vec::new();
        loop {
            let page = self.records().list(AGENT, &caller.tenant, after.clone(), ROWS).await?;
            let is_end = page.len() < ROWS as usize;
            for record in page {
                after = Some(record.name.clone());
                let agent = self.settled_agent(caller, &record.name).await;
                // Taken out since the page was read.
                let Ok(agent) = agent else { continue };
                let fits = query.domain.as_ref().is_none_or(|domain| *domain == agent.domain)
                    && query.state.is_none_or(|state| state == agent.state);
                if !fits {
                    continue;
                }
                if items.len() == limit {
                    let last = items.last().map(|item| item.agent_id.clone()).unwrap_or_default();
                    return Ok(Page { items, next_cursor: Some(cursor::write_name(LIST, &last)) });
                }
                items.push(self.agent_item(agent));
            }
            if is_end {
                return Ok(Page { items, next_cursor: None });
            }
        }
    }

    /// How many agents run, over all tenants.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn active_agents(&self) -> Result<usize, Failure> {
        let mut active = 0;
        for tenant in self.tenants().await? {
            let agents = registry::list::<Agent>(self.records(), AGENT, &tenant, "").await?;
            active += agents.iter().filter(|(_, agent)| agent.value.state == State::Running).count();
        }
        Ok(active)
    }

    pub(crate) async fn tenants(&self) -> Result<Vec<String>, Failure> {
        let found = registry::list::<Value>(self.records(), TENANT, "", "").await?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    /// Open tasks of a tenant with these labels.
    pub(crate) async fn open_tasks(&self, tenant: &str, labels: Vec<Label>) -> Result<Vec<RunRow>, Failure> {
        let tenant = Some(tenant.to_owned());
        let query = ListRuns { tenant, labels, workflow: Some(task::NAME.into()), limit: ROWS, ..ListRuns::default() };
        let rows = self.all_rows(query).await?;
        Ok(rows.into_iter().filter(|row| row.status.is_open()).collect())
    }

    /// Tasks that wait for one agent.
    pub(crate) async fn waiting_for(&self, tenant: &str, id: &str) -> Result<Vec<RunRow>, Failure> {
        let labels = vec![Label::new(task::STAGE, task::WAITS), Label::new(task::FOR, id)];
        self.open_tasks(tenant, labels).await
    }

    /// Every page of a list.
    pub(crate) async fn all_rows(&self, query: ListRuns) -> Result<Vec<RunRow>, Failure> {
        let (mut rows, mut before) = (Vec::new(), query.before);
        loop {
            let page = self.engine().store().list(ListRuns { before, ..query.clone() }).await?;
            let is_end = page.len() < query.limit as usize;
            before = page.last().map(|row: &RunRow| RunNo(row.run.0));
            rows.extend(page);
            if is_end {
                return Ok(rows);
            }
        }
    }

    pub(crate) fn orchestrator(&self) -> &Orchestrator {
        &self.inner.options.orchestrator
    }

    pub(crate) fn records(&self) -> &dyn Records {
        self.orchestrator().records.as_ref()
    }

    pub(crate) async fn kept_agent(&self, caller: &Caller, id: &str) -> Result<Option<Kept<Agent>>, Failure> {
        Ok(registry::get(self.records(), AGENT, &caller.tenant, id).await?)
    }

    /// Which of these names somebody bears: registered agents, and those of the configuration.
    async fn known_agents(&self, caller: &Caller, names: &[String]) -> Result<BTreeSet<String>, Failure> {
        let book = self.book();
        let mut known: BTreeSet<String> = book.list().iter().map(|agent| agent.name().to_owned()).collect();
        for name in names {
            if self.kept_agent(caller, name).await?.is_some() {
                known.insert(name.clone());
            }
        }
        Ok(known)
    }
}

/// Reads the id of an agent or an instance: it stands in paths, and in the names of queues.
pub(crate) fn read_name(field: &Field<'_, '_>) -> Option<String> {
    let text = field.string()?;
    if is_name(text) {
        return Some(text.to_owned());
    }
    field.fail("an id has 1 to 64 characters of A-Z, a-z, 0-9, . _ : - and begins with a letter or a digit");
    None
}

pub(crate) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && text.as_bytes()[0].is_ascii_alphanumeric()
}

pub(crate) fn unknown(id: &str) -> Failure {
    let shown = if is_name(id) { id } else { "of that id" };
    let mut failure = Failure::new(Class::NotFound, format!("there is no agent {shown}"));
    if is_name(id) {
        failure.ids.push(("agent_id", id.into()));
    }
    failure
}
