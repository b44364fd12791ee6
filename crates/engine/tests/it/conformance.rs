//! The ports in memory keep what the ports promise.

use std::sync::Arc;
use std::time::Duration;
use tutti_engine::conformance::{index, queue, records, store};
use tutti_engine::memory::index::MemoryIndex;
use tutti_engine::memory::queue::MemoryQueue;
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

#[tokio::test]
async fn the_index_in_memory_keeps_the_contract() {
    for case in index::cases() {
        assert_eq!(case.run(Arc::new(MemoryIndex::new())).await, Ok(()));
    }
}

#[tokio::test]
async fn the_queue_in_memory_keeps_the_contract() {
    for case in queue::cases() {
        let one = MemoryQueue::new();
        let ran =
            tokio::time::timeout(Duration::from_secs(30), case.run([Arc::new(one.another()), Arc::new(one)])).await;
        assert_eq!(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))), Ok(()));
    }
}
