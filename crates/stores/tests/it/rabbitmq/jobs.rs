//! Jobs for workers: the broker's suite on a real node.

use crate::up;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tutti_engine::conformance::jobs;
use tutti_engine::ports::jobs::JobBroker;
use tutti_stores::rabbitmq::{RabbitJobs, RabbitOptions};
use tutti_tests::backends::amqp::Amqp;
use tutti_tests::backends::rabbitmq::RabbitMq;
use tutti_tests::backends::skip;

/// Workers that speak AMQP.
struct Workers {
    server: Arc<RabbitMq>,
    prefix: String,
    /// Consumers, by their queue.
    consumers: Mutex<BTreeMap<String, Amqp>>,
}

impl Workers {
    fn queue_of(&self, agent_id: &str) -> String {
        format!("{}.agent.{agent_id}", self.prefix)
    }

    /// The next message of a queue, acknowledged.
    async fn next(&self, queue: String) -> Bytes {
        let mut consumers = self.consumers.lock().await;
        if !consumers.contains_key(&queue) {
            let mut hand = self.server.amqp().await;
            hand.consume(&queue).await.unwrap();
            consumers.insert(queue.clone(), hand);
        }
        let consumer = consumers.get_mut(&queue).unwrap();
        let (tag, body) = consumer.next().await.unwrap();
        consumer.ack(tag).await.unwrap();
        body.into()
    }
}

impl jobs::Workers for Workers {
    fn take<'a>(&'a self, agent_id: &'a str) -> BoxFuture<'a, Bytes> {
        Box::pin(async {
            let queue = self.queue_of(agent_id);
            self.server.amqp().await.declare_jobs(&queue).await.unwrap();
            self.next(queue).await
        })
    }

    fn waiting<'a>(&'a self, agent_id: &'a str) -> BoxFuture<'a, usize> {
        Box::pin(async {
            let (mut hand, queue) = (self.server.amqp().await, self.queue_of(agent_id));
            hand.declare_jobs(&queue).await.unwrap();
            hand.count(&queue).await.unwrap() as usize
        })
    }

    fn reply<'a>(&'a self, to: &'a str, body: &'static [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.server.amqp().await.publish(to, body).await.unwrap() })
    }

    fn aside(&self) -> BoxFuture<'_, Bytes> {
        Box::pin(self.next(format!("{}.dead", self.prefix)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_over_rabbitmq_keep_the_contract() {
    let Some(server) = RabbitMq::shared().await else { return skip("RabbitMQ") };
    let mut failed = Vec::new();
    for case in jobs::cases() {
        let prefix = server.prefix();
        let options = RabbitOptions { port: server.port(), prefix: prefix.clone(), ..RabbitOptions::default() };
        let ends = [RabbitJobs::start(options.clone()), RabbitJobs::start(options)];
        // Workers reply to who has offered them something.
        for end in &ends {
            up(end.news()).await;
        }
        let ends = ends.map(|end| Arc::new(end) as Arc<dyn JobBroker>);
        let workers = Arc::new(Workers { server: server.clone(), prefix, consumers: Mutex::default() });
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run(jobs::Trial { ends, workers })).await;
        failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}
