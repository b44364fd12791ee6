//! All construction: settings become ports, an engine, the application and a router.

use crate::config::Settings;
use std::future::Future;
use std::pin::Pin;

/// Ends a server in good order; resolves when it has ended.
pub type Stop = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A server that runs in this process.
pub struct Running {
    /// Where it listens, e.g. `http://127.0.0.1:8000`, without a slash at its end.
    pub url: String,
    /// Ends it.
    pub stop: Stop,
}

/// Starts a server. Fails with one line for people: a port that is taken, a data directory that is locked, read-only,
/// full, or from a newer version.
pub async fn start(_settings: &Settings) -> anyhow::Result<Running> {
    anyhow::bail!("not wired yet")
}
