//! Rows of a run's owner: the fence, and bodies of any content.

use super::topic;
use super::trial::{Trial, after, birth, rows};
use crate::ports::store::{Append, Receipt, Refusal};
use crate::run::RunNo;
use bytes::Bytes;

topic! { "append":
    rows_extend_the_journal,
    a_row_of_an_earlier_epoch_is_refused,
    a_row_of_a_later_epoch_is_refused,
    a_row_after_an_absent_row_is_refused,
    a_row_after_an_older_row_is_refused,
    a_gap_is_refused,
    an_overlap_is_refused,
    entry_zero_is_refused,
    the_same_row_twice_is_refused_once,
    a_row_of_an_absent_run_is_refused,
    another_runs_rows_are_no_predecessor,
    an_empty_body_is_kept,
    a_body_of_a_megabyte_is_kept,
    nul_and_emoji_in_a_body_are_kept,
    every_byte_in_a_body_is_kept,
    large_numbers_are_kept,
    an_empty_batch_is_answered,
    an_empty_transition_commits,
}

async fn rows_extend_the_journal(trial: Trial) {
    trial.write(birth(1)).await;
    let (second, third) = (after(1, 1, 4, 4, 1), after(1, 4, 5, 90, 1));
    trial.write(second.clone()).await;
    trial.write(third.clone()).await;
    let read = trial.journal(1, 0).await;
    let places: Vec<_> = read.iter().map(|r| (r.prev, r.first, r.last, r.epoch)).collect();
    assert_eq!(places, [(0, 1, 3, 1), (1, 4, 4, 1), (4, 5, 90, 1)]);
    assert_eq!((read[1].at, &read[1].body), (second.at, &second.body));
    assert_eq!((read[2].at, &read[2].body), (third.at, &third.body));
}

async fn a_row_of_an_earlier_epoch_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.fenced(after(1, 1, 4, 4, 0)).await;
}

async fn a_row_of_a_later_epoch_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.fenced(after(1, 1, 4, 4, 2)).await;
}

async fn a_row_after_an_absent_row_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    // 2 and 3 are entries inside the first row, not the start of one.
    for prev in [0, 2, 3, 4] {
        trial.fenced(after(1, prev, 4, 4, 1)).await;
    }
}

async fn a_row_after_an_older_row_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(after(1, 1, 4, 6, 1)).await;
    trial.fenced(after(1, 1, 7, 7, 1)).await;
    trial.fenced(after(1, 1, 4, 4, 1)).await;
}

async fn a_gap_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.fenced(after(1, 1, 5, 5, 1)).await;
}

async fn an_overlap_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    for first in [1, 2, 3] {
        trial.fenced(after(1, 1, first, 5, 1)).await;
    }
}

async fn entry_zero_is_refused(trial: Trial) {
    trial.fenced(after(1, 0, 0, 0, 0)).await;
    trial.write(birth(1)).await;
    trial.fenced(after(1, 0, 0, 0, 1)).await;
    trial.fenced(after(1, 1, 0, 2, 1)).await;
}

async fn the_same_row_twice_is_refused_once(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(after(1, 1, 4, 4, 1)).await;
    trial.fenced(after(1, 1, 4, 4, 1)).await;
    trial.fenced(Append { body: Bytes::from_static(b"another"), ..after(1, 1, 4, 4, 1) }).await;
    trial.write(after(1, 4, 5, 5, 1)).await;
}

async fn a_row_of_an_absent_run_is_refused(trial: Trial) {
    trial.fenced(after(1, 0, 1, 1, 0)).await;
    trial.fenced(after(1, 0, 1, 1, 1)).await;
    trial.fenced(after(1, 1, 4, 4, 1)).await;
}

async fn another_runs_rows_are_no_predecessor(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(birth(2)).await;
    trial.write(after(1, 1, 4, 4, 1)).await;
    trial.fenced(after(2, 4, 5, 5, 1)).await;
}

async fn comes_back(trial: Trial, body: Bytes) {
    trial.write(Append { body: body.clone(), ..birth(1) }).await;
    trial.write(Append { body: body.clone(), ..after(1, 1, 4, 4, 1) }).await;
    let read = trial.journal(1, 0).await;
    assert_eq!(read.len(), 2);
    for row in read {
        assert!(row.body == body, "{} bytes written, {} others read", body.len(), row.body.len());
    }
}

async fn an_empty_body_is_kept(trial: Trial) {
    comes_back(trial, Bytes::new()).await;
}

async fn a_body_of_a_megabyte_is_kept(trial: Trial) {
    comes_back(trial, (0..1_048_576_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect()).await;
}

async fn nul_and_emoji_in_a_body_are_kept(trial: Trial) {
    comes_back(trial, Bytes::from("before\0after 🦀 n\u{308} '; DROP TABLE runs; --\0")).await;
}

async fn every_byte_in_a_body_is_kept(trial: Trial) {
    comes_back(trial, (0..=u8::MAX).rev().collect()).await;
}

async fn large_numbers_are_kept(trial: Trial) {
    let (run, far) = (1 << 53, u32::MAX - 1);
    trial.write(Append { last: far - 1, epoch: far, ..birth(run) }).await;
    trial.write(after(run, 1, far, far, far)).await;
    let read = trial.journal(run, far - 1).await;
    assert_eq!(read.iter().map(|r| (r.prev, r.first, r.last, r.epoch)).collect::<Vec<_>>(), [(1, far, far, far)]);
    assert_eq!(trial.next_run().await, RunNo(run + 1));
}

async fn an_empty_batch_is_answered(trial: Trial) {
    assert_eq!(trial.submit(Vec::new()).await, []);
}

async fn an_empty_transition_commits(trial: Trial) {
    let receipts = trial.submit(vec![rows([]), rows([birth(1)]), rows([birth(1)])]).await;
    let fenced = Receipt::Refused(Refusal::Fenced { run: RunNo(1) });
    assert_eq!(receipts, [Receipt::Committed, Receipt::Committed, fenced]);
}
