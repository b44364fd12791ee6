//! Handlers, one file per surface. Each reads its request, asks the application one thing, and writes the answer; its part of
//! the OpenAPI description stands beside it.

pub mod about;
pub mod approvals;
pub mod articles;
pub mod budgets;
pub mod chat;
pub mod data_sources;
pub mod db;
pub mod documents;
pub mod graphs;
pub mod health;
pub mod memory;
pub mod models;
pub mod orchestrate;
pub mod orchestrator;
pub mod runs;
pub mod sessions;
pub mod tasks;
pub mod tickets;
pub mod tools;
pub mod transfer;

use crate::failure::Answer;
use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use tutti_app::Failure;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body)
        .map_err(|e| Failure::internal(format!("an answer could not be written as JSON: {e}")))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A text of some kind.
pub(crate) fn text(kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Done, and there is nothing to say.
pub(crate) fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Whether a client names this kind among those that it takes.
pub(crate) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|wish| {
        let wished = wish.split(';').next().unwrap_or_default();
        wished.trim().eq_ignore_ascii_case(kind)
    })
}

/// Says where the run, or its stream, is to be found.
pub(crate) fn locate(response: &mut Response, path: &str) {
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
}

/// Says that this is an earlier request's answer.
pub(crate) fn mark_replayed(response: &mut Response, is_replayed: bool) {
    if is_replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
}
