//! `handoff`: the agent that has the work answers, or hands it to another that it may reach.

use super::job::{Job, bound, register};
use super::options::{Kind, Opt, Reader, plain, schema};
use super::request::{Cast, SHARED, check};
use super::trail::Trail;
use super::{ITERATIONS_MAX, Pattern, examples};
use crate::outcome::{Ending, StoppedBy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::form::Field;
use tutti_agents::team::{Message, Source};
use tutti_agents::turn::{Route, Turn};
use tutti_engine::{Ctx, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "handoff",
    description: "The agent that has the work answers it or hands it to another, with a reason; loops are noticed and end with an answer.",
    options: || schema(&[OPTIONS, SHARED]),
    example: examples::handoff,
    check: |form, setting| check::<Options>(form, setting, OPTIONS),
    register: |registry, asking| register(registry, PATTERN.name, asking, run),
};

const OPTIONS: &[Opt] = &[
    Opt::new("start", Kind::Member, "Who has the work first; the first agent if absent."),
    Opt::new(
        "routes",
        Kind::Data(routes_schema, read_routes as Reader),
        "Who may hand work to whom, and when; everybody to everybody if neither this nor an agent's own routes say otherwise.",
    ),
    Opt::new("max_handoffs", Kind::Count(1, ITERATIONS_MAX as i64), "Most hand-offs in all; max_iterations if absent."),
    Opt::new(
        "max_per_edge",
        Kind::Count(1, ITERATIONS_MAX as i64),
        "How often one agent may hand work to the same other; 2 if absent.",
    ),
    Opt::new(
        "ask_user",
        Kind::Flag,
        "When an agent answers, wait for the user's next message (signal `user`; an empty one ends).",
    ),
];

/// The pattern's options. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Who has the work first.
    pub start: Option<String>,
    /// Who may hand work to whom.
    pub routes: BTreeMap<String, Vec<Route>>,
    /// Most hand-offs in all.
    pub max_handoffs: Option<u32>,
    /// How often one agent may hand work to the same other.
    pub max_per_edge: Option<u32>,
    /// Whether the user is asked when an agent answers.
    pub ask_user: bool,
}

/// One agent has the work at a time. Ends with an answer, also when a bound ends it.
///
/// # Errors
/// The first agent failed for good.
pub async fn run(job: Job<Options>) -> Result<Ending> {
    let members = job.team.members();
    let mut at = job.options.start.as_ref().and_then(|name| job.team.find(name)).unwrap_or(&members[0]);
    let mut talk = vec![job.input.clone()];
    let mut trail = Trail::default();
    for turn in 1..=job.max_iterations {
        let routes = trail.open(&job, at);
        let ctx = job.ctx.scope("turn", turn);
        let ask = Turn {
            said: &talk,
            order: Some(ORDER).filter(|_| !routes.is_empty()),
            handoffs: &routes,
            ..Turn::default()
        };
        let said = match Box::pin(at.turn(&ctx, ask)).await {
            Ok(said) => said,
            Err(e) => match (bound(&e), trail.back(&job, at.name())) {
                (Some(why), _) => return Ok(job.close_by(at, &talk, why, turn).await),
                (None, Some(giver)) => {
                    talk.push(note(format!("{} could not take the work over: {e}", at.name())));
                    at = giver;
                    continue;
                }
                (None, None) => return Err(e),
            },
        };
        if !said.message.text.is_empty() {
            talk.push(said.message.clone());
        }
        let Some(handoff) = said.handoff else {
            match job.options.ask_user {
                false => return Ok(Ending::message(&said.message, StoppedBy::Completed, turn)),
                true => match ask_user(&ctx).await? {
                    Some(message) => talk.push(message),
                    None => return Ok(Ending::message(&said.message, StoppedBy::User, turn)),
                },
            }
            continue;
        };
        if let Some(why) = trail.take(&ctx, &job, at, &handoff, &talk) {
            return Ok(job.close_by(at, &talk, why, turn).await);
        }
        at = job.team.find(&handoff.to).unwrap_or(at);
    }
    Ok(job.close_by(at, &talk, StoppedBy::MaxIterations, job.max_iterations).await)
}

const ORDER: &str =
    "If the task is yours, answer it. If another agent fits better, hand it over with the tool for that agent.";

/// The user's next message; none when there is nothing more to say.
async fn ask_user(ctx: &Ctx) -> Result<Option<Message>> {
    let payload: Option<Value> = ctx.wait_for("user", None).await?;
    let text = payload.as_ref().map_or("", |p| p.as_str().or(p["text"].as_str()).unwrap_or_default()).trim().to_owned();
    let text = ctx.step("said", || text).await?;
    let source = Source::Step(format!("{}/said", ctx.path()));
    Ok((!text.is_empty()).then(|| Message { from: Some("user".into()), text, value: None, source }))
}

fn note(text: String) -> Message {
    Message { from: Some("system".into()), text, value: None, source: Source::Input }
}

fn routes_schema() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "array", "items": {"anyOf": [{"type": "string"},
        {"type": "object", "required": ["to"], "properties": {"to": {"type": "string"}, "description": {"type": "string"}}}]}}})
}

fn read_routes(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    let form = field.form()?;
    for from in form.keys() {
        if !cast.members.is_empty() && !cast.members.iter().any(|m| m == from) {
            form.entry(from).fail(format!("there is no member named {from:?} in the team"));
        }
        for item in form.entry(from).list(super::AGENTS_MAX).iter().flat_map(|list| list.items()) {
            match item.value() {
                Some(Value::String(_)) => drop(cast.member(&item)),
                _ => drop(item.form().and_then(|form| cast.member(&form.field("to").required()))),
            }
        }
    }
    let routes: BTreeMap<String, Vec<Value>> = plain(field)?;
    let route = |r: Value| if r.is_string() { json!({ "to": r }) } else { r };
    Some(routes.into_iter().map(|(from, to)| (from, to.into_iter().map(route).collect::<Value>())).collect())
}
