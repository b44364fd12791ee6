//! Wake-ups between writers and readers of journals, and words between processes. Hints only: losing one costs time, never data.

use crate::ports::queue::Condition;
use crate::run::RunNo;
use futures_util::future::BoxFuture;

/// As the entry that a run has grown to: it has ended, so whoever waits for its end wakes now and not at each entry.
pub const ENDED: u32 = u32::MAX;

/// A word to all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// There is a message for this run: its owner should read its inbox.
    Mail(RunNo),
    /// A run needs a worker: whoever has room should look into the store.
    Look,
}

/// Tells readers that a run's journal has grown, and processes that something waits for them.
pub trait Bus: Send + Sync {
    /// Entries of `run` up to `seq` are durable; [`ENDED`] when it has ended.
    fn wake(&self, run: RunNo, seq: u32);
    /// Start listening, before reading, so that nothing falls between.
    fn listen(&self, run: RunNo) -> Box<dyn Listener>;
    /// Tells every other process. Never waits. Within one process nobody else is there.
    fn call(&self, _call: Call) {}
    /// The next words from other processes; waits for the first. Each is given once: there is one listener in a process.
    fn calls(&self) -> BoxFuture<'_, Vec<Call>> {
        Box::pin(std::future::pending())
    }
    /// How it is doing.
    fn condition(&self) -> Condition {
        Condition::Up
    }
}

/// One reader's ear.
pub trait Listener: Send {
    /// Resolves when the journal may hold more than `after`; may wake without cause.
    fn grown(&mut self, after: u32) -> BoxFuture<'_, ()>;
}
