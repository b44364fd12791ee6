//! Tasks, jobs, questions and starts through storms, and through one crash at every single point. Outsiders give seats, claim jobs
//! and send results, each as often as they like; of each the first counts.

use crate::teams::{asking, call, text};
use crate::told::Told;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tutti_agents::agent::{AgentDefinition, Kind as AgentKind};
use tutti_agents::brain::{Brain, Link, Model, Part, What};
use tutti_agents::job::{self, Claim, JobResult};
use tutti_engine::Registry;
use tutti_engine::activity::{ActivityError, Outcome};
use tutti_engine::event::Kind;
use tutti_engine::journal::Frame;
use tutti_engine::journal::body::{Inbox, Signal};
use tutti_engine::ports::store::InboxItem;
use tutti_engine::run::{RunNo, Status, Submit};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::shard::wire::Spawn;
use tutti_engine::sim::{Faults, Report, Story, World, tell};
use tutti_workflows::task::{self, SEAT, Seat};
use tutti_workflows::{agents, task as tasks};

const STORM: Faults = Faults { crash: 10, unknown: 20, steal: 100, twice: 200, cancel: 2 };

pub fn registry(registry: Registry) -> Registry {
    agents::register(tasks::register(registry, &asking()), &asking(), Duration::from_secs(60))
}

/// A task for one of the agents below.
pub fn task(agent: &str) -> Submit {
    let input = json!({"task_type": "check", "task_data": {"n": 1}, "target": {"agent_id": agent}});
    Submit::new(task::NAME, Bytes::from(input.to_string()))
}

pub fn start() -> Submit {
    let hooks = json!({"brain_factory": "http://factory", "pipeline": "http://pipeline"});
    let input =
        json!({"tenant": "default", "agent_id": "a", "token": "t", "registration": {"agent_id": "a"}, "hooks": hooks});
    Submit::new(agents::START, Bytes::from(input.to_string()))
}

/// `clerk` answers alone, `worker` has workers, `boss` asks the worker, `chain` has two models, `service` hands on to the clerk.
fn agent(name: &str) -> AgentDefinition {
    let part = |what: What| Part { what, when: None };
    let model = |id: &str, parts: Vec<Part>| Model { id: id.into(), parts, ..Model::default() };
    let (kind, brain) = match name {
        "worker" => (AgentKind::Queue, None),
        "service" => (AgentKind::Http, None),
        "boss" => {
            (AgentKind::Llm, Some(Brain { models: vec![model("m", vec![Part::agent("worker")])], links: Vec::new() }))
        }
        "chain" => {
            let links = vec![Link { from: "one".into(), to: "two".into(), when: None }];
            let first = model("one", vec![part(What::Grounding(3)), part(What::Tool("calculate".into()))]);
            (AgentKind::Llm, Some(Brain { models: vec![first, model("two", Vec::new())], links }))
        }
        _ => (AgentKind::Llm, Some(Brain { models: vec![model("m", Vec::new())], links: Vec::new() })),
    };
    AgentDefinition {
        kind,
        brain: brain.map(Box::new),
        endpoint: (kind == AgentKind::Http).then(|| "http://service/ask".into()),
        routes: if name == "service" { vec!["clerk".into()] } else { Vec::new() },
        tenant: Some("default".into()),
        ..AgentDefinition::llm(name, format!("You are {name}."))
    }
}

/// Answers every call.
pub fn answer(spawn: &Spawn, dice: u64) -> Outcome {
    let args: Value = serde_json::from_slice(&spawn.request.args).unwrap();
    if dice.is_multiple_of(7) {
        return Err(ActivityError::retry("AgentError", "busy"));
    }
    let said = match spawn.request.name {
        "task.enter" | "job.open" => Value::Null,
        "job.alive" => json!((dice >> 8).is_multiple_of(2)),
        "agent.find" => json!(agent(args["name"].as_str().unwrap())),
        "agent.hook" => json!({"endpoint": "http://made/ask"}),
        "agent.settle" => Value::Null,
        "kb.search" => json!([{"id": "a", "title": "A", "content": "Alpha.", "score": 0.5}]),
        "tool.call" => json!(7),
        "agent.http" => {
            json!({"text": "", "model": "http", "finish": "stop", "handoff": {"to": "clerk", "reason": "not mine"},
            "usage": {"input_tokens": 0, "output_tokens": 0, "estimated": false}})
        }
        "model.chat" => {
            let request = &args["request"];
            let has_asked = request["messages"].as_array().unwrap().iter().any(|message| message["role"] == "tool");
            let tool = request["tools"][0]["name"].as_str().filter(|_| !has_asked);
            return match tool {
                Some("ask_agent") => call("ask_agent", json!({"agent": "worker", "question": "How many?"})),
                Some(tool) => call(tool, json!({"expression": "3 + 4"})),
                None => text("It is done."),
            };
        }
        other => panic!("{other} has no answer"),
    };
    Ok(said.to_string().into())
}

fn signal(run: RunNo, name: &str, n: u32, payload: &impl Serialize) -> InboxItem {
    let body = Signal { name: name.into(), payload: to_raw_value(payload).unwrap() };
    let dedup = format!("signal:{name}:{n}");
    InboxItem { run, dedup, kind: Inbox::Signal as u8, body: serde_json::to_vec(&body).unwrap().into() }
}

fn body(frame: &Frame) -> Value {
    serde_json::from_slice(frame.body.text()).unwrap_or_default()
}

