//! Offers between engines in one process: tests, and the measure of queues that are far away.

use crate::ports::queue::{Condition, Offered, Queue, Settled};
use crate::run::RunNo;
use futures_util::future::BoxFuture;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Highest priority first, then in the order of arrival.
type Rank = (Reverse<u8>, u64);

/// A queue's one end; [`another`](Self::another) is as that of another process.
pub struct MemoryQueue {
    state: Arc<Mutex<State>>,
    end: u64,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Rank, RunNo>,
    arrivals: u64,
    ends: BTreeMap<u64, End>,
    next_end: u64,
}

#[derive(Default)]
struct End {
    room: usize,
    /// Offers that are out.
    out: BTreeMap<Rank, RunNo>,
    wakers: Vec<Waker>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes something, and has whoever waits look again; not under the lock, for who is woken may come at once.
fn change(state: &Mutex<State>, how: impl FnOnce(&mut State)) {
    let mut locked = lock(state);
    how(&mut locked);
    let wakers: Vec<Waker> = locked.ends.values_mut().flat_map(|end| std::mem::take(&mut end.wakers)).collect();
    drop(locked);
    wakers.into_iter().for_each(Waker::wake);
}

impl State {
    /// Whoever has this end gets nothing more, and what is out there is here again.
    fn leave(&mut self, end: u64) {
        if let Some(gone) = self.ends.remove(&end) {
            self.waiting.extend(gone.out);
        }
    }

    fn settle(&mut self, end: u64, rank: Rank, how: Settled) {
        // One that has left gave everything back when it did.
        let Some(run) = self.ends.get_mut(&end).and_then(|end| end.out.remove(&rank)) else { return };
        if how == Settled::Back {
            self.waiting.insert(rank, run);
        }
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryQueue {
    /// An empty queue with one end.
    #[must_use]
    pub fn new() -> Self {
        Self::end(Arc::default())
    }

    /// One more end of the same queue.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::end(Arc::clone(&self.state))
    }

    fn end(state: Arc<Mutex<State>>) -> Self {
        let mut locked = lock(&state);
        let end = locked.next_end;
        locked.next_end += 1;
        locked.ends.insert(end, End::default());
        drop(locked);
        Self { state, end }
    }

    fn take(&self, max: usize, waker: &Waker) -> Poll<Vec<Offered>> {
        let mut state = lock(&self.state);
        let State { waiting, ends, .. } = &mut *state;
        // Closed: nothing comes any more.
        let Some(end) = ends.get_mut(&self.end) else { return Poll::Pending };
        let count = max.min(end.room.saturating_sub(end.out.len()));
        let best: Vec<(Rank, RunNo)> = (0..count).map_while(|_| waiting.pop_first()).collect();
        if best.is_empty() && max > 0 {
            if !end.wakers.iter().any(|known| known.will_wake(waker)) {
                end.wakers.push(waker.clone());
            }
            return Poll::Pending;
        }
        end.out.extend(best.iter().copied());
        let offers = best.into_iter().map(|(rank, run)| {
            let (of, end) = (Arc::clone(&self.state), self.end);
            Offered::new(run, rank.0.0, Box::new(move |how| change(&of, |state| state.settle(end, rank, how))))
        });
        Poll::Ready(offers.collect())
    }
}

impl Queue for MemoryQueue {
    fn offer(&self, run: RunNo, priority: u8) {
        change(&self.state, |state| {
            let rank = (Reverse(priority), state.arrivals);
            state.arrivals += 1;
            state.waiting.insert(rank, run);
        });
    }

    fn room(&self, free: usize) {
        change(&self.state, |state| {
            if let Some(end) = state.ends.get_mut(&self.end) {
                end.room = free;
            }
        });
    }

    fn next(&self, max: usize) -> BoxFuture<'_, Vec<Offered>> {
        Box::pin(poll_fn(move |cx| self.take(max, cx.waker())))
    }

    fn condition(&self) -> Condition {
        Condition::Up
    }

    fn name(&self) -> String {
        "in memory".into()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        change(&self.state, |state| state.leave(self.end));
        Box::pin(std::future::ready(()))
    }
}

impl Drop for MemoryQueue {
    fn drop(&mut self) {
        change(&self.state, |state| state.leave(self.end));
    }
}
