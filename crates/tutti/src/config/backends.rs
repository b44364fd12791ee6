//! What several processes share: PostgreSQL, RabbitMQ, Redis. Each is used only when its address is set.

use super::form::{Host, Integer, Maybe, Seconds, Secret, Text};
use super::setting::concern;
use super::values::Problem;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

concern! {
    /// What several processes share.
    Backends, "Several machines" {
        POSTGRES_DSN: dsn: Option<SecretString> = Maybe(Secret), None,
            "PostgreSQL as one address (postgresql://user:password@host:port/database?sslmode=require); beats POSTGRES_HOST.";
        POSTGRES_HOST: postgres_host: Option<String> = Maybe(Host), None,
            "PostgreSQL's host; without it and POSTGRES_DSN, everything is kept in SQLite.";
        POSTGRES_PORT: postgres_port: u16 = Integer { min: 1_u16, max: 65_535 }, Some("5432"),
            "PostgreSQL's port.";
        POSTGRES_DB: postgres_db: String = Text, Some("agentic_ingestion"),
            "PostgreSQL's database.";
        POSTGRES_USER: postgres_user: String = Text, Some("agentic_user"),
            "PostgreSQL's user.";
        POSTGRES_PASSWORD: postgres_password: Option<SecretString> = Maybe(Secret), None,
            "PostgreSQL's password.";
        POSTGRES_SCHEMA: schema: String = Text, Some("tutti"),
            "Schema of our tables, made where it is not there; queues and channels have this name, too.";
        POSTGRES_READERS: readers: usize = Integer { min: 1_usize, max: 1_000 }, Some("8"),
            "Connections of one process for questions; four more are for writing, the lease, and words between processes.";
        WORKER_LEASE: lease: Duration = Seconds { min_ms: 1_000, max_s: 600 }, Some("4"),
            "How long others wait for a process that no longer says that it lives, before they go on with its runs.";
        VAULT_KEY: vault_key: Option<SecretString> = Maybe(Secret), None,
            "Key of the secrets of runs in PostgreSQL, 64 hexadecimal digits, the same for every process; else a file in the data directory.";
        REDIS_URL: redis_url: Option<SecretString> = Maybe(Secret), None,
            "Redis as one address (redis:// or rediss://); beats REDIS_HOST.";
        REDIS_HOST: redis_host: Option<String> = Maybe(Host), None,
            "Redis' host; without it words between processes go through PostgreSQL.";
        REDIS_PORT: redis_port: u16 = Integer { min: 1_u16, max: 65_535 }, Some("6379"),
            "Redis' port.";
        RABBITMQ_HOST: rabbitmq_host: Option<String> = Maybe(Host), None,
            "RabbitMQ's host; without it processes find their runs in PostgreSQL.";
        RABBITMQ_PORT: rabbitmq_port: u16 = Integer { min: 1_u16, max: 65_535 }, Some("5672"),
            "RabbitMQ's port.";
        RABBITMQ_USER: rabbitmq_user: String = Text, Some("agentic_user"),
            "RabbitMQ's user.";
        RABBITMQ_PASSWORD: rabbitmq_password: Option<SecretString> = Maybe(Secret), None,
            "RabbitMQ's password.";
        RABBITMQ_VHOST: rabbitmq_vhost: String = Text, Some("/"),
            "RabbitMQ's virtual host.";
    }
}

impl Backends {
    /// PostgreSQL's address, if it is used.
    #[must_use]
    pub fn postgres(&self) -> Option<String> {
        if let Some(dsn) = &self.dsn {
            return Some(dsn.expose_secret().to_owned());
        }
        let host = self.postgres_host.as_deref()?;
        let mut url = Url::parse("postgresql://localhost").ok()?;
        // Set piece by piece, so that no password has to be escaped by whoever sets it.
        url.set_host(Some(host)).ok()?;
        url.set_port(Some(self.postgres_port)).ok()?;
        url.set_username(&self.postgres_user).ok()?;
        url.set_password(self.postgres_password.as_ref().map(|p| p.expose_secret())).ok()?;
        url.set_path(&self.postgres_db);
        Some(url.into())
    }

    /// Redis' address, if it is used.
    #[must_use]
    pub fn redis(&self) -> Option<String> {
        let named = self.redis_url.as_ref().map(|url| url.expose_secret().to_owned());
        named.or_else(|| Some(format!("redis://{}:{}", self.redis_host.as_deref()?, self.redis_port)))
    }

    /// What does not go together.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        if self.postgres().is_some() {
            return Vec::new();
        }
        let lonely = |name: &'static str, is_set: bool| {
            let message =
                "set, but several processes need a store that they share; set POSTGRES_DSN or POSTGRES_HOST too";
            is_set.then(|| Problem::of(name, message.to_owned()))
        };
        lonely("RABBITMQ_HOST", self.rabbitmq_host.is_some()).into_iter().collect()
    }
}
