//! One member's turn: what it is given, how it goes about it, what it says.

use crate::a2a_agent::AskA2a;
use crate::agent::{Kind, Reasoning};
use crate::ask;
use crate::brain;
use crate::http_agent::{AskHttp, HandTo, Line, Reply};
use crate::job::{self, Job};
use crate::model::{Chat, ChatMessage, ChatReply, ChatRequest, Role, ToolCall, ToolSpec, bound, price};
use crate::person::{Approve, agree, decide};
use crate::reasoning;
use crate::team::{Member, Message, Source, text_of};
use crate::tool::{self, By};
use serde_json::{Value, json};
use tutti_engine::journal::body::Verdict;
use tutti_engine::{Amounts, Ctx, Error, Grant, Need, Result, Share, Traces};

/// Most tokens of an answer whose agent sets no bound, where a budget has to hold.
const ANSWER_TOKENS: u32 = 4_096;
/// How often a model may call tools in one turn before it has to answer.
const TOOL_ROUNDS_MAX: u32 = 8;
/// Tools of one reply under way at once.
const TOOLS_AT_ONCE: usize = 4;
/// What is wrong with an answer, in tokens at most.
const REPAIR_TOKENS: u64 = 1_000;
/// An answer shorter than this is not worth asking for.
const ANSWER_TOKENS_MIN: u64 = 64;

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
    /// How many members share what is left of the budget, this one included; 0 counts as 1.
    pub siblings: u32,
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
            Kind::Http | Kind::A2a => Box::pin(self.ask_service(ctx, turn)).await,
            Kind::Queue => Box::pin(self.ask_worker(ctx, turn)).await,
            Kind::Human => self.ask_person(ctx, turn).await,
            Kind::Workflow => Box::pin(self.run_nested(ctx, turn)).await,
        }
    }

    pub(crate) async fn think(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        if let Some(brain) = &self.agent.brain {
            return Box::pin(brain::run::run(self, brain, ctx, turn)).await;
        }
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

    async fn ask_service(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        let asking = &self.rules.asking;
        let sources: Vec<_> = turn.said.iter().map(|m| &m.source).collect();
        let about = json!({ "input_from": sources });
        let (endpoint, agent) = (self.agent.endpoint.clone().unwrap_or_default(), self.name().to_owned());
        let run_id = ctx.run_id().0.to_string();
        let input = asked_as_data(turn);
        let reply: Reply = if self.agent.kind == Kind::A2a {
            let ask = AskA2a { endpoint, agent, text: asked_as_text(turn), data: input, run_id };
            let call = ctx.call("ask", ask).retry(asking.retry).timeout(asking.http_timeout).traces(Traces::Agent);
            call.agent(self.name()).about(&about).await?
        } else {
            let (messages, context) = (self.lines(turn), self.rules.context.clone());
            let ask = AskHttp { endpoint, agent, messages, run_id, input, context };
            let call = ctx.call("ask", ask).retry(asking.retry).timeout(asking.http_timeout).traces(Traces::Agent);
            call.agent(self.name()).about(&about).await?
        };
        let said = self.said(text_of(&reply.said), reply.said.output, step_key(ctx, "ask"));
        Ok(Said { handoff: self.handed(turn, reply.handoff), ..said })
    }

    /// Workers as a member: a job that one of them takes, in a run of its own.
    async fn ask_worker(&self, ctx: &Ctx, turn: Turn<'_>) -> Result<Said> {
        let job = Job {
            agent_id: self.name().into(),
            tenant: self.agent.tenant.clone().unwrap_or_default(),
            run_id: ctx.run_id().0.to_string(),
            input: asked_as_data(turn).unwrap_or_else(|| json!(asked_as_text(turn))),
            messages: self.lines(turn),
            context: self.rules.context.clone(),
        };
        let run = ctx.child("run", job::WORKFLOW, &job).agent(self.name()).allot(turn.siblings.max(1), None);
        let output = run.await?;
        let value = output.pointer("/output/value").cloned().unwrap_or_default();
        let said = self.said(text_from(&value), (!value.is_string()).then_some(value), step_key(ctx, "run"));
        Ok(Said { handoff: self.handed(turn, crate::http_agent::read_handoff(&output)), ..said })
    }

    /// The conversation as those who are not language models get it.
    fn lines(&self, turn: Turn<'_>) -> Vec<Line> {
        let line = |m: &Message| Line { from: m.from.clone(), content: m.text.clone() };
        let order = turn.order.map(|order| Line { from: None, content: order.into() });
        self.rules.earlier.iter().chain(turn.said).map(line).chain(order).collect()
    }

    /// A wish to hand the work on, where it may go there.
    fn handed(&self, turn: Turn<'_>, wish: Option<HandTo>) -> Option<Handoff> {
        let HandTo { to, reason } = wish?;
        turn.handoffs.iter().any(|route| route.to == to).then_some(Handoff { to, reason })
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
        let value = value.filter(|v| !v.is_null()).or(decision.note.map(Value::String)).unwrap_or_else(|| json!(""));
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
        let siblings = turn.siblings.max(1);
        let run = ctx.child("run", &nested.workflow, &request).agent(self.name()).allot(siblings, nested.budget);
        let output = run.await?;
        let value = output.pointer("/output/value").cloned().unwrap_or(output);
        Ok(self.said(text_from(&value), (!value.is_string()).then_some(value), step_key(ctx, "run")))
    }

    /// What a tool gave back, or what went wrong, for the model to read.
    async fn use_tool(&self, ctx: &Ctx, call: &ToolCall) -> Result<String> {
        if call.name == ask::NAME && !self.agent.asks.is_empty() {
            return Box::pin(ask::ask(self, ctx, call)).await;
        }
        let pin = self.agent.pins.iter().find(|pin| pin.name == call.name);
        let listed = &self.agent.tools;
        let is_built_in = || tool::find(&call.name).is_some() && listed.iter().any(|name| name == tool::ALL);
        if !is_built_in() && !listed.iter().any(|name| *name == call.name || pin.is_some_and(|pin| pin.is_of(name))) {
            return Ok(format!("There is no tool named {:?}. There are: {}.", call.name, listed.join(", ")));
        }
        let set = pin.and_then(|pin| pin.set.as_deref());
        let waits = |approve: &&Approve| approve.names(&call.name) || set.is_some_and(|set| approve.names(set));
        if let Some(approve) = self.rules.approve.as_ref().filter(waits) {
            let act = format!("the call of tool {:?}", call.name);
            let request = json!({"act": act, "agent": self.name(), "tool": call.name, "arguments": call.arguments});
            if let Err(refused) = agree(ctx, "approve", request, &approve.patience).await {
                return Ok(refused.to_string());
            }
        }
        let by = By { agent: Some(self.name()), asking: &self.rules.asking, siblings: 1 };
        match Box::pin(tool::call(ctx, &call.name, pin, &call.arguments, by)).await {
            // A text is read as it is; data as JSON.
            Ok(Value::String(text)) if pin.is_some() => Ok(text),
            Ok(result) => Ok(result.to_string()),
            Err(e) => Ok(e.to_string()),
        }
    }

    pub(crate) fn said(&self, text: String, value: Option<Value>, step: String) -> Said {
        let message = Message { from: Some(self.name().into()), text, value, source: Source::Step(step) };
        Said { message, handoff: None, tools: Vec::new(), tokens: 0 }
    }

    /// The request as it stands before the first answer.
    fn request(&self, turn: Turn<'_>) -> ChatRequest {
        let said = turn.said;
        let instructions = self.instructions();
        let system = turn.order.map_or(instructions.clone(), |order| format!("{instructions}\n\n{order}"));
        let mut messages = vec![ChatMessage::system(system.trim_start())];
        messages.extend(self.rules.earlier.iter().map(|message| match message.from.as_deref() {
            None | Some("user") => ChatMessage::user(message.text.clone()),
            Some(_) => ChatMessage::assistant(message.text.clone()),
        }));
        messages.extend(said.iter().map(|message| match &message.from {
            Some(name) if name == self.name() && said.len() > 1 => ChatMessage::assistant(message.text.clone()),
            // Alone, it is the task itself, whoever it comes from.
            Some(name) if said.len() > 1 => ChatMessage::user(format!("{name} said:\n{}", message.text)),
            _ => ChatMessage::user(message.text.clone()),
        }));
        // An answer is asked of somebody: a conversation that ends with the member's own words would be prolonged.
        if messages.last().is_some_and(|last| last.role == Role::Assistant) {
            messages.push(ChatMessage::user("Go on."));
        }
        ChatRequest {
            model: self.agent.model.clone(),
            messages,
            output_schema: turn.schema.or(self.agent.output_schema.as_ref()).cloned(),
            max_tokens: self.agent.max_tokens,
            temperature: self.agent.temperature,
            cache_seconds: self.agent.cache_seconds,
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

/// The question as data, where it is more than a text.
fn asked_as_data(turn: Turn<'_>) -> Option<Value> {
    let last = turn.said.last().filter(|m| m.source == Source::Input)?;
    last.value.clone()
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
        if !turn.is_closing && turn.schema.is_none() {
            request.tools = tool::specs(&member.agent);
            request.tools.extend(ask::spec(&member.agent));
        }
        request.tools.extend(turn.handoffs.iter().zip(&handoffs).map(|(route, (name, _))| handoff_tool(name, route)));
        Self { member, ctx, turn, request, handoffs, asked: 0, tokens: 0, tools: Vec::new() }
    }

    /// Asks the model once, as the next `ask` of this scope.
    pub async fn ask(&mut self) -> Result<ChatReply> {
        let sources: Vec<_> = self.turn.said.iter().map(|m| &m.source).collect();
        let asking = &self.member.rules.asking;
        let mut request = self.request.clone();
        let grant = self.grant(&mut request).await?;
        let chat = Chat { provider: asking.provider.clone(), request };
        let call = self
            .ctx
            .call("ask", chat)
            .retry(asking.retry)
            .timeout(asking.timeout)
            .traces(Traces::Agent)
            .agent(self.member.name())
            .paid_by(grant)
            .about(&json!({ "input_from": sources }));
        let reply = Box::pin(call).await?;
        self.asked += 1;
        let used = reply.usage.input_tokens.saturating_add(reply.usage.output_tokens);
        self.tokens = self.tokens.saturating_add(used);
        Ok(reply)
    }

    /// Holds what the next answer may cost, where the run has a budget; the answer is then bounded by what was granted.
    async fn grant(&self, request: &mut ChatRequest) -> Result<Option<Grant>> {
        let Some(limits) = self.ctx.budget() else { return Ok(None) };
        let price = price(&self.member.rules.asking.provider, request.model.as_deref());
        // An answer in a given form may be asked for once more, with the first one and what is wrong with it.
        let times = 1 + u64::from(request.output_schema.is_some());
        let once = bound(request);
        let prompt = |answer: u64| once * times + (times - 1) * (answer + REPAIR_TOKENS);
        // What has no price cannot be bounded; only a limit of cost minds.
        let cost = |answer: u64| price.map_or(u64::MAX, |price| price.cost(prompt(answer), answer * times));
        let answer = u64::from(request.max_tokens.unwrap_or(ANSWER_TOKENS));
        let amounts = |answer: u64| Amounts {
            tokens: prompt(answer) + answer * times,
            cost: limits.cost.map_or(0, |_| cost(answer)),
            purchases: 0,
        };
        let share = if self.turn.is_closing { Share::Closing } else { Share::Ordinary };
        let (want, least) = (amounts(answer), amounts(answer.min(ANSWER_TOKENS_MIN)));
        let grant = self.ctx.reserve("budget", Need { want, least, share, siblings: self.turn.siblings })?;
        if let Some(grant) = &grant {
            let spare = grant.amounts.tokens.saturating_sub(prompt(0));
            let mut most = (spare / (2 * times - 1)).min(answer);
            if limits.cost.is_some() {
                // Prices are the process's: what they come to is remembered, so that a replay asks the same.
                let fits = |tokens: &u64| cost(*tokens) <= grant.amounts.cost;
                let halves = std::iter::successors(Some(most), |n| (*n > 1).then_some(n / 2));
                most = self.ctx.step("max_tokens", || halves.into_iter().find(fits).unwrap_or(1)).await?;
            }
            request.max_tokens = Some(u32::try_from(most).unwrap_or(u32::MAX));
        }
        Ok(grant)
    }

    /// Asks until the model answers: its tool calls are carried out, a hand-off ends the turn.
    pub async fn answer(mut self) -> Result<Said> {
        let reply = self.until_answer().await?;
        Ok(self.end(&reply))
    }

    /// As [`answer`](Self::answer), and the conversation may go on.
    pub async fn until_answer(&mut self) -> Result<ChatReply> {
        for round in 0..TOOL_ROUNDS_MAX {
            let reply = self.ask().await?;
            if reply.tool_calls.is_empty() || self.handoff(&reply).is_some() {
                return Ok(reply);
            }
            self.use_tools(&reply, round).await?;
        }
        // Enough of tools: now the answer.
        let tools = std::mem::take(&mut self.request.tools);
        let reply = self.ask().await;
        self.request.tools = tools;
        reply
    }

    /// Carries a reply's tool calls out, all at once, and tells the model what came of them.
    async fn use_tools(&mut self, reply: &ChatReply, round: u32) -> Result<()> {
        let scope = self.ctx.scope("tools", round + 1);
        let member = self.member;
        let work = async |ctx: Ctx, call: &ToolCall| member.use_tool(&ctx, call).await;
        let calls: Vec<&ToolCall> = reply.tool_calls.iter().collect();
        let results = Box::pin(scope.map("call", calls, TOOLS_AT_ONCE, work)).await?;
        let said = ChatMessage { tool_calls: reply.tool_calls.clone(), ..ChatMessage::assistant(text_of(reply)) };
        self.request.messages.push(said);
        for (call, result) in reply.tool_calls.iter().zip(results) {
            self.request.messages.push(ChatMessage::tool(call.id.clone(), result));
            self.tools.push(call.name.clone());
        }
        Ok(())
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
