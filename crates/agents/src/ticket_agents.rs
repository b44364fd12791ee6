//! The four agents that a ticket passes: what each is asked, what it must answer, and how the built-in ones are defined.

use crate::agent::AgentDefinition;
use crate::upstream::Ask;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};

/// Most characters of a word such as a category.
const WORD_CHARS_MAX: usize = 100;
/// Most characters of a response or a reason.
const TEXT_CHARS_MAX: usize = 20_000;
/// Most articles or tags that are kept.
const ITEMS_MAX: usize = 50;

/// What the built-in router chooses from; a service may answer with any word.
const CATEGORIES: [&str; 10] =
    ["billing", "payments", "refund", "card", "transfer", "account", "security", "technical", "delivery", "general"];

/// A stage of a ticket's way: one agent each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Which desk, how urgent.
    Router,
    /// What is known about it.
    Knowledge,
    /// How the customer feels.
    Sentiment,
    /// Answer or hand to a person.
    Decision,
}

impl Stage {
    /// All, in the order of a ticket's way.
    pub const ALL: [Self; 4] = [Self::Router, Self::Knowledge, Self::Sentiment, Self::Decision];

    /// The agent's name, and the step's.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Knowledge => "knowledge",
            Self::Sentiment => "sentiment",
            Self::Decision => "decision",
        }
    }

    /// The ticket's status while this agent is at work.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Router => "ROUTING",
            Self::Knowledge => "KNOWLEDGE_SEARCH",
            Self::Sentiment => "SENTIMENT_ANALYSIS",
            Self::Decision => "DECISION",
        }
    }

    /// What an answer says, in the contract's shape and nothing else, or in words why it does not fit.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn read(self, answer: &Value) -> Result<Value, String> {
        match self {
            Self::Router => fit::<Routing>(answer),
            Self::Knowledge => fit::<Knowledge>(answer),
            Self::Sentiment => fit::<Sentiment>(answer),
            Self::Decision => fit::<Decision>(answer),
        }
    }
}

fn fit<T: DeserializeOwned + Serialize + Answer>(answer: &Value) -> Result<Value, String> {
    let answer = T::deserialize(answer).map_err(|e| e.to_string())?;
    answer.check()?;
    serde_json::to_value(answer.bounded()).map_err(|e| e.to_string())
}

/// An answer that can be wrong in ways its type allows.
trait Answer: Sized {
    fn check(&self) -> Result<(), String>;
    /// The same, no larger than what is kept.
    fn bounded(self) -> Self;
}

/// How urgent a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

impl Priority {
    /// The words and what they mean.
    pub const WORDS: [(&'static str, Self); 4] =
        [("low", Self::Low), ("normal", Self::Normal), ("high", Self::High), ("urgent", Self::Urgent)];

    /// A run's priority.
    #[must_use]
    pub fn of_run(self) -> u8 {
        match self {
            Self::Low => 2,
            Self::Normal => 5,
            Self::High => 7,
            Self::Urgent => 9,
        }
    }
}

/// The router's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// Which desk.
    pub category: String,
    /// How urgent.
    pub priority: Priority,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
}

impl Answer for Routing {
    fn check(&self) -> Result<(), String> {
        share("confidence", self.confidence)?;
        filled("category", &self.category)
    }

    fn bounded(mut self) -> Self {
        self.tags.truncate(ITEMS_MAX);
        self.tags.iter_mut().for_each(|tag| *tag = cut(tag, WORD_CHARS_MAX));
        Self { category: cut(&self.category, WORD_CHARS_MAX), ..self }
    }
}

/// What is known: the knowledge agent's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knowledge {
    /// Best first.
    pub articles: Vec<Article>,
}

/// One article.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Article {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub content: String,
    /// How well it fits.
    pub score: f64,
}

impl Answer for Knowledge {
    fn check(&self) -> Result<(), String> {
        self.articles.iter().find(|a| !a.score.is_finite()).map_or(Ok(()), |a| Err(format!("score of {:?}", a.id)))
    }

