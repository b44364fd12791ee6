//! The outside world to develop and test against, over HTTP, with faults on demand. Here: a model that speaks the
//! OpenAI-compatible dialect. Ticket agents, a marketplace and a payment manager get paths of the same port.
//!
//! Nouns: simulator, fault, stats. Must not know: the engine's runs, stores, app, server.

mod answer;
mod fault;

pub use fault::Fault;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tutti_agents::model::scripted::{Rule, Script, Then};

/// Most idempotency keys that are remembered to count repeats.
const KEYS_MAX: usize = 1_000_000;
/// The header that asks for something special in one request.
pub const HEADER: &str = "x-simulate";

/// What a simulator does.
#[derive(Debug, Default)]
pub struct Options {
    /// Rules for single requests; what fits none gets the offline model's answer.
    pub rules: Vec<Rule>,
    /// What goes wrong from the start.
    pub fault: Option<Fault>,
}

struct World {
    script: Script,
    fault: Mutex<Option<Fault>>,
    asked: AtomicU64,
    faults: AtomicU64,
    repeats: AtomicU64,
    keys: Mutex<BTreeSet<Box<str>>>,
}

/// The simulator's routes.
pub fn router(options: Options) -> Router {
    let world = World {
        script: Script::new(options.rules).or_answer().forgetful(),
        fault: Mutex::new(options.fault),
        asked: AtomicU64::new(0),
        faults: AtomicU64::new(0),
        repeats: AtomicU64::new(0),
        keys: Mutex::default(),
    };
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/faults", get(shown).put(set).delete(unset))
        .route("/stats", get(stats))
        .with_state(Arc::new(world))
}

async fn chat(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    let n = world.asked.fetch_add(1, Ordering::Relaxed) + 1;
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok());
    if let Some(key) = key {
        let mut keys = world.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < KEYS_MAX && !keys.insert(key.into()) {
            world.repeats.fetch_add(1, Ordering::Relaxed);
        }
    }
    let wanted = match headers.get(HEADER).map(|v| fault::read_words(v.to_str().unwrap_or_default())) {
        Some(Err(wrong)) => return (StatusCode::BAD_REQUEST, wrong).into_response(),
        Some(Ok(then)) => Some(then),
        None => world.fault.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|fault| fault.at(n)),
    };
    let response = match wanted {
        Some(then) => {
            world.faults.fetch_add(1, Ordering::Relaxed);
            Script::new(Vec::new()).forgetful().answer_with(&then, &body)
        }
        None => world.script.respond(key, &body),
    };
    answer::send(response).await
}

async fn models() -> axum::Json<Value> {
    axum::Json(json!({"object": "list", "data": [{"id": "simulated", "object": "model", "owned_by": "tutti"}]}))
}

async fn shown(State(world): State<Arc<World>>) -> axum::Json<Value> {
    axum::Json(json!(*world.fault.lock().unwrap_or_else(PoisonError::into_inner)))
}

async fn set(State(world): State<Arc<World>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            *world.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            shown(State(world)).await.into_response()
        }
        Err(e) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{e}; for example {}\n", fault::EXAMPLE)).into_response(),
    }
}

async fn unset(State(world): State<Arc<World>>) -> StatusCode {
    *world.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
    StatusCode::NO_CONTENT
}

async fn stats(State(world): State<Arc<World>>) -> axum::Json<Value> {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    axum::Json(json!({"requests": of(&world.asked), "faults": of(&world.faults), "repeats": of(&world.repeats)}))
}

/// Reads a script: a list of rules, or `{"rules": […]}`.
///
/// # Errors
/// What does not fit, in words.
pub fn read_rules(script: Value) -> Result<Vec<Rule>, String> {
    let rules = match script {
        Value::Object(mut fields) => fields.remove("rules").unwrap_or_default(),
        other => other,
    };
    serde_json::from_value(rules).map_err(|e| format!("a script is a list of rules {{when, then}}: {e}"))
}

/// Serves until `stop` resolves.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// A fault that is always there.
#[must_use]
pub fn always(then: Then) -> Fault {
    Fault { then, every: 1 }
}
