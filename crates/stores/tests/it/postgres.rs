//! PostgreSQL: the port's suite on a real server, and what only a server between processes can do wrong.

mod shared;

use std::sync::Arc;
use tutti_engine::conformance::{index, records, store};
use tutti_engine::ports::index::Index;
use tutti_engine::ports::knowledge::{Article, KnowledgeBase};
use tutti_engine::ports::records::Records;
use tutti_engine::ports::store::Store;
use tutti_engine::ports::vault::Vault;
use tutti_stores::postgres::{PostgresOptions, PostgresStore};
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::skip;

async fn open(server: &Postgres, schema: &str) -> PostgresStore {
    let options =
        PostgresOptions { dsn: server.dsn(), schema: schema.into(), readers: 2, ..PostgresOptions::default() };
    PostgresStore::open(&options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let mut failed = Vec::new();
    for case in store::cases() {
        let store: Arc<dyn Store> = Arc::new(open(&server, &server.schema()).await);
        failed.extend(case.run(store).await.err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract_when_reopened() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    store::run_reopening(|| {
        let (server, schema) = (Arc::clone(&server), server.schema());
        Box::new(move || Arc::new(open_now(&server, &schema)) as Arc<dyn Store>)
    })
    .await;
}

/// Opened from a place that cannot wait.
fn open_now(server: &Arc<Postgres>, schema: &str) -> PostgresStore {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| runtime.block_on(open(server, schema)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_on_postgres_keep_the_contract() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    // The records live as long as their store.
    let stores = std::sync::Mutex::new(Vec::new());
    records::run_all(|| {
        let store = open_now(&server, &server.schema());
        let records = store.records();
        stores.lock().unwrap().push(store);
        Arc::new(records) as Arc<dyn Records>
    })
    .await;
    records::run_reopening(|| {
        let (server, schema) = (Arc::clone(&server), server.schema());
        Box::new(move || Arc::new(open_now(&server, &schema).records()) as Arc<dyn Records>)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_on_postgres_keeps_the_contract() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let has_vectors = server.psql("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'").await != "0";
    if has_vectors {
        server.psql("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public").await;
    } else {
        skip("pgvector");
    }
    let mut failed = Vec::new();
    for case in index::cases().into_iter().filter(|case| has_vectors || case.topic != "vectors") {
        let store = open(&server, &server.schema()).await;
        let index = store.index().await.unwrap();
        assert_eq!(index.knows_vectors().is_ok(), has_vectors);
        failed.extend(case.run(Arc::new(index)).await.err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn articles_are_found_by_their_words_from_every_process() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    let (one, two) = (one.articles(), two.articles());
    tokio::task::spawn_blocking(move || {
        let article = |id: &str, title: &str, content: &str| Article {
            id: id.into(),
            title: title.into(),
            content: content.into(),
        };
        let cards = article("cards", "Lost cards", "Block a lost card in the app, then order a new one.");
        let fees = article("fees", "Fees", "Transfers abroad cost a fee; a card payment does not.");
        assert_eq!(one.put(vec![cards.clone(), fees.clone()]).unwrap(), 2);
        let found = two.search("I lost my CARD & (nothing | else) !'", 5).unwrap();
        assert_eq!(found.iter().map(|f| (f.id.as_str(), f.score)).next(), Some(("cards", 1.0)));
        assert_eq!(found.len(), 2);
        assert!(two.search("the and !", 5).unwrap().is_empty());
        assert_eq!(two.list(Some("cards"), 5).unwrap(), [fees]);
        assert!(two.remove("cards").unwrap() && !one.remove("cards").unwrap());
        assert!(one.search("lost", 5).unwrap().is_empty());
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_open_in_every_process_that_has_the_key() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let (schema, dir) = (server.schema(), tempfile::tempdir().unwrap());
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    let key = "0f".repeat(32);
    let sealed = one.vault(Some(&key), dir.path()).unwrap();
    let opened = two.vault(Some(&key), dir.path()).unwrap();
    let other = two.vault(None, dir.path()).unwrap();
    assert!(one.vault(Some("short"), dir.path()).err().unwrap().contains("64 hexadecimal digits"));
    tokio::task::spawn_blocking(move || {
        sealed.put("a", "my voice is my passport").unwrap();
        assert_eq!(opened.get("a").unwrap().as_deref(), Some("my voice is my passport"));
        assert_eq!(sealed.fingerprint("x"), opened.fingerprint("x"));
        assert!(other.get("a").unwrap_err().contains("VAULT_KEY"));
        opened.remove("a").unwrap();
        assert_eq!(sealed.get("a").unwrap(), None);
    })
    .await
    .unwrap();
}
