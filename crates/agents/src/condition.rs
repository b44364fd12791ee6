//! Conditions on an answer, as data: `{"contains": "urgent"}`, `{"field": {"pointer": "/score", "at_least": 7}}`.

use crate::team::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A condition on what was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// The text holds this, whatever the case.
    Contains(String),
    /// The whole answer is this.
    Equals(Value),
    /// A part of a JSON answer.
    Field(FieldIs),
    /// Not this.
    Not(Box<Condition>),
    /// All of these.
    All(Vec<Condition>),
    /// At least one of these.
    Any(Vec<Condition>),
}

/// What a part of a JSON answer must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldIs {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// Exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// A number of at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// A number of at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

impl Condition {
    /// Whether it holds for what was said.
    #[must_use]
    pub fn holds(&self, said: &Message) -> bool {
        match self {
            Self::Contains(text) => said.text.to_lowercase().contains(&text.to_lowercase()),
            Self::Equals(value) => said.value() == *value || value.as_str() == Some(said.text.trim()),
            Self::Field(field) => field.holds(&data(said)),
            Self::Not(inner) => !inner.holds(said),
            Self::All(all) => all.iter().all(|c| c.holds(said)),
            Self::Any(any) => any.iter().any(|c| c.holds(said)),
        }
    }
}

impl FieldIs {
    fn holds(&self, data: &Value) -> bool {
        let Some(found) = data.pointer(&self.pointer) else { return false };
        let number = found.as_f64();
        self.equals.as_ref().is_none_or(|v| v == found)
            && self.at_least.is_none_or(|min| number.is_some_and(|n| n >= min))
            && self.at_most.is_none_or(|max| number.is_some_and(|n| n <= max))
    }
}

/// What was said as data: structured output, or a text that is JSON.
#[must_use]
pub fn data(said: &Message) -> Value {
    match &said.value {
        Some(value) => value.clone(),
        None => serde_json::from_str(said.text.trim()).unwrap_or_else(|_| json!(said.text)),
    }
}

/// The JSON Schema of a condition.
#[must_use]
pub fn schema() -> Value {
    json!({"type": "object", "minProperties": 1, "maxProperties": 1, "description":
        "{contains: text} | {equals: value} | {field: {pointer, equals|at_least|at_most}} | {not: …} | {all: […]} | {any: […]}"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_texts_and_data() {
        let said = |text: &str| Message { value: None, ..Message::input(text) };
        let is = |c: Value, text: &str| serde_json::from_value::<Condition>(c).unwrap().holds(&said(text));
        assert!(is(json!({"contains": "URGENT"}), "this is urgent") && !is(json!({"contains": "urgent"}), "calm"));
        assert!(is(json!({"equals": "yes"}), " yes ") && !is(json!({"equals": "yes"}), "yes and no"));
        let score = json!({"field": {"pointer": "/score", "at_least": 7, "at_most": 9}});
        assert!(is(score.clone(), r#"{"score": 8}"#) && !is(score.clone(), r#"{"score": 10}"#) && !is(score, "8"));
        assert!(is(json!({"field": {"pointer": "/ok", "equals": true}}), r#"{"ok": true}"#));
        assert!(is(json!({"all": [{"contains": "a"}, {"not": {"contains": "b"}}]}), "a"));
        assert!(is(json!({"any": [{"contains": "x"}, {"contains": "a"}]}), "a"));
        assert!(serde_json::from_value::<Condition>(json!({"contain": "x"})).is_err());
    }
}
