//! Large bodies: stored once under their hash, for as long as a run refers to them.

use super::topic;
use super::trial::{NOW, Trial, after, birth, claim, ended, standing};
use crate::ports::store::{Append, Blob, Prune, StoreError};
use crate::run::{Status, Time};
use bytes::Bytes;
use sha2::{Digest, Sha256};

topic! { "blobs":
    blobs_come_in_the_order_asked,
    an_unknown_hash_is_damage,
    a_refused_row_leaves_no_blob,
    a_large_blob_is_kept,
    a_blob_stays_while_a_run_refers_to_it,
    a_blob_leaves_with_the_last_run,
    a_blob_comes_back_after_it_left,
}

fn blob(body: impl Into<Bytes>) -> Blob {
    let body = body.into();
    Blob { hash: Sha256::digest(&body).into(), body }
}

fn with(append: Append, blobs: &[&Blob]) -> Append {
    Append { blobs: blobs.iter().map(|blob| (*blob).clone()).collect(), ..append }
}

async fn kept(trial: &Trial, blob: &Blob) -> bool {
    match trial.blobs(&[blob.hash]).await {
        Ok(bodies) => bodies == [&blob.body],
        Err(StoreError::Damaged(_)) => false,
        Err(e) => panic!("a read failed: {e}"),
    }
}

async fn end(trial: &Trial, run: i64, at: i64) {
    trial.write(standing(after(run, 1, 4, 4, 1), ended(Status::Completed, at))).await;
}

async fn prune(trial: &Trial, before: i64) -> u64 {
    trial.prune(Prune { ended_before: Time(before), keep_max: 99, limit: 99, dry_run: false }).await
}

async fn blobs_come_in_the_order_asked(trial: Trial) {
    let (a, b, c) = (blob("a"), blob(&b"\0\xff"[..]), blob(""));
    trial.write(with(birth(1), &[&a, &b])).await;
    trial.write(with(after(1, 1, 4, 4, 1), &[&c, &a, &a])).await;
    for order in [[&c, &a, &b], [&a, &b, &c], [&b, &b, &a]] {
        let bodies = trial.blobs(&order.map(|blob| blob.hash)).await;
        assert_eq!(bodies, Ok(order.map(|blob| blob.body.clone()).to_vec()));
    }
}

async fn an_unknown_hash_is_damage(trial: Trial) {
    let a = blob("a");
    trial.write(with(birth(1), &[&a])).await;
    let answer = trial.blobs(&[a.hash, [0; 32]]).await;
    assert!(matches!(answer, Err(StoreError::Damaged(_))), "{answer:?}");
}

async fn a_refused_row_leaves_no_blob(trial: Trial) {
    let (a, b) = (blob("a"), blob("b"));
    trial.write(birth(1)).await;
    trial.fenced(with(after(1, 1, 4, 4, 2), &[&a])).await;
    trial.fenced(with(claim(1, 1, 5, 2), &[&a])).await;
    trial.fenced(with(birth(1), &[&b])).await;
    assert!(!kept(&trial, &a).await && !kept(&trial, &b).await);
}

async fn a_large_blob_is_kept(trial: Trial) {
    let large = blob((0..10_000_000_u32).map(|n| (n % 251) as u8).collect::<Bytes>());
    trial.write(with(birth(1), &[&large])).await;
    assert!(kept(&trial, &large).await);
}

async fn a_blob_stays_while_a_run_refers_to_it(trial: Trial) {
    let (shared, own) = (blob("shared"), blob("own"));
    trial.write(with(birth(1), &[&shared, &own])).await;
    trial.write(with(birth(2), &[&shared])).await;
    end(&trial, 1, NOW).await;
    assert!(kept(&trial, &shared).await && kept(&trial, &own).await);
    assert_eq!(prune(&trial, NOW + 1).await, 1);
    assert!(kept(&trial, &shared).await, "run 2 still refers to it");
    assert!(!kept(&trial, &own).await, "nobody refers to it");
}

async fn a_blob_leaves_with_the_last_run(trial: Trial) {
    let shared = blob("shared");
    for run in [1, 2, 3] {
        trial.write(with(birth(run), &[&shared])).await;
        end(&trial, run, NOW + run).await;
    }
    assert_eq!(prune(&trial, NOW + 2).await, 1);
    assert!(kept(&trial, &shared).await);
    assert_eq!(prune(&trial, NOW + 9).await, 2);
    assert!(!kept(&trial, &shared).await);
}

async fn a_blob_comes_back_after_it_left(trial: Trial) {
    let body = blob("again");
    for run in [1, 2] {
        trial.write(with(birth(run), &[&body])).await;
        assert!(kept(&trial, &body).await);
        end(&trial, run, NOW).await;
        assert_eq!(prune(&trial, NOW + 1).await, 1);
        assert!(!kept(&trial, &body).await);
    }
}
