//! Time and chance, so that tests can move one and seed the other.

use crate::run::Time;

/// Wall time and entropy for drivers; the shard core gets both as input.
pub trait Clock: Send + Sync {
    /// Now, in milliseconds since the epoch. Never goes back within a process.
    fn now(&self) -> Time;
    /// Random bytes for ids.
    fn random(&self) -> [u8; 10];
}
