//! One connection with its channel, and what must be there before it is used.

use crate::rabbitmq::RabbitOptions;
use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that the broker may take for a word of its own.
pub(super) const WORD_MAX: Duration = Duration::from_secs(10);
/// A peer that says nothing for twice as long is gone.
const HEARTBEAT_S: u16 = 10;
/// How often a connection that says nothing is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Dead letters that are kept; older ones go first. They are there to be seen, not to fill a disk.
const DEAD_MAX: i32 = 10_000;

/// What our queues are called.
pub(super) struct Names {
    pub runs: String,
    pub dead: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self { runs: format!("{prefix}.runs"), dead: format!("{prefix}.dead") }
    }
}

/// An open connection; it closes when it is dropped.
pub(super) struct Broker {
    pub channel: Channel,
    connection: Connection,
}

/// Awaits something of the broker's.
///
/// # Errors
/// What it said, or that it said nothing.
pub(super) async fn word<T>(what: &str, of: impl Future<Output = lapin::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(WORD_MAX, of).await {
        Ok(said) => said.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer to {what} within {} s", WORD_MAX.as_secs())),
    }
}

impl Broker {
    /// Connects, and declares what is needed.
    ///
    /// # Errors
    /// What is in the way, in words.
    pub async fn connect(options: &RabbitOptions, names: &Names, purpose: &str) -> Result<Self, String> {
        let title = format!("{} {purpose} ({})", options.prefix, std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(title.into());
        let connection = word("a new connection", Connection::connect_uri(uri(options), properties)).await?;
        let channel = word("a new channel", connection.create_channel()).await?;
        let this = Self { channel, connection };
        this.declare(names).await?;
        Ok(this)
    }

    /// Makes the queues where they are not there. Somebody may delete them at any time; what they held is found in the store.
    pub async fn declare(&self, names: &Names) -> Result<(), String> {
        let mut dead = FieldTable::default();
        dead.insert("x-queue-type".into(), text("classic"));
        dead.insert("x-max-length".into(), AMQPValue::LongInt(DEAD_MAX));
        let exchange = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = self.channel.exchange_declare(
            names.dead.as_str().into(),
            ExchangeKind::Fanout,
            exchange,
            FieldTable::default(),
        );
        word("declaring an exchange", declared).await?;
        self.declare_queue(&names.dead, dead).await?;
        let (queue, exchange) = (names.dead.as_str().into(), names.dead.as_str().into());
        let bound =
            self.channel.queue_bind(queue, exchange, "".into(), QueueBindOptions::default(), FieldTable::default());
        word("binding a queue", bound).await?;
        let mut runs = FieldTable::default();
        // Said, because a virtual host may have another default, and only classic queues know priorities.
        runs.insert("x-queue-type".into(), text("classic"));
        runs.insert("x-max-priority".into(), AMQPValue::LongInt(9));
        runs.insert("x-dead-letter-exchange".into(), text(&names.dead));
        self.declare_queue(&names.runs, runs).await
    }

    /// Makes a durable queue where it is not there.
    pub async fn declare_queue(&self, name: &str, arguments: FieldTable) -> Result<(), String> {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        word("declaring a queue", self.channel.queue_declare(name.into(), durable, arguments)).await.map(|_| ())
    }

    /// Has what is published confirmed.
    pub async fn confirm(&self) -> Result<(), String> {
        word("asking for confirms", self.channel.confirm_select(ConfirmSelectOptions::default())).await
    }

    /// Whether the broker takes nothing that is published, for want of memory or disk.
    pub fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Resolves with the reason when the connection or its channel is lost.
    pub async fn lost(&self) -> String {
        while self.connection.status().connected() && self.channel.status().connected() {
            tokio::time::sleep(LOOK).await;
        }
        "the connection has ended".into()
    }

    /// Says goodbye. What is unsettled goes back into the queue.
    pub async fn close(&self) {
        let _ = word("closing", self.connection.close(200, "OK".into())).await;
    }
}

/// Whether something that speaks AMQP answers at all. The client library keeps a thread for each attempt that was given up, so a
/// broker that takes connections and then says nothing is asked this way first.
///
/// # Errors
/// Why not, in words.
pub(super) async fn speaks(options: &RabbitOptions) -> Result<(), String> {
    let asked = async {
        let mut stream = TcpStream::connect((options.host.as_str(), options.port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_exact(&mut [0; 1]).await.map(|_| ())
    };
    match tokio::time::timeout(WORD_MAX, asked).await {
        Ok(answered) => answered.map_err(|e| e.to_string()),
        Err(_) => Err(format!("it takes connections and says nothing within {} s", WORD_MAX.as_secs())),
    }
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn uri(options: &RabbitOptions) -> AMQPUri {
    let query = AMQPQueryString {
        heartbeat: Some(HEARTBEAT_S),
        connection_timeout: Some(u64::try_from(WORD_MAX.as_millis()).unwrap_or(u64::MAX)),
        ..AMQPQueryString::default()
    };
    let userinfo = AMQPUserInfo { username: options.user.clone(), password: options.password.clone() };
    let authority = AMQPAuthority { userinfo, host: options.host.clone(), port: options.port };
    AMQPUri { scheme: AMQPScheme::AMQP, authority, vhost: options.vhost.clone(), query }
}
