//! What can be run: the patterns with their options, the agents they may name, and every workflow.

use crate::App;
use serde_json::{Value, json};
use tutti_agents::agent::{AgentDefinition, Listed};
use tutti_workflows::patterns::{PATTERNS, find};

impl App {
    /// Each pattern with its description, the JSON Schema of its options, and an example.
    #[must_use]
    pub fn patterns(&self) -> Value {
        let known = PATTERNS.iter().filter(|p| self.knows(p.name));
        let items: Vec<_> = known
            .map(|p| json!({"name": p.name, "description": p.description, "options": (p.options)(), "example": (p.example)()}))
            .collect();
        json!({"items": items, "next_cursor": null, "agents": self.agents(), "agent": AgentDefinition::schema()})
    }

    /// Every workflow that a run may name.
    #[must_use]
    pub fn workflows(&self) -> Value {
        let items: Vec<_> = self
            .inner
            .versions
            .iter()
            .map(|(name, version)| {
                let pattern = find(name);
                let kind = if pattern.is_some() { "pattern" } else { "workflow" };
                json!({"name": name, "version": version, "kind": kind, "description": pattern.map(|p| p.description)})
            })
            .collect();
        json!({"items": items, "next_cursor": null})
    }

    fn agents(&self) -> Vec<Value> {
        let agents = self.inner.options.agents.list();
        let view = |agent: &Listed<'_>| match agent {
            Listed::Ready(a) => json!({"name": a.name, "description": a.description, "status": "ready"}),
            Listed::Unconfigured(a) => {
                json!({"name": a.name, "description": a.description, "status": "unconfigured", "needs": a.variables})
            }
        };
        agents.iter().map(view).collect()
    }
}
