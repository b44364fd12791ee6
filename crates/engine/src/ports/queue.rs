//! Which process takes which run, when there are several. A hint: the truth is the store, and what a queue loses, doubles or brings
//! too late is found there by sweeping. Without a queue, processes tell each other to look (see [`Call`](crate::ports::bus::Call)).

use crate::run::RunNo;
use futures_util::future::BoxFuture;
use std::fmt;

/// How an offer is settled; see [`Offered`].
pub type Settle = Box<dyn FnOnce(Settled) + Send + Sync>;

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The claim is in the journal, or the run needs no worker: the offer is over.
    Done,
    /// Somebody else should have it.
    Back,
}

/// A run that was offered to this process. One that is dropped goes back.
pub struct Offered {
    /// Which run.
    pub run: RunNo,
    /// 0 to 9, 9 first.
    pub priority: u8,
    settle: Option<Settle>,
}

impl Offered {
    /// An offer that is settled by `settle`; it must not wait.
    #[must_use]
    pub fn new(run: RunNo, priority: u8, settle: Settle) -> Self {
        Self { run, priority, settle: Some(settle) }
    }

    /// Nobody needs to be offered this any more.
    pub fn done(mut self) {
        self.settled(Settled::Done);
    }

    fn settled(&mut self, how: Settled) {
        if let Some(settle) = self.settle.take() {
            settle(how);
        }
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.settled(Settled::Back);
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offered({}, {})", self.run.0, self.priority)
    }
}

/// How a part outside is doing, for health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It answers.
    Up,
    /// It does not; why, in words.
    Down(String),
}

/// Offers between processes.
pub trait Queue: Send + Sync {
    /// Offers a run to whichever process has room. Never waits; an offer that cannot be made is lost.
    fn offer(&self, run: RunNo, priority: u8);
    /// How many more runs this process can take: it is sent no more than that. Nothing is sent before the first word.
    fn room(&self, free: usize);
    /// The next offers, best first; waits for the first, answers what has come, at most `max`.
    fn next(&self, max: usize) -> BoxFuture<'_, Vec<Offered>>;
    /// How it is doing.
    fn condition(&self) -> Condition;
    /// What it is, for people.
    fn name(&self) -> String;
    /// Takes nothing more, and lets what was offered go back.
    fn close(&self) -> BoxFuture<'_, ()>;
}
