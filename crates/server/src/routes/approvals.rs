//! What waits for a person.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::json;
use axum::extract::{Request, State};
use http::StatusCode;

pub const LIST: Doc = Doc::new("approvals", "What waits for a person, newest run first")
    .detail("Answer with `POST /v1/runs/{id}/approve`.")
    .params(&[Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "ApprovalPage");

/// `GET /v1/approvals`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.list_approvals(&asked.caller, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}
