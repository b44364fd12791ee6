//! The orchestration patterns: one list from which `GET /patterns`, the checks of a request, help and docs derive.

pub mod concurrent;
pub mod sequential;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use tutti_agents::agent::{AgentBook, AgentDefinition, Listed, NAME_CHARS_MAX};
use tutti_agents::form::{Errors, Field, FieldError, Form};
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
pub const PATTERNS: &[Pattern] = &[concurrent::PATTERN, sequential::PATTERN];

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
}

/// A request that may become a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The run's input: a [`PatternInput`] as JSON text.
    pub input: Vec<u8>,
    /// The run's bound in milliseconds, when its options name one.
    pub timeout_ms: Option<u64>,
    /// Agents of the team that are built in and lack a setting: the request is sound, this server cannot serve it now.
    pub unconfigured: Vec<String>,
}

/// A pattern's input as stored in the run's first entry. Fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "O: Serialize + DeserializeOwned + Default")]
pub struct PatternInput<O> {
    /// What the team is asked: a text, or any JSON.
    pub input: Value,
    /// The team, resolved when the run was accepted, so that a later change of configuration does not touch it.
    pub agents: Vec<AgentDefinition>,
    /// The pattern's own options.
    #[serde(default)]
    pub options: O,
    /// Most rounds.
    #[serde(default = "ten", skip_serializing_if = "is_ten")]
    pub max_iterations: u32,
}

impl<O> PatternInput<O> {
    /// The input as a text: itself, or its JSON.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.input {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

fn ten() -> u32 {
    10
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_ten(v: &u32) -> bool {
    *v == 10
}

/// Reads a whole pattern request; `read_options` reads what only this pattern knows, given the size of the team.
pub(crate) fn check<O: Serialize + DeserializeOwned + Default>(
    form: &Form<'_>,
    setting: &Setting<'_>,
    read_options: fn(&Form<'_>, usize) -> O,
) -> Option<Checked> {
    let (input, agents, unconfigured) = read_asked(form, setting.agents);
    let mut timeout_ms = None;
    let mut max_iterations = setting.iterations_max;
    let mut options = O::default();
    let given = form.field("options").form();
    if let Some(form) = &given {
        options = read_options(form, agents.len());
        timeout_ms = form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX);
        if let Some(n) = form.field("max_iterations").integer(1, ITERATIONS_MAX.into()) {
            max_iterations = u32::try_from(n).unwrap_or(ITERATIONS_MAX);
        }
        form.not_supported("budget", "budgets are");
        form.not_supported("approve", "approvals of agents and tools are");
        form.no_others();
    }
    let input = PatternInput { input: input?, agents, options, max_iterations };
    let input = serde_json::to_vec(&input).ok()?;
    Some(Checked { input, timeout_ms, unconfigured })
}

/// Reads what all patterns take, for a request that names no pattern there is: what is wrong with it is told all the same.
pub fn check_asked(form: &Form<'_>, agents: &AgentBook) {
    let _ = read_asked(form, agents);
}

fn read_asked(form: &Form<'_>, book: &AgentBook) -> (Option<Value>, Vec<AgentDefinition>, Vec<String>) {
    let input = read_input(&form.field("input").required());
    let mut unconfigured = Vec::new();
    let agents = read_team(&form.field("agents").required(), book, &mut unconfigured);
    (input, agents, unconfigured)
}

fn read_input(field: &Field<'_, '_>) -> Option<Value> {
    let value = field.value()?;
    if value.as_str().is_some_and(|text| text.trim().is_empty()) {
        field.fail("input must not be empty");
        return None;
    }
    Some(value.clone())
}

fn read_team(field: &Field<'_, '_>, book: &AgentBook, unconfigured: &mut Vec<String>) -> Vec<AgentDefinition> {
    let Some(list) = field.list(AGENTS_MAX) else { return Vec::new() };
    if list.is_empty() {
        field.fail("agents must name at least one agent");
    }
    let mut team: Vec<AgentDefinition> = Vec::new();
    for item in list.items() {
        let Some(agent) = read_member(&item, book, unconfigured) else { continue };
        if team.iter().any(|other| other.name == agent.name) {
            item.fail(format!("agent {:?} stands in the team twice; give each member a name of its own", agent.name));
        } else {
            team.push(agent);
        }
    }
    team
}

fn read_member(item: &Field<'_, '_>, book: &AgentBook, unconfigured: &mut Vec<String>) -> Option<AgentDefinition> {
    let value = item.value()?;
    if value.is_string() {
        let name = item.text(NAME_CHARS_MAX)?;
        match book.get(name) {
            Some(Listed::Ready(agent)) => return Some(agent.clone()),
            Some(Listed::Unconfigured(agent)) => unconfigured.push(agent.sentence()),
            None => item.fail(book.unknown(name)),
        }
        return None;
    }
    if !value.is_object() {
        item.fail("a member of a team is the name of an agent or an agent's definition");
        return None;
    }
    let form = item.form()?;
    let nested = form.field("pattern");
    if nested.is_present() {
        nested.fail("a pattern as a member of a team is not supported in this version; name an agent or define one");
        return None;
    }
    AgentDefinition::read(&form)
}

/// The JSON Schema of options: the pattern's own properties and those that all patterns share.
pub(crate) fn options_schema(own: Value) -> Value {
    let mut properties = json!({
        "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": TIMEOUT_SECONDS_MAX,
            "description": "The whole run's time; past it the run ends timed_out."},
        "max_iterations": {"type": "integer", "minimum": 1, "maximum": ITERATIONS_MAX, "default": 10,
            "description": "Most rounds. This pattern takes one."}
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
        all.extend(own);
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
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
