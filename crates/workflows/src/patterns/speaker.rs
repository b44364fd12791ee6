//! Who speaks next in a group chat.

use super::condition::{self, Condition};
use super::group_chat::Options;
use super::job::{Job, bound};
use super::request::Cast;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::form::Field;
use tutti_agents::team::{Member, Message};
use tutti_agents::turn::Turn;
use tutti_engine::{Ctx, Result};

/// How the next speaker is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// In the team's order.
    #[default]
    RoundRobin,
    /// By chance, the same on every replay.
    Random,
    /// The manager chooses, and says when the chat is over.
    Llm,
    /// By rules on the last message.
    Rule,
    /// Each says how much it wants to speak.
    Bid,
}

/// One rule: after whom, if what, who is next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Who spoke last; anybody if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What must hold for the last message; nothing if absent.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Who speaks next.
    pub next: String,
}

/// What was said so far, the question first, and who may still speak.
pub(crate) struct Floor {
    pub talk: Vec<Message>,
    pub speakers: Vec<String>,
}

/// A choice, and why.
pub(crate) struct Chosen {
    pub name: String,
    pub by: By,
    pub reason: String,
    /// The manager says that there is no more to say.
    pub is_over: bool,
}

impl Chosen {
    fn new(name: &str, by: By, reason: impl Into<String>) -> Self {
        Self { name: name.into(), by, reason: reason.into(), is_over: false }
    }
}

/// The next speaker; none when nobody may speak. A choice that cannot be had falls back to round robin, with the reason.
pub(crate) async fn select(ctx: &Ctx, job: &Job<Options>, floor: &Floor, round: u32) -> Result<Option<Chosen>> {
    let open = candidates(&job.options, floor);
    let Some(turn) = in_turn(job, floor, &open) else { return Ok(None) };
    let by = job.options.speaker;
    let chosen = match (by, open.as_slice()) {
        (By::RoundRobin, _) => Ok(Chosen::new(&turn, by, "next in turn")),
        // Nobody to choose from; only the manager may also end it.
        (By::Random | By::Bid, [only]) => Ok(Chosen::new(only, by, "nobody else may speak")),
        (By::Random, _) => {
            let at = usize::try_from(ctx.random() % open.len() as u64).unwrap_or(0);
            Ok(Chosen::new(&open[at], by, "by chance"))
        }
        (By::Rule, _) => by_rule(&job.options, floor, &open).ok_or_else(|| "no rule fits the last message".to_owned()),
        (By::Llm, _) => by_manager(ctx, job, floor, &open, round).await,
        (By::Bid, _) => by_bids(ctx, job, floor, &open).await,
    };
    Ok(Some(chosen.unwrap_or_else(|why| Chosen::new(&turn, By::RoundRobin, format!("{why}; next in turn")))))
}

/// Who may speak now.
fn candidates(options: &Options, floor: &Floor) -> Vec<String> {
    let last = floor.talk.last().and_then(|m| m.from.as_ref());
    let allowed = last.and_then(|last| options.candidates.get(last));
    let may =
        |name: &String| allowed.is_none_or(|all| all.contains(name)) && (options.allow_repeat || last != Some(name));
    let open: Vec<_> = floor.speakers.iter().filter(|name| may(name)).cloned().collect();
    // A filter that lets nobody through would end the chat without a word about it: then everybody may.
    if open.is_empty() { floor.speakers.clone() } else { open }
}

/// The first candidate after the last speaker in the team's order.
fn in_turn(job: &Job<Options>, floor: &Floor, open: &[String]) -> Option<String> {
    let names: Vec<_> = job.team.members().iter().map(Member::name).collect();
    let last = floor.talk.iter().rev().find_map(|m| names.iter().position(|n| m.from.as_deref() == Some(n)));
    let from = last.map_or(0, |at| at + 1);
    (0..names.len())
        .map(|i| names[(from + i) % names.len()])
        .find(|n| open.iter().any(|o| o == n))
        .map(ToOwned::to_owned)
}

fn by_rule(options: &Options, floor: &Floor, open: &[String]) -> Option<Chosen> {
    let last = floor.talk.last()?;
    let fits = |rule: &&Rule| {
        rule.after.as_ref().is_none_or(|name| last.from.as_ref() == Some(name))
            && rule.condition.as_ref().is_none_or(|c| c.holds(last))
            && open.contains(&rule.next)
    };
    let (at, rule) = options.rules.iter().enumerate().find(|(_, rule)| fits(rule))?;
    Some(Chosen::new(&rule.next, By::Rule, format!("rule {}", at + 1)))
}

