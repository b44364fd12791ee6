//! PostgreSQL: the port's suite on a real server, and what only a server between processes can do wrong.

use std::sync::Arc;
use tutti_engine::conformance::store;
use tutti_engine::ports::store::Store;
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
        Box::new(move || {
            let runtime = tokio::runtime::Handle::current();
            let opened = tokio::task::block_in_place(|| runtime.block_on(open(&server, &schema)));
            Arc::new(opened) as Arc<dyn Store>
        })
    })
    .await;
}
