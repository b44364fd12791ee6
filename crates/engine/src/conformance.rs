//! Suites that every implementation of a port runs, ours and a stranger's: what the port's text promises, as cases.
//!
//! A case is handed an empty implementation and panics where a promise is broken. Nothing here sleeps, reads a clock or
//! needs a particular runtime; bring whatever executor the implementation wants, and a bound on how long a case may take.

pub mod bus;
pub mod cache;
pub mod index;
pub mod jobs;
pub mod queue;
pub mod records;
pub mod store;

use crate::ports::queue::Condition;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::task::Poll;

/// One promise of a port. `T` is what the case needs: a store, or what two processes have of one backend.
#[derive(Debug)]
pub struct Case<T> {
    /// Which part of the port.
    pub topic: &'static str,
    /// The promise, as a sentence with underscores.
    pub name: &'static str,
    run: fn(T) -> BoxFuture<'static, ()>,
}

impl<T> Clone for Case<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Case<T> {}

impl<T> Case<T> {
    /// Runs the case on an empty implementation.
    ///
    /// # Errors
    /// Says which promise was broken and how.
    pub async fn run(&self, on: T) -> Result<(), String> {
        let outcome = AssertUnwindSafe((self.run)(on)).catch_unwind().await;
        outcome.map_err(|panic| format!("{}/{}: {}", self.topic, self.name, message(panic.as_ref())))
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// A topic's cases: async functions that take what the port's cases are run on.
macro_rules! promises {
    ($on:ty, $topic:literal: $($name:ident),+ $(,)?) => {
        const CASES: &[$crate::conformance::Case<$on>] = &[$($crate::conformance::Case {
            topic: $topic,
            name: stringify!($name),
            run: |on| Box::pin($name(on)),
        }),+];
    };
}
use promises;

/// Lets others go on once.
async fn turn() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until something outside answers: no port tells of it.
async fn until_up(condition: impl Fn() -> Condition) {
    while condition() != Condition::Up {
        turn().await;
    }
}
