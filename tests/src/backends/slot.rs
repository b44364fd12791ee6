//! The process of a server that is ended and started again.

use crate::backends::start;
use crate::process::Process;
use rustix::process::{Signal, kill_process};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holds a server's process while it is up.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Process>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process, and waits until it says `ready` in a line.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn up(&self, server: &str, command: Command, ready: &str) {
        let mut process = start(command);
        let what = format!("{server} to be ready");
        let line = process.line(&what, |line| line.contains(ready).then_some(()));
        line.await.unwrap_or_else(|ended| panic!("{server} did not start: {ended:?}"));
        *self.lock() = Some(process);
    }

    /// Tells it something, if it is up.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.lock() {
            let _ = kill_process(process.pid(), signal);
        }
    }

    /// Empties the slot; whoever drops the process ends it.
    pub fn take(&self) -> Option<Process> {
        self.lock().take()
    }

    /// Ends it at once (`kill -9`).
    pub fn cut(&self) {
        if let Some(mut process) = self.take() {
            process.kill9();
        }
    }
}
