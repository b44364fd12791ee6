//! `documents`: what answers are grounded in; kept, listed, searched.

use crate::failure::Failure;
use crate::runs::Page;
use crate::{App, Caller, Class, FieldError, Role, Stamp, cursor};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tutti_agents::form::{Errors, Field, Form};
use tutti_agents::grounding::{
    self, CONTENT_CHARS_MAX, Document, Filter, Found, Kind, Library, Listed, Problem, Retrieve,
};
use tutti_engine::activity::ActivityCx;
use tutti_engine::run::Time;
use uuid::Uuid;

const LIST: &str = "documents";
const ID_CHARS_MAX: usize = 200;
const TITLE_CHARS_MAX: usize = 500;
const QUERY_CHARS_MAX: usize = 10_000;
/// Most bytes of metadata, as JSON.
const METADATA_BYTES_MAX: usize = 16 * 1024;
/// Most passages of an answer, and how many where nobody says.
const PASSAGES_MAX: i64 = 50;
const PASSAGES: u32 = 5;
/// How long reading and embedding a document, or a question, may take.
const TIME_MAX_MS: i64 = 120_000;

/// A document as it is shown.
#[derive(Debug, Serialize)]
pub struct DocumentView {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What else is known of it.
    pub metadata: Map<String, Value>,
    /// Characters of its text.
    pub chars: u32,
    /// Passages that can be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<u32>,
    /// Its text; only where one document is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// When it was written.
    pub updated_at: Stamp,
}

/// A file that somebody sent, with what was said about it.
#[derive(Debug, Default)]
pub struct Upload {
    /// Its name there; never a path here.
    pub file: String,
    /// Its media type, as its sender says.
    pub media: Option<String>,
    /// What is in it.
    pub bytes: Bytes,
    /// `id`, `title` and `metadata`, where they were said.
    pub fields: Map<String, Value>,
}

/// What the fields of a document say.
struct Draft {
    id: Option<String>,
    title: Option<String>,
    content: Option<String>,
    metadata: Map<String, Value>,
}

impl App {
    /// Keeps `{id?, title, content, metadata?}`, in the place of the document with this id; says whether it is new.
    ///
    /// # Errors
    /// Every wrong field at once; or nobody says what the text means.
    pub async fn put_document(&self, caller: &Caller, body: &Value) -> Result<(DocumentView, bool), Failure> {
        caller.must_hold(Role::Operator)?;
        let errors = Errors::default();
        let read = Form::body(body, &errors).map(|form| {
            form.field("title").require();
            form.field("content").require();
            read_draft(&form)
        });
        let draft = errors.or(read).map_err(Failure::invalid)?;
        self.keep_document(caller, draft).await
    }

    /// A document as [`put_document`](Self::put_document) would keep it; one with an id.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub(crate) fn check_document(&self, body: &Value) -> Result<DocumentView, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).map(|form| {
            for name in ["id", "title", "content"] {
                form.field(name).require();
            }
            read_draft(&form)
        });
        let Draft { id, title, content, metadata } = errors.or(read).map_err(Failure::invalid)?;
        let (id, title, content) = (id.unwrap_or_default(), title.unwrap_or_default(), content.unwrap_or_default());
        Ok(view(Document { id, title, content, metadata, at: self.engine().now() }))
    }

    /// Keeps the text of a file. Its id is its name where nobody says another, so the same file again takes its own place.
    ///
    /// # Errors
    /// Every wrong field at once; the file is not of a kind that can be read, or is broken.
    pub async fn put_file(&self, caller: &Caller, upload: Upload) -> Result<(DocumentView, bool), Failure> {
        caller.must_hold(Role::Operator)?;
        let Upload { file, media, bytes, fields } = upload;
        let errors = Errors::default();
        let fields = Value::Object(fields);
        let draft = Form::body(&fields, &errors).map(|form| read_draft(&form));
        let wrong = |why: String| FieldError::value(vec!["body".into(), "file".into()], why);
        let kind = Kind::of(&file, media.as_deref()).map_err(|why| errors.push(wrong(why))).ok();
        let (draft, kind) = errors.or(draft.zip(kind)).map_err(Failure::invalid)?;
        let text = library()?.read(kind, bytes).await;
        let text = text.map_err(|why| Failure::invalid(vec![wrong(format!("{}: {why}", shown(&file)))]))?;
        let is_too_long = text.text.chars().nth(CONTENT_CHARS_MAX).is_some();
        let fault = match text.text.trim() {
            "" => Some("there is no text in it".to_owned()),
            _ if is_too_long => Some(format!("its text has more than {CONTENT_CHARS_MAX} characters")),
            _ => None,
        };
        if let Some(why) = fault {
            return Err(Failure::invalid(vec![wrong(format!("{}: {why}", shown(&file)))]));
        }
        let title = draft.title.or(text.title).unwrap_or_else(|| file.clone());
        let id = draft.id.or_else(|| Some(file).filter(|file| is_id(file)));
        let title = title.chars().take(TITLE_CHARS_MAX).collect();
        self.keep_document(caller, Draft { id, title: Some(title), content: Some(text.text), ..draft }).await
    }

    async fn keep_document(&self, caller: &Caller, draft: Draft) -> Result<(DocumentView, bool), Failure> {
        let (library, now) = (library()?, self.engine().now());
        let Draft { id, title, content, metadata } = draft;
        let id = id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let (title, content) = (title.unwrap_or_default(), content.unwrap_or_default());
        let document = Document { id, title, content, metadata, at: now };
        let mut view = view(document.clone());
        view.content = None;
        let cx = context(&library, caller, now);
        let (passages, is_new) = library.put(&cx, &caller.tenant, document).await?;
        view.passages = u32::try_from(passages).ok();
        Ok((view, is_new))
    }

    /// A page of the tenant's documents, by id.
    ///
    /// # Errors
    /// A cursor that no page gave.
    pub async fn list_documents(
        &self,
        caller: &Caller,
        cursor: Option<String>,
        limit: u32,
    ) -> Result<Page<DocumentView>, Failure> {
        let after = cursor.as_deref().map(|text| cursor::read_name(LIST, text)).transpose()?;
        let limit = limit.clamp(1, 200);
        let mut found = library()?.index.list(&caller.tenant, after, limit + 1).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next_cursor = found.last().filter(|_| has_more).map(|last| cursor::write_name(LIST, &last.id));
        let item = |Listed { id, title, metadata, at, chars, passages }: Listed| {
            let (passages, updated_at) = (Some(passages), Stamp(at));
            DocumentView { id, title, metadata, chars, passages, content: None, updated_at }
        };
        Ok(Page { items: found.into_iter().map(item).collect(), next_cursor })
    }

    /// A document with its text.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn document(&self, caller: &Caller, id: &str) -> Result<DocumentView, Failure> {
        library()?.index.get(&caller.tenant, id).await?.map(view).ok_or_else(unknown)
    }

    /// Deletes a document; it is found no more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_document(&self, caller: &Caller, id: &str) -> Result<(), Failure> {
        caller.must_hold(Role::Operator)?;
        let library = library()?;
        let cx = context(&library, caller, self.engine().now());
        if library.delete(&cx, &caller.tenant, id).await? { Ok(()) } else { Err(unknown()) }
    }

    /// The passages that answer `{query, limit?, documents?, metadata?}`, best first.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub async fn search_documents(&self, caller: &Caller, body: &Value) -> Result<Found, Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| {
            let query = form.field("query").required().text(QUERY_CHARS_MAX).map(String::from);
            let limit = form.field("limit").integer(1, PASSAGES_MAX).and_then(|n| u32::try_from(n).ok());
            let list = form.field("documents").list(200);
            let documents =
                list.iter().flat_map(|list| list.items().filter_map(|item| read_id(&item)).collect::<Vec<_>>());
            let documents: Vec<String> = documents.collect();
            let filter = Filter { documents, metadata: read_wanted(&form.field("metadata")) };
            Some(Retrieve {
                tenant: caller.tenant.to_string(),
                query: query?,
                limit: limit.unwrap_or(PASSAGES),
                filter,
            })
        });
        let asked = errors.or(read).map_err(Failure::invalid)?;
        let library = library()?;
        let cx = context(&library, caller, self.engine().now());
        Ok(library.search(&cx, &asked).await?)
    }
}

