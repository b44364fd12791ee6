//! Starting and stopping agents. A start that asks somebody outside is a run of its own, so it ends, whoever crashes; an agent
//! that stops has stopped when nothing of it is left, and whoever looks at it first says so.

use super::{read_name, unknown};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::{App, json};
use serde_json::Value;
use tutti_agents::form::{Errors, Form};
use tutti_agents::registry::{self, AGENT, Agent, Kept, State};
use tutti_engine::run::{Once, Owner, Status, Submit};
use tutti_workflows::agents::{START, Start};

/// An agent, and one of its instances where only that is meant.
struct Named {
    agent_id: String,
    instance_id: Option<String>,
}

impl App {
    /// Starts an agent, or an instance of it: `{agent_id, instance_id?}`; says whether there was something to do.
    ///
    /// # Errors
    /// `NotFound`, or wrong fields.
    pub async fn start_agent(&self, caller: &Caller, body: &Value) -> Result<(super::AgentView, bool), Failure> {
        let named = read_named(body)?;
        let agent = self.settled_agent(caller, &named.agent_id).await?;
        let is_new = match &named.instance_id {
            Some(instance_id) => self.stop_instance(caller, &agent, instance_id, false).await?,
            None => self.begin_start(&caller.tenant, &caller.user, &named.agent_id).await?,
        };
        Ok((self.agent(caller, &named.agent_id).await?, is_new))
    }

    /// Stops an agent, which finishes what it has, or an instance of it: `{agent_id, instance_id?}`.
    ///
    /// # Errors
    /// `NotFound`, or wrong fields.
    pub async fn stop_agent(&self, caller: &Caller, body: &Value) -> Result<(super::AgentView, bool), Failure> {
        let named = read_named(body)?;
        let agent = self.settled_agent(caller, &named.agent_id).await?;
        let is_new = match &named.instance_id {
            Some(instance_id) => self.stop_instance(caller, &agent, instance_id, true).await?,
            None => {
                let stop = |agent: &mut Agent| match agent.state {
                    State::Stopping | State::Stopped => false,
                    // What has not begun has nothing to finish; a start that goes on counts no more.
                    State::Registered | State::Starting | State::Failed => {
                        (agent.state, agent.token) = (State::Stopped, None);
                        true
                    }
                    State::Running => {
                        agent.state = State::Stopping;
                        true
                    }
                };
                self.change_agent(&caller.tenant, &named.agent_id, stop).await?.1
            }
        };
        Ok((self.agent(caller, &named.agent_id).await?, is_new))
    }

    /// Starts an agent that does not run; false where it does, or is about to.
    pub(crate) async fn begin_start(&self, tenant: &str, user: &str, id: &str) -> Result<bool, Failure> {
        let hooks = &self.orchestrator().hooks;
        let token = uuid::Uuid::now_v7().to_string();
        let begin = |agent: &mut Agent| match agent.state {
            State::Starting | State::Running => false,
            // It has not stopped yet, so there is nothing to make.
            State::Stopping => {
                agent.state = State::Running;
                true
            }
            _ => {
                agent.error = None;
                agent.state = if hooks.is_empty() { State::Running } else { State::Starting };
                agent.token = (!hooks.is_empty()).then(|| token.clone());
                true
            }
        };
        let (agent, is_changed) = self.change_agent(tenant, id, begin).await?;
        if is_changed && agent.state == State::Starting {
            self.submit_start(tenant, user, &agent).await?;
        }
        Ok(is_changed)
    }

    /// The run that makes an agent; one for each token, however often it is asked for.
    async fn submit_start(&self, tenant: &str, user: &str, agent: &Agent) -> Result<(), Failure> {
        let Some(token) = agent.token.clone() else { return Ok(()) };
        let scope = start_scope(tenant, agent, &token);
        let start = Start {
            tenant: tenant.into(),
            agent_id: agent.agent_id.clone(),
            token,
            registration: agent.registration(),
            hooks: self.orchestrator().hooks.clone(),
        };
        let submit = Submit {
            owner: Owner { tenant: tenant.into(), user: user.into() },
            once: Some(Once { scope, body: scope }),
            ..Submit::new(START, serde_json::to_vec(&start).unwrap_or_default().into())
        };
        self.engine().submit(submit).await?;
        Ok(())
    }

