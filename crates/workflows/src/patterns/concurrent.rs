//! `concurrent`: all agents work on the same input at once; their answers are put together.

use super::{Checked, Pattern, PatternInput, Setting, check, options_schema};
use crate::outcome::{Outcome, Output, Part, StoppedBy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::form::{Field, Form};
use tutti_agents::team::{Asking, Member, Message, Team};
use tutti_engine::{Ctx, Error, Registry, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "concurrent",
    description: "All agents at once on the same input; their answers are put together.",
    options: schema,
    example,
    check: checked,
    register,
};

/// How answers become the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// A list of `{agent, output}` in the team's order.
    #[default]
    All,
    /// One text, each answer under its agent's name.
    Concat,
    /// The answer that came first; the others are stopped.
    First,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
}

/// All at once. Ends when all have answered, or when enough have.
///
/// # Errors
/// A member failed and `on_error` says that this counts, or fewer answered than `quorum` asks for, or none did.
pub async fn run(ctx: Ctx, team: Team, input: Message, options: Options) -> Result<Outcome> {
    let members = team.members();
    let limit = options.max_parallel.unwrap_or(members.len());
    let wanted = match options.aggregate {
        Aggregate::First => Some(1),
        _ => options.quorum,
    };
    let ask = async |ctx: Ctx, member: &Member| {
        let answer = member.ask(&ctx, std::slice::from_ref(&input)).await;
        if options.on_error == OnError::FailFast { answer.map(Ok) } else { Ok(answer) }
    };
    let enough = |done: &[Option<Result<Message>>]| wanted.is_some_and(|n| answered(done) >= n);
    let done = ctx.map_until("member", members.iter().collect(), limit, ask, enough).await?;
    let came = answered(&done);
    if options.on_error == OnError::Wait || came < wanted.unwrap_or(1) {
        refuse(members, &done, came, wanted)?;
    }
    let is_cut = done.iter().any(Option::is_none);
    let stopped_by = match options.aggregate {
        Aggregate::First => StoppedBy::First,
        _ if is_cut => StoppedBy::Quorum,
        _ => StoppedBy::Completed,
    };
    Ok(Outcome { output: put_together(members, &done, options), stopped_by, iterations: 1 })
}

fn answered(done: &[Option<Result<Message>>]) -> usize {
    done.iter().flatten().filter(|answer| answer.is_ok()).count()
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

fn put_together(members: &[Member], done: &[Option<Result<Message>>], options: Options) -> Output {
    let is_kept = |answer: &Result<Message>| answer.is_ok() || options.on_error != OnError::Drop;
    let came = members.iter().zip(done).filter_map(|(m, a)| Some((m, a.as_ref().filter(|a| is_kept(a))?)));
    let parts = || came.clone().map(|(m, answer)| Part::of(m.name(), answer)).collect();
    match options.aggregate {
        Aggregate::All => Output::Each(parts()),
        Aggregate::Concat => Output::Joined(parts()),
        Aggregate::First => {
            let first = came.clone().find_map(|(_, answer)| answer.as_ref().ok());
            first.map_or(Output::Value(Value::Null), Output::message)
        }
    }
}

fn register(registry: Registry, asking: Asking) -> Registry {
    registry.with(PATTERN.name, 1, move |ctx, input: PatternInput<Options>| {
        let message = Message::input(input.text());
        run(ctx, Team::new(input.agents, &asking), message, input.options)
    })
}

const LATER: [&str; 4] = ["merge", "vote", "best", "llm"];

fn checked(form: &Form<'_>, setting: &Setting<'_>) -> Option<Checked> {
    check(form, setting, |form, team| {
        let on_error = [
            ("keep", OnError::Keep),
            ("drop", OnError::Drop),
            ("fail_fast", OnError::FailFast),
            ("wait", OnError::Wait),
        ];
        Options {
            aggregate: read_aggregate(&form.field("aggregate")).unwrap_or_default(),
            on_error: form.field("on_error").choice(&on_error).unwrap_or_default(),
            max_parallel: count(&form.field("max_parallel"), super::AGENTS_MAX),
            // A team that could not be read says nothing about how large a quorum may be.
            quorum: count(&form.field("quorum"), if team == 0 { super::AGENTS_MAX } else { team }),
        }
    })
}

fn read_aggregate(field: &Field<'_, '_>) -> Option<Aggregate> {
    if let Some(later) = field.value().and_then(Value::as_str).filter(|word| LATER.contains(word)) {
        field.fail(format!("aggregate {later:?} is not supported in this version; supported: all, concat, first"));
        return None;
    }
    field.choice(&[("all", Aggregate::All), ("concat", Aggregate::Concat), ("first", Aggregate::First)])
}

fn count(field: &Field<'_, '_>, max: usize) -> Option<usize> {
    field.integer(1, i64::try_from(max).unwrap_or(i64::MAX)).and_then(|n| usize::try_from(n).ok())
}

fn schema() -> Value {
    options_schema(json!({
        "aggregate": {"type": "string", "enum": ["all", "concat", "first"], "default": "all",
            "description": "How the answers become the output."},
        "on_error": {"type": "string", "enum": ["keep", "drop", "fail_fast", "wait"], "default": "keep",
            "description": "What an agent's failure does: keep it in the output, drop it, fail at once, or fail at the end."},
        "max_parallel": {"type": "integer", "minimum": 1, "maximum": super::AGENTS_MAX,
            "description": "Most agents at work at once."},
        "quorum": {"type": "integer", "minimum": 1, "maximum": super::AGENTS_MAX,
            "description": "Enough answers; at most the size of the team."}
    }))
}

fn example() -> Value {
    json!({
        "pattern": "concurrent",
        "input": "Why was I charged twice?",
        "agents": [
            {"name": "billing", "instructions": "You know card payments."},
            {"name": "tone", "instructions": "You judge the customer's mood."}
        ],
        "options": {"aggregate": "all"}
    })
}
