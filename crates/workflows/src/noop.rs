//! A workflow of pure steps that do nothing: what the engine itself costs. `make bench` runs it; so can an operator.

use serde::{Deserialize, Serialize};
use tutti_engine::{Ctx, Registry, Result};

/// The workflow's name.
pub const NAME: &str = "noop";
/// Most steps in one run.
pub const STEPS_MAX: u32 = 10_000;

/// How many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 1 to [`STEPS_MAX`].
    pub steps: u32,
}

/// Takes the steps, one after the other.
///
/// # Errors
/// None of its own.
pub async fn run(ctx: Ctx, input: Input) -> Result<u32> {
    for _ in 0..input.steps.min(STEPS_MAX) {
        ctx.step("s", || ()).await?;
    }
    Ok(input.steps)
}

/// Adds it to a registry.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with(NAME, 1, run)
}