/// What outsiders tell a run: two desks give different seats, two workers claim, and results come early, late and twice.
pub fn messages(run: RunNo, frames: &[Frame]) -> Vec<InboxItem> {
    let Some(first) = frames.first().map(body) else { return Vec::new() };
    let of = |kind: Kind| frames.iter().filter(move |frame| frame.kind == kind);
    match first["workflow"].as_str() {
        Some(task::NAME) => {
            let name = first["input"]["target"]["agent_id"].as_str().unwrap();
            let seat = |at: &str| Seat {
                agent_id: name.into(),
                instance_id: Some(at.into()),
                agent: Some(agent(name)),
                refused: None,
            };
            vec![signal(run, SEAT, 1, &seat("one")), signal(run, SEAT, 1, &seat("two"))]
        }
        Some(job::WORKFLOW) => {
            let opened =
                of(Kind::StepStarted).filter(|frame| frame.key.split('#').next() == Some(job::OPEN)).count() as u32;
            let signals: Vec<Value> = of(Kind::SignalReceived).map(body).collect();
            let claimed = signals.iter().filter(|signal| signal["name"] == job::CLAIM).count() as u32;
            if opened > claimed {
                let claim = |who: &str| Claim { claim: opened, instance_id: who.into() };
                return vec![
                    signal(run, job::CLAIM, opened, &claim("ann")),
                    signal(run, job::CLAIM, opened, &claim("bob")),
                ];
            }
            let result = |n: u32| {
                let error = (n % 3 == 1).then(|| job::JobError { message: "no disk".into(), retry: true });
                JobResult { claim: n, output: json!(format!("result {n}")), error, usage: None, handoff: None }
            };
            // An earlier worker's, which comes too late, before the right one's.
            (1..=claimed).map(|n| signal(run, job::RESULT, n, &result(n))).collect()
        }
        _ => Vec::new(),
    }
}

pub fn world() -> World {
    World::new(answer).with_messages(messages)
}

fn play(seed: u64, runs: Vec<Submit>, faults: Faults, crash_at: Option<u64>) -> Report {
    let core = CoreOptions { abnormal_max: 1_000, ..CoreOptions::default() };
    let story = Story { seed, runs, faults, crash_at, core };
    let report = tell(story, &registry(Registry::new()), world());
    let report = report.unwrap_or_else(|v| panic!("seed {seed}, crash {crash_at:?}: {v}"));
    for told in report.journals.iter().map(Told::of) {
        judge(&told, &format!("seed {seed}, crash {crash_at:?}"));
    }
    report
}

/// A task has one seat; a job's result is that of the claim that had it then.
fn judge(told: &Told, name: &str) {
    let signals = told.bodies(Kind::SignalReceived);
    let of = |word: &str| {
        signals
            .iter()
            .filter(|signal| signal["name"] == word)
            .map(|signal| signal["payload"].clone())
            .collect::<Vec<_>>()
    };
    assert!(of(SEAT).len() <= 1, "{name}: {} seats", of(SEAT).len());
    if told.workflow == job::WORKFLOW {
        let claims = of(job::CLAIM);
        let numbers: Vec<_> = claims.iter().map(|claim| claim["claim"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{name}: claims {numbers:?}");
        if told.status == Status::Completed {
            let output = told.bodies(Kind::RunCompleted).pop().unwrap()["output"].clone();
            let last = numbers.len();
            assert_eq!(output["output"]["value"], format!("result {last}"), "{name}: {output}");
            assert_eq!(
                (&output["instance_id"], &output["attempts"]),
                (&claims[last - 1]["instance_id"], &json!(last)),
                "{name}"
            );
        }
    }
    if told.workflow == task::NAME && told.status == Status::Completed {
        assert!(told.output().as_str().is_some_and(|said| !said.is_empty()), "{name}: {}", told.output());
    }
}

fn all() -> Vec<Submit> {
    let mut all: Vec<Submit> = ["clerk", "worker", "boss", "chain", "service"].map(task).into();
    all.push(start());
    all
}

#[test]
fn sim_agents_keep_their_promises_through_storms() {
    let seeds = std::env::var("TUTTI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(500_u64);
    let mut ended: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..seeds {
        let report = play(seed, all(), STORM, None);
        for told in report.journals.iter().map(Told::of) {
            // A task fails where somebody cancelled its job.
            let is_fine = match told.status {
                Status::Completed | Status::Cancelled => true,
                _ => told.error()["message"].as_str().is_some_and(|why| why.ends_with("ended as cancelled")),
            };
            assert!(is_fine, "seed {seed}: {} {:?} {}", told.workflow, told.status, told.error());
            *ended.entry(format!("{} {}", told.workflow, told.status.as_str())).or_default() += 1;
        }
    }
    println!("{seeds} seeds: {ended:?}");
    for workflow in [task::NAME, job::WORKFLOW, tutti_agents::ask::WORKFLOW, agents::START] {
        assert!(ended.contains_key(&format!("{workflow} completed")), "{workflow} never completed: {ended:?}");
    }
}

#[test]
fn sim_a_crash_at_every_point_of_an_agents_work_breaks_no_promise() {
    for submit in all() {
        let points = play(3, vec![submit.clone()], Faults::default(), None).points;
        for at in 1..=points {
            let report = play(3, vec![submit.clone()], Faults::default(), Some(at));
            assert!(matches!(report.ends[0], None | Some(Status::Completed)), "crash at {at}: {:?}", report.ends);
        }
        println!("{}: {points} crash points", submit.workflow);
    }
}
