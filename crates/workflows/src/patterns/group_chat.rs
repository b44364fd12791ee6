//! `group_chat`: agents speak in turn over one transcript until a condition holds; then one writes the answer.

use super::job::{Job, bound, register};
use super::options::{Kind, Opt, Reader, plain, schema};
use super::request::{Cast, SHARED, check};
use super::speaker::{self, By, Floor, Rule};
use super::termination::{self, Standing, Until};
use super::{Pattern, examples};
use crate::outcome::{Ending, StoppedBy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::form::Field;
use tutti_agents::team::{Member, Message};
use tutti_agents::turn::{Route, Turn};
use tutti_engine::event::Kind as Event;
use tutti_engine::{Ctx, Error, Result};

/// The pattern.
pub const PATTERN: Pattern = Pattern {
    name: "group_chat",
    description: "Agents discuss over one transcript; a selection says who speaks next, a condition says when it ends.",
    options: || schema(&[OPTIONS, SHARED]),
    example: examples::group_chat,
    check: |form, setting| check::<Options>(form, setting, OPTIONS),
    register: |registry, asking| register(registry, PATTERN.name, asking, run),
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "speaker",
        Kind::Word(&["round_robin", "random", "llm", "rule", "bid"]),
        "Who speaks next: in turn, by chance, as the manager says, by rules, or who wants it most.",
    ),
    Opt::new(
        "until",
        Kind::Data(termination::schema, read_until as Reader),
        "What ends the chat; max_iterations does in any case.",
    ),
    Opt::new(
        "rules",
        Kind::Data(speaker::rules_schema, speaker::read_rules as Reader),
        "For speaker rule: the first rule that fits the last message names the next speaker.",
    ),
    Opt::new(
        "candidates",
        Kind::Data(speaker::candidates_schema, speaker::read_candidates as Reader),
        "Who may speak after whom; everybody if absent.",
    ),
    Opt::new("allow_repeat", Kind::Flag, "Whether one may speak twice in a row."),
    Opt::new("observers", Kind::Members, "Members that follow silently and write a note once the chat has ended."),
];

/// The pattern's options. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Who speaks next.
    pub speaker: By,
    /// What ends the chat.
    pub until: Option<Until>,
    /// For [`By::Rule`].
    pub rules: Vec<Rule>,
    /// Who may speak after whom.
    pub candidates: BTreeMap<String, Vec<String>>,
    /// Whether one may speak twice in a row.
    pub allow_repeat: bool,
    /// Members that follow silently.
    pub observers: Vec<String>,
}

/// Turns of one speaker each. A speaker that fails is left out from then on; the chat always ends with an answer.
///
/// # Errors
/// Every speaker failed and nobody has said anything.
pub async fn run(job: Job<Options>) -> Result<Ending> {
    let began = job.ctx.now();
    let mut chat = Chat::new(&job);
    let mut why = StoppedBy::MaxIterations;
    let mut rounds = 0;
    while rounds < job.max_iterations {
        let ctx = job.ctx.scope("turn", rounds + 1);
        let Some(next) = Box::pin(speaker::select(&ctx, &job, &chat.floor, rounds)).await? else { break };
        ctx.emit(
            Event::SpeakerSelected,
            &json!({"speaker": next.name, "by": next.by, "reason": next.reason, "round": rounds + 1}),
        );
        if next.is_over {
            why = StoppedBy::Manager;
            break;
        }
        rounds += 1;
        match Box::pin(chat.speak(&ctx, &job, &next.name)).await {
            Ok(()) => {}
            Err(e) => match bound(&e) {
                Some(reason) => {
                    why = reason;
                    break;
                }
                None => chat.leave(&ctx, &next.name, e)?,
            },
        }
        let standing = Standing { ms: began.until(ctx.now()).as_millis() as u64, ..chat.standing() };
        if let Some(reason) = job.options.until.as_ref().and_then(|until| until.holds(&standing)) {
            why = reason;
            break;
        }
    }
    if chat.floor.speakers.is_empty() {
        why = StoppedBy::NoSpeaker;
    }
    Box::pin(notes(&job, &chat.floor.talk)).await;
    Ok(Box::pin(job.close(&chat.floor.talk, why, rounds)).await)
}

struct Chat {
    floor: Floor,
    handoffs: Vec<Route>,
    tokens: u64,
    tools: Vec<String>,
    handoff: Option<String>,
}

impl Chat {
    fn new(job: &Job<Options>) -> Self {
        let is_speaker = |m: &&Member| !job.options.observers.iter().any(|o| o == m.name());
        let speakers = job.team.members().iter().filter(is_speaker).map(|m| m.name().to_owned()).collect();
        let places = job.options.until.as_ref().map(Until::handoffs).unwrap_or_default();
        let handoffs = places.into_iter().map(|to| Route { to, description: "ends the discussion".into() }).collect();
        let floor = Floor { talk: vec![job.input.clone()], speakers };
        Self { floor, handoffs, tokens: 0, tools: Vec::new(), handoff: None }
    }

    async fn speak(&mut self, ctx: &Ctx, job: &Job<Options>, name: &str) -> Result<()> {
        let Some(member) = job.team.find(name) else { return Ok(()) };
        let order = format!(
            "You are {name} in this discussion. It is your turn: say what moves it on, briefly, and nothing twice."
        );
        let turn = Turn { said: &self.floor.talk, order: Some(&order), handoffs: &self.handoffs, ..Turn::default() };
        let said = member.turn(ctx, turn).await?;
        self.tokens += said.tokens;
        self.tools.extend(said.tools);
        self.handoff = said.handoff.map(|h| h.to);
        self.floor.talk.push(said.message);
        Ok(())
    }

    /// A speaker failed: the others go on without it.
    fn leave(&mut self, ctx: &Ctx, name: &str, error: Error) -> Result<()> {
        self.floor.speakers.retain(|s| s != name);
        if self.floor.speakers.is_empty() && self.floor.talk.len() == 1 {
            return Err(error);
        }
        ctx.emit(Event::Log, &json!({"message": format!("{name} failed and speaks no more: {error}")}));
        Ok(())
    }

    fn standing(&self) -> Standing<'_> {
        Standing {
            said: &self.floor.talk[1..],
            speakers: self.floor.speakers.len(),
            tokens: self.tokens,
            ms: 0,
            tools: &self.tools,
            handoff: self.handoff.as_deref(),
        }
    }
}

/// What the observers noticed. They do not change the answer, and a note that cannot be had is left out.
async fn notes(job: &Job<Options>, talk: &[Message]) {
    let observers: Vec<_> = job.options.observers.iter().filter_map(|name| job.team.find(name)).collect();
    let order = "You followed this discussion silently. It is over: write down what you noticed.";
    let count = observers.len();
    let note = async |ctx: Ctx, (at, member): (usize, &Member)| {
        let siblings = (count - at) as u32;
        Ok(member.turn(&ctx, Turn { said: talk, order: Some(order), siblings, ..Turn::default() }).await.ok())
    };
    let _ = job.ctx.map("observer", observers.into_iter().enumerate().collect(), 4, note).await;
}

fn read_until(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    let until: Until = plain(field)?;
    if let Err(wrong) = until.check(&cast.members) {
        field.fail(wrong);
    }
    Some(json!(until))
}
