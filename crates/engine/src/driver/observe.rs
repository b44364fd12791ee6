//! Who hears of runs that have ended, once their end is durable: counters, and what has to be tidied up.

use crate::shard::wire::End;
use std::fmt;
use std::sync::Arc;

/// Called on a shard's thread for every run that ends or is blocked; must not wait. After a crash between the end and the
/// call nobody is told, so nothing that has to happen may depend on it.
#[derive(Clone)]
pub struct Observer(pub Arc<ObserveFn>);

/// See [`Observer`].
pub type ObserveFn = dyn Fn(&End) + Send + Sync;

impl Default for Observer {
    /// Nobody.
    fn default() -> Self {
        Self(Arc::new(|_| ()))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
