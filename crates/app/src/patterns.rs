//! What can be run: the patterns with their options, the agents they may name, and every workflow.

use crate::{App, Caller, Failure, WINDOW_MESSAGES_MAX, WINDOW_TOKENS_MAX};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::agent::{AgentDefinition, Listed};
use tutti_agents::registry::{self, AGENT, Agent};
use tutti_workflows::patterns::{AGENTS_MAX, PATTERNS, find};

impl App {
    /// Each pattern with its description, the JSON Schema of its options, and an example.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn patterns(&self, caller: &Caller) -> Result<Value, Failure> {
        let known = PATTERNS.iter().filter(|p| self.knows(p.name));
        let items: Vec<_> = known
            .map(|p| json!({"name": p.name, "description": p.description, "options": (p.options)(), "example": (p.example)()}))
            .collect();
        let agents = self.agents(caller).await?;
        Ok(json!({"items": items, "next_cursor": null, "agents": agents, "agent": AgentDefinition::schema()}))
    }

    /// Every workflow that a run may name.
    #[must_use]
    pub fn workflows(&self) -> Value {
        let items: Vec<_> = self
            .nameable()
            .map(|(name, version)| {
                let pattern = find(name);
                let kind = if pattern.is_some() { "pattern" } else { "workflow" };
                json!({"name": name, "version": version, "kind": kind, "description": pattern.map(|p| p.description)})
            })
            .collect();
        json!({"items": items, "next_cursor": null})
    }

    /// The JSON Schema of what [`read_orchestrate`](Self::read_orchestrate) reads.
    #[must_use]
    pub fn orchestrate_schema(&self) -> Value {
        let known: Vec<_> = PATTERNS.iter().filter(|p| self.knows(p.name)).collect();
        let names: Vec<_> = known.iter().map(|p| p.name).collect();
        let options: Vec<_> = known.iter().map(|p| json!({"title": p.name, "allOf": [(p.options)()]})).collect();
        let examples: Vec<_> = known.iter().map(|p| (p.example)()).collect();
        json!({
            "type": "object", "required": ["pattern", "input", "agents"],
            "properties": {
                "pattern": {"type": "string", "enum": names},
                "input": {"description": "What the team is asked: a text, or any JSON."},
                "agents": {
                    "type": "array", "minItems": 1, "maxItems": AGENTS_MAX,
                    "items": {"anyOf": [
                        {"type": "string", "description": "The name of an agent."},
                        AgentDefinition::schema()
                    ]}
                },
                "session_id": {"type": "string", "minLength": 1, "maxLength": 200},
                "on_busy": Self::on_busy_schema(),
                "session": Self::session_schema(),
                "options": {"anyOf": options}
            },
            "examples": examples
        })
    }

    /// The JSON Schema of `brain_config`.
    #[must_use]
    pub fn brain_schema() -> Value {
        tutti_agents::brain::Brain::schema()
    }

    /// The JSON Schema of a tool.
    #[must_use]
    pub fn tool_schema() -> Value {
        tutti_agents::tool::Definition::schema()
    }

    /// The JSON Schema of `on_busy`.
    #[must_use]
    pub fn on_busy_schema() -> Value {
        json!({"type": "string", "enum": ["queue", "reject", "interrupt", "rollback", "parallel"], "default": "queue",
            "description": "When the session has another run: wait, be refused with 409, cancel it, cancel it and take its \
            turn back, or begin beside it."})
    }

    /// The JSON Schema of `session`.
    #[must_use]
    pub fn session_schema() -> Value {
        json!({"type": "object", "additionalProperties": false, "properties": {
            "window_messages": {"type": "integer", "minimum": 0, "maximum": WINDOW_MESSAGES_MAX,
                "description": "Most messages of the session that the run reads."},
            "window_tokens": {"type": "integer", "minimum": 0, "maximum": WINDOW_TOKENS_MAX,
                "description": "Most tokens of them, by estimate; whole turns only."},
            "compaction": {"type": "string", "enum": ["drop", "summary"], "default": "drop"},
            "release_while_waiting": {"type": "boolean", "default": false,
                "description": "Whether other runs of the session may go on while this one waits for a person."}}})
    }

    /// Every agent that a request may name: registered ones go before those of the configuration.
    async fn agents(&self, caller: &Caller) -> Result<Vec<Value>, Failure> {
        let registered = registry::list::<Agent>(self.records(), AGENT, &caller.tenant, "").await?;
        let book = self.book();
        let agents = book.list();
        let view = |agent: &Listed<'_>| match agent {
            Listed::Ready(a) => json!({"name": a.name, "description": a.description, "status": "ready"}),
            Listed::Unconfigured(a) => {
                json!({"name": a.name, "description": a.description, "status": "unconfigured", "needs": a.variables})
            }
        };
        let mut all: BTreeMap<String, Value> =
            agents.iter().map(|agent| (agent.name().to_owned(), view(agent))).collect();
        for (id, kept) in registered {
            let agent = kept.value;
            let about = agent.description.clone().unwrap_or_else(|| format!("{} ({})", agent.agent_name, agent.domain));
            all.insert(id.clone(), json!({"name": id, "description": about, "status": agent.state.as_str()}));
        }
        Ok(all.into_values().collect())
    }
}
