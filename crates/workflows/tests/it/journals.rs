//! Journals written by earlier versions are replayed for ever. `UPDATE=1` writes those that are missing; one that is there
//! is never written again: what it holds is a promise.

use crate::teams::{answer, registry, remember, team};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tutti_engine::ports::store::{Row, RunRow};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Submit, Time};
use tutti_engine::shard::adopt::rehearse;
use tutti_engine::sim::{Faults, Story, World, tell};
use tutti_workflows::patterns::PATTERNS;

/// One row per line.
#[derive(Serialize, Deserialize)]
struct Line {
    id: RunId,
    workflow: String,
    version: u32,
    first: u32,
    last: u32,
    prev: u32,
    epoch: u32,
    at: Time,
    body: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/journals")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn recordings() -> Vec<(&'static str, Submit, Faults)> {
    let calm = Faults::default();
    let storm = Faults { crash: 30, unknown: 20, steal: 100, twice: 0, cancel: 0 };
    let mut streamed = team("sequential", &json!({"pass": "all"}));
    streamed.stream = true;
    vec![
        ("noop@1", Submit::new("noop", Bytes::from_static(br#"{"steps":5}"#)), calm),
        ("sequential@1", team("sequential", &json!({})), calm),
        ("sequential@1-streamed-storm", streamed, storm),
        ("concurrent@1", team("concurrent", &json!({})), calm),
        ("concurrent@1-first", team("concurrent", &json!({"aggregate": "first"})), calm),
        ("concurrent@1-llm", team("concurrent", &json!({"aggregate": "llm"})), calm),
        ("concurrent@1-budget", team("concurrent", &json!({"budget": {"tokens": 900}})), calm),
        (
            "sequential@1-gate",
            team("sequential", &json!({"steps": {"facts": {"gate": {"timeout_seconds": 60, "default": "approve"}}}})),
            calm,
        ),
        ("handoff@1", team("handoff", &json!({})), storm),
        ("group_chat@1", team("group_chat", &json!({"speaker": "llm", "max_iterations": 4})), calm),
        ("group_chat@1-bid-storm", team("group_chat", &json!({"speaker": "bid", "max_iterations": 2})), storm),
        ("dynamic@1", team("dynamic", &json!({"max_stalls": 0})), storm),
        ("graph@1", crate::graphs::everything(), calm),
        ("graph@1-storm", crate::graphs::everything(), storm),
        ("ticket@1-storm", crate::desk::ticket(), storm),
        ("research@1", crate::desk::task(), calm),
        ("research@1-storm", crate::desk::task(), storm),
        ("agent_task@1", crate::agents::task("clerk"), calm),
        ("agent_task@1-queue-storm", crate::agents::task("worker"), storm),
        ("agent_task@1-asks", crate::agents::task("boss"), calm),
        ("agent_task@1-chain", crate::agents::task("chain"), storm),
        ("agent_task@1-handed-on", crate::agents::task("service"), calm),
        ("remember@1", remember(), calm),
        ("remember@1-storm", remember(), storm),
        ("agent_start@1", crate::agents::start(), storm),
        ("concurrent@1-quorum-storm", team("concurrent", &json!({"quorum": 2, "max_parallel": 2})), storm),
    ]
}

/// Every workflow.
fn everything() -> tutti_engine::Registry {
    let asking = crate::teams::asking();
    let desk = tutti_workflows::research::register(tutti_workflows::tickets::register(registry(), &asking), &asking);
    crate::agents::registry(desk)
}

fn record(submit: Submit, faults: Faults) -> String {
    let story = Story { seed: 11, runs: vec![submit], faults, crash_at: None, core: Default::default() };
    let is_agents = story.runs[0].workflow.starts_with("agent_");
    let is_desk = matches!(story.runs[0].workflow.as_str(), "ticket" | "research");
    let (charged, is_broken) = (RefCell::default(), faults.crash > 0);
    let world = match is_agents {
        true => crate::agents::world(),
        false => World::new(move |spawn, dice| match is_desk {
            true => crate::desk::answer(spawn, &charged, is_broken),
            false => answer(spawn, dice, None),
        }),
    };
    let report = tell(story, &everything(), world).unwrap();
    let (row, rows) = report.journals.into_iter().next().unwrap();
    let line = |r: Row| Line {
        id: row.id,
        workflow: row.workflow.clone(),
        version: row.version,
        first: r.first,
        last: r.last,
        prev: r.prev,
        epoch: r.epoch,
        at: r.at,
        body: hex(&r.body),
    };
    rows.into_iter().map(|r| serde_json::to_string(&line(r)).unwrap() + "\n").collect()
}

#[test]
fn golden_journals_replay() {
    if std::env::var_os("UPDATE").is_some() {
        for (name, submit, faults) in recordings() {
            let file = folder().join(format!("{name}.jsonl"));
            if !file.exists() {
                std::fs::write(file, record(submit, faults)).unwrap();
            }
        }
    }
    let names = RefCell::new(BTreeSet::new());
    for file in std::fs::read_dir(folder()).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<Line> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let row = RunRow {
            run: RunNo(1),
            id: lines[0].id,
            workflow: lines[0].workflow.clone(),
            version: lines[0].version,
            owner: Owner::local(),
            priority: 5,
            parent: None,
            session: None,
            status: Status::Completed,
            due_at: None,
            ended_at: None,
            is_elsewhere: false,
        };
        names.borrow_mut().insert(row.workflow.clone());
        let row_of = |l: Line| Row {
            first: l.first,
            last: l.last,
            prev: l.prev,
            epoch: l.epoch,
            at: l.at,
            body: unhex(&l.body).into(),
        };
        let replayed = rehearse(&everything(), row, lines.into_iter().map(row_of).collect(), Vec::new());
        assert_eq!(replayed, Ok(Some(Status::Completed)), "{}", file.display());
    }
    let names = names.into_inner();
    assert!(PATTERNS.iter().all(|p| names.contains(p.name)), "a pattern without a golden journal: run with UPDATE=1");
}
