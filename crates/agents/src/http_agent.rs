//! Agents that are services: asked with one `POST` per turn.

use crate::external;
use crate::model::{ChatReply, Finish, Usage};
use crate::srv;
use crate::upstream::{BODY_BYTES_MAX, excerpt, left, retry_after, usual_headers};
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, DeltaSink, Effect, Next};
use tutti_engine::ports::outbound::{OutError, OutRequest, OutResponse};

/// The contract's class of an agent's failure.
const CLASS: &str = "AgentError";
/// What an answer may be.
const ACCEPTED: &str = "application/json, text/event-stream;q=0.9, text/plain;q=0.5";
/// Fields under which services give their answer, in this order.
const TEXT_FIELDS: [&str; 4] = ["text", "answer", "response", "content"];

/// Ask an agent that is a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskHttp {
    /// Where.
    pub endpoint: String,
    /// The agent's name.
    pub agent: String,
    /// What was said before, oldest first.
    pub messages: Vec<Line>,
    /// The run that asks.
    pub run_id: String,
    /// What is asked, where it is more than the last message's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What else the asker gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Who said it; nobody for the task itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What was said.
    pub content: String,
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Its words, or its data.
    #[serde(flatten)]
    pub said: ChatReply,
    /// Its wish that somebody else goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandTo>,
}

/// A service's wish that somebody else goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandTo {
    /// Who.
    pub to: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Activity for AskHttp {
    type Output = Reply;
    const NAME: &'static str = "agent.http";
    const EFFECT: Effect = Effect::Idempotent;

    async fn run(self, cx: ActivityCx) -> Result<Reply, ActivityError> {
        let body = self.body(cx.session.as_deref());
        let request = |url: String| {
            let idle = left(&cx);
            let (mut headers, body) = (HeaderMap::with_capacity(4), body.clone());
            headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPTED));
            usual_headers(&cx, &mut headers);
            external::show_pass(&self.endpoint, &mut headers);
            OutRequest { method: Method::POST, url, headers, body, idle, body_bytes_max: BODY_BYTES_MAX }
        };
        let unknown =
            |why: String| ActivityError::retry(CLASS, format!("agent {:?} cannot be found: {why}", self.agent));
        let mut places = srv::endpoints(&self.endpoint).await.map_err(unknown)?.into_iter().peekable();
        let response = loop {
            let Some(url) = places.next() else { return Err(unknown("its name stands for no address".into())) };
            match cx.outbound.send(request(url)).await {
                Ok(response) => break response,
                // Nothing was sent there: the next place may do.
                Err(OutError::Connect { .. }) if places.peek().is_some() => {}
                Err(error) => return Err(self.failed(&error)),
            }
        };
        let kind = response.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec()).unwrap_or_default();
        if (200..300).contains(&response.status) && kind.starts_with(b"text/event-stream") {
            return self.stream(response, cx.deltas.as_deref()).await;
        }
        let (status, headers, mut pieces) = (response.status, response.headers, response.body);
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|e| self.failed(&e))?);
        }
        let text = String::from_utf8_lossy(&bytes);
        if !(200..300).contains(&status) {
            return Err(self.status(status, &headers, &text));
        }
        self.read(&text, kind.starts_with(b"text/"))
    }

    fn strip(output: &mut Reply) {
        output.said.text.clear();
    }

    fn restore(output: &mut Reply, streamed: &str) {
        output.said.text.push_str(streamed);
    }
}

