//! Jobs for workers in one process: tests, and the measure of brokers that are far away.

use crate::ports::clock::Clock;
use crate::ports::jobs::{Fate, JobBroker, OpenJob, Reply};
use crate::ports::queue::Condition;
use crate::run::{RunId, Time};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// One of those who keep the jobs; [`another`](Self::another) is as that of another process.
pub struct MemoryJobs {
    broker: Arc<Broker>,
    end: u64,
}

/// The workers' side.
pub struct MemoryWorkers(Arc<Broker>);

struct Broker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By agent; highest priority first, then in the order of arrival.
    jobs: BTreeMap<String, BTreeMap<(Reverse<u8>, u64), Waiting>>,
    arrivals: u64,
    replies: VecDeque<(u64, Bytes)>,
    aside: VecDeque<Bytes>,
    /// Replies that are out, by whom they were given to.
    ends: BTreeMap<u64, BTreeMap<u64, Bytes>>,
    next_end: u64,
    wakers: Vec<Waker>,
}

struct Waiting {
    job_id: RunId,
    body: Bytes,
    until: Time,
}

impl Broker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and has whoever waits look again; not under the lock, for who is woken may come at once.
    fn change<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = how(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        changed
    }

    /// Waits until `find` finds something.
    async fn found<T>(&self, find: impl Fn(&mut State) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.lock();
            match find(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    if !state.wakers.iter().any(|known| known.will_wake(cx.waker())) {
                        state.wakers.push(cx.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl State {
    /// Jobs of an agent that nobody has let lie for too long.
    fn jobs_of(&mut self, agent_id: &str, now: Time) -> Option<&mut BTreeMap<(Reverse<u8>, u64), Waiting>> {
        let jobs = self.jobs.get_mut(agent_id)?;
        jobs.retain(|_, job| now < job.until);
        Some(jobs)
    }

    fn settle(&mut self, end: u64, number: u64, fate: Fate) {
        // One that has left gave everything back when it did.
        let Some(body) = self.ends.get_mut(&end).and_then(|out| out.remove(&number)) else { return };
        match fate {
            Fate::Done => {}
            Fate::Back => self.replies.push_front((number, body)),
            Fate::Dead => self.aside.push_back(body),
        }
    }

    fn leave(&mut self, end: u64) {
        for reply in self.ends.remove(&end).unwrap_or_default().into_iter().rev() {
            self.replies.push_front(reply);
        }
    }
}

impl MemoryJobs {
    /// An empty broker with one end, which drops what is too old by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::end(Arc::new(Broker { clock, state: Mutex::default() }))
    }

    /// One more end of the same broker.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::end(Arc::clone(&self.broker))
    }

    /// The workers' side.
    #[must_use]
    pub fn workers(&self) -> MemoryWorkers {
        MemoryWorkers(Arc::clone(&self.broker))
    }

    fn end(broker: Arc<Broker>) -> Self {
        let end = broker.change(|state| {
            state.next_end += 1;
            state.ends.insert(state.next_end, BTreeMap::new());
            state.next_end
        });
        Self { broker, end }
    }
}

impl JobBroker for MemoryJobs {
    fn open(&self, OpenJob { agent_id, priority, job_id, body, keep }: OpenJob) {
        let until = self.broker.clock.now().after(keep);
        self.broker.change(|state| {
            if !state.ends.contains_key(&self.end) {
                return;
            }
            let rank = (Reverse(priority.min(9)), state.arrivals);
            state.arrivals += 1;
            let jobs = state.jobs.entry(agent_id).or_default();
            jobs.retain(|_, job| job.job_id != job_id);
            jobs.insert(rank, Waiting { job_id, body, until });
        });
    }

    fn next_reply(&self) -> BoxFuture<'_, Option<Reply>> {
        Box::pin(async {
            let end = self.end;
            let given = self.broker.found(|state| {
                let Some(out) = state.ends.get_mut(&end) else { return Some(None) };
                let (number, body) = state.replies.pop_front()?;
                out.insert(number, body.clone());
                Some(Some((number, body)))
            });
            let (number, body) = given.await?;
            let broker = Arc::clone(&self.broker);
            Some(Reply::new(body, Box::new(move |fate| broker.change(|state| state.settle(end, number, fate)))))
        })
    }

    fn reply_to(&self) -> &str {
        "replies"
    }

    fn condition(&self) -> Condition {
        Condition::Up
    }

    fn name(&self) -> String {
        "in memory".into()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.broker.change(|state| state.leave(self.end));
        Box::pin(std::future::ready(()))
    }
}

impl Drop for MemoryJobs {
    fn drop(&mut self) {
        self.broker.change(|state| state.leave(self.end));
    }
}

impl MemoryWorkers {
    /// The job that comes first for an agent's workers, taken out; waits for it.
    pub async fn take(&self, agent_id: &str) -> Bytes {
        let clock = &self.0.clock;
        let first = |state: &mut State| state.jobs_of(agent_id, clock.now())?.pop_first();
        self.0.found(first).await.1.body
    }

    /// How many jobs wait for an agent's workers.
    #[must_use]
    pub fn waiting(&self, agent_id: &str) -> usize {
        self.0.lock().jobs_of(agent_id, self.0.clock.now()).map_or(0, |jobs| jobs.len())
    }

    /// Sends a reply.
    pub fn reply(&self, body: Bytes) {
        self.0.change(|state| {
            let number = state.arrivals;
            state.arrivals += 1;
            state.replies.push_back((number, body));
        });
    }

    /// The next reply that was put aside, taken out; waits for it.
    pub async fn aside(&self) -> Bytes {
        self.0.found(|state| state.aside.pop_front()).await
    }
}
