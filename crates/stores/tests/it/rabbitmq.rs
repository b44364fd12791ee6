//! RabbitMQ: the queue's suite on a real node, and what brokers do to those who trust them.

mod jobs;

use crate::{down, failed, until, up};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::conformance::queue;
use tutti_engine::ports::queue::{Condition, Offered, Queue};
use tutti_engine::run::RunNo;
use tutti_stores::rabbitmq::{RabbitOptions, RabbitQueue};
use tutti_tests::backends::rabbitmq::RabbitMq;
use tutti_tests::backends::skip;
use tutti_tests::in_time;

fn open(server: &RabbitMq, prefix: &str) -> RabbitQueue {
    RabbitQueue::start(RabbitOptions { port: server.port(), prefix: prefix.into(), ..RabbitOptions::default() })
}

/// The next `count` offers, settled.
async fn done(queue: &impl Queue, count: usize) -> Vec<i64> {
    let mut runs = Vec::new();
    while runs.len() < count {
        for offer in in_time("an offer", queue.next(count - runs.len())).await {
            runs.push(offer.run.0);
            offer.done();
        }
    }
    runs.sort_unstable();
    runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_keeps_the_contract() {
    let Some(server) = RabbitMq::shared().await else { return skip("RabbitMQ") };
    let mut failed = Vec::new();
    for case in queue::cases() {
        let prefix = server.prefix();
        let pair: queue::Pair = [Arc::new(open(&server, &prefix)), Arc::new(open(&server, &prefix))];
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run(pair)).await;
        failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_names_no_run_is_kept_aside() {
    let Some(server) = RabbitMq::shared().await else { return skip("RabbitMQ") };
    let prefix = server.prefix();
    let queue = open(&server, &prefix);
    up(queue.news()).await;
    let mut hand = server.amqp().await;
    let runs = format!("{prefix}.runs");
    for body in [&b"what"[..], b"", b"-1", b"0", b"1.5", b"99999999999999999999", b"\xff"] {
        hand.publish(&runs, body).await.unwrap();
    }
    queue.offer(RunNo(3), 0);
    queue.room(5);
    assert_eq!(done(&queue, 1).await, [3]);
    queue.close().await;
    // The broker carries them there behind our back.
    let dead = format!("{prefix}.dead");
    in_time("the dead letters", async { while hand.count(&dead).await.unwrap() < 7 {} }).await;
    assert_eq!(hand.count(&dead).await.unwrap(), 7);
    assert_eq!(hand.count(&runs).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_outlive_a_broker_that_is_killed_and_wait_for_one_that_is_away() {
    let Some(server) = RabbitMq::start().await else { return skip("RabbitMQ") };
    let (a, b) = (open(&server, "cut"), open(&server, "cut"));
    up(a.news()).await;
    up(b.news()).await;
    let mut hand = server.amqp().await;
    (1..=5).for_each(|run| a.offer(RunNo(run), 4));
    b.room(3);
    let held = in_time("an offer", b.next(1)).await;
    assert_eq!(held.len(), 1);
    b.room(0);
    in_time("the offers", async { while hand.count("cut.runs").await.unwrap() < 4 {} }).await;
    server.cut();
    down(a.news()).await;
    down(b.news()).await;
    // Waits for its return, as one does that came when it was away.
    a.offer(RunNo(6), 4);
    let late = open(&server, "late");
    late.room(5);
    (1..=3).for_each(|run| late.offer(RunNo(run), 4));
    failed(late.news()).await;
    server.up().await;
    assert_eq!(done(&late, 3).await, [1, 2, 3]);
    up(late.news()).await;
    up(a.news()).await;
    up(b.news()).await;
    // The broker does not know that it was settled: it comes again, and the store says that it is over. So does what was on its disk
    // and not confirmed yet.
    held.into_iter().for_each(Offered::done);
    b.room(9);
    let mut seen = BTreeSet::new();
    while seen.len() < 6 {
        seen.extend(done(&b, 1).await);
    }
    assert_eq!(seen, (1..=6).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_under_us_is_made_again() {
    let Some(server) = RabbitMq::shared().await else { return skip("RabbitMQ") };
    let prefix = server.prefix();
    let (a, b) = (open(&server, &prefix), open(&server, &prefix));
    up(a.news()).await;
    // While somebody consumes.
    b.room(2);
    a.offer(RunNo(1), 4);
    assert_eq!(done(&b, 1).await, [1]);
    let runs = format!("{prefix}.runs");
    for run in 2..=4 {
        server.delete_queue(&runs).await;
        a.offer(RunNo(run), 4);
        assert_eq!(done(&b, 1).await, [run]);
    }
    // While nobody does.
    b.room(0);
    server.delete_queue(&runs).await;
    a.offer(RunNo(5), 4);
    b.room(2);
    assert_eq!(done(&b, 1).await, [5]);
    // What was out is settled without harm.
    a.offer(RunNo(6), 4);
    let held = in_time("an offer", b.next(1)).await;
    server.delete_queue(&runs).await;
    held.into_iter().for_each(Offered::done);
    a.offer(RunNo(7), 4);
    assert_eq!(done(&b, 1).await, [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_and_not_fatal() {
    let Some(server) = RabbitMq::shared().await else { return skip("RabbitMQ") };
    let options = RabbitOptions { port: server.port(), password: "wrong".into(), ..RabbitOptions::default() };
    let queue = RabbitQueue::start(options);
    queue.room(1);
    queue.offer(RunNo(1), 0);
    until("the refusal", queue.news(), |is| matches!(is, Condition::Down(why) if why.contains("REFUSED"))).await;
    assert!(!format!("{:?}", RabbitOptions { password: "wrong".into(), ..RabbitOptions::default() }).contains("wrong"));
    in_time("the end", queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_offers_pass() {
    let Some(server) = RabbitMq::shared().await else { return skip("RabbitMQ") };
    let prefix = server.prefix();
    let (a, b) = (open(&server, &prefix), open(&server, &prefix));
    b.room(200);
    (1..=5_000).for_each(|run| a.offer(RunNo(run), u8::try_from(run % 10).unwrap()));
    assert_eq!(done(&b, 5_000).await, (1..=5_000).collect::<Vec<i64>>());
    a.close().await;
    b.close().await;
    assert_eq!(server.amqp().await.count(&format!("{prefix}.runs")).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_nothing_still_gives() {
    let Some(server) = RabbitMq::start().await else { return skip("RabbitMQ") };
    let (a, b) = (open(&server, "full"), open(&server, "full"));
    up(a.news()).await;
    (1..=5).for_each(|run| a.offer(RunNo(run), 4));
    let mut hand = server.amqp().await;
    in_time("the offers", async { while hand.count("full.runs").await.unwrap() < 5 {} }).await;
    server.cut();
    down(a.news()).await;
    down(b.news()).await;
    server.up_short_of_disk().await;
    up(a.news()).await;
    up(b.news()).await;
    a.offer(RunNo(6), 4);
    let is_short = |is: &Condition| matches!(is, Condition::Down(why) if why.contains("memory or disk"));
    until("the want to be known", a.news(), is_short).await;
    b.room(3);
    assert_eq!(done(&b, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(b.condition(), Condition::Up);
    server.cut();
    server.up().await;
    // What it had not written when it was killed, it forgot: some come again, and the store says that they are over.
    while done(&b, 1).await != [6] {}
    up(a.news()).await;
}
