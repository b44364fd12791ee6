//! Retention: ended runs leave with all that hangs on them; open ones never.

use super::topic;
use super::trial::{
    NOW, QUEUED, RUNNING, Trial, WAITING, after, all, birth, birth_with, claim, ended, id, item, once, put, rows,
    standing, taking, waiting_until,
};
use crate::ports::store::{Prune, Receipt, Refusal, Stand, Transition};
use crate::run::{RunNo, Status, Time};

topic! { "prune":
    an_empty_store_has_nothing_to_prune,
    runs_leave_by_age,
    every_kind_of_end_leaves,
    runs_leave_by_number,
    age_and_number_go_together,
    a_chunk_is_bounded,
    a_dry_run_only_counts,
    open_and_blocked_runs_stay,
    a_run_opened_again_stays,
    all_that_hangs_on_a_run_leaves,
    a_once_scope_is_free_again,
    neighbours_keep_everything,
}

/// By age alone.
fn before(at: i64) -> Prune {
    Prune { ended_before: Time(at), keep_max: u64::MAX, limit: 1_000, dry_run: false }
}

/// By number alone.
fn keep(keep_max: u64) -> Prune {
    Prune { keep_max, ..before(0) }
}

/// Runs 1 to `n`, ended one after another.
async fn ended_runs(trial: &Trial, n: i64) {
    for run in 1..=n {
        trial.write(standing(birth(run), ended(Status::Completed, NOW + run))).await;
    }
}

async fn an_empty_store_has_nothing_to_prune(trial: Trial) {
    assert_eq!((trial.prune(before(i64::MAX)).await, trial.prune(keep(0)).await), (0, 0));
}

async fn runs_leave_by_age(trial: Trial) {
    ended_runs(&trial, 5).await;
    assert_eq!(trial.prune(before(NOW + 1)).await, 0, "ended at, not before");
    assert_eq!(trial.prune(before(NOW + 3)).await, 2);
    assert_eq!(trial.listed(all()).await, [5, 4, 3]);
    assert_eq!(trial.prune(before(NOW + 3)).await, 0);
    assert_eq!(trial.prune(before(i64::MAX)).await, 3);
    assert!(trial.list(all()).await.is_empty());
}

async fn every_kind_of_end_leaves(trial: Trial) {
    let ends = [Status::Completed, Status::Failed, Status::Cancelled, Status::TimedOut];
    for (run, status) in (1..).zip(ends) {
        trial.write(standing(birth(run), ended(status, NOW))).await;
    }
    assert_eq!(trial.prune(before(NOW + 1)).await, 4);
}

async fn runs_leave_by_number(trial: Trial) {
    ended_runs(&trial, 5).await;
    trial.write(birth(6)).await;
    assert_eq!(trial.prune(keep(5)).await, 0, "only ended runs count");
    assert_eq!(trial.prune(keep(3)).await, 2);
    assert_eq!(trial.listed(all()).await, [6, 5, 4, 3]);
    assert_eq!(trial.prune(keep(0)).await, 3);
    assert_eq!(trial.listed(all()).await, [6]);
}

async fn age_and_number_go_together(trial: Trial) {
    ended_runs(&trial, 6).await;
    assert_eq!(trial.prune(Prune { keep_max: 5, ..before(NOW + 4) }).await, 3);
    assert_eq!(trial.prune(Prune { keep_max: 1, ..before(NOW + 4) }).await, 2);
    assert_eq!(trial.listed(all()).await, [6]);
}

async fn a_chunk_is_bounded(trial: Trial) {
    ended_runs(&trial, 5).await;
    let chunk = Prune { limit: 2, ..before(NOW + 9) };
    assert_eq!(trial.prune(Prune { limit: 0, ..chunk }).await, 0);
    assert_eq!(trial.prune(chunk).await, 2);
    assert_eq!(trial.listed(all()).await, [5, 4, 3], "the oldest leave first");
    assert_eq!((trial.prune(chunk).await, trial.prune(chunk).await, trial.prune(chunk).await), (2, 1, 0));
}

