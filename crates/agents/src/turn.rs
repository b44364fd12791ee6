//! One member's turn: what it is given, how it goes about it, what it says.

use crate::agent::{Kind, Reasoning};
use crate::model::{Chat, ChatMessage, ChatReply, ChatRequest, ToolSpec};
use crate::person::{agree, decide};
use crate::reasoning;
use crate::team::{Member, Message, Source, text_of};
use serde_json::{Value, json};
use tutti_engine::journal::body::Verdict;
use tutti_engine::{Ctx, Error, Result, Traces};

/// What a member is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turn<'a> {
    /// What was said before, oldest first.
    pub said: &'a [Message],
    /// What to do now, beyond its instructions.
    pub order: Option<&'a str>,
    /// A JSON Schema for this answer, in the place of the agent's own.
    pub schema: Option<&'a Value>,
    /// Whom it may hand the work to instead of answering.
    pub handoffs: &'a [Route],
    /// The last word: may use what the budget keeps back for it, and calls no tools.
    pub is_closing: bool,
}

impl<'a> Turn<'a> {
    /// A plain question.
    #[must_use]
    pub fn of(said: &'a [Message]) -> Self {
        Self { said, ..Self::default() }
    }
}

/// A way to hand work on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Route {
    /// To whom.
    pub to: String,
    /// When to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A wish to hand work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// To whom.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// What a member said in its turn.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its words.
    pub message: Message,
    /// Its wish to hand the work on.
    pub handoff: Option<Handoff>,
    /// Tools it called, by name.
    pub tools: Vec<String>,
    /// Tokens its models read and wrote.
    pub tokens: u64,
}

impl Member {
    /// Asks the agent a plain question; see [`turn`](Self::turn).
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub async fn ask(&self, ctx: &Ctx, said: &[Message]) -> Result<Message> {
        Ok(self.turn(ctx, Turn::of(said)).await?.message)
    }

    /// One turn of the agent in a scope of its own. Its answer is journaled as `agent.message` under `ask`.
    ///
    /// # Errors
    /// It failed for good (the error names step and agent), the budget is spent, or a person refused.
    pub async fn turn(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        if let Some(approve) = self.rules.approve.as_ref().filter(|a| a.names(self.name())) {
            let request = json!({"act": format!("a turn of agent {:?}", self.name()), "agent": self.name(),
                "order": turn.order, "said": lines(turn.said)});
            agree(ctx, "approve", request, &approve.patience).await?;
        }
        match self.agent.kind {
            Kind::Llm => Box::pin(self.think(ctx, turn)).await,
            Kind::Http => Err(Error::workflow("AgentError", "not built")),
            Kind::Human => self.ask_person(ctx, turn).await,
            Kind::Workflow => Box::pin(self.run_nested(ctx, turn)).await,
        }
    }

    async fn think(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        let talk = Talk::new(self, ctx, turn);
        match self.agent.reasoning {
            // A closing word, and one in a given form, is said at once.
            _ if turn.is_closing || turn.schema.is_some() => talk.answer().await,
            Reasoning::Plain => talk.answer().await,
            Reasoning::ChainOfThought => reasoning::chain_of_thought(talk).await,
            Reasoning::React => reasoning::react(talk).await,
            Reasoning::PlanAndExecute => reasoning::plan_and_execute(talk).await,
            Reasoning::Reflection => reasoning::reflection(talk).await,
        }
    }

