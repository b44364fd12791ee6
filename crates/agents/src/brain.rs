//! A registered agent's inner graph: its models in the order in which they work, each with what it may use.

mod read;
pub(crate) mod run;

pub use read::{Config, named_agents};

use crate::condition::Condition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Articles, or passages, that a grounding gives where it says nothing.
const ARTICLES: u32 = 5;

/// See the module. Stored in runs: fields are only ever added, with defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Brain {
    /// Its models; the first works first.
    pub models: Vec<Model>,
    /// Who works after whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
}

/// A language model in a graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its component's id.
    pub id: String,
    /// Which; the provider's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// Something that a model may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// Only if this holds for what the model is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}

/// What a model may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A tool, by name.
    Tool(String),
    /// So many of the conversation's messages, and no more.
    Memory(Option<u32>),
    /// So many articles of the knowledge base.
    Grounding(u32),
    /// So many passages of the documents, which its answer cites.
    Documents(u32),
    /// Another agent, which it may ask.
    Agent(String),
}

/// One model works on what another one said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The one.
    pub from: String,
    /// The other.
    pub to: String,
    /// Only if this holds for what the one said. Of several links that apply the first is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}

impl Part {
    /// An agent that may always be asked.
    #[must_use]
    pub fn agent(name: &str) -> Self {
        Self { what: What::Agent(name.into()), when: None }
    }
}

impl What {
    /// Whether it is the agent of this name.
    #[must_use]
    pub fn is_agent(&self, name: &str) -> bool {
        matches!(self, Self::Agent(known) if known == name)
    }
}

impl Brain {
    /// The agents that some model may ask, each once.
    #[must_use]
    pub fn asks(&self) -> Vec<String> {
        let parts = self.models.iter().flat_map(|model| &model.parts);
        let mut names: Vec<_> = parts
            .filter_map(|part| match &part.what {
                What::Agent(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The shape of `brain_config` as a JSON Schema.
    #[must_use]
    pub fn schema() -> Value {
        let text = json!({"type": "string"});
        let component = json!({
            "type": "object", "required": ["id", "type"], "additionalProperties": false,
            "properties": {
                "id": text, "type": {"type": "string", "enum": read::TYPES.map(|(word, _)| word)},
                "ref": {"type": "string", "description": "The model, tool or agent that is meant; the id if absent. A model \
                    without it is the provider's default; memory knows `session`, grounding `articles` and `documents`."},
                "config": {"type": "object", "description": "model: max_tokens, temperature; memory: messages; grounding: limit."}
            }
        });
        let connection = json!({
            "type": "object", "required": ["from", "to"], "additionalProperties": false,
            "properties": {"from": text, "to": text, "when": crate::condition::schema()}
        });
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "persona": {"type": "object", "additionalProperties": false, "properties": {
                    "role": text, "expertise": {"anyOf": [text, {"type": "array", "items": text}]}, "personality": text}},
                "instructions": text,
                "reasoningPattern": {"type": "string", "default": "plain",
                    "enum": ["plain", "chain_of_thought", "react", "plan_and_execute", "reflection"]},
                "components": {"type": "array", "items": component},
                "connections": {"type": "array", "items": connection}
            }
        })
    }
}
