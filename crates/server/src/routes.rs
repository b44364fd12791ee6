//! Handlers, one file per surface. Each reads its request, asks the application one thing, and writes the answer; its part of
//! the OpenAPI description stands beside it.

pub mod about;
pub mod approvals;
pub mod health;
pub mod orchestrate;
pub mod runs;
pub mod sessions;
pub mod tickets;

use crate::failure::Answer;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
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
