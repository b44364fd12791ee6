//! What a pattern comes to. Answers are stored once, in their `agent.message` entries; an outcome points at them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::team::{Message, Source};
use tutti_engine::Error;

/// A pattern's result as journaled in `run.completed`. Fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The output.
    pub output: Output,
    /// Why it ended.
    pub stopped_by: StoppedBy,
    /// Rounds taken.
    pub iterations: u32,
}

/// Where an output is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The answer of the step with this key.
    From(String),
    /// A list with one element per agent.
    Each(Vec<Part>),
    /// One text, each answer under its agent's name.
    Joined(Vec<Part>),
    /// Here.
    Value(Value),
}

/// One agent's share of an output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The agent.
    pub agent: String,
    /// The key of the step that holds its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Part {
    /// What an agent came to.
    #[must_use]
    pub fn of(agent: &str, answer: &Result<Message, Error>) -> Self {
        let (from, error) = match answer {
            Ok(message) => (key_of(message), None),
            Err(e) => (None, Some(e.to_string())),
        };
        Self { agent: agent.into(), from, error }
    }
}

/// Why a pattern ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// Every member has answered.
    Completed,
    /// The first answer was enough.
    First,
    /// Enough answers had come.
    Quorum,
}

impl Outcome {
    /// The last word as the output.
    #[must_use]
    pub fn last(message: &Message, iterations: u32) -> Self {
        Self { output: Output::message(message), stopped_by: StoppedBy::Completed, iterations }
    }

    /// The output itself, given a way to look answers up by their steps' keys.
    pub fn resolve(&self, answer: impl Fn(&str) -> Option<Value>) -> Value {
        let part = |part: &Part| part.from.as_deref().and_then(&answer);
        match &self.output {
            Output::From(key) => answer(key).unwrap_or(Value::Null),
            Output::Value(value) => value.clone(),
            Output::Each(parts) => parts
                .iter()
                .map(|p| match &p.error {
                    Some(error) => json!({"agent": p.agent, "output": null, "error": error}),
                    None => json!({"agent": p.agent, "output": part(p)}),
                })
                .collect(),
            Output::Joined(parts) => {
                let said = |p: &Part| match (&p.error, part(p)) {
                    (Some(error), _) => format!("(no answer: {error})"),
                    (None, Some(Value::String(text))) => text,
                    (None, other) => other.unwrap_or_default().to_string(),
                };
                let texts: Vec<_> = parts.iter().map(|p| format!("{}:\n{}", p.agent, said(p))).collect();
                Value::String(texts.join("\n\n"))
            }
        }
    }
}

impl Output {
    /// What was said, by reference where it is stored.
    #[must_use]
    pub fn message(message: &Message) -> Self {
        key_of(message).map_or_else(|| Self::Value(Value::String(message.text.clone())), Self::From)
    }
}

fn key_of(message: &Message) -> Option<String> {
    match &message.source {
        Source::Step(key) => Some(key.clone()),
        Source::Input => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_resolve_to_what_was_said() {
        let said = |key: &str| (key == "a/ask").then(|| json!("yes"));
        let parts = vec![
            Part { agent: "a".into(), from: Some("a/ask".into()), error: None },
            Part { agent: "b".into(), from: None, error: Some("LlmError: gone".into()) },
        ];
        let of = |output| Outcome { output, stopped_by: StoppedBy::Completed, iterations: 1 }.resolve(said);
        assert_eq!(of(Output::From("a/ask".into())), json!("yes"));
        assert_eq!(
            of(Output::Each(parts.clone())),
            json!([{"agent": "a", "output": "yes"}, {"agent": "b", "output": null, "error": "LlmError: gone"}])
        );
        assert_eq!(of(Output::Joined(parts)), json!("a:\nyes\n\nb:\n(no answer: LlmError: gone)"));
    }
}
