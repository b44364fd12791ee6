//! What accounts may spend, and what is left.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::json;
use axum::extract::{Request, State};
use http::StatusCode;

pub const LIST: Doc = Doc::new("budgets", "The caller's accounts: limits, what is held, spent and left")
    .params(&[Param::OF_SESSION])
    .answers(200, "The accounts", "BudgetPage");

/// `GET /v1/budgets`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let session = asked.query().text("session_id").map(String::from);
    let budgets = shared.app.budgets(&asked.caller, session.as_deref()).await;
    json(StatusCode::OK, &asked.settle(budgets)?)
}
