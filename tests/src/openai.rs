//! An OpenAI-compatible server for tests: a deterministic answer for every conversation, faults by the model's name, and a log of
//! every request. It runs as a process of its own (`openai-server`) that no test kills: what it saw is the truth that the server
//! under test is judged by.

pub mod answer;
pub mod fault;
pub mod log;

use self::fault::{Fault, Kind};
use self::log::{Log, Request};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the server behaves where the model's name does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// The shortest time an answer takes, in milliseconds.
    pub min_ms: u64,
    /// The longest; which, within the two, the request's hash says.
    pub max_ms: u64,
}

impl Delay {
    /// Reads `20` or `10..30`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        Some(Self { min_ms: min.parse().ok()?, max_ms: max.parse().ok()? })
    }

    fn of(self, hash: &[u8]) -> Duration {
        let spread = self.max_ms.saturating_sub(self.min_ms) + 1;
        Duration::from_millis(self.min_ms + u64::from(u16::from_be_bytes([hash[0], hash[1]])) % spread)
    }
}

/// What all requests share.
#[derive(Debug)]
pub struct Shared {
    delay: Delay,
    log: Arc<Log>,
    /// Failures so far, by once-key and model.
    failed: Mutex<HashMap<(String, String), u32>>,
}

/// The server's routes.
pub fn router(delay: Delay, log: Arc<Log>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/log/begun/{n}", get(begun))
        .route("/log/ended/{n}", get(ended))
        .with_state(Arc::new(Shared { delay, log, failed: Mutex::default() }))
}

/// Answers when so many requests have arrived.
async fn begun(State(shared): State<Arc<Shared>>, Path(n): Path<u64>) -> StatusCode {
    shared.log.begun(n).await;
    StatusCode::NO_CONTENT
}

/// Answers when so many requests have ended.
async fn ended(State(shared): State<Arc<Shared>>, Path(n): Path<u64>) -> StatusCode {
    shared.log.ended(n).await;
    StatusCode::NO_CONTENT
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let hash = Sha256::digest(&body);
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let model = asked["model"].as_str().unwrap_or_default().to_owned();
    let key = text("idempotency-key");
    // From here on the request is in the log, whenever and however it ends.
    let request = shared.log.request(&key, &model, &hex(&hash), &text("traceparent"));
    if asked["messages"].as_array().is_none_or(Vec::is_empty) {
        return request.ends(failure(StatusCode::BAD_REQUEST, "messages must be a list that is not empty"));
    }
    let (fault, delay) = fault::of(&model);
    tokio::time::sleep(delay.unwrap_or_else(|| shared.delay.of(&hash))).await;
    let answer = answer::to(&asked);
    match fault.filter(|fault| shared.fails(&key, &model, fault)) {
        Some(fault) => faulty(fault.kind, request, &asked, &answer).await,
        None if asked["stream"] == true => streamed(request, &asked, &answer, usize::MAX),
        None => request.ends(whole(&asked, &answer).into_response()),
    }
}

impl Shared {
    /// Whether this attempt is one of those that fail.
    fn fails(&self, key: &str, model: &str, fault: &Fault) -> bool {
        // A repair of an answer has a key of its own; it is the next attempt at the same call.
        let key = key.strip_suffix("/repair").unwrap_or(key);
        let mut failed = self.failed.lock().unwrap();
        let count = failed.entry((key.to_owned(), model.to_owned())).or_default();
        *count += 1;
        fault.times.is_none_or(|times| *count <= times)
    }
}

async fn faulty(kind: Kind, mut request: Request, asked: &Value, answer: &str) -> Response {
    let html = |status| (status, [(header::CONTENT_TYPE, "text/html")], "<html><body>upstream fault</body></html>");
    let json = |body: String| ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    match kind {
        Kind::Status(429) => {
            let after = ([(header::RETRY_AFTER, "1")], failure(StatusCode::TOO_MANY_REQUESTS, "slow down"));
            request.ends(after.into_response())
        }
        Kind::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            request.ends(failure(status, "a fault on demand"))
        }
        Kind::Garbage => request.ends(html(StatusCode::OK).into_response()),
        Kind::Json => {
            let body = whole(asked, answer).0.to_string();
            request.ends(json(body[..body.len() / 2].to_owned()))
        }
        Kind::Content => request.ends(whole(asked, "{\"half\": ").into_response()),
        Kind::Empty => request.ends(json("{\"choices\":[]}".into())),
        Kind::Drop if asked["stream"] == true => streamed(request, asked, answer, 3),
        Kind::Drop => dropped(request, asked, answer),
        Kind::Hang => {
            // Until the client gives up: then this future is dropped, and with it the request.
            request.status(0);
            std::future::pending().await
        }
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"error": {"message": message, "type": "test", "code": null}}))).into_response()
}

fn whole(asked: &Value, answer: &str) -> axum::Json<Value> {
    let (message, finish) = match answer::handoff(asked) {
        Some(call) => (json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls"),
        None => (json!({"role": "assistant", "content": answer}), "stop"),
    };
    axum::Json(json!({
        "id": "chatcmpl-test", "object": "chat.completion", "created": 0, "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": answer::usage(asked, answer)
    }))
}

/// A body that promises more than it holds.
fn dropped(mut request: Request, asked: &Value, answer: &str) -> Response {
    request.status(200);
    let body = whole(asked, answer).0.to_string();
    let half = Bytes::from(body[..body.len() / 2].to_owned());
    let pieces = stream::iter([Ok(half), Err(std::io::Error::other("a fault on demand"))]);
    let head =
        [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, body.len().to_string())];
    (head, Body::from_stream(pieces)).into_response()
}

/// The answer word by word; after `words_max` of them the connection breaks.
fn streamed(mut request: Request, asked: &Value, answer: &str, words_max: usize) -> Response {
    request.status(200);
    let chunk = |choices: Value| {
        let chunk = json!({"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": asked["model"], "choices": choices});
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let delta = |delta: Value, finish: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]));
    let handoff = answer::handoff(asked);
    let words = answer.split_inclusive(' ').take(if handoff.is_some() { 0 } else { words_max });
    let mut pieces = vec![Ok(delta(json!({"role": "assistant", "content": ""}), Value::Null))];
    pieces.extend(words.map(|word| Ok(delta(json!({"content": word}), Value::Null))));
    if words_max < usize::MAX {
        pieces.push(Err(std::io::Error::other("a fault on demand")));
    } else {
        let finish = if handoff.is_some() { "tool_calls" } else { "stop" };
        pieces.extend(handoff.map(|call| Ok(delta(json!({"tool_calls": [call]}), Value::Null))));
        pieces.push(Ok(delta(json!({}), finish.into())));
        if asked["stream_options"]["include_usage"] == true {
            let mut last = json!({"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": asked["model"], "choices": []});
            last["usage"] = answer::usage(asked, answer);
            pieces.push(Ok(Bytes::from(format!("data: {last}\n\n"))));
        }
        pieces.push(Ok(Bytes::from_static(b"data: [DONE]\n\n")));
    }
    let state = (pieces.into_iter(), request);
    let body = stream::unfold(state, |(mut pieces, mut request)| async move {
        // A pause, so that pieces leave one by one as a model's do.
        tokio::task::yield_now().await;
        match pieces.next() {
            Some(Err(error)) => Some((Err(error), (pieces, request))),
            Some(piece) => Some((piece, (pieces, request))),
            None => {
                request.answered();
                None
            }
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
