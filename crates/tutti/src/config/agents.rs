//! `[agents.NAME]` tables of `tutti.toml`: agents that every request may name.

use super::values::Problem;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tutti_agents::agent::AgentDefinition;

/// Agents by name, each in the shape of an inline agent of a request, save for its name.
pub type Agents = BTreeMap<String, Map<String, Value>>;

/// Reads the `agents` table of a file called `file`.
pub fn read(table: &toml::Value, file: &str) -> (Agents, Vec<Problem>) {
    let mut agents = Agents::new();
    let mut problems = Vec::new();
    let Some(tables) = table.as_table() else {
        return (agents, vec![Problem::file(format!("{file}: agents should be tables: [agents.NAME]"))]);
    };
    for (name, table) in tables {
        match agent(name, table, file) {
            Ok(agent) => drop(agents.insert(name.clone(), agent)),
            Err(mut found) => problems.append(&mut found),
        }
    }
    (agents, problems)
}

fn agent(name: &str, table: &toml::Value, file: &str) -> Result<Map<String, Value>, Vec<Problem>> {
    let at = |key: &str, what: String| Problem::file(format!("{file}: agents.{name}{key} {what}"));
    let Some(fields) = table.as_table() else {
        return Err(vec![at("", format!("should be a table, [agents.{name}]"))]);
    };
    let shape = AgentDefinition::schema();
    let known: Vec<&str> =
        shape["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    let mut problems: Vec<Problem> = fields
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .map(|key| at(&format!(".{key}"), format!("is not known; {}", super::nearest(key, known.iter().copied()))))
        .collect();
    let agent = match serde_json::to_value(fields) {
        Ok(Value::Object(mut agent)) => {
            // The key is the name; a name inside may only repeat it.
            if let Some(named) = agent.shift_remove("name").filter(|named| named != name) {
                problems.push(at(".name", format!("is {named}; leave it out or write \"{name}\"")));
            }
            agent
        }
        Ok(_) => Map::new(),
        Err(e) => {
            problems.push(at("", format!("cannot be written as JSON: {e}")));
            Map::new()
        }
    };
    if problems.is_empty() { Ok(agent) } else { Err(problems) }
}
