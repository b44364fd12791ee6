//! Documents, as texts.

use super::{Noun, Thing};
use crate::App;
use crate::caller::Caller;
use crate::documents::{DocumentView, library};
use crate::failure::Failure;
use serde_json::{Value, json};

pub(super) const NOUN: Noun = Noun {
    folder: "documents",
    key: "id",
    list: |app, caller, after, limit| Box::pin(list(app, caller, after, limit)),
    check: |app, _, body, _| Box::pin(async move { Ok(thing(&app.check_document(body)?)) }),
    write: |app, caller, body, _| Box::pin(async move { app.put_document(caller, body).await.map(drop) }),
};

async fn list(app: &App, caller: &Caller, after: Option<String>, limit: u32) -> Result<Vec<Thing>, Failure> {
    let listed = library()?.index.list(&caller.tenant, after, limit).await?;
    let mut things = Vec::with_capacity(listed.len());
    for document in listed {
        things.push(thing(&app.document(caller, &document.id).await?));
    }
    Ok(things)
}

fn thing(document: &DocumentView) -> Thing {
    let mut body = json!({"id": document.id, "title": document.title});
    if !document.metadata.is_empty() {
        body["metadata"] = Value::Object(document.metadata.clone());
    }
    body["content"] = json!(document.content);
    Thing { name: document.id.clone(), body }
}