async fn by_manager(
    ctx: &Ctx,
    job: &Job<Options>,
    floor: &Floor,
    open: &[String],
    round: u32,
) -> Result<Chosen, String> {
    let about: Vec<_> =
        open.iter().filter_map(|name| job.team.find(name)).map(|m| format!("{}: {}", m.name(), m.about())).collect();
    let schema = json!({"type": "object", "required": ["next", "reason", "is_over"], "properties": {
        "next": {"type": "string", "enum": open}, "reason": {"type": "string"},
        "is_over": {"type": "boolean", "description": "true only when nothing useful is left to say"}}});
    let order = format!("Round {}. Who should speak next? The speakers:\n{}", round + 1, about.join("\n"));
    let turn = Turn { said: &floor.talk, order: Some(&order), schema: Some(&schema), ..Turn::default() };
    let said = job.manager().turn(&ctx.scope("select", "manager"), turn).await;
    let said = said.map_err(|e| format!("the manager's choice could not be used ({e})"))?;
    let choice = said.message.value.unwrap_or_default();
    let name = choice["next"].as_str().filter(|name| open.iter().any(|o| o == name));
    let name = name.ok_or_else(|| format!("the manager named nobody who may speak ({})", choice["next"]))?;
    let is_over = choice["is_over"] == true && floor.talk.len() > 1;
    Ok(Chosen { is_over, ..Chosen::new(name, By::Llm, choice["reason"].as_str().unwrap_or_default()) })
}

async fn by_bids(ctx: &Ctx, job: &Job<Options>, floor: &Floor, open: &[String]) -> Result<Chosen, String> {
    let schema = json!({"type": "object", "required": ["bid", "reason"], "properties": {
        "bid": {"type": "integer", "minimum": 0, "maximum": 10}, "reason": {"type": "string"}}});
    let order = "How much do you have to add right now, from 0 (nothing) to 10 (it cannot go on without it)? Why?";
    let members: Vec<_> = open.iter().filter_map(|name| job.team.find(name)).collect();
    let count = members.len();
    let bid = async |ctx: Ctx, (at, member): (usize, &Member)| {
        let siblings = (count - at) as u32;
        let turn = Turn { said: &floor.talk, order: Some(order), schema: Some(&schema), siblings, ..Turn::default() };
        match member.turn(&ctx, turn).await {
            Err(e) if bound(&e).is_some() => Err(e),
            said => Ok(said.ok().and_then(|s| s.message.value)),
        }
    };
    let bids = ctx
        .map("bid", members.into_iter().enumerate().collect(), 8, bid)
        .await
        .map_err(|e| format!("no bids could be had ({e})"))?;
    let amount = |i: &usize| bids[*i].as_ref().and_then(|b| b["bid"].as_i64());
    let best = (0..bids.len()).filter(|i| amount(i).is_some()).max_by_key(|i| (amount(i), std::cmp::Reverse(*i)));
    let best = best.ok_or("nobody made a bid that could be used")?;
    let reason = bids[best].as_ref().and_then(|b| b["reason"].as_str()).unwrap_or_default();
    Ok(Chosen::new(&open[best], By::Bid, format!("bid {}: {reason}", amount(&best).unwrap_or(0))))
}

/// The JSON Schema of `rules`.
pub(crate) fn rules_schema() -> Value {
    json!({"type": "array", "items": {"type": "object", "required": ["next"], "additionalProperties": false, "properties": {
        "after": {"type": "string"}, "if": condition::schema(), "next": {"type": "string"}}}})
}

/// Reads `rules`.
pub(crate) fn read_rules(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    for item in field.list(super::AGENTS_MAX)?.items() {
        let Some(form) = item.form() else { continue };
        let _ = (cast.member(&form.field("next").required()), cast.member(&form.field("after")));
    }
    super::options::plain::<Vec<Rule>>(field).map(|rules| json!(rules))
}

/// The JSON Schema of `candidates`.
pub(crate) fn candidates_schema() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}})
}

/// Reads `candidates`.
pub(crate) fn read_candidates(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    let form = field.form()?;
    for from in form.keys() {
        form.entry(from)
            .list(super::AGENTS_MAX)
            .iter()
            .flat_map(|l| l.items())
            .for_each(|item| drop(cast.member(&item)));
    }
    super::options::plain::<std::collections::BTreeMap<String, Vec<String>>>(field).map(|all| json!(all))
}
