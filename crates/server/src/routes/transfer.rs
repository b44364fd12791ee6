//! What a user configured, as files, and back again.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::json;
use axum::extract::{Request, State};
use http::StatusCode;

/// Most bytes of an import: all files of a configuration come in one request, so that all are checked before one is written.
const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;

pub const EXPORT: Doc = Doc::new("transfer", "What you have configured, as files that can live in git")
    .detail("One file a thing, always written the same; without secrets. `tutti export` writes them to a folder.")
    .params(&[Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "Exported");

/// `GET /v1/export`
pub async fn export(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.export(&asked.caller, cursor.as_deref(), limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const IMPORT: Doc = Doc::new("transfer", "Make and change what files say")
    .detail(
        "Every file is checked before the first thing is written: a fault anywhere, and nothing has changed. What is as its file \
         says stays untouched; nothing is taken out. With `dry_run` nothing is written.",
    )
    .takes("ImportRequest")
    .answers(200, "What was, or would be, created and changed", "Imported");

/// `POST /v1/import`
pub async fn import(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.large_body(&shared, IMPORT_BYTES_MAX).await?;
    let imported = shared.app.import(&asked.caller, &body).await;
    json(StatusCode::OK, &asked.settle(imported)?)
}