    /// An agent as it stands, with what is over by now said.
    pub(crate) async fn settled_agent(&self, caller: &Caller, id: &str) -> Result<Agent, Failure> {
        let Some(Kept { value: agent, .. }) = self.kept_agent(caller, id).await? else { return Err(unknown(id)) };
        self.settle_agent(&caller.tenant, agent).await
    }

    /// Says that a start has failed whose run is over, or that a stop has come to its end.
    pub(crate) async fn settle_agent(&self, tenant: &str, agent: Agent) -> Result<Agent, Failure> {
        match agent.state {
            State::Starting => self.settle_start(tenant, agent).await,
            State::Stopping => self.settle_stop(tenant, agent).await,
            _ => Ok(agent),
        }
    }

    async fn settle_stop(&self, tenant: &str, agent: Agent) -> Result<Agent, Failure> {
        let id = agent.agent_id.clone();
        let is_done =
            self.sessions_of(tenant, &id).await?.busy() == 0 && self.waiting_for(tenant, &id).await?.is_empty();
        if !is_done {
            return Ok(agent);
        }
        let stopped = |agent: &mut Agent| {
            let is_stopping = agent.state == State::Stopping;
            if is_stopping {
                agent.state = State::Stopped;
            }
            is_stopping
        };
        Ok(self.change_agent(tenant, &id, stopped).await?.0)
    }

    async fn settle_start(&self, tenant: &str, agent: Agent) -> Result<Agent, Failure> {
        let Some(token) = agent.token.clone() else { return Ok(agent) };
        let scope = start_scope(tenant, &agent, &token);
        let Some((run, id, _)) = self.engine().store().born_with(scope).await? else {
            // Whoever began it did not come so far.
            self.submit_start(tenant, &agent.registered_by, &agent).await?;
            return Ok(agent);
        };
        let status = self.engine().store().run(run).await?.map(|row| row.status);
        let Some(status) = status.filter(|status| !status.is_open() && *status != Status::Completed) else {
            return Ok(agent);
        };
        // A run that ends by itself has said so; this one was stopped before it could.
        let why = format!("its start (run {id}) was {}", status.as_str().replace('_', " "));
        let failed = |agent: &mut Agent| {
            let is_mine = agent.state == State::Starting && agent.token.as_deref() == Some(token.as_str());
            if is_mine {
                (agent.state, agent.token, agent.error) = (State::Failed, None, Some(why.clone()));
            }
            is_mine
        };
        Ok(self.change_agent(tenant, &agent.agent_id, failed).await?.0)
    }

    async fn change_agent(
        &self,
        tenant: &str,
        id: &str,
        change: impl FnMut(&mut Agent) -> bool + Send,
    ) -> Result<(Agent, bool), Failure> {
        let changed = registry::change(self.records(), tenant, id, self.engine().now(), change).await?;
        changed.ok_or_else(|| unknown(id))
    }

    /// Every agent of a tenant, with what is over by now said.
    pub(super) async fn settled_agents(&self, tenant: &str) -> Result<Vec<Agent>, Failure> {
        let mut all = Vec::new();
        for (_, kept) in registry::list::<Agent>(self.records(), AGENT, tenant, "").await? {
            all.push(self.settle_agent(tenant, kept.value).await?);
        }
        Ok(all)
    }
}

fn start_scope(tenant: &str, agent: &Agent, token: &str) -> [u8; 16] {
    json::hash_parts(&["agent.start", tenant, &agent.agent_id, token])
}

fn read_named(body: &Value) -> Result<Named, Failure> {
    let errors = Errors::default();
    let read = Form::body(body, &errors).and_then(|form| {
        let agent_id = read_name(&form.field("agent_id").required());
        let instance = form.field("instance_id");
        let instance_id = if instance.is_present() { Some(read_name(&instance)?) } else { None };
        Some(Named { agent_id: agent_id?, instance_id })
    });
    errors.or(read).map_err(Failure::invalid)
}
