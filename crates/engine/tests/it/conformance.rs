//! The ports in memory keep what the ports promise.

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::conformance::{Case, index, jobs, queue, records, store};
use tutti_engine::driver::SystemClock;
use tutti_engine::memory::index::MemoryIndex;
use tutti_engine::memory::jobs::{MemoryJobs, MemoryWorkers};
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
    all(queue::cases(), || {
        let one = MemoryQueue::new();
        [Arc::new(one.another()), Arc::new(one)]
    })
    .await;
}

#[tokio::test]
async fn jobs_in_memory_keep_the_contract() {
    all(jobs::cases(), || {
        let one = MemoryJobs::new(Arc::new(SystemClock::default()));
        let workers = Arc::new(Workers(one.workers()));
        jobs::Trial { ends: [Arc::new(one.another()), Arc::new(one)], workers }
    })
    .await;
}

async fn all<T>(cases: &[Case<T>], on: impl Fn() -> T) {
    for case in cases {
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run(on())).await;
        assert_eq!(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))), Ok(()));
    }
}

struct Workers(MemoryWorkers);

impl jobs::Workers for Workers {
    fn take<'a>(&'a self, agent_id: &'a str) -> BoxFuture<'a, Bytes> {
        Box::pin(self.0.take(agent_id))
    }
    fn waiting<'a>(&'a self, agent_id: &'a str) -> BoxFuture<'a, usize> {
        Box::pin(ready(self.0.waiting(agent_id)))
    }
    fn reply<'a>(&'a self, _: &'a str, body: &'static [u8]) -> BoxFuture<'a, ()> {
        self.0.reply(body.into());
        Box::pin(ready(()))
    }
    fn aside(&self) -> BoxFuture<'_, Bytes> {
        Box::pin(self.0.aside())
    }
}
