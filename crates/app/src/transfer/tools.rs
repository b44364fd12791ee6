//! Registered tools; those of the operator's file and the built-in ones are no configuration of the tenant's.

use super::{HIDDEN, Noun, Thing};
use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use serde_json::{Map, Value, json};
use tutti_agents::tool::Definition;
use tutti_agents::tool::shelf::TOOL;

pub(super) const FOLDER: &str = "tools";

pub(super) const NOUN: Noun = Noun {
    folder: FOLDER,
    key: "name",
    list: |app, caller, after, limit| Box::pin(list(app, caller, after, limit)),
    check: |app, caller, body, _| Box::pin(async move { Ok(thing(&app.check_tool(caller, body).await?)) }),
    write: |app, caller, body, _| Box::pin(async move { app.register_tool(caller, body).await.map(drop) }),
};

async fn list(app: &App, caller: &Caller, after: Option<String>, limit: u32) -> Result<Vec<Thing>, Failure> {
    let records = app.records().list(TOOL, &caller.tenant, after, limit).await?;
    let read = |body: &[u8], name: &str| -> Result<Thing, Failure> {
        let tool: Definition = serde_json::from_slice(body)
            .map_err(|e| Failure::internal(format!("the record of tool {name:?} cannot be read: {e}")))?;
        Ok(thing(&tool))
    };
    records.iter().map(|record| read(&record.body, &record.name)).collect()
}

/// A tool as it may be registered again: secrets, and documents that were given with it, are hidden.
fn thing(tool: &Definition) -> Thing {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.into(), value));
    put("name", json!(tool.name));
    put("kind", json!(tool.kind()));
    if !tool.description.is_empty() {
        put("description", json!(tool.description));
    }
    if tool.has_own_parameters() {
        put("parameters", tool.parameters.clone());
    }
    let mut config = tool.config();
    if config["document"] == tutti_agents::tool::GIVEN {
        config["document"] = json!(HIDDEN);
    }
    put("config", config);
    if let Some(effect) = tool.effect {
        put("effect", json!(effect));
    }
    if let Some(ms) = tool.timeout_ms {
        #[expect(clippy::cast_precision_loss, reason = "at most an hour of milliseconds")]
        let seconds = ms as f64 / 1_000.0;
        put("timeout_seconds", json!(seconds));
    }
    if !tool.allow.is_empty() {
        put("allow", json!(tool.allow));
    }
    Thing { name: tool.name.clone(), body: Value::Object(body) }
}
