//! Offers of jobs on their way to the broker: a box bounded in number and in size, which never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tutti_engine::ports::jobs::OpenJob;
use tutti_engine::run::RunId;

/// Offers that wait for the broker, and their size. Older ones are dropped: whoever keeps the jobs offers them again.
const WAITING_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 << 20;
/// Offers that are published together, and their size.
const BATCH_MAX: usize = 64;
const BATCH_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    came: Notify,
}

/// At most one offer of each job: a broker that is away for long is not sent the same again and again.
#[derive(Default)]
struct Waiting {
    order: VecDeque<RunId>,
    jobs: BTreeMap<RunId, OpenJob>,
    bytes: usize,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, job: OpenJob) {
        let mut waiting = self.lock();
        let id = job.job_id;
        if !waiting.insert(job) {
            waiting.order.push_back(id);
        }
        waiting.bound();
        drop(waiting);
        self.came.notify_one();
    }

    /// What may not have arrived; it goes first again, unless a later offer of the same job waits. One that did arrive is
    /// doubled, which harms nothing.
    pub fn put_back(&self, batch: Vec<OpenJob>) {
        let mut waiting = self.lock();
        for job in batch.into_iter().rev() {
            let id = job.job_id;
            if !waiting.jobs.contains_key(&id) {
                waiting.insert(job);
                waiting.order.push_front(id);
            }
        }
        waiting.bound();
    }

    pub fn take(&self) -> Vec<OpenJob> {
        let (mut waiting, mut batch, mut bytes) = (self.lock(), Vec::new(), 0);
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES {
            let Some(job) = waiting.pop() else { break };
            bytes += job.body.len();
            batch.push(job);
        }
        batch
    }

    /// Resolves when something was put in since the last time.
    pub async fn came(&self) {
        self.came.notified().await;
    }
}

impl Waiting {
    /// Whether it took the place of another offer of the same job.
    fn insert(&mut self, job: OpenJob) -> bool {
        self.bytes += job.body.len();
        let old = self.jobs.insert(job.job_id, job);
        self.bytes -= old.as_ref().map_or(0, |old| old.body.len());
        old.is_some()
    }

    fn pop(&mut self) -> Option<OpenJob> {
        let job = self.jobs.remove(&self.order.pop_front()?)?;
        self.bytes -= job.body.len();
        Some(job)
    }

    fn bound(&mut self) {
        while self.order.len() > WAITING_MAX || self.bytes > BYTES_MAX {
            if self.pop().is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tutti_engine::run::Time;

    fn job(n: i64, body: &'static [u8]) -> OpenJob {
        let job_id = RunId::new(Time(n), [0; 10]);
        OpenJob { agent_id: "a".into(), priority: 0, job_id, body: body.into(), keep: Duration::from_secs(1) }
    }

    #[test]
    fn a_job_waits_once_and_the_oldest_are_dropped() {
        let outbox = Outbox::default();
        outbox.put(job(1, b"first"));
        outbox.put(job(1, b"again"));
        // One guard at a time: both would live to the end of the statement.
        let (count, bytes) = {
            let waiting = outbox.lock();
            (waiting.order.len(), waiting.bytes)
        };
        assert_eq!((count, bytes), (1, 5));
        let taken = outbox.take();
        assert_eq!(taken, [job(1, b"again")]);
        outbox.put(job(1, b"newer"));
        outbox.put_back(taken);
        assert_eq!(outbox.take(), [job(1, b"newer")]);
        let count = i64::try_from(WAITING_MAX).unwrap() + 3;
        (0..count).for_each(|n| outbox.put(job(n, b"x")));
        assert_eq!(outbox.take()[0], job(3, b"x"));
    }
}
