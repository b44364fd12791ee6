//! A brain at work: model after model, along the links that apply.

use super::{Brain, Model, What};
use crate::agent::AgentDefinition;
use crate::grounding::{self, Found, Passage, Retrieve};
use crate::knowledge::SearchKnowledge;
use crate::team::{Member, Message, Rules};
use crate::turn::{Said, Turn, step_key};
use serde_json::json;
use std::rc::Rc;
use tutti_engine::event::Kind;
use tutti_engine::ports::index::Filter;
use tutti_engine::{Ctx, Result};

/// One turn of a registered agent. Links never lead back, so it ends.
pub(crate) async fn run(member: &Member, brain: &Brain, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
    let Some(mut model) = brain.models.first() else {
        return member.as_model(&Model::default(), &[]).think(ctx, turn).await;
    };
    let mut heard = turn.said.to_vec();
    let (mut tools, mut tokens) = (Vec::new(), 0_u64);
    loop {
        let scope = if brain.models.len() == 1 { ctx.clone() } else { ctx.scope("model", &model.id) };
        let parts = model.parts_for(heard.last());
        let known = ground(member, &scope, &parts, heard.last()).await?;
        let passages = retrieve(member, &scope, &parts, heard.last()).await?;
        let quoted = passages.as_deref().map(grounding::context);
        let order: Vec<&str> = turn.order.into_iter().chain(known.as_deref()).chain(quoted.as_deref()).collect();
        let order = order.join("\n\n");
        let ask = Turn { said: &heard, order: Some(order.as_str()).filter(|text| !text.is_empty()), ..turn };
        let said = Box::pin(member.as_model(model, &parts).think(&scope, ask)).await?;
        let said = cite(member, &scope, said, passages).await?;
        tools.extend(said.tools.iter().cloned());
        tokens = tokens.saturating_add(said.tokens);
        let applies =
            |link: &&super::Link| link.from == model.id && link.when.as_ref().is_none_or(|w| w.holds(&said.message));
        let next = brain.links.iter().find(applies).and_then(|link| brain.models.iter().find(|m| m.id == link.to));
        // What has to be said in a given form, or as the last word, is said by the first.
        match next.filter(|_| said.handoff.is_none() && turn.schema.is_none() && !turn.is_closing) {
            None => return Ok(Said { tools, tokens, ..said }),
            Some(next) => {
                heard.push(Message { from: Some(model.id.clone()), ..said.message });
                model = next;
            }
        }
    }
}

impl Model {
    /// What it may use for this question.
    fn parts_for(&self, asked: Option<&Message>) -> Vec<(What, bool)> {
        let applies = |when: &crate::condition::Condition| asked.is_some_and(|message| when.holds(message));
        self.parts.iter().map(|part| (part.what.clone(), part.when.as_ref().is_none_or(applies))).collect()
    }
}

impl Member {
    /// The same agent as one of its models.
    fn as_model(&self, model: &Model, parts: &[(What, bool)]) -> Self {
        let named = |pick: fn(&What) -> Option<&String>| {
            parts.iter().filter(|(_, applies)| *applies).filter_map(|(what, _)| pick(what).cloned()).collect::<Vec<_>>()
        };
        let agent = AgentDefinition {
            model: model.model.clone(),
            max_tokens: model.max_tokens,
            temperature: model.temperature,
            tools: named(|what| if let What::Tool(name) = what { Some(name) } else { None }),
            asks: named(|what| if let What::Agent(name) = what { Some(name) } else { None }),
            brain: None,
            ..(*self.agent).clone()
        };
        let mut rules = Rc::clone(&self.rules);
        if let Some(most) = memory(parts) {
            let earlier = self.rules.earlier.iter().rev().take(most as usize).rev().cloned().collect();
            rules = Rc::new(Rules { earlier, ..(*self.rules).clone() });
        }
        Self { agent: Rc::new(agent), rules }
    }
}

/// How many messages of the conversation are heard; all of them where no memory says otherwise.
fn memory(parts: &[(What, bool)]) -> Option<u32> {
    let memories: Vec<_> = parts
        .iter()
        .filter_map(|(what, applies)| match what {
            What::Memory(most) => Some(if *applies { most.unwrap_or(u32::MAX) } else { 0 }),
            _ => None,
        })
        .collect();
    memories.into_iter().max()
}

/// What the knowledge base says about the question. Without it the agent answers all the same.
async fn ground(member: &Member, ctx: &Ctx, parts: &[(What, bool)], asked: Option<&Message>) -> Result<Option<String>> {
    let limits = parts.iter().filter_map(|(what, applies)| match what {
        What::Grounding(limit) if *applies => Some(*limit),
        _ => None,
    });
    let (Some(limit), Some(asked)) = (limits.max(), asked) else { return Ok(None) };
    let search = SearchKnowledge { query: asked.text.clone(), limit };
    let call = ctx.call("ground", search).retry(member.rules.asking.retry).agent(member.name());
    let found = match Box::pin(call).await {
        Ok(found) => found,
        Err(e) => {
            ctx.emit(Kind::Log, &json!({"message": format!("{} works without its grounding: {e}", member.name())}));
            return Ok(None);
        }
    };
    if found.is_empty() {
        return Ok(None);
    }
    let articles: String = found.iter().map(|a| format!("\n## {}\n{}\n", a.title, a.content)).collect();
    Ok(Some(format!("This is known. Use it, and say so where it does not answer.\n{articles}")))
}

/// What the documents say about the question: nothing where they are not asked, or cannot be.
async fn retrieve(
    member: &Member,
    ctx: &Ctx,
    parts: &[(What, bool)],
    asked: Option<&Message>,
) -> Result<Option<Vec<Passage>>> {
    let limits = parts.iter().filter_map(|(what, applies)| match what {
        What::Documents(limit) if *applies => Some(*limit),
        _ => None,
    });
    let (Some(limit), Some(asked)) = (limits.max(), asked) else { return Ok(None) };
    let tenant = ctx.owner().tenant;
    let retrieve = Retrieve { tenant, query: asked.text.clone(), limit, filter: Filter::default() };
    let call = ctx.call("retrieve", retrieve).retry(member.rules.asking.retry).agent(member.name());
    match Box::pin(call).await {
        Ok(Found { passages, note, .. }) => {
            if let Some(note) = note {
                let message = format!("{} was given what words alone found: {note}", member.name());
                ctx.emit(Kind::Log, &json!({ "message": message }));
            }
            Ok(Some(passages))
        }
        Err(e) => {
            ctx.emit(Kind::Log, &json!({"message": format!("{} works without its documents: {e}", member.name())}));
            Ok(None)
        }
    }
}

/// The answer with its sources below it. Data, and work that is handed on, stay as they are.
async fn cite(member: &Member, ctx: &Ctx, said: Said, passages: Option<Vec<Passage>>) -> Result<Said> {
    let Some(passages) = passages.filter(|_| said.handoff.is_none() && said.message.value.is_none()) else {
        return Ok(said);
    };
    let text = ctx.step("cite", || grounding::with_sources(&said.message.text, &passages)).await?;
    if text == said.message.text {
        return Ok(said);
    }
    Ok(Said { tools: said.tools, tokens: said.tokens, ..member.said(text, None, step_key(ctx, "cite")) })
}
