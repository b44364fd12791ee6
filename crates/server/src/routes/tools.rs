//! Tools: list them, register them, call one by hand.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, mark_replayed, nothing};
use axum::extract::{Request, State};
use http::StatusCode;

pub const LIST: Doc = Doc::new("tools", "Every tool that agents may use, by name")
    .detail("Built-in ones, those of the operator's file, and those that were registered. Secrets are never shown.")
    .params(&[Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "ToolPage");

/// `GET /v1/tools/list`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.list_tools(&asked.caller, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const REGISTER: Doc = Doc::new("tools", "Register a tool, or replace the one with the same name")
    .detail("Its config may name secrets of the operator as `${NAME}` or `{\"secret\": NAME}`; a secret that stands in it is kept \
        encrypted. Addresses on private networks need EGRESS_ALLOW.")
    .takes("ToolRequest")
    .answers(201, "Registered", "Tool")
    .answers(200, "Replaced", "Tool")
    .answers(409, "The name is that of a tool of the operator's file", "Error");

/// `POST /v1/tools/register`
pub async fn register(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    let registered = shared.app.register_tool(&asked.caller, &body).await;
    let (tool, is_new) = asked.settle(registered)?;
    json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &tool)
}

pub const APPROVE: Doc = Doc::new("tools", "Take what a set of tools stands for now as approved")
    .detail(
        "A tool of an MCP server whose definition is new or has changed is not called until somebody has looked at it.",
    )
    .params(&[Param::TOOL])
    .answers(200, "Approved", "Tool")
    .answers(404, "There is no such tool", "Error")
    .answers(502, "Its source cannot be reached", "Error");

/// `POST /v1/tools/{name}/approve`
pub async fn approve(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.approve_tools(&asked.caller, &name).await?)
}

pub const DELETE: Doc = Doc::new("tools", "Take a registered tool out")
    .params(&[Param::TOOL])
    .answers(204, "Taken out", "")
    .answers(404, "There is no such tool", "Error")
    .answers(409, "It is built in, or stands in the operator's file", "Error");

/// `DELETE /v1/tools/{name}`
pub async fn delete(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.delete_tool(&asked.caller, &name).await?;
    Ok(nothing())
}

pub const CALL: Doc = Doc::new("tools", "Call a tool; the body is its arguments")
    .detail("The call is a run. Waits for its end, REQUEST_TIMEOUT (120 s) unless `wait` says otherwise. A call that fails is still \
        200: see `status`.")
    .params(&[Param::TOOL, Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .takes("Object")
    .answers(200, "Ended in time, whatever its status", "ToolCalled")
    .answers(202, "Not ended yet: the run, to be found under Location", "Run")
    .answers(409, "Its definition has changed since somebody approved it", "Error");

/// `POST /v1/tools/{name}/call`
pub async fn call(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait().unwrap_or(shared.app.orchestrate_wait());
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_tool_call(&asked.caller, &name, &body).await;
    let prepared = asked.settle(prepared)?;
    let started = shared.app.start(prepared, Some(wait)).await?;
    let mut response = if started.has_ended {
        json(StatusCode::OK, &shared.app.called(&started))?
    } else {
        json(StatusCode::ACCEPTED, &started.run)?
    };
    locate(&mut response, &format!("/v1/runs/{}", started.run.run_id));
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}
