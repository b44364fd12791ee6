//! Agents that ask other agents while they work: one built-in tool, within the agents that a registration names, and only so
//! many generations deep.

use crate::agent::AgentDefinition;
use crate::model::{ToolCall, ToolSpec};
use crate::person::agree;
use crate::registry;
use crate::team::Member;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect, Retry};
use tutti_engine::{Ctx, Result};

/// The tool's name.
pub const NAME: &str = "ask_agent";
/// The workflow in which the other agent answers.
pub const WORKFLOW: &str = "agent_question";
/// So many agents may stand behind each other.
pub const DEPTH_MAX: u32 = 3;

/// What that workflow is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Who is asked, as it is now.
    pub agent: AgentDefinition,
    /// What.
    pub input: String,
    /// By whom.
    pub asked_by: String,
}

/// What a model is told about the tool; nothing where it may ask nobody.
pub(crate) fn spec(agent: &AgentDefinition) -> Option<ToolSpec> {
    if agent.asks.is_empty() {
        return None;
    }
    Some(ToolSpec {
        name: NAME.into(),
        description: "Asks another agent and gives its answer.".into(),
        parameters: json!({"type": "object", "required": ["agent", "question"], "additionalProperties": false, "properties": {
            "agent": {"type": "string", "enum": agent.asks},
            "question": {"type": "string", "description": "All that it needs to know: it hears nothing else."}}}),
    })
}

/// The other agent's answer, or what is in the way, for the model to read.
pub(crate) async fn ask(member: &Member, ctx: &Ctx, call: &ToolCall) -> Result<String> {
    let agent = &member.agent;
    let (name, question) = (call.arguments["agent"].as_str(), call.arguments["question"].as_str());
    let known = || format!("agent must be one of: {}.", agent.asks.join(", "));
    let Some(name) = name.filter(|name| agent.asks.iter().any(|known| known == name)) else { return Ok(known()) };
    let Some(question) = question.filter(|text| !text.trim().is_empty()) else {
        return Ok("question must not be empty.".into());
    };
    if ctx.depth() >= DEPTH_MAX {
        return Ok(format!("Agents may ask each other at most {DEPTH_MAX} deep. Answer without {name}."));
    }
    if let Some(approve) = member.rules.approve.as_ref().filter(|a| a.names(NAME) || a.names(name)) {
        let request =
            json!({"act": format!("a question to agent {name:?}"), "agent": member.name(), "question": question});
        if let Err(refused) = agree(ctx, "approve", request, &approve.patience).await {
            return Ok(refused.to_string());
        }
    }
    let found = match find(ctx, agent, name, member.rules.asking.retry).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(format!("The agent {name} cannot be asked now.")),
        Err(e) => return Ok(e.to_string()),
    };
    let question = Question { agent: found, input: question.into(), asked_by: member.name().into() };
    // The asker needs something to answer with, too.
    let run = ctx.child("run", WORKFLOW, &question).agent(name).allot(2, None);
    match run.await {
        Ok(output) => {
            let value = output.pointer("/output/value").cloned().unwrap_or(output);
            Ok(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
        }
        Err(e) => Ok(format!("{name} failed: {e}")),
    }
}

/// Whom an agent means by a name: a registered agent that takes work, or one of the configuration.
///
/// # Errors
/// The registry does not answer.
pub async fn find(ctx: &Ctx, asker: &AgentDefinition, name: &str, retry: Retry) -> Result<Option<AgentDefinition>> {
    let find = FindAgent { tenant: asker.tenant.clone().unwrap_or_default(), name: name.into() };
    ctx.call("find", find).retry(retry).agent(&asker.name).await
}

/// Who bears a name now; nobody where it does not take questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FindAgent {
    tenant: String,
    name: String,
}

impl Activity for FindAgent {
    type Output = Option<AgentDefinition>;
    const NAME: &'static str = "agent.find";
    const EFFECT: Effect = Effect::Pure;

    async fn run(self, _: ActivityCx) -> std::result::Result<Self::Output, ActivityError> {
        let failed =
            |e: &dyn std::fmt::Display| ActivityError::retry("AgentError", format!("the registry failed: {e}"));
        registry::find(&self.tenant, &self.name).await.map_err(|e| failed(&e))
    }
}
