//! Paid research: start a task, read it and its report, follow, list, settle a payment.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::{Answer, Failed};
use crate::openapi::{Doc, Param};
use crate::routes::runs::followed;
use crate::routes::{accepts, json, locate, mark_replayed, text};
use crate::sse;
use axum::extract::{FromRequestParts, Path, Request, State};
use http::StatusCode;
use http::request::Parts;
use serde_json::json as value;
use tutti_app::Failure;
use tutti_app::runs::read_status;

pub const CREATE: Doc = Doc::new("tasks", "Start a research task that may spend a budget")
    .detail("Answers its id at once; with `wait`, once it has ended or the time is up.")
    .params(&[Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .takes("TaskRequest")
    .answers(200, "Accepted: it will end", "TaskAccepted");

/// `POST /tasks`
pub async fn create(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait();
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_task(&asked.caller, &body).await;
    let prepared = asked.settle(prepared)?;
    let started = shared.app.start_task(prepared, wait).await?;
    let mut response = json(StatusCode::OK, &value!({ "task_id": started.run.run_id }))?;
    locate(&mut response, &format!("/tasks/{}", started.run.run_id));
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}

pub const GET: Doc = Doc::new("tasks", "A task: status, money, receipts, sources, report")
    .params(&[Param::TASK])
    .answers(200, "The task", "Task");

/// `GET /tasks/{id}`
pub async fn get(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.task(&asked.caller, &id).await?)
}

pub const REPORT: Doc = Doc::new("tasks", "A task's report, in Markdown or (by `Accept`) in HTML")
    .params(&[Param::TASK])
    .answers(200, "The report", "")
    .answers(409, "The task has not ended, or it failed", "Error");

/// `GET /tasks/{id}/report`
pub async fn report(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    let wants_html = accepts(asked.headers(), "text/html") && !accepts(asked.headers(), "text/markdown");
    if wants_html {
        return Ok(text("text/html; charset=utf-8", shared.app.task_report_html(&asked.caller, &id).await?));
    }
    Ok(text("text/markdown; charset=utf-8", shared.app.task_report(&asked.caller, &id).await?))
}

pub const EVENTS: Doc = Doc::new("tasks", "Follow a task's events")
    .params(&[Param::TASK, Param::AFTER, Param::LAST_EVENT_ID])
    .streams()
    .answers(204, "The task has ended and everything was seen", "");

/// `GET /tasks/{id}/events`
pub async fn events(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let after = sse::after(&mut asked);
    asked.settle(Ok(()))?;
    Ok(followed(&shared, shared.app.follow_task(&asked.caller, &id, after).await?))
}

pub const LIST: Doc = Doc::new("tasks", "Tasks, newest first")
    .params(&[Param::STATUS, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "TaskPage");

/// `GET /tasks`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let words = "queued, running, waiting, completed, failed, cancelled, timed_out, blocked";
    let status = query.word("status", words, read_status);
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.list_tasks(&asked.caller, status, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const SETTLE: Doc = Doc::new("tasks", "Say what came of a payment whose outcome is not known")
    .detail("The first word counts; receipts and report follow it.")
    .params(&[Param::TASK, Param::SOURCE])
    .takes("SettleRequest")
    .answers(200, "Settled", "Task")
    .answers(409, "There is nothing to settle (any more)", "Error");

/// `POST /tasks/{id}/payments/{source}`
pub async fn settle(State(shared): State<Shared>, Payment { id, source }: Payment, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    let settled = shared.app.settle_payment(&asked.caller, &id, &source, &body).await;
    json(StatusCode::OK, &asked.settle(settled)?)
}

/// The two ids in a payment's path.
pub struct Payment {
    id: String,
    source: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Payment {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((id, source))) => Ok(Self { id, source }),
            Err(_) => Err(Failure::not_found("there is nothing under this address").into()),
        }
    }
}
