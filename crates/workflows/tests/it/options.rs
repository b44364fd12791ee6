//! Each option of each pattern, with what would be different without it.

mod concurrent;
mod dynamic;
mod group_chat;
mod handoff;
mod sequential;
mod shared;
mod turns;

use crate::teams::{Asked, call, data, members, registry, request, text};
use crate::told::Told;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use tutti_engine::activity::{ActivityError, Outcome};
use tutti_engine::event::Kind;
use tutti_engine::journal::Frame;
use tutti_engine::journal::body::{Decision, Inbox, Signal, Verdict};
use tutti_engine::ports::store::InboxItem;
use tutti_engine::run::{RunNo, Status};
use tutti_engine::sim::{Faults, Story, World, tell};
use tutti_workflows::outcome::StoppedBy;

type Answers = fn(&Asked) -> Outcome;

/// Tells a calm story of one request; answers what came of it and what was asked of whom.
pub(crate) fn play(body: Value, answers: impl Fn(&Asked) -> Outcome + 'static) -> (Told, Vec<Asked>) {
    play_with(body, answers, |_| None)
}

/// As [`play`], with a person who decides about what waits.
pub(crate) fn play_with(
    body: Value,
    answers: impl Fn(&Asked) -> Outcome + 'static,
    decide: impl Fn(&Value) -> Option<(Verdict, Option<&'static str>, Option<Value>)> + 'static,
) -> (Told, Vec<Asked>) {
    let log: Rc<RefCell<Vec<Asked>>> = Rc::default();
    let seen = Rc::clone(&log);
    let world = World::new(move |spawn, _| {
        if spawn.request.name == "tool.call" {
            return Ok(json!({"result": 42}).to_string().into());
        }
        if spawn.request.name == "grounding.retrieve" {
            return crate::teams::found();
        }
        if spawn.request.name.starts_with("memory.") {
            return Ok(json!([]).to_string().into());
        }
        let asked = Asked::of(spawn);
        let answer = answers(&asked);
        seen.borrow_mut().push(asked);
        answer
    });
    let world = world.with_messages(move |run, frames| decisions(run, frames, &decide));
    let story = Story {
        seed: 7,
        runs: vec![request(&body)],
        faults: Faults::default(),
        crash_at: None,
        core: Default::default(),
    };
    let report = tell(story, &registry(), world).unwrap();
    let told = Told::of(&report.journals[0]);
    drop(report);
    (told, Rc::try_unwrap(log).ok().unwrap().into_inner())
}

fn decisions(
    run: RunNo,
    frames: &[Frame],
    decide: &impl Fn(&Value) -> Option<(Verdict, Option<&'static str>, Option<Value>)>,
) -> Vec<InboxItem> {
    let bodies = |kind| frames.iter().filter(move |f: &&Frame| f.kind == kind);
    let asked = bodies(Kind::ApprovalRequested).map(|f| serde_json::from_slice::<Value>(f.body.text()).unwrap());
    let is_open = |id: &str| !bodies(Kind::ApprovalDecided).any(|f| &*f.key == id);
    let answer = |asked: Value| {
        let id = asked["approval_id"].as_str().unwrap().to_owned();
        let (decision, note, input) = decide(&asked["request"]).filter(|_| is_open(&id))?;
        let input = input.map(|v| serde_json::value::to_raw_value(&v).unwrap());
        let note = note.map(ToOwned::to_owned);
        let body = Decision { approval_id: id.clone(), decision, by: Some("ann".into()), note, input };
        let body = serde_json::to_vec(&body).unwrap().into();
        Some(InboxItem { run, dedup: format!("approval:{id}"), kind: Inbox::Approval as u8, body })
    };
    asked.filter_map(answer).collect()
}

fn body(pattern: &str, names: &[&str], options: Value) -> Value {
    json!({"pattern": pattern, "input": "the task", "agents": members(names), "options": options})
}

pub(crate) fn gone() -> Outcome {
    Err(ActivityError::fatal("LlmError", "this model is gone"))
}

pub(crate) fn whos(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|a| a.who.as_str()).collect()
}

/// Says `NAME: what it was asked last`.
pub(crate) fn echo(asked: &Asked) -> Outcome {
    text(format!("{}: {}", asked.who, asked.last()))
}
