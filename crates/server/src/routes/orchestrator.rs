//! Registered agents: register, start, stop, list; their tasks; and work for those that come and fetch it.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, mark_replayed, nothing};
use axum::extract::{Request, State};
use http::StatusCode;
use serde_json::Value;
use std::time::{Duration, Instant};
use tutti_app::agent_tasks::{ListAgentTasks, STATUSES};
use tutti_app::jobs::Seen;
use tutti_app::registry::{AgentView, ListAgents, STATES};

/// How long a worker waits for a job where it says nothing.
const CLAIM_WAIT: Duration = Duration::from_secs(30);

pub const REGISTER: Doc = Doc::new("orchestrator", "Register an agent, or update the one with the same id")
    .detail("Without `endpoint` and `protocol` it runs here. `queue` agents fetch their work: see `jobs/claim`.")
    .takes("RegisterRequest")
    .answers(201, "Registered", "Agent")
    .answers(200, "Updated", "Agent");

/// `POST /orchestrator/register`
pub async fn register(State(shared): State<Shared>, request: Request) -> Answer {
    let (asked, body) = read(&shared, request).await?;
    let (agent, is_new) = shared.app.register_agent(&asked.caller, &body).await?;
    let mut response = json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &agent)?;
    locate(&mut response, &format!("/orchestrator/agents/{}", agent.agent_id));
    Ok(response)
}

pub const UNREGISTER: Doc = Doc::new("orchestrator", "Take an agent out")
    .detail("What it works on goes on, or is cancelled with `force`; tasks that only wait for it end.")
    .takes("UnregisterRequest")
    .answers(200, "Taken out", "Object")
    .answers(404, "There is no such agent", "Error");

/// `POST /orchestrator/unregister`
pub async fn unregister(State(shared): State<Shared>, request: Request) -> Answer {
    let (asked, body) = read(&shared, request).await?;
    json(StatusCode::OK, &shared.app.unregister_agent(&asked.caller, &body).await?)
}

pub const LIST: Doc = Doc::new("orchestrator", "Registered agents, by id")
    .params(&[Param::DOMAIN, Param::AGENT_STATUS, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "AgentPage");

/// `GET /orchestrator/agents`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let state = |word: &str| STATES.iter().find(|(known, _)| *known == word).map(|(_, state)| *state);
    let known = STATES.map(|(word, _)| word).join(", ");
    let list = ListAgents {
        domain: query.text("domain").map(String::from),
        state: query.word("status", &known, state),
        limit: query.integer("limit", 1, 200).unwrap_or(50),
        cursor: query.text("cursor").map(String::from),
    };
    let page = shared.app.list_agents(&asked.caller, list).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const GET: Doc = Doc::new("orchestrator", "An agent: status, instances, sessions, last heartbeat, figures")
    .params(&[Param::AGENT])
    .answers(200, "The agent", "Agent");

/// `GET /orchestrator/agents/{id}`
pub async fn get(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.agent(&asked.caller, &id).await?)
}

