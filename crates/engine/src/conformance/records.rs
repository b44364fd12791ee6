//! The suite of the [`Records`] port.

mod lists;
mod reopening;
mod versions;

use crate::ports::records::{Expect, Put, Record, Records};
use crate::ports::store::Read;
use crate::run::Time;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// One promise of the port.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The promise, as a sentence with underscores.
    pub name: &'static str,
    run: fn(Trial) -> BoxFuture<'static, ()>,
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    [versions::CASES, lists::CASES].concat()
}

/// Runs every case on records of its own.
///
/// # Panics
/// If any case failed, after all of them ran, with a line for each that did.
pub async fn run_all(make: impl Fn() -> Arc<dyn Records>) {
    let cases = cases();
    let mut failed = Vec::new();
    for case in &cases {
        failed.extend(attempt(case.name, (case.run)(Trial(make()))).await);
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// One place that records are kept in: the first call makes it and opens it, later ones open it again. A case drops what it
/// has before it calls again, unless it wants two of them at once, as two processes would have them.
pub type Place = Box<dyn Fn() -> Arc<dyn Records> + Send + Sync>;

/// Runs the cases about closing and opening again, for records that outlive their process; each in a place of its own.
///
/// # Panics
/// If any case failed, after all of them ran, with a line for each that did.
pub async fn run_reopening(make: impl Fn() -> Place) {
    let mut failed = Vec::new();
    for (name, case) in reopening::CASES {
        failed.extend(attempt(name, case(make())).await);
    }
    let count = reopening::CASES.len();
    assert!(failed.is_empty(), "{} of {count} cases failed:\n{}", failed.len(), failed.join("\n"));
}

async fn attempt(name: &str, case: BoxFuture<'static, ()>) -> Option<String> {
    let outcome = AssertUnwindSafe(case).catch_unwind().await;
    outcome.err().map(|panic| format!("{name}: {}", message(panic.as_ref())))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// Records under trial, whose errors fail the case.
#[derive(Clone)]
struct Trial(Arc<dyn Records>);

impl Trial {
    async fn get(&self, record: &Record) -> Option<Record> {
        good(self.0.get(&record.kind, &record.tenant, &record.name)).await
    }

    async fn put(&self, record: &Record, expect: Expect) -> Put {
        good(self.0.put(record.clone(), expect)).await
    }

    async fn delete(&self, record: &Record, expect: Expect) -> bool {
        good(self.0.delete(&record.kind, &record.tenant, &record.name, expect)).await
    }

    /// The names of a page.
    async fn names(&self, kind: &str, tenant: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let page = good(self.0.list(kind, tenant, after.map(String::from), limit)).await;
        page.into_iter().map(|record| record.name).collect()
    }
}

async fn good<T>(read: Read<T>) -> T {
    read.await.unwrap_or_else(|e| panic!("it failed: {e}"))
}

/// A record of kind `agent` and tenant `acme`.
fn named(name: &str) -> Record {
    let (kind, tenant, body) = ("agent".into(), "acme".into(), Bytes::from(format!("{{\"named\":\"{name}\"}}")));
    Record { kind, tenant, name: name.into(), body, at: Time(1_700_000_000_000), version: 0 }
}
