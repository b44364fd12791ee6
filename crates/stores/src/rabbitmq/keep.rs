//! What the queue of runs and the queues of jobs have alike: parts that each work over one connection after another until all is
//! closed.

use crate::link::{Backoff, Health};
use crate::rabbitmq::RabbitOptions;
use crate::rabbitmq::broker::{Broker, Names, speaks};
use futures_util::future::join_all;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

/// The longest that closing waits for what was offered to be confirmed, and for the broker to be told.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What a handle and its parts share.
pub(super) struct Link {
    pub options: RabbitOptions,
    pub names: Names,
    pub health: Health,
    closing: watch::Sender<bool>,
}

impl Link {
    /// A link for the sake of one queue; nobody has connected yet.
    pub fn new(options: RabbitOptions, queue: &str, meanwhile: &'static str, parts: &[&'static str]) -> Self {
        let what = format!("RabbitMQ ({}:{}, queue {queue})", options.host, options.port);
        let (names, health) = (Names::new(&options.prefix), Health::new(what, meanwhile, parts));
        Self { options, names, health, closing: watch::Sender::new(false) }
    }

    /// Resolves when all is closed.
    pub async fn closed(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Has the parts come to their end.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// A task with a connection of its own.
pub(super) trait Part: Send + 'static {
    /// As it is called in the link's condition.
    const NAME: &'static str;
    /// What its connection is called at the broker.
    const PURPOSE: &'static str;

    fn link(&self) -> &Link;

    /// Works over one connection until all is closed.
    ///
    /// # Errors
    /// Why the connection is of no use any more.
    fn work(&mut self, broker: Broker, backoff: &mut Backoff) -> impl Future<Output = Result<(), String>> + Send;
}

/// Has a part work over one connection after another.
pub(super) async fn keep<P: Part>(mut part: P) {
    let (mut backoff, mut may_be_mute) = (Backoff::new(), false);
    loop {
        let link = part.link();
        let attempt = async {
            if may_be_mute {
                speaks(&link.options).await?;
            }
            Broker::connect(&link.options, &link.names, P::PURPOSE).await
        };
        let attempt = tokio::select! {
            attempt = attempt => attempt,
            // Nobody is there to take what is left.
            () = link.closed() => return,
        };
        may_be_mute = attempt.is_err();
        let ended = match attempt {
            Ok(broker) => part.work(broker, &mut backoff).await,
            Err(reason) => Err(reason),
        };
        let Err(reason) = ended else { return };
        let link = part.link();
        link.health.set(P::NAME, Err(reason));
        tokio::select! {
            () = link.closed() => return,
            () = tokio::time::sleep(backoff.pause()) => {}
        }
    }
}

/// The tasks of a handle.
pub(super) struct Tasks(Mutex<Vec<JoinHandle<()>>>);

impl Tasks {
    pub fn new(tasks: impl Into<Vec<JoinHandle<()>>>) -> Self {
        Self(Mutex::new(tasks.into()))
    }

    /// Waits for their end, at most [`CLOSE_MAX`]. What was not confirmed is offered again by whoever keeps the truth; what was
    /// not settled goes back with the connection.
    pub async fn end(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let stops: Vec<AbortHandle> = tasks.iter().map(JoinHandle::abort_handle).collect();
        if tokio::time::timeout(CLOSE_MAX, join_all(tasks)).await.is_err() {
            stops.iter().for_each(AbortHandle::abort);
        }
    }
}

/// Resolves then, or never.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
