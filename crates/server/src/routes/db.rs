//! The store: what it is, and retention by hand.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::Doc;
use crate::routes::json;
use axum::extract::{Request, State};
use http::StatusCode;

pub const STATUS: Doc =
    Doc::new("db", "Which store, its version and size, the oldest run").answers(200, "The store", "DbStatus");

/// `GET /v1/db/status`
pub async fn status(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let status = shared.app.db_status().await;
    json(StatusCode::OK, &asked.settle(status)?)
}

pub const PRUNE: Doc = Doc::new("db", "Remove ended runs that retention no longer keeps, or count them")
    .takes("PruneRequest")
    .answers(200, "How many", "Pruned");

/// `POST /v1/db/prune`
pub async fn prune(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.body(&shared).await?;
    let pruned = shared.app.db_prune(&asked.caller, &body).await;
    json(StatusCode::OK, &asked.settle(pruned)?)
}
