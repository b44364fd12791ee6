//! One process among several: hears what others call, takes offers, and lets go of everything when its lease is lost.

use crate::driver::engine::{Engine, Ports};
use crate::driver::scheduler::Offers;
use crate::driver::thread::{Gauge, Mailbox, Word};
use crate::ports::bus::Call;
use crate::ports::queue::Condition;
use crate::run::RunNo;
use crate::shard::wire::Input;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Most offers taken at once.
const OFFERS_MAX: usize = 256;
/// A store that cannot be joined now is tried again after this.
const AGAIN: Duration = Duration::from_millis(250);

/// What stands beside the store, and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Whether other processes share the store.
    pub is_shared: bool,
    /// Whether what this process holds is its own.
    pub is_owner: bool,
    /// Words between processes.
    pub bus: Condition,
    /// Offers between processes, where there is a queue: what it is, and how it does.
    pub queue: Option<(String, Condition)>,
}

impl Engine {
    /// What stands beside the store, and how it is doing.
    #[must_use]
    pub fn beside(&self) -> Beside {
        let ports = &self.inner.ports;
        let share = ports.store.share();
        Beside {
            is_shared: share.is_some(),
            is_owner: share.is_none_or(|share| share.is_owner()),
            bus: ports.bus.condition(),
            queue: ports.queue.as_ref().map(|queue| (queue.name(), queue.condition())),
        }
    }
}

pub(super) type Shards = Vec<(Mailbox, Arc<Gauge>)>;

/// Becomes one of several: starts what hears and takes.
pub(super) fn join(ports: &Ports, offers: &Offers, shards: &Shards, works: bool) -> Vec<AbortHandle> {
    let lease = keep_lease(ports.clone(), offers.clone(), shards.clone());
    let mut tasks = vec![tokio::spawn(lease).abort_handle()];
    if works {
        tasks.push(tokio::spawn(hear_calls(ports.clone(), offers.clone(), shards.clone())).abort_handle());
        tasks.push(tokio::spawn(take_offers(ports.clone(), offers.clone())).abort_handle());
    }
    tasks
}

/// The shard that a run's number belongs to.
pub(super) fn shard_of(shards: &Shards, run: RunNo) -> &Mailbox {
    &shards[usize::try_from(run.0).unwrap_or(0) % shards.len()].0
}

/// Drops what is held whenever the lease is lost, and joins anew.
pub(super) async fn keep_lease(ports: Ports, offers: Offers, shards: Shards) {
    loop {
        let Some(share) = ports.store.share() else { return };
        share.disowned().await;
        tracing::error!(
            "the store has not heard of this process for too long: what it was doing is left to others (a long pause of the machine, or a store that cannot be reached)"
        );
        let mut left = Vec::new();
        for (mailbox, _) in &shards {
            let (tell, told) = oneshot::channel();
            mailbox.send(Word::Disown(tell));
            left.push(told);
        }
        for told in left {
            let _ = told.await;
        }
        while let Err(e) = share.rejoin().await {
            tracing::warn!("the store cannot be joined again, trying again: {e}");
            tokio::time::sleep(AGAIN).await;
        }
        tracing::warn!("this process has joined again");
        offers.look();
    }
}

/// Hears what other processes call.
pub(super) async fn hear_calls(ports: Ports, offers: Offers, shards: Shards) {
    loop {
        for call in ports.bus.calls().await {
            match call {
                Call::Look => offers.look(),
                Call::Mail(run) => {
                    tokio::spawn(fetch_mail(ports.clone(), shard_of(&shards, run).clone(), run));
                }
            }
        }
    }
}

/// Gives a run that is in memory here the messages that others have put into the store.
async fn fetch_mail(ports: Ports, shard: Mailbox, run: RunNo) {
    let (tell, held) = oneshot::channel();
    shard.send(Word::Holds(vec![run], tell));
    if held.await.unwrap_or_default().is_empty() {
        return;
    }
    match ports.store.inbox(run).await {
        Ok(items) if !items.is_empty() => shard.send(Word::Input(Input::Inbox(run, items))),
        Ok(_) => {}
        Err(e) => tracing::warn!(run = run.0, "messages are read later: {e}"),
    }
}

/// Takes what the queue offers.
pub(super) async fn take_offers(ports: Ports, offers: Offers) {
    let Some(queue) = ports.queue.clone() else { return };
    loop {
        offers.offered(queue.next(OFFERS_MAX).await);
    }
}

/// Tells others that a run needs a worker. One that is under way elsewhere needs none, but may have to be told to read its inbox.
pub(super) async fn pass_on(ports: Ports, offers: Offers, run: RunNo, priority: u8) {
    match ports.store.run(run).await {
        Ok(Some(row)) if row.is_elsewhere => ports.bus.call(Call::Mail(run)),
        Ok(Some(row)) if row.status.is_terminal() => offers.left(run),
        Ok(Some(_)) => offer(&ports, run, priority),
        Ok(None) => {}
        Err(e) => tracing::warn!(run = run.0, "a run is offered later: {e}"),
    }
}

/// Offers a run to all processes.
pub(super) fn offer(ports: &Ports, run: RunNo, priority: u8) {
    match &ports.queue {
        Some(queue) => queue.offer(run, priority),
        None => ports.bus.call(Call::Look),
    }
}
