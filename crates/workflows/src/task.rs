//! A task for a registered agent: it waits until an agent has a place for it, and then is the agent's turn.
//!
//! Which agent has a place is decided outside (`app::registry`), and told by a signal; the signal's once-key lets one decision
//! count. Until then the run is found by its label, so nothing else has to remember that it waits.

use crate::outcome::{Ending, Outcome, StoppedBy};
use crate::recall::earlier;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::agent::{AgentDefinition, Kind};
use tutti_agents::ask;
use tutti_agents::registry::Enter;
use tutti_agents::team::{Asking, Message, Rules, Team};
use tutti_agents::turn::{Route, Turn};
use tutti_engine::event::Kind as Event;
use tutti_engine::{Ctx, Error, Registry, Result};

/// The workflow's name.
pub const NAME: &str = "agent_task";
/// The label that says how far a task has come.
pub const STAGE: &str = "task_stage";
/// It waits for an agent.
pub const WAITS: &str = "waits";
/// An agent has it, or had it.
pub const SEATED: &str = "seated";
/// The label with the agent that has it.
pub const AGENT: &str = "task_agent";
/// The label with the agent that it is for, where it is for one.
pub const FOR: &str = "task_for";
/// The label with its conversation.
pub const SESSION: &str = "task_session";
/// The signal that gives it to an agent.
pub const SEAT: &str = "seat";

/// Agents that one task may pass through.
const HANDS_MAX: u32 = 5;

/// Who may do a task: all that is named must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// This agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Agents of this domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Agents that can do this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
}

/// What a task's run is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// What kind of task it is.
    pub task_type: String,
    /// The task itself.
    pub task_data: Value,
    /// Who may do it.
    pub target: Target,
}

/// Who does a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seat {
    /// The agent.
    pub agent_id: String,
    /// Which of its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The agent as it is now, so that a later change does not touch the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentDefinition>,
    /// Why nobody does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Input {
    /// The task as language models read it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("Task: {}\n\n{:#}", self.task_type, self.task_data)
    }

    fn data(&self) -> Value {
        json!({"task_type": self.task_type, "task_data": self.task_data})
    }
}

/// Adds it to a registry.
#[must_use]
pub fn register(registry: Registry, asking: &Asking) -> Registry {
    let asking = asking.clone();
    registry.with(NAME, 1, move |ctx: Ctx, input: Input| {
        let asking = asking.clone();
        async move { Box::pin(run(ctx, input, asking)).await }
    })
}

async fn run(ctx: Ctx, input: Input, asking: Asking) -> Result<Outcome> {
    // It was born with this label; a task that ends before it got an agent must not be found by it any more.
    ctx.label_while_open(STAGE, WAITS);
    ctx.call("enter", Enter {}).retry(asking.retry).await?;
    let seat = ctx.wait_for::<Seat>(SEAT, None).await?;
    ctx.label(STAGE, SEATED);
    let Some(Seat { agent_id, instance_id, agent, refused }) = seat else {
        return Err(Error::workflow("AgentError", "no agent took the task"));
    };
    let Some(agent) = agent else {
        let why = refused.unwrap_or_else(|| format!("agent {agent_id} does not take the task"));
        return Err(Error::workflow("AgentError", why));
    };
    ctx.label(AGENT, agent_id);
    let context =
        json!({"task_id": ctx.run_id().0.to_string(), "task_type": input.task_type, "instance_id": instance_id});
    let rules = Rules { asking, approve: None, earlier: earlier(&ctx), context: Some(context) };
    let team = Team::new(Vec::new(), Vec::new(), rules.clone());
    let question = Message { value: Some(input.data()), ..Message::input(input.text()) };
    hand_on(&ctx, &team, &rules.asking, agent, question).await
}

/// The agent's turn, and those of the agents that it hands the task to.
async fn hand_on(
    ctx: &Ctx,
    team: &Team,
    asking: &Asking,
    first: AgentDefinition,
    question: Message,
) -> Result<Outcome> {
    let (mut agent, mut heard) = (first, vec![question]);
    for hands in 1..=HANDS_MAX {
        // A language model asks others for itself; whoever cannot may hand the task to them.
        let may_hand = agent.kind != Kind::Llm && hands < HANDS_MAX;
        let routes: Vec<Route> = agent
            .routes
            .iter()
            .filter(|_| may_hand)
            .map(|to| Route { to: to.clone(), description: String::new() })
            .collect();
        let member = team.hire(agent.clone());
        let scope = ctx.scope("agent", member.name());
        let turn = Turn { said: &heard, handoffs: &routes, ..Turn::default() };
        let said = Box::pin(member.turn(&scope, turn)).await?;
        let Some(handoff) = said.handoff else {
            return Ok(Ending::message(&said.message, StoppedBy::Completed, hands).stored(ctx.depth() > 0));
        };
        ctx.emit(Event::Handoff, &json!({"from": agent.name, "to": handoff.to, "reason": handoff.reason}));
        if !said.message.text.is_empty() {
            heard.insert(0, said.message);
        }
        let next = ask::find(&scope, &agent, &handoff.to, asking.retry).await?;
        let gone = || {
            Error::workflow(
                "AgentError",
                format!("{} handed the task to {}, who takes no work now", agent.name, handoff.to),
            )
        };
        agent = next.ok_or_else(gone)?;
    }
    Err(Error::workflow("AgentError", format!("the task was handed on {HANDS_MAX} times and nobody did it")))
}
