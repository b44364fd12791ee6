//! Runs: start, list, read, follow, and tell them something.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, mark_replayed, nothing};
use crate::sse::{self, Leave};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use tutti_app::events::Following;
use tutti_app::runs::{ListRuns, read_status};

pub const WORKFLOWS: Doc =
    Doc::new("runs", "Every workflow that a run may name").answers(200, "The workflows", "Workflows");

/// `GET /v1/workflows`
pub async fn workflows(State(shared): State<Shared>) -> Answer {
    json(StatusCode::OK, &shared.app.workflows())
}

pub const START: Doc = Doc::new("runs", "Start a run of a workflow")
    .detail("Answers at once; with `wait`, when the run ends or the time is up. For a pattern the input is `{input, agents, options}`.")
    .params(&[Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .takes("RunRequest")
    .answers(200, "Ended within `wait`, whatever its status", "Run")
    .answers(202, "Accepted: it will end", "Run");

/// `POST /v1/runs`
pub async fn start(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait();
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_run(&asked.caller, &body).await;
    let prepared = asked.settle(prepared)?;
    let started = shared.app.start(prepared, wait).await?;
    let started = shared.app.with_answers(started).await?;
    let ended_in_time = started.has_ended && wait.is_some();
    let mut response = json(if ended_in_time { StatusCode::OK } else { StatusCode::ACCEPTED }, &started.run)?;
    locate(&mut response, &format!("/v1/runs/{}", started.run.run_id));
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}

pub const LIST: Doc = Doc::new("runs", "Runs, newest first, without input, output and journal")
    .params(&[Param::STATUS, Param::WORKFLOW, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "RunPage");

/// `GET /v1/runs`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let words = "queued, running, waiting, completed, failed, cancelled, timed_out, blocked";
    let list = ListRuns {
        status: query.word("status", words, read_status),
        workflow: query.text("workflow").map(String::from),
        limit: query.integer("limit", 1, 200).unwrap_or(50),
        cursor: query.text("cursor").map(String::from),
    };
    let page = shared.app.list_runs(&asked.caller, list).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const GET: Doc =
    Doc::new("runs", "A run with its journal").params(&[Param::RUN, Param::JOURNAL]).answers(200, "The run", "Run");

/// `GET /v1/runs/{id}`
pub async fn get(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let journal = asked.query().boolean("journal").unwrap_or(true);
    asked.settle(Ok(()))?;
    json(StatusCode::OK, &shared.app.run(&asked.caller, &id, journal).await?)
}

pub const EVENTS: Doc = Doc::new("runs", "Follow a run's events")
    .params(&[Param::RUN, Param::AFTER, Param::LAST_EVENT_ID])
    .streams()
    .answers(204, "The run has ended and everything was seen", "");

/// `GET /v1/runs/{id}/events`
pub async fn events(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let after = sse::after(&mut asked);
    asked.settle(Ok(()))?;
    Ok(followed(&shared, shared.app.follow(&asked.caller, &id, after).await?))
}

/// The stream of a run, or the word that there is nothing more of it.
pub(crate) fn followed(shared: &Shared, following: Following) -> Response {
    match following {
        Following::Events(follow) => sse::response(shared, follow, Leave::Continue),
        Following::AtEnd => nothing(),
    }
}

pub const CANCEL: Doc = Doc::new("runs", "Ask a run to stop")
    .detail("Answers once it has stopped; an ended run stays as it is. The body, `{\"reason\"}`, may be left out.")
    .params(&[Param::RUN])
    .may_take("CancelRequest")
    .answers(200, "Stopped, or ended before", "Run")
    .answers(202, "Not stopped within 5 s; it will be", "Run");

/// `POST /v1/runs/{id}/cancel`
pub async fn cancel(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.body(&shared).await?;
    let cancelled = shared.app.cancel(&asked.caller, &id, &body).await;
    let (run, is_stopped) = asked.settle(cancelled)?;
    json(if is_stopped { StatusCode::OK } else { StatusCode::ACCEPTED }, &run)
}

pub const SIGNAL: Doc = Doc::new("runs", "Send a run a signal")
    .detail("With an Idempotency-Key repeats count once.")
    .params(&[Param::RUN, Param::ONCE_KEY])
    .takes("SignalRequest")
    .answers(202, "Durable: the run will see it", "Signalled")
    .answers(409, "The run has ended", "Error");

/// `POST /v1/runs/{id}/signal`
pub async fn signal(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    asked.settle(Ok(()))?;
    json(StatusCode::ACCEPTED, &shared.app.signal(&asked.caller, &id, &body).await?)
}

pub const APPROVE: Doc = Doc::new("runs", "Decide what a run asked a person")
    .detail("The first decision counts.")
    .params(&[Param::RUN])
    .takes("ApproveRequest")
    .answers(200, "Decided", "Run")
    .answers(409, "Decided already, or the run has ended", "Error");

/// `POST /v1/runs/{id}/approve`
pub async fn approve(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    asked.settle(Ok(()))?;
    json(StatusCode::OK, &shared.app.approve(&asked.caller, &id, &body).await?)
}
