//! `dynamic`: a planner says in the terms of the patterns what the team does; the plan is checked, run, watched, and
//! changed when it does not get on.

use super::job::{Job, bound, register};
use super::options::{Kind, Opt, Reader, schema};
use super::plan::{How, PlanStep};
use super::request::{SHARED, check, read_patience};
use super::task::{Ledger, Progress};
use super::{Pattern, concurrent, examples, group_chat, handoff, sequential};
use crate::outcome::{Answer, Ending, StoppedBy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::person::{Patience, refused};
use tutti_agents::team::{Member, Message, Source};
use tutti_engine::{Ctx, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "dynamic",
    description: "A planner chooses the strategy: it writes a plan of patterns and agents, which is checked, run, and changed when stalled.",
    options: || schema(&[OPTIONS, SHARED]),
    example: examples::dynamic,
    check: |form, setting| check::<Options>(form, setting, OPTIONS),
    register: |registry, asking| register(registry, PATTERN.name, asking, run),
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "max_stalls",
        Kind::Count(0, 100),
        "How many steps without progress are borne before the plan is changed; 2 if absent.",
    ),
    Opt::new("max_replans", Kind::Count(0, 100), "How often the plan may be changed; 2 if absent."),
    Opt::new(
        "sign_off",
        Kind::Data(sign_schema, (|field, _| read_sign_off(field)) as Reader),
        "A person must agree to each plan before it runs.",
    ),
];

/// The pattern's options. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Steps without progress that are borne.
    pub max_stalls: Option<u32>,
    /// How often the plan may be changed.
    pub max_replans: Option<u32>,
    /// How a person is asked to agree to a plan.
    pub sign_off: Option<Patience>,
}

/// Plan, run a step, look at the progress, go on or plan anew. Always ends with the manager's answer.
///
/// # Errors
/// None but the engine's: what fails becomes part of what the planner knows.
pub async fn run(job: Job<Options>) -> Result<Ending> {
    let mut task = Ledger::new(job.input.clone());
    let mut why = match Box::pin(task.plan(&job, None)).await {
        Ok(()) => StoppedBy::Completed,
        Err(why) => return Ok(Box::pin(job.close(&task.said, why, 0)).await),
    };
    let mut rounds = 0;
    while let Some(step) = task.next() {
        if rounds == job.max_iterations {
            why = StoppedBy::MaxIterations;
            break;
        }
        rounds += 1;
        let done = Box::pin(carry_out(&job, &task, &step, rounds)).await;
        if let Some(reason) = done.as_ref().err().and_then(bound) {
            why = reason;
            break;
        }
        match Box::pin(task.progress(&job, &step, done, rounds)).await {
            Progress::Satisfied => break,
            Progress::On => {}
            Progress::Stalled(reason) if task.replans < job.options.max_replans.unwrap_or(2) => {
                if let Err(reason) = Box::pin(task.plan(&job, Some(&reason))).await {
                    why = reason;
                    break;
                }
                if task.next().is_none() {
                    why = StoppedBy::Stalled;
                }
            }
            Progress::Stalled(_) => {
                why = StoppedBy::Stalled;
                break;
            }
        }
    }
    Ok(Box::pin(job.close(&task.said, why, rounds)).await)
}

/// Runs one step of a plan as the pattern it names.
async fn carry_out(job: &Job<Options>, task: &Ledger, step: &PlanStep, round: u32) -> Result<Message> {
    let ctx = job.ctx.scope("step", round);
    let needed =
        |m: &&Message| m.from.as_ref().is_none_or(|id| step.needs.as_ref().is_none_or(|needs| needs.contains(id)));
    let given: Vec<_> = task
        .said
        .iter()
        .filter(needed)
        .map(|m| match &m.from {
            Some(id) => format!("Result of {id}:\n{}", m.text),
            None => format!("The task as a whole:\n{}", m.text),
        })
        .collect();
    let input = Message::input(format!("{}\n\nYour part of it:\n{}", given.join("\n\n"), step.task));
    let (team, inner) = (job.team.of(&step.agents), ctx.clone());
    let mut hand = job.hand(inner, team, input, ());
    hand.max_iterations = step.bound();
    let ending = match (step.how, hand.team.members()) {
        (How::Ask, [only, ..]) => return ask(only, &ctx, &hand.input, step).await,
        (How::Sequential, _) => Box::pin(sequential::run(hand.with(sequential::Options::default()))).await?,
        (How::Concurrent, _) => {
            let options = concurrent::Options { aggregate: concurrent::Aggregate::Llm, ..Default::default() };
            Box::pin(concurrent::run(hand.with(options))).await?
        }
        (How::GroupChat, _) => Box::pin(group_chat::run(hand.with(group_chat::Options::default()))).await?,
        (How::Handoff, _) => Box::pin(handoff::run(hand.with(handoff::Options::default()))).await?,
        (How::Ask, []) => return Err(refused("a step without agents")),
    };
    let mut result = match ending.output {
        Answer::Message(message) => message,
        other => Message { from: None, text: other.value().to_string(), value: None, source: Source::Input },
    };
    result.from = Some(step.id.clone());
    Ok(result)
}

async fn ask(member: &Member, ctx: &Ctx, input: &Message, step: &PlanStep) -> Result<Message> {
    let answer = member.ask(ctx, std::slice::from_ref(input)).await?;
    Ok(Message { from: Some(step.id.clone()), ..answer })
}

fn sign_schema() -> Value {
    json!({"anyOf": [{"type": "boolean"}, {"type": "object"}], "description": "true, or {timeout_seconds, escalate_to, default}."})
}

fn read_sign_off(field: &tutti_agents::form::Field<'_, '_>) -> Option<Value> {
    match field.value()? {
        Value::Bool(false) => None,
        Value::Bool(true) => Some(json!(Patience::default())),
        _ => field.form().map(|form| {
            let patience = read_patience(&form);
            form.no_others();
            json!(patience)
        }),
    }
}