    /// A person as a member: asked as for an approval, and the input is the answer.
    async fn ask_person(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        let mut request = json!({"act": format!("the answer of {:?}", self.name()), "agent": self.name(),
            "wants": "answer", "instructions": self.agent.instructions, "order": turn.order, "said": lines(turn.said)});
        if let Some(schema) = turn.schema.or(self.agent.output_schema.as_ref()) {
            request["schema"] = schema.clone();
        }
        let patience = self.rules.approve.as_ref().map(|a| a.patience.clone()).unwrap_or_default();
        let decision = decide(ctx, "answer", request, &patience).await?;
        let refused = |why: &str| Err(Error::workflow("AgentError", format!("{:?} {why}", self.name())));
        let value = match decision.decision {
            Verdict::Reject => return refused("did not want to answer"),
            Verdict::Expired => return refused("did not answer in time"),
            Verdict::Approve => decision.input.and_then(|input| serde_json::from_str::<Value>(input.get()).ok()),
        };
        let value = value.filter(|v| !v.is_null()).or(decision.note.map(Value::String)).unwrap_or_default();
        let text = ctx.step("said", || text_from(&value)).await?;
        Ok(self.said(text, (!value.is_string()).then_some(value), step_key(ctx, "said")))
    }

    /// A team as a member: a child run of its pattern.
    async fn run_nested(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        let Some(nested) = &self.agent.nested else {
            return Err(Error::workflow("WorkflowError", format!("agent {:?} has nothing to run", self.name())));
        };
        let mut request = nested.request.clone();
        request["input"] = json!(asked_as_text(turn));
        let output = ctx.child("run", &nested.workflow, &request).await?;
        let value = output.pointer("/output/value").cloned().unwrap_or(output);
        Ok(self.said(text_from(&value), (!value.is_string()).then_some(value), step_key(ctx, "run")))
    }

    pub(crate) fn said(&self, text: String, value: Option<Value>, step: String) -> Said {
        let message = Message { from: Some(self.name().into()), text, value, source: Source::Step(step) };
        Said { message, handoff: None, tools: Vec::new(), tokens: 0 }
    }

    /// The request as it stands before the first answer.
    fn request(&self, turn: Turn<'_>) -> ChatRequest {
        let said = turn.said;
        let mut messages = vec![ChatMessage::system(self.instructions())];
        messages.extend(said.iter().map(|message| match &message.from {
            Some(name) if name == self.name() && said.len() > 1 => ChatMessage::assistant(message.text.clone()),
            // Alone, it is the task itself, whoever it comes from.
            Some(name) if said.len() > 1 => ChatMessage::user(format!("{name} said:\n{}", message.text)),
            _ => ChatMessage::user(message.text.clone()),
        }));
        messages.extend(turn.order.map(ChatMessage::user));
        ChatRequest {
            model: self.agent.model.clone(),
            messages,
            output_schema: turn.schema.or(self.agent.output_schema.as_ref()).cloned(),
            max_tokens: self.agent.max_tokens,
            temperature: self.agent.temperature,
            ..ChatRequest::default()
        }
    }

    fn instructions(&self) -> String {
        let Some(persona) = &self.agent.persona else { return self.agent.instructions.clone() };
        let line = |head: &str, text: &str| if text.is_empty() { String::new() } else { format!("{head}{text}. ") };
        let head = line("You are ", &persona.role)
            + &line("You know ", &persona.expertise)
            + &line("Your manner: ", &persona.personality);
        format!("{head}{}", self.agent.instructions).trim().to_owned()
    }
}

/// The key of a step of this scope.
pub(crate) fn step_key(ctx: &Ctx, name: &str) -> String {
    if ctx.path().is_empty() { name.to_owned() } else { format!("{}/{name}", ctx.path()) }
}

fn lines(said: &[Message]) -> Vec<Value> {
    said.iter().map(|m| json!({"from": m.from, "text": m.text})).collect()
}

fn text_from(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A turn in one text, for those who take no conversation.
fn asked_as_text(turn: Turn<'_>) -> String {
    let said = turn.said.iter().map(|m| match &m.from {
        Some(name) if turn.said.len() > 1 => format!("{name} said:\n{}", m.text),
        _ => m.text.clone(),
    });
    said.chain(turn.order.map(ToOwned::to_owned)).collect::<Vec<_>>().join("\n\n")
}

/// A member's conversation with its model within one turn.
pub(crate) struct Talk<'t> {
    pub member: &'t Member,
    pub ctx: &'t Ctx,
    pub turn: Turn<'t>,
    pub request: ChatRequest,
    /// Hand-off tools and whom each stands for.
    handoffs: Vec<(String, String)>,
    asked: u32,
    tokens: u64,
    tools: Vec<String>,
}

