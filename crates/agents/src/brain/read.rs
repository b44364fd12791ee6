//! Reading `brain_config`: everything that is wrong with it at once, each at its place.

use super::{ARTICLES, Brain, Link, Model, Part, What};
use crate::agent::{INSTRUCTIONS_CHARS_MAX, NAME_CHARS_MAX, Persona, REASONING, Reasoning};
use crate::condition::Condition;
use crate::form::{Field, Form, nearest};
use crate::tool::ToolBook;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const COMPONENTS_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 256;
const TEXT_CHARS_MAX: usize = 2_000;
/// What grounding in documents is called.
const DOCUMENTS: &str = "documents";
/// Most articles of one grounding.
const ARTICLES_MAX: i64 = 20;
/// Most messages of a memory.
const MESSAGES_MAX: i64 = 1_000;

/// The words for kinds of components.
pub(super) const TYPES: [(&str, Type); 5] = [
    ("model", Type::Model),
    ("tool", Type::Tool),
    ("memory", Type::Memory),
    ("grounding", Type::Grounding),
    ("agent", Type::Agent),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Model,
    Tool,
    Memory,
    Grounding,
    Agent,
}

/// What a `brain_config` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Who it speaks as.
    pub persona: Option<Persona>,
    /// What it should do, beyond that.
    pub instructions: String,
    /// How it goes about its work.
    pub reasoning: Reasoning,
    /// Its graph.
    pub brain: Brain,
}

/// A component while the graph is read.
enum Component {
    Model(Model),
    Part(What),
}

struct Connection {
    from: String,
    to: String,
    when: Option<Condition>,
}

impl Config {
    /// Reads one; `agents` and `tools` are those that exist.
    #[must_use]
    pub fn read(form: &Form<'_>, agents: &BTreeSet<String>, tools: &ToolBook) -> Self {
        let persona = form.field("persona").form().map(|form| read_persona(&form));
        let instructions = form.field("instructions");
        let instructions = if instructions.is_present() { instructions.text(INSTRUCTIONS_CHARS_MAX) } else { None };
        let reasoning = form.field("reasoningPattern").choice(&REASONING).unwrap_or_default();
        let components = read_components(&form.field("components"), agents, tools);
        let connections = read_connections(&form.field("connections"), &components);
        form.no_others();
        let brain = graph(components, &connections, form);
        Self { persona, instructions: instructions.unwrap_or_default().into(), reasoning, brain }
    }
}

