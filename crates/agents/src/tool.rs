//! Tools: what an agent's model may call. Built-in ones compute and touch nothing; the others are data, registered or from the
//! operator's file, each of a kind that has a file here.
//!
//! What a model is told of a tool is pinned in the run's input ([`Pin`]), so a replay tells it the same. How a call is made, and with
//! which secrets, is looked up when it is made.

mod answer;
mod book;
mod calculate;
mod calendar;
pub mod code;
mod definition;
mod http;
mod mcp;
mod openapi;
pub mod presets;
mod retrieve;
mod secret;
mod sets;
pub mod shelf;
mod template;
mod web_search;

pub use book::{Shelved, ToolBook, named_tools};
pub use definition::{
    Definition, Draft, Part, Reading, SEPARATOR, TIMEOUT_SECONDS_MAX, addresses, record_name, unknown,
};
pub use mcp::close;
pub use openapi::GIVEN;
pub use secret::{HIDDEN, Keys, named as named_secrets};
pub use sets::trouble;

use crate::agent::{AgentDefinition, Nested};
use crate::model::ToolSpec;
use crate::team::Asking;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect, Next};
use tutti_engine::{Ctx, Result, Traces};

/// What models call a set's tool: the set's name and its own, of letters, digits, `_` and `-`, at most 64, and no other's.
fn part_name(set: &str, own: &str, taken: &mut BTreeSet<String>) -> String {
    /// Most characters that providers take.
    const CHARS_MAX: usize = 64;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let own: String = own.chars().map(plain).collect();
    let words: Vec<_> = own.split('_').filter(|word| !word.is_empty()).collect();
    let whole = format!("{set}{SEPARATOR}{}", words.join("_"));
    let mut name: String = whole.chars().take(CHARS_MAX).collect();
    for n in 2.. {
        if taken.insert(name.clone()) {
            break;
        }
        let end = format!("_{n}");
        name = whole.chars().take(CHARS_MAX - end.len()).chain(end.chars()).collect();
    }
    name
}

/// The contract's class of a tool's failure.
const CLASS: &str = "ToolError";
/// Most tools that are looked at when a server lists its own.
const TOOLS_OFFERED_MAX: usize = 2_000;
/// Most bytes of a result, as JSON.
const RESULT_BYTES_MAX: usize = 64 * 1024;

/// A built-in tool.
pub struct Tool {
    /// What models call it.
    pub name: &'static str,
    /// What it does and when to use it.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub parameters: fn() -> Value,
    /// What a repeat may do.
    pub effect: Effect,
    run: fn(&Value) -> std::result::Result<Value, String>,
}

/// Every built-in tool, by name.
pub const BUILT_IN: &[Tool] = &[calculate::TOOL, calendar::TOOL];

/// The word by which agents list every tool that they may call.
pub const ALL: &str = "*";

/// The built-in tool of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Tool> {
    BUILT_IN.iter().find(|tool| tool.name == name)
}

/// A tool that is not built in, as it was when the run began. Stored in runs: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// What models call it.
    pub name: String,
    /// The set that it came with, by whose name agents may list it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// What a repeat may do.
    pub effect: Effect,
    /// How long one call may take, where its definition says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The tenant that registered it; none where it is the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it runs, where it is a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Nested>,
}

impl Pin {
    /// Whether an agent that lists this name may call it.
    #[must_use]
    pub fn is_of(&self, listed: &str) -> bool {
        self.name == listed || self.set.as_deref() == Some(listed) || listed == ALL
    }
}