    fn bounded(mut self) -> Self {
        self.articles.truncate(ITEMS_MAX);
        for article in &mut self.articles {
            article.content = cut(&article.content, TEXT_CHARS_MAX);
            article.title = cut(&article.title, WORD_CHARS_MAX * 3);
        }
        self
    }
}

/// How the customer feels: the sentiment agent's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sentiment {
    /// `positive`, `neutral` or `negative`.
    pub sentiment: Mood,
    /// −1 to 1.
    pub score: f64,
    /// `low`, `medium` or `high`.
    pub urgency: Urgency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum Mood {
    Positive,
    Neutral,
    Negative,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum Urgency {
    Low,
    Medium,
    High,
}

impl Answer for Sentiment {
    fn check(&self) -> Result<(), String> {
        if (-1.0..=1.0).contains(&self.score) { Ok(()) } else { Err(format!("score {} is not −1 to 1", self.score)) }
    }

    fn bounded(self) -> Self {
        self
    }
}

/// What is to be done: the decision agent's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// `resolve` or `escalate`.
    pub action: Action,
    /// What the customer is told.
    pub response: String,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum Action {
    Resolve,
    Escalate,
}

impl Answer for Decision {
    fn check(&self) -> Result<(), String> {
        share("confidence", self.confidence)?;
        // A person will write one where it escalates.
        if self.action == Action::Resolve { filled("response", &self.response) } else { Ok(()) }
    }

    fn bounded(self) -> Self {
        let (response, reason) = (cut(&self.response, TEXT_CHARS_MAX), cut(&self.reason, TEXT_CHARS_MAX));
        Self { response, reason, ..self }
    }
}

fn share(name: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{name} {value} is not 0 to 1")) }
}

fn filled(name: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err(format!("{name} is empty")) } else { Ok(()) }
}

fn cut(text: &str, chars_max: usize) -> String {
    text.char_indices().nth(chars_max).map_or_else(|| text.to_owned(), |(at, _)| text[..at].to_owned())
}

/// Asks an agent that is a service: `POST {url}` with the ticket and the results so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskStage {
    /// Where.
    pub url: String,
    /// Which.
    pub stage: Stage,
    /// The ticket's id.
    pub ticket_id: String,
    /// The run's.
    pub run_id: String,
    /// The ticket as it came.
    pub ticket: Box<RawValue>,
    /// What the agents before it answered, by stage.
    pub context: Value,
}

#[derive(Serialize)]
struct Body<'a> {
    ticket_id: &'a str,
    run_id: &'a str,
    stage: Stage,
    ticket: &'a RawValue,
    context: &'a Value,
}

impl Activity for AskStage {
    type Output = Value;
    const NAME: &'static str = "ticket.stage";
    const EFFECT: Effect = Effect::Idempotent;

    async fn run(self, cx: ActivityCx) -> Result<Value, ActivityError> {
        let Self { ticket_id, run_id, stage, ticket, context, .. } = &self;
        let body = Body { ticket_id, run_id, stage: *stage, ticket, context };
        let service = format!("the {} agent", stage.as_str());
        let ask = Ask {
            service: &service,
            class: "AgentError",
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::new(),
            body: serde_json::to_vec(&body).unwrap_or_default().into(),
        };
        let reply = ask.send(&cx).await?;
        let answer: Value = ask.read(&reply)?;
        stage.read(&answer).map_err(|why| ask.off_contract(&why, &reply.body))
    }
}

