//! The suite of the [`Store`] port.

mod accounts;
mod append;
mod birth;
mod blobs;
mod claim;
mod inbox;
mod labels;
mod prune;
mod reads;
mod reopening;
mod sessions;
mod stands;
mod transitions;
mod trial;

use crate::ports::store::Store;
use std::sync::Arc;

/// One promise of the port.
pub type Case = super::Case<Arc<dyn Store>>;

/// Every case, by topic.
#[must_use]
pub fn cases() -> Vec<Case> {
    let topics = [
        accounts::CASES,
        append::CASES,
        birth::CASES,
        blobs::CASES,
        claim::CASES,
        inbox::CASES,
        labels::CASES,
        prune::CASES,
        reads::CASES,
        sessions::CASES,
        stands::CASES,
        transitions::CASES,
    ];
    topics.concat()
}

/// Runs every case on a store of its own.
///
/// # Panics
/// If any case failed, after all of them ran, with a line for each that did.
pub async fn run_all(make: impl Fn() -> Arc<dyn Store>) {
    let mut failed = Vec::new();
    let cases = cases();
    for case in &cases {
        failed.extend(case.run(make()).await.err());
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// One place that a store keeps its rows in: the first call makes it and opens it, later ones open it again. A case drops
/// its store before it calls again.
pub type Place = Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>;

/// Runs the cases about closing and opening again, for stores that outlive their process; each in a place of its own.
///
/// # Panics
/// If any case failed, after all of them ran, with a line for each that did.
pub async fn run_reopening(make: impl Fn() -> Place) {
    let (failed, count) = reopening::run(make).await;
    assert!(failed.is_empty(), "{} of {count} cases failed:\n{}", failed.len(), failed.join("\n"));
}

/// A topic's cases: async functions that take a [`trial::Trial`].
macro_rules! topic {
    ($topic:literal: $($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::store::Case] = &[$($crate::conformance::store::Case {
            topic: $topic,
            name: stringify!($name),
            run: |store| Box::pin($name($crate::conformance::store::trial::Trial::new(store))),
        }),+];
    };
}
use topic;
