//! The ticket workflow: four agents, one after the other, each with the contract's fallback. Whatever they do, a ticket ends
//! resolved or escalated.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tutti_agents::knowledge::SearchKnowledge;
use tutti_agents::team::{Asking, Message, Rules, Team};
use tutti_agents::ticket_agents::{AskStage, Stage, built_in};
use tutti_agents::turn::Turn;
use tutti_engine::{Ctx, Error, Registry, Result, Traces};

/// The workflow's name.
pub const NAME: &str = "ticket";
/// The label with the ticket's id: runs of the same ticket share it.
pub const TICKET: &str = "ticket";
/// The label with the customer's id.
pub const CUSTOMER: &str = "customer_id";
/// The label with how a run left its ticket, once it has.
pub const STATUS: &str = "ticket_status";
/// A ticket that needs nobody any more.
pub const RESOLVED: &str = "RESOLVED";
/// A ticket that needs a person.
pub const ESCALATED: &str = "ESCALATED";

/// Articles that the built-in knowledge agent gives.
const ARTICLES: u32 = 5;

/// What a run of a ticket is given. All that the configuration said about agents stands here, so that a run keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The ticket's id: that of its first run.
    pub ticket_id: String,
    /// The ticket as its customer sent it.
    pub ticket: Box<RawValue>,
    /// Agents that are services, by stage; the others are built in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<Stage, String>,
    /// A person closes the ticket, and no agent is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
}

/// A person's answer to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// What the customer is told.
    pub response: String,
    /// For colleagues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who.
    pub by: String,
}

/// How a run left its ticket. What the agents answered stands in their steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// [`RESOLVED`] or [`ESCALATED`].
    pub status: String,
    /// Stages whose agent failed, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fallbacks: BTreeMap<Stage, String>,
}

/// Adds it to a registry.
#[must_use]
pub fn register(registry: Registry, asking: &Asking) -> Registry {
    let asking = asking.clone();
    registry.with(NAME, 1, move |ctx: Ctx, input: Input| {
        let asking = asking.clone();
        async move {
            let output = match input.resolution {
                Some(_) => Output { status: RESOLVED.into(), fallbacks: BTreeMap::new() },
                None => Box::pin(Desk::new(&ctx, &input, asking).work()).await?,
            };
            ctx.label(STATUS, output.status.clone());
            Ok(output)
        }
    })
}

/// What a stage comes to when its agent fails.
#[must_use]
pub fn fallback(stage: Stage) -> Value {
    match stage {
        Stage::Router => json!({"category": "general", "priority": "normal", "confidence": 0, "tags": []}),
        Stage::Knowledge => json!({"articles": []}),
        Stage::Sentiment => json!({"sentiment": "neutral", "score": 0, "urgency": "medium"}),
        Stage::Decision => {
            let reason = "no decision could be had";
            json!({"action": "escalate", "response": "", "confidence": 0, "reason": reason})
        }
    }
}

struct Desk<'r> {
    ctx: &'r Ctx,
    input: &'r Input,
    asking: Asking,
    /// What was answered so far, by stage.
    context: Map<String, Value>,
}

impl<'r> Desk<'r> {
    fn new(ctx: &'r Ctx, input: &'r Input, asking: Asking) -> Self {
        Self { ctx, input, asking, context: Map::new() }
    }

    async fn work(mut self) -> Result<Output> {
        let mut fallbacks = BTreeMap::new();
        for stage in Stage::ALL {
            let answer = match self.ask(stage).await {
                Ok(answer) => answer,
                Err(error) => {
                    fallbacks.insert(stage, error.to_string());
                    fallback(stage)
                }
            };
            self.context.insert(stage.as_str().into(), answer);
        }
        let resolves = self.context["decision"]["action"] == "resolve";
        Ok(Output { status: if resolves { RESOLVED } else { ESCALATED }.into(), fallbacks })
    }

    async fn ask(&self, stage: Stage) -> Result<Value> {
        match self.input.services.get(&stage) {
            Some(url) => self.ask_service(stage, url).await,
            None if stage == Stage::Knowledge => self.search().await,
            None => Box::pin(self.ask_built_in(stage)).await,
        }
    }

    async fn ask_service(&self, stage: Stage, url: &str) -> Result<Value> {
        let ask = AskStage {
            url: url.to_owned(),
            stage,
            ticket_id: self.input.ticket_id.clone(),
            run_id: self.ctx.run_id().0.to_string(),
            ticket: self.input.ticket.clone(),
            context: Value::Object(self.context.clone()),
        };
        let Asking { retry, http_timeout, .. } = self.asking;
        let call = self.ctx.call(stage.as_str(), ask).retry(retry).timeout(http_timeout);
        call.traces(Traces::Agent).agent(stage.as_str()).await
    }

    async fn search(&self) -> Result<Value> {
        let name = Stage::Knowledge.as_str();
        let search = SearchKnowledge { query: self.text(), limit: ARTICLES };
        let call = self.ctx.call(name, search).retry(self.asking.retry).traces(Traces::Agent).agent(name);
        Ok(json!({ "articles": call.await? }))
    }

    async fn ask_built_in(&self, stage: Stage) -> Result<Value> {
        let rules = Rules { asking: self.asking.clone(), approve: None, earlier: Vec::new(), context: None };
        let team = Team::new(vec![built_in(stage)], Vec::new(), rules);
        let Some(member) = team.find(stage.as_str()) else {
            return Err(Error::workflow("InternalError", "a stage without an agent"));
        };
        let said = [Message::input(self.question(stage))];
        let answer = member.turn(&self.ctx.scope(stage.as_str(), 1), Turn::of(&said)).await?;
        let value = answer.message.value.unwrap_or_default();
        let off = |why: String| Error::workflow("AgentError", format!("the answer does not fit ({why})"));
        let mut answer = stage.read(&value).map_err(off)?;
        // An answer that no article stands behind is a draft for a person.
        if stage == Stage::Decision && self.articles().is_empty() {
            answer["action"] = "escalate".into();
        }
        Ok(answer)
    }

    fn articles(&self) -> &[Value] {
        self.context["knowledge"]["articles"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Subject and body.
    fn text(&self) -> String {
        let ticket: Value = serde_json::from_str(self.input.ticket.get()).unwrap_or_default();
        let part = |name: &str| ticket[name].as_str().unwrap_or_default().to_owned();
        format!("{}\n\n{}", part("subject"), part("body"))
    }

    /// What a language model is asked: the ticket, and for the decision what the others found.
    fn question(&self, stage: Stage) -> String {
        let text = self.text();
        if stage != Stage::Decision {
            return text;
        }
        let line = |a: &Value| {
            let part = |name: &str| a[name].as_str().unwrap_or_default();
            format!("## {}\n{}\n", part("title"), part("content"))
        };
        let articles: String = self.articles().iter().map(line).collect();
        let found = if articles.is_empty() { "There are none.".to_owned() } else { articles };
        let word = |stage: &str, name: &str| self.context[stage][name].as_str().unwrap_or("unknown").to_owned();
        let (category, priority) = (word("router", "category"), word("router", "priority"));
        let mood = word("sentiment", "sentiment");
        format!("{text}\n\nDesk: {category}. Priority: {priority}. Mood: {mood}.\n\n# Articles\n{found}")
    }
}
