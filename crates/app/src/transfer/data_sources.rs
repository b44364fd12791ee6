//! Data sources of the tenant's own.

use super::{Noun, Thing};
use crate::App;
use crate::caller::Caller;
use crate::data_sources::{DataSourceView, RECORD};
use crate::failure::Failure;
use serde_json::{Value, json};

pub(super) const NOUN: Noun = Noun {
    folder: "data-sources",
    key: "name",
    list: |app, caller, after, limit| Box::pin(list(app, caller, after, limit)),
    check: |app, caller, body, _| Box::pin(async move { Ok(thing(&app.check_data_source(caller, body).await?)) }),
    write: |app, caller, body, _| Box::pin(async move { app.put_data_source(caller, None, body).await.map(drop) }),
};

async fn list(app: &App, caller: &Caller, after: Option<String>, limit: u32) -> Result<Vec<Thing>, Failure> {
    let records = app.records().list(RECORD, &caller.tenant, after, limit).await?;
    let mut things = Vec::with_capacity(records.len());
    for record in records {
        things.push(thing(&app.data_source(caller, &record.name).await?));
    }
    Ok(things)
}

fn thing(source: &DataSourceView) -> Thing {
    let mut body = json!({"name": source.name, "kind": source.kind});
    if let Some(description) = &source.description {
        body["description"] = json!(description);
    }
    body["config"] = source.config.clone();
    // A field that is shown empty says nothing.
    if let Value::Object(config) = &mut body["config"] {
        config.retain(|_, value| !value.is_null());
    }
    Thing { name: source.name.clone(), body }
}
