//! Teams for tests, and a model that answers them.

use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_agents::agent::AgentBook;
use tutti_agents::form::{Errors, FieldError, Form};
use tutti_agents::model::ProviderRef;
use tutti_agents::team::Asking;
use tutti_engine::Registry;
use tutti_engine::activity::{ActivityError, Outcome, Retry};
use tutti_engine::run::Submit;
use tutti_engine::shard::wire::Spawn;
use tutti_workflows::{graph, memory, noop, patterns};

/// Every shipped workflow.
pub fn asking() -> Asking {
    let retry = Retry { tries_max: 30, first_ms: 10, cap_ms: 100 };
    Asking {
        provider: ProviderRef::default(),
        retry,
        timeout: Duration::from_secs(5),
        http_timeout: Duration::from_secs(5),
    }
}

pub fn registry() -> Registry {
    let registry = noop::register(patterns::register(Registry::new(), &asking()));
    memory::register(graph::register(registry, &asking()), &asking())
}

/// A request as it comes in, read and stored as the server does.
pub fn request(body: &Value) -> Submit {
    let book = AgentBook::default();
    let setting = patterns::Setting { agents: &book, iterations_max: 10, depth: 0, named: None, tools: None };
    if !body["graph"].is_null() {
        let read = graph_of(&body["graph"], &setting).unwrap_or_else(|e| panic!("{e:?}"));
        let input = graph::Input::new(read.graph, read.agents, body["input"].clone());
        let input = serde_json::to_vec(&input).unwrap();
        return Submit {
            timeout_ms: read.timeout_ms,
            budget: read.budget,
            ..Submit::new(graph::NAME, Bytes::from(input))
        };
    }
    let pattern = patterns::find(body["pattern"].as_str().unwrap()).unwrap();
    let checked = patterns::check_value(pattern, body, &setting).unwrap_or_else(|e| panic!("{e:?}"));
    Submit {
        timeout_ms: checked.timeout_ms,
        budget: checked.budget,
        ..Submit::new(pattern.name, Bytes::from(checked.input))
    }
}

/// A graph as it is read from a file.
pub fn graph_of(body: &Value, setting: &patterns::Setting<'_>) -> Result<graph::Read, Vec<FieldError>> {
    let errors = Errors::default();
    let read = Form::body(body, &errors).and_then(|form| graph::read(&form, setting));
    errors.or(read)
}

/// A team of three under a pattern.
pub fn team(pattern: &str, options: &Value) -> Submit {
    let agents = members(&["facts", "policy", "writer"]);
    request(&json!({"pattern": pattern, "input": "My card was charged twice.", "agents": agents, "options": options}))
}

/// Agents of these names.
pub fn members(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "instructions": format!("You are {name}.")})).collect()
}

/// What a model was asked, as far as tests care.
pub struct Asked {
    /// The agent, as its instructions name it.
    pub who: String,
    /// The messages after the instructions.
    pub said: Vec<String>,
    /// The JSON Schema to fill.
    pub schema: Option<Value>,
    /// Tools on offer.
    pub tools: Vec<String>,
    /// The bound of the answer.
    pub max_tokens: Option<u64>,
}

impl Asked {
    pub fn of(spawn: &Spawn) -> Self {
        let args: Value = serde_json::from_slice(&spawn.request.args).unwrap();
        let request = &args["request"];
        let messages = request["messages"].as_array().unwrap();
        // Instructions, and behind them what is to be done in this turn.
        let (first, order) = match messages[0]["content"].as_str().unwrap() {
            all if all.contains("\n\n") => all.split_once("\n\n").map(|(first, order)| (first, Some(order))).unwrap(),
            all => (all, None),
        };
        let who = first.strip_prefix("You are ").and_then(|rest| rest.split('.').next()).unwrap_or("manager");
        let texts = messages[1..].iter().map(|m| m["content"].as_str().unwrap().to_owned());
        let texts = texts.chain(order.map(ToOwned::to_owned)).collect();
        let tools = request["tools"].as_array().into_iter().flatten().map(|t| t["name"].as_str().unwrap().to_owned());
        Self {
            who: who.into(),
            said: texts,
            schema: request.get("output_schema").cloned(),
            tools: tools.collect(),
            max_tokens: request["max_tokens"].as_u64(),
        }
    }

