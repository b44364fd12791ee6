//! Jobs for workers that speak AMQP: a durable queue with priorities for each agent, `{prefix}.agent.{id}`, and one for what they
//! send back, `{prefix}.results`. Two connections, as for runs.

mod outbox;

use crate::link::Backoff;
use crate::rabbitmq::RabbitOptions;
use crate::rabbitmq::broker::{Broker, text, word};
use crate::rabbitmq::confirm::{self, Message, persistent};
use crate::rabbitmq::keep::{Link, Part, Tasks, keep, until};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};
use outbox::Outbox;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;
use tutti_engine::ports::jobs::{Fate, JobBroker, OpenJob, Reply};
use tutti_engine::ports::queue::Condition;

/// Replies that are here and not settled.
const PREFETCH: u16 = 64;
/// A reply that could not be kept comes again after so long: the store is away.
const AGAIN: Duration = Duration::from_secs(1);

/// A reply of the broker's, and what became of it.
type Word = (Acker, Fate);

/// What handle and parts share.
struct Shared {
    link: Link,
    results: String,
    outbox: Outbox,
    came: UnboundedSender<Reply>,
    tell: UnboundedSender<Word>,
}

impl Shared {
    fn queue_of(&self, job: &OpenJob) -> String {
        format!("{}.agent.{}", self.link.options.prefix, job.agent_id)
    }
}

/// Jobs over RabbitMQ. A broker that is away is a [`Condition::Down`], never an error to callers.
pub struct RabbitJobs {
    shared: Arc<Shared>,
    /// Bounded by [`PREFETCH`].
    replies: tokio::sync::Mutex<UnboundedReceiver<Reply>>,
    tasks: Tasks,
}

impl RabbitJobs {
    /// Starts to connect; whether it worked is seen in [`JobBroker::condition`]. Needs a tokio runtime around it.
    #[must_use]
    pub fn start(options: RabbitOptions) -> Self {
        let (results, parts) = (format!("{}.results", options.prefix), [Publisher::NAME, Consumer::NAME]);
        let (came, replies) = unbounded_channel();
        let (tell, words) = unbounded_channel();
        let shared = Arc::new(Shared {
            link: Link::new(options, &results, "workers may fetch jobs over HTTP meanwhile", &parts),
            results,
            outbox: Outbox::default(),
            came,
            tell,
        });
        let (publisher, consumer) = (Publisher(Arc::clone(&shared)), Consumer(Arc::clone(&shared), words));
        let tasks = Tasks::new([tokio::spawn(keep(publisher)), tokio::spawn(keep(consumer))]);
        Self { shared, replies: tokio::sync::Mutex::new(replies), tasks }
    }

    /// How it is doing, and word of each change.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Condition> {
        self.shared.link.health.news()
    }
}

impl JobBroker for RabbitJobs {
    fn open(&self, job: OpenJob) {
        if !self.shared.link.is_closing() {
            self.shared.outbox.put(job);
        }
    }

    fn next_reply(&self) -> BoxFuture<'_, Option<Reply>> {
        Box::pin(async {
            let mut replies = self.replies.lock().await;
            tokio::select! {
                biased;
                () = self.shared.link.closed() => None,
                reply = replies.recv() => reply,
            }
        })
    }

    fn reply_to(&self) -> &str {
        &self.shared.results
    }

    fn condition(&self) -> Condition {
        self.shared.link.health.condition()
    }

    fn name(&self) -> String {
        self.shared.link.health.what().to_owned()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.link.close();
            self.tasks.end().await;
        })
    }
}

impl Drop for RabbitJobs {
    fn drop(&mut self) {
        self.shared.link.close();
    }
}

/// Publishes jobs.
struct Publisher(Arc<Shared>);

impl Part for Publisher {
    const NAME: &'static str = "publish";
    const PURPOSE: &'static str = "job publisher";

    fn link(&self) -> &Link {
        &self.0.link
    }

    async fn work(&mut self, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
        publish(&self.0, broker, backoff).await
    }
}

/// Brings replies, and settles them.
struct Consumer(Arc<Shared>, UnboundedReceiver<Word>);

impl Part for Consumer {
    const NAME: &'static str = "consume";
    const PURPOSE: &'static str = "result consumer";

    fn link(&self) -> &Link {
        &self.0.link
    }

    async fn work(&mut self, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
        consume(&self.0, broker, &mut self.1, backoff).await
    }
}

/// Publishes what is offered until all is closed and nothing waits.
///
/// # Errors
/// Why the connection is of no use any more.
async fn publish(shared: &Shared, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
    let link = &shared.link;
    broker.confirm().await?;
    link.health.set(Publisher::NAME, Ok(()));
    // Queues that are there as far as this connection knows.
    let (mut known, mut was_returned) = (BTreeSet::new(), false);
    loop {
        let batch = shared.outbox.take();
        if batch.is_empty() {
            if !confirm::wait(link, &broker, shared.outbox.came()).await? {
                return Ok(());
            }
            continue;
        }
        let batch = declare(shared, &broker, &mut known, batch).await?;
        match send(shared, &broker, &batch).await {
            Ok(returned) if returned.is_empty() => {
                was_returned = false;
                backoff.reset();
            }
            // Somebody deleted their queue.
            Ok(returned) => {
                known.clear();
                let lost = batch.into_iter().filter(|job| returned.contains(&job.job_id.to_string()));
                shared.outbox.put_back(lost.collect());
                if was_returned {
                    return Err("a queue of jobs does not stay".into());
                }
                was_returned = true;
            }
            Err(reason) => {
                shared.outbox.put_back(batch);
                return Err(reason);
            }
        }
    }
}

