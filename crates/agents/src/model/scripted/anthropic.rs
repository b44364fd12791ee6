//! Anthropic's words for a scripted exchange: its requests as the OpenAI dialect would say them, and replies in its own.

use super::super::anthropic::SCHEMA_FOLLOWS;
use super::{Response, tokens, whole};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A request in the OpenAI dialect's words.
pub(super) fn read(body: Value) -> Value {
    if !body.is_object() {
        return Value::Null;
    }
    let mut asked = json!({"model": body["model"], "stream": body["stream"], "max_tokens": body["max_tokens"]});
    let system = words(&body["system"]);
    let mut messages = Vec::new();
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    for message in body["messages"].as_array().into_iter().flatten() {
        let results = message["content"].as_array().into_iter().flatten().filter(|b| b["type"] == "tool_result");
        messages.extend(results.map(|result| {
            json!({"role": "tool", "tool_call_id": result["tool_use_id"], "content": words(&result["content"])})
        }));
        let said = words(&message["content"]);
        if !said.is_empty() {
            messages.push(json!({"role": message["role"], "content": said}));
        }
    }
    asked["messages"] = messages.into();
    let tool = |t: &Value| json!({"function": {"name": t["name"], "description": t["description"], "parameters": t["input_schema"]}});
    asked["tools"] = body["tools"].as_array().into_iter().flatten().map(tool).collect();
    if let Some(schema) = system.split_once(SCHEMA_FOLLOWS).and_then(|(_, rest)| serde_json::from_str(rest).ok()) {
        let schema: Value = schema;
        asked["response_format"] = json!({"json_schema": {"schema": schema}});
    }
    asked
}

/// A text, or the texts of a list of blocks.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|b| b["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// A reply.
pub(super) fn said(body: &Value, streamed: bool, text: &str, calls: &[(String, Value)]) -> Response {
    let stop = if calls.is_empty() { "end_turn" } else { "tool_use" };
    let (read, written) = tokens(body, text);
    let mut message = json!({"id": "scripted", "type": "message", "role": "assistant",
        "model": body["model"].as_str().unwrap_or("scripted"), "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": read, "output_tokens": 0}});
    let call = |(n, (name, input)): (usize, &(String, Value))| {
        let input = if input.is_object() { input.clone() } else { Value::Object(Map::new()) };
        json!({"type": "tool_use", "id": format!("call_{n}"), "name": name, "input": input})
    };
    let calls: Vec<Value> = calls.iter().enumerate().map(call).collect();
    if !streamed {
        let text = (!text.is_empty() || calls.is_empty()).then(|| json!({"type": "text", "text": text}));
        message["content"] = text.into_iter().chain(calls).collect();
        message["stop_reason"] = stop.into();
        message["usage"]["output_tokens"] = written.into();
        return whole(200, "application/json", vec![message.to_string().into()]);
    }
    let mut pieces = vec![event("message_start", json!({"message": message}))];
    let mut index = 0;
    if !text.is_empty() {
        pieces
            .push(event("content_block_start", json!({"index": index, "content_block": {"type": "text", "text": ""}})));
        let delta = |word: &str| json!({"index": 0, "delta": {"type": "text_delta", "text": word}});
        pieces.extend(text.split_inclusive(' ').map(|word| event("content_block_delta", delta(word))));
        pieces.push(event("content_block_stop", json!({"index": index})));
        index += 1;
    }
    for mut call in calls {
        let input = std::mem::replace(&mut call["input"], json!({}));
        let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
        pieces.push(event("content_block_start", json!({"index": index, "content_block": call})));
        pieces.push(event("content_block_delta", json!({"index": index, "delta": delta})));
        pieces.push(event("content_block_stop", json!({"index": index})));
        index += 1;
    }
    let delta = json!({"stop_reason": stop, "stop_sequence": null});
    pieces.push(event("message_delta", json!({"delta": delta, "usage": {"output_tokens": written}})));
    pieces.push(event("message_stop", json!({})));
    whole(200, "text/event-stream", pieces)
}

fn event(kind: &str, mut data: Value) -> Bytes {
    data["type"] = kind.into();
    format!("event: {kind}\ndata: {data}\n\n").into()
}
