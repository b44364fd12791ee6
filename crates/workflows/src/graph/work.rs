//! What each kind of node does.

use super::definition::{
    Ask, Child, Flow, Graph, Ground, Human, Intent, Mode, Node, Plan, Remember, Set, Use, Wait, Work,
};
use super::expression;
use super::interpret::{Walker, failed};
use super::state::{Around, State};
use super::{Input, NAME};
use crate::memory;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_agents::grounding::{self, Filter, Passage, Retrieve};
use tutti_agents::person::decide;
use tutti_agents::team::{Member, Message, Source};
use tutti_agents::tool::{self, By};
use tutti_agents::turn::Turn;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::Verdict;
use tutti_engine::{Ctx, Result};

/// What a node came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    pub output: Value,
    /// The same as somebody said it.
    pub said: Option<Message>,
    /// It is nothing that the next node would be asked.
    pub is_quiet: bool,
}

impl Came {
    pub fn value(output: Value) -> Self {
        Self { output, ..Self::default() }
    }

    fn quiet(output: Value) -> Self {
        Self { is_quiet: true, ..Self::value(output) }
    }

    fn said(message: Message) -> Self {
        Self { output: message.value(), said: Some(message), is_quiet: false }
    }
}

impl Walker<'_> {
    /// The work of one node, once.
    pub(super) async fn work(
        &self,
        ctx: &Ctx,
        id: &str,
        node: &Node,
        state: &mut State,
        around: &Around,
    ) -> Result<Came> {
        if let Some(budget) = node.flow.budget {
            let alone = Input {
                graph: Graph::of_one(self.graph, id, node),
                agents: self.team.all().cloned().collect(),
                input: around.input.clone(),
                before: Some(state.clone()),
                around: Some(around.clone()),
            };
            let run = ctx.child("run", NAME, &alone).agent(id).allot(around.siblings.max(1), Some(budget));
            return Ok(Came::value(value_of(run.await?)));
        }
        match &node.work {
            Work::Agent(ask) => self.ask(ctx, ask, state, around).await.map(Came::said),
            Work::Tool(used) => self.call(ctx, id, used, state, around).await.map(Came::value),
            Work::Workflow(child) => self.child(ctx, id, child, state, around).await.map(Came::value),
            Work::Switch | Work::Join => Ok(Came::quiet(Value::Null)),
            Work::Set(set) => self.set(ctx, set, state, around).await.map(Came::quiet),
            Work::Human(human) => self.person(ctx, id, human, state, around).await.map(Came::value),
            Work::Wait(wait) => self.wait(ctx, wait).await,
            Work::Map(map) => self.each(ctx, map, state, around).await.map(Came::value),
            Work::Loop(turns) => self.rounds(ctx, turns, state, around).await.map(Came::value),
            Work::Intent(intent) => self.intent(ctx, intent, state, around).await.map(Came::quiet),
            Work::Plan(plan) => self.plan(ctx, plan, state, around).await.map(Came::quiet),
            Work::Ground(ground) => self.ground(ctx, ground, state, around).await.map(Came::quiet),
            Work::Remember(remember) => self.remember(ctx, remember, state, around).await.map(Came::quiet),
        }
    }

    fn filled(&self, template: Option<&Value>, state: &State, around: &Around) -> Result<Option<Value>> {
        template.map(|value| expression::fill(value, &state.scope(around)).map_err(failed)).transpose()
    }

    fn member(&self, name: &str) -> Result<&Member> {
        let missing = || match name {
            "external" => failed("there is no external agent: EXTERNAL_AGENT_BASE_URL is not set"),
            _ => failed(format!("the graph has no agent {name:?}")),
        };
        self.team.find(name).ok_or_else(missing)
    }

    /// What an agent is asked: what the template says, else what was said last.
    fn question(&self, template: Option<&Value>, state: &State, around: &Around) -> Result<Message> {
        let value = match self.filled(template, state, around)? {
            Some(value) => value,
            None => match &state.said {
                Some(message) => return Ok(message.clone()),
                None if state.last.is_null() => around.input.clone(),
                None => state.last.clone(),
            },
        };
        let (text, value) = match value {
            Value::String(text) => (text, None),
            other => (other.to_string(), Some(other)),
        };
        Ok(Message { from: None, text, value, source: Source::Input })
    }

    async fn ask(&self, ctx: &Ctx, ask: &Ask, state: &State, around: &Around) -> Result<Message> {
        let said = [self.question(ask.input.as_ref(), state, around)?];
        let turn = Turn { schema: ask.schema.as_ref(), siblings: around.siblings, ..Turn::of(&said) };
        Ok(Box::pin(self.member(&ask.agent)?.turn(ctx, turn)).await?.message)
    }

    async fn call(&self, ctx: &Ctx, id: &str, used: &Use, state: &State, around: &Around) -> Result<Value> {
        let arguments = self.filled(Some(&used.arguments), state, around)?.unwrap_or_default();
        let arguments = if arguments.is_null() { json!({}) } else { arguments };
        let by = By { agent: Some(id), asking: self.asking, siblings: around.siblings };
        Box::pin(tool::call(ctx, &used.tool, used.pin.as_deref(), &arguments, by)).await
    }

    async fn child(&self, ctx: &Ctx, id: &str, child: &Child, state: &State, around: &Around) -> Result<Value> {
        let input = match self.filled(child.input.as_ref(), state, around)? {
            Some(input) => input,
            None if state.last.is_null() => around.input.clone(),
            None => state.last.clone(),
        };
        let siblings = around.siblings.max(1);
        let run = match &child.graph {
            Some(graph) => {
                let request = Input { input, ..(**graph).clone() };
                ctx.child("run", NAME, &request).agent(id).allot(siblings, None).await?
            }
            None => ctx.child("run", &child.workflow, &input).agent(id).allot(siblings, None).await?,
        };
        Ok(value_of(run))
    }

    async fn set(&self, ctx: &Ctx, set: &Set, state: &mut State, around: &Around) -> Result<Value> {
        let scope = state.scope(around);
        let fill = || expression::fill(&Value::Object(set.values.clone()), &scope);
        let values = ctx.step("values", fill).await?.map_err(failed)?;
        for (name, value) in values.as_object().into_iter().flatten() {
            state.write(self.graph, name, value.clone())?;
        }
        Ok(values)
    }

    async fn person(&self, ctx: &Ctx, id: &str, human: &Human, state: &State, around: &Around) -> Result<Value> {
        let ask = self.filled(Some(&human.ask), state, around)?.unwrap_or_default();
        let mut request = json!({"act": format!("node {id:?} of graph {:?}", self.graph.name), "ask": ask});
        if let Some(schema) = &human.schema {
            request["schema"] = schema.clone();
        }
        let decision = decide(ctx, "ask", request, &human.patience).await?;
        let word = match decision.decision {
            Verdict::Approve => "approve",
            Verdict::Expired if human.patience.agrees() => "approve",
            Verdict::Reject | Verdict::Expired => "reject",
        };
        let input: Option<Value> = decision.input.and_then(|input| serde_json::from_str(input.get()).ok());
        Ok(
            json!({"decision": word, "answered": decision.decision != Verdict::Expired, "note": decision.note, "input": input}),
        )
    }

    async fn wait(&self, ctx: &Ctx, wait: &Wait) -> Result<Came> {
        let limit = wait.ms.map(Duration::from_millis);
        match (&wait.signal, limit) {
            (Some(signal), limit) => {
                let payload = ctx.wait_for_signal::<Value>("signal", signal, limit).await?;
                Ok(Came::value(payload.unwrap_or_default()))
            }
            (None, Some(limit)) => {
                ctx.sleep("sleep", limit).await?;
                Ok(Came::quiet(Value::Null))
            }
            (None, None) => Ok(Came::quiet(Value::Null)),
        }
    }

    async fn intent(&self, ctx: &Ctx, intent: &Intent, state: &State, around: &Around) -> Result<Value> {
        let said = [self.question(intent.input.as_ref(), state, around)?];
        let words: Vec<&str> = intent.intents.iter().map(|(word, _)| word.as_str()).collect();
        let schema = json!({"type": "object", "required": ["intent"], "additionalProperties": false, "properties": {
            "intent": {"type": "string", "enum": words}, "reason": {"type": "string"}}});
        let meant = intent.intents.iter().filter(|(_, about)| !about.is_empty());
        let meant: String = meant.map(|(word, about)| format!("\n- {word}: {about}")).collect();
        let mut order = String::from("Name the intent of this message.");
        if !meant.is_empty() {
            order += &format!(" The intents:{meant}");
        }
        if let Some(examples) = self.filled(intent.examples.as_ref(), state, around)? {
            order += &format!("\nMessages with known intents:\n{}", text_of(&examples));
        }
        let turn = Turn { order: Some(&order), schema: Some(&schema), siblings: around.siblings, ..Turn::of(&said) };
        let said = Box::pin(self.member(&intent.agent)?.turn(ctx, turn)).await?;
        Ok(said.message.value())
    }

    async fn plan(&self, ctx: &Ctx, plan: &Plan, state: &State, around: &Around) -> Result<Value> {
        let said = [self.question(plan.input.as_ref(), state, around)?];
        let schema = json!({"type": "object", "required": ["steps"], "additionalProperties": false, "properties": {
            "steps": {"type": "array", "minItems": 1, "maxItems": plan.max_plan_steps, "items": {"type": "string"}}}});
        let order = format!("Write the steps that this task takes, at most {}.", plan.max_plan_steps);
        let turn = Turn { order: Some(&order), schema: Some(&schema), siblings: around.siblings, ..Turn::of(&said) };
        let said = Box::pin(self.member(&plan.agent)?.turn(ctx, turn)).await?;
        let steps = said.message.value()["steps"].clone();
        ctx.emit(Kind::PlanCreated, &json!({ "steps": steps }));
        Ok(steps)
    }
}

