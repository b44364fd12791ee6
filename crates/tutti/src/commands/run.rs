//! `tutti run`: runs a workflow, or a team from a file, and prints its answer.

pub mod request;

pub use self::request::{read_bounded, read_text};

use self::request::Request;
use super::Server;
use crate::client::{Client, segment};
use crate::commands::{runs, serve};
use crate::config::{Access, Loaded};
use crate::show::{self, facts, short};
use crate::watch::{Over, View, Watched, watch};
use crate::wiring::{self, Stop};
use serde_json::Value;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A workflow's, pattern's or graph's name, or a file (.yaml, .json, .toml) with a graph, or with pattern, agents and input
    #[arg(value_name = "WORKFLOW|FILE")]
    target: String,
    /// Members of the team, by name; beats the file's
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    agents: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// On what, where, and how it is shown.
#[derive(Debug, clap::Args)]
pub struct How {
    /// What to work on: JSON, text, or - for stdin; beats the file's
    #[arg(long, value_name = "JSON|TEXT|-")]
    pub input: Option<String>,
    /// Watch the team at work
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    server: Server,
    /// JSON for programs: the run, or with --follow each event on a line
    #[arg(long)]
    json: bool,
}

/// Runs it on the server, or on a private one if none answers. Fails when the run does not complete.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let request = Request::read(&args.target, args.how.input.as_deref(), &args.agents)?;
    Box::pin(start(&request, &args.how, loaded)).await
}

/// As [`run`], of a request that was read.
pub async fn start(request: &Request, how: &How, loaded: &Loaded) -> anyhow::Result<()> {
    let (client, stop) = Box::pin(reach(&how.server, loaded)).await?;
    let is_private = stop.is_some();
    let result = Box::pin(run_on(how, request, &client, is_private)).await;
    if let Some(stop) = stop {
        serve::end(stop).await;
    }
    result
}

/// A client of a server that answers. An address that somebody named is never replaced by a private server.
pub async fn reach(server: &Server, loaded: &Loaded) -> anyhow::Result<(Client, Option<Stop>)> {
    let access = loaded.access(server.url.as_deref())?;
    let client = Client::new(access.clone())?;
    if access.named || client.answers().await {
        return Ok((client, None));
    }
    let mut settings = super::settings(loaded)?;
    settings.listen.port = 0;
    if !settings.listen.is_loopback() {
        // It serves this command alone.
        settings.listen.host = "127.0.0.1".into();
    }
    let running = wiring::start(&settings).await.map_err(|e| {
        let url = &access.url;
        anyhow::anyhow!(
            "{e:#}; or name the server that runs there with --url (none answers at {url}, so run starts its own)"
        )
    })?;
    let client = Client::new(Access { url: running.url, named: true, key: access.key })?;
    Ok((client, Some(running.stop)))
}

async fn run_on(args: &How, request: &Request, client: &Client, is_private: bool) -> anyhow::Result<()> {
    let view = match (args.follow, args.json) {
        (true, true) => View::Lines,
        (true, false) => View::team(),
        (false, _) => View::Quiet,
    };
    let (follow, run_id) = match request {
        Request::Team(body) => (client.stream("/orchestrate/stream", body).await?, None),
        Request::Workflow(body) => {
            let run = client.post("/v1/runs", body).await?;
            let id = runs::text(&run, "run_id").to_owned();
            (client.follow(&id, None), Some(id))
        }
    };
    let watched = watch(client, follow, run_id, view).await?;
    if matches!(watched.over, Over::Detached) {
        detached(&watched, is_private, client);
        return Ok(());
    }
    let run = watched.run(client).await?;
    if args.json && !args.follow {
        show::json(&run)?;
    } else if !args.follow && runs::text(&run, "status") == "completed" {
        let output = run.get("output").unwrap_or(&Value::Null);
        show::out(&format!("{}\n", runs::output(output).trim_end()))?;
        let used = facts::Used::of(&run)
            .and_then(facts::Used::any)
            .map_or_else(String::new, |u| format!(" · {}", u.in_words()));
        show::err(&format!("run {}{used}\n", short(runs::text(&run, "run_id"), 100)));
    }
    verdict(&run, args)
}

/// The exit of a run that did not complete.
fn verdict(run: &Value, args: &How) -> anyhow::Result<()> {
    let (id, status) = (runs::text(run, "run_id"), runs::text(run, "status"));
    if status == "completed" {
        return Ok(());
    }
    let why = run.get("error").filter(|e| !e.is_null()).map_or_else(String::new, |error| {
        let agent = facts::text(error, "agent").map_or_else(String::new, |a| format!(" (agent {})", short(a, 80)));
        format!(": {}{agent}", short(&facts::reason(run), 500))
    });
    let more = if args.follow { "" } else { "; `tutti runs events` with its id tells more" };
    let status = match status {
        "failed" => "failed",
        "cancelled" => "was cancelled",
        "timed_out" => "timed out",
        "blocked" => "is blocked and needs a person",
        _ => "did not complete",
    };
    anyhow::bail!("run {} {status}{why}{more}", short(id, 100))
}

fn detached(watched: &Watched, is_private: bool, client: &Client) {
    let id = watched.run_id.as_deref().map_or_else(|| "RUN".into(), |id| short(&segment(id), 100));
    let line = if is_private {
        format!("detached; run {id} is kept and goes on with `tutti serve`, where `tutti runs cancel {id}` stops it")
    } else {
        let url = client.url();
        format!(
            "detached; run {id} goes on. Watch: tutti runs events {id} --url {url} · stop: tutti runs cancel {id} --url {url}"
        )
    };
    show::err(&format!("tutti: {line}\n"));
}
