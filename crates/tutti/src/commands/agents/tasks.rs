//! Tasks of agents.

use crate::commands::page::Page;
pub use crate::commands::tasks::One;
use crate::commands::{Server, Usage};
use crate::config::Loaded;
use crate::show::{self, Ink, clean, line};
use anyhow::bail;
use serde_json::{Value, json};

const TASKS: &str = "/orchestrator/tasks";

/// A new task.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Who does it
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Any agent of this domain
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Any agent that can do this
    #[arg(long, value_name = "WORD")]
    capability: Option<String>,
    /// What kind of task it is
    #[arg(long = "type", value_name = "TYPE", default_value = "task")]
    task_type: String,
    /// The task, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// 0 to 9, 9 first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// How long it may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// The conversation that it belongs to
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Do not wait for its end
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Which tasks.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only with this status, e.g. queued
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Starts one.
pub async fn run(run: &Run, loaded: &Loaded) -> anyhow::Result<()> {
    let data: Value = serde_json::from_str(&run.data).map_err(|e| Usage(format!("--data is not JSON: {e}")))?;
    let mut body = json!({"task_type": run.task_type, "task_data": data});
    let texts = [
        ("agent_id", &run.agent),
        ("domain", &run.domain),
        ("capability", &run.capability),
        ("session_id", &run.session),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            body[name] = json!(text);
        }
    }
    if let Some(priority) = run.priority {
        body["priority"] = json!(priority);
    }
    if let Some(timeout) = run.timeout {
        body["timeout_seconds"] = json!(timeout);
    }
    let client = run.server.client(loaded)?;
    let query = if run.detach { "" } else { "?wait=300" };
    let task = client.post(&format!("/orchestrator/execute-task{query}"), &body).await?;
    if run.json {
        return Ok(show::json(&task)?);
    }
    let (id, status) =
        (line(task["task_id"].as_str().unwrap_or_default()), line(task["status"].as_str().unwrap_or_default()));
    match status.as_str() {
        _ if run.detach => Ok(show::out(&format!("{id}\n"))?),
        "completed" => Ok(show::out(&format!("{}\n", clean(&text(&task["result"])).trim_end()))?),
        "queued" | "running" | "waiting" => {
            bail!("the task {id} is {status}; look again: tutti agents task {id} --url {}", client.url())
        }
        status => {
            let why = task.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
            bail!("the task {id} was {status}: {}", line(why))
        }
    }
}

/// Lists them.
pub async fn list(list: &List, loaded: &Loaded) -> anyhow::Result<()> {
    let columns = [
        ("TASK", "/task_id"),
        ("STATUS", "/status"),
        ("AGENT", "/agent_id"),
        ("TYPE", "/task_type"),
        ("PRIORITY", "/priority"),
        ("CREATED", "/created_at"),
    ];
    let only = [("agent_id", list.agent.clone()), ("status", list.status.clone())];
    list.page.show_only(loaded, TASKS, &only, "tasks", &columns).await
}

/// Shows one.
pub async fn get(one: &One, loaded: &Loaded) -> anyhow::Result<()> {
    tell(one.json, &one.server.client(loaded)?.get(&one.path(TASKS, "")).await?)
}

/// Stops one.
pub async fn cancel(one: &One, loaded: &Loaded) -> anyhow::Result<()> {
    tell(one.json, &one.server.client(loaded)?.post(&one.path(TASKS, "/cancel"), &json!({})).await?)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("{value:#}"), ToOwned::to_owned)
}

/// A task for people.
fn tell(is_json: bool, task: &Value) -> anyhow::Result<()> {
    if is_json {
        return Ok(show::json(task)?);
    }
    let paint = show::paint();
    let word = |name: &str| line(task[name].as_str().unwrap_or("-"));
    let ms = |pointer: &str| task.pointer(pointer).and_then(Value::as_i64).map_or("-".into(), |ms| format!("{ms} ms"));
    let mut out = format!(
        "{} {}\n{} by {}\n  waited {}, took {}, attempts: {}\n",
        paint.ink(Ink::Bold, &word("status")),
        word("task_id"),
        word("task_type"),
        word("agent_id"),
        ms("/timings/queued_ms"),
        ms("/timings/took_ms"),
        task["attempts"].as_u64().unwrap_or(0)
    );
    if let Some(why) = task.pointer("/error/message").and_then(Value::as_str) {
        out.push_str(&format!("  ! {}\n", line(why)));
    }
    if !task["result"].is_null() {
        out.push_str(&format!("\n{}\n", clean(&text(&task["result"])).trim_end()));
    }
    Ok(show::out(&out)?)
}
