//! Several processes on one PostgreSQL, while they are killed and frozen and what they stand on is restarted, emptied or lies to them: nothing accepted is
//! lost, no call is made again after its outcome, no journal has a gap or a twin, every stream is whole whichever process it is read
//! from.

use super::judge::{self, Kill};
use super::{PATTERNS, assert_answers, jobs, now_ms};
use crate::acceptance::as_run;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::rabbitmq::RabbitMq;
use tutti_tests::backends::redis::Redis;
use tutti_tests::backends::skip;
use tutti_tests::chance::Chance;
use tutti_tests::client::Client;
use tutti_tests::in_time;
use tutti_tests::provider::Provider;
use tutti_tests::queries::{aloud, banking77};
use tutti_tests::server::{Server, Start};
use tutti_tests::sse::Event;

const CLIENTS: usize = 8;
/// How long others wait for a silent process, in seconds.
const LEASE: u64 = 2;
/// How long faults go on, where `TUTTI_CHAOS_SECS` does not say otherwise.
const SECS: u64 = 20;

/// What a client has in its hands at the end.
struct Held {
    pattern: &'static str,
    run_id: String,
    events: Option<Vec<Event>>,
}

/// Asks whichever process answers.
#[derive(Clone)]
struct Nodes {
    clients: Vec<Client>,
    turn: Arc<AtomicUsize>,
}

impl Nodes {
    fn next(&self) -> &Client {
        &self.clients[self.turn.fetch_add(1, Ordering::Relaxed) % self.clients.len()]
    }

    /// A request that may be repeated, until some process takes it.
    async fn post(&self, path: &str, body: &Value, key: &str) -> Value {
        let asked = async {
            loop {
                let Ok(answer) = self.next().post(path, body).once(key).attempt().await else { continue };
                match answer.status {
                    200 | 202 => return answer.json(),
                    503 => tokio::time::sleep(Duration::from_millis(20)).await,
                    _ => panic!("{}: {}", answer.status, answer.text()),
                }
            }
        };
        in_time(&format!("{key} to be accepted"), asked).await
    }

    /// Follows a run to its end, at another process after every break.
    async fn follow(&self, run_id: &str) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let all = async {
            loop {
                let after = events.last().map_or(0, |event| event.id);
                match self.next().read_events(run_id, after).await {
                    Some(None) => return,
                    Some(Some(mut reader)) => {
                        while let Ok(Some(event)) = reader.next().await {
                            events.push(event);
                        }
                    }
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        in_time(&format!("run {run_id} to end"), all).await;
        events
    }
}

async fn one(nodes: Nodes, n: usize, body: Value) -> Held {
    let pattern = PATTERNS[n % PATTERNS.len()];
    let key = format!("cluster-{n}");
    let run = nodes.post("/v1/runs", &as_run(&body), &key).await;
    let run_id = run["run_id"].as_str().expect("an accepted run").to_owned();
    let events = nodes.follow(&run_id).await;
    Held { pattern, run_id, events: (n.is_multiple_of(2)).then_some(events) }
}

/// What stands beside the processes.
struct World {
    postgres: Arc<Postgres>,
    brokers: Option<(Arc<RabbitMq>, Arc<Redis>)>,
    schema: String,
}

impl World {
    /// A process of this world.
    fn start(&self, provider: &Provider, role: &'static str) -> Start {
        let start = Start::new().on(&self.postgres, &self.schema).model(provider).arg("--role").arg(role);
        let start = start.env("WORKER_LEASE", &LEASE.to_string());
        let Some((rabbit, redis)) = &self.brokers else { return start };
        // Little room, so that offers have to travel.
        start
            .env("LIVE_RUNS_MAX", "4")
            .env("RABBITMQ_HOST", "127.0.0.1")
            .env("RABBITMQ_PORT", &rabbit.port().to_string())
            .env("RABBITMQ_USER", "guest")
            .env("RABBITMQ_PASSWORD", "guest")
            .env("REDIS_URL", &redis.url())
    }

    /// One fault of what stands beside; its name.
    async fn fault(&self, chance: &mut Chance) -> &'static str {
        let Some((rabbit, redis)) = self.brokers.as_ref().filter(|_| !chance.bits().is_multiple_of(3)) else {
            self.postgres.cut().await;
            tokio::time::sleep(Duration::from_millis(chance.bits() % 800)).await;
            self.postgres.up().await;
            return "PostgreSQL restarted";
        };
        let queue = format!("{}.runs", self.schema);
        match chance.bits() % 5 {
            0 => {
                redis.say("FLUSHALL").await;
                "Redis flushed"
            }
            1 => {
                redis.cut();
                redis.up().await;
                "Redis killed"
            }
            2 => {
                rabbit.delete_queue(&queue).await;
                "queue deleted"
            }
            3 => {
                // What was offered is offered three times more.
                let mut amqp = rabbit.amqp().await;
                for run in (1..=60).cycle().take(180) {
                    // The queue may just have been deleted.
                    let _ = amqp.publish(&queue, run.to_string().as_bytes()).await;
                }
                "offers tripled"
            }
            _ => {
                rabbit.cut();
                rabbit.up().await;
                "RabbitMQ killed"
            }
        }
    }
}

/// Faults until the time is up; when they were, and how often which.
async fn faults(world: &World, servers: &mut [Server], secs: u64) -> (Vec<Kill>, BTreeMap<&'static str, usize>) {
    let mut chance = Chance::from_environment("cluster", 40);
    let (mut windows, mut counts) = (Vec::new(), BTreeMap::new());
    let began = Instant::now();
    for turn in 0.. {
        if began.elapsed() > Duration::from_secs(secs) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300 + chance.bits() % 1_200)).await;
        let node = usize::try_from(chance.bits()).unwrap_or(0) % servers.len();
        let from = now_ms();
        // Each kind comes soon.
        let what = match turn % 5 {
            1 | 4 => world.fault(&mut chance).await,
            3 => {
                let pid = servers[node].freeze();
                tokio::time::sleep(Duration::from_secs(LEASE * 3)).await;
                servers[node].thaw(pid);
                "freezes of three leases"
            }
            _ => {
                servers[node].kill9();
                servers[node].restart().await;
                "kills"
            }
        };
        *counts.entry(what).or_default() += 1;
        // What a fault has lost is found within a lease and a moment.
        windows.push(Kill { from, to: now_ms() + i64::try_from(LEASE * 1_000).unwrap_or(0) + 3_000 });
    }
    (windows, counts)
}