/// What a model is told about an agent's tools; names that no tool bears are left out.
#[must_use]
pub fn specs(agent: &AgentDefinition) -> Vec<ToolSpec> {
    let of_pin = |pin: &Pin| ToolSpec {
        name: pin.name.clone(),
        description: pin.description.clone(),
        parameters: pin.parameters.clone(),
    };
    let of_built_in = |tool: &Tool| ToolSpec {
        name: tool.name.into(),
        description: tool.description.into(),
        parameters: (tool.parameters)(),
    };
    let mut specs: Vec<ToolSpec> = Vec::new();
    for name in &agent.tools {
        if name == ALL {
            specs.extend(BUILT_IN.iter().map(of_built_in));
        }
        match find(name) {
            Some(tool) => specs.push(of_built_in(tool)),
            None => specs.extend(agent.pins.iter().filter(|pin| pin.is_of(name)).map(of_pin)),
        }
    }
    // A set and one of its tools may both be listed.
    let mut told = BTreeSet::new();
    specs.retain(|spec| told.insert(spec.name.clone()));
    specs
}

/// Who calls a tool, and how calls are made.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The agent, where it is one.
    pub agent: Option<&'a str>,
    /// How often a failed call is repeated, and how long one may take where its definition does not say.
    pub asking: &'a Asking,
    /// How many children like it share what is left of the budget; 0 counts as 1.
    pub siblings: u32,
}

/// Calls a tool from a workflow, as the step `call` of this scope (`run` where it is a workflow): a built-in one by its name, any
/// other by its pin.
///
/// # Errors
/// The call failed for good, or the arguments do not fit.
pub async fn call(ctx: &Ctx, name: &str, pin: Option<&Pin>, arguments: &Value, by: By<'_>) -> Result<Value> {
    let about = json!({"tool": name, "arguments": arguments});
    if let Some(nested) = pin.and_then(|pin| pin.nested.as_ref()) {
        return Box::pin(run_nested(ctx, nested, arguments, by)).await;
    }
    let activity = CallTool {
        tool: name.into(),
        arguments: arguments.clone(),
        effect: pin.map(|pin| pin.effect),
        tenant: pin.and_then(|pin| pin.tenant.clone()),
        agent: pin.and(by.agent).map(String::from),
    };
    let work = ctx.call("call", activity).retry(by.asking.retry).traces(Traces::Tool).about(&about);
    let work = if let Some(agent) = by.agent { work.agent(agent) } else { work };
    match pin {
        Some(pin) => work.timeout(pin.timeout_ms.map_or(by.asking.http_timeout, Duration::from_millis)).await,
        None => work.await,
    }
}

/// A workflow as a tool: a pattern is asked the arguments' `input`, or all of them; any other is given them.
async fn run_nested(ctx: &Ctx, nested: &Nested, arguments: &Value, by: By<'_>) -> Result<Value> {
    let mut request = nested.request.clone();
    if request.get("agents").is_some() {
        let fields = arguments.as_object();
        let only = fields.filter(|fields| fields.len() == 1).and_then(|fields| fields.get("input"));
        request["input"] = only.unwrap_or(arguments).clone();
    } else if let (Value::Object(fixed), Value::Object(given)) = (&mut request, arguments) {
        given.iter().for_each(|(name, value)| drop(fixed.insert(name.clone(), value.clone())));
    } else {
        request = arguments.clone();
    }
    let run = ctx.child("run", &nested.workflow, &request).allot(by.siblings.max(1), nested.budget);
    let run = if let Some(agent) = by.agent { run.agent(agent) } else { run };
    let output = run.await?;
    Ok(output.pointer("/output/value").cloned().unwrap_or(output))
}

/// Call a tool. A failure's message is meant for the model that called it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallTool {
    /// Which.
    pub tool: String,
    /// With what; checked against the tool's schema before it runs.
    pub arguments: Value,
    /// What a repeat may do, where it is not built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The tenant that registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The agent that calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

impl Activity for CallTool {
    type Output = Value;
    const NAME: &'static str = "tool.call";
    const EFFECT: Effect = Effect::Idempotent;

    fn effect(&self) -> Effect {
        self.effect.or_else(|| find(&self.tool).map(|tool| tool.effect)).unwrap_or(Self::EFFECT)
    }

