//! Tickets through four services that take no time, all played by `tutti simulate`, beside the baseline: the service as its
//! specification reads, on FastAPI and PostgreSQL (`peers/baseline_app.py`). `BASELINE` names a Python that has fastapi,
//! uvicorn, httpx and asyncpg, `PG_URL` a PostgreSQL for it; both ask the same simulator in the same run.

use crate::child::{Running, until_works};
use crate::http;
use crate::places::Places;
use crate::probe::free_address;
use crate::report::{Report, Row, Samples};
use crate::tutti::{Node, Server};
use crate::wrk;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tutti_tests::backends::postgres::Postgres;

const CLIENTS: [u32; 2] = [1, 64];
const TICKET: &str = r#"{"customer_id":"CUST_123","subject":"I was charged twice","body":"I noticed two charges on my account, please help me."}"#;
const TABLE: &str = "CREATE TABLE IF NOT EXISTS ticket_events(id bigserial primary key, ticket uuid, state text, data text, \
                     at timestamptz default now())";

/// Measures tickets in turns with the baseline.
pub fn measure(places: &Places, report: &mut Report) -> Result<()> {
    let postgres = std::env::var("PG_URL").ok();
    tickets(places, report, "tickets", "≥ 30× baseline", postgres.as_deref(), |world| {
        Server::start_desk(places, &places.empty("desk")?, world, None)
    })
}

/// The same on PostgreSQL, which the baseline uses, too.
pub fn measure_on(places: &Places, report: &mut Report, postgres: &Postgres) -> Result<()> {
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", postgres.port());
    tickets(places, report, "tickets_postgres", "≥ 35× baseline", Some(&url), |world| {
        Server::start_desk(places, &places.empty("desk-pg")?, world, Some(&Node::on(postgres, "desk")))
    })
}

fn tickets(
    places: &Places,
    report: &mut Report,
    name: &str,
    goal: &'static str,
    postgres: Option<&str>,
    start: impl Fn(&str) -> Result<Server>,
) -> Result<()> {
    let world = free_address()?;
    let port = world.rsplit(':').next().unwrap_or_default();
    let mut command = Command::new(&places.tutti);
    command.env_clear().args(["simulate", "--port", port]);
    let _world = Running::quietly(&mut command, &places.scratch.join("simulate.log"))?;
    until_works("the simulator to answer", || {
        std::net::TcpStream::connect(&world)?;
        Ok(())
    })?;
    let server = start(&format!("http://{world}"))?;
    let ticket = http::post(&server.address, "/api/tickets?wait=30", &serde_json::from_str(TICKET)?)?;
    if ticket["status"] != "RESOLVED" || ticket["errors"].as_array().is_none_or(|errors| !errors.is_empty()) {
        bail!("a ticket was not resolved by its services: {ticket}");
    }
    let baseline = Baseline::start(places, &world, postgres)?;
    if baseline.is_none() {
        report.note("BASELINE and PG_URL are not set, so no baseline of tickets beside us");
    }
    let script = wrk::script(&places.scratch, "ticket", Some(TICKET))?;
    let mut ours: BTreeMap<u32, Samples> = BTreeMap::new();
    let mut theirs: BTreeMap<u32, Samples> = BTreeMap::new();
    for round in 0..places.rounds {
        for clients in CLIENTS {
            let url = format!("http://{}/api/tickets?wait=30", server.address);
            let load = wrk::run(&script, &url, clients, places.secs)?;
            let (n, rate, p50) = (round + 1, load.per_s, load.p50_ms);
            println!("round {n} · {clients:>3} clients · tickets    {rate:>8.0} tickets/s · p50 {p50:.2} ms");
            ours.entry(clients).or_default().push(rate);
            if let Some(baseline) = &baseline {
                let url = format!("http://{}/api/tickets", baseline.address);
                let load = wrk::run(&script, &url, clients, places.secs)?;
                println!("          {clients:>3} clients · baseline   {:>8.1} tickets/s", load.per_s);
                theirs.entry(clients).or_default().push(load.per_s);
            }
        }
    }
    for clients in CLIENTS {
        let goal = if clients == 1 { "≥ 2.5× baseline" } else { goal };
        let (us, them) = (ours.remove(&clients).unwrap_or_default(), theirs.remove(&clients).unwrap_or_default());
        report.row(Row::of(&format!("{name}_c{clients}"), us, "tickets/s").peer("baseline", them).goal(goal));
    }
    if let Some(baseline) = baseline {
        // Asked to end, it ends its workers too.
        baseline.process.stop()?;
    }
    server.process.stop()
}

/// The service as its specification reads.
struct Baseline {
    address: String,
    process: Running,
}

impl Baseline {
    fn start(places: &Places, world: &str, postgres: Option<&str>) -> Result<Option<Self>> {
        let (Some(python), Some(postgres)) = (std::env::var_os("BASELINE").map(PathBuf::from), postgres) else {
            return Ok(None);
        };
        let Some(peers) = places.peers.as_deref() else { return Ok(None) };
        table(&python, postgres)?;
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let mut command = Command::new(&python);
        command.current_dir(peers).args(["-m", "uvicorn", "baseline_app:app", "--host", "127.0.0.1", "--workers", "2"]);
        command.args(["--port", &port, "--log-level", "error", "--no-access-log"]);
        command.env("PG_URL", postgres).env("MOCK_URL", format!("http://{world}/v1"));
        let process = Running::quietly(&mut command, &places.scratch.join("baseline.log"))?;
        until_works("the baseline to answer", || http::get(&address, "/health").map(|_| ()))?;
        Ok(Some(Self { address, process }))
    }
}

fn table(python: &Path, postgres: &str) -> Result<()> {
    let program = format!(
        "import asyncio, asyncpg\nasync def main():\n c = await asyncpg.connect({postgres:?})\n await c.execute({TABLE:?})\nasyncio.run(main())"
    );
    let made = Command::new(python).args(["-c", &program]).output().context("BASELINE cannot be run")?;
    if !made.status.success() {
        bail!("the baseline's table cannot be made: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(())
}
