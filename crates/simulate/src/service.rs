//! What every service but the model has in common: it is counted, something may go wrong with it, and it answers JSON.

use crate::answer::cut;
use crate::fault::Fault;
use crate::role::Role;
use crate::{World, refusal};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// What a service says where nothing goes wrong.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn ok(body: &impl serde::Serialize) -> Self {
        Self::new(StatusCode::OK, body)
    }

    pub fn new(status: StatusCode, body: &impl serde::Serialize) -> Self {
        Self { status, headers: Vec::new(), body: serde_json::to_vec(body).unwrap_or_default() }
    }

    /// The caller's mistake, in words.
    pub fn wrong(status: StatusCode, message: &str) -> Self {
        Self::new(status, &serde_json::json!({ "error": message }))
    }
}

impl World {
    /// Plays a service once: `work` is told what goes wrong, and is not called where nothing is done.
    pub(crate) async fn play(
        &self,
        role: Role,
        headers: &HeaderMap,
        work: impl FnOnce(Option<&Fault>) -> Answer,
    ) -> Response {
        let fault = match self.asked(role, headers, "", false) {
            Ok(fault) => fault,
            Err(wrong) => return refusal(&wrong),
        };
        let Some(fault) = fault else { return send(work(None)) };
        if let Some(ms) = fault.delay_ms {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        match &fault {
            Fault { hang: true, .. } => std::future::pending().await,
            Fault { drop: true, .. } => cut(),
            Fault { lose_answer: true, .. } => {
                let _ = work(Some(&fault));
                cut()
            }
            Fault { status: Some(status), retry_after, .. } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = send(Answer::wrong(status, "a fault says so"));
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
                }
                response
            }
            Fault { redirect: Some(to), .. } => {
                let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
                (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
            }
            Fault { garbage: true, .. } => {
                axum::response::Html("<html><body>Bad gateway</body></html>").into_response()
            }
            Fault { wrong_contract: true, .. } => send(Answer::ok(&serde_json::json!({"result": "fine", "items": 7}))),
            Fault { broken_json: true, .. } => {
                let mut answer = work(Some(&fault));
                answer.body.truncate(answer.body.len() / 2);
                send(answer)
            }
            _ => send(work(Some(&fault))),
        }
    }
}

fn send(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().extend(answer.headers);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
