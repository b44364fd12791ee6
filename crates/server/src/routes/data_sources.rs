//! Data sources: keep them, list them, try them.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, nothing};
use axum::extract::{Request, State};
use http::StatusCode;
use serde_json::json as value;

pub const LIST: Doc = Doc::new("data sources", "Data sources by name, without their secrets")
    .params(&[Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "DataSourcePage");

/// `GET /v1/data-sources`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.list_data_sources(&asked.caller, cursor, limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const GET: Doc = Doc::new("data sources", "A data source, without its secrets")
    .params(&[Param::DATA_SOURCE])
    .answers(200, "The source", "DataSource");

/// `GET /v1/data-sources/{name}`
pub async fn get(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.data_source(&asked.caller, &name).await?)
}

pub const CREATE: Doc = Doc::new("data sources", "Keep a data source; one of the same name is replaced")
    .detail("A secret that is sent as `***` stays as it is.")
    .takes("DataSourceRequest")
    .answers(201, "Kept", "DataSource")
    .answers(200, "Kept in the place of the one before", "DataSource");

/// `POST /v1/data-sources`
pub async fn create(State(shared): State<Shared>, request: Request) -> Answer {
    keep(&shared, None, request).await
}

pub const PUT: Doc = Doc::new("data sources", "Keep a data source under this name")
    .detail("A secret that is sent as `***` stays as it is.")
    .params(&[Param::DATA_SOURCE])
    .takes("DataSourceRequest")
    .answers(201, "Kept", "DataSource")
    .answers(200, "Kept in the place of the one before", "DataSource");

/// `PUT /v1/data-sources/{name}`
pub async fn put(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    keep(&shared, Some(&name), request).await
}

async fn keep(shared: &Shared, name: Option<&str>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(shared).await?;
    let kept = shared.app.put_data_source(&asked.caller, name, &body).await;
    let (source, is_new) = asked.settle(kept)?;
    let mut response = json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &source)?;
    locate(&mut response, &format!("/v1/data-sources/{}", source.name));
    Ok(response)
}

pub const DELETE: Doc = Doc::new("data sources", "Take a data source out")
    .params(&[Param::DATA_SOURCE])
    .answers(204, "Taken out", "")
    .answers(409, "It is the one of DATASOURCE_BASE_URL", "Error");

/// `DELETE /v1/data-sources/{name}`
pub async fn delete(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.delete_data_source(&asked.caller, &name).await?;
    Ok(nothing())
}

pub const QUERY: Doc = Doc::new("data sources", "Ask a data source, to try it")
    .detail("The body is the arguments, such as `{\"query\": \"…\"}`. An answer that does not come is told as `error`.")
    .params(&[Param::DATA_SOURCE])
    .may_take("Object")
    .answers(200, "What it answered", "DataSourceAnswer");

/// `POST /v1/data-sources/{name}/query`
pub async fn query(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.body(&shared).await?;
    let arguments = if body.is_null() { value!({}) } else { body };
    let answer = shared.app.try_data_source(&asked.caller, &name, &arguments).await;
    json(StatusCode::OK, &asked.settle(answer)?)
}
