//! `concurrent`: all agents work on the same input at once; their answers are put together.

use super::{Checked, Pattern, Setting, check, options_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::form::{Field, Form};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "concurrent",
    description: "All agents at once on the same input; their answers are put together.",
    options: schema,
    example,
    check: checked,
};

/// How answers become the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// A list of `{agent, output}` in the team's order.
    #[default]
    All,
    /// One text, each answer under its agent's name.
    Concat,
    /// The answer that came first; the others are stopped.
    First,
}

/// What an agent's failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Its place in the output says what went wrong.
    #[default]
    Keep,
    /// Its place is left out of the output.
    Drop,
    /// The others are stopped and the run fails.
    FailFast,
    /// The others finish, then the run fails.
    Wait,
}

/// The pattern's options. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// How answers become the output.
    pub aggregate: Aggregate,
    /// What an agent's failure does.
    pub on_error: OnError,
    /// Most agents at work at once; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<usize>,
    /// Enough answers: once so many have come the others are stopped. With fewer the run fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
}

const LATER: [&str; 4] = ["merge", "vote", "best", "llm"];

fn checked(form: &Form<'_>, setting: &Setting<'_>) -> Option<Checked> {
    check(form, setting, |form, team| {
        let on_error = [
            ("keep", OnError::Keep),
            ("drop", OnError::Drop),
            ("fail_fast", OnError::FailFast),
            ("wait", OnError::Wait),
        ];
        Options {
            aggregate: read_aggregate(&form.field("aggregate")).unwrap_or_default(),
            on_error: form.field("on_error").choice(&on_error).unwrap_or_default(),
            max_parallel: count(&form.field("max_parallel"), super::AGENTS_MAX),
            // A team that could not be read says nothing about how large a quorum may be.
            quorum: count(&form.field("quorum"), if team == 0 { super::AGENTS_MAX } else { team }),
        }
    })
}

fn read_aggregate(field: &Field<'_, '_>) -> Option<Aggregate> {
    if let Some(later) = field.value().and_then(Value::as_str).filter(|word| LATER.contains(word)) {
        field.fail(format!("aggregate {later:?} is not supported in this version; supported: all, concat, first"));
        return None;
    }
    field.choice(&[("all", Aggregate::All), ("concat", Aggregate::Concat), ("first", Aggregate::First)])
}

fn count(field: &Field<'_, '_>, max: usize) -> Option<usize> {
    field.integer(1, i64::try_from(max).unwrap_or(i64::MAX)).and_then(|n| usize::try_from(n).ok())
}

fn schema() -> Value {
    options_schema(json!({
        "aggregate": {"type": "string", "enum": ["all", "concat", "first"], "default": "all",
            "description": "How the answers become the output."},
        "on_error": {"type": "string", "enum": ["keep", "drop", "fail_fast", "wait"], "default": "keep",
            "description": "What an agent's failure does: keep it in the output, drop it, fail at once, or fail at the end."},
        "max_parallel": {"type": "integer", "minimum": 1, "maximum": super::AGENTS_MAX,
            "description": "Most agents at work at once."},
        "quorum": {"type": "integer", "minimum": 1, "maximum": super::AGENTS_MAX,
            "description": "Enough answers; at most the size of the team."}
    }))
}

fn example() -> Value {
    json!({
        "pattern": "concurrent",
        "input": "Why was I charged twice?",
        "agents": [
            {"name": "billing", "instructions": "You know card payments."},
            {"name": "tone", "instructions": "You judge the customer's mood."}
        ],
        "options": {"aggregate": "all"}
    })
}
