//! `concurrent`: all agents work on the same input at once; their answers are put together.

use super::aggregate::{self, Reducer};
use super::job::{Job, bound, register, within};
use super::options::{Kind, Opt, Reader, schema};
use super::request::{SHARED, check};
use super::{AGENTS_MAX, Pattern, TIMEOUT_SECONDS_MAX, examples};
use crate::outcome::{Ending, Share, StoppedBy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tutti_agents::team::{Member, Message};
use tutti_agents::turn::Turn;
use tutti_engine::{Ctx, Error, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "concurrent",
    description: "All agents at once on the same input; their answers are put together.",
    options: || schema(&[OPTIONS, SHARED]),
    example: examples::concurrent,
    check: |form, setting| check::<Options>(form, setting, OPTIONS),
    register: |registry, asking| register(registry, PATTERN.name, asking, run),
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "aggregate",
        Kind::Word(&["all", "concat", "merge", "vote", "first", "best", "llm"]),
        "How the answers become the output.",
    ),
    Opt::new(
        "on_error",
        Kind::Word(&["keep", "drop", "fail_fast", "wait"]),
        "What an agent's failure does: keep it in the output, drop it, fail at once, or fail at the end.",
    ),
    Opt::new("max_parallel", Kind::Count(1, AGENTS_MAX as i64), "Most agents at work at once."),
    Opt::new("quorum", Kind::UpToTeam, "Enough answers; at most the size of the team."),
    Opt::new(
        "branch_timeout_seconds",
        Kind::Seconds(TIMEOUT_SECONDS_MAX),
        "How long one agent may take; after it the agent has failed.",
    ),
    Opt::new(
        "reducers",
        Kind::Data(aggregate::schema, aggregate::read_reducers as Reader),
        "How merge joins each field of JSON answers.",
    ),
];

/// How answers become the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// A list of `{agent, output}` in the team's order.
    #[default]
    All,
    /// One text, each answer under its agent's name.
    Concat,
    /// One JSON object, each field joined by its reducer.
    Merge,
    /// The answer that most agents gave.
    Vote,
    /// The answer that came first; the others are stopped.
    First,
    /// The answer that the manager finds best.
    Best,
    /// The manager's answer made of all, saying who said what.
    Llm,
}

/// What an agent's failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Its place in the output says what went wrong.
    #[default]
    Keep,
    /// Its place is left out of the output.
    Drop,
    /// The others are stopped and the run fails.
    FailFast,
    /// The others finish, then the run fails.
    Wait,
}

/// The pattern's options. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// How answers become the output.
    pub aggregate: Aggregate,
    /// What an agent's failure does.
    pub on_error: OnError,
    /// Most agents at work at once; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<usize>,
    /// Enough answers: once so many have come the others are stopped. With fewer the run fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
    /// How long one agent may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch_timeout_ms: Option<u64>,
    /// How `merge` joins each field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reducers: BTreeMap<String, Reducer>,
}

/// All at once. Ends when all have answered, or when enough have.
///
/// # Errors
/// A member failed and `on_error` says that this counts, or fewer answered than `quorum` asks for, or none did.
pub async fn run(job: Job<Options>) -> Result<Ending> {
    let (members, options) = (job.team.members(), &job.options);
    let limit = options.max_parallel.unwrap_or(members.len());
    let wanted = match options.aggregate {
        Aggregate::First => Some(1),
        _ => options.quorum,
    };
    let ask = async |ctx: Ctx, (at, member): (usize, &Member)| {
        // Those before it have their shares already.
        let turn = Turn { siblings: (members.len() - at) as u32, ..Turn::of(std::slice::from_ref(&job.input)) };
        let work = Box::pin(async { member.turn(&ctx, turn).await.map(|said| said.message) });
        let answer = within(&ctx, options.branch_timeout_ms, work).await;
        if options.on_error == OnError::FailFast { answer.map(Ok) } else { Ok(answer) }
    };
    let enough = |done: &[Option<Result<Message>>]| wanted.is_some_and(|n| answered(done) >= n);
    let done = job.ctx.map_until("member", members.iter().enumerate().collect(), limit, ask, enough).await?;
    let came = answered(&done);
    if options.on_error == OnError::Wait || came < wanted.unwrap_or(1) {
        if let Some(why) = all_bound(&done) {
            return Ok(job.close(std::slice::from_ref(&job.input), why, 1).await);
        }
        refuse(members, &done, came, wanted)?;
    }
    let stopped_by = match options.aggregate {
        Aggregate::First => StoppedBy::First,
        _ if done.iter().any(Option::is_none) => StoppedBy::Quorum,
        _ => StoppedBy::Completed,
    };
    let is_kept = |answer: &Result<Message>| answer.is_ok() || options.on_error != OnError::Drop;
    let came = members.iter().zip(done).filter_map(|(m, a)| Some((m.name().to_owned(), a.filter(is_kept)?)));
    let shares: Vec<Share> = came.collect();
    let output = Box::pin(aggregate::put_together(&job, shares)).await;
    Ok(Ending { output, stopped_by, iterations: 1 })
}

fn answered(done: &[Option<Result<Message>>]) -> usize {
    done.iter().flatten().filter(|answer| answer.is_ok()).count()
}

/// The bound that stopped every agent, where one did and nobody answered.
fn all_bound(done: &[Option<Result<Message>>]) -> Option<StoppedBy> {
    let mut whys = done.iter().flatten().map(|answer| answer.as_ref().err().and_then(bound));
    let first = whys.next()??;
    whys.all(|why| why == Some(first)).then_some(first)
}

/// The failure of a team in which somebody failed.
fn refuse(members: &[Member], done: &[Option<Result<Message>>], came: usize, wanted: Option<usize>) -> Result<()> {
    let failed = || members.iter().zip(done).filter_map(|(m, a)| Some((m.name(), a.as_ref()?.as_ref().err()?)));
    let Some((agent, first)) = failed().next() else { return Ok(()) };
    let all: Vec<_> = failed().map(|(name, e)| format!("{name}: {e}")).collect();
    let quorum = wanted.map_or_else(String::new, |n| format!(" ({n} wanted)"));
    let message = format!("{came} of {} agents answered{quorum}; {}", members.len(), all.join("; "));
    let mut error = first.clone().into_run_error();
    (error.message, error.agent) = (message, Some(agent.into()));
    Err(Error::Workflow(error))
}
