//! What a receipt promised is there when the store is opened again, and the fences with it.

use super::Place;
use super::trial::{
    NOW, QUEUED, Trial, WAITING, after, birth, birth_with, claim, ended, id, item, once, put, rows, standing, taking,
    waiting_until,
};
use crate::conformance::message;
use crate::ports::store::{Append, Blob, Prune, Receipt, Refusal, Transition};
use crate::run::{Owner, RunNo, Status, Time};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use std::panic::AssertUnwindSafe;

type Reopened = fn(Place) -> BoxFuture<'static, ()>;

/// Every case, with its name.
const CASES: &[(&str, Reopened)] = &[
    ("everything_is_as_it_was", |place| Box::pin(everything_is_as_it_was(place))),
    ("fences_hold", |place| Box::pin(fences_hold(place))),
    ("what_was_seen_stays_known", |place| Box::pin(what_was_seen_stays_known(place))),
    ("messages_keep_their_order", |place| Box::pin(messages_keep_their_order(place))),
    ("numbers_of_pruned_runs_stay_used", |place| Box::pin(numbers_of_pruned_runs_stay_used(place))),
    ("words_keep_their_meaning", |place| Box::pin(words_keep_their_meaning(place))),
    ("receipts_tell_the_truth", |place| Box::pin(receipts_tell_the_truth(place))),
];

/// Runs every case in a place of its own; answers a line for each that failed.
pub(super) async fn run(make: impl Fn() -> Place) -> (Vec<String>, usize) {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        if let Err(panic) = AssertUnwindSafe(case(make())).catch_unwind().await {
            failed.push(format!("reopening/{name}: {}", message(panic.as_ref())));
        }
    }
    (failed, CASES.len())
}

fn open(place: &Place) -> Trial {
    Trial::new(place())
}

/// Closes, and opens again.
fn reopen(place: &Place, trial: Trial) -> Trial {
    drop(trial);
    open(place)
}

async fn everything_is_as_it_was(place: Place) {
    let trial = open(&place);
    let blobs = [3, 300_000].map(|size| Blob { hash: [size as u8; 32], body: Bytes::from(vec![7; size]) });
    let hashes: Vec<_> = blobs.iter().map(|blob| blob.hash).collect();
    let first = birth_with(1, |b| {
        (b.owner, b.priority) = (Owner { tenant: "Größe 🦀".into(), user: "o'brien".into() }, 9);
        (b.parent, b.session, b.once) = (Some(RunNo(9)), Some("talk".into()), once(1, 2));
    });
    trial.write(Append { blobs: blobs.to_vec(), ..first }).await;
    for (run, status) in (2..).zip(Status::ALL) {
        let stand =
            if status.is_terminal() { ended(status, NOW) } else { crate::ports::store::Stand { status, ..QUEUED } };
        trial.write(standing(birth(run), stand)).await;
    }
    trial.write(standing(birth(20), waiting_until(NOW + 7))).await;
    assert_eq!(trial.submit(vec![put(1, "a"), put(1, "b"), put(20, "c")]).await, [const { Receipt::Committed }; 3]);
    assert_eq!(trial.send(taking(after(1, 1, 4, 9, 1), &["a"])).await, Receipt::Committed);
    trial.write(claim(1, 4, 10, 2)).await;
    trial.fenced(after(1, 4, 10, 10, 1)).await;
    let (everything, open_runs) = (trial.everything().await, trial.open(NOW).await);
    let large = trial.blobs(&hashes).await;
    let again = reopen(&place, trial);
    assert_eq!(again.everything().await, everything);
    assert_eq!((again.blobs(&hashes).await, again.open(NOW).await), (large, open_runs));
    assert_eq!(again.run_by_id(id(20)).await, Some(again.run(20).await));
}

async fn fences_hold(place: Place) {
    let trial = open(&place);
    trial.write(birth(1)).await;
    trial.write(claim(1, 1, 4, 2)).await;
    let trial = reopen(&place, trial);
    trial.fenced(birth(1)).await;
    trial.fenced(birth_with(2, |b| b.id = id(1))).await;
    trial.fenced(after(1, 1, 4, 4, 1)).await;
    trial.fenced(after(1, 4, 5, 5, 1)).await;
    trial.fenced(claim(1, 1, 4, 2)).await;
    trial.write(after(1, 4, 5, 5, 2)).await;
    let trial = reopen(&place, trial);
    trial.fenced(after(1, 4, 5, 5, 2)).await;
    trial.write(claim(1, 5, 6, 3)).await;
}

