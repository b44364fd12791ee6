//! The outside world to develop and test against, over HTTP, with faults on demand: a model that speaks OpenAI's and
//! Anthropic's dialect, the four agents of tickets, a marketplace with a payment manager, and who checks voices.
//!
//! Nouns: simulator, role, fault, stats, books. Must not know: the engine's runs, stores, app, server.

mod answer;
pub mod companies;
mod fault;
mod market;
mod paywall;
mod role;
mod serve;
mod service;
mod stats;
mod ticket_agents;

pub use companies::Company;
pub use fault::Fault;
pub use paywall::Asks;
pub use role::Role;
pub use serve::serve;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use stats::Stats;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tutti_agents::model::scripted::{Dialect, Rule, Script};

/// The header that asks for a fault in one request.
pub const HEADER: &str = "x-simulate";
/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a simulator does.
#[derive(Debug, Default)]
pub struct Options {
    /// Rules for single requests; what fits none gets the offline model's answer.
    pub rules: Vec<Rule>,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
    /// What the marketplace sells; the built-in companies if empty.
    pub companies: Vec<Company>,
    /// In whose words the marketplace asks to be paid.
    pub dialect: Asks,
}

struct World {
    script: Script,
    faults: RwLock<Vec<Armed>>,
    stats: Stats,
    market: market::Market,
}

/// A fault, and how many requests it fitted so far.
struct Armed {
    fault: Fault,
    met: AtomicU64,
}

/// As much of a request as faults look at.
#[derive(Deserialize)]
struct Glimpse<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: bool,
    messages: Vec<IgnoredAny>,
}

/// The simulator's routes.
pub fn router(options: Options) -> Router {
    let world = World {
        script: Script::new(options.rules).or_answer().forgetful(),
        faults: RwLock::new(armed(options.faults)),
        stats: Stats::default(),
        market: market::Market::new(
            if options.companies.is_empty() { companies::built_in() } else { options.companies },
            options.dialect,
        ),
    };
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/messages", post(messages))
        .route("/v1/models", get(models))
        .route("/router/process", post(ticket_agents::router))
        .route("/knowledge/process", post(ticket_agents::knowledge))
        .route("/sentiment/process", post(ticket_agents::sentiment))
        .route("/decision/process", post(ticket_agents::decision))
        .route("/market/companies", get(market::search))
        .route("/market/company/basic", get(market::basic))
        .route("/market/company/detail", get(market::detail))
        .route("/market/pay", post(market::pay))
        .route("/market/books", get(market::books).delete(market::forget))
        .route("/payments/token", post(market::token))
        .route("/voice/verify", post(market::voice))
        .route("/faults", get(shown).post(set).delete(unset))
        .route("/stats", get(counted))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(Arc::new(world))
}

fn armed(faults: Vec<Fault>) -> Vec<Armed> {
    faults.into_iter().map(|fault| Armed { fault, met: AtomicU64::new(0) }).collect()
}

async fn chat(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    world.answer(Dialect::OpenAi, &headers, &body).await
}

async fn messages(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    world.answer(Dialect::Anthropic, &headers, &body).await
}

impl World {
    async fn answer(&self, dialect: Dialect, headers: &HeaderMap, body: &[u8]) -> Response {
        let key = text(headers, "idempotency-key");
        let glimpse = match serde_json::from_slice::<Glimpse<'_>>(body) {
            Ok(glimpse) if !glimpse.messages.is_empty() => glimpse,
            Ok(_) => return refusal("messages: a list with at least one message is needed"),
            Err(e) => return refusal(&e.to_string()),
        };
        let fault = match self.asked(Role::Model, headers, &glimpse.model, glimpse.stream) {
            Ok(fault) => fault,
            Err(wrong) => return refusal(&wrong),
        };
        let answer = || self.script.respond_in(dialect, key, body);
        let response = match fault {
            Some(fault) => fault.spoil(dialect, answer),
            None => answer(),
        };
        answer::send(response).await
    }

    /// Counts a request, and says what goes wrong with it: what its header says, or what is due.
    fn asked(&self, role: Role, headers: &HeaderMap, model: &str, streamed: bool) -> Result<Option<Fault>, String> {
        self.stats.asked(role, text(headers, "idempotency-key"));
        let fault = match text(headers, HEADER).map(fault::read_words) {
            Some(Err(wrong)) => return Err(format!("{HEADER}: {wrong}")),
            Some(Ok(fault)) => Some(fault),
            None => self.due(role, model, streamed),
        };
        if let Some(fault) = &fault {
            self.stats.faulty(fault);
        }
        Ok(fault)
    }

    /// The first that is due. Each counts the requests that it fits.
    fn due(&self, role: Role, model: &str, streamed: bool) -> Option<Fault> {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        for Armed { fault, met } in faults.iter().filter(|armed| armed.fault.fits(role, model, streamed)) {
            let n = met.fetch_add(1, Ordering::Relaxed) + 1;
            if due.is_none() && fault.is_due(n) {
                due = Some(fault.clone());
            }
        }
        due
    }

    fn set(&self, faults: Vec<Fault>) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = armed(faults);
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("not ASCII"))
}

/// In a shape that both dialects read.
pub(crate) fn refusal(message: &str) -> Response {
    let error = json!({"type": "invalid_request_error", "message": message});
    (StatusCode::BAD_REQUEST, axum::Json(json!({"type": "error", "error": error}))).into_response()
}

/// In a shape that both dialects read.
async fn models() -> axum::Json<Value> {
    let model = json!({"id": "simulated", "object": "model", "type": "model", "owned_by": "tutti", "display_name": "Simulated"});
    axum::Json(json!({"object": "list", "data": [model], "has_more": false}))
}

async fn shown(State(world): State<Arc<World>>) -> axum::Json<Value> {
    let faults = world.faults.read().unwrap_or_else(PoisonError::into_inner);
    axum::Json(json!({"faults": faults.iter().map(|armed| &armed.fault).collect::<Vec<_>>()}))
}

async fn set(State(world): State<Arc<World>>, body: Bytes) -> Response {
    match fault::read(&body) {
        Ok(faults) => {
            world.set(faults);
            shown(State(world)).await.into_response()
        }
        Err(wrong) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{wrong}; for example {}\n", fault::EXAMPLE)).into_response()
        }
    }
}

async fn unset(State(world): State<Arc<World>>) -> StatusCode {
    world.set(Vec::new());
    StatusCode::NO_CONTENT
}

async fn counted(State(world): State<Arc<World>>) -> axum::Json<Value> {
    axum::Json(world.stats.json())
}

async fn nothing() -> (StatusCode, &'static str) {
    let there = "POST /v1/chat/completions, POST /v1/messages, GET /v1/models, \
        POST /router|knowledge|sentiment|decision/process, GET /market/companies|company/basic|company/detail, \
        POST /market/pay, GET|DELETE /market/books, POST /payments/token, POST /voice/verify, \
        GET|POST|DELETE /faults, GET /stats\n";
    (StatusCode::NOT_FOUND, there)
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
