//! `sequential`: each agent gets the answer of the one before it.

use super::condition::{self, Condition};
use super::job::{Job, bound, register, within};
use super::options::{Kind, Opt, Reader, schema};
use super::request::{Cast, SHARED, check, read_patience};
use super::{Pattern, TIMEOUT_SECONDS_MAX, examples};
use crate::outcome::{Ending, StoppedBy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tutti_agents::form::Field;
use tutti_agents::person::{Patience, decide};
use tutti_agents::team::{Member, Message, Source};
use tutti_engine::event::Kind as Event;
use tutti_engine::journal::body::Verdict;
use tutti_engine::{Ctx, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "sequential",
    description: "One agent after the other: each works on the answer of the one before it, the last answer is the output.",
    options: || schema(&[OPTIONS, SHARED]),
    example: examples::sequential,
    check: |form, setting| check::<Options>(form, setting, OPTIONS),
    register: |registry, asking| register(registry, PATTERN.name, asking, run),
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "pass",
        Kind::Word(&["last", "all"]),
        "What an agent is given: the last answer, or the input and all answers so far.",
    ),
    Opt::new("steps", Kind::Data(steps_schema, read_steps as Reader), "What is special about single members, by name."),
];

/// What an agent is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// The answer of the one before it.
    #[default]
    Last,
    /// The input and every answer so far.
    All,
}

/// The pattern's options. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// What an agent is given.
    pub pass: Pass,
    /// What is special about single members.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, Step>,
}

/// What is special about one member.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// How often its turn is taken again after it failed.
    pub retries: u32,
    /// How long one try may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Who does it when all tries failed.
    pub fallback: Option<String>,
    /// It is left out when this holds for what it would be given last.
    pub skip_if: Option<Condition>,
    /// The work ends with its answer when this holds for it.
    pub stop_if: Option<Condition>,
    /// A person must agree to its answer, or say what to change.
    pub gate: Option<Patience>,
}

/// One after the other, in the team's order. The first failure that no fallback mends ends it.
///
/// # Errors
/// A member failed for good.
pub async fn run(job: Job<Options>) -> Result<Ending> {
    let mut talk = vec![job.input.clone()];
    for member in job.team.members() {
        let step = job.options.steps.get(member.name()).cloned().unwrap_or_default();
        let last = &talk[talk.len() - 1];
        if step.skip_if.as_ref().is_some_and(|c| c.holds(last)) {
            job.ctx.emit(Event::Log, &json!({"message": format!("{} is skipped: skip_if holds", member.name())}));
            continue;
        }
        let given = if job.options.pass == Pass::Last { &talk[talk.len() - 1..] } else { &talk[..] };
        let ctx = job.ctx.scope("member", member.name());
        match Box::pin(step.accepted(&ctx, &job, member, given)).await {
            Ok(answer) => talk.push(answer),
            Err(e) => match bound(&e) {
                Some(why) => return Ok(job.close(&talk, why, 1).await),
                None => return Err(e),
            },
        }
        let last = &talk[talk.len() - 1];
        if step.stop_if.as_ref().is_some_and(|c| c.holds(last)) {
            return Ok(Ending::message(last, StoppedBy::StopIf, 1));
        }
    }
    Ok(Ending::message(&talk[talk.len() - 1], StoppedBy::Completed, 1))
}

impl Step {
    /// The member's answer, with which a person agrees where one is asked.
    async fn accepted(&self, ctx: &Ctx, job: &Job<Options>, member: &Member, given: &[Message]) -> Result<Message> {
        let mut given = given.to_vec();
        for round in 0..job.max_iterations {
            let scope = if round == 0 { ctx.clone() } else { ctx.scope("round", round) };
            let answer = self.answer(&scope, job, member, &given).await?;
            let Some(patience) = &self.gate else { return Ok(answer) };
            let request = json!({"act": format!("the answer of {:?}", member.name()), "agent": member.name(), "answer": answer.text});
            let decision = decide(&scope, "gate", request, patience).await?;
            match decision.decision {
                Verdict::Approve => return Ok(answer),
                Verdict::Expired if patience.agrees() => return Ok(answer),
                // Silence says nothing that a better answer could meet.
                Verdict::Expired => break,
                Verdict::Reject => {}
            }
            let note = decision.note.unwrap_or_else(|| "This answer was not accepted. Give a better one.".into());
            given.extend([
                answer,
                Message { from: Some("reviewer".into()), text: note, value: None, source: Source::Input },
            ]);
        }
        Err(tutti_agents::person::refused(&format!("every answer of {:?}", member.name())))
    }

    /// The member's answer, or its stand-in's.
    async fn answer(&self, ctx: &Ctx, job: &Job<Options>, member: &Member, given: &[Message]) -> Result<Message> {
        let mut failed = None;
        for attempt in 0..=self.retries {
            let scope = if attempt == 0 { ctx.clone() } else { ctx.scope("again", attempt) };
            match within(&scope, self.timeout_ms, Box::pin(member.ask(&scope, given))).await {
                Err(e) if bound(&e).is_none() => failed = Some(e),
                other => return other,
            }
        }
        match (self.fallback.as_ref().and_then(|name| job.team.find(name)), failed) {
            (Some(other), _) => {
                let scope = ctx.scope("fallback", other.name());
                within(&scope, self.timeout_ms, Box::pin(other.ask(&scope, given))).await
            }
            (None, Some(e)) => Err(e),
            (None, None) => Err(tutti_agents::person::refused("nothing")),
        }
    }
}

fn steps_schema() -> Value {
    let number = json!({"type": "number", "exclusiveMinimum": 0});
    json!({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": false, "properties": {
        "retries": {"type": "integer", "minimum": 0, "maximum": 10, "description": "How often a failed turn is taken again."},
        "timeout_seconds": number, "fallback": {"description": "The agent that does it when all tries failed."},
        "skip_if": condition::schema(), "stop_if": condition::schema(),
        "gate": {"description": "true, or {timeout_seconds, escalate_to, default}: a person must agree to the answer."}}}})
}

fn read_steps(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    let mut steps = Map::new();
    for name in field.form()?.keys() {
        let form = field.form()?;
        let item = form.entry(name);
        if !cast.members.is_empty() && !cast.members.iter().any(|m| m == name) {
            item.fail(format!("there is no member named {name:?} in the team"));
        }
        let Some(form) = item.form() else { continue };
        let gate = form.field("gate");
        let step = Step {
            retries: form.field("retries").integer(0, 10).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            timeout_ms: form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX),
            fallback: cast.agent(&form.field("fallback")),
            skip_if: super::options::plain(&form.field("skip_if")),
            stop_if: super::options::plain(&form.field("stop_if")),
            gate: match gate.value() {
                None | Some(Value::Bool(false)) => None,
                Some(Value::Bool(true)) => Some(Patience::default()),
                Some(_) => gate.form().map(|form| read_patience(&form)),
            },
        };
        form.no_others();
        steps.insert(name.into(), json!(step));
    }
    Some(Value::Object(steps))
}
