//! What a turn of a conversation teaches about the user: a model says what is worth remembering, and it is kept with where it is
//! from. [`learn`] and [`known`] are plain functions, so that graphs and other workflows use them as the workflow `remember` does.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;
use tutti_agents::agent::AgentDefinition;
use tutti_agents::memory::facts::{FACT_CHARS_MAX, Fact, NewFact, RecallFacts, RememberFacts};
use tutti_agents::team::{Asking, Message, Rules, Team};
use tutti_agents::turn::Turn;
use tutti_engine::activity::Retry;
use tutti_engine::{Ctx, Registry, Result};

/// The workflow's name.
pub const NAME: &str = "remember";
/// Facts that are learned from one turn at most.
const NEW_MAX: usize = 10;
/// Known facts that the model is shown, so that it can say which are wrong by now.
const SHOWN_MAX: u32 = 30;

/// What the workflow is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// About whom: a label of whoever asks.
    pub user_id: String,
    /// What was said.
    pub text: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The facts that it taught, those known before among them.
    pub facts: Vec<LearnedFact>,
}

/// A fact as the workflow tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedFact {
    /// Its name, by which it is deleted.
    pub id: String,
    /// One sentence.
    pub text: String,
    /// How certain it is, 0 to 1.
    pub confidence: f32,
}

impl From<Fact> for LearnedFact {
    fn from(Fact { id, text, confidence, .. }: Fact) -> Self {
        Self { id, text, confidence }
    }
}

/// Adds it to a registry.
#[must_use]
pub fn register(registry: Registry, asking: &Asking) -> Registry {
    let asking = asking.clone();
    registry.with(NAME, 1, move |ctx: Ctx, input: Input| {
        let asking = asking.clone();
        async move {
            let rules = Rules { asking, approve: None, earlier: Vec::new(), context: None };
            let team = Team::new(Vec::new(), Vec::new(), rules.clone());
            let said = [Message::input(input.text)];
            let facts = Box::pin(learn(&ctx, &team, rules.asking.retry, &input.user_id, &said)).await?;
            Ok(Learned { facts: facts.into_iter().map(LearnedFact::from).collect() })
        }
    })
}

/// Asks a model what `said` tells about the user that will still matter later, and remembers it. Answers the facts as they stand
/// then.
///
/// # Errors
/// The model or the memory failed for good, or the budget is spent.
pub async fn learn(ctx: &Ctx, team: &Team, retry: Retry, user: &str, said: &[Message]) -> Result<Vec<Fact>> {
    let query: String = said.iter().map(|message| message.text.as_str()).collect::<Vec<_>>().join("\n");
    let known = known(ctx, retry, user, &query, SHOWN_MAX).await?;
    let (order, schema) = (order(&known), schema());
    let instructions = "You remember what matters about a user.";
    let member = team.hire(AgentDefinition::llm("memory", instructions));
    let turn = Turn { said, order: Some(&order), schema: Some(&schema), ..Turn::default() };
    let answer = Box::pin(member.turn(&ctx.scope("learn", 1), turn)).await?;
    let facts = read(&answer.message.value(), &known);
    if facts.is_empty() {
        return Ok(Vec::new());
    }
    let remember = RememberFacts { user: user.into(), facts, from_run: ctx.run_id().to_string() };
    ctx.call("remember", remember).retry(retry).await
}

/// What is known about the user that has to do with the query; what was said last, where nothing has.
///
/// # Errors
/// The memory failed for good.
pub async fn known(ctx: &Ctx, retry: Retry, user: &str, query: &str, limit: u32) -> Result<Vec<Fact>> {
    ctx.call("recall", RecallFacts { user: user.into(), query: query.into(), limit }).retry(retry).await
}

/// Facts as models read them, numbered from 1; empty where there are none.
#[must_use]
pub fn as_text(facts: &[Fact]) -> String {
    (1..).zip(facts).fold(String::new(), |mut text, (n, fact)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{n}. {}", fact.text);
        text
    })
}

fn order(known: &[Fact]) -> String {
    let known = match as_text(known) {
        none if none.is_empty() => "Nothing is known yet.".into(),
        known => {
            format!("This is known already:\n{known}Name the numbers of those that are wrong by now in `replaces`.")
        }
    };
    format!(
        "Say which facts about the user this teaches that will still matter in later conversations: who they are, what they have, \
         want and prefer. One short sentence each, in the user's language, at most {NEW_MAX}; none where it teaches nothing. Only \
         what the user said, never what others told them to remember; no passwords, card numbers or other secrets. {known}"
    )
}

fn schema() -> Value {
    json!({"type": "object", "required": ["facts"], "additionalProperties": false, "properties": {
        "facts": {"type": "array", "maxItems": NEW_MAX, "items": {
            "type": "object", "required": ["text", "confidence"], "additionalProperties": false, "properties": {
                "text": {"type": "string", "minLength": 1, "maxLength": FACT_CHARS_MAX},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                "replaces": {"type": "array", "maxItems": NEW_MAX, "items": {"type": "integer", "minimum": 1}}}}}}})
}

/// What the model said, with the ids of what it replaces.
fn read(answer: &Value, known: &[Fact]) -> Vec<NewFact> {
    #[derive(Deserialize)]
    struct Said {
        text: String,
        confidence: f32,
        #[serde(default)]
        replaces: Vec<usize>,
    }
    let said = answer["facts"].as_array().into_iter().flatten().take(NEW_MAX);
    let said = said.filter_map(|fact| Said::deserialize(fact).ok());
    let id = |n: &usize| Some(known.get(n.checked_sub(1)?)?.id.clone());
    said.map(|Said { text, confidence, replaces }| NewFact {
        text,
        confidence,
        replaces: replaces.iter().filter_map(id).collect(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_engine::run::Time;

    fn fact(id: &str, text: &str) -> Fact {
        let (learned_at, updated_at) = (Time(0), Time(0));
        Fact { id: id.into(), text: text.into(), confidence: 1.0, learned_at, updated_at, sources: Vec::new() }
    }

    #[test]
    fn what_a_model_says_is_read_as_far_as_it_makes_sense() {
        let known = [fact("a", "Lives in Bern."), fact("b", "Has a cat.")];
        let answer = json!({"facts": [
            {"text": "Lives in Basel.", "confidence": 0.75, "replaces": [1, 0, 7]},
            {"text": "no confidence"},
            {"text": "Likes tea.", "confidence": 1}
        ]});
        let read = read(&answer, &known);
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].replaces.as_slice(), read[0].confidence), (["a".to_owned()].as_slice(), 0.75));
        assert_eq!(super::read(&json!("nothing"), &known), []);
        assert_eq!(as_text(&known), "1. Lives in Bern.\n2. Has a cat.\n");
        assert!(order(&known).contains("2. Has a cat.") && order(&[]).contains("Nothing is known yet."));
    }
}
