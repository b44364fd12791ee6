//! Anthropic's dialect: `POST {base_url}/messages`, whole or streamed.
//! Source: <https://docs.anthropic.com/en/api/messages> and `/messages-streaming`, version 2023-06-01.

use super::body::{self, ERROR_BYTES_MAX};
use super::chat::{Call, Pieces};
use super::failure::{self, CLASS};
use super::{ChatMessage, ChatReply, ChatRequest, Finish, Provider, Role, ToolCall, Usage};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::outbound::{OutRequest, OutResponse};

const VERSION: &str = "2023-06-01";
/// Most tokens of an answer where nobody says; the API wants a bound.
const MAX_TOKENS: u32 = 4_096;
/// What asks for structured output, in front of its JSON Schema: this API has no field for it.
pub(super) const SCHEMA_FOLLOWS: &str = "Answer with one JSON value that fits this JSON Schema, and nothing else:\n";
/// Most blocks of one answer.
const BLOCKS_MAX: usize = 256;

/// One exchange with the provider.
pub(super) async fn chat(call: &Call<'_>, pieces: &mut Pieces) -> Result<ChatReply, ActivityError> {
    let Some(model) = call.model() else {
        return Err(ActivityError::fatal(
            CLASS,
            "no model is named; set the provider's default_model or the agent's `model`",
        ));
    };
    let provider = call.provider;
    let mut headers = body::headers(call, pieces.wanted());
    sign(provider, &mut headers)?;
    let request = OutRequest {
        method: Method::POST,
        url: format!("{}/messages", provider.base_url.trim_end_matches('/')),
        headers,
        body: serde_json::to_vec(&request(call.request, model, pieces.wanted())).unwrap_or_default().into(),
        idle: provider.timeout,
        body_bytes_max: provider.body_bytes_max,
    };
    let response = call.cx.outbound.send(request).await.map_err(|e| failure::outbound(&e))?;
    if !(200..300).contains(&response.status) {
        let (status, headers) = (response.status, response.headers.clone());
        let (body, _) = body::read(response, ERROR_BYTES_MAX).await;
        return Err(failure::status(provider, status, &headers, &body::text(&body), call.cx.now));
    }
    let mut answer = if pieces.wanted() && !body::is_whole(&response.headers) {
        streamed(provider, response, pieces).await?
    } else {
        let (body, cut) = body::read(response, usize::MAX).await;
        if let Some(error) = cut {
            return Err(failure::outbound(&error));
        }
        let wrong = |why: String| {
            failure::garbage(&format!("something else than a message ({why})"), provider, &body::text(&body))
        };
        let value: Value = serde_json::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
        if !value["content"].is_array() || value["type"] == "error" {
            return Err(wrong("no content".into()));
        }
        Answer::deserialize(value).map_err(|e| wrong(e.to_string()))?
    };
    answer.model = answer.model.filter(|m| !m.is_empty()).or_else(|| Some(model.to_owned()));
    Ok(answer.reply(call.request))
}

/// The headers that this API wants with every request.
pub(super) fn sign(provider: &Provider, headers: &mut HeaderMap) -> Result<(), ActivityError> {
    headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(VERSION));
    if let Some(key) = body::key(provider, "")? {
        headers.insert(HeaderName::from_static("x-api-key"), key);
    }
    Ok(())
}

/// The request's body. The system prompt stands apart, and neighbours of one role are one message.
fn request(request: &ChatRequest, model: &str, stream: bool) -> Value {
    let mut system: Vec<String> = Vec::new();
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &request.messages {
        if message.role == Role::System {
            system.push(message.content.clone());
            continue;
        }
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let new = blocks_of(message, !request.tools.is_empty());
        match messages.last_mut().filter(|(last, _)| *last == role) {
            Some((_, blocks)) => blocks.extend(new),
            None => messages.push((role, new)),
        }
    }
    if let Some(schema) = &request.output_schema {
        system.push(format!("{SCHEMA_FOLLOWS}{schema}"));
    }
    let messages: Vec<_> =
        messages.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    let mut body =
        json!({"model": model, "max_tokens": request.max_tokens.unwrap_or(MAX_TOKENS), "messages": messages});
    if !system.is_empty() {
        body["system"] = json!(system.join("\n\n"));
    }
    if let Some(temperature) = request.temperature {
        // This API ends at 1.
        body["temperature"] = json!(temperature.min(1.0));
    }
    if !request.tools.is_empty() {
        let tool =
            |t: &super::ToolSpec| json!({"name": t.name, "description": t.description, "input_schema": t.parameters});
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    if stream {
        body["stream"] = json!(true);
    }
    body
}

/// A message's blocks. Without tools on offer the API takes no tool blocks either, so they are told in words then.
fn blocks_of(message: &ChatMessage, has_tools: bool) -> Vec<Value> {
    let text = |text: &str| {
        // Blank blocks are refused.
        let text = if text.trim().is_empty() { "(nothing)" } else { text };
        json!({"type": "text", "text": text})
    };
    match &message.tool_call_id {
        Some(id) if has_tools => {
            return vec![json!({"type": "tool_result", "tool_use_id": id, "content": message.content})];
        }
        Some(_) => return vec![text(&format!("The tool returned: {}", message.content))],
        None => {}
    }
    let said = (!message.content.trim().is_empty() || message.tool_calls.is_empty()).then(|| text(&message.content));
    let calls = message.tool_calls.iter().map(|c| {
        if !has_tools {
            return text(&format!("(called the tool {} with {})", c.name, c.arguments));
        }
        let input = if c.arguments.is_object() { c.arguments.clone() } else { Value::Object(Map::new()) };
        json!({"type": "tool_use", "id": c.id, "name": c.name, "input": input})
    });
    said.into_iter().chain(calls).collect()
}

/// An answer, as it comes whole and as a stream gathers it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    content: Vec<Block>,
    model: Option<String>,
    stop_reason: Option<String>,
    usage: Counts,
}

