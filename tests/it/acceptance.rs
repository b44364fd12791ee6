//! A test for every sentence of the contract that shows outside, by surface.

mod budgets;
mod chat;
mod cli;
mod data_directory;
mod data_sources;
mod documents;
mod graphs;
mod health;
mod idempotency;
mod intents;
mod memory;
mod models;
mod orchestrate;
mod protected;
mod registry;
mod runs;
mod services;
mod sessions;
mod stream;
mod tasks;
mod tickets;
mod tools;
mod transfer;
mod wrong_input;

use serde_json::{Value, json};

/// A question of a bank's customer.
pub const QUESTION: &str = "My card was charged twice for one coffee. What can I do?";

/// An agent of a team; with a model, where it matters which.
pub fn agent(name: &str, model: Option<&str>) -> Value {
    let mut agent = json!({"name": name, "instructions": format!("You are {name}. Answer briefly.")});
    if let Some(model) = model {
        agent["model"] = model.into();
    }
    agent
}

/// A team of three on the default model, asked [`QUESTION`].
pub fn three(pattern: &str) -> Value {
    let team = ["facts", "policy", "writer"].map(|name| agent(name, None));
    json!({"pattern": pattern, "input": QUESTION, "agents": team})
}

/// A team whose members use these models, asked [`QUESTION`]; they are called `a`, `b`, `c`…
pub fn on_models(pattern: &str, models: &[&str]) -> Value {
    let name = |n: usize| char::from(b'a' + u8::try_from(n).unwrap()).to_string();
    let team: Vec<_> = models.iter().enumerate().map(|(n, model)| agent(&name(n), Some(model))).collect();
    json!({"pattern": pattern, "input": QUESTION, "agents": team})
}

/// The body of `POST /v1/runs` for a pattern's request.
pub fn as_run(request: &Value) -> Value {
    let mut input = request.clone();
    let pattern = input.as_object_mut().and_then(|fields| fields.remove("pattern"));
    json!({"workflow": pattern, "input": input})
}

/// A text of an answer.
#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
