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

use tokio::sync::watch::Receiver;
use tutti_engine::ports::queue::Condition;

/// Waits until a link's condition is as wanted.
async fn until(what: &str, mut news: Receiver<Condition>, is: impl Fn(&Condition) -> bool) {
    tutti_tests::in_time(what, news.wait_for(is)).await.expect("who is asked is there");
}

/// Waits until a link can be used.
async fn up(news: Receiver<Condition>) {
    until("the link to be there", news, |condition| *condition == Condition::Up).await;
}

/// Waits until a link cannot be used.
async fn down(news: Receiver<Condition>) {
    until("the link to be lost", news, |condition| *condition != Condition::Up).await;
}

/// Waits until somebody has tried, in vain.
async fn failed(news: Receiver<Condition>) {
    let is_known = |why: &str| !why.contains("not connected yet");
    until("the failure to be known", news, |is| matches!(is, Condition::Down(why) if is_known(why))).await;
}