    pub fn last(&self) -> &str {
        self.said.last().map_or("", String::as_str)
    }

    /// Whether the schema asks for this field.
    pub fn wants(&self, field: &str) -> bool {
        self.schema.as_ref().is_some_and(|s| !s["properties"][field].is_null())
    }
}

/// A model's answer in words.
pub fn text(text: impl Into<String>) -> Outcome {
    reply(json!({"text": text.into()}))
}

/// A model's answer as data.
pub fn data(output: Value) -> Outcome {
    reply(json!({"text": output.to_string(), "output": output}))
}

/// A model's wish to call a tool.
pub fn call(tool: &str, arguments: Value) -> Outcome {
    reply(json!({"text": "", "tool_calls": [{"id": "c1", "name": tool, "arguments": arguments}]}))
}

fn reply(mut body: Value) -> Outcome {
    body["model"] = json!("sim");
    body["finish"] = json!("stop");
    body["usage"] = json!({"input_tokens": 10, "output_tokens": 5, "estimated": false});
    Ok(body.to_string().into())
}

/// One passage, which answers everything.
pub fn found() -> Outcome {
    let passage = json!({"document_id": "d", "title": "D", "passage": "It is so.", "score": 1.0, "start": 0, "end": 9});
    Ok(json!({"passages": [passage], "ranking": "words"}).to_string().into())
}

/// Answers with what it was asked last, fills forms and hands work on by chance; now and then the line is busy, and one
/// agent may be out for good.
pub fn answer(spawn: &Spawn, dice: u64, broken: Option<&str>) -> Outcome {
    if spawn.request.name == "tool.call" {
        return Ok(json!({"result": dice % 100}).to_string().into());
    }
    if spawn.request.name.starts_with("memory.") {
        return Ok(json!([fact(dice)]).to_string().into());
    }
    if spawn.request.name == "grounding.retrieve" {
        return found();
    }
    let asked = Asked::of(spawn);
    if broken.is_some_and(|name| asked.who == name) {
        return Err(ActivityError::fatal("LlmError", "this model is gone"));
    }
    if dice.is_multiple_of(8) {
        return Err(ActivityError::retry("LlmError", "the line was busy"));
    }
    let die = dice >> 8;
    if let Some(schema) = &asked.schema {
        return data(fill(schema, die));
    }
    if asked.tools.iter().any(|t| t == "calculate") && die.is_multiple_of(2) {
        return call("calculate", json!({"expression": format!("{} + 1", die % 9)}));
    }
    if let Some(tool) = asked.tools.get(usize::try_from(die % 4).unwrap()).filter(|t| t.starts_with("handoff_to_")) {
        return call(tool, json!({"reason": format!("reason {}", die % 5)}));
    }
    text(format!("You are {}. I read: {}", asked.who, asked.last().lines().last().unwrap_or_default()))
}

/// What is known about a user, or was just learned.
fn fact(dice: u64) -> Value {
    json!({"id": format!("{dice:016x}"), "text": "Has a cat.", "confidence": 0.5, "learned_at": 1, "updated_at": 2,
        "sources": [{"run_id": "r", "at": 1}]})
}

/// A user says something that is worth remembering.
pub fn remember() -> Submit {
    let input = json!({"user_id": "ann", "text": "I moved to Bern, and the cat came along."});
    Submit::new(memory::NAME, Bytes::from(input.to_string()))
}

/// Something that fits, by chance.
fn fill(schema: &Value, die: u64) -> Value {
    let pick = |list: &Value| list.as_array().map(|l| l[usize::try_from(die % l.len() as u64).unwrap()].clone());
    if let Some(one) = pick(&schema["enum"]) {
        return one;
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let needed = |name: &String| schema["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
            let one = |(i, (name, s)): (u64, (&String, &Value))| (name.clone(), fill(s, (die >> 1).wrapping_add(i)));
            let fields = fields.filter(|(name, _)| needed(name));
            Value::Object((0..).zip(fields).map(one).collect())
        }
        Some("array") => json!([fill(&schema["items"], die)]),
        Some("boolean") => json!(die.is_multiple_of(2)),
        Some("integer") => json!(die % 11),
        Some("number") => json!(0.5),
        _ => json!(format!("word{}", die % 3)),
    }
}
