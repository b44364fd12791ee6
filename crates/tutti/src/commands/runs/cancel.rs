//! `tutti runs cancel`.

use super::{path, text};
use crate::commands::Server;
use crate::config::Loaded;
use crate::show::{self, line};
use serde_json::json;

/// Which run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's id
    run_id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Stops a run. An ended run stays as it is.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let body = args.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let run = args.server.client(loaded)?.post(&format!("{}/cancel", path(&args.run_id)), &body).await?;
    if args.json {
        return Ok(show::json(&run)?);
    }
    let status = text(&run, "status");
    let pending = matches!(status, "queued" | "running" | "waiting");
    let word = if pending { "stopping; see tutti runs get" } else { status };
    Ok(show::out(&format!("{}  {}\n", line(text(&run, "run_id")), line(word)))?)
}