async fn a_dry_run_only_counts(trial: Trial) {
    ended_runs(&trial, 5).await;
    let was = trial.everything().await;
    assert_eq!(trial.prune(Prune { dry_run: true, ..before(NOW + 4) }).await, 3);
    assert_eq!(trial.prune(Prune { dry_run: true, ..keep(1) }).await, 4);
    assert_eq!(trial.prune(Prune { dry_run: true, limit: 2, ..keep(1) }).await, 2);
    let both = Prune { dry_run: true, keep_max: 3, ..before(NOW + 4) };
    assert_eq!(trial.prune(both).await, 3, "a run that is both too old and too many counts once");
    assert_eq!(trial.everything().await, was, "a dry run left a trace");
}

async fn open_and_blocked_runs_stay(trial: Trial) {
    let blocked = Stand { status: Status::Blocked, ..QUEUED };
    for (run, stand) in (1..).zip([QUEUED, RUNNING, WAITING, waiting_until(1), blocked]) {
        trial.write(standing(birth(run), stand)).await;
    }
    let was = trial.everything().await;
    assert_eq!(trial.prune(Prune { keep_max: 0, ..before(i64::MAX) }).await, 0);
    assert_eq!(trial.everything().await, was);
}

async fn a_run_opened_again_stays(trial: Trial) {
    ended_runs(&trial, 2).await;
    trial.write(claim(1, 1, 4, 2)).await;
    assert_eq!(trial.prune(before(i64::MAX)).await, 1);
    assert_eq!(trial.listed(all()).await, [1]);
}

async fn all_that_hangs_on_a_run_leaves(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.submit(vec![put(1, "taken"), put(1, "left")]).await, [Receipt::Committed, Receipt::Committed]);
    let end = standing(after(1, 1, 4, 4, 1), ended(Status::Completed, NOW));
    assert_eq!(trial.send(taking(end, &["taken"])).await, Receipt::Committed);
    assert_eq!(trial.prune(before(NOW + 1)).await, 1);
    assert_eq!((trial.maybe_run(1).await, trial.run_by_id(id(1)).await), (None, None));
    assert!(trial.journal(1, 0).await.is_empty() && trial.inbox(1).await.is_empty());
    assert_eq!(trial.send(put(1, "new")).await, Receipt::Refused(Refusal::Gone));
    trial.fenced(after(1, 4, 5, 5, 1)).await;
    trial.fenced(claim(1, 4, 5, 2)).await;
    // Nothing of it is left for another run of that number, if there ever were one.
    trial.write(birth(1)).await;
    assert_eq!(trial.submit(vec![put(1, "taken"), put(1, "left")]).await, [Receipt::Committed, Receipt::Committed]);
}

async fn a_once_scope_is_free_again(trial: Trial) {
    let first = birth_with(1, |b| b.once = once(1, 1));
    trial.write(standing(first, ended(Status::Completed, NOW))).await;
    assert_eq!(trial.prune(before(NOW + 1)).await, 1);
    trial.write(birth_with(2, |b| b.once = once(1, 2))).await;
    let refusal = Refusal::Repeated { run: RunNo(2), id: id(2), body: [2; 16] };
    assert_eq!(trial.send(rows([birth_with(3, |b| b.once = once(1, 3))])).await, Receipt::Refused(refusal));
}

async fn neighbours_keep_everything(trial: Trial) {
    ended_runs(&trial, 1).await;
    let other = birth_with(2, |b| (b.parent, b.once) = (Some(RunNo(1)), once(2, 2)));
    let transition = Transition { inbox_put: vec![item(2, "a")], ..rows([other, after(2, 1, 4, 4, 1)]) };
    assert_eq!(trial.send(transition).await, Receipt::Committed);
    let (run, journal, inbox) = (trial.run(2).await, trial.journal(2, 0).await, trial.inbox(2).await);
    assert_eq!(trial.prune(before(NOW + 9)).await, 1);
    assert_eq!((trial.run(2).await, trial.journal(2, 0).await, trial.inbox(2).await), (run, journal, inbox));
    let repeated = trial.send(rows([birth_with(3, |b| b.once = once(2, 3))])).await;
    assert!(matches!(repeated, Receipt::Refused(Refusal::Repeated { run: RunNo(2), .. })), "{repeated:?}");
}
