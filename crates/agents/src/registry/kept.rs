//! What is kept of an agent.

use crate::agent::{AgentDefinition, Kind, Persona, Reasoning};
use crate::brain::{Brain, Config, Model, Part};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_engine::run::Time;

/// How an agent is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// It runs here.
    #[default]
    Builtin,
    /// With a `POST` to its endpoint.
    Http,
    /// Over A2A.
    A2a,
    /// It comes for its work.
    Queue,
}

impl Protocol {
    /// The word in requests and answers; an agent that runs here has none.
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Builtin => None,
            Self::Http => Some("http"),
            Self::A2a => Some("a2a"),
            Self::Queue => Some("queue"),
        }
    }

    /// Whether it is called at an address.
    #[must_use]
    pub fn has_endpoint(self) -> bool {
        matches!(self, Self::Http | Self::A2a)
    }
}

/// Where an agent stands in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Known, and not started.
    #[default]
    Registered,
    /// Being made.
    Starting,
    /// Takes tasks.
    Running,
    /// Finishes what it has.
    Stopping,
    /// Takes nothing.
    Stopped,
    /// Could not be made.
    Failed,
}

impl State {
    /// Every state with its word.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("registered", Self::Registered),
        ("starting", Self::Starting),
        ("running", Self::Running),
        ("stopping", Self::Stopping),
        ("stopped", Self::Stopped),
        ("failed", Self::Failed),
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, state)| *state == self).map_or("registered", |(word, _)| word)
    }

    /// Whether new work may be given to it, at once or once it has started.
    #[must_use]
    pub fn takes_work(self) -> bool {
        matches!(self, Self::Registered | Self::Starting | Self::Running)
    }
}

/// An instance that a registration names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its name.
    pub instance_id: String,
    /// Where it is asked; the agent's endpoint if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name in its tenant.
    pub agent_id: String,
    /// For people.
    pub agent_name: String,
    /// What it is for.
    pub domain: String,
    /// What it can do, in words that tasks ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// What it is good for, for those who choose among agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// As it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brain_config: Option<Value>,
    /// Who it speaks as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona: Option<Persona>,
    /// What it should do, beyond that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// How it goes about its work.
    #[serde(default)]
    pub reasoning: Reasoning,
    /// Its graph.
    #[serde(default)]
    pub brain: Brain,
    /// The operator's own number of its deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// How it is asked.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where the hooks have put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<String>,
    /// Agents that it may ask, or hand its work to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Its instances, where it names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceSpec>,
    /// Most sessions at once, within what the operator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Where it stands.
    pub state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The start that goes on: the once-key of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who registered it.
    pub registered_by: String,
    /// When.
    pub registered_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
}

impl Agent {
    /// Takes over what a `brain_config` says.
    pub fn think(&mut self, config: Config) {
        (self.persona, self.instructions) = (config.persona, config.instructions);
        (self.reasoning, self.brain) = (config.reasoning, config.brain);
    }

    /// The agent as it is asked, at an instance's own address where it has one.
    #[must_use]
    pub fn definition(&self, tenant: &str, endpoint: Option<&str>) -> AgentDefinition {
        let kind = match self.protocol() {
            Protocol::Builtin => Kind::Llm,
            Protocol::Http => Kind::Http,
            Protocol::A2a => Kind::A2a,
            Protocol::Queue => Kind::Queue,
        };
        let usual = || Persona { role: self.agent_name.clone(), expertise: self.domain.clone(), ..Persona::default() };
        let mut brain = self.brain.clone();
        if brain.models.is_empty() {
            brain.models.push(Model::default());
        }
        for model in &mut brain.models {
            // Routes are open to every model.
            let routes = self.routes.iter().filter(|name| !model.parts.iter().any(|part| part.what.is_agent(name)));
            let parts: Vec<_> = routes.map(|name| Part::agent(name)).collect();
            model.parts.extend(parts);
        }
        AgentDefinition {
            kind,
            description: Some(
                self.description.clone().unwrap_or_else(|| format!("{} ({})", self.agent_name, self.domain)),
            ),
            persona: self.persona.clone().or_else(|| Some(usual())),
            reasoning: self.reasoning,
            endpoint: endpoint.or(self.address()).filter(|_| kind != Kind::Llm).map(String::from),
            brain: (kind == Kind::Llm).then(|| Box::new(brain)),
            routes: self.routes.clone(),
            tenant: Some(tenant.into()),
            ..AgentDefinition::llm(&self.agent_id, &self.instructions)
        }
    }

    /// How it is asked now: one that hooks have put somewhere is asked there.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self.protocol {
            Protocol::Builtin if self.made_at.is_some() => Protocol::Http,
            protocol => protocol,
        }
    }

    /// Where it is asked, where it has one address.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.made_at.as_deref().or(self.endpoint.as_deref())
    }

    /// What hooks are sent: the registration in the contract's words.
    #[must_use]
    pub fn registration(&self) -> Value {
        json!({
            "agent_id": self.agent_id, "agent_name": self.agent_name, "domain": self.domain, "brain_config": self.brain_config,
            "deployment_id": self.deployment_id, "endpoint": self.endpoint, "protocol": self.protocol.as_str(),
            "capabilities": self.capabilities, "instances": self.instances, "max_sessions": self.max_sessions
        })
    }

    /// How its start went; false where another one, or none, goes on.
    pub(crate) fn settle_start(&mut self, token: &str, outcome: &Result<Option<String>, String>) -> bool {
        if self.state != State::Starting || self.token.as_deref() != Some(token) {
            return false;
        }
        self.token = None;
        match outcome {
            Ok(made_at) => {
                (self.state, self.error) = (State::Running, None);
                self.made_at.clone_from(made_at);
            }
            Err(why) => (self.state, self.error) = (State::Failed, Some(why.clone())),
        }
        true
    }
}
