//! Jobs of agents for workers that speak to a broker. A hint like every queue: the truth is the store, and what a broker loses,
//! doubles or brings too late changes nothing there.

use crate::ports::queue::Condition;
use crate::run::RunId;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::fmt;
use std::time::Duration;

/// How a reply is settled; see [`Reply`].
pub type SettleReply = Box<dyn FnOnce(Fate) + Send + Sync>;

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// What it says is durable, or changes nothing: the reply is over.
    Done,
    /// It could not be kept now and comes again.
    Back,
    /// Nobody can read it: it is put aside for people to look at.
    Dead,
}

/// An open job, as it is offered to an agent's workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJob {
    /// Whose workers may do it: what their queue is called.
    pub agent_id: String,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// The job.
    pub job_id: RunId,
    /// Its document, JSON.
    pub body: Bytes,
    /// An offer that nobody has taken for so long is dropped: whoever keeps the jobs makes it again.
    pub keep: Duration,
}

/// What a worker sent back. One that is dropped comes again.
pub struct Reply {
    /// What it says, JSON if it is in order.
    pub body: Bytes,
    settle: Option<SettleReply>,
}

impl Reply {
    /// A reply that is settled by `settle`; it must not wait.
    #[must_use]
    pub fn new(body: Bytes, settle: SettleReply) -> Self {
        Self { body, settle: Some(settle) }
    }

    /// Says what became of it.
    pub fn settle(mut self, fate: Fate) {
        self.settled(fate);
    }

    fn settled(&mut self, fate: Fate) {
        if let Some(settle) = self.settle.take() {
            settle(fate);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.settled(Fate::Back);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({} bytes)", self.body.len())
    }
}

/// Where jobs wait for workers, and their replies for us.
pub trait JobBroker: Send + Sync {
    /// Offers a job to the workers of its agent. Never waits; an offer that cannot be made is lost, and of two offers of one job
    /// that have not left yet the later is made.
    fn open(&self, job: OpenJob);
    /// The next reply; waits for it. Nothing once the broker is closed.
    fn next_reply(&self) -> BoxFuture<'_, Option<Reply>>;
    /// Where workers send their replies.
    fn reply_to(&self) -> &str;
    /// How it is doing.
    fn condition(&self) -> Condition;
    /// What it is, for people.
    fn name(&self) -> String;
    /// Takes nothing more, and lets go what is not settled.
    fn close(&self) -> BoxFuture<'_, ()>;
}
