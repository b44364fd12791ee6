//! Where runs are kept, and what processes share: SQLite in the data directory, or PostgreSQL with what stands beside it.

use crate::config::Settings;
use crate::role::Role;
use secrecy::ExposeSecret;
use std::sync::Arc;
use tutti_agents::vault::Vault;
use tutti_app::Parts;
use tutti_app::health::part;
use tutti_engine::memory::bus::LocalBus;
use tutti_engine::ports::bus::{Bus, Call};
use tutti_engine::ports::cache::Cache;
use tutti_engine::ports::index::Index;
use tutti_engine::ports::jobs::JobBroker;
use tutti_engine::ports::knowledge::KnowledgeBase;
use tutti_engine::ports::queue::Queue;
use tutti_engine::ports::records::Records;
use tutti_engine::ports::store::Store;
use tutti_stores::cache::LocalCache;
use tutti_stores::hub::Hub;
use tutti_stores::index::SqliteIndex;
use tutti_stores::knowledge::SqliteKnowledge;
use tutti_stores::postgres::{PostgresOptions, PostgresStore, notify};
use tutti_stores::rabbitmq::{RabbitJobs, RabbitOptions, RabbitQueue};
use tutti_stores::records::SqliteRecords;
use tutti_stores::redis::{Redis, RedisOptions};
use tutti_stores::sqlite::SqliteStore;
use tutti_stores::vault::SqliteVault;

/// What one process remembers where there is no Redis.
const CACHE_BYTES_MAX: u64 = 16 << 20;

/// The parts that keep and carry.
pub struct Backends {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Words between processes.
    pub bus: Arc<dyn Bus>,
    /// Offers between processes.
    pub queue: Option<Arc<dyn Queue>>,
    /// What may be forgotten.
    pub cache: Arc<dyn Cache>,
    /// Redis, where it is used.
    pub redis: Option<Arc<Redis>>,
    /// Where jobs of agents wait for workers that do not come over HTTP.
    pub jobs: Option<Arc<dyn JobBroker>>,
    /// What operators register.
    pub records: Arc<dyn Records>,
    /// Secrets of runs.
    pub vault: Arc<dyn Vault>,
    /// Documents that answers are grounded in.
    pub index: Arc<dyn Index>,
    /// Articles of tickets.
    pub articles: Arc<dyn KnowledgeBase>,
    /// The words between processes, to be said to their end.
    words: Option<Arc<Hub>>,
    close: Box<dyn FnOnce() + Send>,
}

impl Backends {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// One line for people.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        match settings.backends.postgres() {
            Some(dsn) => Self::shared(settings, dsn).await,
            None => Self::alone(settings),
        }
    }

    fn alone(settings: &Settings) -> anyhow::Result<Self> {
        let dir = &settings.data.dir;
        let store = Arc::new(SqliteStore::open(dir)?);
        let redis = redis(settings)?;
        let cache = cache(redis.as_ref());
        Ok(Self {
            store: store.clone(),
            bus: Arc::new(LocalBus::new()),
            queue: None,
            cache,
            redis,
            jobs: None,
            records: Arc::new(SqliteRecords::open(dir).map_err(anyhow::Error::msg)?),
            vault: Arc::new(SqliteVault::open(dir).map_err(anyhow::Error::msg)?),
            index: Arc::new(SqliteIndex::open(dir).map_err(anyhow::Error::msg)?),
            articles: Arc::new(SqliteKnowledge::open(dir).map_err(anyhow::Error::msg)?),
            words: None,
            close: Box::new(move || store.close()),
        })
    }

    async fn shared(settings: &Settings, dsn: String) -> anyhow::Result<Self> {
        let backends = &settings.backends;
        let options = PostgresOptions {
            dsn,
            schema: backends.schema.clone(),
            name: format!("tutti {} {}", settings.role.as_str(), std::process::id()),
            lease: backends.lease,
            readers: backends.readers,
        };
        let store = Arc::new(PostgresStore::open(&options).await?);
        let redis = redis(settings)?;
        let bus = match &redis {
            Some(redis) => redis.bus(),
            None => notify::bus(&options).map_err(anyhow::Error::msg)?,
        };
        let bus = Arc::new(bus);
        let (cache, words) = (cache(redis.as_ref()), Arc::clone(&bus));
        let key = backends.vault_key.as_ref().map(|key| key.expose_secret());
        Ok(Self {
            store: store.clone(),
            bus,
            cache,
            redis,
            queue: rabbit(settings).map(|options| Arc::new(RabbitQueue::start(options)) as _),
            jobs: rabbit(settings).map(|options| Arc::new(RabbitJobs::start(options)) as _),
            records: Arc::new(store.records()),
            vault: Arc::new(store.vault(key, &settings.data.dir).map_err(anyhow::Error::msg)?),
            index: Arc::new(store.index().await?),
            articles: Arc::new(store.articles()),
            words: Some(words),
            close: Box::new(move || store.close()),
        })
    }

    /// Whether this process works runs.
    #[must_use]
    pub fn works(role: Role) -> bool {
        role != Role::Api
    }

    /// Redis as a part of health. Without it everything goes on, later, so it is down and nothing else is.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let redis = self.redis.clone();
        Parts(Arc::new(move || {
            let Some(redis) = &redis else { return Vec::new() };
            let mut part = part(&redis.condition(), None);
            if let Some(advice) = redis.advice() {
                part["advice"] = advice.into();
            }
            vec![("redis", part)]
        }))
    }

    /// Waits until the last commit is on disk, and tells others that what was open here is theirs.
    pub async fn close(self) {
        let Self { bus, words, jobs, close, .. } = self;
        if let Some(jobs) = jobs {
            jobs.close().await;
        }
        let _ = tokio::task::spawn_blocking(close).await;
        bus.call(Call::Look);
        if let Some(words) = words {
            words.close().await;
        }
    }
}

/// Redis, where it is named. It may be down: then everything goes on without.
fn redis(settings: &Settings) -> anyhow::Result<Option<Arc<Redis>>> {
    let Some(url) = settings.backends.redis() else { return Ok(None) };
    let options = RedisOptions { url, prefix: settings.backends.schema.clone() };
    Redis::start(&options).map(|redis| Some(Arc::new(redis))).map_err(anyhow::Error::msg)
}

fn cache(redis: Option<&Arc<Redis>>) -> Arc<dyn Cache> {
    match redis {
        Some(redis) => Arc::new(redis.cache()),
        None => Arc::new(LocalCache::new(CACHE_BYTES_MAX)),
    }
}

/// RabbitMQ, where it is named. It may be down: then runs are found in the store, and it is tried again.
fn rabbit(settings: &Settings) -> Option<RabbitOptions> {
    let backends = &settings.backends;
    let password = backends.rabbitmq_password.as_ref().map(|p| p.expose_secret().to_owned()).unwrap_or_default();
    Some(RabbitOptions {
        host: backends.rabbitmq_host.clone()?,
        port: backends.rabbitmq_port,
        user: backends.rabbitmq_user.clone(),
        password,
        vhost: backends.rabbitmq_vhost.clone(),
        prefix: backends.schema.clone(),
    })
}
