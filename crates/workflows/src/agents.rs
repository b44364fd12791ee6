//! What agents do beside their tasks: start, answer each other, wait for their workers.

use crate::outcome::{Ending, Outcome, StoppedBy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_agents::ask::{self, Question};
use tutti_agents::factory::{AskHook, Hooks};
use tutti_agents::job::{self, Job};
use tutti_agents::registry::Settle;
use tutti_agents::team::{Asking, Message, Rules, Team};
use tutti_agents::turn::Turn;
use tutti_engine::{Ctx, Error, Registry, Result};

/// The workflow that makes an agent.
pub const START: &str = "agent_start";

/// What it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Whose agent.
    pub tenant: String,
    /// Which.
    pub agent_id: String,
    /// Which start of it.
    pub token: String,
    /// What was registered.
    pub registration: Value,
    /// Who makes it.
    pub hooks: Hooks,
}

/// Adds them to a registry. A worker may be silent for `silence` before its job is given to another one.
#[must_use]
pub fn register(registry: Registry, asking: &Asking, silence: Duration) -> Registry {
    let (starting, answering, retry) = (asking.clone(), asking.clone(), asking.retry);
    let registry = registry.with(START, 1, move |ctx: Ctx, input: Start| {
        let asking = starting.clone();
        async move { Box::pin(start(ctx, input, asking)).await }
    });
    let registry = registry.with(ask::WORKFLOW, 1, move |ctx: Ctx, question: Question| {
        let asking = answering.clone();
        async move { Box::pin(answer(ctx, question, asking)).await }
    });
    registry.with(job::WORKFLOW, 1, move |ctx: Ctx, job: Job| async move {
        Box::pin(job::offer(&ctx, &job, retry, silence)).await
    })
}

/// Asks the hooks, and says what came of it.
async fn start(ctx: Ctx, input: Start, asking: Asking) -> Result<()> {
    let made = make(&ctx, &input, &asking).await;
    let Start { tenant, agent_id, token, .. } = input;
    let outcome = made.clone().map_err(|e| e.to_string());
    let settled = ctx.call("settle", Settle { tenant, agent_id, token, outcome }).retry(asking.retry).await?;
    made?;
    settled.map_or(Ok(()), |why| Err(Error::workflow("AgentError", why)))
}

/// Where the agent was put, if somewhere else.
async fn make(ctx: &Ctx, input: &Start, asking: &Asking) -> Result<Option<String>> {
    let hooks = [
        ("instantiate", "the brain factory", &input.hooks.brain_factory, "agents"),
        ("deploy", "the deployment pipeline", &input.hooks.pipeline, "deployments"),
    ];
    let (mut registration, mut put) = (input.registration.clone(), None);
    for (step, service, base, path) in hooks {
        let Some(base) = base else { continue };
        let url = format!("{}/{path}", base.trim_end_matches('/'));
        let hook = AskHook { service: service.into(), url, registration: registration.clone() };
        let made = ctx.call(step, hook).retry(asking.retry).timeout(asking.http_timeout).await?;
        if let Some(endpoint) = made.endpoint {
            // The pipeline is told what the factory said.
            registration["endpoint"] = json!(endpoint);
            put = Some(endpoint);
        }
    }
    Ok(put)
}

/// One agent answers another.
async fn answer(ctx: Ctx, question: Question, asking: Asking) -> Result<Outcome> {
    let context = json!({ "asked_by": question.asked_by });
    let rules = Rules { asking, approve: None, earlier: Vec::new(), context: Some(context) };
    let member = Team::new(Vec::new(), Vec::new(), rules).hire(question.agent);
    let said = [Message::input(question.input)];
    let answer = Box::pin(member.turn(&ctx.scope("agent", member.name()), Turn::of(&said))).await?;
    Ok(Ending::message(&answer.message, StoppedBy::Completed, 1).stored(true))
}