/// A field that is `null` counts as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Value,
    /// A tool's input as it arrives in a stream.
    #[serde(skip)]
    json: String,
}

/// Each counted apart; what is read from or written to a cache is input all the same.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Counts {
    fn read(self) -> u64 {
        let parts = [self.input_tokens, self.cache_creation_input_tokens, self.cache_read_input_tokens];
        parts.into_iter().flatten().fold(0, u64::saturating_add)
    }

    /// Later counts are sums so far: those that are there take the place of the earlier ones.
    fn or(self, before: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.or(before.input_tokens),
            output_tokens: self.output_tokens.or(before.output_tokens),
            cache_creation_input_tokens: self.cache_creation_input_tokens.or(before.cache_creation_input_tokens),
            cache_read_input_tokens: self.cache_read_input_tokens.or(before.cache_read_input_tokens),
        }
    }
}

impl Answer {
    fn reply(self, request: &ChatRequest) -> ChatReply {
        let texts = self.content.iter().filter(|b| b.kind == "text").filter_map(|b| b.text.as_deref());
        let text: String = texts.collect();
        let word = |text: &Option<String>| text.clone().unwrap_or_default();
        let call = |b: &Block| ToolCall { id: word(&b.id), name: word(&b.name), arguments: b.arguments() };
        let tool_calls: Vec<_> = self.content.iter().filter(|b| b.kind == "tool_use").map(call).collect();
        let (read, written) = (self.usage.read(), self.usage.output_tokens.unwrap_or(0));
        let usage = match read.saturating_add(written) {
            0 => Usage::estimate(request, &text, &tool_calls),
            _ => Usage { input_tokens: read, output_tokens: written, ..Usage::default() },
        };
        let finish = match self.stop_reason.as_deref() {
            Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
            _ if !tool_calls.is_empty() => Finish::ToolCalls,
            Some("end_turn" | "stop_sequence") => Finish::Stop,
            Some("refusal") => Finish::ContentFilter,
            _ => Finish::Other,
        };
        ChatReply { text, tool_calls, output: None, model: self.model.unwrap_or_default(), finish, usage }
    }
}

impl Block {
    fn arguments(&self) -> Value {
        match (self.json.is_empty(), &self.input) {
            (true, Value::Null) => Value::Object(Map::new()),
            (true, input) => input.clone(),
            (false, _) => serde_json::from_str(&self.json).unwrap_or_else(|_| json!(self.json)),
        }
    }
}

/// Reads the stream to its end, handing on the text as it comes.
async fn streamed(provider: &Provider, response: OutResponse, pieces: &mut Pieces) -> Result<Answer, ActivityError> {
    let mut events = body::events(provider, response);
    let mut answer = Answer::default();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            // Whole already: only the farewell is missing.
            Err(_) if answer.stop_reason.is_some() => return Ok(answer),
            Err(error) => return Err(error),
        };
        let data: Value = serde_json::from_str(&event.data)
            .map_err(|e| failure::garbage(&format!("a stream with broken JSON in it ({e})"), provider, &event.data))?;
        match data["type"].as_str().unwrap_or_default() {
            "error" => {
                let said = failure::said(&data).unwrap_or_else(|| data["error"].to_string());
                return Err(failure::garbage("an error within its stream", provider, &said));
            }
            "message_stop" => return Ok(answer),
            _ => answer.take(provider, data, pieces)?,
        }
    }
    if answer.stop_reason.is_some() {
        return Ok(answer);
    }
    Err(failure::garbage("a stream that breaks off in the middle", provider, ""))
}

impl Answer {
    fn take(&mut self, provider: &Provider, mut data: Value, pieces: &mut Pieces) -> Result<(), ActivityError> {
        let at = data["index"].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
        match data["type"].as_str().unwrap_or_default() {
            "message_start" => {
                self.model = data["message"]["model"].as_str().map(ToOwned::to_owned);
                self.usage = Counts::deserialize(&data["message"]["usage"]).unwrap_or_default();
            }
            "content_block_start" if at < BLOCKS_MAX => {
                let block = Block::deserialize(data["content_block"].take()).unwrap_or_default();
                if let Some(text) = block.text.as_deref().filter(|_| block.kind == "text") {
                    pieces.push(text);
                }
                self.content.resize_with(self.content.len().max(at + 1), Block::default);
                self.content[at] = block;
            }
            "content_block_delta" => {
                let Some(block) = self.content.get_mut(at) else {
                    return Err(failure::garbage("a piece of a block that was never begun", provider, ""));
                };
                if let Some(text) = data["delta"]["text"].as_str().filter(|_| block.kind == "text") {
                    pieces.push(text);
                    block.text.get_or_insert_default().push_str(text);
                }
                block.json.push_str(data["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "message_delta" => {
                self.stop_reason =
                    data["delta"]["stop_reason"].as_str().map(ToOwned::to_owned).or(self.stop_reason.take());
                self.usage = Counts::deserialize(&data["usage"]).unwrap_or_default().or(self.usage);
            }
            "content_block_start" => return Err(failure::garbage("more blocks than any answer has", provider, "")),
            // Pings, ends of blocks, and what later versions add.
            _ => {}
        }
        Ok(())
    }
}
