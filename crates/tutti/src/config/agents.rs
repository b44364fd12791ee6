//! `[agents.NAME]` tables of `tutti.toml`, and those of `[discovery]`: agents that every request may name.

use super::values::Problem;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tutti_agents::agent::AgentDefinition;
use tutti_agents::yaml::yaml_to_json;

/// The key of an agent that a card describes: its address takes the place of an endpoint.
pub const CARD: &str = "card";

/// Agents by name, each in the shape of an inline agent of a request, save for its name.
pub type Agents = BTreeMap<String, Map<String, Value>>;

/// Reads a table of agents that stands at `place` of a file called `file`.
pub fn read(table: &toml::Value, place: &str, file: &str) -> (Agents, Vec<Problem>) {
    let mut agents = Agents::new();
    let mut problems = Vec::new();
    let Some(tables) = table.as_table() else {
        return (agents, vec![Problem::file(format!("{file}: {place} should be tables: [{place}.NAME]"))]);
    };
    for (name, table) in tables {
        match agent(name, table, place, file) {
            Ok(agent) => drop(agents.insert(name.clone(), agent)),
            Err(mut found) => problems.append(&mut found),
        }
    }
    (agents, problems)
}

/// A text that is YAML, or JSON.
///
/// # Errors
/// What is wrong with it, in words.
pub fn yaml(text: &str) -> Result<Value, String> {
    yaml_to_json(text)
}

/// Reads every file of a folder: one agent with its `name`, or `agents: {NAME: {…}}`. A name that is taken is an error.
pub fn read_folder(folder: &Path, agents: &mut Agents) -> Vec<Problem> {
    let mut problems = Vec::new();
    let files = match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<BTreeSet<_>>(),
        Err(e) => return vec![Problem::of("AGENTS_DIR", format!("{} cannot be read: {e}", folder.display()))],
    };
    let is_ours = |path: &PathBuf| {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
    };
    for path in files.iter().filter(|path| is_ours(path)) {
        let wrong = |why: String| Problem::file(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"));
        // JSON is YAML.
        match text.and_then(|text| yaml_to_json(&text)).and_then(named) {
            Ok(found) => {
                for (name, agent) in found {
                    if agents.insert(name.clone(), agent).is_some() {
                        problems.push(wrong(format!("there is another agent named {name:?}")));
                    }
                }
            }
            Err(why) => problems.push(wrong(why)),
        }
    }
    problems
}

/// The agents of one file.
fn named(file: Value) -> Result<Agents, String> {
    let Value::Object(mut fields) = file else { return Err("it should hold an agent".into()) };
    if let Some(agents) = fields.shift_remove("agents") {
        let Value::Object(agents) = agents else { return Err("agents should be {NAME: {…}}".into()) };
        let one = |(name, agent): (String, Value)| match agent {
            Value::Object(agent) => Ok((name, agent)),
            _ => Err(format!("agents.{name} should be an agent")),
        };
        return agents.into_iter().map(one).collect();
    }
    let name = fields.get("name").and_then(Value::as_str).ok_or("the agent has no name")?.to_owned();
    Ok(Agents::from([(name, fields)]))
}

fn agent(name: &str, table: &toml::Value, place: &str, file: &str) -> Result<Map<String, Value>, Vec<Problem>> {
    let at = |key: &str, what: String| Problem::file(format!("{file}: {place}.{name}{key} {what}"));
    let Some(fields) = table.as_table() else {
        return Err(vec![at("", format!("should be a table, [{place}.{name}]"))]);
    };
    let shape = AgentDefinition::schema();
    let known: Vec<&str> =
        shape["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    let mut problems: Vec<Problem> = fields
        .keys()
        .filter(|key| !known.contains(&key.as_str()) && *key != CARD)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_agents_is_read_with_all_that_is_wrong() {
        let doc = include_str!("../../../../docs/agents.md");
        let example = doc.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("critic.yaml", example);
        put("more.json", r#"{"agents": {"writer": {"instructions": "You write."}}}"#);
        put("notes.txt", "not an agent");
        let mut agents = Agents::new();
        assert_eq!(read_folder(folder.path(), &mut agents), []);
        assert_eq!(agents.keys().collect::<Vec<_>>(), ["critic", "writer"]);
        put("z.yaml", "name: critic");
        put("bad.yaml", "a: [1");
        put("nameless.yaml", "instructions: x");
        let problems: Vec<_> = read_folder(folder.path(), &mut Agents::new()).into_iter().map(|p| p.message).collect();
        for part in ["bad.yaml: ", "the agent has no name", "another agent named \"critic\""] {
            assert!(problems.iter().any(|p| p.contains(part)), "{part}: {problems:?}");
        }
        assert!(!read_folder(&folder.path().join("absent"), &mut Agents::new()).is_empty());
    }
}
