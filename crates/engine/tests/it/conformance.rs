//! The ports in memory keep what the ports promise.

use std::sync::Arc;
use tutti_engine::conformance::store;
use tutti_engine::memory::store::MemoryStore;

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    store::run_all(|| Arc::new(MemoryStore::new())).await;
}
