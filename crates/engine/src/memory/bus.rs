//! Wake-ups within one process.

use crate::ports::bus::{Bus, Listener};
use crate::run::RunNo;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Readers by run. A run without readers costs one look into an empty map.
#[derive(Debug, Default)]
pub struct LocalBus {
    runs: Arc<Mutex<BTreeMap<RunNo, Ears>>>,
}

#[derive(Debug, Default)]
struct Ears {
    seq: u32,
    listeners: u32,
    wakers: Vec<Waker>,
}

type Runs = Arc<Mutex<BTreeMap<RunNo, Ears>>>;

fn lock(runs: &Runs) -> MutexGuard<'_, BTreeMap<RunNo, Ears>> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalBus {
    /// A bus without readers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Bus for LocalBus {
    fn wake(&self, run: RunNo, seq: u32) {
        let wakers = match lock(&self.runs).get_mut(&run) {
            Some(ears) => {
                ears.seq = ears.seq.max(seq);
                std::mem::take(&mut ears.wakers)
            }
            None => return,
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn listen(&self, run: RunNo) -> Box<dyn Listener> {
        lock(&self.runs).entry(run).or_default().listeners += 1;
        Box::new(LocalListener { runs: Arc::clone(&self.runs), run })
    }
}

struct LocalListener {
    runs: Runs,
    run: RunNo,
}

impl Listener for LocalListener {
    fn grown(&mut self, after: u32) -> BoxFuture<'_, ()> {
        Box::pin(poll_fn(move |cx| match lock(&self.runs).get_mut(&self.run) {
            Some(ears) if ears.seq <= after => {
                if !ears.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    ears.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }))
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        let mut runs = lock(&self.runs);
        if let Some(ears) = runs.get_mut(&self.run) {
            ears.listeners -= 1;
            if ears.listeners == 0 {
                runs.remove(&self.run);
            }
        }
    }
}
