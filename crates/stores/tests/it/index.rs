//! The index on SQLite: the port's suite.

use std::sync::Arc;
use tempfile::TempDir;
use tutti_engine::conformance::index;
use tutti_engine::ports::index::{Document, Filter, Index, Passage};
use tutti_engine::run::Time;
use tutti_stores::index::SqliteIndex;

#[tokio::test]
async fn the_index_on_sqlite_keeps_the_contract() {
    let mut failed = Vec::new();
    for case in index::cases() {
        let dir = TempDir::new().unwrap();
        failed.extend(case.run(Arc::new(SqliteIndex::open(dir.path()).unwrap())).await.err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test]
async fn what_is_indexed_outlives_its_process_and_forms_of_words_are_one() {
    let dir = TempDir::new().unwrap();
    let document = Document {
        id: "a".into(),
        title: "Überweisungen".into(),
        content: "Transferring money abroad costs a fee.".into(),
        metadata: serde_json::Map::new(),
        at: Time(1),
    };
    let passage = Passage { start: 0, end: 38, text: document.content.clone(), vector: None };
    SqliteIndex::open(dir.path()).unwrap().put("acme", document, vec![passage]).await.unwrap();
    let index = SqliteIndex::open(dir.path()).unwrap();
    for question in ["transfers", "uberweisungen", "What are your fees?"] {
        assert_eq!(index.by_words("acme", question, &Filter::default(), 9).await.unwrap().len(), 1, "{question}");
    }
}
