//! Who gives tasks to agents: a loop that every process runs. It looks at the tasks that wait and at the agents' open sessions,
//! reserves a place by a write that only one can make, and tells the task by a signal of which only the first counts. So it may
//! run anywhere, several times at once, and die at any point.

use super::instances::Place;
use super::slots::{Open, Sessions};
use crate::failure::Failure;
use crate::{App, metrics};
use serde_json::value::to_raw_value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tutti_agents::registry::{self, AGENT, Agent, Protocol, SLOTS, Slot, State};
use tutti_agents::tool::shelf;
use tutti_engine::driver::Message;
use tutti_engine::journal::body::Signal;
use tutti_engine::ports::records::Expect;
use tutti_engine::ports::store::{Label, ListRuns, RunRow};
use tutti_engine::run::{RunNo, Status};
use tutti_workflows::task::{self, SEAT, Seat, Target};

/// Even with every hint lost, tasks and agents are looked at after so long.
const SWEEP: Duration = Duration::from_secs(5);
/// Ten seconds of waiting are worth one step of priority, so nothing starves.
const PRIORITY_MS: i64 = 10_000;
/// Rows read at once.
const ROWS: u32 = 500;

/// What one process remembers. Everything of it can be found again.
#[derive(Default)]
struct Desk {
    /// Who may do each task that waits.
    targets: BTreeMap<RunNo, Target>,
    /// Tasks that were told who has them, and have not heard it yet.
    told: BTreeSet<RunNo>,
}

/// An agent while tasks are given away.
struct Table {
    agent: Agent,
    sessions: Sessions,
    places: Vec<Place>,
    max: usize,
    is_changed: bool,
    opened: u64,
    /// Tasks that have a place here and are to be told.
    given: Vec<RunNo>,
}

type Key = (String, String);
/// Tables by tenant and agent; nothing where there is no such agent.
type Hall = BTreeMap<Key, Option<Table>>;

impl App {
    /// Gives tasks to agents for as long as it is polled.
    pub async fn keep_desk(self) {
        let mut desk = Desk::default();
        let mut poked = registry::poked();
        let mut sweep_at = tokio::time::Instant::now();
        loop {
            // Marked before looking, so that a poke that comes meanwhile is not missed.
            poked.borrow_and_update();
            let is_sweep = tokio::time::Instant::now() >= sweep_at;
            if is_sweep {
                sweep_at = tokio::time::Instant::now() + SWEEP;
            }
            if let Err(failure) = Box::pin(desk.pass(&self, is_sweep)).await {
                let why = failure.cause.as_deref().unwrap_or(&failure.message);
                tracing::warn!("tasks cannot be given to agents, trying again in {SWEEP:?}: {why}");
            }
            tokio::select! {
                changed = poked.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(sweep_at) => {}
            }
        }
    }
}

impl Desk {
    async fn pass(&mut self, app: &App, is_sweep: bool) -> Result<(), Failure> {
        let waiting = self.waiting(app).await?;
        let mut hall = Hall::new();
        let mut fitting: BTreeMap<String, Vec<Agent>> = BTreeMap::new();
        for row in &waiting {
            self.seat(app, &mut hall, &mut fitting, row).await?;
        }
        if is_sweep {
            Box::pin(sweep(app, &mut hall)).await?;
        }
        for ((tenant, id), table) in hall {
            let Some(table) = table else { continue };
            self.close(app, &tenant, &id, table).await?;
        }
        Ok(())
    }

    /// Tasks that wait for an agent, who comes first first. Those that wait in line in their conversation have not begun.
    async fn waiting(&mut self, app: &App) -> Result<Vec<RunRow>, Failure> {
        let labels = vec![Label::new(task::STAGE, task::WAITS)];
        let workflow = Some(task::NAME.into());
        let mut rows = app.all_rows(ListRuns { labels, workflow, limit: ROWS, ..ListRuns::default() }).await?;
        rows.retain(|row| matches!(row.status, Status::Running | Status::Waiting));
        rows.sort_by_key(|row| (row.id.born().0 - i64::from(row.priority) * PRIORITY_MS, row.run));
        let open: BTreeSet<RunNo> = rows.iter().map(|row| row.run).collect();
        self.targets.retain(|run, _| open.contains(run));
        self.told.retain(|run| open.contains(run));
        Ok(rows)
    }

