//! The ticket knowledge base: search it, list it, fill it.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, nothing};
use axum::extract::{Request, State};
use http::StatusCode;
use serde_json::json as value;

pub const LIST: Doc = Doc::new("articles", "What the ticket knowledge base finds, or all it holds")
    .params(&[Param::QUERY, Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "ArticlePage");

/// `GET /api/articles`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let text = query.text("query").map(String::from);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.articles(text, cursor, limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const PUT: Doc = Doc::new("articles", "Keep articles; one with the same id is replaced")
    .takes("ArticlesRequest")
    .answers(200, "Kept", "Object")
    .answers(409, "The articles are those of a folder", "Error");

/// `PUT /api/articles`
pub async fn put(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    let kept = shared.app.put_articles(&asked.caller, &body).await;
    json(StatusCode::OK, &value!({ "imported": asked.settle(kept)? }))
}

pub const DELETE: Doc = Doc::new("articles", "Remove an article").params(&[Param::ARTICLE]).answers(204, "Removed", "");

/// `DELETE /api/articles/{id}`
pub async fn delete(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.remove_article(&asked.caller, id).await?;
    Ok(nothing())
}
