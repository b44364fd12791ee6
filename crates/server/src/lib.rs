//! HTTP, and nothing but HTTP: routes, layers, streams, and the words in which failures are told.
//!
//! Nouns: route, layer, caller, stream, failure.
//! Must not know: anything of ours but the application.

mod asked;
mod body;
mod failure;
mod layers;
mod openapi;
mod query;
mod router;
mod routes;
mod serve;
mod sse;

pub use router::{Route, router, routes};
pub use serve::serve;

use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tutti_app::App;

/// What the wiring decides.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Host names, without port, by which this server may be called besides loopback names.
    pub hosts: Vec<String>,
    /// Whether other machines can reach it; then it may be called by any plain address, too.
    pub is_open: bool,
    /// What a peer must show that is not known to be at this machine (protected mode); `None` serves everybody.
    pub key: Option<SecretString>,
    /// Origins (`https://studio.example`) whose pages may call it (`CORS_ORIGINS`).
    pub origins: Vec<String>,
    /// Whether only health and metrics are answered: this process works runs, others accept them.
    pub is_worker: bool,
    /// Most bytes of a request's body.
    pub body_bytes_max: usize,
    /// How long a request's head, and its body, may take to arrive.
    pub read_timeout: Duration,
    /// Connections served at once; more wait in the listener's queue.
    pub connections_max: usize,
    /// Cancelled when the server should stop: streams end at once, other answers are given.
    pub stop: CancellationToken,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            is_open: false,
            key: None,
            origins: Vec::new(),
            is_worker: false,
            body_bytes_max: 1024 * 1024,
            read_timeout: Duration::from_secs(30),
            connections_max: 10_000,
            stop: CancellationToken::new(),
        }
    }
}

/// What every handler sees.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    pub app: App,
    pub options: ServerOptions,
    pub openapi: bytes::Bytes,
}

impl std::ops::Deref for Shared {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
