//! What this server is: `/`, `/openapi.json`.

use crate::Shared;
use crate::failure::Answer;
use crate::openapi::Doc;
use crate::routes::{json, text};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

pub const API: Doc = Doc::new("about", "What this server is and where to go next").answers(200, "The API", "Object");

/// `GET /`
pub async fn api(State(shared): State<Shared>) -> Answer {
    let body = serde_json::json!({
        "name": "Tutti",
        "description": "Runs teams of AI agents so that an operator can trust them.",
        "version": shared.app.version(),
        "links": {
            "openapi": "/openapi.json",
            "health": "/health",
            "patterns": "/patterns",
            "orchestrate": "/orchestrate",
            "workflows": "/v1/workflows",
            "runs": "/v1/runs",
            "approvals": "/v1/approvals",
            "sessions": "/sessions",
            "tickets": "/api/tickets",
            "tasks": "/tasks",
            "agents": "/orchestrator/agents",
            "metrics": "/metrics"
        }
    });
    json(StatusCode::OK, &body)
}

pub const OPENAPI: Doc = Doc::new("about", "This description").answers(200, "OpenAPI 3.1", "Object");

/// `GET /openapi.json`
pub async fn openapi(State(shared): State<Shared>) -> Response {
    let mut response = Response::new(Body::from(shared.openapi.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub const METRICS: Doc =
    Doc::new("about", "Counters of this process, as Prometheus reads them").answers(200, "Text", "");

/// `GET /metrics`
pub async fn metrics(State(shared): State<Shared>) -> Response {
    text("text/plain; version=0.0.4; charset=utf-8", shared.app.metrics().await)
}
