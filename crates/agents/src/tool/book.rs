//! Which tools a request may name: those that are built in, and those that were looked up for it.

use super::{ALL, BUILT_IN, Pin, find, unknown};
use crate::agent::AgentDefinition;
use crate::brain::What;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tutti_engine::activity::Effect;

/// Most names that are gathered from one request.
const NAMES_MAX: usize = 1_000;

/// A tool, or a set, as it was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shelved {
    /// Its tools.
    pub pins: Vec<Pin>,
    /// Agents that may call it; all where it names none.
    pub allow: Vec<String>,
}

/// Tools by the names that agents list; the built-in ones always.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolBook {
    found: BTreeMap<String, Shelved>,
}

impl ToolBook {
    /// These besides the built-in ones.
    #[must_use]
    pub fn of(found: BTreeMap<String, Shelved>) -> Self {
        Self { found }
    }

    /// Names alone, where the tools themselves are looked up later.
    pub fn names(names: impl IntoIterator<Item = String>) -> Self {
        Self { found: names.into_iter().map(|name| (name, Shelved::default())).collect() }
    }

    /// The same with tools that will be there: of them nothing is known but their names.
    #[must_use]
    pub fn with_coming<'n>(mut self, names: impl IntoIterator<Item = &'n String>) -> Self {
        let coming = |name: &str| Pin {
            name: name.into(),
            set: None,
            description: String::new(),
            parameters: Value::Null,
            effect: Effect::Idempotent,
            timeout_ms: None,
            tenant: None,
            nested: None,
        };
        for name in names {
            let shelved = || Shelved { pins: vec![coming(name)], allow: Vec::new() };
            self.found.entry(name.clone()).or_insert_with(shelved);
        }
        self
    }

    /// What is wrong with a name that an agent lists.
    ///
    /// # Errors
    /// In words: nobody bears it.
    pub fn check(&self, name: &str) -> Result<(), String> {
        if name == ALL {
            return Ok(());
        }
        let of_set = || self.found.contains_key(super::record_name(name));
        if find(name).is_some() || self.found.contains_key(name) || of_set() {
            return Ok(());
        }
        let known = BUILT_IN.iter().map(|tool| tool.name).chain(self.found.keys().map(String::as_str));
        Err(unknown(name, known))
    }

    /// Pins an agent's tools, as they are now.
    ///
    /// # Errors
    /// In words: a tool that is not there, or that this agent may not call.
    pub fn pin(&self, agent: &mut AgentDefinition) -> Result<(), String> {
        let mut pins: Vec<Pin> = Vec::new();
        for name in agent.tool_names() {
            if find(&name).is_some() {
                continue;
            }
            if name == ALL {
                let may = |shelved: &&Shelved| shelved.allow.is_empty() || shelved.allow.contains(&agent.name);
                pins.extend(self.found.values().filter(may).flat_map(|shelved| shelved.pins.iter().cloned()));
                continue;
            }
            let Some(shelved) = self.found.get(&name).filter(|shelved| !shelved.pins.is_empty()) else {
                return Err(unknown(&name, self.found.keys().map(String::as_str)));
            };
            if !shelved.allow.is_empty() && !shelved.allow.contains(&agent.name) {
                return Err(format!("tool {name:?} may be called by {} only", shelved.allow.join(", ")));
            }
            pins.extend(shelved.pins.iter().filter(|pin| !agent.pins.contains(pin)).cloned());
        }
        let mut seen = BTreeSet::new();
        pins.retain(|pin| seen.insert(pin.name.clone()));
        if !pins.is_empty() {
            agent.pins = pins;
        }
        Ok(())
    }
}

impl AgentDefinition {
    /// Every tool that it lists, those of its brain's models among them.
    #[must_use]
    pub fn tool_names(&self) -> BTreeSet<String> {
        let parts = self.brain.iter().flat_map(|brain| &brain.models).flat_map(|model| &model.parts);
        let of_brain = parts.filter_map(|part| if let What::Tool(name) = &part.what { Some(name) } else { None });
        self.tools.iter().chain(of_brain).cloned().collect()
    }
}

/// Tools that components of a `brain_config`, or an inline agent, mean, whether they exist or not.
#[must_use]
pub fn named_tools(value: &Value) -> Vec<String> {
    let listed = value["tools"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str);
    let components = value["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let components = components.iter().filter(|component| component["type"] == "tool");
    let of_brain = components.filter_map(|component| component["ref"].as_str().or(component["id"].as_str()));
    listed.chain(of_brain).take(NAMES_MAX).map(String::from).collect()
}
