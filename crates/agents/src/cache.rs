//! The cache of this process: answers that would be the same again, and counters of the last minute. Losing it costs time.

use std::sync::{Arc, PoisonError, RwLock};

pub use tutti_engine::ports::cache::Cache;

static INSTALLED: RwLock<Option<Arc<dyn Cache>>> = RwLock::new(None);

/// Makes it the process's cache.
pub fn install(cache: Arc<dyn Cache>) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = Some(cache);
}

/// The process's cache, where it has one.
#[must_use]
pub fn installed() -> Option<Arc<dyn Cache>> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}
