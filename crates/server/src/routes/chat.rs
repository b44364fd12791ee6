//! Chat: `/v1/chat`, plain and streamed.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, mark_replayed};
use crate::sse;
use axum::extract::{Request, State};
use http::StatusCode;

pub const CHAT: Doc = Doc::new("chat", "Say something and get an answer")
    .detail("Runs the graph `chat`. Waits for the end, REQUEST_TIMEOUT (120 s) unless `wait` says otherwise; with `stream: true` \
        it streams the run's events. Resume at Location with Last-Event-ID.")
    .params(&[Param::WAIT, Param::PREFER, Param::ON_DISCONNECT, Param::ONCE_KEY])
    .takes("ChatRequest")
    .answers(200, "Ended in time, whatever its status", "ChatAnswer")
    .answers(202, "Not ended yet: the run, to be found under Location", "Run");

/// `POST /v1/chat`
pub async fn chat(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait().unwrap_or(shared.app.orchestrate_wait());
    let cancels = sse::cancels_when_left(&mut asked);
    let body = asked.required_body(&shared).await?;
    let read = shared.app.read_chat(&asked.caller, &body).await;
    let (prepared, is_stream) = asked.settle(read)?;
    if is_stream {
        return sse::started(&shared, prepared, asked.caller, cancels).await;
    }
    let started = shared.app.start(prepared, Some(wait)).await?;
    let mut response = if started.has_ended {
        json(StatusCode::OK, &shared.app.chat_answer(&started).await?)?
    } else {
        json(StatusCode::ACCEPTED, &started.run)?
    };
    locate(&mut response, &format!("/v1/runs/{}", started.run.run_id));
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}