/// Makes the queues of a batch where they are not there yet; the batch again.
async fn declare(
    shared: &Shared,
    broker: &Broker,
    known: &mut BTreeSet<String>,
    batch: Vec<OpenJob>,
) -> Result<Vec<OpenJob>, String> {
    for at in 0..batch.len() {
        let queue = shared.queue_of(&batch[at]);
        if known.contains(&queue) {
            continue;
        }
        if let Err(reason) = broker.declare_queue(&queue, agent_arguments()).await {
            // Somebody may have made it otherwise. Its jobs must not hold up those of others: they are offered again later.
            let others = batch.into_iter().filter(|job| shared.queue_of(job) != queue);
            shared.outbox.put_back(others.collect());
            return Err(format!("{queue} cannot be used: {reason}"));
        }
        known.insert(queue);
    }
    Ok(batch)
}

/// Workers that make the queue themselves say the same.
fn agent_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("classic"));
    arguments.insert("x-max-priority".into(), AMQPValue::LongInt(9));
    arguments
}

/// Publishes a batch and awaits its confirms; the ids of those that found no queue.
async fn send(shared: &Shared, broker: &Broker, batch: &[OpenJob]) -> Result<Vec<String>, String> {
    let queues: Vec<String> = batch.iter().map(|job| shared.queue_of(job)).collect();
    let messages = batch.iter().zip(&queues).map(|(job, queue)| {
        let properties = persistent("application/json", job.priority.min(9))
            .with_message_id(job.job_id.to_string().into())
            .with_reply_to(shared.results.as_str().into())
            .with_expiration(job.keep.as_millis().to_string().into());
        Message { queue, body: &job.body, properties }
    });
    let returned = confirm::publish(broker, (&shared.link.health, Publisher::NAME), messages.collect()).await?;
    let id = |delivery: Delivery| delivery.properties.message_id().as_ref().map(ToString::to_string);
    Ok(returned.into_iter().filter_map(id).collect())
}

/// Brings replies until all is closed.
///
/// # Errors
/// Why the connection is of no use any more.
async fn consume(
    shared: &Shared,
    broker: Broker,
    words: &mut UnboundedReceiver<Word>,
    backoff: &mut Backoff,
) -> Result<(), String> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("classic"));
    arguments.insert("x-dead-letter-exchange".into(), text(&shared.link.names.dead));
    broker.declare_queue(&shared.results, arguments).await?;
    let channel = &broker.channel;
    word("setting the prefetch", channel.basic_qos(PREFETCH, BasicQosOptions { global: false })).await?;
    let consumed = channel.basic_consume(
        shared.results.as_str().into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = word("consuming", consumed).await?;
    shared.link.health.set(Consumer::NAME, Ok(()));
    // Given back, but not before then.
    let mut later: VecDeque<(Instant, Acker)> = VecDeque::new();
    loop {
        let due = later.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = shared.link.closed() => break,
            Some((acker, fate)) = words.recv() => match fate {
                Fate::Back => later.push_back((Instant::now() + AGAIN, acker)),
                _ => settle(acker, fate).await?,
            },
            item = consumer.next() => match item {
                Some(delivery) => {
                    backoff.reset();
                    accept(shared, delivery.map_err(|e| e.to_string())?);
                }
                None => return Err(format!("{} was deleted", shared.results)),
            },
            () = until(due) => {
                if let Some((_, acker)) = later.pop_front() {
                    settle(acker, Fate::Back).await?;
                }
            }
            reason = broker.lost() => return Err(reason),
        }
    }
    while let Ok((acker, fate)) = words.try_recv() {
        settle(acker, fate).await?;
    }
    broker.close().await;
    Ok(())
}

fn accept(shared: &Shared, Delivery { data, acker, .. }: Delivery) {
    let tell = shared.tell.clone();
    // Nobody listens after the end: the broker takes it back with the connection.
    let settle = Box::new(move |fate| {
        let _ = tell.send((acker, fate));
    });
    let _ = shared.came.send(Reply::new(Bytes::from(data), settle));
}

/// Tells the broker. One of an older connection answers `false`: the broker has it again already.
async fn settle(acker: Acker, fate: Fate) -> Result<(), String> {
    let settled = async {
        match fate {
            Fate::Done => acker.ack(BasicAckOptions::default()).await,
            Fate::Back => acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await,
            Fate::Dead => acker.reject(BasicRejectOptions { requeue: false }).await,
        }
    };
    word("settling a reply", settled).await.map(|_| ())
}
