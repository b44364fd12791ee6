//! The one server that many tests use.

use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// One server for all tests of this process that run at the same time; it ends with the last of them.
#[derive(Debug)]
pub(crate) struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    /// Nobody uses one yet.
    pub const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// The one that is used now, else a new one; `None` where the machine has none.
    pub async fn get(&self, start: impl Future<Output = Option<T>>) -> Option<Arc<T>> {
        let mut shared = self.0.lock().await;
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(start.await?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }
}
