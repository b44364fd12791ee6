//! Offering: a bounded box that never waits, and the task that empties it, many at a time, each confirmed.

use crate::link::Backoff;
use crate::rabbitmq::Shared;
use crate::rabbitmq::broker::{Broker, LOOK, Names, WORD_MAX, speaks};
use futures_util::future::try_join_all;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tutti_engine::run::RunNo;

/// As it is called in the link's condition.
pub(super) const PART: &str = "publish";
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
pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    let mut may_be_mute = false;
    loop {
        let attempt = async {
            if may_be_mute {
                speaks(&shared.options).await?;
            }
            Broker::connect(&shared.options, &shared.names, "publisher").await
        };
        let ended = match attempt.await {
            Ok(broker) => {
                may_be_mute = false;
                session(&shared, broker, &mut backoff).await
            }
            Err(reason) => {
                may_be_mute = true;
                Err(reason)
            }
        };
        let Err(reason) = ended else { return };
        shared.health.set(PART, Err(reason));
        tokio::select! {
            () = shared.closed() => return,
            () = tokio::time::sleep(backoff.pause()) => {}
        }
    }
}

/// Works over one connection until the queue is closed and empty.
///
/// # Errors
/// Why the connection is of no use any more.
async fn session(shared: &Shared, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
    broker.confirm().await?;
    shared.health.set(PART, Ok(()));
    let mut was_returned = false;
    loop {
        let batch = shared.outbox.take();
        if batch.is_empty() {
            if shared.is_closing() {
                broker.close().await;
                return Ok(());
            }
            tokio::select! {
                () = shared.outbox.came.notified() => {}
                () = shared.closed() => {}
                reason = broker.lost() => return Err(reason),
            }
            continue;
        }
        match send(shared, &broker, &batch).await {
            Ok(returned) if returned.is_empty() => {
                was_returned = false;
                backoff.reset();
                shared.outbox.has_dropped.store(false, Ordering::Relaxed);
            }
            // Nobody has the queue: somebody deleted it.
            Ok(returned) => {
                shared.outbox.put_back(returned);
                if was_returned {
                    return Err(format!("{} does not stay", shared.names.runs));
                }
                was_returned = true;
                broker.declare(&shared.names).await?;
            }
            Err(reason) => {
                shared.outbox.put_back(batch);
                return Err(reason);
            }
        }
    }
}

/// Publishes a batch and awaits its confirms; answers what found no queue. A broker that is short of memory is waited for: a new
/// connection would not move it either.
async fn send(shared: &Shared, broker: &Broker, batch: &[Offer]) -> Result<Vec<Offer>, String> {
    let publishing = publish(&broker.channel, &shared.names, batch);
    tokio::pin!(publishing);
    let (mut was_blocked, mut waited) = (false, Duration::ZERO);
    loop {
        tokio::select! {
            sent = &mut publishing => {
                if was_blocked && sent.is_ok() {
                    shared.health.set(PART, Ok(()));
                }
                return sent;
            }
            () = tokio::time::sleep(LOOK) => waited += LOOK,
        }
        if broker.is_blocked() {
            (was_blocked, waited) = (true, Duration::ZERO);
            shared.health.set(PART, Err("it is short of memory or disk and takes no messages".into()));
        } else if waited >= WORD_MAX {
            return Err(format!("no confirm within {} s", WORD_MAX.as_secs()));
        }
    }
}

async fn publish(channel: &Channel, names: &Names, batch: &[Offer]) -> Result<Vec<Offer>, String> {
    // What nobody would get must come back, or a deleted queue would swallow it in silence.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let bodies: Vec<String> = batch.iter().map(|(run, _)| run.0.to_string()).collect();
    let sent = batch.iter().zip(&bodies).map(|((_, priority), body)| {
        let persistent = 2;
        let properties = BasicProperties::default()
            .with_delivery_mode(persistent)
            .with_priority(*priority)
            .with_content_type("text/plain".into());
        channel.basic_publish("".into(), names.runs.as_str().into(), options, body.as_bytes(), properties)
    });
    let confirms = try_join_all(sent).await.map_err(|e| e.to_string())?;
    let mut returned = Vec::new();
    for confirm in try_join_all(confirms).await.map_err(|e| e.to_string())? {
        if confirm.is_nack() {
            return Err("it could not keep what was published".into());
        }
        if let Some(message) = confirm.take_message() {
            // It stands in the message which it was: the library does not say which confirm it belongs to.
            let which = bodies.iter().position(|body| body.as_bytes() == message.delivery.data);
            returned.extend(which.and_then(|at| batch.get(at)).copied());
        }
    }
    Ok(returned)
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
