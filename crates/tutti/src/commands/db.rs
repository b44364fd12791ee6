//! `tutti db` and `tutti prune`: the store of a server.

use super::Server;
use crate::config::Loaded;
use crate::show::{self, table::table};
use serde_json::{Value, json};

/// Which server, and how to show it.
#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// What to remove.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Only say how many
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Shows which store a server has, its size, and its oldest run.
pub async fn status(args: &Status, loaded: &Loaded) -> anyhow::Result<()> {
    args.tell(loaded, "/v1/db/status", "STORE").await
}

impl Status {
    /// Shows what stands at `path`, a row each, under the heading `what`.
    pub async fn tell(&self, loaded: &Loaded, path: &str, what: &str) -> anyhow::Result<()> {
        let status = self.server.client(loaded)?.get(path).await?;
        if self.json { Ok(show::json(&status)?) } else { Ok(show::out(&rows(&status, what))?) }
    }
}

fn rows(status: &Value, what: &str) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, value) in status.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => rows.extend(fields.iter().map(|(n, v)| vec![format!("{name}.{n}"), word(v)])),
            Value::Null => rows.push(vec![name.clone(), "-".into()]),
            other => rows.push(vec![name.clone(), word(other)]),
        }
    }
    table(show::paint(), &[what, "VALUE"], &rows)
}

/// Removes ended runs that retention no longer keeps, or counts them.
pub async fn prune(args: &Prune, loaded: &Loaded) -> anyhow::Result<()> {
    let pruned = args.server.client(loaded)?.post("/v1/db/prune", &json!({"dry_run": args.dry_run})).await?;
    if args.json {
        return Ok(show::json(&pruned)?);
    }
    let runs = pruned.get("runs").and_then(Value::as_u64).unwrap_or_default();
    let what = if args.dry_run { "would be removed" } else { "removed" };
    Ok(show::out(&format!("{runs} ended runs {what}\n"))?)
}
