//! Graphs of the tenant's own; shipped ones come with the binary.

use super::{Noun, Thing, Together, agents, tools};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::graphs::{Coming, GRAPH, Stored};
use crate::{App, Role};
use serde_json::Value;

const FOLDER: &str = "graphs";

pub(super) const NOUN: Noun = Noun {
    folder: FOLDER,
    key: "name",
    list: |app, caller, after, limit| Box::pin(list(app, caller, after, limit)),
    check: |app, caller, body, together| Box::pin(check(app, caller, body, together)),
    write: |app, caller, body, _| Box::pin(write(app, caller, body)),
};

async fn list(app: &App, caller: &Caller, after: Option<String>, limit: u32) -> Result<Vec<Thing>, Failure> {
    let records = app.records().list(GRAPH, &caller.tenant, after, limit).await?;
    let read = |body: &[u8], name: &str| -> Result<Thing, Failure> {
        let stored: Stored = serde_json::from_slice(body)
            .map_err(|e| Failure::internal(format!("the record of graph {name:?} cannot be read: {e}")))?;
        Ok(Thing { name: name.to_owned(), body: stored.graph })
    };
    records.iter().map(|record| read(&record.body, &record.name)).collect()
}

async fn check(app: &App, caller: &Caller, body: &Value, together: &Together) -> Result<Thing, Failure> {
    let names = |folder: &str| together.of(folder).cloned().collect();
    let coming = Coming { agents: names(agents::FOLDER), tools: names(tools::FOLDER), graphs: names(FOLDER) };
    let read = app.read_graph_with(caller, body, &coming).await?;
    Ok(Thing { name: read.graph.name, body: body.clone() })
}

async fn write(app: &App, caller: &Caller, body: &Value) -> Result<(), Failure> {
    caller.must_hold(Role::Admin)?;
    let name = body["name"].as_str().unwrap_or_default();
    // It was checked with all that comes with it, some of which may be written after it.
    app.keep_graph(caller, name, body.clone()).await
}
