//! Several machines' parts on this one: durable steps on PostgreSQL beside the ceiling probe on PostgreSQL, Restate, and the Python
//! programs that keep their steps there (`LG_PY`: LangGraph, `DBOS_PY`: DBOS); two workers beside one; runs handed over through
//! RabbitMQ beside its own confirmed rate (`AMQP_PY`: a Python that has aio-pika).
//!
//! PostgreSQL, RabbitMQ and Redis are started here, on free ports, with their defaults.

use crate::child::{Running, until_works};
use crate::http;
use crate::places::Places;
use crate::probe::{Probe, free_address};
use crate::report::{Report, Row, Samples};
use crate::restate::Restate;
use crate::tutti::{FIVE, Node, Server, check};
use crate::wrk;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::rabbitmq::RabbitMq;

const CLIENTS: [u32; 3] = [1, 16, 64];

/// Measures everything that needs PostgreSQL.
pub fn measure(places: &Places, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let Some(postgres) = runtime.block_on(Postgres::start()).map(Arc::new) else {
        report.note("there is no PostgreSQL on this machine: nothing of several machines was measured");
        return Ok(());
    };
    steps(places, report, &runtime, &postgres)?;
    workers(places, report, &postgres)?;
    match runtime.block_on(RabbitMq::start()) {
        Some(rabbit) => hand_off(places, report, &postgres, &rabbit)?,
        None => report.note("there is no RabbitMQ on this machine: its hand-off was not measured"),
    }
    crate::desk::measure_on(places, report, &postgres)
}

/// Five durable steps, everybody in turns.
fn steps(places: &Places, report: &mut Report, runtime: &tokio::runtime::Runtime, postgres: &Postgres) -> Result<()> {
    let server = Server::start_node(places, &places.empty("tutti-pg")?, &Node::on(postgres, "bench"))?;
    check(&server.address)?;
    let probe = Probe::build(places)?;
    let (_probing, probe_address) = probe.serve_postgres(places, postgres)?;
    let restate = Restate::start(places).unwrap_or_else(|why| {
        report.note(&format!("no Restate beside us: {why:#}"));
        None
    });
    runtime.block_on(postgres.psql("CREATE DATABASE dbos_bench"));
    let five = wrk::script(&places.scratch, "five", Some(FIVE))?;
    let empty = wrk::script(&places.scratch, "empty", None)?;
    let mut all: BTreeMap<(&str, u32), Samples> = BTreeMap::new();
    let mut p50: BTreeMap<(&str, u32), Samples> = BTreeMap::new();
    for round in 0..places.rounds {
        for clients in CLIENTS {
            let mut load = |name: &'static str, script, url: &str| -> Result<()> {
                let load = wrk::run(script, url, clients, places.secs)?;
                println!(
                    "round {} · {clients:>3} clients · {name:<9} {:>8.0} runs/s · p50 {:.2} ms",
                    round + 1,
                    load.per_s,
                    load.p50_ms
                );
                all.entry((name, clients)).or_default().push(load.per_s);
                p50.entry((name, clients)).or_default().push(load.p50_ms);
                Ok(())
            };
            load("tutti", &five, &format!("http://{}/v1/runs?wait=10", server.address))?;
            load("probe", &empty, &format!("http://{probe_address}/five"))?;
            if restate.is_some() {
                load("restate", &empty, Restate::FIVE)?;
            }
            for (name, variable, script) in
                [("langgraph", "LG_PY", "langgraph_bench.py"), ("dbos", "DBOS_PY", "dbos_bench.py")]
            {
                if let Some(rate) = python(places, postgres, variable, script, clients)? {
                    println!("round {} · {clients:>3} clients · {name:<9} {rate:>8.1} runs/s", round + 1);
                    all.entry((name, clients)).or_default().push(rate);
                }
            }
        }
    }
    for clients in CLIENTS {
        let mut of = |name| all.remove(&(name, clients)).unwrap_or_default();
        let (us, ceiling, restate) = (of("tutti"), of("probe"), of("restate"));
        let (langgraph, dbos) = (of("langgraph"), of("dbos"));
        let name = format!("durable_steps_postgres_c{clients}");
        let goal = if clients == 64 { "ratio ≥ 0.55, ≥ 10× Restate, ≥ 100× LangGraph and DBOS" } else { "" };
        report.row(Row::of(&name, us.clone(), "runs/s").ceiling(ceiling).peer("restate", restate).goal(goal));
        report.row(Row::of(&name, us.clone(), "runs/s").peer("langgraph", langgraph));
        report.row(Row::of(&name, us, "runs/s").peer("dbos", dbos));
        let mut of = |name| p50.remove(&(name, clients)).unwrap_or_default();
        let row = Row::of(&format!("durable_postgres_p50_ms_c{clients}"), of("tutti"), "ms").ceiling(of("probe"));
        report.row(row.peer("restate", of("restate")));
    }
    server.process.stop()
}

