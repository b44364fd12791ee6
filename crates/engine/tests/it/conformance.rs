//! The ports in memory keep what the ports promise.

use std::sync::Arc;
use tutti_engine::conformance::{records, store};
use tutti_engine::memory::records::MemoryRecords;
use tutti_engine::memory::store::MemoryStore;

#[tokio::test]
async fn the_store_in_memory_keeps_the_contract() {
    store::run_all(|| Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn records_in_memory_keep_the_contract() {
    records::run_all(|| Arc::new(MemoryRecords::new())).await;
}
