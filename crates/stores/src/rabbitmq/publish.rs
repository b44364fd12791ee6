//! Offering: a bounded box that never waits, and the task that empties it, many at a time, each confirmed.

use crate::link::Backoff;
use crate::rabbitmq::Shared;
use crate::rabbitmq::broker::Broker;
use crate::rabbitmq::confirm::{self, Message, persistent};
use crate::rabbitmq::keep::{Link, Part};
use lapin::message::Delivery;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tutti_engine::run::RunNo;

/// Offers that wait for the broker. Older ones are dropped: they are found by looking into the store.
const WAITING_MAX: usize = 10_000;
/// Offers that are published together.
const BATCH_MAX: usize = 256;

type Offer = (RunNo, u8);

/// Offers on their way to the broker.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<VecDeque<Offer>>,
    came: Notify,
    /// Something was dropped since the broker was there, and it was said.
    has_dropped: AtomicBool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Offer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, run: RunNo, priority: u8) {
        let mut waiting = self.lock();
        waiting.push_back((run, priority));
        self.bound(&mut waiting);
        drop(waiting);
        self.came.notify_one();
    }

    fn bound(&self, waiting: &mut VecDeque<Offer>) {
        let over = waiting.len().saturating_sub(WAITING_MAX);
        waiting.drain(..over);
        if over > 0 && !self.has_dropped.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "more than {WAITING_MAX} runs wait to be offered, the oldest offers are dropped; the store still has the runs"
            );
        }
    }

    fn take(&self) -> Vec<Offer> {
        let mut waiting = self.lock();
        let count = waiting.len().min(BATCH_MAX);
        waiting.drain(..count).collect()
    }

    /// What may not have arrived; it goes first again. One that did arrive is doubled, which harms nothing.
    fn put_back(&self, batch: Vec<Offer>) {
        let mut waiting = self.lock();
        for offer in batch.into_iter().rev() {
            waiting.push_front(offer);
        }
        self.bound(&mut waiting);
    }
}

/// Publishes what is offered, for as long as the queue is open.
pub(super) struct Publisher(pub Arc<Shared>);

impl Part for Publisher {
    const NAME: &'static str = "publish";
    const PURPOSE: &'static str = "publisher";

    fn link(&self) -> &Link {
        &self.0.link
    }

    async fn work(&mut self, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
        session(&self.0, broker, backoff).await
    }
}

/// Works over one connection until the queue is closed and empty.
///
/// # Errors
/// Why the connection is of no use any more.
async fn session(shared: &Shared, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
    let link = &shared.link;
    broker.confirm().await?;
    link.health.set(Publisher::NAME, Ok(()));
    let mut was_returned = false;
    loop {
        let batch = shared.outbox.take();
        if batch.is_empty() {
            if !confirm::wait(link, &broker, shared.outbox.came.notified()).await? {
                return Ok(());
            }
            continue;
        }
        match send(link, &broker, &batch).await {
            Ok(returned) if returned.is_empty() => {
                was_returned = false;
                backoff.reset();
                shared.outbox.has_dropped.store(false, Ordering::Relaxed);
            }
            // Nobody has the queue: somebody deleted it.
            Ok(returned) => {
                shared.outbox.put_back(returned);
                if was_returned {
                    return Err(format!("{} does not stay", link.names.runs));
                }
                was_returned = true;
                broker.declare(&link.names).await?;
            }
            Err(reason) => {
                shared.outbox.put_back(batch);
                return Err(reason);
            }
        }
    }
}

/// Publishes a batch and awaits its confirms; answers what found no queue.
async fn send(link: &Link, broker: &Broker, batch: &[Offer]) -> Result<Vec<Offer>, String> {
    let bodies: Vec<String> = batch.iter().map(|(run, _)| run.0.to_string()).collect();
    let messages = batch.iter().zip(&bodies).map(|((_, priority), body)| Message {
        queue: &link.names.runs,
        body: body.as_bytes(),
        properties: persistent("text/plain", *priority),
    });
    let returned = confirm::publish(broker, (&link.health, Publisher::NAME), messages.collect()).await?;
    let which = |delivery: Delivery| {
        let at = bodies.iter().position(|body| body.as_bytes() == delivery.data)?;
        batch.get(at).copied()
    };
    Ok(returned.into_iter().filter_map(which).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_bounded_and_drops_the_oldest() {
        let outbox = Outbox::default();
        let runs = i64::try_from(WAITING_MAX).unwrap() + 5;
        (0..runs).for_each(|run| outbox.put(RunNo(run), 0));
        let first = outbox.take();
        assert_eq!((first.len(), first[0]), (BATCH_MAX, (RunNo(5), 0)));
        outbox.put_back(first);
        assert_eq!(outbox.take()[0], (RunNo(5), 0));
        assert!(outbox.has_dropped.load(Ordering::Relaxed));
    }
}
