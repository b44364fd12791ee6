//! A model that says what a script tells it to, faults included. It answers in the wire form of a dialect, so a scripted
//! call takes the way of a real one; the same [`Script::respond`] can stand behind an HTTP server.

mod anthropic;

use super::{ChatMessage, ChatRequest, Role, ToolSpec};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tutti_engine::ports::outbound::{OutError, OutRequest, OutResponse, Outbound};

/// Which requests a rule is for; what is left out matches all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The last message holds this text.
    pub last_contains: Option<String>,
    /// The instructions hold this text, e.g. the agent's name.
    pub agent: Option<String>,
    /// Only the nth request (from 1) that fits the other two.
    pub nth: Option<u64>,
}

/// What happens then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Then {
    /// Say this.
    Reply(String),
    /// Say the last message again.
    Echo,
    /// Say what the offline model says.
    Answer,
    /// Ask for tools: name and arguments of each.
    CallTools(Vec<(String, Value)>),
    /// An error status.
    Error {
        /// HTTP status.
        status: u16,
        /// The `Retry-After` header.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// First wait this long, in milliseconds.
    Delay(u64, Box<Then>),
    /// A web page instead of an answer.
    Garbage,
    /// A JSON answer that stops half way.
    BrokenJson,
    /// The text of a reply up to about its middle, then the connection breaks.
    Drop(String),
    /// The connection stays open and nothing is ever said.
    Hang,
}

/// One rule. The first that matches is taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rule {
    /// For which requests.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub then: Then,
}

/// A list of rules and a record of what was asked. Requests no rule fits are echoed.
#[derive(Debug)]
pub struct Script {
    rules: Vec<Rule>,
    otherwise: Then,
    is_forgetful: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each rule's other conditions were met.
    met: Vec<u64>,
    seen: Vec<Seen>,
}

/// A request as the script saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The body.
    pub body: Value,
}

/// What goes over the wire.
#[derive(Debug)]
pub struct Response {
    /// Before anything is answered.
    pub delay: Duration,
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, in the pieces to send.
    pub pieces: Vec<Bytes>,
    /// What happens after the pieces.
    pub end: End,
}

/// In whose words a request comes and is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /v1/chat/completions`.
    OpenAi,
    /// `POST /v1/messages`.
    Anthropic,
}

/// How a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Properly.
    Whole,
    /// The connection breaks; with no pieces before its head.
    Broken,
    /// Nothing more comes, the connection stays; with no pieces not even a head.
    Silent,
}

impl Script {
    /// A script of these rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let state = State { met: vec![0; rules.len()], seen: Vec::new() };
        Self { rules, otherwise: Then::Echo, is_forgetful: false, state: Mutex::new(state) }
    }

    /// A script that always does the same.
    #[must_use]
    pub fn always(then: Then) -> Self {
        Self::new(vec![Rule { when: When::default(), then }])
    }

    /// A script that does one thing after the other, and the last one from then on.
    #[must_use]
    pub fn steps(thens: Vec<Then>) -> Self {
        let last = thens.len();
        let rule = |(n, then): (usize, Then)| {
            let nth = (n + 1 < last).then_some(n as u64 + 1);
            Rule { when: When { nth, ..When::default() }, then }
        };
        Self::new(thens.into_iter().enumerate().map(rule).collect())
    }

    /// The same script where the offline model answers what no rule fits.
    #[must_use]
    pub fn or_answer(self) -> Self {
        Self { otherwise: Then::Answer, ..self }
    }

    /// The same script without a record of what was asked, for loads.
    #[must_use]
    pub fn forgetful(self) -> Self {
        Self { is_forgetful: true, ..self }
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).seen.clone()
    }

    /// The answer to one request body in the OpenAI dialect.
    pub fn respond(&self, idempotency_key: Option<&str>, body: &[u8]) -> Response {
        self.respond_in(Dialect::OpenAi, idempotency_key, body)
    }

    /// The answer to one request body. What is seen of it is in the OpenAI dialect's words.
    pub fn respond_in(&self, dialect: Dialect, idempotency_key: Option<&str>, body: &[u8]) -> Response {
        let body = dialect.read(body);
        let then = self.pick(&body);
        if !self.is_forgetful {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.seen.push(Seen { idempotency_key: idempotency_key.map(str::to_owned), body: body.clone() });
        }
        then.as_ref().unwrap_or(&self.otherwise).response(dialect, &body)
    }

    fn pick(&self, body: &Value) -> Option<Then> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut picked = None;
        for (rule, met) in self.rules.iter().zip(&mut state.met) {
            let last = rule.when.last_contains.as_ref().is_none_or(|text| last(body).contains(text));
            let agent = rule.when.agent.as_ref().is_none_or(|text| instructions(body).contains(text));
            if !(last && agent) {
                continue;
            }
            *met += 1;
            if picked.is_none() && rule.when.nth.is_none_or(|nth| nth == *met) {
                picked = Some(rule.then.clone());
            }
        }
        picked
    }
}

