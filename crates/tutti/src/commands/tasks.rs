//! `tutti tasks …`: paid research from the terminal.

use super::Server;
use super::page::Page;
use crate::client::{Client, segment};
use crate::config::Loaded;
use crate::show::{self, Ink, clean, line};
use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

const TASKS: &str = "/tasks";

/// What to do with research tasks.
#[derive(Debug, Subcommand)]
pub enum Tasks {
    /// List tasks, newest first
    List(List),
    /// Show a task: money, sources, receipts
    Get(One),
    /// Start a task; waits for its end and prints the report
    Create(Create),
    /// Print a task's report
    Report(One),
    /// Say what came of a payment whose outcome is not known
    Settle(Settle),
}

/// Which tasks.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only with this status, e.g. completed
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Which task.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The task's id
    task_id: String,
    #[command(flatten)]
    pub server: Server,
    /// JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// A new task.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// What to find out
    theme: String,
    /// The most that may be paid, in BUDGET_UNIT
    #[arg(long, value_name = "N")]
    budget: u64,
    /// Whose voice pays
    #[arg(long, value_name = "ID")]
    voice: String,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// A person's word.
#[derive(Debug, clap::Args)]
pub struct Settle {
    #[command(flatten)]
    one: One,
    /// The source's id, as in the task's receipts
    source: String,
    /// paid or refused
    #[arg(long, value_name = "WORD", value_parser = ["paid", "refused"])]
    outcome: String,
    /// For colleagues
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Does it.
pub async fn run(what: &Tasks, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Tasks::List(list) => {
            let columns = [
                ("TASK", "/task_id"),
                ("STATUS", "/status"),
                ("SPENT", "/spent"),
                ("HELD", "/held"),
                ("BUDGET", "/budget"),
                ("THEME", "/theme"),
                ("CREATED", "/created_at"),
            ];
            list.page.show_only(loaded, TASKS, &[("status", list.status.clone())], "tasks", &columns).await
        }
        Tasks::Get(one) => tell(one.json, &one.server.client(loaded)?.get(&one.path(TASKS, "")).await?),
        Tasks::Create(create) => {
            let client = create.server.client(loaded)?;
            let body = json!({"theme": create.theme, "budget": create.budget, "voice_id": create.voice});
            let accepted = client.post("/tasks?wait=300", &body).await?;
            let id = accepted["task_id"].as_str().unwrap_or_default();
            let task = client.get(&format!("/tasks/{}", segment(id))).await?;
            if create.json {
                return Ok(show::json(&task)?);
            }
            told(&client, id, &task)
        }
        Tasks::Report(one) => {
            let text = one.server.client(loaded)?.text(&one.path(TASKS, "/report")).await?;
            Ok(show::out(&format!("{}\n", clean(&text).trim_end()))?)
        }
        Tasks::Settle(Settle { one, source, outcome, note }) => {
            let mut body = json!({ "outcome": outcome });
            if let Some(note) = note {
                body["note"] = json!(note);
            }
            let path = one.path(TASKS, &format!("/payments/{}", segment(source)));
            tell(one.json, &one.server.client(loaded)?.post(&path, &body).await?)
        }
    }
}

impl One {
    /// Where it stands in the list of tasks at `tasks`, and what is below it.
    pub fn path(&self, tasks: &str, rest: &str) -> String {
        format!("{tasks}/{}{rest}", segment(&self.task_id))
    }
}

/// The report of a task that has ended, or what became of it.
fn told(client: &Client, id: &str, task: &Value) -> anyhow::Result<()> {
    if let Some(report) = task["report"].as_str() {
        return Ok(show::out(&format!("{}\n", clean(report).trim_end()))?);
    }
    let status = line(task["status"].as_str().unwrap_or_default());
    match task.pointer("/error/message").and_then(Value::as_str) {
        Some(why) => bail!("the task {id} was {status}: {}", line(why)),
        None => bail!("the task {id} is {status}; look again: tutti tasks get {id} --url {}", client.url()),
    }
}

fn tell(is_json: bool, task: &Value) -> anyhow::Result<()> {
    if is_json {
        return Ok(show::json(task)?);
    }
    let paint = show::paint();
    let text = |value: &Value| line(value.as_str().unwrap_or("-"));
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let unit = text(&task["unit"]);
    let mut out = format!(
        "{} {}\n{}\npaid {} of {} {unit}",
        paint.ink(Ink::Bold, &text(&task["status"])),
        text(&task["task_id"]),
        text(&task["theme"]),
        number(&task["spent"]),
        number(&task["budget"])
    );
    if number(&task["held"]) > 0 {
        out.push_str(&format!(", {} {unit} not known", number(&task["held"])));
    }
    out.push('\n');
    for source in task.pointer("/sources/used").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!("  + {} {} {unit}\n", text(&source["name"]), number(&source["price"])));
    }
    for source in task.pointer("/sources/refused").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!("  - {}: {}\n", text(&source["name"]), text(&source["reason"])));
    }
    for receipt in task["receipts"].as_array().into_iter().flatten().filter(|r| r["outcome"] == "unknown") {
        let (source, amount) = (text(&receipt["source"]), number(&receipt["amount"]));
        out.push_str(&format!("  ? source {source}: {amount} {unit} may have been paid; tutti tasks settle decides\n"));
    }
    if let Some(why) = task.pointer("/error/message").and_then(Value::as_str) {
        out.push_str(&format!("  ! {}\n", line(why)));
    }
    Ok(show::out(&out)?)
}
