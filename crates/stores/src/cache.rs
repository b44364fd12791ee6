//! The cache within one process, bounded by the bytes that it holds. What was used longest ago goes first.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Kept;
use std::time::{Duration, Instant};
use tutti_engine::ports::cache::Cache;

/// What an entry costs beside its key and its value.
const ENTRY: usize = 128;
/// Counters are small, and a flood of answers must not push them out: they have a bound of their own.
const COUNTERS_MAX: u64 = 100_000;

/// Small things by key, for one process.
pub struct LocalCache {
    values: Kept<String, Value>,
    counters: Kept<String, Counter>,
}

#[derive(Clone)]
struct Value {
    bytes: Bytes,
    ttl: Duration,
}

#[derive(Clone, Copy)]
struct Counter {
    count: u64,
    window: Duration,
}

impl LocalCache {
    /// A cache for at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let weigh =
            |key: &String, value: &Value| u32::try_from(key.len() + value.bytes.len() + ENTRY).unwrap_or(u32::MAX);
        let values = Kept::builder().max_capacity(bytes_max).weigher(weigh).expire_after(Ttl);
        let counters = Kept::builder().max_capacity(COUNTERS_MAX).expire_after(Window);
        Self {
            values: values.eviction_policy(EvictionPolicy::lru()).build(),
            counters: counters.eviction_policy(EvictionPolicy::lru()).build(),
        }
    }

    fn count(&self, key: &str, by: u64, window: Duration) -> u64 {
        let counted = self.counters.entry(key.to_owned()).and_compute_with(|found| {
            let found = found.map(moka::Entry::into_value).unwrap_or(Counter { count: 0, window });
            Op::Put(Counter { count: found.count.saturating_add(by), ..found })
        });
        counted.into_entry().map_or(by, |entry| entry.into_value().count)
    }
}

/// An entry ends as long after it was put as it was put for.
struct Ttl;

impl Expiry<String, Value> for Ttl {
    fn expire_after_create(&self, _key: &String, value: &Value, _at: Instant) -> Option<Duration> {
        Some(value.ttl)
    }

    fn expire_after_update(&self, _: &String, value: &Value, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(value.ttl)
    }
}

/// A counter ends after its first count's window, however often it is counted up.
struct Window;

impl Expiry<String, Counter> for Window {
    fn expire_after_create(&self, _key: &String, counter: &Counter, _at: Instant) -> Option<Duration> {
        Some(counter.window)
    }

    fn expire_after_update(&self, _: &String, _: &Counter, _: Instant, left: Option<Duration>) -> Option<Duration> {
        left
    }
}

fn clear<V: Clone + Send + Sync + 'static>(kept: &Kept<String, V>, prefix: &str) -> u64 {
    let found: Vec<_> = kept.iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix)).collect();
    found.iter().filter(|key| kept.remove(key.as_str()).is_some()).count() as u64
}

impl Cache for LocalCache {
    fn get(&self, key: &str) -> BoxFuture<'_, Option<Bytes>> {
        let found = self.values.get(key).map(|value| value.bytes);
        Box::pin(std::future::ready(found))
    }

    fn put(&self, key: &str, value: Bytes, ttl: Duration) -> BoxFuture<'_, ()> {
        if ttl.is_zero() {
            self.values.invalidate(key);
        } else {
            self.values.insert(key.to_owned(), Value { bytes: value, ttl });
        }
        Box::pin(std::future::ready(()))
    }

    fn remove(&self, key: &str) -> BoxFuture<'_, ()> {
        self.values.invalidate(key);
        self.counters.invalidate(key);
        Box::pin(std::future::ready(()))
    }

    fn add(&self, key: &str, by: u64, window: Duration) -> BoxFuture<'_, Option<u64>> {
        Box::pin(std::future::ready(Some(self.count(key, by, window))))
    }

    fn clear(&self, prefix: &str) -> BoxFuture<'_, Option<u64>> {
        let count = clear(&self.values, prefix) + clear(&self.counters, prefix);
        Box::pin(std::future::ready(Some(count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tutti_engine::conformance::cache;

    #[tokio::test]
    async fn the_cache_in_one_process_keeps_the_contract() {
        let mut failed = Vec::new();
        for case in cache::cases() {
            let one: Arc<dyn Cache> = Arc::new(LocalCache::new(16 << 20));
            let ran = tokio::time::timeout(Duration::from_secs(30), case.run([Arc::clone(&one), one])).await;
            failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
        }
        assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
    }

    #[tokio::test]
    async fn it_holds_no_more_bytes_than_it_may() {
        let cache = LocalCache::new(1 << 20);
        for key in 0..1_000 {
            cache.put(&format!("k{key}"), Bytes::from(vec![0; 10_000]), Duration::from_secs(60)).await;
        }
        cache.values.run_pending_tasks();
        assert!(cache.values.weighted_size() <= 1 << 20, "{}", cache.values.weighted_size());
        // The last is here, the first is not.
        assert!(cache.get("k999").await.is_some());
        assert!(cache.get("k0").await.is_none());
    }

    #[tokio::test]
    async fn answers_do_not_push_out_counters() {
        let cache = LocalCache::new(1 << 20);
        assert_eq!(cache.add("n", 1, Duration::from_secs(60)).await, Some(1));
        for key in 0..1_000 {
            cache.put(&format!("k{key}"), Bytes::from(vec![0; 10_000]), Duration::from_secs(60)).await;
        }
        cache.values.run_pending_tasks();
        cache.counters.run_pending_tasks();
        assert_eq!(cache.add("n", 1, Duration::from_secs(60)).await, Some(2));
    }
}
