//! Taking a run over: at its head, with the next epoch, by one.

use super::topic;
use super::trial::{NOW, QUEUED, Trial, WAITING, after, birth, claim, ended, put, rows, standing, waiting_until};
use crate::ports::store::{Append, Receipt, Refusal};
use crate::run::{RunNo, Status};
use futures_util::future::join_all;

topic! { "claim":
    a_claim_takes_the_next_epoch,
    only_the_next_epoch_may_claim,
    only_the_head_may_be_claimed,
    a_claim_leaves_no_gap,
    of_two_claimants_one_wins,
    of_claimants_on_many_threads_one_wins,
    the_former_owner_is_refused,
    the_new_owner_goes_on,
    claims_follow_each_other,
    a_queued_run_without_owner_is_claimed,
    a_parked_run_is_claimed,
    an_ended_run_is_opened_again,
    an_absent_run_cannot_be_claimed,
    a_claim_without_a_stand_changes_none,
}

async fn a_claim_takes_the_next_epoch(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(claim(1, 1, 4, 2)).await;
    let read = trial.journal(1, 3).await;
    assert_eq!(read.iter().map(|r| (r.prev, r.first, r.last, r.epoch)).collect::<Vec<_>>(), [(1, 4, 4, 2)]);
}

async fn only_the_next_epoch_may_claim(trial: Trial) {
    trial.write(birth(1)).await;
    for epoch in [0, 1, 3, u32::MAX] {
        trial.fenced(claim(1, 1, 4, epoch)).await;
    }
}

async fn only_the_head_may_be_claimed(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(after(1, 1, 4, 5, 1)).await;
    trial.fenced(claim(1, 1, 4, 2)).await;
    trial.fenced(claim(1, 1, 6, 2)).await;
    trial.fenced(claim(1, 5, 6, 2)).await;
    trial.write(claim(1, 4, 6, 2)).await;
}

async fn a_claim_leaves_no_gap(trial: Trial) {
    trial.write(birth(1)).await;
    for first in [0, 1, 3, 5] {
        trial.fenced(claim(1, 1, first, 2)).await;
    }
}

async fn of_two_claimants_one_wins(trial: Trial) {
    trial.write(birth(1)).await;
    let first = trial.submit(vec![rows([claim(1, 1, 4, 2)])]);
    let second = trial.submit(vec![rows([Append { last: 6, ..claim(1, 1, 4, 2) }])]);
    assert_eq!(first.await, [Receipt::Committed]);
    assert_eq!(second.await, [Receipt::Refused(Refusal::Fenced { run: RunNo(1) })]);
    assert_eq!(trial.journal(1, 3).await.iter().map(|r| (r.first, r.last)).collect::<Vec<_>>(), [(4, 4)]);
}

async fn of_claimants_on_many_threads_one_wins(trial: Trial) {
    trial.write(birth(1)).await;
    let claimants: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| trial.submit(vec![rows([claim(1, 1, 4, 2)])]))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let receipts = join_all(claimants).await.concat();
    let (won, lost): (Vec<_>, Vec<_>) = receipts.iter().partition(|r| **r == Receipt::Committed);
    assert_eq!((won.len(), lost.len()), (1, 7), "{receipts:?}");
    assert!(lost.iter().all(|r| **r == Receipt::Refused(Refusal::Fenced { run: RunNo(1) })), "{receipts:?}");
}

async fn the_former_owner_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(claim(1, 1, 4, 2)).await;
    trial.fenced(after(1, 1, 4, 4, 1)).await;
    trial.fenced(after(1, 1, 5, 5, 1)).await;
    trial.fenced(after(1, 4, 5, 5, 1)).await;
    trial.fenced(standing(after(1, 4, 5, 5, 1), ended(Status::Completed, NOW))).await;
}

async fn the_new_owner_goes_on(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(claim(1, 1, 4, 2)).await;
    trial.write(after(1, 4, 5, 7, 2)).await;
    trial.write(after(1, 5, 8, 8, 2)).await;
    assert_eq!(trial.firsts(1, 0, 99).await, [1, 4, 5, 8]);
}

async fn claims_follow_each_other(trial: Trial) {
    trial.write(birth(1)).await;
    for epoch in 2..6 {
        trial.write(claim(1, if epoch == 2 { 1 } else { epoch + 1 }, epoch + 2, epoch)).await;
    }
    assert_eq!(trial.journal(1, 0).await.iter().map(|r| r.epoch).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

async fn a_queued_run_without_owner_is_claimed(trial: Trial) {
    trial.write(standing(Append { epoch: 0, ..birth(1) }, QUEUED)).await;
    trial.fenced(claim(1, 1, 4, 0)).await;
    trial.write(claim(1, 1, 4, 1)).await;
    assert_eq!(trial.run(1).await.status, Status::Running);
    trial.write(after(1, 4, 5, 5, 1)).await;
}

async fn a_parked_run_is_claimed(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(standing(after(1, 1, 4, 4, 1), waiting_until(NOW + 5))).await;
    trial.write(claim(1, 4, 5, 2)).await;
    let run = trial.run(1).await;
    assert_eq!((run.status, run.due_at), (Status::Running, None));
    assert_eq!(trial.open(NOW).await, [1]);
    trial.fenced(after(1, 4, 5, 5, 1)).await;
}

async fn an_ended_run_is_opened_again(trial: Trial) {
    trial.write(standing(birth(1), ended(Status::Failed, NOW))).await;
    trial.write(claim(1, 1, 4, 2)).await;
    let run = trial.run(1).await;
    assert_eq!((run.status, run.ended_at), (Status::Running, None));
    assert_eq!(trial.send(put(1, "again")).await, Receipt::Committed);
    assert_eq!(trial.open(NOW).await, [1]);
}

async fn an_absent_run_cannot_be_claimed(trial: Trial) {
    for (prev, first, epoch) in [(0, 1, 0), (0, 1, 1), (0, 0, 0), (1, 4, 0), (1, 4, 2)] {
        trial.fenced(claim(1, prev, first, epoch)).await;
    }
}

async fn a_claim_without_a_stand_changes_none(trial: Trial) {
    trial.write(standing(birth(1), WAITING)).await;
    let before = trial.run(1).await;
    trial.write(Append { stand: None, ..claim(1, 1, 4, 2) }).await;
    assert_eq!(trial.run(1).await, before);
}
