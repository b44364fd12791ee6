//! PostgreSQL's notifications: the suite of buses on a real server, which restarts, and cuts off who listens.

use crate::{down, failed, up};
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::conformance::bus;
use tutti_engine::ports::bus::{Bus, Call};
use tutti_engine::run::RunNo;
use tutti_stores::hub::Hub;
use tutti_stores::postgres::{PostgresOptions, notify};
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::skip;
use tutti_tests::in_time;

fn open(server: &Postgres, schema: &str) -> Hub {
    notify::bus(&PostgresOptions { dsn: server.dsn(), schema: schema.into(), ..PostgresOptions::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_as_a_bus_keeps_the_contract() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let mut failed = Vec::new();
    for case in bus::cases() {
        let schema = server.schema();
        let pair: bus::Pair = [0, 1].map(|_| Arc::new(open(&server, &schema)) as Arc<dyn Bus>);
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run(pair)).await;
        failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_are_apart() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schemas = [server.schema(), format!("{}-X y", server.schema())];
    let [a, b] = schemas.clone().map(|schema| open(&server, &schema));
    let third = open(&server, &schemas[1]);
    for bus in [&a, &b, &third] {
        up(bus.news()).await;
    }
    a.call(Call::Mail(RunNo(1)));
    a.close().await;
    third.call(Call::Mail(RunNo(2)));
    assert_eq!(in_time("a call", b.calls()).await, [Call::Mail(RunNo(2))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_listen_is_survived_and_told() {
    let Some(server) = Postgres::start().await else { return skip("PostgreSQL") };
    let (a, b) = (open(&server, "cut"), open(&server, "cut"));
    up(a.news()).await;
    up(b.news()).await;
    let mut listener = b.listen(RunNo(1));
    a.wake(RunNo(1), 1);
    in_time("a wake", listener.grown(0)).await;
    server.cut().await;
    down(a.news()).await;
    down(b.news()).await;
    // Here everything goes on; what others would hear is lost.
    let mut local = a.listen(RunNo(1));
    a.wake(RunNo(1), 2);
    in_time("a wake", local.grown(1)).await;
    a.call(Call::Mail(RunNo(7)));
    server.up().await;
    up(a.news()).await;
    up(b.news()).await;
    for bus in [&a, &b] {
        let mut heard = Vec::new();
        while !heard.contains(&Call::Look) {
            heard.extend(in_time("a call to look", bus.calls()).await);
        }
    }
    a.wake(RunNo(1), 3);
    in_time("a wake", listener.grown(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cut_off_alone_looks_when_it_is_back() {
    let Some(server) = Postgres::start().await else { return skip("PostgreSQL") };
    let bus = open(&server, "alone");
    up(bus.news()).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '% notify'";
    assert_eq!(server.psql(cut).await, "1");
    let heard = in_time("a call to look", bus.calls()).await;
    assert_eq!(heard, [Call::Look]);
    up(bus.news()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_found() {
    let Some(server) = Postgres::start().await else { return skip("PostgreSQL") };
    server.cut().await;
    let bus = open(&server, "late");
    failed(bus.news()).await;
    server.up().await;
    up(bus.news()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_within_a_transaction() {
    let Some(server) = Postgres::shared().await else { return skip("PostgreSQL") };
    let schema = server.schema();
    let (a, b) = (open(&server, &schema), open(&server, &schema));
    up(a.news()).await;
    up(b.news()).await;
    for run in 1..=20 {
        a.call(Call::Mail(RunNo(run)));
        in_time("a call", b.calls()).await;
    }
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '% notify' AND state LIKE '%in transaction%'";
    assert_eq!(server.psql(busy).await, "0");
}
