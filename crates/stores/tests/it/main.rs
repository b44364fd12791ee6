//! The stores on real things keep what the ports promise.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod index;
mod notify;
mod postgres;
mod queries;
mod rabbitmq;
mod records;
mod redis;
mod sqlite;

use std::time::Duration;

/// Waits until something is so that no event tells of.
async fn until(what: &str, is: impl Fn() -> bool) {
    tutti_tests::in_time(what, async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
