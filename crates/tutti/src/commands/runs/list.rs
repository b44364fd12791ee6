//! `tutti runs list`.

use super::text;
use crate::client::query;
use crate::commands::Server;
use crate::config::Loaded;
use crate::show::{self, table::table};
use serde_json::Value;

/// Which runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// Only with this status: queued, running, waiting, completed, failed, cancelled, timed_out, blocked
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// How many, at most 200
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: Option<u16>,
    /// Where the page before ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Lists runs.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let query = query(&[
        ("status", args.status.clone()),
        ("workflow", args.workflow.clone()),
        ("limit", args.limit.map(|n| n.to_string())),
        ("cursor", args.cursor.clone()),
    ]);
    let page = args.server.client(loaded)?.get(&format!("/v1/runs{query}")).await?;
    if args.json {
        return Ok(show::json(&page)?);
    }
    let items = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        show::err("no runs\n");
        return Ok(());
    }
    let row = |run: &Value| {
        ["run_id", "status", "created_at", "ended_at", "workflow"].map(|n| text(run, n).to_owned()).to_vec()
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    show::out(&table(show::paint(), &["RUN", "STATUS", "CREATED", "ENDED", "WORKFLOW"], &rows))?;
    if let Some(cursor) = page.get("next_cursor").and_then(Value::as_str) {
        show::err(&format!("more: tutti runs list --cursor {}\n", show::line(cursor)));
    }
    Ok(())
}
