//! `tutti patterns` and `tutti workflows`: what can be run.

use super::Server;
use super::page::Page;
use crate::config::Loaded;
use crate::show::{self, Ink, line};
use serde_json::Value;

/// Which pattern.
#[derive(Debug, clap::Args)]
pub struct Patterns {
    /// Show this pattern's options and an example that works
    name: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Lists the patterns, or shows one.
pub async fn patterns(args: &Patterns, loaded: &Loaded) -> anyhow::Result<()> {
    let all = args.server.client(loaded)?.get("/patterns").await?;
    let items = all.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let Some(name) = &args.name else {
        if args.json {
            return Ok(show::json(&all)?);
        }
        let rows: Vec<_> = items.iter().map(|item| vec![text(item, "name"), text(item, "description")]).collect();
        return Ok(show::out(&show::table::table(show::paint(), &["PATTERN", "WHAT IT DOES"], &rows))?);
    };
    let Some(item) = items.iter().find(|item| text(item, "name") == *name) else {
        let known: Vec<_> = items.iter().map(|item| text(item, "name")).collect();
        anyhow::bail!("there is no pattern named {name:?}; there are: {}", known.join(", "));
    };
    if args.json {
        return Ok(show::json(item)?);
    }
    let paint = show::paint();
    let mut out = format!(
        "{}\n{}\n\n{}\n",
        paint.ink(Ink::Bold, name),
        line(&text(item, "description")),
        paint.ink(Ink::Bold, "Options")
    );
    for (option, schema) in item.pointer("/options/properties").and_then(Value::as_object).into_iter().flatten() {
        out.push_str(&format!("  {option}  {}\n", line(&text(schema, "description"))));
    }
    let example = item.get("example").cloned().unwrap_or_default();
    out.push_str(&format!("\n{}\n{example:#}\n", paint.ink(Ink::Bold, "Example, as a file for `tutti run FILE.json`")));
    Ok(show::out(&out)?)
}

/// How agents are listed.
#[derive(Debug, clap::Args)]
pub struct Agents {
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Lists the agents that a request may name.
pub async fn agents(args: &Agents, loaded: &Loaded) -> anyhow::Result<()> {
    let all = args.server.client(loaded)?.get("/patterns").await?;
    let agents = all.get("agents").cloned().unwrap_or_default();
    if args.json {
        return Ok(show::json(&agents)?);
    }
    let cell = |agent: &Value, name: &str| agent.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = agents
        .as_array()
        .into_iter()
        .flatten()
        .map(|agent| ["name", "status", "needs", "description"].map(|name| cell(agent, name)).to_vec())
        .collect();
    Ok(show::out(&show::table::table(show::paint(), &["AGENT", "STATUS", "NEEDS", "GOOD FOR"], &rows))?)
}

/// Lists the accounts that runs draw on.
pub async fn budgets(page: &Page, loaded: &Loaded) -> anyhow::Result<()> {
    let columns =
        [("ACCOUNT", "/account"), ("LIMITS", "/limits"), ("LEFT", "/left"), ("HELD", "/held"), ("SPENT", "/spent")];
    page.show(loaded, "/v1/budgets", "budgets", &columns).await
}

/// Lists the workflows.
pub async fn workflows(page: &Page, loaded: &Loaded) -> anyhow::Result<()> {
    let columns = [("WORKFLOW", "/name"), ("VERSION", "/version"), ("KIND", "/kind"), ("WHAT IT DOES", "/description")];
    page.show(loaded, "/v1/workflows", "workflows", &columns).await
}