/// Agents that components of a `brain_config` mean, whether they exist or not.
#[must_use]
pub fn named_agents(config: &Value) -> Vec<String> {
    let components = config["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let agents = components.iter().filter(|component| component["type"] == "agent");
    let name = |component: &Value| component["ref"].as_str().or(component["id"].as_str()).map(String::from);
    agents.filter_map(name).take(COMPONENTS_MAX).collect()
}

fn read_persona(form: &Form<'_>) -> Persona {
    let text = |name| form.field(name).text(TEXT_CHARS_MAX).unwrap_or_default().to_owned();
    let expertise = form.field("expertise");
    let expertise = match expertise.value() {
        Some(Value::Array(_)) => {
            let list = expertise.list(COMPONENTS_MAX);
            let all: Vec<_> = list.iter().flat_map(|l| l.items()).filter_map(|i| i.text(TEXT_CHARS_MAX)).collect();
            all.join(", ")
        }
        _ => expertise.text(TEXT_CHARS_MAX).unwrap_or_default().to_owned(),
    };
    let persona = Persona { role: text("role"), expertise, personality: text("personality") };
    form.no_others();
    persona
}

fn read_components(field: &Field<'_, '_>, agents: &BTreeSet<String>, tools: &ToolBook) -> Vec<(String, Component)> {
    let mut components: Vec<(String, Component)> = Vec::new();
    for item in field.list(COMPONENTS_MAX).iter().flat_map(|list| list.items()) {
        let Some(form) = item.form() else { continue };
        let id = form.field("id").required();
        let name = id.text(NAME_CHARS_MAX);
        if name.is_some_and(|name| components.iter().any(|(other, _)| other == name)) {
            id.fail("two components have this id");
        }
        let component = read_component(&form, name.unwrap_or_default(), agents, tools);
        form.no_others();
        if let (Some(name), Some(component)) = (name, component) {
            components.push((name.into(), component));
        }
    }
    components
}

fn read_component(form: &Form<'_>, id: &str, agents: &BTreeSet<String>, tools: &ToolBook) -> Option<Component> {
    let kind = form.field("type").required().choice(&TYPES);
    let (meant, config) = (form.field("ref"), form.field("config"));
    let name = if meant.is_present() { Some(meant.text(200)?) } else { None };
    let config = config.form();
    let kind = kind?;
    let count = |name: &'static str, max: i64| {
        let number = config.as_ref()?.field(name).integer(1, max)?;
        u32::try_from(number).ok()
    };
    let component = match kind {
        Type::Model => Component::Model(Model {
            id: id.into(),
            model: name.map(String::from),
            max_tokens: count("max_tokens", 1_000_000),
            temperature: config.as_ref().and_then(|form| form.field("temperature").number(0.0, 2.0)),
            parts: Vec::new(),
        }),
        Type::Memory => Component::Part(What::Memory(count("messages", MESSAGES_MAX))),
        Type::Grounding => {
            let limit = count("limit", ARTICLES_MAX).unwrap_or(ARTICLES);
            let of_documents = name == Some(DOCUMENTS);
            Component::Part(if of_documents { What::Documents(limit) } else { What::Grounding(limit) })
        }
        Type::Tool => Component::Part(What::Tool(name.unwrap_or(id).into())),
        Type::Agent => Component::Part(What::Agent(name.unwrap_or(id).into())),
    };
    if let Some(config) = &config {
        config.no_others();
    }
    // Where nothing is referred to, the id is the name.
    let field = if meant.is_present() { meant } else { form.field("id") };
    let known: Vec<&str> = match (kind, &component) {
        (Type::Tool, _) => {
            let name = name.unwrap_or(id);
            if let Err(why) = tools.check(name).or_else(|why| if name.is_empty() { Ok(()) } else { Err(why) }) {
                field.fail(why);
            }
            return Some(component);
        }
        (Type::Agent, _) => agents.iter().map(String::as_str).collect(),
        (Type::Memory, _) => vec!["session"],
        (Type::Grounding, _) => vec!["articles", DOCUMENTS],
        (Type::Model, _) => return Some(component),
    };
    let name = match kind {
        Type::Memory | Type::Grounding if name.is_none() => return Some(component),
        _ => name.unwrap_or(id),
    };
    if !known.contains(&name) && !name.is_empty() {
        let hint = nearest(name, known.iter().copied()).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        let word = TYPES.iter().find(|(_, t)| *t == kind).map_or("component", |(word, _)| word);
        field.fail(format!("there is no {word} named {name:?}{hint}"));
    }
    Some(component)
}

fn read_connections(field: &Field<'_, '_>, components: &[(String, Component)]) -> Vec<Connection> {
    let mut connections = Vec::new();
    for item in field.list(CONNECTIONS_MAX).iter().flat_map(|list| list.items()) {
        let Some(form) = item.form() else { continue };
        let end = |name: &'static str| {
            let field = form.field(name).required();
            let id = field.text(NAME_CHARS_MAX)?;
            if components.iter().all(|(known, _)| known != id) {
                let ids = components.iter().map(|(known, _)| known.as_str());
                let hint = nearest(id, ids).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
                field.fail(format!("there is no component with the id {id:?}{hint}"));
                return None;
            }
            Some(id.to_owned())
        };
        let (from, to) = (end("from"), end("to"));
        let when = read_when(&form.field("when"));
        form.no_others();
        if from.is_some() && from == to {
            form.field("to").fail("a component cannot be connected with itself");
        }
        if let (Some(from), Some(to)) = (from, to) {
            connections.push(Connection { from, to, when });
        }
    }
    connections
}

fn read_when(field: &Field<'_, '_>) -> Option<Condition> {
    match Condition::deserialize(field.value()?) {
        Ok(condition) => Some(condition),
        Err(e) => {
            field.fail(format!("when is no condition: {e}"));
            None
        }
    }
}

