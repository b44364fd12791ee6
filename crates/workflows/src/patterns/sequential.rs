//! `sequential`: each agent gets the answer of the one before it.

use super::{Checked, Pattern, PatternInput, Setting, check, options_schema};
use crate::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::form::Form;
use tutti_agents::team::{Asking, Message, Team};
use tutti_engine::{Ctx, Registry, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "sequential",
    description: "One agent after the other: each works on the answer of the one before it, the last answer is the output.",
    options: schema,
    example,
    check: checked,
    register,
};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// What an agent is given.
    pub pass: Pass,
}

/// One after the other, in the team's order. The first failure ends it.
///
/// # Errors
/// A member failed for good.
pub async fn run(ctx: Ctx, team: Team, input: Message, options: Options) -> Result<Outcome> {
    let mut talk = vec![input];
    for member in team.members() {
        let given = match options.pass {
            Pass::Last => &talk[talk.len() - 1..],
            Pass::All => &talk[..],
        };
        let answer = member.ask(&ctx.scope("member", member.name()), given).await?;
        talk.push(answer);
    }
    Ok(Outcome::last(&talk[talk.len() - 1], 1))
}

fn register(registry: Registry, asking: Asking) -> Registry {
    registry.with(PATTERN.name, 1, move |ctx, input: PatternInput<Options>| {
        let message = Message::input(input.text());
        run(ctx, Team::new(input.agents, &asking), message, input.options)
    })
}

fn checked(form: &Form<'_>, setting: &Setting<'_>) -> Option<Checked> {
    check(form, setting, |form, _| Options {
        pass: form.field("pass").choice(&[("last", Pass::Last), ("all", Pass::All)]).unwrap_or_default(),
    })
}

fn schema() -> Value {
    options_schema(json!({
        "pass": {"type": "string", "enum": ["last", "all"], "default": "last",
            "description": "What an agent is given: the last answer, or the input and all answers so far."}
    }))
}

fn example() -> Value {
    json!({
        "pattern": "sequential",
        "input": "My card was charged twice for one coffee.",
        "agents": [
            {"name": "facts", "instructions": "List the facts of the customer's message."},
            {"name": "policy", "instructions": "Say what a bank should do about these facts."},
            {"name": "writer", "instructions": "Write a short, friendly answer to the customer."}
        ],
        "options": {"pass": "all"}
    })
}
