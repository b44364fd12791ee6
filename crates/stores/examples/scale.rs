//! What one PostgreSQL bears of many processes: `PG_DSN=postgresql://… cargo run --release -p tutti-stores --example scale`.
//!
//! Fills a schema with a backlog, then measures what each process asks of the database whatever it does (its lease, its look for
//! work) and what it asks for each run (a birth with its end; an offer with its claim), with 1, 4 and 16 processes at once.
#![allow(clippy::expect_used, reason = "a measurement that cannot go on should say why")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tutti_engine::ports::share::Share;
use tutti_engine::ports::store::{Append, Birth, Fence, Receipt, Stand, Store, Transition};
use tutti_engine::run::{RunId, RunNo, Status, Time};
use tutti_stores::postgres::{PostgresOptions, PostgresStore};

const NOW: Time = Time(1_800_000_000_000);
/// Transitions in one submission.
const GROUP: i64 = 64;
const EACH: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let dsn = std::env::var("PG_DSN").expect("PG_DSN");
    let backlog: i64 = std::env::args().nth(1).map_or(200_000, |n| n.parse().expect("a number of runs"));
    let mut stores = Vec::new();
    for n in 0..16 {
        let options = PostgresOptions {
            dsn: dsn.clone(),
            schema: "scale".into(),
            name: format!("scale {n}"),
            lease: Duration::from_secs(30),
            readers: 1,
        };
        stores.push(Arc::new(PostgresStore::open(&options).await.expect("a PostgreSQL")));
    }
    let next = Arc::new(AtomicI64::new(1));
    let begun = Instant::now();
    while next.load(Ordering::Relaxed) < backlog {
        let from = next.fetch_add(2_000, Ordering::Relaxed);
        send(&stores[0], (from..from + 2_000).map(|run| birth(run, Status::Queued)).collect()).await;
    }
    println!("{backlog} queued runs written in {:.1} s", begun.elapsed().as_secs_f64());

    for processes in [1, 4, 16] {
        let some = &stores[..processes];
        let begins = Arc::clone(&next);
        let births = at_once(some, move |store| {
            let begins = Arc::clone(&begins);
            async move {
                let from = begins.fetch_add(GROUP, Ordering::Relaxed);
                send(&store, (from..from + GROUP).map(|run| birth(run, Status::Completed)).collect()).await;
                GROUP as u64
            }
        });
        println!("{processes:>2} processes: {:>8.0} births with their end/s, {GROUP} in flight each", births.await);
        let known = vec![("noop".to_owned(), 1)];
        let looks = at_once(some, {
            let known = known.clone();
            move |store| {
                let known = known.clone();
                async move {
                    // With room for one.
                    let _ = store.take(Time(0), 1, &known).await.expect("a look");
                    1
                }
            }
        });
        println!("{processes:>2} processes: {:>8.0} looks for work/s", looks.await);
        let claims = at_once(some, move |store| {
            let known = known.clone();
            async move {
                let offered = store.take(NOW, GROUP as u32, &known).await.expect("offers");
                let claims: Vec<Transition> = offered.iter().map(|open| claim(open.run)).collect();
                let count = claims.len() as u64;
                if count > 0 {
                    send(&store, claims).await;
                }
                count
            }
        });
        println!("{processes:>2} processes: {:>8.0} runs taken and claimed/s", claims.await);
    }
    for store in stores {
        tokio::task::spawn_blocking(move || store.close()).await.expect("a close");
    }
}

/// How many a second, when each of these does one after the other.
async fn at_once<F: Future<Output = u64> + Send>(
    stores: &[Arc<PostgresStore>],
    one: impl Fn(Arc<PostgresStore>) -> F + Clone + Send + Sync + 'static,
) -> f64 {
    let (count, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let working: Vec<_> = stores
        .iter()
        .map(|store| {
            let (store, count, one) = (Arc::clone(store), Arc::clone(&count), one.clone());
            tokio::spawn(async move {
                while begun.elapsed() < EACH {
                    count.fetch_add(one(Arc::clone(&store)).await, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for process in working {
        process.await.expect("a process");
    }
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

async fn send(store: &PostgresStore, batch: Vec<Transition>) {
    let (tell, told) = oneshot::channel();
    store.submit(batch, Box::new(move |receipts: Vec<Receipt>| drop(tell.send(receipts))));
    told.await.expect("receipts");
}

fn append(run: i64, fence: Fence, first: u32, last: u32, epoch: u32, status: Status) -> Transition {
    let ended_at = status.is_terminal().then_some(NOW);
    let stand = Some(Stand { status, due_at: None, ended_at });
    let body = vec![7; 210].into();
    let append =
        Append { run: RunNo(run), fence, first, last, epoch, at: Time(NOW.0 - 1), body, stand, blobs: Vec::new() };
    Transition { appends: vec![append], ..Transition::default() }
}

fn birth(run: i64, status: Status) -> Transition {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&run.to_be_bytes());
    let birth = Birth::new(RunId::new(Time(1_700_000_000_000 + run / 50), random), "noop");
    append(run, Fence::Birth(Box::new(birth)), 1, 8, 0, status)
}

fn claim(run: RunNo) -> Transition {
    append(run.0, Fence::Claim { prev: 1 }, 9, 9, 1, Status::Running)
}
