//! Documents in, passages out, on an index in memory.

use super::*;
use serde_json::Map;
use tutti_engine::memory::index::MemoryIndex;
use tutti_engine::memory::outbound::NoOutbound;

fn library(embedder: Option<Embedder>) -> Library {
    let (index, outbound) = (Arc::new(MemoryIndex::new()), Arc::new(NoOutbound));
    Library { index, outbound, cache: None, embedder, qdrant: None, pdfs: None }
}

fn document(id: &str, title: &str, content: &str) -> Document {
    Document { id: id.into(), title: title.into(), content: content.into(), metadata: Map::new(), at: Time(0) }
}

fn ask(query: &str, limit: u32) -> Retrieve {
    Retrieve { tenant: "acme".into(), query: query.into(), limit, filter: Filter::default() }
}

#[tokio::test]
async fn a_question_finds_the_passage_and_where_it_stands() {
    let library = library(None);
    let cx = library.context(tutti_engine::run::Owner::local(), Time(0), Time(1_000), None);
    let text = "# Cards\n\nBlock a lost card in the app.\n\n# Fees\n\nTransfers abroad cost a fee.";
    let (passages, is_new) = library.put(&cx, "acme", document("help", "Help", text)).await.unwrap();
    assert!(passages == 1 && is_new);
    assert!(!library.put(&cx, "acme", document("help", "Help", text)).await.unwrap().1);
    let found = library.search(&cx, &ask("lost card", 3)).await.unwrap();
    assert_eq!((found.passages.len(), found.ranking, found.note), (1, Ranking::Words, None));
    let Passage { document_id, score, start, end, passage, .. } = &found.passages[0];
    assert_eq!((document_id.as_str(), *score, *start as usize, *end as usize), ("help", 1.0, 0, text.len()));
    assert_eq!(passage, text);
    assert!(library.delete(&cx, "acme", "help").await.unwrap());
    assert!(!library.delete(&cx, "acme", "help").await.unwrap());
    assert!(library.search(&cx, &ask("lost card", 3)).await.unwrap().passages.is_empty());
}

#[tokio::test]
async fn without_the_embedding_provider_words_have_to_do_and_nothing_new_is_kept() {
    let embedder = Embedder { base_url: "http://embeddings.invalid/v1".into(), api_key: None, model: "m".into() };
    let plain = library(None);
    let cx = plain.context(tutti_engine::run::Owner::local(), Time(0), Time(1_000), None);
    plain.put(&cx, "acme", document("a", "A", "A lost card.")).await.unwrap();
    let library = Library { embedder: Some(embedder), ..plain };
    let found = library.search(&cx, &ask("lost card", 3)).await.unwrap();
    assert_eq!((found.passages.len(), found.ranking), (1, Ranking::Words));
    assert!(found.note.unwrap().contains("the embedding provider failed"));
    let refused = library.put(&cx, "acme", document("b", "B", "A found card.")).await.unwrap_err();
    assert!(matches!(refused, Problem::Upstream(error) if error.class == "LlmError"));
    assert_eq!(library.index.list("acme", None, 9).await.unwrap().len(), 1);
}