impl<'t> Talk<'t> {
    fn new(member: &'t Member, ctx: &'t Ctx, turn: Turn<'t>) -> Self {
        let mut request = member.request(turn);
        let handoffs: Vec<_> =
            turn.handoffs.iter().enumerate().map(|(i, route)| (tool_name(i, &route.to), route.to.clone())).collect();
        request.tools.extend(turn.handoffs.iter().zip(&handoffs).map(|(route, (name, _))| handoff_tool(name, route)));
        Self { member, ctx, turn, request, handoffs, asked: 0, tokens: 0, tools: Vec::new() }
    }

    /// Asks the model once, as the next `ask` of this scope.
    pub async fn ask(&mut self) -> Result<ChatReply> {
        let sources: Vec<_> = self.turn.said.iter().map(|m| &m.source).collect();
        let asking = &self.member.rules.asking;
        let chat = Chat { provider: asking.provider.clone(), request: self.request.clone() };
        let call = self
            .ctx
            .call("ask", chat)
            .retry(asking.retry)
            .timeout(asking.timeout)
            .traces(Traces::Agent)
            .agent(self.member.name())
            .about(&json!({ "input_from": sources }));
        let reply = Box::pin(call).await?;
        self.asked += 1;
        self.tokens += reply.usage.input_tokens + reply.usage.output_tokens;
        Ok(reply)
    }

    /// Asks until the model answers: its tool calls are carried out, a hand-off ends the turn.
    pub async fn answer(mut self) -> Result<Said> {
        let reply = self.until_answer().await?;
        Ok(self.end(&reply))
    }

    /// As [`answer`](Self::answer), and the conversation may go on.
    pub async fn until_answer(&mut self) -> Result<ChatReply> {
        self.ask().await
    }

    /// What was said, as it stands in the answer of the last `ask`.
    pub fn end(self, reply: &ChatReply) -> Said {
        let (step, handoff) = (self.last_step(), self.handoff(reply));
        self.end_as(text_of(reply), reply.output.clone(), step, handoff)
    }

    /// The key of the last `ask`.
    pub fn last_step(&self) -> String {
        match self.asked {
            0 | 1 => step_key(self.ctx, "ask"),
            n => format!("{}#{n}", step_key(self.ctx, "ask")),
        }
    }

    /// What was said, where it is not all of the last answer.
    pub fn end_as(self, text: String, value: Option<Value>, step: String, handoff: Option<Handoff>) -> Said {
        let said = self.member.said(text, value, step);
        Said { handoff, tools: self.tools, tokens: self.tokens, ..said }
    }

    fn handoff(&self, reply: &ChatReply) -> Option<Handoff> {
        let find = |name: &str| self.handoffs.iter().find(|(tool, _)| tool == name).map(|(_, to)| to.clone());
        reply.tool_calls.iter().find_map(|call| {
            let reason = call.arguments["reason"].as_str().unwrap_or("no reason given").trim();
            Some(Handoff { to: find(&call.name)?, reason: reason.chars().take(500).collect() })
        })
    }
}

/// `handoff_to_cards`; providers take letters, digits, `_` and `-`, at most 64.
fn tool_name(at: usize, to: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if to.len() <= 50 && to.chars().all(plain) {
        return format!("handoff_to_{to}");
    }
    let kept: String = to.chars().filter(|c| plain(*c)).take(40).collect();
    format!("handoff_to_{kept}_{at}")
}

fn handoff_tool(name: &str, route: &Route) -> ToolSpec {
    let when = if route.description.is_empty() { String::new() } else { format!(": {}", route.description) };
    ToolSpec {
        name: name.into(),
        description: format!("Hand the work to {}{when}", route.to),
        parameters: json!({"type": "object", "required": ["reason"], "additionalProperties": false,
            "properties": {"reason": {"type": "string", "description": "Why, in one sentence."}}}),
    }
}
