//! Wake-ups between writers and readers of journals. A hint only: losing one costs time, never data.

use crate::run::RunNo;
use futures_util::future::BoxFuture;

/// Tells readers that a run's journal has grown.
pub trait Bus: Send + Sync {
    /// Entries of `run` up to `seq` are durable.
    fn wake(&self, run: RunNo, seq: u32);
    /// Start listening, before reading, so that nothing falls between.
    fn listen(&self, run: RunNo) -> Box<dyn Listener>;
}

/// One reader's ear.
pub trait Listener: Send {
    /// Resolves when the journal may hold more than `after`; may wake without cause.
    fn grown(&mut self, after: u32) -> BoxFuture<'_, ()>;
}
