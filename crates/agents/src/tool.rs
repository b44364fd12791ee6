//! Tools: what an agent's model may call. Here the built-in ones, which compute and touch nothing.

mod calculate;
mod calendar;
pub mod code;

use crate::model::ToolSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};

/// The contract's class of a tool's failure.
const CLASS: &str = "ToolError";
/// Most bytes of a result, as JSON.
const RESULT_BYTES_MAX: usize = 64 * 1024;

/// One tool.
pub struct Tool {
    /// What models call it.
    pub name: &'static str,
    /// What it does and when to use it.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub parameters: fn() -> Value,
    /// What a repeat may do.
    pub effect: Effect,
    run: fn(&Value) -> Result<Value, String>,
}

/// Every built-in tool, by name.
pub const BUILT_IN: &[Tool] = &[calculate::TOOL, calendar::TOOL];

/// The tool of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Tool> {
    BUILT_IN.iter().find(|tool| tool.name == name)
}

/// What a model is told about these tools; names that no tool bears are left out.
#[must_use]
pub fn specs(names: &[String]) -> Vec<ToolSpec> {
    let spec = |tool: &Tool| ToolSpec {
        name: tool.name.into(),
        description: tool.description.into(),
        parameters: (tool.parameters)(),
    };
    names.iter().filter_map(|name| find(name)).map(spec).collect()
}

/// Call a tool. A failure's message is meant for the model that called it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallTool {
    /// Which.
    pub tool: String,
    /// With what; checked against the tool's schema before it runs.
    pub arguments: Value,
}

impl Activity for CallTool {
    type Output = Value;
    const NAME: &'static str = "tool.call";
    const EFFECT: Effect = Effect::Idempotent;

    fn effect(&self) -> Effect {
        find(&self.tool).map_or(Self::EFFECT, |tool| tool.effect)
    }

    async fn run(self, _: ActivityCx) -> Result<Value, ActivityError> {
        let bad = |message: String| ActivityError::fatal(CLASS, message);
        let tool = find(&self.tool).ok_or_else(|| bad(format!("there is no tool named {:?}", self.tool)))?;
        let form = jsonschema::validator_for(&(tool.parameters)())
            .map_err(|e| bad(format!("the parameters of {} are no JSON Schema: {e}", tool.name)))?;
        let wrong: Vec<_> = form.iter_errors(&self.arguments).take(4).map(|e| e.to_string()).collect();
        if !wrong.is_empty() {
            return Err(bad(format!("these arguments do not fit {}: {}", tool.name, wrong.join("; "))));
        }
        let result = (tool.run)(&self.arguments).map_err(bad)?;
        if result.to_string().len() > RESULT_BYTES_MAX {
            return Err(bad(format!("the result of {} is larger than {RESULT_BYTES_MAX} bytes", tool.name)));
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_tool_is_complete() {
        for tool in BUILT_IN {
            assert!(jsonschema::validator_for(&(tool.parameters)()).is_ok() && tool.description.ends_with('.'));
            assert!(tool.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        }
        assert!(BUILT_IN.is_sorted_by_key(|t| t.name));
        assert_eq!(specs(&["calculate".into(), "nope".into()]).len(), 1);
    }

    #[test]
    fn calls_read_back() {
        let call = CallTool { tool: "calculate".into(), arguments: json!({"expression": "1+1"}) };
        assert_eq!(serde_json::from_value::<CallTool>(json!(call)).unwrap(), call);
        assert_eq!(call.effect(), Effect::Pure);
    }
}
