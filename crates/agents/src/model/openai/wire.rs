//! The dialect's JSON: the request as it is sent, the whole answer as it is read.

use super::super::body::text;
use super::super::failure::{self, CLASS};
use super::super::{ChatMessage, ChatRequest, Finish, Provider, Role, ToolCall, Usage};
use super::Answer;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use tutti_engine::activity::ActivityError;

/// The request's body.
pub(super) fn request(
    request: &ChatRequest,
    model: &str,
    stream: bool,
    bound_name: &str,
) -> Result<Bytes, ActivityError> {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), request.messages.iter().map(message).collect());
    if !request.tools.is_empty() {
        let tool = |t: &super::super::ToolSpec| json!({"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}});
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
    }
    if let Some(schema) = &request.output_schema {
        let format = json!({"type": "json_schema", "json_schema": {"name": "output", "schema": schema}});
        body.insert("response_format".into(), format);
    }
    if let Some(max_tokens) = request.max_tokens {
        body.insert(bound_name.into(), max_tokens.into());
    }
    if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if stream {
        body.insert("stream".into(), true.into());
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    let bytes = serde_json::to_vec(&body);
    bytes.map(Bytes::from).map_err(|e| ActivityError::fatal(CLASS, format!("the request cannot be written: {e}")))
}

fn message(message: &ChatMessage) -> Value {
    let mut out = Map::new();
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    out.insert("role".into(), role.into());
    let silent = message.content.is_empty() && !message.tool_calls.is_empty();
    out.insert("content".into(), if silent { Value::Null } else { message.content.as_str().into() });
    if let Some(name) = message.name.as_deref().filter(|n| !n.is_empty()) {
        out.insert("name".into(), plain_name(name).into());
    }
    if !message.tool_calls.is_empty() {
        let call = |c: &ToolCall| {
            let function = json!({"name": c.name, "arguments": c.arguments.to_string()});
            json!({"id": c.id, "type": "function", "function": function})
        };
        out.insert("tool_calls".into(), message.tool_calls.iter().map(call).collect());
    }
    if let Some(id) = &message.tool_call_id {
        out.insert("tool_call_id".into(), id.as_str().into());
    }
    Value::Object(out)
}

/// Providers refuse names outside `[A-Za-z0-9_-]{1,64}`.
fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(64).map(plain).collect()
}

/// A field that may be absent, null or of another form: then it is its default. Foreign servers vary where it does not matter.
fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[derive(Deserialize)]
struct Whole {
    choices: Vec<Choice>,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default, deserialize_with = "lenient")]
    finish_reason: Option<String>,
}

/// A message, or a piece of one.
#[derive(Deserialize, Default)]
pub(super) struct Said {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    refusal: Value,
    #[serde(default)]
    pub tool_calls: Option<Vec<WireCall>>,
}

impl Said {
    /// The text, given as a string or as a list of parts; and whether it is a refusal.
    pub fn text(&self) -> (String, bool) {
        let parts = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|p| p.get("text")?.as_str()).collect(),
            _ => String::new(),
        };
        let text = parts(&self.content);
        if text.is_empty() && self.refusal.is_string() { (parts(&self.refusal), true) } else { (text, false) }
    }
}

/// A tool call, or a piece of one.
#[derive(Deserialize)]
pub(super) struct WireCall {
    #[serde(default)]
    pub index: Option<usize>,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub function: WireFunction,
}

#[derive(Deserialize, Default)]
pub(super) struct WireFunction {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub arguments: Value,
}

#[derive(Deserialize, Default)]
pub(super) struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Self {
        Self { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens, ..Self::default() }
    }
}

/// A piece of a streamed answer.
#[derive(Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    #[serde(default, deserialize_with = "lenient")]
    pub model: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub usage: Option<WireUsage>,
    #[serde(default)]
    pub error: Value,
}

#[derive(Deserialize)]
pub(super) struct ChunkChoice {
    #[serde(default)]
    pub delta: Said,
    #[serde(default, deserialize_with = "lenient")]
    pub finish_reason: Option<String>,
}

/// The word for why it stopped.
pub(super) fn finish(reason: &str) -> Finish {
    match reason {
        "stop" | "end_turn" | "eos" => Finish::Stop,
        "length" | "max_tokens" => Finish::Length,
        "tool_calls" | "function_call" | "tool_use" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        _ => Finish::Other,
    }
}

/// An answer in one piece.
pub(super) fn whole(provider: &Provider, body: &[u8]) -> Result<Answer, ActivityError> {
    let whole: Whole = match serde_json::from_slice(body) {
        Ok(whole) => whole,
        Err(error) => return Err(unreadable(provider, body, &error)),
    };
    let Some(choice) = whole.choices.into_iter().next() else {
        return Err(failure::garbage("without any choice", provider, &text(body)));
    };
    let (said, refused) = choice.message.text();
    let calls = choice.message.tool_calls.unwrap_or_default();
    let tool_calls =
        calls.into_iter().enumerate().map(|(n, call)| tool_call(provider, n, call)).collect::<Result<_, _>>()?;
    let reason = choice.finish_reason.as_deref().map_or(Finish::Stop, finish);
    Ok(Answer {
        text: said,
        tool_calls,
        model: whole.model,
        finish: if refused { Finish::ContentFilter } else { reason },
        usage: whole.usage.map(Usage::from),
    })
}

fn unreadable(provider: &Provider, body: &[u8], error: &serde_json::Error) -> ActivityError {
    let what = match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.get("error").is_some() => {
            let said = failure::said(&value).unwrap_or_else(|| text(body));
            return failure::garbage("200 with an error inside", provider, &said);
        }
        Ok(_) => format!("JSON that is no chat completion ({error})"),
        Err(_) if body.is_empty() => "with an empty body".into(),
        Err(_) => format!("something that is not whole JSON ({error})"),
    };
    failure::garbage(&what, provider, &text(body))
}

/// A whole tool call. Arguments are JSON in a string; some servers send the object itself, some nothing for none.
pub(super) fn tool_call(provider: &Provider, n: usize, call: WireCall) -> Result<ToolCall, ActivityError> {
    let Some(name) = call.function.name.filter(|name| !name.is_empty()) else {
        return Err(failure::garbage("a tool call without a name", provider, ""));
    };
    let arguments = match call.function.arguments {
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => serde_json::from_str(&text).map_err(|e| {
            let what = format!("broken JSON as arguments of the tool {} ({e})", failure::excerpt(provider, &name));
            failure::garbage(&what, provider, &text)
        })?,
        Value::Null => json!({}),
        other => other,
    };
    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{n}"));
    Ok(ToolCall { id, name, arguments })
}
