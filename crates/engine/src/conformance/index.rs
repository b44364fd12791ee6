//! The suite of the [`Index`] port.

mod vectors;
mod words;

use super::Case;
use crate::ports::index::{Document, Filter, Hit, Index, Passage, Stored};
use crate::ports::store::Read;
use crate::run::Time;
use serde_json::{Map, Value};
use std::sync::Arc;

/// An empty index.
pub type Empty = Arc<dyn Index>;

/// Every case. Those of the topic `vectors` are for indexes that know vectors.
#[must_use]
pub fn cases() -> Vec<Case<Empty>> {
    [words::cases(), vectors::cases()].concat()
}

async fn good<T>(read: Read<T>) -> T {
    read.await.unwrap_or_else(|e| panic!("it failed: {e}"))
}

fn document(id: &str, title: &str, content: &str) -> Document {
    let at = Time(1_700_000_000_000);
    Document { id: id.into(), title: title.into(), content: content.into(), metadata: Map::new(), at }
}

fn tagged(mut document: Document, metadata: Value) -> Document {
    document.metadata = metadata.as_object().cloned().unwrap_or_default();
    document
}

/// Every line of the content is a passage.
fn lines(document: &Document) -> Vec<Passage> {
    let mut start = 0;
    let passage = |line: &str| {
        let end = start + u32::try_from(line.chars().count()).unwrap_or(0);
        let passage = Passage { start, end, text: line.to_owned(), vector: None };
        start = end + 1;
        passage
    };
    document.content.split('\n').map(passage).collect()
}

async fn put(index: &Empty, tenant: &str, document: Document) -> Stored {
    let passages = lines(&document);
    good(index.put(tenant, document, passages)).await
}

async fn search(index: &Empty, tenant: &str, question: &str) -> Vec<Hit> {
    good(index.by_words(tenant, question, &Filter::default(), 10)).await
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.document.as_str()).collect()
}

fn texts(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.text.as_str()).collect()
}
