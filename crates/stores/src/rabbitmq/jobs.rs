//! Jobs for workers that speak AMQP: a durable queue with priorities for each agent, `{prefix}.agent.{id}`, and one for what they
//! send back, `{prefix}.results`. Two connections, as for runs.

mod outbox;

use crate::link::{Backoff, Health};
use crate::rabbitmq::broker::{Broker, Names, WORD_MAX, speaks, text, word};
use crate::rabbitmq::{CLOSE_MAX, RabbitOptions};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all, try_join_all};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel};
use outbox::Outbox;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tutti_engine::ports::jobs::{Fate, JobBroker, OpenJob, Reply};
use tutti_engine::ports::queue::Condition;

const PUBLISH: &str = "publish";
const CONSUME: &str = "consume";
/// Replies that are here and not settled.
const PREFETCH: u16 = 64;
/// A reply that could not be kept comes again after so long: the store is away.
const AGAIN: Duration = Duration::from_secs(1);

/// A reply of the broker's, and what became of it.
type Word = (Acker, Fate);

/// What handle and tasks share.
struct Shared {
    options: RabbitOptions,
    names: Names,
    results: String,
    health: Health,
    outbox: Outbox,
    came: UnboundedSender<Reply>,
    tell: UnboundedSender<Word>,
    closing: watch::Sender<bool>,
}

impl Shared {
    async fn closed(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    fn queue_of(&self, job: &OpenJob) -> String {
        format!("{}.agent.{}", self.options.prefix, job.agent_id)
    }
}

/// Jobs over RabbitMQ. A broker that is away is a [`Condition::Down`], never an error to callers.
pub struct RabbitJobs {
    shared: Arc<Shared>,
    /// Bounded by [`PREFETCH`].
    replies: tokio::sync::Mutex<UnboundedReceiver<Reply>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RabbitJobs {
    /// Starts to connect; whether it worked is seen in [`JobBroker::condition`]. Needs a tokio runtime around it.
    #[must_use]
    pub fn start(options: RabbitOptions) -> Self {
        let (names, results) = (Names::new(&options.prefix), format!("{}.results", options.prefix));
        let what = format!("RabbitMQ ({}:{}, queue {results})", options.host, options.port);
        let (came, replies) = unbounded_channel();
        let (tell, words) = unbounded_channel();
        let shared = Arc::new(Shared {
            health: Health::new(what, "workers may fetch jobs over HTTP meanwhile", &[PUBLISH, CONSUME]),
            options,
            names,
            results,
            outbox: Outbox::default(),
            came,
            tell,
            closing: watch::Sender::new(false),
        });
        let task = |work| tokio::spawn(keep(Arc::clone(&shared), work));
        let tasks = vec![task(Work::Publish), task(Work::Consume(words))];
        Self { shared, replies: tokio::sync::Mutex::new(replies), tasks: Mutex::new(tasks) }
    }
}

impl JobBroker for RabbitJobs {
    fn open(&self, job: OpenJob) {
        if !self.shared.is_closing() {
            self.shared.outbox.put(job);
        }
    }

    fn next_reply(&self) -> BoxFuture<'_, Option<Reply>> {
        Box::pin(async {
            let mut replies = self.replies.lock().await;
            tokio::select! {
                biased;
                () = self.shared.closed() => None,
                reply = replies.recv() => reply,
            }
        })
    }

    fn reply_to(&self) -> &str {
        &self.shared.results
    }

    fn condition(&self) -> Condition {
        self.shared.health.condition()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.closing.send_replace(true);
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            let stops: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
            if tokio::time::timeout(CLOSE_MAX, join_all(tasks)).await.is_err() {
                // What was not confirmed is offered again; what was not settled goes back with the connection.
                stops.iter().for_each(tokio::task::AbortHandle::abort);
            }
        })
    }
}