impl Walker<'_> {
    async fn ground(&self, ctx: &Ctx, ground: &Ground, state: &State, around: &Around) -> Result<Value> {
        let question = self.question(ground.query.as_ref(), state, around)?;
        let retrieve = Retrieve {
            tenant: ctx.owner().tenant,
            query: question.text.clone(),
            limit: ground.limit,
            filter: Filter::default(),
        };
        let found = ctx.call("retrieve", retrieve).retry(self.asking.retry).await?;
        let context = grounding::context(&found.passages);
        let mut output = json!({"passages": found.passages, "context": context});
        if let Some(agent) = &ground.agent {
            let said = [question];
            let turn = Turn { order: Some(&context), siblings: around.siblings, ..Turn::of(&said) };
            let answer = Box::pin(self.member(agent)?.turn(ctx, turn)).await?.message;
            output["sources"] = sources(&answer.text, &found.passages);
            output["answer"] = answer.value();
        }
        Ok(output)
    }

    async fn remember(&self, ctx: &Ctx, remember: &Remember, state: &State, around: &Around) -> Result<Value> {
        let user = self.filled(Some(&remember.user), state, around)?.unwrap_or_default();
        let user = text_of(&user);
        if user.is_empty() {
            return Err(failed("user: there is none"));
        }
        let said = [self.question(remember.text.as_ref(), state, around)?];
        let facts = match remember.mode {
            Mode::Learn => Box::pin(memory::learn(ctx, self.team, self.asking.retry, &user, &said)).await?,
            Mode::Recall => memory::known(ctx, self.asking.retry, &user, &said[0].text, remember.limit).await?,
        };
        Ok(facts.into_iter().map(|fact| Value::String(fact.text)).collect())
    }
}

