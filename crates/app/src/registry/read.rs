//! Reading a registration.

use super::read_name;
use serde_json::Value;
use std::collections::BTreeSet;
use tutti_agents::agent::AgentBook;
use tutti_agents::brain::{Config, named_agents};
use tutti_agents::form::{Field, Form, List, nearest};
use tutti_agents::registry::{Agent, InstanceSpec, Protocol, State};
use tutti_agents::tool::ToolBook;
use tutti_engine::run::Time;

const NAME_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 2_000;
const LIST_MAX: usize = 64;
const INSTANCES_MAX: usize = 100;

/// Agents that a registration means, whether they exist or not.
pub(super) fn named(body: &Value) -> Vec<String> {
    let routes = body["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let routes = routes.iter().filter_map(|name| Some(name.as_str()?.to_owned())).take(LIST_MAX);
    let mut names = named_agents(&body["brain_config"]);
    names.extend(routes);
    names.retain(|name| name.len() <= NAME_CHARS_MAX);
    names
}

/// Reads one; `known` are the agents and the tools that exist.
pub(super) fn registration(
    form: &Form<'_>,
    book: &AgentBook,
    (known, tools): (&BTreeSet<String>, &ToolBook),
    has_hooks: bool,
) -> Option<Agent> {
    let agent_id = read_name(&form.field("agent_id").required());
    // Nobody asks himself.
    let others: BTreeSet<String> = known.iter().filter(|name| Some(*name) != agent_id.as_ref()).cloned().collect();
    let agent_name = form.field("agent_name").required().text(NAME_CHARS_MAX).map(String::from);
    let domain = form.field("domain").required().text(NAME_CHARS_MAX).map(String::from);
    let description = form.field("description").text(TEXT_CHARS_MAX).map(String::from);
    let deployment_id = form.field("deployment_id").text(NAME_CHARS_MAX).map(String::from);
    let capabilities = form.field("capabilities").list(LIST_MAX).map(|list| words(&list)).unwrap_or_default();
    let routes = form.field("routes").list(LIST_MAX).map(|list| read_routes(&list, &others)).unwrap_or_default();
    let max_sessions = form.field("max_sessions").integer(1, 100_000).and_then(|n| u32::try_from(n).ok());
    let brain = form.field("brain_config");
    let config = brain.form().map(|form| Config::read(&form, &others, tools)).unwrap_or_default();
    let instances = read_instances(&form.field("instances"), agent_id.as_deref().unwrap_or("agent"), book);
    let (protocol, endpoint) = read_place(form, book, &instances, has_hooks);
    let mut agent = Agent {
        agent_id: agent_id?,
        agent_name: agent_name?,
        domain: domain?,
        capabilities,
        description,
        brain_config: brain.value().cloned(),
        persona: None,
        instructions: String::new(),
        reasoning: Default::default(),
        brain: Default::default(),
        deployment_id,
        protocol,
        endpoint,
        made_at: None,
        routes,
        instances,
        max_sessions,
        state: State::Registered,
        error: None,
        token: None,
        registered_by: String::new(),
        registered_at: Time(0),
        updated_at: Time(0),
    };
    agent.think(config);
    Some(agent)
}

fn words(list: &List<'_>) -> Vec<String> {
    list.items().filter_map(|item| item.text(NAME_CHARS_MAX).map(String::from)).collect()
}

fn read_routes(list: &List<'_>, others: &BTreeSet<String>) -> Vec<String> {
    let mut routes = Vec::new();
    for item in list.items() {
        let Some(name) = item.text(NAME_CHARS_MAX) else { continue };
        if others.contains(name) {
            routes.push(name.to_owned());
            continue;
        }
        let hint = nearest(name, others.iter().map(String::as_str))
            .map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        item.fail(format!("there is no agent named {name:?}{hint}"));
    }
    routes
}

/// A number of them, or each with its name and, if it has one, its address.
fn read_instances(field: &Field<'_, '_>, agent_id: &str, book: &AgentBook) -> Vec<InstanceSpec> {
    if matches!(field.value(), Some(Value::Number(_))) {
        let count = field.integer(1, INSTANCES_MAX as i64).unwrap_or(0);
        return (1..=count).map(|n| InstanceSpec { instance_id: format!("{agent_id}-{n}"), endpoint: None }).collect();
    }
    let mut all: Vec<InstanceSpec> = Vec::new();
    for item in field.list(INSTANCES_MAX).iter().flat_map(List::items) {
        let spec = if matches!(item.value(), Some(Value::String(_))) {
            read_name(&item).map(|instance_id| InstanceSpec { instance_id, endpoint: None })
        } else {
            item.form().and_then(|form| {
                let id = read_name(&form.field("instance_id").required());
                let endpoint = read_endpoint(&form.field("endpoint"), book);
                form.no_others();
                Some(InstanceSpec { instance_id: id?, endpoint })
            })
        };
        let Some(spec) = spec else { continue };
        if all.iter().any(|other| other.instance_id == spec.instance_id) {
            item.fail(format!("two instances are called {:?}", spec.instance_id));
        } else {
            all.push(spec);
        }
    }
    all
}

/// An address that may be called; for a private one the error names `EGRESS_ALLOW`.
pub(super) fn read_endpoint(field: &Field<'_, '_>, book: &AgentBook) -> Option<String> {
    let text = field.text(TEXT_CHARS_MAX)?;
    if let Err(why) = book.admits(text) {
        field.fail(why);
        return None;
    }
    Some(text.to_owned())
}

/// How and where it is asked.
fn read_place(
    form: &Form<'_>,
    book: &AgentBook,
    instances: &[InstanceSpec],
    has_hooks: bool,
) -> (Protocol, Option<String>) {
    let words = [("http", Protocol::Http), ("a2a", Protocol::A2a), ("queue", Protocol::Queue)];
    let protocol = form.field("protocol").choice(&words);
    let field = form.field("endpoint");
    let endpoint = read_endpoint(&field, book);
    let has_places = instances.iter().any(|instance| instance.endpoint.is_some());
    let protocol = match protocol {
        Some(protocol) => protocol,
        None if field.is_present() || has_places => Protocol::Http,
        None => Protocol::Builtin,
    };
    match protocol {
        Protocol::Queue if field.is_present() => {
            field.fail("an agent of protocol \"queue\" comes for its work; it has no endpoint")
        }
        // Each instance has its own, or the hooks will say where it is.
        protocol if protocol.has_endpoint() && !has_hooks && !instances.iter().all(|i| i.endpoint.is_some()) => {
            field.require()
        }
        protocol if protocol.has_endpoint() && instances.is_empty() && !has_hooks => field.require(),
        _ => {}
    }
    (protocol, endpoint)
}
