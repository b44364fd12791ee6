//! The binary that is measured.

use crate::child::{Running, until_works};
use crate::http;
use crate::places::Places;
use crate::report::{Report, Row, Samples};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tutti_tests::backends::postgres::Postgres;

/// A run of five pure steps that do nothing.
pub const FIVE: &str = r#"{"workflow":"noop","input":{"steps":5}}"#;

/// One of several processes.
#[derive(Clone)]
pub struct Node {
    role: String,
    env: Vec<(String, String)>,
}

impl Node {
    /// On PostgreSQL, in a schema of that name.
    pub fn on(postgres: &Postgres, schema: &str) -> Self {
        let env = vec![("POSTGRES_DSN".into(), postgres.dsn()), ("POSTGRES_SCHEMA".into(), schema.into())];
        Self { role: "all".into(), env }
    }

    /// In a role.
    pub fn role(mut self, role: &str) -> Self {
        self.role = role.into();
        self
    }

    /// With a variable set.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// A running server.
pub struct Server {
    /// `127.0.0.1:PORT`
    pub address: String,
    /// Its process.
    pub process: Running,
}

impl Server {
    /// Starts it on a data directory, on any free port.
    pub fn start(places: &Places, data: &Path) -> Result<Self> {
        let mut command = Command::new(&places.tutti);
        // Nothing of the machine's configuration leaks in: no .env, no tutti.toml, no variables.
        command.env_clear().current_dir(data).args(["serve", "--port", "0", "--data"]).arg(data);
        let (process, address) = Running::until(&mut command, listens_on)?;
        Ok(Self { address, process })
    }

    /// Starts it on a model server.
    pub fn start_on(places: &Places, data: &Path, model_url: &str, model: &str) -> Result<Self> {
        let mut command = Command::new(&places.tutti);
        command.env_clear().env("LLM_BASE_URL", model_url).env("LLM_DEFAULT_MODEL", model);
        command.current_dir(data).args(["serve", "--port", "0", "--data"]).arg(data);
        let (process, address) = Running::until(&mut command, listens_on)?;
        Ok(Self { address, process })
    }

    /// Starts it as one of several.
    pub fn start_node(places: &Places, data: &Path, node: &Node) -> Result<Self> {
        let mut command = Command::new(&places.tutti);
        command.env_clear().envs(node.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(data).args(["serve", "--role", &node.role, "--port", "0", "--data"]).arg(data);
        let (process, address) = Running::until(&mut command, listens_on)?;
        Ok(Self { address, process })
    }

    /// Starts it with the ticket agents of a simulator.
    pub fn start_desk(places: &Places, data: &Path, world: &str, node: Option<&Node>) -> Result<Self> {
        let mut command = Command::new(&places.tutti);
        command.env_clear();
        command.envs(node.into_iter().flat_map(|node| node.env.iter().map(|(name, value)| (name, value))));
        for role in ["router", "knowledge", "sentiment", "decision"] {
            command.env(format!("{}_AGENT_URL", role.to_uppercase()), format!("{world}/{role}"));
        }
        command.current_dir(data).args(["serve", "--port", "0", "--data"]).arg(data);
        let (process, address) = Running::until(&mut command, listens_on)?;
        Ok(Self { address, process })
    }

    /// Submits a run of so many steps and awaits its end.
    pub fn noop(&self, steps: u32) -> Result<()> {
        let body = json!({"workflow": "noop", "input": {"steps": steps}});
        let run = http::post(&self.address, "/v1/runs?wait=60", &body)?;
        if run["status"] != "completed" {
            bail!("a run of {steps} steps did not complete: {run}");
        }
        Ok(())
    }

    /// Waits until no run is open.
    pub fn drained(&self) -> Result<()> {
        until_works("the server to work off its runs", || {
            let health = http::get(&self.address, "/health")?;
            let engine = &health["parts"]["engine"];
            let open = |name: &str| engine[name].as_u64().with_context(|| format!("no {name} in {health}"));
            match (open("live_runs")?, open("backlog_runs")?) {
                (0, 0) => Ok(()),
                (live, backlog) => bail!("{live} live runs, {backlog} in the backlog"),
            }
        })
    }
}

fn listens_on(line: &str) -> Option<String> {
    let (before, after) = line.split_once("http://127.0.0.1:")?;
    let port: String = after.chars().take_while(char::is_ascii_digit).collect();
    before.contains("listen").then(|| format!("127.0.0.1:{port}"))
}

/// From exec, on an empty data directory, to the answer of the first run of five steps: durable, over HTTP.
pub fn cold_start(places: &Places, report: &mut Report) -> Result<()> {
    let mut ms = Samples::default();
    let mut idle = Samples::default();
    for _ in 0..5 {
        let data = places.empty("cold")?;
        let began = Instant::now();
        let server = Server::start(places, &data)?;
        idle.push(server.process.rss_mb()?);
        server.noop(5)?;
        ms.push(began.elapsed().as_secs_f64() * 1e3);
        server.process.stop()?;
    }
    report.row(Row::of("cold_start_ms", ms, "ms").goal("≤ 50"));
    report.row(Row::of("rss_idle_mb", idle, "MB").goal("≤ 25"));
    Ok(())
}

/// A run's answer is read once before it is measured: a server that answers something else must not be timed.
pub fn check(address: &str) -> Result<()> {
    let run: Value = http::post(address, "/v1/runs?wait=10", &serde_json::from_str(FIVE)?)?;
    if run["status"] != "completed" {
        bail!("a run of five steps did not complete: {run}");
    }
    Ok(())
}
