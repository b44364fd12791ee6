//! Agents that are services: asked with one `POST` per turn.

use crate::model::{ChatReply, Finish, Usage};
use crate::srv;
use crate::upstream::{BODY_BYTES_MAX, excerpt, left, retry_after, usual_headers};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect, Next};
use tutti_engine::ports::outbound::{OutError, OutRequest};

/// The contract's class of an agent's failure.
const CLASS: &str = "AgentError";
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

impl Activity for AskHttp {
    type Output = ChatReply;
    const NAME: &'static str = "agent.http";
    const EFFECT: Effect = Effect::Idempotent;

    async fn run(self, cx: ActivityCx) -> Result<ChatReply, ActivityError> {
        let input = self.messages.last().map_or("", |line| line.content.as_str());
        let body = json!({"agent": self.agent, "input": input, "messages": self.messages, "run_id": self.run_id});
        let failed = |error: &OutError| {
            let message = format!("agent {:?} failed: {error}", self.agent);
            match error {
                OutError::Refused { .. } | OutError::TooLarge { .. } => ActivityError::fatal(CLASS, message),
                OutError::Connect { .. } => ActivityError::retry(CLASS, message),
                OutError::Timeout { .. } | OutError::Broken { .. } => ActivityError::retry(CLASS, message).sent(),
            }
        };
        let body: bytes::Bytes = serde_json::to_vec(&body).unwrap_or_default().into();
        let request = |url: String| {
            let idle = left(&cx);
            let (mut headers, body) = (HeaderMap::with_capacity(4), body.clone());
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/plain;q=0.5"));
            usual_headers(&cx, &mut headers);
            OutRequest { method: Method::POST, url, headers, body, idle, body_bytes_max: BODY_BYTES_MAX }
        };
        let unknown =
            |why: String| ActivityError::retry(CLASS, format!("agent {:?} cannot be found: {why}", self.agent));
        let mut places = srv::endpoints(&self.endpoint).await.map_err(unknown)?.into_iter().peekable();
        let mut response = loop {
            let Some(url) = places.next() else { return Err(unknown("its name stands for no address".into())) };
            match cx.outbound.send(request(url)).await {
                Ok(response) => break response,
                // Nothing was sent there: the next place may do.
                Err(OutError::Connect { .. }) if places.peek().is_some() => {}
                Err(error) => return Err(failed(&error)),
            }
        };
        let mut bytes = Vec::new();
        while let Some(piece) = response.body.next().await {
            bytes.extend_from_slice(&piece.map_err(|e| failed(&e))?);
        }
        let text = String::from_utf8_lossy(&bytes);
        if !(200..300).contains(&response.status) {
            return Err(self.status(response.status, &response.headers, &text));
        }
        let is_text =
            response.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
        self.read(&text, is_text)
    }

    fn strip(output: &mut ChatReply) {
        output.text.clear();
    }

    fn restore(output: &mut ChatReply, streamed: &str) {
        output.text.push_str(streamed);
    }
}

impl AskHttp {
    fn status(&self, status: u16, headers: &HeaderMap, body: &str) -> ActivityError {
        let next = match status {
            408 | 429 | 500..=599 => Next::Retry { after_ms: retry_after(headers) },
            _ => Next::Never,
        };
        let said = excerpt(body.as_bytes());
        let message = format!("agent {:?} answered {status}: {said}", self.agent);
        ActivityError { class: CLASS.into(), message, next, may_have_cost: false }
    }

    fn read(&self, body: &str, is_text: bool) -> Result<ChatReply, ActivityError> {
        let reply = |text: String, output: Option<Value>| ChatReply {
            text,
            tool_calls: Vec::new(),
            output,
            model: "http".into(),
            finish: Finish::Stop,
            // What it costs is the service's matter.
            usage: Usage { cost: Some(0), ..Usage::default() },
        };
        let said = match serde_json::from_str::<Value>(body) {
            Ok(Value::String(text)) => Some(reply(text, None)),
            Ok(Value::Object(fields)) => match fields.get("output") {
                Some(Value::String(text)) => Some(reply(text.clone(), None)),
                Some(output) if !output.is_null() => Some(reply(output.to_string(), Some(output.clone()))),
                _ => TEXT_FIELDS.iter().find_map(|name| fields.get(*name)?.as_str()).map(|t| reply(t.into(), None)),
            },
            _ if is_text && !body.trim().is_empty() => Some(reply(body.trim().into(), None)),
            _ => None,
        };
        said.ok_or_else(|| {
            let start: String = body.chars().filter(|c| !c.is_control()).take(120).collect();
            let message = format!(
                "the answer of agent {:?} does not fit: expected {{\"output\": …}}, {{\"text\": \"…\"}}, a JSON string or \
                 text/plain, got {start:?}",
                self.agent
            );
            ActivityError::fatal(CLASS, message)
        })
    }
}
