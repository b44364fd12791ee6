//! A team: its members, what they say to each other, and what holds for all of them.

use crate::agent::AgentDefinition;
use crate::model::{ChatReply, ProviderRef};
use crate::person::Approve;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;
use tutti_engine::activity::Retry;

/// How members are asked: settings of the process, not of the run.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Which provider answers.
    pub provider: ProviderRef,
    /// How often and when a failed call is repeated.
    pub retry: Retry,
    /// How long one call of a model may take.
    pub timeout: Duration,
    /// How long one call of an agent that is a service may take.
    pub http_timeout: Duration,
}

/// Where a text comes from: text is stored once, everything else points at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The run's input.
    Input,
    /// The answer of the step with this key.
    Step(String),
    /// An earlier turn of the conversation.
    History,
}

/// Something said within a team.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who said it; nobody for the run's input.
    pub from: Option<String>,
    /// What was said.
    pub text: String,
    /// The same as data, where it was said as data.
    pub value: Option<Value>,
    /// Where it is stored.
    pub source: Source,
}

impl Message {
    /// The run's input.
    #[must_use]
    pub fn input(text: impl Into<String>) -> Self {
        Self { from: None, text: text.into(), value: None, source: Source::Input }
    }

    /// What was said, as data where it is data.
    #[must_use]
    pub fn value(&self) -> Value {
        self.value.clone().unwrap_or_else(|| json!(self.text))
    }
}

/// What holds for every member of a team.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How members are asked.
    pub asking: Asking,
    /// Which of their acts a person must agree to.
    pub approve: Option<Approve>,
    /// What was said in the conversation before this run, oldest first.
    pub earlier: Vec<Message>,
    /// What agents that are services are told besides.
    pub context: Option<Value>,
}

/// One agent of a team.
#[derive(Debug, Clone)]
pub struct Member {
    pub(crate) agent: Rc<AgentDefinition>,
    pub(crate) rules: Rc<Rules>,
}

/// Agents that work on one thing together.
#[derive(Debug, Clone)]
pub struct Team {
    members: Vec<Member>,
    /// Agents that stand by: stand-ins, judges, managers.
    others: Vec<Member>,
    rules: Rc<Rules>,
}

impl Team {
    /// The team of a request.
    #[must_use]
    pub fn new(agents: Vec<AgentDefinition>, others: Vec<AgentDefinition>, rules: Rules) -> Self {
        let rules = Rc::new(rules);
        let hire = |agents: Vec<AgentDefinition>| {
            agents.into_iter().map(|agent| Member { agent: Rc::new(agent), rules: Rc::clone(&rules) }).collect()
        };
        Self { members: hire(agents), others: hire(others), rules }
    }

    /// Its members, in order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member, or one that stands by, by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().chain(&self.others).find(|member| member.name() == name)
    }

    /// The definitions of all members, and of all that stand by.
    pub fn all(&self) -> impl Iterator<Item = &AgentDefinition> {
        self.members.iter().chain(&self.others).map(|member| &*member.agent)
    }

    /// A team of some of these members, with the same agents standing by.
    #[must_use]
    pub fn of(&self, names: &[String]) -> Self {
        let members = names.iter().filter_map(|name| self.find(name)).cloned().collect();
        Self { members, others: self.others.clone(), rules: Rc::clone(&self.rules) }
    }

    /// An agent that the request did not name but the team needs, under the same rules.
    #[must_use]
    pub fn hire(&self, agent: AgentDefinition) -> Member {
        Member { agent: Rc::new(agent), rules: Rc::clone(&self.rules) }
    }
}

impl Member {
    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.agent.name
    }

    /// What it is good for, as those who choose among agents are told.
    #[must_use]
    pub fn about(&self) -> &str {
        let first = || self.agent.instructions.split(['\n', '.']).next().unwrap_or_default();
        self.agent.description.as_deref().unwrap_or_else(first)
    }

    /// The agents that its definition lets it hand work to.
    #[must_use]
    pub fn routes(&self) -> &[String] {
        &self.agent.routes
    }
}

/// What a reply says: its text, or its structured output as JSON.
#[must_use]
pub fn text_of(reply: &ChatReply) -> String {
    match &reply.output {
        Some(output) if reply.text.is_empty() => output.to_string(),
        _ => reply.text.clone(),
    }
}

/// What a reply, as journaled, is worth as a value: structured where the agent has a schema, else its text.
#[must_use]
pub fn value_of(reply: &Value, streamed: Option<&str>) -> Value {
    match reply.get("output") {
        Some(output) if !output.is_null() => output.clone(),
        _ => streamed.map_or_else(|| reply.get("text").cloned().unwrap_or(Value::Null), |text| json!(text)),
    }
}
