//! What the model says: the same to the same conversation, and something else to every other.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The answer to a request.
#[must_use]
pub fn to(asked: &Value) -> String {
    let schema = &asked["response_format"]["json_schema"]["schema"];
    if schema.is_object() {
        return filled(schema).to_string();
    }
    let messages = asked["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let digest = Sha256::digest(asked["messages"].to_string());
    let last = messages.last().and_then(|m| m["content"].as_str()).unwrap_or_default();
    let heard: String = last.chars().take(80).collect();
    format!("Answer {:02x}{:02x}{:02x}{:02x}: I heard {heard}", digest[0], digest[1], digest[2], digest[3])
}

/// The hand-off that the model asks for instead of an answer: to the first it may reach, for one conversation in two.
#[must_use]
pub fn handoff(asked: &Value) -> Option<Value> {
    let digest = Sha256::digest(asked["messages"].to_string());
    let tool = asked["tools"].as_array()?.iter().find_map(|t| t["function"]["name"].as_str())?;
    let arguments = json!({"reason": format!("reason {:02x}", digest[5])}).to_string();
    let call =
        json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": tool, "arguments": arguments}});
    (tool.starts_with("handoff_to_") && digest[4].is_multiple_of(2)).then_some(call)
}

/// Words count as tokens.
#[must_use]
pub fn usage(asked: &Value, answer: &str) -> Value {
    let messages = asked["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = |text: &str| text.split_whitespace().count();
    let prompt: usize = messages.iter().filter_map(|m| m["content"].as_str()).map(words).sum();
    let completion = words(answer);
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// Something that fits a simple JSON Schema.
fn filled(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|words| words.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            Value::Object(properties.iter().map(|(name, schema)| (name.clone(), filled(schema))).collect::<Map<_, _>>())
        }
        Some("array") => (0..schema["minItems"].as_u64().unwrap_or(0)).map(|_| filled(&schema["items"])).collect(),
        Some("integer") => json!(1),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        _ => json!("text"),
    }
}