pub(crate) fn library() -> Result<Library, Failure> {
    grounding::installed().ok_or_else(|| Failure::internal("there is no library"))
}

fn context(library: &Library, caller: &Caller, now: Time) -> ActivityCx {
    library.context(caller.owner(), now, Time(now.0 + TIME_MAX_MS), caller.traceparent.clone())
}

fn unknown() -> Failure {
    Failure::not_found("there is no such document")
}

fn shown(file: &str) -> String {
    format!("{:?}", file.chars().take(100).collect::<String>())
}

fn view(document: Document) -> DocumentView {
    let Document { id, title, content, metadata, at } = document;
    let chars = u32::try_from(content.chars().count()).unwrap_or(u32::MAX);
    DocumentView { id, title, metadata, chars, passages: None, content: Some(content), updated_at: Stamp(at) }
}

fn is_id(text: &str) -> bool {
    let fits = !text.trim().is_empty() && text.trim() == text && text.chars().count() <= ID_CHARS_MAX;
    fits && !text.chars().any(char::is_control)
}

fn read_id(field: &Field<'_, '_>) -> Option<String> {
    let id = field.text(ID_CHARS_MAX)?;
    if !is_id(id) {
        field.fail("id must not hold control characters, nor begin or end with white space");
    }
    Some(id.to_owned())
}

fn read_draft(form: &Form<'_>) -> Draft {
    Draft {
        id: Some(form.field("id")).filter(Field::is_present).and_then(|field| read_id(&field)),
        title: form.field("title").text(TITLE_CHARS_MAX).map(String::from),
        content: form.field("content").text(CONTENT_CHARS_MAX).map(String::from),
        metadata: read_metadata(&form.field("metadata")),
    }
}

fn read_metadata(field: &Field<'_, '_>) -> Map<String, Value> {
    let Some(_) = field.form() else { return Map::new() };
    let metadata = field.value().and_then(Value::as_object).cloned().unwrap_or_default();
    if serde_json::to_vec(&metadata).map_or(0, |json| json.len()) > METADATA_BYTES_MAX {
        field.fail(format!("metadata must have at most {METADATA_BYTES_MAX} bytes as JSON"));
    }
    metadata
}

/// What documents have to say of themselves: texts by name.
fn read_wanted(field: &Field<'_, '_>) -> BTreeMap<String, String> {
    let Some(form) = field.form() else { return BTreeMap::new() };
    let pair = |key: &str| Some((key.to_owned(), form.entry(key).required().string()?.to_owned()));
    form.keys().filter_map(pair).collect()
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Store(error) => error.into(),
            Problem::Upstream(error) => {
                let class = if error.class == "LlmError" { Class::LlmError } else { Class::DataError };
                Self::new(class, error.message)
            }
        }
    }
}
