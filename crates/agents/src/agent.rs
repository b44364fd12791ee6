//! What an agent is.

mod read;

pub use crate::book::{AgentBook, Listed, Unconfigured};
pub(crate) use read::{REASONING, name_error};

use crate::brain::Brain;
use crate::tool::Pin;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most characters of an agent's name.
pub const NAME_CHARS_MAX: usize = 64;
/// Most characters of an agent's instructions.
pub const INSTRUCTIONS_CHARS_MAX: usize = 100_000;

/// What carries out an agent's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A language model with instructions.
    #[default]
    Llm,
    /// A service that is asked over HTTP.
    Http,
    /// A person, who is asked as approvals are.
    Human,
    /// Another workflow, run as a child: a nested pattern.
    Workflow,
    /// A service that is asked over A2A.
    A2a,
    /// Workers, who come for their work.
    Queue,
}

impl Kind {
    /// Whether it is asked at an address.
    #[must_use]
    pub fn has_endpoint(self) -> bool {
        matches!(self, Self::Http | Self::A2a)
    }
}

/// How a language model goes about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// It is asked and it answers.
    #[default]
    Plain,
    /// It thinks step by step before it answers.
    ChainOfThought,
    /// It says before each tool call why, and looks at the result before the next.
    React,
    /// It first writes a plan, then carries it out step by step, then answers.
    PlanAndExecute,
    /// It drafts, criticises its draft, and revises it.
    Reflection,
}

impl Reasoning {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Who a language model speaks as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// Its job, e.g. `senior card disputes clerk`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// What it knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expertise: String,
    /// How it speaks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub personality: String,
}

/// The workflow behind a member of kind [`Kind::Workflow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nested {
    /// The registered workflow, e.g. `concurrent`.
    pub workflow: String,
    /// Its checked input; what the member is asked takes the place of `input`.
    pub request: Value,
    /// The most it may spend, beside what is left of the outer budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<tutti_engine::Limits>,
}

impl Kind {
    fn is_llm(&self) -> bool {
        *self == Self::Llm
    }
}

/// An agent as written inline in a request, or under `[agents.NAME]` in the configuration file. Stored in a run's input:
/// fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentDefinition {
    /// Unique within a team.
    pub name: String,
    /// What carries out its work.
    #[serde(default, skip_serializing_if = "Kind::is_llm")]
    pub kind: Kind,
    /// Who it is and what it should do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// What it is good for, for those who choose among agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The model; the provider's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tools it may call, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The JSON Schema its answers must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Agents it may hand its work to, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Who it speaks as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona: Option<Persona>,
    /// How it goes about its work.
    #[serde(default, skip_serializing_if = "Reasoning::is_plain")]
    pub reasoning: Reasoning,
    /// Most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// For how long an answer of its model is given again to the very same question; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_seconds: Option<u32>,
    /// Where an `http` agent is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What a `workflow` agent runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Nested>,
    /// The graph of a registered agent, in the place of one model and its tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brain: Option<Box<Brain>>,
    /// Agents that it may ask while it works, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<String>,
    /// The tenant that registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its tools that are not built in, as they were when the run began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
}

impl AgentDefinition {
    /// An `llm` agent.
    pub fn llm(name: impl Into<String>, instructions: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Llm,
            instructions: instructions.into(),
            description: None,
            model: None,
            tools: Vec::new(),
            output_schema: None,
            routes: Vec::new(),
            persona: None,
            reasoning: Reasoning::Plain,
            max_tokens: None,
            temperature: None,
            cache_seconds: None,
            endpoint: None,
            nested: None,
            brain: None,
            asks: Vec::new(),
            tenant: None,
            pins: Vec::new(),
        }
    }
}
