//! The one writer of a store: a thread with a bounded queue of jobs before it.

use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tutti_engine::ports::store::StoreError;

/// Most jobs that wait; beyond them, submitting waits for the store.
const JOBS_MAX: usize = 1_024;

/// What a writer can be asked to do.
pub(crate) trait Job: Send + 'static {
    /// The last one: the writer ends with it.
    const CLOSE: Self;

    /// Nothing is done, and whoever submitted it hears so.
    fn refuse(self, why: &StoreError);
}

/// What is said once the store is closed.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

/// The way to the writer.
pub(crate) struct JobSender<J>(SyncSender<J>);

impl<J> Clone for JobSender<J> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<J: Job> JobSender<J> {
    /// Waits while the queue is full.
    pub fn send(&self, job: J) {
        if let Err(SendError(job)) = self.0.send(job) {
            job.refuse(&closed());
        }
    }
}

/// The writer, which ends with this handle of it.
pub(crate) struct Writer<J: Job> {
    jobs: JobSender<J>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<J: Job> Writer<J> {
    /// Starts a thread that works until it is sent [`Job::CLOSE`]. What is still queued then is refused.
    ///
    /// # Errors
    /// The machine gives no thread.
    pub fn start(name: &str, work: impl FnOnce(&Receiver<J>) + Send + 'static) -> std::io::Result<Self> {
        let (tx, rx) = sync_channel(JOBS_MAX);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            work(&rx);
            rx.try_iter().for_each(|job| job.refuse(&closed()));
        })?;
        Ok(Self { jobs: JobSender(tx), thread: Mutex::new(Some(thread)) })
    }

    /// Waits while the queue is full.
    pub fn send(&self, job: J) {
        self.jobs.send(job);
    }

    /// Another way to it.
    pub fn sender(&self) -> JobSender<J> {
        self.jobs.clone()
    }

    /// Waits until what was sent is done, and the thread has ended.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // The last handle may be dropped by a `done`, which the writer calls: it cannot wait for itself, and need not, since it
        // ends when the last sender is gone.
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        self.send(J::CLOSE);
        if thread.join().is_err() {
            tracing::error!("the store's writer ended in a panic");
        }
    }
}

impl<J: Job> Drop for Writer<J> {
    fn drop(&mut self) {
        self.close();
    }
}
