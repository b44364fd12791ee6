//! Language models: the request and the reply in Tutti's own types, and the activity that asks.
//!
//! A dialect is one file below this one and one arm in [`dialect`]: it turns a [`ChatRequest`] into a [`ChatReply`] and
//! nothing else. What all dialects share (bounds, structured output, streaming) is in `chat.rs`.

mod anthropic;
mod body;
pub mod cache;
mod chat;
mod failure;
mod limit;
pub mod offer;
pub mod offline;
mod openai;
pub mod price;
pub mod provider;
mod route;
pub mod scripted;
pub mod tokens;

pub use chat::Chat;
pub use limit::Limits as RateLimits;
pub use price::{Price, Prices, bound};
pub use provider::{Kind as ModelKind, Provider, ProviderRef, Providers, install, installed, price};
pub use route::{Balance, Hop, Route};

use chat::{Call, Pieces};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_engine::activity::ActivityError;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The instructions.
    System,
    /// The person, or another agent, who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who says it.
    pub role: Role,
    /// What is said; may be empty beside tool calls.
    pub content: String,
    /// The speaker's name, where several share a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tools the assistant wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// A message without name or calls.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), name: None, tool_calls: Vec::new(), tool_call_id: None }
    }

    /// Instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A question.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// An answer given before.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of the tool call `id`.
    pub fn tool(id: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: Some(id.into()), ..Self::new(Role::Tool, content) }
    }

    /// The same message with its speaker's name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

/// A tool the model may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Name, `[A-Za-z0-9_-]{1,64}` for most providers.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id for this call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Arguments, not yet checked against the tool's schema.
    pub arguments: Value,
}

/// What a model is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model; `None` is the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Tools on offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// JSON Schema the answer has to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Most tokens of answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// For how long the answer may be given again to the very same question; 0 for never. Without it the provider's own rule holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_seconds: Option<u32>,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It was done.
    Stop,
    /// It reached `max_tokens`.
    Length,
    /// It wants tools called.
    ToolCalls,
    /// It, or its provider, refused.
    ContentFilter,
    /// Something this version has no word for.
    Other,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Whether the provider did not say, so these are a guess of four characters a token.
    pub estimated: bool,
    /// What it cost, in millionths of a US dollar, where the model's price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Nobody was asked: this is an earlier answer to the same question, and it used nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
}

impl Usage {
    /// A guess from the texts alone.
    #[must_use]
    pub fn estimate(request: &ChatRequest, text: &str, calls: &[ToolCall]) -> Self {
        let asked: usize =
            request.messages.iter().map(|m| m.content.chars().count() + calls_chars(&m.tool_calls)).sum();
        let offered: usize = request.tools.iter().map(|t| t.description.chars().count() + 16).sum();
        let answered = text.chars().count() + calls_chars(calls);
        Self {
            input_tokens: (asked + offered).div_ceil(4) as u64,
            output_tokens: answered.div_ceil(4) as u64,
            estimated: true,
            ..Self::default()
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            estimated: self.estimated || other.estimated,
            cost: self.cost.zip(other.cost).map(|(a, b)| a.saturating_add(b)).or(self.cost).or(other.cost),
            cached: self.cached && other.cached,
        }
    }
}

fn calls_chars(calls: &[ToolCall]) -> usize {
    calls.iter().map(|c| c.name.len() + c.arguments.to_string().len()).sum()
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// The answer's text; with an `output_schema`, the JSON as text.
    pub text: String,
    /// Tools it wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The answer as a value that fits `output_schema`, where one was asked for and no tool was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Why it stopped.
    pub finish: Finish,
    /// What it used.
    pub usage: Usage,
}

/// The list of dialects: who answers for which kind of provider.
async fn dialect(call: &Call<'_>, pieces: &mut Pieces) -> Result<ChatReply, ActivityError> {
    match &call.provider.kind {
        ModelKind::OpenAi => openai::chat(call, call.cx.outbound.as_ref(), pieces).await,
        ModelKind::Scripted(script) => openai::chat(call, script.as_ref(), pieces).await,
        ModelKind::Anthropic => anthropic::chat(call, pieces).await,
        ModelKind::Offline => offline::chat(call, pieces).await,
        // A route is asked hop by hop, before a dialect is chosen.
        ModelKind::Route(_) => {
            Err(ActivityError::fatal(failure::CLASS, "a route leads to another route; name providers in it"))
        }
    }
}
