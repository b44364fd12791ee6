//! Reads what people want to know out of an event, whatever its exact shape: newer servers may say more.

use crate::client::Event;
use serde_json::Value;

/// A field of an event, or of what its caller wanted known about it.
#[must_use]
pub fn field<'a>(data: &'a Value, name: &str) -> Option<&'a Value> {
    let found = |inner: &str| data.get(inner).and_then(|v| v.get(name));
    data.get(name).or_else(|| found("about")).or_else(|| found("body")).filter(|v| !v.is_null())
}

/// A text field, likewise.
#[must_use]
pub fn text<'a>(data: &'a Value, name: &str) -> Option<&'a str> {
    field(data, name).and_then(Value::as_str)
}

/// A number field, likewise.
#[must_use]
pub fn number(data: &Value, name: &str) -> Option<u64> {
    field(data, name).and_then(Value::as_u64)
}

/// The agent an event speaks of, where it says so.
#[must_use]
pub fn agent(data: &Value) -> Option<&str> {
    let about = || match data.get("about") {
        Some(Value::String(name)) => Some(name.as_str()),
        about => about.and_then(|a| a.get("name")).and_then(Value::as_str),
    };
    text(data, "agent").or_else(about)
}

/// A name out of a step's key: the last item in brackets that is no number, else the key.
#[must_use]
pub fn name_of_key(key: &str) -> String {
    let items = key.split(['[', ']']).skip(1).step_by(2);
    let named = items.filter(|item| !item.is_empty() && item.parse::<u64>().is_err()).last();
    named.unwrap_or(if key.is_empty() { "run" } else { key }).to_owned()
}

/// The words of an answer: a text, or an object that holds one.
#[must_use]
pub fn words(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(fields) => {
            ["text", "content", "output", "answer", "message"].iter().find_map(|name| fields.get(*name).and_then(words))
        }
        _ => None,
    }
}

/// All texts inside a value.
pub fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| texts(item, found)),
        _ => {}
    }
}

/// When an event happened, in milliseconds since the epoch.
#[must_use]
pub fn at_ms(event: &Event) -> Option<i64> {
    match event.data.get("at")? {
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        number => number.as_i64(),
    }
}

/// `{class, message}` in one line.
#[must_use]
pub fn reason(data: &Value) -> String {
    let Some(error) = field(data, "error") else {
        return text(data, "message").or_else(|| text(data, "reason")).unwrap_or("no reason given").to_owned();
    };
    let message = error.get("message").and_then(Value::as_str).or(error.as_str()).unwrap_or("no reason given");
    match error.get("class").and_then(Value::as_str) {
        Some(class) => format!("{class}: {message}"),
        None => message.to_owned(),
    }
}

/// What models used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// All tokens.
    pub tokens: u64,
    /// Money, as far as prices are known.
    pub cost: f64,
}

impl Used {
    /// What an event's `usage`, or its output's, tells.
    #[must_use]
    pub fn of(data: &Value) -> Option<Self> {
        let usage = field(data, "usage").or_else(|| field(data, "output").and_then(|o| o.get("usage")))?;
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        let parts = || Some(count("input_tokens")? + count("output_tokens")?);
        let tokens = count("tokens").or_else(|| count("total_tokens")).or_else(parts)?;
        Some(Self { tokens, cost: usage.get("cost").and_then(Value::as_f64).unwrap_or(0.0) })
    }

    /// Adds what an event tells.
    pub fn add(&mut self, data: &Value) {
        let more = Self::of(data).unwrap_or_default();
        self.tokens += more.tokens;
        self.cost += more.cost;
    }

    /// Itself, unless nothing was used.
    #[must_use]
    pub fn any(self) -> Option<Self> {
        (self.tokens > 0).then_some(self)
    }

    /// For people.
    #[must_use]
    pub fn in_words(self) -> String {
        let cost = if self.cost > 0.0 { format!(" · cost {:.4}", self.cost) } else { String::new() };
        format!("{} tokens{cost}", self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn agents_are_found_wherever_they_are_named() {
        assert_eq!(agent(&json!({"agent": "a"})), Some("a"));
        assert_eq!(agent(&json!({"about": {"agent": "a"}})), Some("a"));
        assert_eq!(agent(&json!({"about": {"name": "a"}})), Some("a"));
        assert_eq!(agent(&json!({"about": "a"})), Some("a"));
        assert_eq!(agent(&json!({"key": "x"})), None);
        assert_eq!(name_of_key("turn[2]/member[critic]/ask"), "critic");
        assert_eq!(name_of_key("turn[2]/ask"), "turn[2]/ask");
        assert_eq!(name_of_key(""), "run");
    }

    #[test]
    fn usage_in_words() {
        let of = |data: Value| Used::of(&data).map(Used::in_words);
        assert_eq!(of(json!({"usage": {"tokens": 7, "cost": 0}})), Some("7 tokens".into()));
        assert_eq!(of(json!({"output": {"usage": {"tokens": 7, "cost": 0.5}}})), Some("7 tokens · cost 0.5000".into()));
        assert_eq!(of(json!({"usage": {"input_tokens": 3, "output_tokens": 4}})), Some("7 tokens".into()));
        assert_eq!(of(json!({})), None);
    }

    #[test]
    fn times_come_in_two_shapes() {
        let event = |at| Event { seq: None, kind: String::new(), data: json!({ "at": at }) };
        assert_eq!(at_ms(&event(json!("1970-01-01T00:00:01.5Z"))), Some(1_500));
        assert_eq!(at_ms(&event(json!(1_500))), Some(1_500));
    }
}
