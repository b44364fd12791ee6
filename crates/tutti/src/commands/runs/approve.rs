//! `tutti runs approve` and `tutti runs reject`.

use super::{path, text};
use crate::commands::{Server, run::read_text};
use crate::config::Loaded;
use crate::show::{self, line};
use serde_json::json;

/// Which approval, and the answer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's id
    run_id: String,
    /// The approval's id, as `tutti approvals list` and the run's events name it
    approval_id: String,
    /// A remark
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Data to go on with: JSON, text, or - for stdin
    #[arg(long, value_name = "JSON|TEXT|-")]
    input: Option<String>,
    /// Only if this is still what is asked: the hash that `tutti approvals list` shows
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Answers a run that asks a person with `approve` or `reject`; the first answer counts.
pub async fn run(args: &Args, decision: &str, loaded: &Loaded) -> anyhow::Result<()> {
    let mut body = json!({ "approval_id": args.approval_id, "decision": decision });
    if let Some(note) = &args.note {
        body["note"] = note.as_str().into();
    }
    if let Some(hash) = &args.hash {
        body["hash"] = hash.as_str().into();
    }
    if let Some(input) = &args.input {
        body["input"] = read_text(input)?;
    }
    let run = args.server.client(loaded)?.post(&format!("{}/approve", path(&args.run_id)), &body).await?;
    if args.json {
        return Ok(show::json(&run)?);
    }
    Ok(show::out(&format!("{}  {decision}: {}\n", line(&args.run_id), line(text(&run, "status"))))?)
}
