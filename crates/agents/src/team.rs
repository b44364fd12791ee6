//! A team at work: its members, what they are asked, what they answer.

use crate::agent::AgentDefinition;
use crate::model::{Chat, ChatMessage, ChatReply, ChatRequest, ProviderRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_engine::activity::Retry;
use tutti_engine::{Ctx, Result, Traces};

/// How members are asked: settings of the process, not of the run.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Which provider answers.
    pub provider: ProviderRef,
    /// How often and when a failed call is repeated.
    pub retry: Retry,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Where a text comes from: text is stored once, everything else points at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The run's input.
    Input,
    /// The answer of the step with this key.
    Step(String),
}

/// Something said within a team.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who said it; nobody for the run's input.
    pub from: Option<String>,
    /// What was said.
    pub text: String,
    /// Where it is stored.
    pub source: Source,
}

impl Message {
    /// The run's input.
    #[must_use]
    pub fn input(text: impl Into<String>) -> Self {
        Self { from: None, text: text.into(), source: Source::Input }
    }
}

/// One agent of a team.
#[derive(Debug, Clone)]
pub struct Member {
    agent: AgentDefinition,
    asking: Asking,
}

/// Agents that work on one thing together.
#[derive(Debug, Clone)]
pub struct Team {
    members: Vec<Member>,
}

impl Team {
    /// The team of a request.
    #[must_use]
    pub fn new(agents: Vec<AgentDefinition>, asking: &Asking) -> Self {
        Self { members: agents.into_iter().map(|agent| Member { agent, asking: asking.clone() }).collect() }
    }

    /// Its members, in order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Member {
    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.agent.name
    }

    /// Asks the agent, as step `ask` of the given scope. Its answer is journaled as `agent.message`.
    ///
    /// # Errors
    /// The model failed for good; the error names the step and the agent.
    pub async fn ask(&self, ctx: &Ctx, said: &[Message]) -> Result<Message> {
        let sources: Vec<_> = said.iter().map(|m| &m.source).collect();
        let chat = Chat { provider: self.asking.provider.clone(), request: self.request(said) };
        let call = ctx
            .call("ask", chat)
            .retry(self.asking.retry)
            .timeout(self.asking.timeout)
            .traces(Traces::Agent)
            .agent(self.name())
            .about(&json!({ "input_from": sources }));
        let reply = Box::pin(call).await?;
        let step = if ctx.path().is_empty() { "ask".to_owned() } else { format!("{}/ask", ctx.path()) };
        Ok(Message { from: Some(self.agent.name.clone()), text: text_of(&reply), source: Source::Step(step) })
    }

    fn request(&self, said: &[Message]) -> ChatRequest {
        let mut messages = vec![ChatMessage::system(self.agent.instructions.clone())];
        messages.extend(said.iter().map(|message| match &message.from {
            // Alone, it is the task itself, whoever it comes from.
            Some(name) if said.len() > 1 => ChatMessage::user(format!("{name} said:\n{}", message.text)),
            _ => ChatMessage::user(message.text.clone()),
        }));
        ChatRequest {
            model: self.agent.model.clone(),
            messages,
            output_schema: self.agent.output_schema.clone(),
            ..ChatRequest::default()
        }
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
