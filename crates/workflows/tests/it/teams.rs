//! Teams for tests, and a model that answers them.

use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_agents::model::ProviderRef;
use tutti_agents::team::Asking;
use tutti_engine::Registry;
use tutti_engine::activity::{ActivityError, Outcome, Retry};
use tutti_engine::run::Submit;
use tutti_engine::shard::wire::Spawn;
use tutti_workflows::{noop, patterns};

/// Every shipped workflow.
pub fn registry() -> Registry {
    let retry = Retry { tries_max: 30, first_ms: 10, cap_ms: 100 };
    let asking = Asking { provider: ProviderRef::default(), retry, timeout: Duration::from_secs(5) };
    noop::register(patterns::register(Registry::new(), &asking))
}

/// A team of three under a pattern.
pub fn team(pattern: &str, options: &Value) -> Submit {
    let agents: Vec<_> = ["facts", "policy", "writer"]
        .map(|name| json!({"name": name, "instructions": format!("You are {name}.")}))
        .to_vec();
    let input = json!({"input": "My card was charged twice.", "agents": agents, "options": options});
    Submit::new(pattern, Bytes::from(input.to_string()))
}

/// Answers with what it was asked last; now and then the line is busy, and one agent may be out for good.
pub fn answer(spawn: &Spawn, dice: u64, broken: Option<&str>) -> Outcome {
    let args: Value = serde_json::from_slice(&spawn.request.args).unwrap();
    let messages = args["request"]["messages"].as_array().unwrap();
    let who = messages[0]["content"].as_str().unwrap();
    if broken.is_some_and(|name| who.contains(name)) {
        return Err(ActivityError::fatal("LlmError", "this model is gone"));
    }
    if dice.is_multiple_of(8) {
        return Err(ActivityError::retry("LlmError", "the line was busy"));
    }
    let last = messages.last().unwrap()["content"].as_str().unwrap();
    let text = format!("{who} I read: {}", last.lines().last().unwrap());
    let usage = json!({"input_tokens": 10, "output_tokens": 5, "estimated": false});
    Ok(json!({"text": text, "model": "sim", "finish": "stop", "usage": usage}).to_string().into())
}
