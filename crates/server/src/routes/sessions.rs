//! Sessions: list them, read one, see what the next run would read, delete one.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{accepts, json, nothing, text};
use axum::extract::{Request, State};
use http::StatusCode;
use tutti_app::{WINDOW_MESSAGES_MAX, WINDOW_TOKENS_MAX};

pub const LIST: Doc = Doc::new("sessions", "The caller's sessions, newest first, without messages")
    .params(&[Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "SessionPage");

/// `GET /sessions`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.list_sessions(&asked.caller, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const GET: Doc = Doc::new("sessions", "A session with its messages and its state")
    .detail("The newest turns, as many as `limit` says, oldest message first; `next_cursor` leads to the turns before them.")
    .params(&[Param::SESSION, Param::LIMIT, Param::CURSOR])
    .answers(200, "The session", "Session");

/// `GET /sessions/{id}`
pub async fn get(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let session = shared.app.session(&asked.caller, &id, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(session)?)
}

pub const CONTEXT: Doc = Doc::new("sessions", "What the next run of a session would read")
    .detail("As JSON, or as Markdown with `format=markdown` or `Accept: text/markdown`.")
    .params(&[Param::SESSION, Param::FORMAT, Param::WINDOW_MESSAGES, Param::WINDOW_TOKENS])
    .answers(200, "The messages inside the window", "SessionContext");

/// `GET /sessions/{id}/context`
pub async fn context(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let accepted = accepts(asked.headers(), "text/markdown");
    let mut query = asked.query();
    let is_markdown = |word: &str| match word {
        "markdown" => Some(true),
        "json" => Some(false),
        _ => None,
    };
    let is_markdown = query.word("format", "json, markdown", is_markdown).unwrap_or(accepted);
    let messages = query.integer("window_messages", 0, WINDOW_MESSAGES_MAX);
    let tokens = query.integer("window_tokens", 0, WINDOW_TOKENS_MAX);
    asked.settle(Ok(()))?;
    let context = shared.app.session_context(&asked.caller, &id, messages, tokens).await?;
    if !is_markdown {
        return json(StatusCode::OK, &context);
    }
    Ok(text("text/markdown; charset=utf-8", context.markdown()))
}

pub const DELETE: Doc =
    Doc::new("sessions", "Delete a session: its messages go, its runs are stopped and stay as runs")
        .params(&[Param::SESSION])
        .answers(204, "Deleted", "");

/// `DELETE /sessions/{id}`
pub async fn delete(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.delete_session(&asked.caller, &id).await?;
    Ok(nothing())
}