    /// Finds a place for a task, if there is one.
    async fn seat(
        &mut self,
        app: &App,
        hall: &mut Hall,
        fitting: &mut BTreeMap<String, Vec<Agent>>,
        row: &RunRow,
    ) -> Result<(), Failure> {
        if self.told.contains(&row.run) {
            return Ok(());
        }
        let tenant = row.owner.tenant.clone();
        let target = match self.targets.get(&row.run) {
            Some(target) => target.clone(),
            None => {
                let Some(input) = app.task_head(row.run).await?.input else { return Ok(()) };
                self.targets.entry(row.run).or_insert(input.target).clone()
            }
        };
        let ids = match &target.agent_id {
            Some(id) => vec![id.clone()],
            None => {
                if !fitting.contains_key(&tenant) {
                    fitting.insert(tenant.clone(), app.settled_agents(&tenant).await?);
                }
                let all = fitting.get(&tenant).map(Vec::as_slice).unwrap_or_default();
                all.iter().filter(|agent| fits(&target, agent)).map(|agent| agent.agent_id.clone()).collect()
            }
        };
        for id in &ids {
            lay(app, hall, &tenant, id).await?;
        }
        let key = |id: &String| (tenant.clone(), id.clone());
        if let Some(why) =
            target.agent_id.as_ref().and_then(|id| refusal(id, hall.get(&key(id)).and_then(Option::as_ref)))
        {
            return self.refuse(app, row, target.agent_id.unwrap_or_default(), why).await;
        }
        // A place that was reserved, by whomever, is not reserved a second time somewhere else.
        let has = |id: &&String| {
            hall.get(&key(id)).and_then(Option::as_ref).is_some_and(|t| t.sessions.of(row.run).is_some())
        };
        let room = |id: &&String| {
            let table = hall.get(&key(id)).and_then(Option::as_ref)?;
            table.room(row, target.agent_id.is_some()).map(|busy| (busy, (*id).clone()))
        };
        let chosen =
            ids.iter().find(has).cloned().or_else(|| ids.iter().filter_map(|id| room(&id)).min().map(|(_, id)| id));
        if let Some(table) = chosen.and_then(|id| hall.get_mut(&key(&id))).and_then(Option::as_mut) {
            table.take(row, app.engine().now());
        }
        Ok(())
    }

    /// Keeps what was given away, then tells the tasks.
    async fn close(&mut self, app: &App, tenant: &str, id: &str, table: Table) -> Result<(), Failure> {
        let is_over = !table.sessions.closed.is_empty();
        if (table.is_changed || is_over) && !app.keep_sessions(tenant, id, &table.sessions).await? {
            // Somebody else was faster: look again at what is left.
            registry::poke();
            return Ok(());
        }
        metrics::sessions_opened(table.opened);
        for (slot, at) in &table.sessions.closed {
            let took_ms = at.0 - slot.opened_at.0;
            metrics::session_closed(took_ms);
            tracing::debug!(agent = id, took_ms, "a session of agent {id} has ended");
        }
        for run in &table.given {
            let Some(open) = table.sessions.of(*run) else { continue };
            let instance = open.slot.instance_id.clone();
            let place = table.places.iter().find(|place| Some(&place.instance.instance_id) == instance.as_ref());
            let endpoint = place.and_then(|place| place.instance.endpoint.as_deref());
            let mut agent = table.agent.definition(tenant, endpoint);
            shelf::pin(tenant, &mut agent).await?;
            let agent = Some(agent);
            let seat = Seat { agent_id: id.into(), instance_id: instance, agent, refused: None };
            self.tell(app, *run, &seat).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, app: &App, row: &RunRow, agent_id: String, why: String) -> Result<(), Failure> {
        self.tell(app, row.run, &Seat { agent_id, instance_id: None, agent: None, refused: Some(why) }).await
    }

    /// Of all that a task is told, by whomever, the first counts.
    async fn tell(&mut self, app: &App, run: RunNo, seat: &Seat) -> Result<(), Failure> {
        let payload = to_raw_value(seat).map_err(|e| Failure::internal(e.to_string()))?;
        let message = Message::Signal { dedup: Some("1".into()), signal: Signal { name: SEAT.into(), payload } };
        app.engine().send(run, message).await?;
        self.told.insert(run);
        Ok(())
    }
}

impl Table {
    /// How many sessions are open, where there is room for this task.
    fn room(&self, row: &RunRow, is_named: bool) -> Option<usize> {
        let takes = match self.agent.state {
            State::Running => true,
            // What was accepted before the stop is done.
            State::Stopping => is_named,
            _ => false,
        };
        let has_place = self.agent.protocol() == Protocol::Queue || self.places.iter().any(Place::is_open);
        if !takes || !has_place {
            return None;
        }
        match self.session_of(row) {
            Some(at) => self.sessions.open[at].idle_since.map(|_| 0),
            None => (self.sessions.open.len() < self.max).then_some(self.sessions.open.len()),
        }
    }

