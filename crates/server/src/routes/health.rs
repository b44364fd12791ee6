//! Is it well, is it alive, does it take work: `/health`, `/health/live`, `/health/ready`.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::Doc;
use crate::routes::json;
use axum::extract::{Request, State};
use http::StatusCode;
use serde_json::json as value;
use std::time::Duration;
use tutti_app::Failure;

pub const HEALTH: Doc = Doc::new("health", "The state of every part")
    .answers(200, "Healthy or degraded", "Health")
    .answers(503, "Unhealthy: the store cannot be written", "Health");

/// `GET /health`
pub async fn health(State(shared): State<Shared>, request: Request) -> Answer {
    let asked = Asked::new(request);
    let health = shared.app.health(&asked.caller).await;
    json(if health.is_serving() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health)
}

pub const LIVE: Doc = Doc::new("health", "The process answers").answers(200, "Alive", "Object");

/// `GET /health/live`
pub async fn live() -> Answer {
    json(StatusCode::OK, &value!({"status": "alive"}))
}

pub const READY: Doc = Doc::new("health", "New work is taken").answers(200, "Ready", "Object").answers(
    503,
    "Not ready: stopping, or the store cannot be written",
    "Error",
);

/// `GET /health/ready`
pub async fn ready(State(shared): State<Shared>) -> Answer {
    if shared.options.stop.is_cancelled() || !shared.app.is_ready().await {
        let sentence = "not ready: the server is stopping or its store cannot be written";
        return Err(Failure::unavailable(sentence, Duration::from_secs(5)).into());
    }
    json(StatusCode::OK, &value!({"status": "ready"}))
}
