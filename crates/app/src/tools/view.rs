//! A tool as it is answered: never with a secret.

use crate::Stamp;
use serde::Serialize;
use serde_json::Value;
use tutti_agents::tool::{self, Definition, Part, Tool};
use tutti_engine::activity::Effect;

/// A tool, or a set of tools.
#[derive(Debug, Clone, Serialize)]
pub struct ToolView {
    /// What models call it; of a set, how their names begin.
    pub name: String,
    /// `builtin`, or one of the kinds.
    pub kind: &'static str,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments; a set's tools have their own.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// How a call is made, secrets shown as `***`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// What a repeat may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// How long one call may take; `HTTP_TIMEOUT` where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// Agents that may call it; all where it names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Where it comes from: `builtin`, `file` or `registered`.
    pub source: &'static str,
    /// The tools of a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<PartView>>,
    /// Why the list of its tools is not that of today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_by: Option<String>,
    /// When it was changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Stamp>,
}

/// One tool of a set.
#[derive(Debug, Clone, Serialize)]
pub struct PartView {
    /// What models call it.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// What a repeat may do.
    pub effect: Effect,
    /// Why it cannot be called until somebody has looked at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

impl PartView {
    fn of(set: &Definition, part: &Part) -> Self {
        Self {
            name: part.name.clone(),
            description: part.description.clone(),
            parameters: part.parameters.clone(),
            effect: set.effect.unwrap_or(part.effect),
            disabled: part.disabled.clone(),
        }
    }
}

impl ToolView {
    pub(super) fn built_in(tool: &Tool) -> Self {
        Self {
            name: tool.name.into(),
            kind: "builtin",
            description: tool.description.into(),
            parameters: (tool.parameters)(),
            config: Value::Null,
            effect: Some(tool.effect),
            timeout_seconds: None,
            allow: Vec::new(),
            source: "builtin",
            tools: None,
            note: None,
            registered_by: None,
            updated_at: None,
        }
    }

    pub(super) fn of_file(tool: &Definition) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most an hour of milliseconds")]
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        Self {
            name: tool.name.clone(),
            kind: tool.kind(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
            config: tool.config(),
            effect: if tool.is_set() { tool.effect } else { Some(tool.effect()) },
            timeout_seconds: tool.timeout_ms.map(seconds),
            allow: tool.allow.clone(),
            source: "file",
            tools: tool.is_set().then(|| tool.parts.iter().map(|part| PartView::of(tool, part)).collect()),
            note: tool::trouble(None, &tool.name).or_else(|| tool.note.clone()),
            registered_by: None,
            updated_at: None,
        }
    }

    pub(super) fn registered(tenant: &str, tool: &Definition) -> Self {
        Self {
            note: tool::trouble(Some(tenant), &tool.name).or_else(|| tool.note.clone()),
            source: "registered",
            registered_by: Some(tool.registered_by.clone()),
            updated_at: Some(Stamp(tool.updated_at)),
            ..Self::of_file(tool)
        }
    }
}