impl AskHttp {
    fn body(&self, session: Option<&str>) -> bytes::Bytes {
        let last = || json!(self.messages.last().map_or("", |line| line.content.as_str()));
        let body = json!({"agent": self.agent, "input": self.input.clone().unwrap_or_else(last), "messages": self.messages,
            "run_id": self.run_id, "session_id": session, "context": self.context.clone().unwrap_or_else(|| json!({}))});
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    fn failed(&self, error: &OutError) -> ActivityError {
        let message = format!("agent {:?} failed: {error}", self.agent);
        match error {
            OutError::Refused { .. } | OutError::TooLarge { .. } => ActivityError::fatal(CLASS, message),
            OutError::Connect { .. } => ActivityError::retry(CLASS, message),
            OutError::Timeout { .. } | OutError::Broken { .. } => ActivityError::retry(CLASS, message).sent(),
        }
    }

    fn status(&self, status: u16, headers: &HeaderMap, body: &str) -> ActivityError {
        let next = match status {
            408 | 429 | 500..=599 => Next::Retry { after_ms: retry_after(headers) },
            _ => Next::Never,
        };
        let said = excerpt(body.as_bytes());
        let message = format!("agent {:?} answered {status}: {said}", self.agent);
        ActivityError { class: CLASS.into(), message, next, may_have_cost: false }
    }

    fn read(&self, body: &str, is_text: bool) -> Result<Reply, ActivityError> {
        let said = match serde_json::from_str::<Value>(body) {
            Ok(Value::String(text)) => Some(reply(text, None)),
            Ok(Value::Object(fields)) => read_fields(&fields),
            _ if is_text && !body.trim().is_empty() => Some(reply(body.trim().into(), None)),
            _ => None,
        };
        said.ok_or_else(|| {
            let start: String = body.chars().filter(|c| !c.is_control()).take(120).collect();
            let message = format!(
                "the answer of agent {:?} does not fit: expected {{\"output\": …}}, {{\"text\": \"…\"}}, a JSON string, \
                 text/plain or events, got {start:?}",
                self.agent
            );
            ActivityError::fatal(CLASS, message)
        })
    }

    /// An answer as events of ours: pieces as they come, then the whole, or why there is none.
    async fn stream(&self, response: OutResponse, deltas: Option<&dyn DeltaSink>) -> Result<Reply, ActivityError> {
        let mut events = response.body.eventsource();
        let mut text = String::new();
        while let Some(event) = events.next().await {
            let event = event.map_err(|e| match e {
                EventStreamError::Transport(error) => self.failed(&error),
                other => {
                    ActivityError::retry(CLASS, format!("the events of agent {:?} break off: {other}", self.agent))
                        .sent()
                }
            })?;
            let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            match event.event.as_str() {
                "agent.delta" => {
                    let piece = data["text"].as_str().unwrap_or_default();
                    text.push_str(piece);
                    if let Some(deltas) = deltas.filter(|_| !piece.is_empty()) {
                        deltas.push(piece);
                    }
                }
                "agent.message" | "run.completed" => {
                    // What came in pieces is not said twice.
                    let whole = data.as_object().and_then(read_fields).filter(|_| text.is_empty());
                    let (handoff, usage) = (read_handoff(&data), read_usage(&data));
                    let said = whole.unwrap_or_else(|| reply(text, None));
                    let said = ChatReply { usage: usage.unwrap_or(said.said.usage), ..said.said };
                    return Ok(Reply { said, handoff });
                }
                "agent.failed" | "run.failed" | "run.cancelled" | "run.timed_out" => {
                    let why = data.pointer("/error/message").and_then(Value::as_str).unwrap_or("it did not say why");
                    let why: String = why.chars().take(500).collect();
                    return Err(ActivityError::fatal(CLASS, format!("agent {:?} failed: {why}", self.agent)));
                }
                _ => {}
            }
        }
        if text.is_empty() {
            let message = format!("the events of agent {:?} ended without an answer", self.agent);
            return Err(ActivityError::retry(CLASS, message).sent());
        }
        Ok(reply(text, None))
    }
}

/// Words, or data, of somebody whose cost is not ours to count.
pub(crate) fn reply(text: String, output: Option<Value>) -> Reply {
    let usage = Usage { cost: Some(0), ..Usage::default() };
    let said = ChatReply { text, tool_calls: Vec::new(), output, model: "http".into(), finish: Finish::Stop, usage };
    Reply { said, handoff: None }
}

fn read_fields(fields: &Map<String, Value>) -> Option<Reply> {
    let data = Value::Object(fields.clone());
    let found = match fields.get("output") {
        Some(Value::String(text)) => Some(reply(text.clone(), None)),
        // The end of a run of ours: its answer stands one level below.
        Some(Value::Object(inner)) if inner.contains_key("stopped_by") => {
            let inner = inner.get("output").cloned().unwrap_or_default();
            Some(
                inner
                    .as_str()
                    .map_or_else(|| reply(inner.to_string(), Some(inner.clone())), |text| reply(text.into(), None)),
            )
        }
        Some(output) if !output.is_null() => Some(reply(output.to_string(), Some(output.clone()))),
        _ => TEXT_FIELDS.iter().find_map(|name| fields.get(*name)?.as_str()).map(|text| reply(text.into(), None)),
    };
    let handoff = read_handoff(&data);
    // Whoever hands the work on need not say anything.
    let found = found.or_else(|| handoff.is_some().then(|| reply(String::new(), None)))?;
    let usage = read_usage(&data).unwrap_or(found.said.usage);
    Some(Reply { said: ChatReply { usage, ..found.said }, handoff })
}

pub(crate) fn read_handoff(data: &Value) -> Option<HandTo> {
    serde_json::from_value(data.get("handoff")?.clone()).ok()
}

/// `{input_tokens?, output_tokens?, cost?}`; a service that says nothing costs nothing here.
pub(crate) fn read_usage(data: &Value) -> Option<Usage> {
    let usage = data.get("usage")?.as_object()?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    let tokens = (count("input_tokens"), count("output_tokens").or_else(|| count("tokens")));
    Some(Usage {
        input_tokens: tokens.0.unwrap_or(0),
        output_tokens: tokens.1.unwrap_or(0),
        estimated: false,
        cost: Some(count("cost").unwrap_or(0)),
        cached: false,
    })
}