pub const SESSIONS: Doc = Doc::new("orchestrator", "An agent's sessions, open and past, with their tasks")
    .params(&[Param::AGENT, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "AgentSessionPage");

/// `GET /orchestrator/agents/{id}/sessions`
pub async fn sessions(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.agent_sessions(&asked.caller, &id, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const START: Doc = Doc::new("orchestrator", "Start an agent, or an instance of it")
    .takes("AgentRequest")
    .answers(202, "Starting, or started", "Agent")
    .answers(200, "It runs already", "Agent")
    .answers(404, "There is no such agent", "Error");

/// `POST /orchestrator/start`
pub async fn start(State(shared): State<Shared>, request: Request) -> Answer {
    let (asked, body) = read(&shared, request).await?;
    moved(shared.app.start_agent(&asked.caller, &body).await?)
}

pub const STOP: Doc = Doc::new("orchestrator", "Stop an agent, or an instance of it")
    .detail("It takes no more tasks and finishes those that it has; then it is `stopped`.")
    .takes("AgentRequest")
    .answers(202, "Stopping, or stopped", "Agent")
    .answers(200, "It was stopped already", "Agent")
    .answers(404, "There is no such agent", "Error");

/// `POST /orchestrator/stop`
pub async fn stop(State(shared): State<Shared>, request: Request) -> Answer {
    let (asked, body) = read(&shared, request).await?;
    moved(shared.app.stop_agent(&asked.caller, &body).await?)
}

pub const HEARTBEAT: Doc = Doc::new("orchestrator", "An instance says that it lives")
    .detail("Every 30 s. One that has spoken once and is silent for 90 s gets no more work until it speaks again.")
    .takes("HeartbeatRequest")
    .answers(200, "Heard", "Object")
    .answers(404, "There is no such agent", "Error");

/// `POST /orchestrator/heartbeat`
pub async fn heartbeat(State(shared): State<Shared>, request: Request) -> Answer {
    let (asked, body) = read(&shared, request).await?;
    json(StatusCode::OK, &shared.app.heartbeat(&asked.caller, &body).await?)
}

pub const EXECUTE: Doc = Doc::new("orchestrator", "Give an agent a task")
    .detail(
        "To `agent_id`, or to the least loaded running agent of a `domain` or with a `capability`. An agent that is only \
         registered is started. More tasks than an agent has sessions wait, higher priority first.",
    )
    .params(&[Param::WAIT, Param::PREFER, Param::ONCE_KEY])
    .takes("ExecuteRequest")
    .answers(202, "Accepted: it will end", "AgentTask")
    .answers(404, "There is no such agent", "Error")
    .answers(409, "The agent takes no work, or nobody does such work", "Error");

/// `POST /orchestrator/execute-task`
pub async fn execute(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let wait = asked.wait();
    let body = asked.required_body(&shared).await?;
    let prepared = shared.app.read_agent_task(&asked.caller, &body).await;
    let prepared = asked.settle(prepared)?;
    let (task, started) = shared.app.execute_task(prepared, wait).await?;
    let mut response = json(StatusCode::ACCEPTED, &task)?;
    locate(&mut response, &format!("/orchestrator/tasks/{}", task.task_id));
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}

pub const TASK: Doc = Doc::new("orchestrator", "A task: status, result, attempts, timings")
    .params(&[Param::TASK])
    .answers(200, "The task", "AgentTask");

/// `GET /orchestrator/tasks/{id}`
pub async fn task(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.agent_task(&asked.caller, &id).await?)
}

pub const TASKS: Doc = Doc::new("orchestrator", "Tasks of agents, newest first")
    .params(&[Param::OF_AGENT, Param::IN_SESSION, Param::TASK_STATUS, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "AgentTaskPage");

/// `GET /orchestrator/tasks`
pub async fn tasks(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let status = |word: &str| STATUSES.into_iter().find(|status| *status == word);
    let list = ListAgentTasks {
        agent_id: query.text("agent_id").map(String::from),
        session_id: query.text("session_id").map(String::from),
        status: query.word("status", &STATUSES.join(", "), status),
        limit: query.integer("limit", 1, 200).unwrap_or(50),
        cursor: query.text("cursor").map(String::from),
    };
    let page = shared.app.list_agent_tasks(&asked.caller, list).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const CANCEL: Doc = Doc::new("orchestrator", "Ask a task to stop")
    .detail("Answers once it has stopped; an ended task stays as it is. The body, `{\"reason\"}`, may be left out.")
    .params(&[Param::TASK])
    .may_take("CancelRequest")
    .answers(200, "Stopped, or ended before", "AgentTask")
    .answers(202, "Not stopped within 5 s; it will be", "AgentTask");

/// `POST /orchestrator/tasks/{id}/cancel`
pub async fn cancel(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.body(&shared).await?;
    let cancelled = shared.app.cancel_agent_task(&asked.caller, &id, &body).await;
    let (task, is_stopped) = asked.settle(cancelled)?;
    json(if is_stopped { StatusCode::OK } else { StatusCode::ACCEPTED }, &task)
}

pub const CLAIM: Doc = Doc::new("orchestrator", "A worker fetches a job of a `queue` agent")
    .detail("Waits for one, 30 s where `wait` is not given. The worker keeps it as long as it sends heartbeats.")
    .params(&[Param::WAIT])
    .takes("ClaimRequest")
    .answers(200, "A job", "Job")
    .answers(204, "There is none", "")
    .answers(404, "There is no such agent", "Error");

/// `POST /orchestrator/jobs/claim`
pub async fn claim(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let until = Instant::now() + asked.wait().unwrap_or(CLAIM_WAIT);
    let body = asked.required_body(&shared).await?;
    let worker = shared.app.read_worker(&body);
    let worker = asked.settle(worker)?;
    let stop = &shared.options.stop;
    let mut seen = Seen::default();
    loop {
        if let Some(job) = shared.app.claim_job(&asked.caller, &worker).await? {
            return json(StatusCode::OK, &job);
        }
        let left = until.saturating_duration_since(Instant::now());
        // A server that stops does not keep its workers.
        if left.is_zero() || stop.is_cancelled() {
            return Ok(nothing());
        }
        tokio::select! {
            () = shared.app.jobs_opened(left, &mut seen) => {}
            () = stop.cancelled() => {}
        }
    }
}

pub const RESULT: Doc = Doc::new("orchestrator", "A worker says what came of a job")
    .detail("The same result again changes nothing.")
    .params(&[Param::JOB])
    .takes("JobResultRequest")
    .answers(200, "Accepted", "Object")
    .answers(409, "Another worker has it by now, or nobody wants it any more", "Error");

/// `POST /orchestrator/jobs/{id}/result`
pub async fn result(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let (asked, body) = read(&shared, request).await?;
    let (accepted, is_repeated) = shared.app.job_result(&asked.caller, &id, &body).await?;
    let mut response = json(StatusCode::OK, &accepted)?;
    mark_replayed(&mut response, is_repeated);
    Ok(response)
}

/// A request whose body is all there is to it.
async fn read(shared: &Shared, request: Request) -> Result<(Asked, Value), crate::failure::Failed> {
    let mut asked = Asked::new(request);
    let body = asked.required_body(shared).await?;
    asked.settle(Ok(()))?;
    Ok((asked, body))
}

fn moved((agent, is_new): (AgentView, bool)) -> Answer {
    json(if is_new { StatusCode::ACCEPTED } else { StatusCode::OK }, &agent)
}
