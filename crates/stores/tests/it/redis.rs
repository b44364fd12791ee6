//! Redis: the suites of bus and cache on a real server, and what it costs when it goes away.

use crate::{down, failed, up};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tutti_engine::conformance::{bus, cache};
use tutti_engine::ports::bus::{Bus, Call};
use tutti_engine::ports::cache::Cache;
use tutti_engine::ports::queue::Condition;
use tutti_engine::run::RunNo;
use tutti_stores::hub::Hub;
use tutti_stores::redis::{Redis, RedisOptions};
use tutti_tests::backends::redis::Redis as Server;
use tutti_tests::backends::skip;
use tutti_tests::in_time;

const LONG: Duration = Duration::from_secs(600);

fn open(server: &Server, prefix: &str) -> Redis {
    Redis::start(&RedisOptions { url: server.url(), prefix: prefix.into() }).unwrap()
}

/// What is heard up to a call that is the last.
async fn heard(bus: &Hub, last: Call) -> Vec<Call> {
    let mut all = Vec::new();
    while !all.contains(&last) {
        all.extend(in_time("a call", bus.calls()).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_as_a_bus_keeps_the_contract() {
    let Some(server) = Server::shared().await else { return skip("Redis") };
    let mut failed = Vec::new();
    for case in bus::cases() {
        let prefix = server.prefix();
        let pair: bus::Pair = [0, 1].map(|_| Arc::new(open(&server, &prefix).bus()) as Arc<dyn Bus>);
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run(pair)).await;
        failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_as_a_cache_keeps_the_contract() {
    let Some(server) = Server::shared().await else { return skip("Redis") };
    let mut failed = Vec::new();
    for case in cache::cases() {
        let prefix = server.prefix();
        let pair = [open(&server, &prefix), open(&server, &prefix)];
        for redis in &pair {
            up(redis.news()).await;
        }
        let pair: cache::Pair = pair.map(|redis| Arc::new(redis.cache()) as Arc<dyn Cache>);
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run(pair)).await;
        failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_are_apart() {
    let Some(server) = Server::shared().await else { return skip("Redis") };
    let (a, b) = (open(&server, "left*"), open(&server, "left*right"));
    up(a.news()).await;
    up(b.news()).await;
    let (here, there) = (a.cache(), b.cache());
    here.put("k", Bytes::from_static(b"1"), LONG).await;
    there.put("k", Bytes::from_static(b"2"), LONG).await;
    assert_eq!(here.get("k").await.unwrap(), "1");
    assert_eq!(here.clear("").await, Some(1));
    assert_eq!(there.get("k").await.unwrap(), "2");
    let (here, there) = (a.bus(), b.bus());
    up(here.news()).await;
    up(there.news()).await;
    here.call(Call::Mail(RunNo(1)));
    here.close().await;
    there.call(Call::Mail(RunNo(2)));
    there.close().await;
    let third = open(&server, "left*right").bus();
    up(third.news()).await;
    third.call(Call::Mail(RunNo(3)));
    assert_eq!(in_time("a call", there.calls()).await, [Call::Mail(RunNo(3))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_is_a_miss_and_comes_back() {
    let Some(server) = Server::start().await else { return skip("Redis") };
    let (a, b) = (open(&server, "cut"), open(&server, "cut"));
    let (bus, other, cache) = (a.bus(), b.bus(), a.cache());
    up(a.news()).await;
    up(b.news()).await;
    cache.put("k", Bytes::from_static(b"v"), LONG).await;
    assert_eq!(cache.add("n", 5, LONG).await, Some(5));
    let mut listener = other.listen(RunNo(1));
    bus.wake(RunNo(1), 1);
    in_time("a wake", listener.grown(0)).await;
    server.cut();
    down(a.news()).await;
    down(b.news()).await;
    let before = Instant::now();
    for _ in 0..100 {
        assert_eq!((cache.get("k").await, cache.add("n", 1, LONG).await), (None, None));
        cache.put("k", Bytes::from_static(b"v"), LONG).await;
        assert_eq!(cache.clear("").await, None);
    }
    assert!(before.elapsed() < Duration::from_secs(2), "a miss costs nothing: {:?}", before.elapsed());
    // Here everything goes on.
    let mut local = bus.listen(RunNo(1));
    bus.wake(RunNo(1), 2);
    in_time("a wake", local.grown(1)).await;
    bus.call(Call::Mail(RunNo(7)));
    server.up().await;
    up(a.news()).await;
    up(b.news()).await;
    // Each may have missed something, and is told so.
    heard(&bus, Call::Look).await;
    heard(&other, Call::Look).await;
    bus.wake(RunNo(1), 3);
    in_time("a wake", listener.grown(2)).await;
    assert_eq!((cache.get("k").await, cache.add("n", 1, LONG).await), (None, Some(1)));
    cache.put("k", Bytes::from_static(b"v"), LONG).await;
    assert_eq!(cache.get("k").await.unwrap(), "v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_later_is_found() {
    let Some(server) = Server::start().await else { return skip("Redis") };
    server.cut();
    let redis = open(&server, "late");
    let (bus, cache) = (redis.bus(), redis.cache());
    failed(redis.news()).await;
    assert_eq!(cache.get("k").await, None);
    server.up().await;
    up(bus.news()).await;
    cache.put("k", Bytes::from_static(b"v"), LONG).await;
    assert_eq!(cache.get("k").await.unwrap(), "v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_costs_little() {
    let Some(server) = Server::start().await else { return skip("Redis") };
    let redis = open(&server, "frozen");
    let cache = redis.cache();
    up(redis.news()).await;
    cache.put("k", Bytes::from_static(b"v"), LONG).await;
    server.freeze();
    let before = Instant::now();
    for _ in 0..50 {
        assert_eq!(cache.get("k").await, None);
    }
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    assert_ne!(redis.condition(), Condition::Up);
    server.go_on();
    up(redis.news()).await;
    assert_eq!(cache.get("k").await.unwrap(), "v");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_is_a_miss() {
    let Some(server) = Server::start().await else { return skip("Redis") };
    let redis = open(&server, "flushed");
    let cache = redis.cache();
    up(redis.news()).await;
    cache.put("k", Bytes::from_static(b"v"), LONG).await;
    cache.add("n", 5, LONG).await;
    assert_eq!(server.say("FLUSHALL").await, "+OK");
    assert_eq!((cache.get("k").await, cache.add("n", 1, LONG).await), (None, Some(1)));
    assert_eq!(redis.condition(), Condition::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_throw_things_out_are_told() {
    let Some(server) = Server::start().await else { return skip("Redis") };
    let quiet = open(&server, "advice");
    up(quiet.news()).await;
    assert_eq!(quiet.advice(), None);
    assert_eq!(server.say("CONFIG SET maxmemory-policy allkeys-lru").await, "+OK");
    let told = open(&server, "advice");
    up(told.news()).await;
    assert!(told.advice().unwrap().contains("allkeys-lru"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_refuses_to_write_is_a_miss() {
    let Some(server) = Server::start().await else { return skip("Redis") };
    let redis = open(&server, "full");
    let cache = redis.cache();
    up(redis.news()).await;
    cache.put("k", Bytes::from_static(b"v"), LONG).await;
    assert_eq!(server.say("CONFIG SET maxmemory 1").await, "+OK");
    cache.put("k2", Bytes::from_static(b"v"), LONG).await;
    assert_eq!(cache.add("n", 1, LONG).await, None);
    assert_eq!((cache.get("k").await.unwrap(), cache.get("k2").await), (Bytes::from_static(b"v"), None));
    assert_eq!(redis.condition(), Condition::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encryption_where_there_is_none_is_a_refusal() {
    let Some(server) = Server::shared().await else { return skip("Redis") };
    let options = RedisOptions { url: server.url().replace("redis:", "rediss:"), prefix: "tls".into() };
    let redis = Redis::start(&options).unwrap();
    failed(redis.news()).await;
}

#[test]
fn an_address_that_is_wrong_is_told_without_its_password() {
    let options = RedisOptions { url: "redis://:secret@:nonsense".into(), prefix: "p".into() };
    let said = Redis::start(&options).err().unwrap();
    assert!(!said.contains("secret") && said.contains("redis://host:port/"), "{said}");
    assert!(!format!("{options:?}").contains("secret"));
}
