//! What may be forgotten at any time: answers that would be the same again, and counters of the last minutes. Losing it costs time.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Small things by key, for a while. Errors are misses; whoever asks goes on without.
pub trait Cache: Send + Sync {
    /// What is kept under a key.
    fn get(&self, key: &str) -> BoxFuture<'_, Option<Bytes>>;
    /// Keeps something for at most `ttl`.
    fn put(&self, key: &str, value: Bytes, ttl: Duration) -> BoxFuture<'_, ()>;
    /// Forgets what is kept under a key.
    fn remove(&self, key: &str) -> BoxFuture<'_, ()>;
    /// Adds to a counter and answers what it is now; `None` where nobody counts. It is forgotten `window` after its first count.
    fn add(&self, key: &str, by: u64, window: Duration) -> BoxFuture<'_, Option<u64>>;
    /// Forgets everything whose key begins so; answers how many, where that is known.
    fn clear(&self, prefix: &str) -> BoxFuture<'_, Option<u64>>;
}
