//! Teams of four agents against a model server that takes no time, beside Microsoft's Agent Framework where `MAF` names a Python
//! that has it (`pip install --pre agent-framework`). Ours are durable on SQLite; theirs keep nothing.

use crate::child::{Running, until_works};
use crate::http;
use crate::places::Places;
use crate::probe::{build, free_address};
use crate::report::{Report, Row, Samples};
use crate::tutti::Server;
use crate::wrk;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const CLIENTS: [u32; 2] = [1, 64];
const MODEL: &str = "mock-0ms";
/// Our pattern, and what the other bench calls the same work.
const TEAMS: [(&str, &str); 3] =
    [("sequential", "maf/sequential-4"), ("concurrent", "maf/concurrent-4"), ("group_chat", "maf/groupchat-4r")];

/// Measures the patterns in turns with the framework.
pub fn measure(places: &Places, report: &mut Report) -> Result<()> {
    let Some(peers) = places.peers.clone() else {
        report.note("no folder peers in TUTTI_SHARED, so no model server to measure teams against");
        return Ok(());
    };
    let binary =
        std::env::var_os("MOCKLLM").map_or_else(|| build(places, &peers, "mockllm"), |path| Ok(path.into()))?;
    let address = free_address()?;
    let mut command = Command::new(binary);
    let _model = Running::quietly(command.env("MOCK_ADDR", &address), &places.scratch.join("mockllm.log"))?;
    let base = format!("http://{address}/v1");
    until_works("the model server to answer", || {
        std::net::TcpStream::connect(&address)?;
        Ok(())
    })?;
    let server = Server::start_on(places, &places.empty("teams")?, &base, MODEL)?;
    let scripts: Vec<PathBuf> = TEAMS
        .iter()
        .map(|(pattern, _)| wrk::script(&places.scratch, pattern, Some(&request(pattern).to_string())))
        .collect::<Result<_>>()?;
    check(&server)?;
    let maf = std::env::var_os("MAF").map(PathBuf::from);
    if maf.is_none() {
        report.note("MAF is not set, so no Agent Framework beside us");
    }
    let mut ours: BTreeMap<(&str, u32), Samples> = BTreeMap::new();
    let mut theirs: BTreeMap<(String, u32), Samples> = BTreeMap::new();
    for round in 0..places.rounds {
        for clients in CLIENTS {
            for ((pattern, _), script) in TEAMS.iter().zip(&scripts) {
                let load = wrk::run(script, &format!("http://{}/orchestrate", server.address), clients, places.secs)?;
                println!(
                    "round {} · {clients:>3} clients · {pattern:<10} {:>8.0} runs/s · p50 {:.2} ms",
                    round + 1,
                    load.per_s,
                    load.p50_ms
                );
                ours.entry((pattern, clients)).or_default().push(load.per_s);
            }
        }
        if let Some(python) = &maf {
            framework(places, python, &peers.join("maf_bench.py"), &base, &mut theirs)?;
        }
    }
    for (pattern, name) in TEAMS {
        for clients in CLIENTS {
            let goal = if clients == 1 { "≥ 4× MAF" } else { "≥ 50× MAF" };
            let us = ours.remove(&(pattern, clients)).unwrap_or_default();
            let them = theirs.remove(&(name.to_owned(), clients)).unwrap_or_default();
            report.row(Row::of(&format!("team_{pattern}_c{clients}"), us, "runs/s").peer("maf", them).goal(goal));
        }
    }
    server.process.stop()
}

/// The same work as the other bench: four calls a run, no closing answer.
fn request(pattern: &str) -> Value {
    let count = if pattern == "group_chat" { 2 } else { 4 };
    let agents: Vec<_> = (0..count).map(|i| json!({"name": format!("a{i}"), "instructions": "be brief"})).collect();
    let options =
        if pattern == "group_chat" { json!({"until": {"max_messages": 4}, "final_answer": "last"}) } else { json!({}) };
    json!({"pattern": pattern, "input": "hello", "agents": agents, "options": options})
}

fn check(server: &Server) -> Result<()> {
    for (pattern, _) in TEAMS {
        let result = http::post(&server.address, "/orchestrate", &request(pattern))?;
        if result["status"] != "completed" || result["steps"].as_array().is_none_or(|steps| steps.len() != 4) {
            bail!("{pattern} is not four calls: {result}");
        }
    }
    Ok(())
}

/// One round of the other bench.
fn framework(
    places: &Places,
    python: &PathBuf,
    script: &PathBuf,
    base: &str,
    out: &mut BTreeMap<(String, u32), Samples>,
) -> Result<()> {
    let mut command = Command::new(python);
    command
        .arg(script)
        .envs([("MOCK_URL", base), ("REPS", "1"), ("CONC", "1,64")])
        .env("SECS", places.secs.to_string());
    let output = command.output().context("MAF cannot be run")?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(row) = serde_json::from_str::<Value>(line) else { continue };
        let (Some(name), Some(clients), Some(rate)) =
            (row["bench"].as_str(), row["conc"].as_u64(), row["runs_s"].as_f64())
        else {
            println!("maf: {row}");
            continue;
        };
        println!("          {clients:>3} clients · {name:<18} {rate:>8.1} runs/s");
        out.entry((name.to_owned(), u32::try_from(clients)?)).or_default().push(rate);
    }
    Ok(())
}
