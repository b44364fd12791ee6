//! How many births (with their end) the writer commits per second: `cargo run --release -p tutti-stores --example throughput`.
#![allow(clippy::expect_used, reason = "a measurement that cannot go on should say why")]

use std::sync::mpsc::channel;
use std::time::Instant;
use tutti_engine::ports::store::{Append, Birth, Fence, Stand, Store, Transition};
use tutti_engine::run::{RunId, RunNo, Status, Time};
use tutti_stores::sqlite::SqliteStore;

fn main() {
    let dir = std::env::temp_dir().join(format!("tutti-throughput-{}", std::process::id()));
    let store = SqliteStore::open(&dir).expect("a directory that can be written");
    for group in [1, 16, 64, 512] {
        let runs = if group == 1 { 5_000 } else { 100_000 };
        let (tx, rx) = channel();
        let begun = Instant::now();
        let (mut sent, mut run) = (0, 1 + group * 1_000_000);
        while sent < runs {
            let batch: Vec<_> = (0..group)
                .map(|_| {
                    run += 1;
                    birth(run)
                })
                .collect();
            sent += group;
            let tx = tx.clone();
            store.submit(batch, Box::new(move |receipts| tx.send(receipts.len()).expect("the test listens")));
            rx.recv().expect("receipts");
        }
        println!("{group} in flight: {:.0} births/s", sent as f64 / begun.elapsed().as_secs_f64());
    }
    store.close();
    let bytes = std::fs::metadata(dir.join("tutti.db")).map_or(0, |m| m.len());
    println!("{} bytes per run", bytes / 305_000);
    let _ = std::fs::remove_dir_all(dir);
}

fn birth(run: i64) -> Transition {
    let at = Time(1_700_000_000_000 + run / 50);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&run.to_be_bytes());
    let birth = Birth::new(RunId::new(at, random), "noop");
    let stand = Some(Stand { status: Status::Completed, due_at: None, ended_at: Some(at) });
    let append = Append {
        run: RunNo(run),
        fence: Fence::Birth(Box::new(birth)),
        first: 1,
        last: 8,
        epoch: 1,
        at,
        body: vec![7; 210].into(),
        stand,
        blobs: Vec::new(),
    };
    Transition { appends: vec![append], ..Transition::default() }
}
