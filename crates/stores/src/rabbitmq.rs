//! RabbitMQ: which process takes which run. One durable queue with priorities; what no run number can be read from goes to a dead
//! letter queue that people can look into.
//!
//! Two connections, because a broker in need of memory stops reading from those that publish, and acknowledgements must still pass.
//! Each has its task: declares what it needs, works until something breaks, waits a little, begins anew, for ever.

mod broker;
mod consume;
mod jobs;
mod offers;
mod publish;

pub use jobs::RabbitJobs;

use crate::link::Health;
use broker::Names;
use futures_util::future::{BoxFuture, join_all};
use offers::Offers;
use publish::Outbox;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tutti_engine::ports::queue::{Condition, Offered, Queue};
use tutti_engine::run::RunNo;

/// The longest that closing waits for what was offered to be confirmed, and for the broker to be told.
const CLOSE_MAX: Duration = Duration::from_secs(5);

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

/// What handle and tasks share.
struct Shared {
    options: RabbitOptions,
    names: Names,
    health: Health,
    outbox: Outbox,
    offers: Offers,
    closing: watch::Sender<bool>,
}

impl Shared {
    /// Resolves when the queue is closed.
    async fn closed(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}

/// Offers between processes over RabbitMQ. A broker that is away is a [`Condition::Down`], never an error to callers.
pub struct RabbitQueue {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RabbitQueue {
    /// Starts to connect; whether it worked is seen in [`Queue::condition`]. Needs a tokio runtime around it.
    #[must_use]
    pub fn start(options: RabbitOptions) -> Self {
        let names = Names::new(&options.prefix);
        let what = format!("RabbitMQ ({}:{}, queue {})", options.host, options.port, names.runs);
        let meanwhile = "runs are found by looking into the store meanwhile";
        let (tell, words) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            options,
            names,
            health: Health::new(what, meanwhile, &[publish::PART, consume::PART]),
            outbox: Outbox::default(),
            offers: Offers::new(tell),
            closing: watch::Sender::new(false),
        });
        let tasks = vec![
            tokio::spawn(publish::run(Arc::clone(&shared))),
            tokio::spawn(consume::run(Arc::clone(&shared), words)),
        ];
        Self { shared, tasks: Mutex::new(tasks) }
    }
}

impl Queue for RabbitQueue {
    fn offer(&self, run: RunNo, priority: u8) {
        if !self.shared.is_closing() {
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
        self.shared.health.condition()
    }

    fn name(&self) -> String {
        self.shared.health.what().to_owned()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.offers.close();
            self.shared.closing.send_replace(true);
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            let stops: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
            if tokio::time::timeout(CLOSE_MAX, join_all(tasks)).await.is_err() {
                // What was not confirmed is found in the store; what was not given back goes back with the connection.
                stops.iter().for_each(tokio::task::AbortHandle::abort);
            }
        })
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.shared.offers.close();
        self.shared.closing.send_replace(true);
    }
}
