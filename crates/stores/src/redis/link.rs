//! One connection that many commands share, made again whenever it is lost. While it is away, asking costs nothing and answers
//! nothing.

use crate::link::{Backoff, Health};
use crate::redis::health;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, ServerErrorKind, cmd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// As it is called in the link's condition.
pub(super) const PART: &str = "commands";
/// The longest that a command may take: who asks goes on without.
const COMMAND_MAX: Duration = Duration::from_millis(200);
/// The longest that a new connection may take. Nobody waits for it.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(2);
/// So many commands in a row that were not answered in time end the connection.
const LATE_MAX: u32 = 3;
/// How often an idle connection is asked whether it lives.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// With its number: what an older one says late concerns it no more.
type Connection = (u64, MultiplexedConnection);

/// What all that is used of one Redis shares.
pub(super) struct Link {
    pub client: Client,
    pub prefix: String,
    pub health: Arc<Health>,
    connection: Mutex<Option<Connection>>,
    /// Whether there is a connection; tells when that changes.
    pub is_up: watch::Sender<bool>,
    lost: Arc<Notify>,
    late: AtomicU32,
    /// It refused to write, and it was said.
    has_refused: AtomicBool,
    advice: Mutex<Option<String>>,
    keeper: Mutex<Option<AbortHandle>>,
}

impl Link {
    pub fn start(client: Client, prefix: String) -> Arc<Self> {
        let link = Arc::new(Self {
            health: health(&client),
            client,
            prefix,
            connection: Mutex::default(),
            is_up: watch::Sender::new(false),
            lost: Arc::default(),
            late: AtomicU32::new(0),
            has_refused: AtomicBool::new(false),
            advice: Mutex::default(),
            keeper: Mutex::default(),
        });
        // It holds no more than a weak hand, so that the last user ends it.
        let keeper = tokio::spawn(keep(Arc::downgrade(&link))).abort_handle();
        *link.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        link
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks Redis something; `None` when it is away, does not answer in time, or will not do it.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let (number, mut connection) = self.connection().clone()?;
        match tokio::time::timeout(COMMAND_MAX, command.query_async(&mut connection)).await {
            Ok(Ok(answer)) => {
                self.late.store(0, Ordering::Relaxed);
                Some(answer)
            }
            Ok(Err(e)) if e.is_io_error() || e.is_connection_dropped() => {
                self.lose(number, e.to_string());
                None
            }
            Ok(Err(e)) => {
                self.refused(&e);
                None
            }
            Err(_) => {
                if self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_MAX {
                    self.lose(number, format!("no answer within {} ms", COMMAND_MAX.as_millis()));
                }
                None
            }
        }
    }

    /// Full, or a copy that may only be read: worth a line, for it will last.
    fn refused(&self, e: &redis::RedisError) {
        let will_last =
            matches!(e.kind(), redis::ErrorKind::Server(ServerErrorKind::ReadOnly)) || e.code() == Some("OOM");
        if will_last && !self.has_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!("{} refuses to write, so nothing is cached: {e}", self.health.what());
        } else {
            tracing::debug!("{} refused: {e}", self.health.what());
        }
    }

    fn lose(&self, number: u64, reason: String) {
        let lost = self.connection().take_if(|(of, _)| *of == number);
        if lost.is_some() {
            self.is_up.send_replace(false);
            self.health.set(PART, Err(reason));
            self.lost.notify_one();
        }
    }

    pub fn advice(&self) -> Option<String> {
        self.advice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(CONNECT_MAX));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        // One that is still reading its file, or wants a password, says so now.
        cmd("PING").query_async::<()>(&mut connection).await?;
        // Not everybody may ask, and nothing hangs on it.
        let memory: Option<String> = cmd("INFO").arg("memory").query_async(&mut connection).await.ok();
        let advice = memory.and_then(|info| advice(&info));
        let before =
            std::mem::replace(&mut *self.advice.lock().unwrap_or_else(PoisonError::into_inner), advice.clone());
        if let Some(advice) = advice.filter(|advice| before.as_ref() != Some(advice)) {
            tracing::warn!("{}: {advice}", self.health.what());
        }
        Ok(connection)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

/// Connects, and connects again, for as long as somebody uses it.
async fn keep(weak: Weak<Link>) {
    let (mut backoff, mut number) = (Backoff::new(), 0);
    while let Some(link) = weak.upgrade() {
        let reason = match tokio::time::timeout(CONNECT_MAX * 2, link.connect()).await {
            Ok(Ok(connection)) => {
                number += 1;
                *link.connection() = Some((number, connection));
                link.late.store(0, Ordering::Relaxed);
                link.has_refused.store(false, Ordering::Relaxed);
                link.health.set(PART, Ok(()));
                link.is_up.send_replace(true);
                backoff.reset();
                let lost = Arc::clone(&link.lost);
                drop(link);
                stay(&weak, &lost).await;
                continue;
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("it takes connections and does not answer within {} s", CONNECT_MAX.as_secs() * 2),
        };
        link.health.set(PART, Err(reason));
        drop(link);
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Resolves when the connection is lost. One that nobody uses is asked now and then.
async fn stay(weak: &Weak<Link>, lost: &Notify) {
    while tokio::time::timeout(LOOK, lost.notified()).await.is_err() {
        let Some(link) = weak.upgrade() else { return };
        link.ask::<()>(&cmd("PING")).await;
    }
}

/// What its settings mean here, if anything should be changed.
fn advice(info: &str) -> Option<String> {
    let field = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let policy = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys-"))?;
    Some(format!(
        "maxmemory-policy is {policy}: when its memory is full it throws out any key, so counters of limits begin anew too early, \
         and what other programs keep there without a time to live is lost to our cache; volatile-lru is better, or a Redis of its own \
         (no run is in danger: none of them is kept there)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_throw_out_any_key_are_told() {
        let info = |policy: &str| format!("# Memory\r\nused_memory:1\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n");
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            assert!(advice(&info(policy)).unwrap().contains(policy));
        }
        for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
            assert_eq!(advice(&info(policy)), None);
        }
        assert_eq!(advice(""), None);
    }
}
