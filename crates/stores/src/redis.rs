//! Redis: words between processes, and what may be forgotten at any time. Nothing true lies here: a Redis that is away, was emptied
//! or throws things out costs time and nothing else.

mod bus;
mod cache;
mod link;

pub use cache::RedisCache;

use crate::hub::Hub;
use crate::link::Health;
use link::Link;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use tutti_engine::ports::queue::Condition;

/// Where Redis is and how this process uses it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/database`, `rediss://` with encryption.
    pub url: String,
    /// What our keys and our channel begin with: `{prefix}:…`.
    pub prefix: String,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        write!(f, "RedisOptions({})", self.prefix)
    }
}

/// One Redis, for cache and bus together: it goes down and comes back once for both.
pub struct Redis(Arc<Link>);

impl Redis {
    /// Starts to connect; whether it worked is seen in [`Redis::condition`]. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// One line: what is wrong with the address.
    pub fn start(options: &RedisOptions) -> Result<Self, String> {
        // The library's own words repeat the address, and with it a password.
        let client = redis::Client::open(options.url.as_str())
            .map_err(|e| format!("the address of Redis cannot be read ({:?}); it is redis://host:port/", e.kind()))?;
        Ok(Self(Link::start(client, options.prefix.clone())))
    }

    /// What may be forgotten at any time.
    #[must_use]
    pub fn cache(&self) -> RedisCache {
        RedisCache::new(Arc::clone(&self.0))
    }

    /// Words between processes.
    #[must_use]
    pub fn bus(&self) -> Hub {
        bus::start(&self.0)
    }

    /// How it is doing.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.0.health.condition()
    }

    /// How it is doing, and word of each change.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Condition> {
        self.0.health.news()
    }

    /// What it is, for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.health.what().to_owned()
    }

    /// What an operator should change in its settings, as a sentence, once it was looked at.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        self.0.advice()
    }
}

/// How it is doing, whatever is used of it.
fn health(client: &redis::Client) -> Arc<Health> {
    let what = format!("Redis ({})", client.get_connection_info().addr());
    Arc::new(Health::new(what, "it is done without: readers look by themselves, nothing is cached", &[link::PART]))
}