impl Drop for RabbitJobs {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

/// What a task does with its connection.
enum Work {
    Publish,
    Consume(UnboundedReceiver<Word>),
}

/// Does a task's work over one connection after another, until all is closed.
async fn keep(shared: Arc<Shared>, mut work: Work) {
    let (part, purpose) = match work {
        Work::Publish => (PUBLISH, "job publisher"),
        Work::Consume(_) => (CONSUME, "result consumer"),
    };
    let (mut backoff, mut may_be_mute) = (Backoff::new(), false);
    loop {
        let attempt = async {
            if may_be_mute {
                speaks(&shared.options).await?;
            }
            Broker::connect(&shared.options, &shared.names, purpose).await
        };
        let attempt = tokio::select! {
            attempt = attempt => attempt,
            // Nobody is there to take what is left.
            () = shared.closed() => return,
        };
        may_be_mute = attempt.is_err();
        let ended = match (attempt, &mut work) {
            (Err(reason), _) => Err(reason),
            (Ok(broker), Work::Publish) => publish(&shared, broker, &mut backoff).await,
            (Ok(broker), Work::Consume(words)) => consume(&shared, broker, words, &mut backoff).await,
        };
        let Err(reason) = ended else { return };
        shared.health.set(part, Err(reason));
        tokio::select! {
            () = shared.closed() => return,
            () = tokio::time::sleep(backoff.pause()) => {}
        }
    }
}

/// Publishes what is offered until all is closed and nothing waits.
///
/// # Errors
/// Why the connection is of no use any more.
async fn publish(shared: &Shared, broker: Broker, backoff: &mut Backoff) -> Result<(), String> {
    broker.confirm().await?;
    shared.health.set(PUBLISH, Ok(()));
    // Queues that are there as far as this connection knows.
    let (mut known, mut was_returned) = (BTreeSet::new(), false);
    loop {
        let batch = shared.outbox.take();
        if batch.is_empty() {
            if shared.is_closing() {
                broker.close().await;
                return Ok(());
            }
            tokio::select! {
                () = shared.outbox.came() => {}
                () = shared.closed() => {}
                reason = broker.lost() => return Err(reason),
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

/// Publishes a batch and awaits its confirms; which of it found no queue. A broker that is short of memory is waited for.
async fn send(shared: &Shared, broker: &Broker, batch: &[OpenJob]) -> Result<Vec<String>, String> {
    let sending = send_all(&broker.channel, shared, batch);
    tokio::pin!(sending);
    let mut was_blocked = false;
    loop {
        tokio::select! {
            sent = &mut sending => {
                if was_blocked && sent.is_ok() {
                    shared.health.set(PUBLISH, Ok(()));
                }
                return sent;
            }
            () = tokio::time::sleep(WORD_MAX) => {
                if !broker.is_blocked() {
                    return Err(format!("no confirm within {} s", WORD_MAX.as_secs()));
                }
                was_blocked = true;
                shared.health.set(PUBLISH, Err("it is short of memory or disk and takes no messages".into()));
            }
        }
    }
}

async fn send_all(channel: &Channel, shared: &Shared, batch: &[OpenJob]) -> Result<Vec<String>, String> {
    // What nobody would get must come back, or a deleted queue would swallow it in silence.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let queues: Vec<String> = batch.iter().map(|job| shared.queue_of(job)).collect();
    let sent = batch.iter().zip(&queues).map(|(job, queue)| {
        let persistent = 2;
        let properties = BasicProperties::default()
            .with_delivery_mode(persistent)
            .with_priority(job.priority.min(9))
            .with_content_type("application/json".into())
            .with_message_id(job.job_id.to_string().into())
            .with_reply_to(shared.results.as_str().into())
            .with_expiration(job.keep.as_millis().to_string().into());
        channel.basic_publish("".into(), queue.as_str().into(), options, &job.body, properties)
    });
    let confirms = try_join_all(sent).await.map_err(|e| e.to_string())?;
    let mut returned = Vec::new();
    for confirm in try_join_all(confirms).await.map_err(|e| e.to_string())? {
        if confirm.is_nack() {
            return Err("it could not keep what was published".into());
        }
        if let Some(message) = confirm.take_message() {
            returned.extend(message.delivery.properties.message_id().as_ref().map(ToString::to_string));
        }
    }
    Ok(returned)
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
    arguments.insert("x-dead-letter-exchange".into(), text(&shared.names.dead));
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
    shared.health.set(CONSUME, Ok(()));
    // Given back, but not before then.
    let mut later: VecDeque<(Instant, Acker)> = VecDeque::new();
    loop {
        let due = later.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = shared.closed() => break,
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

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