    /// The open session of the task's conversation.
    fn session_of(&self, row: &RunRow) -> Option<usize> {
        self.sessions.open.iter().position(|open| open.slot.is_of(&row.owner.user, row.session.as_deref()))
    }

    /// Reserves a place for a task, or finds the one it has.
    fn take(&mut self, row: &RunRow, now: tutti_engine::run::Time) {
        self.given.push(row.run);
        if self.sessions.of(row.run).is_some() {
            return;
        }
        self.is_changed = true;
        let open = self.places.iter().filter(|place| place.is_open());
        let least = open.min_by_key(|place| self.sessions.at(&place.instance.instance_id));
        let instance_id =
            least.filter(|_| self.agent.protocol() != Protocol::Queue).map(|place| place.instance.instance_id.clone());
        if let Some(at) = self.session_of(row) {
            let open = &mut self.sessions.open[at];
            (open.slot.run, open.idle_since) = (row.run, None);
            let stays =
                open.slot.instance_id.as_ref().is_some_and(|id| {
                    self.places.iter().any(|place| place.is_open() && place.instance.instance_id == *id)
                });
            if !stays {
                open.slot.instance_id = instance_id;
            }
            return;
        }
        let (session, user) = (row.session.clone(), row.owner.user.clone());
        let slot = Slot { run: row.run, session, user, instance_id, opened_at: now };
        self.sessions.open.push(Open { slot, idle_since: None });
        self.opened += 1;
    }
}

/// Whether an agent may do what is asked for.
pub(crate) fn fits(target: &Target, agent: &Agent) -> bool {
    target.agent_id.as_ref().is_none_or(|id| *id == agent.agent_id)
        && target.domain.as_ref().is_none_or(|domain| *domain == agent.domain)
        && target.capability.as_ref().is_none_or(|capability| agent.capabilities.contains(capability))
}

/// Why the agent that a task names will never do it.
fn refusal(id: &str, table: Option<&Table>) -> Option<String> {
    let Some(table) = table else { return Some(format!("agent {id} was unregistered before it began")) };
    match table.agent.state {
        State::Failed => {
            let why = table.agent.error.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            Some(format!("agent {id} could not be started{why}"))
        }
        State::Stopped => Some(format!("agent {id} was stopped before it began")),
        _ => None,
    }
}

/// Reads an agent and its sessions, once for each pass.
async fn lay(app: &App, hall: &mut Hall, tenant: &str, id: &str) -> Result<(), Failure> {
    let key = (tenant.to_owned(), id.to_owned());
    if hall.contains_key(&key) {
        return Ok(());
    }
    let table = match registry::get::<Agent>(app.records(), AGENT, tenant, id).await? {
        None => None,
        Some(kept) => {
            let agent = app.settle_agent(tenant, kept.value).await?;
            let (sessions, places) = (app.sessions_of(tenant, id).await?, app.places(tenant, &agent).await?);
            let max = app.sessions_max(&agent) as usize;
            Some(Table { agent, sessions, places, max, is_changed: false, opened: 0, given: Vec::new() })
        }
    };
    hall.insert(key, table);
    Ok(())
}

/// Sees to what is over: sessions that were idle for too long, starts and stops that came to an end, and what was kept for agents
/// that are not there any more.
async fn sweep(app: &App, hall: &mut Hall) -> Result<(), Failure> {
    for tenant in app.tenants().await? {
        for agent in app.settled_agents(&tenant).await? {
            lay(app, hall, &tenant, &agent.agent_id).await?;
        }
        let kept = registry::list::<registry::Slots>(app.records(), SLOTS, &tenant, "").await?;
        for (id, kept) in kept {
            let is_known = registry::get::<Agent>(app.records(), AGENT, &tenant, &id).await?.is_some();
            if !is_known && app.sessions_of(&tenant, &id).await?.busy() == 0 {
                app.records().delete(SLOTS, &tenant, &id, Expect::Version(kept.version)).await?;
            }
        }
    }
    Ok(())
}
