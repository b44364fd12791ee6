//! Patterns: `/orchestrate`, `/orchestrate/stream`, `/patterns`.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, mark_replayed};
use crate::sse;
use axum::extract::{Request, State};
use http::StatusCode;

pub const PATTERNS: Doc = Doc::new("orchestrate", "Each pattern with the JSON Schema of its options and an example")
    .answers(200, "The patterns, and the agents that may be named", "Patterns");

/// `GET /patterns`
pub async fn patterns(State(shared): State<Shared>, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.patterns(&asked.caller).await?)
}

pub const ORCHESTRATE: Doc = Doc::new("orchestrate", "Run a pattern with a team and answer with its result")
    .detail("Waits for the end, REQUEST_TIMEOUT (120 s) unless `wait` says otherwise. A run that fails is still 200: see `status`.")
    .params(&[Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .takes("OrchestrateRequest")
    .answers(200, "Ended in time, whatever its status", "Orchestration")
    .answers(202, "Not ended yet: the run, to be found under Location", "Run");

/// `POST /orchestrate`
pub async fn orchestrate(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait().unwrap_or(shared.app.orchestrate_wait());
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_orchestrate(&asked.caller, &body, false).await;
    let prepared = asked.settle(prepared)?;
    let started = shared.app.start(prepared, Some(wait)).await?;
    let mut response = if started.has_ended {
        json(StatusCode::OK, &shared.app.orchestration(&started).await?)?
    } else {
        json(StatusCode::ACCEPTED, &started.run)?
    };
    locate(&mut response, &format!("/v1/runs/{}", started.run.run_id));
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}

pub const STREAM: Doc = Doc::new("orchestrate", "Run a pattern and stream its events, from the first to the last")
    .detail("Resume at Location with Last-Event-ID. Errors before the first event are plain JSON.")
    .params(&[Param::ON_DISCONNECT, Param::ONCE_KEY])
    .takes("OrchestrateRequest")
    .streams();

/// `POST /orchestrate/stream`
pub async fn stream(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let cancels = sse::cancels_when_left(&mut asked);
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_orchestrate(&asked.caller, &body, true).await;
    let prepared = asked.settle(prepared)?;
    sse::started(&shared, prepared, asked.caller, cancels).await
}
