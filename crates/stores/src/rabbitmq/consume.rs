//! Being offered: one consumer, whose prefetch follows the room there is.

use crate::link::Backoff;
use crate::rabbitmq::Shared;
use crate::rabbitmq::broker::{Broker, word};
use crate::rabbitmq::keep::{Link, Part, until};
use crate::rabbitmq::offers::{Held, Word};
use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::FieldTable;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tutti_engine::ports::queue::Settled;
use tutti_engine::run::RunNo;

/// A message that was given back before and is given back again waits so long. Else one that nobody can take would be handed to and
/// fro without a pause.
const AGAIN: Duration = Duration::from_millis(100);
/// A consumer that is sent more than there is room for, though less than twice as much, is replaced after so long: what waits here
/// could run elsewhere.
const SHRINK: Duration = Duration::from_secs(1);

/// Consumes while there is room, for as long as the queue is open.
pub(super) struct Consumer {
    shared: Arc<Shared>,
    words: UnboundedReceiver<Word>,
    /// Consumers that this process has had at the broker.
    consumers: u64,
}

impl Consumer {
    pub fn new(shared: Arc<Shared>, words: UnboundedReceiver<Word>) -> Self {
        Self { shared, words, consumers: 0 }
    }
}

impl Part for Consumer {
    const NAME: &'static str = "consume";
    const PURPOSE: &'static str = "consumer";

    fn link(&self) -> &Link {
        &self.shared.link
    }

    async fn work(&mut self, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
        self.shared.link.health.set(Self::NAME, Ok(()));
        let mut session = Session::new(&self.shared, broker, self.consumers);
        let ended = session.run(&mut self.words, backoff).await;
        self.consumers = session.number;
        self.shared.offers.forget();
        ended
    }
}

/// One connection's life.
struct Session<'a> {
    shared: &'a Shared,
    broker: Broker,
    consumer: Option<lapin::Consumer>,
    /// Which one it is, among all of this process.
    number: u64,
    prefetch: usize,
    /// When a consumer that is sent too much is replaced.
    shrink_at: Option<Instant>,
    /// Over, and the broker does not know it yet.
    done: Vec<Acker>,
    /// Given back, and the broker does not know it yet.
    back: Vec<Held>,
    /// Given back, but not before then.
    later: VecDeque<(Instant, Held)>,
}

