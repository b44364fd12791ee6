//! Registered agents in requests that name agents: a name means the one that is defined inline, else the registered one, else one
//! of the configuration, else one that was found. Reading a request asks no store, so it is read once to see which names it uses, and again with the agents
//! that bear them. A request that names nobody costs nothing.

use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use std::cell::RefCell;
use std::collections::BTreeSet;
use tutti_agents::agent::{AgentBook, AgentDefinition};
use tutti_agents::registry::{Agent, Kept};
use tutti_agents::tool;
use tutti_workflows::patterns::Setting;

impl App {
    /// Reads a request with every agent that it may name.
    pub(crate) async fn with_agents<T>(
        &self,
        caller: &Caller,
        read: impl Fn(&Setting<'_>) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure>
    where
        T: Send,
    {
        let book = self.book();
        let (first, named, mut tools) = {
            let (named, tools) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
            let first = read(&Setting { named: Some(&named), tools: Some(&tools), ..self.setting(&book) });
            (first, named.into_inner(), tools.into_inner())
        };
        let mut agents = Vec::new();
        for name in named.iter().filter(|name| super::is_name(name)) {
            if let Some(Kept { value: agent, .. }) = self.kept_agent(caller, name).await? {
                let agent = self.usable(caller, &agent).await?;
                tools.extend(agent.1.iter().flat_map(AgentDefinition::tool_names));
                agents.push(agent);
            }
        }
        tools.retain(|name| tool::find(name).is_none());
        if agents.is_empty() && tools.is_empty() {
            return first;
        }
        let tools = self.tool_book(caller, &tools).await?;
        let book = AgentBook::clone(&book).with_known(agents).with_tools(tools);
        read(&self.setting(&book))
    }

    /// The agent as a request uses it, or what to say about one that takes no work.
    async fn usable(
        &self,
        caller: &Caller,
        agent: &Agent,
    ) -> Result<(String, Result<AgentDefinition, String>), Failure> {
        let id = agent.agent_id.clone();
        if !agent.state.takes_work() {
            return Ok((id.clone(), Err(format!("agent {id:?} is {}; start it first", agent.state.as_str()))));
        }
        let places = self.places(&caller.tenant, agent).await?;
        let sessions = self.sessions_of(&caller.tenant, &id).await?;
        let open = places.iter().filter(|place| place.is_open());
        let least = open.min_by_key(|place| sessions.at(&place.instance.instance_id));
        let endpoint = least.and_then(|place| place.instance.endpoint.clone());
        let definition = agent.definition(&caller.tenant, endpoint.as_deref());
        let lacks_address = agent.protocol().has_endpoint() && definition.endpoint.is_none();
        Ok((
            id.clone(),
            if lacks_address {
                Err(format!("agent {id:?} has not been deployed yet; start it first"))
            } else {
                Ok(definition)
            },
        ))
    }
}
