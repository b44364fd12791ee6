//! An agent for people and programs.

use super::InstanceView;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::{App, Stamp};
use serde::Serialize;
use serde_json::Value;
use tutti_agents::registry::Agent;
use tutti_engine::ports::store::{Label, ListRuns, RunRow};
use tutti_engine::run::Status;
use tutti_workflows::task;

/// Tasks that an agent's figures are made of: its newest.
const TASKS: u32 = 1_000;

/// A registered agent.
#[derive(Debug, Serialize)]
pub struct AgentView {
    /// Its name.
    pub agent_id: String,
    /// For people.
    pub agent_name: String,
    /// What it is for.
    pub domain: String,
    /// Where it stands in its life.
    pub status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it is good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// As it was sent.
    pub brain_config: Option<Value>,
    /// As it was sent.
    pub deployment_id: Option<String>,
    /// How it is asked; nothing for one that runs here.
    pub protocol: Option<&'static str>,
    /// Where it is asked.
    pub endpoint: Option<String>,
    /// Agents that it may ask, or hand its work to.
    pub routes: Vec<String>,
    /// Most open sessions.
    pub max_sessions: u32,
    /// Who registered it.
    pub registered_by: String,
    /// When.
    pub registered_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
    /// Where it lives. In a list left out, as is all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<InstanceView>>,
    /// Its sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionCounts>,
    /// When one of its instances was heard of last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Option<Stamp>>,
    /// How well it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Figures>,
}

/// How many sessions an agent has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SessionCounts {
    /// At work, or idle.
    pub open: usize,
    /// Idle.
    pub idle: usize,
    /// Tasks that wait for it.
    pub waiting: usize,
    /// Most open ones.
    pub max: u32,
}

/// An agent's figures, over its newest thousand tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Tasks that it got.
    pub tasks: usize,
    /// Those that completed.
    pub completed: usize,
    /// Those that ended otherwise, save by a cancel.
    pub failed: usize,
    /// Completed ones among those two; `null` before the first.
    pub success_rate: Option<f64>,
    /// From a task's creation to its end, in milliseconds.
    pub latency_ms: Latency,
}

/// Percentiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of them are faster.
    pub p50: Option<i64>,
    /// All but five in a hundred.
    pub p95: Option<i64>,
    /// All but one.
    pub p99: Option<i64>,
}

impl App {
    /// An agent with all that is known of it.
    pub(super) async fn agent_view(&self, caller: &Caller, agent: Agent) -> Result<AgentView, Failure> {
        let (tenant, id) = (caller.tenant.as_ref(), agent.agent_id.as_str());
        let sessions = self.sessions_of(tenant, id).await?;
        let places = self.places(tenant, &agent).await?;
        let waiting = self.waiting_for(tenant, id).await?.len();
        let labels = vec![Label::new(task::AGENT, id)];
        let query = ListRuns { tenant: Some(tenant.into()), labels, limit: TASKS, ..ListRuns::default() };
        let tasks = self.engine().store().list(query).await?;
        let max = self.sessions_max(&agent);
        let counts =
            SessionCounts { open: sessions.open.len(), idle: sessions.open.len() - sessions.busy(), waiting, max };
        let view = |place: &super::instances::Place| place.view(&agent, sessions.at(&place.instance.instance_id));
        let instances = places.iter().map(view).collect();
        Ok(AgentView {
            instances: Some(instances),
            last_heartbeat: Some(places.iter().filter_map(|place| place.instance.heard_at).max().map(Stamp)),
            sessions: Some(counts),
            metrics: Some(figures(&tasks)),
            ..self.agent_item(agent)
        })
    }

    /// An agent in a list.
    pub(super) fn agent_item(&self, agent: Agent) -> AgentView {
        AgentView {
            max_sessions: self.sessions_max(&agent),
            status: agent.state.as_str(),
            protocol: agent.protocol().as_str(),
            endpoint: agent.address().map(String::from),
            registered_at: Stamp(agent.registered_at),
            updated_at: Stamp(agent.updated_at),
            agent_id: agent.agent_id,
            agent_name: agent.agent_name,
            domain: agent.domain,
            error: agent.error,
            capabilities: agent.capabilities,
            description: agent.description,
            brain_config: agent.brain_config,
            deployment_id: agent.deployment_id,
            routes: agent.routes,
            registered_by: agent.registered_by,
            instances: None,
            sessions: None,
            last_heartbeat: None,
            metrics: None,
        }
    }

    /// The operator's bound holds; a registration may ask for less.
    pub(super) fn sessions_max(&self, agent: &Agent) -> u32 {
        let most = self.orchestrator().sessions_max;
        agent.max_sessions.map_or(most, |own| own.min(most))
    }
}

fn figures(rows: &[RunRow]) -> Figures {
    let of = |statuses: &[Status]| rows.iter().filter(|row| statuses.contains(&row.status)).count();
    let completed = of(&[Status::Completed]);
    let failed = of(&[Status::Failed, Status::TimedOut, Status::Blocked]);
    let took = |row: &RunRow| Some(row.ended_at?.0 - row.id.born().0).filter(|_| row.status == Status::Completed);
    let mut took: Vec<i64> = rows.iter().filter_map(took).collect();
    took.sort_unstable();
    let at = |share: usize| took.get((took.len() * share).div_ceil(100).saturating_sub(1)).copied();
    Figures {
        tasks: rows.len(),
        completed,
        failed,
        success_rate: (completed + failed > 0).then(|| completed as f64 / (completed + failed) as f64),
        latency_ms: Latency { p50: at(50), p95: at(95), p99: at(99) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_engine::run::{Owner, RunId, RunNo, Time};

    fn row(n: i64, status: Status) -> RunRow {
        RunRow {
            run: RunNo(n),
            id: RunId::new(Time(1_000), [0; 10]),
            workflow: task::NAME.into(),
            version: 1,
            owner: Owner::local(),
            priority: 5,
            parent: None,
            session: None,
            status,
            due_at: None,
            ended_at: (!status.is_open()).then_some(Time(1_000 + n)),
            is_elsewhere: false,
        }
    }

    #[test]
    fn figures_count_what_ended_by_itself() {
        assert_eq!(figures(&[]), Figures::default());
        let mut rows: Vec<_> = (1..=99).map(|n| row(n, Status::Completed)).collect();
        rows.extend([row(500, Status::Failed), row(600, Status::Cancelled), row(700, Status::Running)]);
        let figures = figures(&rows);
        assert_eq!((figures.tasks, figures.completed, figures.failed), (102, 99, 1));
        assert_eq!(figures.success_rate, Some(0.99));
        assert_eq!(figures.latency_ms, Latency { p50: Some(50), p95: Some(95), p99: Some(99) });
    }
}
