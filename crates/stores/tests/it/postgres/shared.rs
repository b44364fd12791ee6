//! Several processes on one schema: who owns what, who is offered what, and what a lost connection may do.

use super::open;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tutti_engine::ports::share::Share;
use tutti_engine::ports::store::{Append, Birth, Fence, InboxItem, Receipt, Refusal, Stand, Store, Transition};
use tutti_engine::run::{RunId, RunNo, Status, Time};
use tutti_engine::session::OnBusy;
use tutti_stores::postgres::{PostgresOptions, PostgresStore};
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::skip;
use tutti_tests::in_time;

const NOW: Time = Time(1_700_000_000_000);

fn known() -> Vec<(String, u32)> {
    vec![("noop".into(), 1)]
}

async fn send(store: &PostgresStore, transition: Transition) -> Receipt {
    let (tell, told) = oneshot::channel();
    store.submit(vec![transition], Box::new(move |receipts| tell.send(receipts).unwrap()));
    told.await.unwrap().remove(0)
}

fn birth(run: RunNo, status: Status, change: impl FnOnce(&mut Birth)) -> Transition {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&run.0.to_be_bytes());
    let mut birth = Birth::new(RunId::new(Time(NOW.0 + run.0), random), "noop");
    change(&mut birth);
    let epoch = u32::from(status == Status::Running);
    let stand = Some(Stand { status, due_at: None, ended_at: None });
    let append = Append {
        run,
        fence: Fence::Birth(Box::new(birth)),
        first: 1,
        last: 1,
        epoch,
        at: NOW,
        body: vec![1].into(),
        stand,
        blobs: Vec::new(),
    };
    Transition { appends: vec![append], ..Transition::default() }
}

/// A claim of a run of one entry.
fn claim(run: RunNo, epoch: u32) -> Transition {
    let append = Append {
        run,
        fence: Fence::Claim { prev: 1 },
        first: 2,
        last: 2,
        epoch,
        at: NOW,
        body: vec![2].into(),
        stand: Some(Stand { status: Status::Running, due_at: None, ended_at: None }),
        blobs: Vec::new(),
    };
    Transition { appends: vec![append], ..Transition::default() }
}

