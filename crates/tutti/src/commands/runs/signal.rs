//! `tutti runs signal`.

use super::path;
use crate::commands::{Server, run::read_text};
use crate::config::Loaded;
use crate::show::{self, line};
use serde_json::json;

/// Which run, and what to tell it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's id
    run_id: String,
    /// The signal's name
    name: String,
    /// What it carries: JSON, text, or - for stdin
    #[arg(long, value_name = "JSON|TEXT|-")]
    payload: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Sends a run a signal; on return the run will see it.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let mut body = json!({ "name": args.name });
    if let Some(payload) = &args.payload {
        body["payload"] = read_text(payload)?;
    }
    let answer = args.server.client(loaded)?.post(&format!("{}/signal", path(&args.run_id)), &body).await?;
    if args.json {
        return Ok(show::json(&answer)?);
    }
    Ok(show::out(&format!("{}  signal {} taken\n", line(&args.run_id), line(&args.name)))?)
}
