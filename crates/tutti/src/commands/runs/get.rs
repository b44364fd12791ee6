//! `tutti runs get`.

use super::{describe, path};
use crate::commands::Server;
use crate::config::Loaded;
use crate::show::{self, short, table::table};
use serde_json::Value;

/// Which run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's id
    run_id: String,
    /// With all that happened in it
    #[arg(long)]
    journal: bool,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Shows a run.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let client = args.server.client(loaded)?;
    let run = client.get(&format!("{}?journal={}", path(&args.run_id), args.journal)).await?;
    if args.json {
        return Ok(show::json(&run)?);
    }
    let mut text = describe(show::paint(), &run);
    if let Some(journal) = run.get("journal").and_then(Value::as_array) {
        let cell = |entry: &Value, name: &str| {
            entry.get(name).map_or_else(String::new, |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        };
        let rows: Vec<Vec<String>> = journal
            .iter()
            .map(|e| {
                vec![
                    cell(e, "seq"),
                    cell(e, "at"),
                    cell(e, "kind"),
                    short(&cell(e, "key"), 40),
                    short(&cell(e, "body"), 120),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(show::paint(), &["SEQ", "AT", "KIND", "STEP", "BODY"], &rows));
    }
    Ok(show::out(&text)?)
}