/// Models with their parts, and the links between them.
fn graph(components: Vec<(String, Component)>, connections: &[Connection], form: &Form<'_>) -> Brain {
    let order: Vec<String> = components.iter().map(|(id, _)| id.clone()).collect();
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    let mut parts: BTreeMap<String, What> = BTreeMap::new();
    for (id, component) in components {
        match component {
            Component::Model(model) => drop(models.insert(id, model)),
            Component::Part(part) => drop(parts.insert(id, part)),
        }
    }
    if models.is_empty() {
        let id = "model".to_owned();
        models.insert(id.clone(), Model { id, ..Model::default() });
    }
    let of_models = |c: &&Connection| models.contains_key(&c.from) && models.contains_key(&c.to);
    let link = |c: &Connection| Link { from: c.from.clone(), to: c.to.clone(), when: c.when.clone() };
    let links: Vec<Link> = connections.iter().filter(of_models).map(link).collect();
    let mut reached = BTreeSet::new();
    for model in models.values_mut() {
        for (id, when) in reach(&model.id, connections, &parts) {
            model.parts.push(Part { what: parts[&id].clone(), when });
            reached.insert(id);
        }
    }
    // What nothing is connected with is everybody's.
    for (id, part) in parts.iter().filter(|(id, _)| !reached.contains(*id)) {
        let _ = id;
        for model in models.values_mut() {
            model.parts.push(Part { what: part.clone(), when: None });
        }
    }
    let mut models: Vec<Model> = models.into_values().collect();
    models.sort_by_key(|model| order.iter().position(|id| *id == model.id));
    in_order(models, links, &order, form)
}

/// The parts that a model is connected with, directly or through other parts, each with what must hold on the way.
fn reach(model: &str, connections: &[Connection], parts: &BTreeMap<String, What>) -> Vec<(String, Option<Condition>)> {
    let mut found: Vec<(String, Option<Condition>)> = Vec::new();
    let mut open: VecDeque<(String, Vec<Condition>)> = VecDeque::from([(model.to_owned(), Vec::new())]);
    while let Some((at, whens)) = open.pop_front() {
        for connection in connections {
            let next = match (connection.from == at, connection.to == at) {
                (true, _) => &connection.to,
                (_, true) => &connection.from,
                _ => continue,
            };
            if !parts.contains_key(next) || found.iter().any(|(id, _)| id == next) {
                continue;
            }
            let whens: Vec<Condition> = whens.iter().cloned().chain(connection.when.clone()).collect();
            let when = match whens.as_slice() {
                [] => None,
                [one] => Some(one.clone()),
                all => Some(Condition::All(all.to_vec())),
            };
            found.push((next.clone(), when));
            open.push_back((next.clone(), whens));
        }
    }
    found
}

/// The graph with the model that works first in front; what is wrong with the order is told at its component.
fn in_order(mut models: Vec<Model>, links: Vec<Link>, order: &[String], form: &Form<'_>) -> Brain {
    let start = models.iter().position(|model| links.iter().all(|link| link.to != model.id));
    let fail = |id: &str, what: &str| {
        let at = order.iter().position(|other| other == id).unwrap_or(0);
        let list = form.field("components").list(COMPONENTS_MAX);
        if let Some(item) = list.iter().flat_map(|list| list.items()).nth(at) {
            item.fail(what);
        }
    };
    let Some(start) = start else {
        fail(&models[0].id, "models must not work in a circle: one of them has to be the first");
        return Brain { models, links };
    };
    let first = models.remove(start);
    models.insert(0, first);
    let mut reached: BTreeSet<&str> = BTreeSet::from([models[0].id.as_str()]);
    let mut open = vec![models[0].id.as_str()];
    while let Some(at) = open.pop() {
        for link in links.iter().filter(|link| link.from == at) {
            if reached.insert(link.to.as_str()) {
                open.push(link.to.as_str());
            }
        }
    }
    for model in models.iter().filter(|model| !reached.contains(model.id.as_str())) {
        fail(&model.id, "nothing leads to this model; connect it with the one that works before it");
    }
    if reached.len() == models.len() && is_circular(&models, &links) {
        fail(&models[0].id, "models must not work in a circle");
    }
    Brain { models, links }
}

/// Whether some model would come to work again. Models are taken away once nobody works before them.
fn is_circular(models: &[Model], links: &[Link]) -> bool {
    let mut left: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
    loop {
        let before = left.len();
        let waits = |id: &str, left: &[&str]| links.iter().any(|l| l.to == id && left.contains(&l.from.as_str()));
        let next: Vec<&str> = left.iter().copied().filter(|id| waits(id, &left)).collect();
        left = next;
        if left.is_empty() || left.len() == before {
            return !left.is_empty();
        }
    }
}

#[cfg(test)]
mod tests;
