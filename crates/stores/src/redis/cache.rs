//! The cache over Redis. Whatever goes wrong is a miss.

use crate::redis::link::Link;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::cmd;
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::ports::cache::Cache;

/// Keys looked at in one step of clearing.
const PAGE: usize = 1_000;
/// Counts, and sets the end with the first count. A script, because a count without an end would last for ever, and because older
/// servers know no `NX` here.
const ADD: &str = "local n = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n";

/// Small things by key, shared by all processes that use the same Redis and prefix.
pub struct RedisCache {
    link: Arc<Link>,
}

impl RedisCache {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    fn key(&self, key: &str) -> String {
        format!("{}:{key}", self.link.prefix)
    }

    async fn drop_key(&self, key: &str) {
        self.link.ask::<()>(cmd("UNLINK").arg(self.key(key))).await;
    }

    async fn clear_all(&self, prefix: &str) -> Option<u64> {
        let pattern = format!("{}*", literally(&self.key(prefix)));
        let (mut cursor, mut count) = (0_u64, 0);
        loop {
            let step = self.link.ask(cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE)).await;
            let (next, keys): (u64, Vec<Vec<u8>>) = step?;
            if !keys.is_empty() {
                count += self.link.ask::<u64>(cmd("UNLINK").arg(keys)).await?;
            }
            if next == 0 {
                return Some(count);
            }
            cursor = next;
        }
    }
}

/// A text as a pattern that only it matches.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn ms(time: Duration) -> u64 {
    // Redis refuses more than its clock can hold.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}

impl Cache for RedisCache {
    fn get(&self, key: &str) -> BoxFuture<'_, Option<Bytes>> {
        let command = cmd("GET").arg(self.key(key)).clone();
        Box::pin(async move { self.link.ask::<Option<Vec<u8>>>(&command).await.flatten().map(Bytes::from) })
    }

    fn put(&self, key: &str, value: Bytes, ttl: Duration) -> BoxFuture<'_, ()> {
        let key = key.to_owned();
        Box::pin(async move {
            match ms(ttl) {
                0 => self.drop_key(&key).await,
                ms => {
                    let set = cmd("SET").arg(self.key(&key)).arg(&value[..]).arg("PX").arg(ms).clone();
                    self.link.ask::<()>(&set).await;
                }
            }
        })
    }

    fn remove(&self, key: &str) -> BoxFuture<'_, ()> {
        let key = key.to_owned();
        Box::pin(async move { self.drop_key(&key).await })
    }

    fn add(&self, key: &str, by: u64, window: Duration) -> BoxFuture<'_, Option<u64>> {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        let command = cmd("EVAL").arg(ADD).arg(1).arg(self.key(key)).arg(by).arg(ms(window)).clone();
        Box::pin(async move { self.link.ask(&command).await })
    }

    fn clear(&self, prefix: &str) -> BoxFuture<'_, Option<u64>> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.clear_all(&prefix).await })
    }
}
