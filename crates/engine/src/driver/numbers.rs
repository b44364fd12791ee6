//! Run numbers: each shard takes those with its own remainder, so a run's shard is known from its number.

use crate::ports::store::{Store, StoreError};
use crate::run::RunNo;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Numbers reserved at once where several processes take them. What a process does not use is never used.
const BLOCK: u32 = 4_000;
/// While fewer are left, no new run is accepted: children of live ones go first.
const LEFT_MIN: i64 = 500;

/// See the module.
pub(crate) enum Numbers {
    /// Counted here: nobody else is there.
    Sole(Vec<AtomicI64>),
    /// Out of blocks that are reserved ahead.
    Blocks(Blocks),
}

/// Reserved blocks, per shard what is left of each.
pub(crate) struct Blocks {
    shards: Vec<Mutex<VecDeque<(i64, i64)>>>,
    left: AtomicI64,
    low: Notify,
    filled: (Mutex<()>, Condvar),
}

impl Numbers {
    /// # Errors
    /// The store cannot say which numbers are free.
    pub async fn of(store: &Arc<dyn Store>, shards: usize) -> Result<Arc<Self>, StoreError> {
        let count = i64::try_from(shards).unwrap_or(1);
        if store.share().is_none() {
            let base = (store.next_run().await?.0 + count - 1) / count * count;
            return Ok(Arc::new(Self::Sole((0..count).map(|i| AtomicI64::new(base + i)).collect())));
        }
        let blocks = Blocks {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            left: AtomicI64::new(0),
            low: Notify::new(),
            filled: Default::default(),
        };
        let numbers = Self::Blocks(blocks);
        numbers.reserve(store).await?;
        Ok(Arc::new(numbers))
    }

    /// A number that nobody else has. Where none is left, waits for the next block.
    pub fn take(&self, shard: usize) -> RunNo {
        match self {
            Self::Sole(next) => {
                let step = i64::try_from(next.len()).unwrap_or(1);
                RunNo(next[shard].fetch_add(step, Ordering::Relaxed))
            }
            Self::Blocks(blocks) => blocks.take(shard),
        }
    }

    /// Whether a new run would find a number without waiting.
    pub fn has_some(&self) -> bool {
        match self {
            Self::Sole(_) => true,
            Self::Blocks(blocks) => blocks.left.load(Ordering::Relaxed) > LEFT_MIN,
        }
    }

    async fn reserve(&self, store: &Arc<dyn Store>) -> Result<(), StoreError> {
        let (Self::Blocks(blocks), Some(share)) = (self, store.share()) else { return Ok(()) };
        let first = share.reserve(BLOCK).await?;
        blocks.add(first.0, i64::from(BLOCK));
        Ok(())
    }

    /// Reserves the next block before the last one is used up, for as long as somebody takes numbers.
    pub async fn keep_reserving(self: Arc<Self>, store: Arc<dyn Store>) {
        let Self::Blocks(blocks) = &*self else { return };
        loop {
            while blocks.left.load(Ordering::Relaxed) < i64::from(BLOCK) {
                if let Err(e) = self.reserve(&store).await {
                    tracing::warn!("no run numbers could be reserved, trying again: {e}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            blocks.low.notified().await;
        }
    }
}

impl Blocks {
    fn add(&self, first: i64, count: i64) {
        let step = i64::try_from(self.shards.len()).unwrap_or(1);
        for (shard, blocks) in (0..).zip(&self.shards) {
            let from = first + (shard - first).rem_euclid(step);
            blocks.lock().unwrap_or_else(PoisonError::into_inner).push_back((from, first + count));
        }
        self.left.fetch_add(count, Ordering::Relaxed);
        let _held = self.filled.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.filled.1.notify_all();
    }

    fn take(&self, shard: usize) -> RunNo {
        let step = i64::try_from(self.shards.len()).unwrap_or(1);
        loop {
            let taken = {
                let mut blocks = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
                while blocks.front().is_some_and(|(next, end)| next >= end) {
                    blocks.pop_front();
                }
                blocks.front_mut().map(|(next, _)| {
                    let taken = *next;
                    *next += step;
                    taken
                })
            };
            if self.left.fetch_sub(i64::from(taken.is_some()), Ordering::Relaxed) < i64::from(BLOCK) {
                self.low.notify_one();
            }
            if let Some(taken) = taken {
                return RunNo(taken);
            }
            let held = self.filled.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Bounded: the block may have come between the look and the wait.
            drop(self.filled.1.wait_timeout(held, Duration::from_millis(50)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_shard_takes_its_own_remainder_and_nothing_twice() {
        let blocks = Blocks {
            shards: (0..3).map(|_| Mutex::default()).collect(),
            left: AtomicI64::new(0),
            low: Notify::new(),
            filled: Default::default(),
        };
        blocks.add(1_001, 1_000);
        blocks.add(7_000, 1_000);
        let mut seen = std::collections::BTreeSet::new();
        for shard in [0, 1, 2, 0, 0, 1] {
            for _ in 0..200 {
                let run = blocks.take(shard).0;
                assert_eq!(run.rem_euclid(3), shard as i64);
                assert!((1_001..2_001).contains(&run) || (7_000..8_000).contains(&run), "{run}");
                assert!(seen.insert(run), "{run} twice");
            }
        }
    }
}
