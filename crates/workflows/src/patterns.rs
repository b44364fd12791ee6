//! The orchestration patterns: one list from which `GET /patterns`, the checks of a request, help and docs derive.

mod aggregate;
pub mod concurrent;
pub mod dynamic;
mod examples;
pub mod group_chat;
pub mod handoff;
pub(crate) mod job;
pub(crate) mod options;
pub mod plan;
pub(crate) mod request;
pub mod sequential;
mod speaker;
mod task;
pub mod termination;
mod trail;

pub use aggregate::Reducer;
pub use job::Job;
pub use request::{Checked, FinalAnswer, PatternInput, Shared, check_asked, read_limits};

use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use tutti_agents::agent::AgentBook;
pub use tutti_agents::condition;
use tutti_agents::form::{Errors, FieldError, Form};
use tutti_agents::team::Asking;
use tutti_engine::Registry;

/// Most agents in one team.
pub const AGENTS_MAX: usize = 64;
/// The longest time a run may be given, in seconds: a year.
pub const TIMEOUT_SECONDS_MAX: u32 = 31_536_000;
/// The highest `max_iterations`.
pub const ITERATIONS_MAX: u32 = 1_000;

/// One orchestration pattern.
pub struct Pattern {
    /// Its name, which is its workflow's name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// The JSON Schema of its options.
    pub options: fn() -> Value,
    /// A request that works, as `POST /orchestrate` takes it.
    pub example: fn() -> Value,
    /// Reads `input`, `agents` and `options`; what is wrong goes to the form's errors.
    pub check: fn(&Form<'_>, &Setting<'_>) -> Option<Checked>,
    /// Adds its workflow to a registry.
    pub register: fn(Registry, Asking) -> Registry,
}

/// Every pattern, by name.
pub const PATTERNS: &[Pattern] =
    &[concurrent::PATTERN, dynamic::PATTERN, group_chat::PATTERN, handoff::PATTERN, sequential::PATTERN];

/// Adds every pattern to a registry.
#[must_use]
pub fn register(registry: Registry, asking: &Asking) -> Registry {
    PATTERNS.iter().fold(registry, |registry, pattern| (pattern.register)(registry, asking.clone()))
}

/// The pattern of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Pattern> {
    PATTERNS.iter().find(|p| p.name == name)
}

/// What a request is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'s> {
    /// Agents that a request may name.
    pub agents: &'s AgentBook,
    /// `max_iterations` where the request says nothing.
    pub iterations_max: u32,
    /// How many patterns stand around this one.
    pub depth: usize,
    /// Gathers the names of agents that the request uses.
    pub named: Option<&'s RefCell<BTreeSet<String>>>,
    /// Gathers the names of tools that its agents list.
    pub tools: Option<&'s RefCell<BTreeSet<String>>>,
}

/// Checks a request by itself, for callers that have no form open.
///
/// # Errors
/// Everything that is wrong with it, with paths that begin at `body`.
pub fn check_value(pattern: &Pattern, value: &Value, setting: &Setting<'_>) -> Result<Checked, Vec<FieldError>> {
    let errors = Errors::default();
    let checked = Form::body(value, &errors).and_then(|form| (pattern.check)(&form, setting));
    errors.or(checked)
}

#[cfg(test)]
mod tests;