/// The request in our own words, as far as the offline model looks at it.
fn read(body: &Value) -> ChatRequest {
    let message = |m: &Value| {
        let text = m["content"].as_str().unwrap_or_default().to_owned();
        let role = match m["role"].as_str() {
            Some("system" | "developer") => Role::System,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => Role::User,
        };
        let id = m["tool_call_id"].as_str().map(str::to_owned);
        ChatMessage { tool_call_id: id, ..ChatMessage::new(role, text) }
    };
    let tool = |t: &Value| {
        let text = |name: &str| t["function"][name].as_str().unwrap_or_default().to_owned();
        ToolSpec {
            name: text("name"),
            description: text("description"),
            parameters: t["function"]["parameters"].clone(),
        }
    };
    ChatRequest {
        messages: messages(body).iter().map(message).collect(),
        tools: body["tools"].as_array().into_iter().flatten().map(tool).collect(),
        output_schema: body.pointer("/response_format/json_schema/schema").cloned(),
        max_tokens: body["max_tokens"].as_u64().and_then(|n| u32::try_from(n).ok()),
        ..ChatRequest::default()
    }
}

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().map_or(&[], Vec::as_slice)
}

fn last(body: &Value) -> &str {
    messages(body).last().and_then(|m| m["content"].as_str()).unwrap_or_default()
}

fn instructions(body: &Value) -> String {
    let system = messages(body).iter().filter(|m| m["role"] == "system");
    system.filter_map(|m| m["content"].as_str()).collect::<Vec<_>>().join("\n")
}

impl Dialect {
    /// A request's body in the OpenAI dialect's words; `null` where it is no JSON.
    fn read(self, body: &[u8]) -> Value {
        let body = serde_json::from_slice(body).unwrap_or_default();
        match self {
            Self::OpenAi => body,
            Self::Anthropic => anthropic::read(body),
        }
    }

    fn said(self, body: &Value, streamed: bool, text: &str, calls: &[(String, Value)]) -> Response {
        match self {
            Self::OpenAi => said(body, streamed, text, calls),
            Self::Anthropic => anthropic::said(body, streamed, text, calls),
        }
    }
}

impl Then {
    /// The response to this request body, whatever any rules say.
    #[must_use]
    pub fn respond(&self, dialect: Dialect, body: &[u8]) -> Response {
        self.response(dialect, &dialect.read(body))
    }

