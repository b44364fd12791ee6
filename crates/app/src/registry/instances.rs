//! Instances: where an agent lives, and whether it still does.

use super::read::read_endpoint;
use super::{read_name, unknown};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::{App, Stamp};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tutti_agents::form::{Errors, Form};
use tutti_agents::registry::{self, Agent, INSTANCE, Instance, Protocol, instance_name};
use tutti_engine::ports::records::Expect;
use tutti_engine::run::Time;

/// An instance that nobody declared and that has been silent for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// A sign of life that follows another one so soon is not written.
const HEARD_EVERY: Duration = Duration::from_secs(5);

/// An instance for people.
#[derive(Debug, Clone, Serialize)]
pub struct InstanceView {
    /// Its name.
    pub instance_id: String,
    /// The agent's, or `stopped` by itself, or `silent` where it has not been heard of in time.
    pub status: &'static str,
    /// Where it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When it was heard of last.
    pub last_heartbeat: Option<Stamp>,
    /// Sessions that are at work there.
    pub sessions: usize,
}

/// What an instance is told when it says that it lives.
#[derive(Debug, Serialize)]
pub struct Heard {
    /// The agent.
    pub agent_id: String,
    /// The instance.
    pub instance_id: String,
    /// Where the agent stands.
    pub status: &'static str,
    /// Now.
    pub last_heartbeat: Stamp,
    /// After so many seconds of silence it gets no more work.
    pub timeout_seconds: f64,
}

/// Where work may be done.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub instance: Instance,
    pub is_silent: bool,
}

impl Place {
    /// Whether it gets new work.
    pub fn is_open(&self) -> bool {
        !self.is_silent && !self.instance.is_stopped
    }

    pub fn view(&self, agent: &Agent, sessions: usize) -> InstanceView {
        let Instance { instance_id, endpoint, heard_at, is_stopped } = self.instance.clone();
        let status = match (is_stopped, self.is_silent) {
            (true, _) => "stopped",
            (_, true) => "silent",
            _ => agent.state.as_str(),
        };
        InstanceView { instance_id, status, endpoint, last_heartbeat: heard_at.map(Stamp), sessions }
    }
}

impl App {
    /// Every instance of an agent: those of its registration first, then those that have spoken for themselves. An agent that
    /// does not come for its work has at least one.
    pub(super) async fn places(&self, tenant: &str, agent: &Agent) -> Result<Vec<Place>, Failure> {
        let (now, silence) = (self.engine().now(), self.orchestrator().silence);
        let prefix = format!("{}/", agent.agent_id);
        let kept = registry::list::<Instance>(self.records(), INSTANCE, tenant, &prefix).await?;
        let mut kept: Vec<Instance> = kept.into_iter().map(|(_, kept)| kept.value).collect();
        let mut all = Vec::new();
        let declared = agent.instances.iter().map(|spec| (spec.instance_id.clone(), spec.endpoint.clone()));
        let mut declared: Vec<_> = declared.collect();
        if declared.is_empty() && kept.is_empty() && agent.protocol() != Protocol::Queue {
            declared.push((format!("{}-1", agent.agent_id), None));
        }
        for (instance_id, endpoint) in declared {
            let found = kept.iter().position(|instance| instance.instance_id == instance_id).map(|at| kept.remove(at));
            let found = found.unwrap_or(Instance { instance_id, ..Instance::default() });
            all.push(Instance { endpoint: found.endpoint.clone().or(endpoint), ..found });
        }
        for instance in kept {
            if instance.heard_at.is_some() && !instance.is_heard(now, FORGOTTEN_AFTER.max(silence)) {
                let name = instance_name(&agent.agent_id, &instance.instance_id);
                self.records().delete(INSTANCE, tenant, &name, Expect::Any).await?;
            } else {
                all.push(instance);
            }
        }
        let place = |instance: Instance| Place { is_silent: instance.is_silent(now, silence), instance };
        Ok(all.into_iter().map(place).collect())
    }

    /// Every instance of an agent, without its sessions.
    pub(crate) async fn instances_of(&self, caller: &Caller, agent: &Agent) -> Result<Vec<InstanceView>, Failure> {
        Ok(self.places(&caller.tenant, agent).await?.iter().map(|place| place.view(agent, 0)).collect())
    }

    /// An instance says that it lives: `{agent_id, instance_id, endpoint?}`.
    ///
    /// # Errors
    /// `NotFound`, or wrong fields.
    pub async fn heartbeat(&self, caller: &Caller, body: &Value) -> Result<Heard, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).map(|form| {
            let (agent, instance) = (form.field("agent_id").required(), form.field("instance_id").required());
            let endpoint = read_endpoint(&form.field("endpoint"), &self.book());
            (read_name(&agent), read_name(&instance), endpoint)
        });
        let (agent_id, instance_id, endpoint) = errors.or(read).map_err(Failure::invalid)?;
        let (agent_id, instance_id) = (agent_id.unwrap_or_default(), instance_id.unwrap_or_default());
        let agent = self.settled_agent(caller, &agent_id).await?;
        let at = self.hear(&caller.tenant, &agent_id, &instance_id, endpoint).await?;
        Ok(Heard {
            agent_id,
            instance_id,
            status: agent.state.as_str(),
            last_heartbeat: Stamp(at),
            timeout_seconds: self.orchestrator().silence.as_secs_f64(),
        })
    }

    /// Writes that an instance was heard of.
    pub(crate) async fn hear(
        &self,
        tenant: &str,
        agent_id: &str,
        instance_id: &str,
        endpoint: Option<String>,
    ) -> Result<Time, Failure> {
        let (now, silence) = (self.engine().now(), self.orchestrator().silence);
        let mut is_new = false;
        let hear = |instance: &mut Instance| {
            is_new = instance.heard_at.is_none() || instance.is_silent(now, silence);
            let is_soon = instance.is_heard(now, HEARD_EVERY.min(silence / 4));
            let has_moved = endpoint.is_some() && instance.endpoint != endpoint;
            instance.heard_at = Some(now);
            instance.endpoint = endpoint.clone().or_else(|| instance.endpoint.take());
            !is_soon || has_moved
        };
        registry::change_instance(self.records(), tenant, (agent_id, instance_id), now, hear).await?;
        if is_new {
            registry::poke();
        }
        Ok(now)
    }

    /// Gives an instance no more work, or work again; false where that is so already.
    pub(super) async fn stop_instance(
        &self,
        caller: &Caller,
        agent: &Agent,
        instance_id: &str,
        is_stopped: bool,
    ) -> Result<bool, Failure> {
        let places = self.places(&caller.tenant, agent).await?;
        if places.iter().all(|place| place.instance.instance_id != instance_id) {
            let mut failure = unknown(&agent.agent_id);
            failure.message = format!("agent {} has no instance of that id", agent.agent_id);
            return Err(failure);
        }
        let stop = |instance: &mut Instance| std::mem::replace(&mut instance.is_stopped, is_stopped) != is_stopped;
        let (which, now) = ((agent.agent_id.as_str(), instance_id), self.engine().now());
        if !registry::change_instance(self.records(), &caller.tenant, which, now, stop).await? {
            return Ok(false);
        }
        registry::poke();
        Ok(true)
    }
}