    async fn run(self, cx: ActivityCx) -> std::result::Result<Value, ActivityError> {
        let bad = |message: String| ActivityError::fatal(CLASS, message);
        if let Some(tool) = find(&self.tool) {
            self.check(&(tool.parameters)()).map_err(bad)?;
            return answer::within((tool.run)(&self.arguments).map_err(bad)?).map_err(bad);
        }
        let effect = self.effect();
        let done = Box::pin(shelf::call(&self, &cx)).await;
        done.map_err(|error| heed(effect, error))
    }
}

impl CallTool {
    /// Holds the arguments against a schema. References that lead out of it were refused when it was registered.
    fn check(&self, parameters: &Value) -> std::result::Result<(), String> {
        let form = jsonschema::validator_for(parameters)
            .map_err(|e| format!("the parameters of {} are no JSON Schema: {e}", self.tool))?;
        let wrong: Vec<_> = form.iter_errors(&self.arguments).take(4).map(|e| e.to_string()).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("these arguments do not fit {}: {}", self.tool, wrong.join("; ")))
    }
}

/// An attempt that may have arrived is not repeated where a repeat might do it twice.
fn heed(effect: Effect, error: ActivityError) -> ActivityError {
    if effect == Effect::AtMostOnce && error.may_have_cost && error.is_retryable() {
        return ActivityError { next: Next::Never, ..error };
    }
    error
}

/// A call under way, as kinds see it.
struct Called<'a> {
    /// What it is to people: `tool "weather"`.
    service: &'a str,
    /// Arguments that fit.
    arguments: &'a Value,
    /// The operator's secrets that it may use.
    keys: &'a Keys,
    cx: &'a ActivityCx,
}

impl Called<'_> {
    /// A failure that repeating does not mend.
    fn failed(&self, why: &str) -> ActivityError {
        ActivityError::fatal(CLASS, format!("{} failed: {why}", self.service))
    }

    /// The same failure, naming the tool.
    fn named(&self, error: ActivityError) -> ActivityError {
        if error.message.starts_with(self.service) {
            return error;
        }
        ActivityError { message: format!("{} failed: {}", self.service, error.message), ..error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_complete() {
        for tool in BUILT_IN {
            assert!(jsonschema::validator_for(&(tool.parameters)()).is_ok() && tool.description.ends_with('.'));
            assert!(tool.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        }
        assert!(BUILT_IN.is_sorted_by_key(|t| t.name));
        let agent =
            AgentDefinition { tools: vec!["calculate".into(), "nope".into()], ..AgentDefinition::llm("a", "b") };
        assert_eq!(specs(&agent).len(), 1);
    }

    #[test]
    fn an_agent_is_told_of_a_set_once() {
        let pin = |name: &str| Pin {
            name: name.into(),
            set: Some("api".into()),
            description: "Does it.".into(),
            parameters: json!({"type": "object"}),
            effect: Effect::Pure,
            timeout_ms: None,
            tenant: None,
            nested: None,
        };
        let agent = AgentDefinition {
            tools: vec!["api__b".into(), "api".into(), "calendar".into()],
            pins: vec![pin("api__a"), pin("api__b")],
            ..AgentDefinition::llm("a", "b")
        };
        let told: Vec<_> = specs(&agent).into_iter().map(|spec| spec.name).collect();
        assert_eq!(told, ["api__b", "api__a", "calendar"]);
    }

    #[test]
    fn calls_read_back() {
        let call = serde_json::from_value::<CallTool>(json!({"tool": "calculate", "arguments": {"expression": "1+1"}}));
        let call = call.unwrap();
        assert_eq!(
            json!(call),
            json!({"tool": "calculate", "arguments": {"expression": "1+1"}}),
            "as old journals have it"
        );
        assert_eq!(call.effect(), Effect::Pure);
        let other = CallTool { tool: "book".into(), effect: Some(Effect::AtMostOnce), ..call };
        assert_eq!(serde_json::from_value::<CallTool>(json!(other)).unwrap().effect(), Effect::AtMostOnce);
        let lost = || ActivityError::retry(CLASS, "it broke").sent();
        assert!(!heed(Effect::AtMostOnce, lost()).is_retryable());
        assert!(heed(Effect::Idempotent, lost()).is_retryable());
    }
}