async fn what_was_seen_stays_known(place: Place) {
    let trial = open(&place);
    trial.write(birth_with(1, |b| b.once = once(1, 10))).await;
    assert_eq!(trial.submit(vec![put(1, "taken"), put(1, "left")]).await, [const { Receipt::Committed }; 2]);
    assert_eq!(trial.send(taking(after(1, 1, 4, 4, 1), &["taken"])).await, Receipt::Committed);
    let trial = reopen(&place, trial);
    let duplicate = Receipt::Refused(Refusal::Duplicate);
    assert_eq!(trial.submit(vec![put(1, "taken"), put(1, "left")]).await, [duplicate.clone(), duplicate]);
    assert_eq!(trial.waiting_for(1).await, ["left"]);
    let repeated = Refusal::Repeated { run: RunNo(1), id: id(1), body: [10; 16] };
    let again = rows([birth_with(2, |b| b.once = once(1, 11))]);
    assert_eq!(trial.send(again).await, Receipt::Refused(repeated));
}

async fn messages_keep_their_order(place: Place) {
    let mut trial = open(&place);
    trial.write(standing(birth(1), WAITING)).await;
    for dedup in ["m", "z", "a", "9", "10"] {
        assert_eq!(trial.send(put(1, dedup)).await, Receipt::Committed);
        trial = reopen(&place, trial);
    }
    assert_eq!(trial.inbox(1).await, ["m", "z", "a", "9", "10"].map(|dedup| item(1, dedup)));
    assert_eq!(trial.open(1).await, [1]);
}

async fn numbers_of_pruned_runs_stay_used(place: Place) {
    let mut trial = open(&place);
    for run in [3, 8] {
        trial.write(standing(birth(run), ended(Status::Completed, NOW))).await;
    }
    let prune = Prune { ended_before: Time(NOW + 1), keep_max: 99, limit: 99, dry_run: false };
    assert_eq!(trial.prune(prune).await, 2);
    trial = reopen(&place, trial);
    assert_eq!(trial.next_run().await, RunNo(9));
    trial.write(birth(9)).await;
    assert_eq!(reopen(&place, trial).next_run().await, RunNo(10));
}

/// Stores that keep a number for a word must not give it to another.
async fn words_keep_their_meaning(place: Place) {
    let mut trial = open(&place);
    for run in 1..=6_i64 {
        let (workflow, user) = (format!("w{}", run % 3), format!("u{}", run % 2));
        // A refused birth may have brought a new word along.
        let refused = birth_with(run + 50, |b| b.workflow = format!("never{run}"));
        assert!(matches!(trial.send(rows([refused, after(99, 1, 4, 4, 1)])).await, Receipt::Refused(_)));
        let owner = Owner { tenant: "t".into(), user: user.clone() };
        trial.write(birth_with(run, |b| (b.workflow, b.owner) = (workflow, owner))).await;
        trial = reopen(&place, trial);
    }
    for run in 1..=6 {
        let row = trial.run(run).await;
        assert_eq!((row.workflow, row.owner.user), (format!("w{}", run % 3), format!("u{}", run % 2)), "run {run}");
    }
}

/// The last handle may go while batches wait: each is answered, and what the answer says is so.
async fn receipts_tell_the_truth(place: Place) {
    let trial = open(&place);
    trial.write(birth(1)).await;
    let chain = (4..204).map(|first| {
        let prev = if first == 4 { 1 } else { first - 1 };
        trial.submit(vec![Transition { appends: vec![after(1, prev, first, first, 1)], ..Transition::default() }])
    });
    let answers: Vec<_> = chain.collect();
    drop(trial);
    let receipts = join_all(answers).await.concat();
    let there = open(&place).firsts(1, 3, 999).await;
    assert_eq!(there, (4..4 + there.len() as u32).collect::<Vec<_>>(), "no prefix of what was submitted");
    for (first, receipt) in (4..).zip(&receipts) {
        match receipt {
            Receipt::Committed => assert!(there.contains(&first), "{first} was receipted and is gone"),
            Receipt::Refused(_) | Receipt::Failed(_) => {
                assert!(!there.contains(&first), "{first}: {receipt:?}, and there")
            }
            Receipt::Unknown(_) => {}
        }
    }
}