/// Works until the faults are over.
async fn story(world: World, roles: &[&'static str]) {
    let Some(queries) = banking77(200) else { return };
    let secs =
        std::env::var("TUTTI_CHAOS_SECS").map_or(SECS, |text| text.parse().expect("TUTTI_CHAOS_SECS is a number"));
    let provider = Provider::with_delay("10..60").await;
    let mut servers = Vec::new();
    for role in roles {
        servers.push(world.start(&provider, role).start().await);
    }
    // Workers have no API.
    let asked = servers.iter().zip(roles).filter(|(_, role)| **role != "worker").map(|(server, _)| server.client());
    let nodes = Nodes { clients: asked.collect(), turn: Arc::default() };
    let jobs = Arc::new(jobs(&queries));
    let (next, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let held = Arc::new(Mutex::new(Vec::new()));
    let working: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (nodes, jobs, next) = (nodes.clone(), jobs.clone(), next.clone());
            let (is_over, held) = (is_over.clone(), held.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let body = jobs[n % jobs.len()].body.clone();
                    let done = one(nodes.clone(), n, body).await;
                    held.lock().unwrap().push(done);
                }
            })
        })
        .collect();
    let began = Instant::now();
    let (windows, counts) = faults(&world, &mut servers, secs).await;
    is_over.store(true, Ordering::Relaxed);
    for client in working {
        client.await.unwrap();
    }
    let held = Arc::into_inner(held).unwrap().into_inner().unwrap();
    let mut runs = BTreeMap::new();
    for held in &held {
        let run = nodes.next().run(&held.run_id).await;
        run.assert_whole();
        assert_eq!(run.status, "completed", "{}", run.whole);
        assert_answers(&run, held.pattern);
        if let Some(events) = &held.events {
            judge::stream(events, &run);
        }
        runs.insert(held.run_id.clone(), run);
    }
    assert_eq!(runs.len(), held.len(), "each question is one run");
    let calls = judge::calls(&provider.by_key(), &runs, &windows);
    aloud(&format!(
        "cluster: {counts:?}; {} runs, {} model requests for {} calls, {:.1} s",
        runs.len(),
        calls.requests,
        calls.calls,
        began.elapsed().as_secs_f64()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_lose_nothing() {
    let Some(postgres) = Postgres::start().await.map(Arc::new) else { return skip("PostgreSQL") };
    story(World { postgres, brokers: None, schema: "cluster".into() }, &["all", "all", "all"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_and_three_workers_lose_nothing_with_their_brokers() {
    let Some(postgres) = Postgres::start().await.map(Arc::new) else { return skip("PostgreSQL") };
    let Some(rabbit) = RabbitMq::start().await.map(Arc::new) else { return skip("RabbitMQ") };
    let Some(redis) = Redis::start().await.map(Arc::new) else { return skip("Redis") };
    let world = World { postgres, brokers: Some((rabbit, redis)), schema: "cluster".into() };
    story(world, &["api", "worker", "worker", "all"]).await;
}

/// A worker that dies leaves its runs to another one, soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_held_is_picked_up_within_five_seconds() {
    let Some(postgres) = Postgres::shared().await else { return skip("PostgreSQL") };
    let provider = Provider::with_delay("400..500").await;
    let schema = postgres.schema();
    // Those that work have the default lease; who accepts is neither.
    let api = Start::new().on(&postgres, &schema).model(&provider).arg("--role").arg("api").start().await;
    let worker = Start::new().on(&postgres, &schema).model(&provider).arg("--role").arg("worker");
    let (mut first, client) = (worker.clone().start().await, api.client());
    let body = json!({"workflow": "sequential", "input": {"input": "Where is my card?", "agents": [
        {"name": "a", "instructions": "Answer."}, {"name": "b", "instructions": "Shorten."}]}});
    let run = client.post("/v1/runs", &body).await.expect(202).json();
    let run_id = run["run_id"].as_str().unwrap();
    provider.begun(1).await;
    let _second = Start::new().on(&postgres, &schema).model(&provider).arg("--role").arg("worker").start().await;
    first.kill9();
    let killed = now_ms();
    let mut events = client.events(run_id, 0).await.expect("an open run");
    events.until("run.completed").await;
    let run = client.run(run_id).await;
    run.assert_whole();
    let claim = run.of_kind("engine.claimed").find(|e| e.at_ms > killed).expect("a claim after the kill").at_ms;
    assert!(claim - killed <= 5_000, "picked up after {} ms", claim - killed);
    aloud(&format!("cluster: a dead worker's run was picked up after {} ms", claim - killed));
}
