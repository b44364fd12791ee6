//! Registered agents. Where one stands in its life, and where the hooks have put it, is no configuration.

use super::{Noun, Thing, Together, tools};
use crate::App;
use crate::caller::Caller;
use crate::failure::Failure;
use serde_json::{Map, Value, json};
use tutti_agents::registry::{AGENT, Agent};

pub(super) const FOLDER: &str = "agents";

pub(super) const NOUN: Noun = Noun {
    folder: FOLDER,
    key: "agent_id",
    list: |app, caller, after, limit| Box::pin(list(app, caller, after, limit)),
    check: |app, caller, body, together| Box::pin(async move { Ok(thing(&read(app, caller, body, together).await?)) }),
    write: |app, caller, body, together| Box::pin(write(app, caller, body, together)),
};

async fn list(app: &App, caller: &Caller, after: Option<String>, limit: u32) -> Result<Vec<Thing>, Failure> {
    let records = app.records().list(AGENT, &caller.tenant, after, limit).await?;
    let read = |body: &[u8], name: &str| -> Result<Thing, Failure> {
        let agent: Agent = serde_json::from_slice(body)
            .map_err(|e| Failure::internal(format!("the record of agent {name:?} cannot be read: {e}")))?;
        Ok(thing(&agent))
    };
    records.iter().map(|record| read(&record.body, &record.name)).collect()
}

/// A registration as it may be sent again: what is absent or empty is left out.
fn thing(agent: &Agent) -> Thing {
    let mut all = agent.registration();
    all["description"] = json!(agent.description);
    all["routes"] = json!(agent.routes);
    const ORDER: [&str; 12] = [
        "agent_id",
        "agent_name",
        "domain",
        "description",
        "capabilities",
        "protocol",
        "endpoint",
        "instances",
        "max_sessions",
        "routes",
        "deployment_id",
        "brain_config",
    ];
    let says = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    let fields = ORDER.into_iter().filter(|name| says(&all[*name]));
    let body: Map<String, Value> = fields.map(|name| (name.to_owned(), all[name].clone())).collect();
    Thing { name: agent.agent_id.clone(), body: Value::Object(body) }
}

async fn read(app: &App, caller: &Caller, body: &Value, together: &Together) -> Result<Agent, Failure> {
    app.read_agent(caller, body, together.of(FOLDER), together.of(tools::FOLDER)).await
}

async fn write(app: &App, caller: &Caller, body: &Value, together: &Together) -> Result<(), Failure> {
    let draft = read(app, caller, body, together).await?;
    app.keep_registration(caller, draft).await?;
    Ok(())
}
