//! `tutti agents …`: registered agents and their tasks from the terminal.

mod tasks;

use super::page::Page;
use super::{Server, Usage, catalog};
use crate::client::segment;
use crate::config::Loaded;
use crate::show::{self, Ink, line};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::Read;

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub enum Agents {
    /// List registered agents
    List(List),
    /// List every agent that a request may name: registered, configured and built in
    Names(catalog::Agents),
    /// Show a registered agent
    Get(One),
    /// Register an agent from a JSON or YAML file, or update it
    Register(Register),
    /// Start an agent, or one of its instances
    Start(Move),
    /// Stop an agent, or one of its instances; it finishes what it has
    Stop(Move),
    /// Take an agent out
    Unregister(Unregister),
    /// List an agent's sessions
    Sessions(Sessions),
    /// Give an agent a task, wait for its end and print the result
    Run(tasks::Run),
    /// List tasks of agents, newest first
    Tasks(tasks::List),
    /// Show a task
    Task(tasks::One),
    /// Stop a task
    Cancel(tasks::One),
}

/// Which agents.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this domain
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Only in this state, e.g. running
    #[arg(long, value_name = "STATE")]
    status: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Which agent.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The agent's id
    agent_id: String,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// What to register.
#[derive(Debug, clap::Args)]
pub struct Register {
    /// File with the registration; - reads standard input
    pub(super) file: String,
    #[command(flatten)]
    pub(super) server: Server,
    /// JSON for programs
    #[arg(long)]
    pub(super) json: bool,
}

/// Whom to start or stop.
#[derive(Debug, clap::Args)]
pub struct Move {
    #[command(flatten)]
    one: One,
    /// Only this instance
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
}

/// Whom to take out.
#[derive(Debug, clap::Args)]
pub struct Unregister {
    #[command(flatten)]
    one: One,
    /// Cancel what it works on
    #[arg(long)]
    force: bool,
}

/// Whose sessions.
#[derive(Debug, clap::Args)]
pub struct Sessions {
    /// The agent's id
    agent_id: String,
    #[command(flatten)]
    page: Page,
}

/// Does it.
pub async fn run(what: &Agents, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Agents::List(list) => {
            let columns = [
                ("AGENT", "/agent_id"),
                ("STATUS", "/status"),
                ("DOMAIN", "/domain"),
                ("PROTOCOL", "/protocol"),
                ("NAME", "/agent_name"),
                ("UPDATED", "/updated_at"),
            ];
            let only = [("domain", list.domain.clone()), ("status", list.status.clone())];
            list.page.show_only(loaded, "/orchestrator/agents", &only, "agents", &columns).await
        }
        Agents::Names(args) => catalog::agents(args, loaded).await,
        Agents::Get(one) => tell(one.json, &one.server.client(loaded)?.get(&path(&one.agent_id)).await?),
        Agents::Register(Register { file, server, json }) => {
            let body = read(file)?;
            tell(*json, &server.client(loaded)?.post("/orchestrator/register", &body).await?)
        }
        Agents::Start(Move { one, instance }) => moved(one, instance.as_ref(), "start", loaded).await,
        Agents::Stop(Move { one, instance }) => moved(one, instance.as_ref(), "stop", loaded).await,
        Agents::Unregister(Unregister { one, force }) => {
            let body = json!({"agent_id": one.agent_id, "force": force});
            let answer = one.server.client(loaded)?.post("/orchestrator/unregister", &body).await?;
            if one.json {
                return Ok(show::json(&answer)?);
            }
            let cancelled = answer["cancelled"].as_u64().unwrap_or(0);
            let more = if cancelled > 0 { format!("; tasks cancelled: {cancelled}") } else { String::new() };
            Ok(show::out(&format!("{} is taken out{more}\n", line(&one.agent_id)))?)
        }
        Agents::Sessions(Sessions { agent_id, page }) => {
            let columns = [
                ("SESSION", "/session_id"),
                ("STATUS", "/status"),
                ("USER", "/user_id"),
                ("LAST TASK", "/tasks/0/task_id"),
                ("LAST ACTIVE", "/last_active_at"),
            ];
            page.show(loaded, &format!("{}/sessions", path(agent_id)), "sessions", &columns).await
        }
        Agents::Run(run) => tasks::run(run, loaded).await,
        Agents::Tasks(list) => tasks::list(list, loaded).await,
        Agents::Task(one) => tasks::get(one, loaded).await,
        Agents::Cancel(one) => tasks::cancel(one, loaded).await,
    }
}

fn path(agent_id: &str) -> String {
    format!("/orchestrator/agents/{}", segment(agent_id))
}

async fn moved(one: &One, instance: Option<&String>, verb: &str, loaded: &Loaded) -> anyhow::Result<()> {
    let mut body = json!({"agent_id": one.agent_id});
    if let Some(instance) = instance {
        body["instance_id"] = json!(instance);
    }
    tell(one.json, &one.server.client(loaded)?.post(&format!("/orchestrator/{verb}"), &body).await?)
}

/// What a file holds, or standard input.
pub(super) fn read(file: &str) -> anyhow::Result<Value> {
    let unreadable = |e: std::io::Error| Usage(format!("{file} cannot be read: {e}"));
    let mut text = String::new();
    match file {
        "-" => drop(std::io::stdin().read_to_string(&mut text).map_err(unreadable)?),
        file => text = std::fs::read_to_string(file).map_err(unreadable)?,
    }
    // JSON is YAML.
    let read = crate::config::agents::yaml(&text);
    Ok(read.map_err(|why| Usage(format!("{file} is neither JSON nor YAML: {why}")))?)
}

/// An agent for people.
fn tell(is_json: bool, agent: &Value) -> anyhow::Result<()> {
    if is_json {
        return Ok(show::json(agent)?);
    }
    let paint = show::paint();
    let text = |pointer: &str| line(agent.pointer(pointer).and_then(Value::as_str).unwrap_or("-"));
    let number = |pointer: &str| agent.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let mut out = format!(
        "{} {}\n{} · {}\n",
        paint.ink(Ink::Bold, &text("/status")),
        text("/agent_id"),
        text("/agent_name"),
        text("/domain")
    );
    if let Some(why) = agent["error"].as_str() {
        out.push_str(&format!("  ! {}\n", line(why)));
    }
    if let Some(protocol) = agent["protocol"].as_str() {
        out.push_str(&format!(
            "  asked over {} {}\n",
            line(protocol),
            line(agent["endpoint"].as_str().unwrap_or_default())
        ));
    }
    if agent["sessions"].is_object() {
        let (open, max, waiting) = (number("/sessions/open"), number("/sessions/max"), number("/sessions/waiting"));
        out.push_str(&format!("  {open} of {max} sessions open, {waiting} tasks waiting\n"));
    }
    if let Some(rate) = agent.pointer("/metrics/success_rate").and_then(Value::as_f64) {
        let (tasks, p50) = (number("/metrics/tasks"), number("/metrics/latency_ms/p50"));
        out.push_str(&format!("  {tasks} tasks, {:.0} % completed, half of them within {p50} ms\n", rate * 100.0));
    }
    for instance in agent["instances"].as_array().into_iter().flatten() {
        let text = |name: &str| line(instance[name].as_str().unwrap_or("-"));
        out.push_str(&format!(
            "  {} {}  last heard of {}\n",
            text("status"),
            text("instance_id"),
            text("last_heartbeat")
        ));
    }
    Ok(show::out(&out)?)
}
