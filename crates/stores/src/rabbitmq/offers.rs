//! What this process was sent: waiting to be asked for, best first, and never more at once than there is room for.

use lapin::Acker;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tutti_engine::ports::queue::{Offered, Settled};
use tutti_engine::run::RunNo;

/// A delivery that must be settled.
pub(super) struct Held {
    pub acker: Acker,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// Which consumer it came by.
    pub consumer: u64,
    /// It was given back before, by us or another.
    pub is_again: bool,
}

/// What became of a delivery.
pub(super) type Word = (Held, Settled);

/// Highest priority first, then in the order of arrival.
type Rank = (Reverse<u8>, u64);

#[derive(Default)]
struct State {
    room: usize,
    unsettled: usize,
    /// What is here or out, by the consumer that it came by.
    held: BTreeMap<u64, usize>,
    ready: BTreeMap<Rank, (RunNo, Held)>,
    arrivals: u64,
    is_closed: bool,
}

struct Inner {
    state: Mutex<State>,
    /// Something may be handed out.
    came: Notify,
    /// There is another room.
    turned: Notify,
    /// Bounded by what is unsettled.
    tell: UnboundedSender<Word>,
}

/// Shared by who asks, who brings, and every offer that is out.
pub(super) struct Offers(Arc<Inner>);

impl Offers {
    pub fn new(tell: UnboundedSender<Word>) -> Self {
        let (state, came, turned) = (Mutex::default(), Notify::new(), Notify::new());
        Self(Arc::new(Inner { state, came, turned, tell }))
    }

    /// The latest word about room. Offers that are out and not settled count against it: they are runs that are about to be taken.
    pub fn room(&self, free: usize) {
        let before = std::mem::replace(&mut self.0.lock().room, free);
        if before != free {
            self.0.turned.notify_one();
            self.0.came.notify_waiters();
        }
    }

    /// How much room there is; nothing when closed.
    pub fn free(&self) -> usize {
        let state = self.0.lock();
        if state.is_closed { 0 } else { state.room }
    }

    /// Resolves when there was another word about room since this resolved last.
    pub async fn turned(&self) {
        self.0.turned.notified().await;
    }

    /// Something came.
    pub fn push(&self, run: RunNo, held: Held) {
        let mut state = self.0.lock();
        let rank = (Reverse(held.priority), state.arrivals);
        state.arrivals += 1;
        *state.held.entry(held.consumer).or_default() += 1;
        state.ready.insert(rank, (run, held));
        drop(state);
        self.0.came.notify_waiters();
    }

    /// What waits here and finds no room, worst first.
    pub fn surplus(&self) -> Vec<Held> {
        let mut state = self.0.lock();
        let keep = if state.is_closed { 0 } else { state.room.saturating_sub(state.unsettled) };
        let over = state.ready.len().saturating_sub(keep);
        let surplus: Vec<Held> = (0..over).filter_map(|_| state.ready.pop_last()).map(|(_, (_, held))| held).collect();
        surplus.iter().for_each(|held| state.let_go(held));
        surplus
    }

    /// What is here or out and came by others than this consumer: its prefetch does not count that.
    pub fn beside(&self, consumer: u64) -> usize {
        self.0.lock().held.iter().filter(|(of, _)| **of != consumer).map(|(_, count)| count).sum()
    }

    /// The connection is lost, and with it what waited here: the broker has it again.
    pub fn forget(&self) {
        let mut state = self.0.lock();
        for (_, (_, held)) in std::mem::take(&mut state.ready) {
            state.let_go(&held);
        }
    }

    /// Nothing is handed out any more.
    pub fn close(&self) {
        self.0.lock().is_closed = true;
    }

    /// The next offers, best first, at most `max`.
    pub async fn next(&self, max: usize) -> Vec<Offered> {
        loop {
            let came = self.0.came.notified();
            tokio::pin!(came);
            // Before looking, so that nothing falls between.
            came.as_mut().enable();
            let offers = self.take(max);
            if !offers.is_empty() || max == 0 {
                return offers;
            }
            came.await;
        }
    }

    fn take(&self, max: usize) -> Vec<Offered> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Vec::new();
        }
        let count = max.min(state.room.saturating_sub(state.unsettled)).min(state.ready.len());
        state.unsettled += count;
        let best: Vec<_> = (0..count).filter_map(|_| state.ready.pop_first()).collect();
        drop(state);
        let offer = |(_, (run, held)): (Rank, (RunNo, Held))| {
            let inner = Arc::clone(&self.0);
            Offered::new(run, held.priority, Box::new(move |how| inner.settled(held, how)))
        };
        best.into_iter().map(offer).collect()
    }
}

impl State {
    fn let_go(&mut self, held: &Held) {
        if let Some(count) = self.held.get_mut(&held.consumer) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&held.consumer);
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self, held: Held, how: Settled) {
        let mut state = self.lock();
        state.unsettled -= 1;
        state.let_go(&held);
        drop(state);
        // Nobody listens after the end: the broker takes it back with the connection.
        let _ = self.tell.send((held, how));
        self.came.notify_waiters();
    }
}