fn numbers(taken: &[tutti_engine::ports::store::OpenRun]) -> BTreeSet<i64> {
    taken.iter().map(|open| open.run.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_nobody_elses() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    let mut blocks = Vec::new();
    for _ in 0..5 {
        let (a, b) = tokio::join!(one.reserve(700), two.reserve(300));
        blocks.extend([(a.unwrap().0, 700), (b.unwrap().0, 300)]);
    }
    blocks.sort_unstable();
    assert!(blocks.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{blocks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_offered_to_one_process_and_goes_to_another_when_that_one_has_left() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    for run in 1..=20 {
        assert_eq!(send(&one, birth(RunNo(run), Status::Queued, |_| ())).await, Receipt::Committed);
    }
    let strange = birth(RunNo(30), Status::Queued, |b| b.workflow = "of a newer program".into());
    assert_eq!(send(&one, strange).await, Receipt::Committed);
    let (a, b) = tokio::join!(one.take(NOW, 12, &known()), two.take(NOW, 12, &known()));
    let (a, b) = (numbers(&a.unwrap()), numbers(&b.unwrap()));
    assert!(a.is_disjoint(&b), "{a:?} {b:?}");
    let rest = numbers(&one.take(NOW, 20, &known()).await.unwrap());
    let all: BTreeSet<i64> = a.iter().chain(&b).chain(&rest).copied().collect();
    assert_eq!(all, (1..=20).collect(), "what nobody here knows is left alone");

    // The first works one of its runs, and goes: the second may take that, and the others once their offer has passed.
    let run = RunNo(*a.first().unwrap());
    assert_eq!(send(&one, claim(run, 1)).await, Receipt::Committed);
    assert!(two.run(run).await.unwrap().unwrap().is_elsewhere && !one.run(run).await.unwrap().unwrap().is_elsewhere);
    assert!(!numbers(&two.take(NOW, 50, &known()).await.unwrap()).contains(&run.0));
    one.close();
    assert!(numbers(&two.take(NOW, 50, &known()).await.unwrap()).contains(&run.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_has_takes_no_place_among_what_it_is_offered() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let store = open(&server, &schema).await;
    for run in 1..=9 {
        assert_eq!(send(&store, birth(RunNo(run), Status::Queued, |_| ())).await, Receipt::Committed);
    }
    let begun = store.take(NOW, 3, &known()).await.unwrap();
    for open in &begun {
        assert_eq!(send(&store, claim(open.run, 1)).await, Receipt::Committed);
    }
    let on_their_way = store.take(NOW, 3, &known()).await.unwrap();
    let rest = store.take(NOW, 3, &known()).await.unwrap();
    assert_eq!([begun.len(), on_their_way.len(), rest.len()], [3, 3, 3]);
    let all: BTreeSet<i64> = [&begun, &on_their_way, &rest].into_iter().flat_map(|some| numbers(some)).collect();
    assert_eq!(all, (1..=9).collect());
    assert_eq!(store.take(NOW, 9, &known()).await.unwrap(), [], "there is nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_claim_the_same_run_are_one() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    for run in 1..=50 {
        assert_eq!(send(&one, birth(RunNo(run), Status::Queued, |_| ())).await, Receipt::Committed);
        let (a, b) = tokio::join!(send(&one, claim(RunNo(run), 1)), send(&two, claim(RunNo(run), 1)));
        let fenced = Receipt::Refused(Refusal::Fenced { run: RunNo(run) });
        let outcome = [a, b];
        assert!(outcome.contains(&Receipt::Committed) && outcome.contains(&fenced), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_run_at_a_time_whoever_claims() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    let session = |on_busy| {
        move |b: &mut Birth| {
            b.session = Some("talk".into());
            b.terms.on_busy = on_busy;
        }
    };
    for (run, on_busy) in [(1, OnBusy::Queue), (2, OnBusy::Queue), (3, OnBusy::Interrupt), (4, OnBusy::Parallel)] {
        assert_eq!(send(&one, birth(RunNo(run), Status::Queued, session(on_busy))).await, Receipt::Committed);
    }
    let fenced = |run| Receipt::Refused(Refusal::Fenced { run: RunNo(run) });
    // Whoever took over goes first, then the line; who shares waits for nobody.
    let offered = numbers(&two.take(NOW, 9, &known()).await.unwrap());
    assert_eq!(offered, BTreeSet::from([3, 4]));
    assert_eq!(send(&two, claim(RunNo(1), 1)).await, fenced(1));
    assert_eq!(send(&two, claim(RunNo(3), 1)).await, Receipt::Committed);
    assert_eq!(send(&one, claim(RunNo(1), 1)).await, fenced(1), "the lane is held elsewhere");
    assert_eq!(send(&one, claim(RunNo(4), 1)).await, Receipt::Committed);
    // A cancel does not wait in line.
    let cancel = InboxItem { run: RunNo(2), dedup: "cancel".into(), kind: 3, body: b"{}".to_vec().into() };
    let put = Transition { inbox_put: vec![cancel], ..Transition::default() };
    assert_eq!(send(&one, put).await, Receipt::Committed);
    assert_eq!(numbers(&one.take(NOW, 9, &known()).await.unwrap()).into_iter().filter(|run| *run == 2).count(), 1);
    assert_eq!(send(&one, claim(RunNo(2), 1)).await, Receipt::Committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_for_running_runs_is_found() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (one, two) = (open(&server, &schema).await, open(&server, &schema).await);
    assert_eq!(send(&one, birth(RunNo(1), Status::Running, |_| ())).await, Receipt::Committed);
    let item = InboxItem { run: RunNo(1), dedup: "a".into(), kind: 1, body: b"{}".to_vec().into() };
    let put = Transition { inbox_put: vec![item.clone()], ..Transition::default() };
    assert_eq!(send(&two, put.clone()).await, Receipt::Committed);
    assert_eq!(send(&two, put).await, Receipt::Refused(Refusal::Duplicate));
    assert_eq!(one.mail(9).await.unwrap(), [item]);
    assert_eq!(two.mail(9).await.unwrap(), []);
}

/// A table that somebody else has locked.
struct Locked {
    server: Arc<Postgres>,
    holder: tokio::task::JoinHandle<String>,
    locks: String,
}

impl Locked {
    async fn begin(server: &Arc<Postgres>, table: &str, mode: &str) -> Self {
        // What a session is called is seen in its activity.
        let lock = format!(
            "SET application_name = 'holder of {table}'; BEGIN; LOCK TABLE {table} IN {mode} MODE; SELECT pg_sleep(600)"
        );
        let holder = tokio::spawn({
            let server = Arc::clone(server);
            async move { server.psql(&lock).await }
        });
        let locks =
            format!("FROM pg_stat_activity WHERE application_name = 'holder of {table}' AND wait_event = 'PgSleep'");
        let count = format!("SELECT count(*) {locks}");
        in_time("the lock", async { while server.psql(&count).await != "1" {} }).await;
        Self { server: Arc::clone(server), holder, locks }
    }

    async fn end(self) {
        self.server.psql(&format!("SELECT pg_terminate_backend(pid) {}", self.locks)).await;
        assert!(self.holder.await.is_err(), "it is told that it was ended");
    }
}

/// A backup reads the whole journal for hours. Numbers are reserved meanwhile, though the next part of the journal has to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_reserved_while_somebody_reads_the_whole_journal() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let store = open(&server, &schema).await;
    store.reserve(1).await.unwrap();
    server.psql(&format!("SELECT setval('{schema}.run_numbers', 1000500)")).await;
    let backup = Locked::begin(&server, &format!("{schema}.journal"), "ACCESS SHARE").await;
    let parts = format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{schema}.journal'::regclass");
    let before = server.psql(&parts).await;
    assert_eq!(store.reserve(10).await.unwrap(), RunNo(1_000_501));
    assert_eq!(server.psql(&parts).await, before);
    backup.end().await;
    store.reserve(10).await.unwrap();
    assert_ne!(server.psql(&parts).await, before, "the part ahead was made");
}

/// A lock of a person's, or of a migration of something else, costs all who wait for it one wait, not one behind the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_on_our_tables_is_told_to_all_at_once() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let store = open(&server, &schema).await;
    let locked = Locked::begin(&server, &format!("{schema}.runs"), "ACCESS EXCLUSIVE").await;
    let (tell, told) = oneshot::channel();
    let group = (1..=20).map(|run| birth(RunNo(run), Status::Queued, |_| ())).collect();
    store.submit(group, Box::new(move |receipts| tell.send(receipts).unwrap()));
    for receipt in in_time("the receipts", told).await.unwrap() {
        assert!(matches!(&receipt, Receipt::Failed(e) if e.to_string().contains("holds a lock")), "{receipt:?}");
    }
    locked.end().await;
    assert_eq!(send(&store, birth(RunNo(1), Status::Queued, |_| ())).await, Receipt::Committed);
}

/// Connections are cut in the middle of commits: what was receipted is there, and nothing is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_tell_the_truth_while_the_server_is_restarted() {
    let Some(server) = Postgres::start().await.map(Arc::new) else { return skip("PostgreSQL") };
    let store = Arc::new(open(&server, "cuts").await);
    let is_over = Arc::new(AtomicBool::new(false));
    let (counter, mut count) = watch::channel(0);
    let writing: Vec<_> = (0..8)
        .map(|writer| {
            let (store, is_over, counter) = (Arc::clone(&store), Arc::clone(&is_over), counter.clone());
            tokio::spawn(async move {
                let mut committed = Vec::new();
                for n in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let run = RunNo(writer * 1_000_000 + n + 1);
                    match send(&store, birth(run, Status::Running, |_| ())).await {
                        Receipt::Committed => {
                            committed.push(run);
                            counter.send_modify(|count| *count += 1);
                        }
                        Receipt::Refused(refusal) => panic!("{run:?}: {refusal}"),
                        Receipt::Failed(_) | Receipt::Unknown(_) => {}
                    }
                }
                committed
            })
        })
        .collect();
    for _ in 0..4 {
        // All write when it is cut, and have written since the last time.
        let enough = *count.borrow() + 100;
        in_time("commits between two cuts", count.wait_for(|count| *count >= enough)).await.unwrap();
        server.cut().await;
        server.up().await;
    }
    is_over.store(true, Ordering::Relaxed);
    for writer in writing {
        for run in writer.await.unwrap() {
            let rows = store.journal(run, 0, 9).await.unwrap();
            assert_eq!(rows.len(), 1, "{run:?}");
        }
    }
}

/// A process that cannot renew its lease lets go before others may take what it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_cannot_be_renewed_is_lost_and_joined_anew() {
    let Some(server) = Postgres::start().await.map(Arc::new) else { return skip("PostgreSQL") };
    let options = PostgresOptions {
        dsn: server.dsn(),
        schema: "lease".into(),
        lease: Duration::from_secs(1),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::open(&options).await.unwrap();
    assert!(store.is_owner());
    server.cut().await;
    in_time("the lease to be lost", store.disowned()).await;
    assert!(!store.is_owner());
    server.up().await;
    assert!(!store.is_owner(), "what was lost stays lost until it has joined anew");
    while store.rejoin().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(store.is_owner());
}