/// The built-in agent of a stage; the knowledge base answers for itself.
#[must_use]
pub fn built_in(stage: Stage) -> AgentDefinition {
    let instructions = match stage {
        Stage::Router => {
            "You route support tickets. Choose the category that fits the ticket, its priority, how sure you are from 0 to 1, and \
             up to five tags."
        }
        Stage::Knowledge => "You find what is known about a support ticket.",
        Stage::Sentiment => {
            "You judge how the customer who wrote a support ticket feels: the sentiment, a score from -1 (furious) to 1 \
             (delighted), and the urgency."
        }
        Stage::Decision => {
            "You decide on support tickets. Resolve the ticket with a response to the customer when the articles answer it; \
             escalate it to a person when they do not, when money or the law is at stake, or when you are not sure. Give \
             your confidence from 0 to 1 and the reason."
        }
    };
    AgentDefinition { output_schema: Some(schema(stage)), ..AgentDefinition::llm(stage.as_str(), instructions) }
}

/// The JSON Schema of a stage's answer.
#[must_use]
pub fn schema(stage: Stage) -> Value {
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "required": required, "properties": properties});
    let share = json!({"type": "number", "minimum": 0, "maximum": 1});
    match stage {
        Stage::Router => object(
            json!({"category": {"enum": CATEGORIES}, "priority": {"enum": ["low", "normal", "high", "urgent"]},
                "confidence": share, "tags": {"type": "array", "maxItems": 5, "items": {"type": "string"}}}),
            &["category", "priority", "confidence"],
        ),
        Stage::Knowledge => object(
            json!({"articles": {"type": "array", "items": {"type": "object",
                "required": ["id", "title", "content", "score"], "properties": {"id": {"type": "string"},
                "title": {"type": "string"}, "content": {"type": "string"}, "score": {"type": "number"}}}}}),
            &["articles"],
        ),
        Stage::Sentiment => object(
            json!({"sentiment": {"enum": ["positive", "neutral", "negative"]},
                "score": {"type": "number", "minimum": -1, "maximum": 1}, "urgency": {"enum": ["low", "medium", "high"]}}),
            &["sentiment", "score", "urgency"],
        ),
        Stage::Decision => object(
            json!({"action": {"enum": ["resolve", "escalate"]}, "response": {"type": "string"}, "confidence": share,
                "reason": {"type": "string"}}),
            &["action", "response", "confidence", "reason"],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_held_against_the_contract() {
        let good = json!({"category": "billing", "priority": "high", "confidence": 0.9, "more": 1});
        let read = Stage::Router.read(&good).unwrap();
        assert_eq!(read, json!({"category": "billing", "priority": "high", "confidence": 0.9, "tags": []}));
        for (stage, wrong) in [
            (Stage::Router, json!({"category": "", "priority": "high", "confidence": 0.9})),
            (Stage::Router, json!({"category": "a", "priority": "asap", "confidence": 0.9})),
            (Stage::Router, json!({"category": "a", "priority": "low", "confidence": 1.1})),
            (Stage::Router, json!({"category": "a", "priority": "low"})),
            (Stage::Knowledge, json!({"articles": [{"id": 1}]})),
            (Stage::Knowledge, json!([])),
            (Stage::Sentiment, json!({"sentiment": "sad", "score": 0, "urgency": "low"})),
            (Stage::Sentiment, json!({"sentiment": "neutral", "score": -2, "urgency": "low"})),
            (Stage::Decision, json!({"action": "resolve", "response": " ", "confidence": 1, "reason": ""})),
            (Stage::Decision, json!({"action": "maybe", "response": "x", "confidence": 1, "reason": ""})),
        ] {
            assert!(stage.read(&wrong).is_err(), "{stage:?} {wrong}");
        }
        assert!(
            Stage::Decision
                .read(&json!({"action": "escalate", "response": "", "confidence": 1, "reason": "law"}))
                .is_ok()
        );
    }

    #[test]
    fn answers_are_bounded() {
        let long = json!({"category": "é".repeat(500), "priority": "low", "confidence": 0, "tags": vec!["t"; 500]});
        let read = Stage::Router.read(&long).unwrap();
        assert_eq!(
            (read["category"].as_str().unwrap().chars().count(), read["tags"].as_array().unwrap().len()),
            (100, 50)
        );
    }
}
