//! What is remembered of users and conversations: how much, which facts, and forgetting it.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, nothing};
use axum::extract::{Request, State};
use http::StatusCode;
use tutti_app::{Failure, FieldError};

pub const STATS: Doc = Doc::new("memory", "How much is remembered")
    .detail(
        "Of the caller's conversations, states and facts, for an admin of the tenant's; and how kept answers fared.",
    )
    .answers(200, "How much", "MemoryStats");

/// `GET /v1/memory/stats`
pub async fn stats(State(shared): State<Shared>, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.memory_stats(&asked.caller).await?)
}

pub const CLEAR: Doc = Doc::new("memory", "Forget a user, a conversation, or everything")
    .detail("Journals and live runs are not touched. `all` needs the role admin.")
    .takes("MemoryClearRequest")
    .answers(200, "How much of each was forgotten", "MemoryCleared");

/// `POST /v1/memory/clear`
pub async fn clear(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.body(&shared).await?;
    asked.settle(Ok(()))?;
    let cleared = shared.app.clear_memory(&asked.caller, &body).await?;
    json(StatusCode::OK, &serde_json::json!({ "cleared": cleared }))
}

pub const FACTS: Doc = Doc::new("memory", "What is known about a user, what was said last first")
    .params(&[Param::OF_USER])
    .answers(200, "All of it", "FactPage");

/// `GET /v1/memory/facts`
pub async fn facts(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let user = asked.query().text("user_id").filter(|user| !user.is_empty()).map(String::from);
    let Some(user) = user else {
        let loc = vec!["query".into(), "user_id".into()];
        let missing = FieldError { loc, msg: "field required".into(), kind: "value_error.missing" };
        return Err(Failure::invalid(vec![missing]).into());
    };
    json(StatusCode::OK, &shared.app.facts(&asked.caller, &user).await?)
}

pub const FORGET: Doc = Doc::new("memory", "Forget one fact").params(&[Param::FACT]).answers(204, "Forgotten", "");

/// `DELETE /v1/memory/facts/{id}`
pub async fn forget(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.forget_fact(&asked.caller, &id).await?;
    Ok(nothing())
}
