//! Documents that answers are grounded in: keep them, list them, search them.

use crate::Shared;
use crate::asked::{Asked, Id};
use crate::failure::Answer;
use crate::openapi::{Doc, Param};
use crate::routes::{json, locate, nothing};
use axum::extract::{Request, State};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Map, Value, json as value};
use std::convert::Infallible;
use tutti_app::documents::Upload;
use tutti_app::{Class, Failure, FieldError};

/// Most bytes of a file with what is said about it.
const UPLOAD_BYTES_MAX: usize = 16 << 20;
/// Most bytes of what is said about it.
const FIELD_BYTES_MAX: u64 = 64 * 1024;
/// The parts of a form.
const PARTS: [&str; 4] = ["file", "id", "title", "metadata"];

pub const PUT: Doc = Doc::new("documents", "Keep a document, or a file's text; one with the same id is replaced")
    .detail("As JSON, or as a form with a file: text, Markdown, HTML or PDF. The id of a file is its name where none is given.")
    .takes("DocumentRequest")
    .or_upload("DocumentUpload")
    .answers(201, "Kept", "Document")
    .answers(200, "Kept in the place of the one before", "Document")
    .answers(502, "The embedding provider, or the vector database, failed", "Error");

/// `POST /v1/documents`
pub async fn put(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let kept = match boundary(&asked) {
        Some(boundary) => {
            let bytes = asked.bytes(&shared, UPLOAD_BYTES_MAX).await?;
            let upload = read_form(bytes, boundary).await;
            match asked.settle(upload) {
                Ok(upload) => shared.app.put_file(&asked.caller, upload).await,
                Err(failure) => Err(failure),
            }
        }
        None => {
            let body = asked.required_body(&shared).await?;
            shared.app.put_document(&asked.caller, &body).await
        }
    };
    let (document, is_new) = asked.settle(kept)?;
    let mut response = json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &document)?;
    locate(&mut response, &format!("/v1/documents/{}", percent(&document.id)));
    Ok(response)
}

pub const LIST: Doc = Doc::new("documents", "Documents by id, without their texts")
    .params(&[Param::LIMIT, Param::CURSOR])
    .answers(200, "A page", "DocumentPage");

/// `GET /v1/documents`
pub async fn list(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let mut query = asked.query();
    let limit = query.integer("limit", 1, 200).unwrap_or(50);
    let cursor = query.text("cursor").map(String::from);
    let page = shared.app.list_documents(&asked.caller, cursor, limit).await;
    json(StatusCode::OK, &asked.settle(page)?)
}

pub const GET: Doc = Doc::new("documents", "A document with its text").params(&[Param::DOCUMENT]).answers(
    200,
    "The document",
    "Document",
);

/// `GET /v1/documents/{id}`
pub async fn get(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    json(StatusCode::OK, &shared.app.document(&asked.caller, &id).await?)
}

pub const DELETE: Doc =
    Doc::new("documents", "Delete a document").params(&[Param::DOCUMENT]).answers(204, "Deleted", "");

/// `DELETE /v1/documents/{id}`
pub async fn delete(State(shared): State<Shared>, Id(id): Id, request: Request) -> Answer {
    let asked = Asked::new(request);
    shared.app.delete_document(&asked.caller, &id).await?;
    Ok(nothing())
}

pub const SEARCH: Doc = Doc::new("documents", "The passages that answer a question, best first")
    .detail("By words, and by what they mean where an embedding model is set; `ranking` says which.")
    .takes("SearchRequest")
    .answers(200, "What was found", "SearchAnswer");

/// `POST /v1/search`
pub async fn search(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    let found = shared.app.search_documents(&asked.caller, &body).await;
    let found = asked.settle(found)?;
    let mut answer = value!({"items": found.passages, "next_cursor": null, "ranking": found.ranking});
    if let Some(note) = found.note {
        answer["note"] = note.into();
    }
    json(StatusCode::OK, &answer)
}

/// The line between the parts of a form; nothing where the body is no form.
fn boundary(asked: &Asked) -> Option<Result<String, Failure>> {
    let kind = asked.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let is_form =
        kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("multipart/form-data"));
    is_form.then(|| multer::parse_boundary(kind).map_err(|e| broken(&e)))
}

fn broken(error: &multer::Error) -> Failure {
    Failure::new(Class::BadRequest, format!("the form cannot be read: {error}"))
}

async fn read_form(bytes: Bytes, boundary: Result<String, Failure>) -> Result<Upload, Failure> {
    let limits = SizeLimit::new().per_field(FIELD_BYTES_MAX).for_field("file", UPLOAD_BYTES_MAX as u64);
    let constraints = Constraints::new().size_limit(limits);
    let body = stream::once(std::future::ready(Ok::<_, Infallible>(bytes)));
    let mut form = Multipart::with_constraints(body, boundary?, constraints);
    let (mut upload, mut file, mut wrong) = (Upload::default(), None, Vec::new());
    let mut say = |name: &str, msg: String| {
        wrong.push(FieldError::value(vec!["body".into(), name.to_owned().into()], msg));
    };
    let mut fields = Map::new();
    while let Some(part) = form.next_field().await.map_err(|e| broken(&e))? {
        let name = part.name().unwrap_or_default().to_owned();
        if !PARTS.contains(&name.as_str()) {
            let shown: String = name.chars().take(64).collect();
            say(&shown, format!("the form has no part named {shown:?}; it has: {}", PARTS.join(", ")));
        } else if fields.contains_key(&name) || (name == "file" && file.is_some()) {
            say(&name, format!("the form has more than one part named {name:?}"));
        } else if name == "file" {
            upload.file = base_name(part.file_name().unwrap_or_default());
            upload.media = part.content_type().map(ToString::to_string);
            file = Some(part.bytes().await.map_err(|e| broken(&e))?);
        } else {
            let text = part.text().await.map_err(|e| broken(&e))?;
            let read = if name == "metadata" { serde_json::from_str(&text) } else { Ok(Value::String(text)) };
            match read {
                Ok(read) => drop(fields.insert(name, read)),
                Err(e) => say(&name, format!("{name} is not JSON: {e}")),
            }
        }
    }
    if file.is_none() {
        wrong.push(FieldError {
            loc: vec!["body".into(), "file".into()],
            msg: "field required".into(),
            kind: "value_error.missing",
        });
    }
    match file.filter(|_| wrong.is_empty()) {
        Some(bytes) => Ok(Upload { bytes, fields, ..upload }),
        None => Err(Failure::invalid(wrong)),
    }
}

/// What a file is called, wherever it lay.
fn base_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().trim().to_owned()
}

/// An id as a part of an address.
fn percent(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