/// What happened next.
enum Turn {
    Settled(Word),
    Delivered(Box<Delivery>),
    /// The broker has ended the consumer: the queue is gone.
    Cancelled,
    Look,
    Closed,
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, broker: Broker, number: u64) -> Self {
        let (done, back, later) = Default::default();
        Self { shared, broker, consumer: None, number, prefetch: 0, shrink_at: None, done, back, later }
    }

    /// Works until the queue is closed.
    ///
    /// # Errors
    /// Why the connection is of no use any more.
    async fn run(&mut self, words: &mut UnboundedReceiver<Word>, backoff: &mut Backoff) -> Result<(), String> {
        loop {
            // In this order: who says that there is less room and then gives something back is not sent it again at once, and who
            // gives something back and then says that there is room is sent the best of all.
            self.gather(words, None);
            let free = self.shared.offers.free();
            let is_other = !self.fits(free);
            if is_other || self.consumer.is_none() {
                self.cancel().await?;
            }
            self.gather(words, None);
            self.settle().await?;
            if is_other {
                self.consume(free).await?;
            }
            match self.turn(words).await? {
                Turn::Settled(word) => self.gather(words, Some(word)),
                Turn::Delivered(delivery) => {
                    backoff.reset();
                    self.accept(*delivery).await?;
                }
                Turn::Cancelled => {
                    tracing::warn!("{} was deleted; it is made again", self.shared.link.names.runs);
                    self.consumer = None;
                    self.broker.declare(&self.shared.link.names).await?;
                }
                Turn::Look => {}
                Turn::Closed => {
                    self.leave(words).await;
                    return Ok(());
                }
            }
        }
    }

    async fn turn(&mut self, words: &mut UnboundedReceiver<Word>) -> Result<Turn, String> {
        let due = [self.shrink_at, self.later.front().map(|(at, _)| *at)].into_iter().flatten().min();
        let turn = tokio::select! {
            biased;
            () = self.shared.link.closed() => Turn::Closed,
            Some(word) = words.recv() => Turn::Settled(word),
            () = self.shared.offers.turned() => Turn::Look,
            item = following(&mut self.consumer) => match item {
                Some(delivery) => Turn::Delivered(Box::new(delivery.map_err(|e| e.to_string())?)),
                None => Turn::Cancelled,
            },
            () = until(due) => Turn::Look,
            reason = self.broker.lost() => return Err(reason),
        };
        Ok(turn)
    }

    /// Whether the consumer, or that there is none, is right for so much room. Its prefetch counts what is out and what waits here,
    /// so the broker itself holds to it. A new one costs three words, so small changes keep the old one: it is never sent twice as
    /// much as there is room for.
    fn fits(&mut self, free: usize) -> bool {
        let fitting = free.saturating_sub(self.shared.offers.beside(self.number));
        let is_right = match (self.consumer.is_some(), fitting) {
            (false, 0) => true,
            (false, _) | (true, 0) => false,
            (true, fitting) => fitting < self.prefetch * 2 && self.prefetch < fitting * 2,
        };
        if self.consumer.is_none() || self.prefetch <= fitting {
            self.shrink_at = None;
            return is_right;
        }
        let now = Instant::now();
        is_right && now < *self.shrink_at.get_or_insert(now + SHRINK)
    }

    /// Consumes for what there is room. A new consumer counts for itself: what older ones brought and is still here or out is beside
    /// it.
    async fn consume(&mut self, free: usize) -> Result<(), String> {
        self.number += 1;
        let prefetch = free.saturating_sub(self.shared.offers.beside(self.number));
        let count = u16::try_from(prefetch).unwrap_or(u16::MAX);
        if count == 0 {
            return Ok(());
        }
        let channel = &self.broker.channel;
        word("setting the prefetch", channel.basic_qos(count, BasicQosOptions { global: false })).await?;
        let queue = self.shared.link.names.runs.as_str();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        // A queue that was deleted while nobody consumed ends the channel; then all begins anew, with declaring.
        let consumed = channel.basic_consume(queue.into(), "".into(), options, arguments);
        (self.consumer, self.prefetch) = (Some(word("consuming", consumed).await?), usize::from(count));
        Ok(())
    }

    /// Ends the consumer; what came and finds no room is to go back.
    async fn cancel(&mut self) -> Result<(), String> {
        self.shrink_at = None;
        if let Some(mut consumer) = self.consumer.take() {
            let cancelled = self.broker.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            word("cancelling", cancelled).await?;
            // What was on its way; the library ends the stream behind it.
            while let Some(delivery) = word("the last messages", async { consumer.next().await.transpose() }).await? {
                self.accept(delivery).await?;
            }
        }
        self.back.extend(self.shared.offers.surplus());
        Ok(())
    }

    async fn accept(&self, delivery: Delivery) -> Result<(), String> {
        let text = std::str::from_utf8(&delivery.data).ok();
        let Some(run) = text.and_then(|text| text.parse().ok()).filter(|run| *run > 0) else {
            let names = &self.shared.link.names;
            tracing::warn!("a message in {} names no run; it is kept in {} to be looked at", names.runs, names.dead);
            let options = BasicRejectOptions { requeue: false };
            return word("rejecting", delivery.acker.reject(options)).await.map(|_| ());
        };
        let priority = delivery.properties.priority().unwrap_or(0).min(9);
        let (consumer, is_again) = (self.number, delivery.redelivered);
        self.shared.offers.push(RunNo(run), Held { acker: delivery.acker, priority, consumer, is_again });
        Ok(())
    }

    /// What became of what was offered.
    fn gather(&mut self, words: &mut UnboundedReceiver<Word>, first: Option<Word>) {
        let mut next = first.or_else(|| words.try_recv().ok());
        while let Some((held, how)) = next {
            match how {
                Settled::Done => self.done.push(held.acker),
                Settled::Back if held.is_again => self.later.push_back((Instant::now() + AGAIN, held)),
                Settled::Back => self.back.push(held),
            }
            next = words.try_recv().ok();
        }
        let now = Instant::now();
        while self.later.front().is_some_and(|(at, _)| *at <= now) {
            self.back.extend(self.later.pop_front().map(|(_, held)| held));
        }
    }

    /// Tells the broker. One of an older connection answers `false`: the broker has it again already.
    async fn settle(&mut self) -> Result<(), String> {
        if self.done.is_empty() && self.back.is_empty() {
            return Ok(());
        }
        let (done, mut back) = (std::mem::take(&mut self.done), std::mem::take(&mut self.back));
        // Who waits for it is sent each as it comes.
        back.sort_by_key(|held| Reverse(held.priority));
        let again = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let said = async {
            join_all(done.iter().map(|acker| acker.ack(BasicAckOptions::default())))
                .await
                .into_iter()
                .chain(join_all(back.iter().map(|held| held.acker.nack(again))).await)
                .collect::<lapin::Result<Vec<bool>>>()
        };
        word("settling", said).await.map(|_| ())
    }

    /// Says goodbye. What is still out goes back with the connection.
    async fn leave(&mut self, words: &mut UnboundedReceiver<Word>) {
        let said = async {
            self.cancel().await?;
            self.gather(words, None);
            self.settle().await
        };
        if let Err(reason) = said.await {
            tracing::debug!("RabbitMQ was not told of our leaving: {reason}");
        }
        self.broker.close().await;
    }
}

async fn following(consumer: &mut Option<lapin::Consumer>) -> Option<lapin::Result<Delivery>> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}
