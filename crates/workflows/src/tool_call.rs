//! One call of a tool, as a run: durable, bounded and readable like any other work.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_agents::team::Asking;
use tutti_agents::tool::{self, By, Pin};
use tutti_engine::{Ctx, Registry, Result};

/// The workflow's name.
pub const NAME: &str = "tool_call";

/// What it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Which tool.
    pub tool: String,
    /// The tool as it was when the run was accepted; none where it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// With what.
    pub arguments: Value,
}

/// Adds it to a registry.
#[must_use]
pub fn register(registry: Registry, asking: &Asking) -> Registry {
    let asking = asking.clone();
    registry.with(NAME, 1, move |ctx: Ctx, input: Input| {
        let asking = asking.clone();
        async move { run(&ctx, &input, &asking).await }
    })
}

/// Calls the tool and answers with its result.
async fn run(ctx: &Ctx, input: &Input, asking: &Asking) -> Result<Value> {
    let by = By { agent: None, asking, siblings: 1 };
    Box::pin(tool::call(ctx, &input.tool, input.pin.as_ref(), &input.arguments, by)).await
}
