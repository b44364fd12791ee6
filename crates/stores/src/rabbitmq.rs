//! RabbitMQ: which process takes which run. One durable queue with priorities; what no run number can be read from goes to a dead
//! letter queue that people can look into.
//!
//! Two connections, because a broker in need of memory stops reading from those that publish, and acknowledgements must still pass.
//! Each has its task: declares what it needs, works until something breaks, waits a little, begins anew, for ever.

mod broker;
mod confirm;
mod consume;
mod jobs;
mod keep;
mod offers;
mod publish;

pub use jobs::RabbitJobs;

use broker::Names;
use consume::Consumer;
use futures_util::future::BoxFuture;
use keep::{Link, Part, Tasks, keep};
use offers::Offers;
use publish::{Outbox, Publisher};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tutti_engine::ports::queue::{Condition, Offered, Queue};
use tutti_engine::run::RunNo;

/// Where the broker is and how this process uses it.
#[derive(Clone)]
pub struct RabbitOptions {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are.
    pub user: String,
    /// The proof of it.
    pub password: String,
    /// The virtual host that holds our queues.
    pub vhost: String,
    /// What the names of our queues begin with: `{prefix}.runs`, `{prefix}.agent.{id}`, `{prefix}.results` and
    /// `{prefix}.dead`.
    pub prefix: String,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 5672,
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            prefix: "tutti".into(),
        }
    }
}

impl fmt::Debug for RabbitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, vhost, prefix, .. } = self;
        write!(f, "RabbitOptions({user}@{host}:{port}{vhost}, {prefix})")
    }
}

/// What handle and parts share.
struct Shared {
    link: Link,
    outbox: Outbox,
    offers: Offers,
}

/// Offers between processes over RabbitMQ. A broker that is away is a [`Condition::Down`], never an error to callers.
pub struct RabbitQueue {
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl RabbitQueue {
    /// Starts to connect; whether it worked is seen in [`Queue::condition`]. Needs a tokio runtime around it.
    #[must_use]
    pub fn start(options: RabbitOptions) -> Self {
        let (runs, parts) = (Names::new(&options.prefix).runs, [Publisher::NAME, Consumer::NAME]);
        let meanwhile = "runs are found by looking into the store meanwhile";
        let (tell, words) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            link: Link::new(options, &runs, meanwhile, &parts),
            outbox: Outbox::default(),
            offers: Offers::new(tell),
        });
        let (publisher, consumer) = (Publisher(Arc::clone(&shared)), Consumer::new(Arc::clone(&shared), words));
        Self { shared, tasks: Tasks::new([tokio::spawn(keep(publisher)), tokio::spawn(keep(consumer))]) }
    }

    /// How it is doing, and word of each change.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Condition> {
        self.shared.link.health.news()
    }
}

impl Queue for RabbitQueue {
    fn offer(&self, run: RunNo, priority: u8) {
        if !self.shared.link.is_closing() {
            self.shared.outbox.put(run, priority.min(9));
        }
    }

    fn room(&self, free: usize) {
        self.shared.offers.room(free);
    }

    fn next(&self, max: usize) -> BoxFuture<'_, Vec<Offered>> {
        Box::pin(self.shared.offers.next(max))
    }

    fn condition(&self) -> Condition {
        self.shared.link.health.condition()
    }

    fn name(&self) -> String {
        self.shared.link.health.what().to_owned()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.offers.close();
            self.shared.link.close();
            self.tasks.end().await;
        })
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.shared.offers.close();
        self.shared.link.close();
    }
}
