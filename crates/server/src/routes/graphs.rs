//! Graphs: read, change, draw them. A graph's version is its entity tag.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, nothing, text};
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json as value;
use tutti_app::App;
use tutti_app::graphs::{Picture, Precondition};

pub const LIST: Doc = Doc::new("graphs", "Every graph, by name").answers(200, "The graphs", "GraphPage");

/// `GET /v1/graphs`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.graphs(&asked.caller).await?)
}

pub const SCHEMA: Doc = Doc::new("graphs", "The JSON Schema of a graph").answers(200, "The schema", "Object");

/// `GET /v1/graphs/schema`
pub async fn schema() -> Answer {
    json(StatusCode::OK, &App::graph_schema())
}

pub const GET: Doc = Doc::new("graphs", "A graph")
    .detail("Its version is the ETag; every version that was ever put can be read.")
    .params(&[Param::GRAPH, Param::VERSION, Param::PICTURE])
    .answers(200, "The graph, or its picture", "Graph");

/// `GET /v1/graphs/{name}`
pub async fn get(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let version = query.text("version").map(String::from);
    let picture = query.word("format", "json, mermaid, svg", read_format).flatten();
    asked.settle(Ok(()))?;
    let (app, caller) = (&shared.app, &asked.caller);
    match picture {
        None => {
            let view = app.graph(caller, &name, version.as_deref()).await?;
            tagged(json(StatusCode::OK, &view.graph)?, &view.version)
        }
        Some(picture) => Ok(drawn_as(picture, app.graph_picture(caller, &name, version.as_deref(), picture).await?)),
    }
}

pub const PUT: Doc = Doc::new("graphs", "Put a graph")
    .detail("Everything that is wrong with it is told at once. Runs that are under way keep the graph that they began with.")
    .params(&[Param::GRAPH, Param::DRY_RUN, Param::IF_MATCH])
    .takes("Graph")
    .answers(200, "Put in the place of another, or only checked", "GraphPut")
    .answers(201, "New", "GraphPut")
    .answers(412, "The graph is not what If-Match or If-None-Match expects", "Error");

/// `PUT /v1/graphs/{name}`
pub async fn put(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let dry_run = asked.query().boolean("dry_run").unwrap_or(false);
    let when = precondition(asked.headers());
    let body = asked.required_body(&shared).await?;
    let put = shared.app.put_graph(&asked.caller, &name, &body, &when, dry_run).await;
    let put = asked.settle(put)?;
    let status = if put.is_new && !dry_run { StatusCode::CREATED } else { StatusCode::OK };
    let body = value!({"name": name, "version": put.version, "notes": put.notes});
    tagged(json(status, &body)?, &put.version)
}

pub const DRAW: Doc = Doc::new("graphs", "Draw a graph that is not kept")
    .params(&[Param::PICTURE])
    .takes("Graph")
    .answers(200, "Its picture", "Object");

/// `POST /v1/graphs/draw`
pub async fn draw(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let picture = asked.query().word("format", "mermaid, svg", |word| read_format(word).flatten());
    let body = asked.required_body(&shared).await?;
    let picture = picture.unwrap_or(Picture::Svg);
    let drawn = shared.app.draw_graph(&asked.caller, &body, picture).await;
    Ok(drawn_as(picture, asked.settle(drawn)?))
}

fn read_format(word: &str) -> Option<Option<Picture>> {
    match word {
        "json" => Some(None),
        "mermaid" => Some(Some(Picture::Mermaid)),
        "svg" => Some(Some(Picture::Svg)),
        _ => None,
    }
}

fn drawn_as(picture: Picture, drawn: String) -> Response {
    text(if picture == Picture::Svg { "image/svg+xml" } else { "text/plain; charset=utf-8" }, drawn)
}

pub const DELETE: Doc = Doc::new("graphs", "Remove a graph")
    .detail("A shipped one that it stood in the place of is there again.")
    .params(&[Param::GRAPH, Param::IF_MATCH])
    .answers(204, "Removed", "")
    .answers(409, "It is shipped with the binary", "Error")
    .answers(412, "The graph is not what If-Match expects", "Error");

/// `DELETE /v1/graphs/{name}`
pub async fn delete(State(shared): State<Shared>, Id(name): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.remove_graph(&asked.caller, &name, &precondition(asked.headers())).await?;
    Ok(nothing())
}

fn tagged(mut response: Response, version: &str) -> Answer {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

fn precondition(headers: &HeaderMap) -> Precondition {
    let tags = |text: &str| {
        text.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()).collect()
    };
    Precondition {
        versions: headers.get(IF_MATCH).map(|value| tags(value.to_str().unwrap_or_default())),
        is_absent: headers.contains_key(IF_NONE_MATCH),
    }
}