/// A peer's own script, for one number of clients; `None` where its Python is not named.
fn python(places: &Places, postgres: &Postgres, variable: &str, script: &str, clients: u32) -> Result<Option<f64>> {
    let (Some(python), Some(peers)) = (std::env::var_os(variable), places.peers.as_deref()) else { return Ok(None) };
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", postgres.port());
    let mut command = Command::new(python);
    command.current_dir(peers).env("PG_URL", url).env("DIR", &places.scratch).env("REPS", "1").env("ASYNC_ONLY", "1");
    command.env("SECS", places.secs.to_string()).env("CONC", clients.to_string()).env("ONLY", "postgres/noop/seq");
    // Each takes its own word.
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(if script.starts_with("dbos") {
        "postgres"
    } else {
        "speed"
    });
    let output = command.output().with_context(|| format!("{variable} cannot be run"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|v| v["runs_s"].as_f64());
    match found {
        Some(rate) => Ok(Some(rate)),
        None => bail!("{script} gave no rate: {text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Runs of one step that one process accepts and another works, handed over by RabbitMQ, beside what RabbitMQ confirms by itself:
/// from the request to the end as the accepting process hears it; and, for the hand-off alone, how fast a worker that comes to a
/// queue full of offers takes, works and ends them.
fn hand_off(places: &Places, report: &mut Report, postgres: &Postgres, rabbit: &RabbitMq) -> Result<()> {
    let port = rabbit.port().to_string();
    let (mut rates, mut taken, mut raw) = (Samples::default(), Samples::default(), Samples::default());
    let script = wrk::script(&places.scratch, "one", Some(r#"{"workflow":"noop","input":{"steps":1}}"#))?;
    for round in 0..places.rounds {
        let schema = format!("handoff_{round}");
        let node = |role: &str| {
            let node =
                Node::on(postgres, &schema).role(role).env("RABBITMQ_HOST", "127.0.0.1").env("RABBITMQ_PORT", &port);
            node.env("RABBITMQ_USER", "guest").env("RABBITMQ_PASSWORD", "guest")
        };
        let api = Server::start_node(places, &places.empty("api")?, &node("api"))?;
        let worker = Server::start_node(places, &places.empty("worker")?, &node("worker"))?;
        // Each client waits for the end of its run, so what is offered and what is worked are the same number.
        let load = wrk::run(&script, &format!("http://{}/v1/runs?wait=30", api.address), 256, places.secs)?;
        println!("round {} · 256 clients · hand-off {:>8.0} runs/s · p50 {:.2} ms", round + 1, load.per_s, load.p50_ms);
        rates.push(load.per_s);
        worker.process.stop()?;
        wrk::run(&script, &format!("http://{}/v1/runs", api.address), 64, places.secs)?;
        let waiting = count(&api, "queued")?;
        let ended = count(&api, "completed")?;
        let began = Instant::now();
        let worker = Server::start_node(places, &places.empty("late")?, &node("worker"))?;
        until_works("the backlog to be worked", || match count(&api, "completed")? {
            n if n >= ended + waiting => Ok(()),
            n => bail!("{} of {waiting} are done", n - ended),
        })?;
        let rate = waiting as f64 / began.elapsed().as_secs_f64();
        println!(
            "round {} · a backlog of {waiting} offers · {rate:>8.0} runs/s, the worker's start included",
            round + 1
        );
        taken.push(rate);
        worker.process.stop()?;
        api.process.stop()?;
        if let Some(rate) = confirmed(places, rabbit)? {
            println!("round {} · RabbitMQ confirms {rate:.0} messages/s, 64 in flight", round + 1);
            raw.push(rate);
        }
    }
    report.row(Row::of("rabbitmq_hand_off", rates, "runs/s").ceiling(raw.clone()).goal("ratio ≥ 0.6"));
    report.row(Row::of("rabbitmq_backlog", taken, "runs/s").ceiling(raw).goal("ratio ≥ 0.6"));
    Ok(())
}

/// Runs with this status.
fn count(server: &Server, status: &str) -> Result<u64> {
    let found = http::get(&server.address, "/v1/db/status")?;
    found["runs"][status].as_u64().or(Some(0)).context("the store's status has no runs")
}

/// RabbitMQ's own confirmed rate, by the peers' script; `None` where `AMQP_PY` is not set.
fn confirmed(places: &Places, rabbit: &RabbitMq) -> Result<Option<f64>> {
    let (Some(python), Some(peers)) = (std::env::var_os("AMQP_PY"), places.peers.as_deref()) else { return Ok(None) };
    let mut command = Command::new(python);
    command.current_dir(peers).env("AMQP_URL", format!("amqp://guest:guest@127.0.0.1:{}/", rabbit.port()));
    let output =
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg("rabbit_bench.py").output().context("AMQP_PY cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let many = lines.filter(|v| v["bench"] == "rabbitmq/classic" && v["in_flight"] == 64);
    let mut rates: Vec<f64> = many.filter_map(|v| v["publish_confirm_s"].as_f64()).collect();
    rates.sort_by(f64::total_cmp);
    Ok(rates.get(rates.len() / 2).copied())
}

/// One worker and two with as many slots each, on calls of 50 ms.
fn workers(places: &Places, report: &mut Report, postgres: &Postgres) -> Result<()> {
    const SLOTS: u32 = 8;
    const RUNS: usize = 320;
    let world = free_address()?;
    let port = world.rsplit(':').next().unwrap_or_default();
    let mut command = Command::new(&places.tutti);
    command.env_clear().args(["simulate", "--port", port, "--delay-ms", "50"]);
    let _world = Running::quietly(&mut command, &places.scratch.join("simulate.log"))?;
    until_works("the simulator to answer", || Ok(std::net::TcpStream::connect(&world).map(|_| ())?))?;
    let model = [("LLM_BASE_URL", format!("http://{world}/v1")), ("LLM_DEFAULT_MODEL", "test".to_owned())];
    let slots = ("LIVE_RUNS_MAX", SLOTS.to_string());
    let (mut one, mut two) = (Samples::default(), Samples::default());
    for round in 0..places.rounds {
        for workers in [1, 2] {
            let schema = format!("workers_{round}_{workers}");
            let node = |role: &str| {
                let node = Node::on(postgres, &schema).role(role);
                model.iter().chain([&slots]).fold(node, |node, (name, value)| node.env(name, value))
            };
            let api = Server::start_node(places, &places.empty("api")?, &node("api"))?;
            let mut running = Vec::new();
            for n in 0..workers {
                running.push(Server::start_node(places, &places.empty(&format!("worker{n}"))?, &node("worker"))?);
            }
            let began = Instant::now();
            let body = json!({"workflow": "sequential", "input": {"input": "Hello", "agents": [{"name": "a", "instructions": "Answer."}]}});
            for _ in 0..RUNS {
                http::post(&api.address, "/v1/runs", &body)?;
            }
            until_works("all runs to end", || {
                let status = http::get(&api.address, "/v1/db/status")?;
                match status["runs"]["completed"].as_u64() {
                    Some(n) if n >= RUNS as u64 => Ok(()),
                    n => bail!("{n:?} of {RUNS} have ended"),
                }
            })?;
            let rate = RUNS as f64 / began.elapsed().as_secs_f64();
            println!("round {} · {workers} workers of {SLOTS} slots · 50 ms calls · {rate:>6.1} runs/s", round + 1);
            if workers == 1 {
                one.push(rate)
            } else {
                two.push(rate)
            }
            for server in running.into_iter().chain([api]) {
                server.process.stop()?;
            }
        }
    }
    report.row(Row::of("two_workers", two, "runs/s").peer("one worker", one).goal("≥ 1.7× one worker"));
    Ok(())
}