    fn response(&self, dialect: Dialect, body: &Value) -> Response {
        let streamed = body["stream"] == json!(true);
        match self {
            Self::Reply(text) => dialect.said(body, streamed, text, &[]),
            Self::Echo => dialect.said(body, streamed, last(body), &[]),
            Self::Answer => {
                let reply = super::offline::answer(&read(body));
                let calls: Vec<_> = reply.tool_calls.into_iter().map(|call| (call.name, call.arguments)).collect();
                dialect.said(body, streamed, &reply.text, &calls)
            }
            Self::CallTools(calls) => dialect.said(body, streamed, "", calls),
            Self::Error { status, retry_after } => {
                // Both dialects' shape: one reads `error` alone, the other looks at `type` first.
                let error = json!({"type": "api_error", "message": format!("scripted error {status}")});
                let said = json!({"type": "error", "error": error});
                let mut response = whole(*status, "application/json", vec![said.to_string().into()]);
                if let Some(Ok(value)) = retry_after.as_deref().map(HeaderValue::from_str) {
                    response.headers.insert(header::RETRY_AFTER, value);
                }
                response
            }
            Self::Delay(ms, then) => {
                let response = then.response(dialect, body);
                Response { delay: response.delay + Duration::from_millis(*ms), ..response }
            }
            Self::Garbage => whole(200, "text/html", vec!["<html><body>It works!</body></html>".into()]),
            Self::BrokenJson => whole(200, "application/json", vec![r#"{"choices":[{"message":{"content":"ha"#.into()]),
            Self::Drop(text) => {
                let mut response = dialect.said(body, streamed, text, &[]);
                if streamed {
                    response.pieces.truncate(response.pieces.len() / 2);
                } else {
                    response.pieces.iter_mut().for_each(|piece| piece.truncate(piece.len() / 2));
                }
                Response { end: End::Broken, ..response }
            }
            Self::Hang => Response { end: End::Silent, ..whole(200, "application/json", Vec::new()) },
        }
    }
}

fn whole(status: u16, kind: &'static str, pieces: Vec<Bytes>) -> Response {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    Response { delay: Duration::ZERO, status, headers, pieces, end: End::Whole }
}

/// About how many tokens were read and written.
fn tokens(body: &Value, text: &str) -> (usize, usize) {
    let asked: usize = messages(body).iter().filter_map(|m| m["content"].as_str()).map(str::len).sum();
    (asked.div_ceil(4), text.len().div_ceil(4))
}

/// A reply in the OpenAI dialect.
fn said(body: &Value, streamed: bool, text: &str, calls: &[(String, Value)]) -> Response {
    let model = body["model"].as_str().unwrap_or("scripted");
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let (read, written) = tokens(body, text);
    let usage = json!({"prompt_tokens": read, "completion_tokens": written});
    let call = |(n, (name, arguments)): (usize, &(String, Value))| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"index": n, "id": format!("call_{n}"), "type": "function", "function": function})
    };
    let calls: Vec<Value> = calls.iter().enumerate().map(call).collect();
    if !streamed {
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        let choice = json!({"index": 0, "message": message, "finish_reason": finish});
        let answer = json!({"id": "scripted", "model": model, "choices": [choice], "usage": usage});
        return whole(200, "application/json", vec![answer.to_string().into()]);
    }
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "scripted", "model": model, "choices": [choice]}))
    };
    let mut pieces = vec![chunk(json!({"role": "assistant"}), Value::Null)];
    pieces.extend(text.split_inclusive(' ').map(|word| chunk(json!({"content": word}), Value::Null)));
    if !calls.is_empty() {
        pieces.push(chunk(json!({"tool_calls": calls}), Value::Null));
    }
    pieces.push(chunk(json!({}), finish.into()));
    pieces.push(format!("data: {}\n\n", json!({"model": model, "choices": [], "usage": usage})));
    pieces.push("data: [DONE]\n\n".into());
    whole(200, "text/event-stream", pieces.into_iter().map(Bytes::from).collect())
}

/// In process the script stands where the network would.
impl Outbound for Script {
    fn send(&self, request: OutRequest) -> BoxFuture<'static, Result<OutResponse, OutError>> {
        let key = request.headers.get("idempotency-key").and_then(|v| v.to_str().ok());
        let Response { delay, status, headers, pieces, end } = self.respond(key, &request.body);
        Box::pin(async move {
            let host = "scripted".to_owned();
            let silence = Duration::min(request.idle, if end == End::Silent { Duration::MAX } else { delay });
            if !silence.is_zero() {
                tokio::time::sleep(silence).await;
            }
            if silence == request.idle {
                let ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                return Err(OutError::Timeout { host, ms });
            }
            let broken = OutError::Broken { host, reason: "the script says so".into() };
            let tail = (end == End::Broken).then_some(Err(broken));
            let body = stream::iter(pieces.into_iter().map(Ok).chain(tail)).boxed();
            Ok(OutResponse { status, headers, body })
        })
    }
}