/// The passages that an answer names, each with its number; all of them where it names none.
fn sources(answer: &str, passages: &[Passage]) -> Value {
    let named = grounding::cited(answer, passages);
    let is_named = |number: usize| named.is_empty() || named.iter().any(|citation| citation.number == number);
    let numbered =
        passages.iter().enumerate().map(|(i, passage)| (i + 1, passage)).filter(|(number, _)| is_named(*number));
    let source = |(number, passage): (usize, &Passage)| {
        let mut source = json!(passage);
        (source["number"], source["is_cited"]) = (json!(number), json!(!named.is_empty()));
        source
    };
    numbered.map(source).collect()
}

impl Graph {
    /// A graph of one of its nodes, for work in a run of its own.
    fn of_one(whole: &Self, id: &str, node: &Node) -> Self {
        let alone = Node { work: node.work.clone(), flow: Flow::default() };
        Self { nodes: [(id.to_owned(), alone)].into(), start: id.into(), output: None, ..whole.clone() }
    }
}

/// What a child run came to.
fn value_of(output: Value) -> Value {
    output.pointer("/output/value").cloned().unwrap_or(output)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| format!("- {}", text_of(item))).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => fields.values().map(text_of).collect::<Vec<_>>().join(": "),
        other => other.to_string(),
    }
}
