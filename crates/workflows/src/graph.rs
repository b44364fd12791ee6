//! Graphs: what agents, tools, conditions, loops and people do, as data that somebody wrote. One interpreter runs them all.

mod check;
pub mod definition;
pub mod draw;
mod expression;
mod interpret;
mod kinds;
mod read;
mod state;
mod work;

pub use definition::Graph;
pub use read::{Read, read, schema};

use crate::outcome::{Answer, Ending, Outcome, StoppedBy};
use crate::recall::{earlier, is_due, sum_up};
use interpret::Walker;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::{Around, State};
use std::cell::{Cell, RefCell};
use tutti_agents::agent::AgentDefinition;
use tutti_agents::team::{Asking, Rules, Team};
use tutti_engine::{Ctx, Registry, Result};

/// The workflow's name.
pub const NAME: &str = "graph";
/// The label with the graph's name.
pub const GRAPH: &str = "graph";

/// A graph's run as stored in its first entry. Fields are only ever added, with defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The graph as it was when the run was accepted.
    pub graph: Graph,
    /// Its agents, as they were then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentDefinition>,
    /// What it works on.
    #[serde(default)]
    pub input: Value,
    /// What is known already, where it is a part of another graph's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<State>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    around: Option<Around>,
}

impl Input {
    /// A run of a graph.
    #[must_use]
    pub fn new(graph: Graph, agents: Vec<AgentDefinition>, input: Value) -> Self {
        Self { graph, agents, input, before: None, around: None }
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
    let Input { graph, agents, input, before, around } = input;
    let rules = Rules { asking: asking.clone(), approve: graph.approve.clone(), earlier: earlier(&ctx), context: None };
    let team = Team::new(Vec::new(), agents, rules);
    if is_due(&ctx) {
        Box::pin(sum_up(&ctx, &team)).await;
    }
    let mut state = before.unwrap_or_else(|| State::new(&graph));
    let around = around.unwrap_or_else(|| Around { input, ..Around::default() });
    let walker =
        Walker { graph: &graph, team: &team, asking: &asking, entered: Cell::new(0), path: RefCell::default() };
    walker.walk(&ctx, &graph.start, &mut state, &around, false).await?;
    let output = match &graph.output {
        Some(template) => Answer::Value(expression::fill(template, &state.scope(&around)).map_err(interpret::failed)?),
        None => state.said.clone().map_or_else(|| Answer::Value(state.last.clone()), Answer::Message),
    };
    let steps = walker.entered.get();
    let outcome = Ending { output, stopped_by: StoppedBy::Completed, iterations: steps }.stored(ctx.depth() > 0);
    Ok(Outcome { path: walker.path.into_inner(), ..outcome })
}
