//! The first row of a run: its number, id and once-scope.

use super::topic;
use super::trial::{
    NOW, QUEUED, Trial, after, all, birth, birth_with, claim, ended, id, once, put, rows, standing, waiting_until,
};
use crate::ports::store::{Append, Receipt, Refusal};
use crate::run::{Owner, RunNo, Status, Time};

topic! { "birth":
    what_a_run_is_born_with_is_kept,
    the_least_a_run_is_born_with_is_kept,
    a_run_born_without_a_stand_is_queued,
    a_run_is_born_with_its_end,
    the_same_number_twice_is_refused,
    the_same_id_twice_is_refused,
    a_birth_starts_at_one,
    a_once_scope_is_taken_by_one_run,
    a_birth_sent_again_is_repeated_with_itself,
    a_once_scope_of_an_ended_run_stays_taken,
    two_births_with_one_scope_in_one_batch,
    twins_in_one_transition_are_refused,
    a_refused_birth_frees_what_it_wanted,
    numbers_may_be_left_out,
}

async fn what_a_run_is_born_with_is_kept(trial: Trial) {
    let owner = Owner { tenant: "Größe 🦀".into(), user: "o'brien".into() };
    let first = birth_with(7, |b| {
        (b.workflow, b.version, b.owner, b.priority) = ("tea.time".into(), u32::MAX, owner.clone(), 9);
        (b.parent, b.session, b.once) = (Some(RunNo(5)), Some("a \"talk\" 🫖".into()), once(1, 2));
    });
    trial.write(standing(first, waiting_until(NOW + 9))).await;
    let run = trial.run(7).await;
    assert_eq!((run.run, run.id, run.workflow.as_str(), run.version), (RunNo(7), id(7), "tea.time", u32::MAX));
    assert_eq!((&run.owner, run.priority, run.parent), (&owner, 9, Some(RunNo(5))));
    assert_eq!(run.session.as_deref(), Some("a \"talk\" 🫖"));
    assert_eq!((run.status, run.due_at, run.ended_at), (Status::Waiting, Some(Time(NOW + 9)), None));
    assert_eq!(trial.run_by_id(id(7)).await, Some(run.clone()));
    assert_eq!(trial.list(all()).await, [run]);
}

async fn the_least_a_run_is_born_with_is_kept(trial: Trial) {
    trial.write(birth_with(1, |b| (b.priority, b.version) = (0, 0))).await;
    let run = trial.run(1).await;
    assert_eq!((run.priority, run.version, run.parent, run.session), (0, 0, None, None));
    assert_eq!((run.due_at, run.ended_at), (None, None));
}

async fn a_run_born_without_a_stand_is_queued(trial: Trial) {
    trial.write(Append { stand: None, epoch: 0, ..birth(1) }).await;
    assert_eq!(trial.run(1).await.status, Status::Queued);
    assert_eq!(trial.open(NOW).await, [1]);
}

async fn a_run_is_born_with_its_end(trial: Trial) {
    trial.write(standing(birth(1), ended(Status::Completed, NOW + 1))).await;
    let run = trial.run(1).await;
    assert_eq!((run.status, run.ended_at), (Status::Completed, Some(Time(NOW + 1))));
    assert!(trial.open(NOW + 9).await.is_empty());
    assert_eq!(trial.send(put(1, "late")).await, Receipt::Refused(Refusal::Gone));
}

async fn the_same_number_twice_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.fenced(birth(1)).await;
    trial.fenced(birth_with(1, |b| b.id = id(2))).await;
    assert_eq!(trial.run_by_id(id(2)).await, None);
}

async fn the_same_id_twice_is_refused(trial: Trial) {
    trial.write(birth(1)).await;
    trial.fenced(birth_with(2, |b| (b.id, b.once) = (id(1), once(1, 1)))).await;
    assert_eq!(trial.maybe_run(2).await, None);
    trial.write(birth_with(2, |b| b.once = once(1, 1))).await;
}

async fn a_birth_starts_at_one(trial: Trial) {
    for first in [0, 2, 4] {
        trial.fenced(Append { first, last: 4, ..birth_with(1, |b| b.once = once(1, 1)) }).await;
    }
    trial.write(birth_with(1, |b| b.once = once(1, 1))).await;
}

async fn repeated(trial: &Trial, again: Append, run: i64, body: u8) {
    let before = trial.everything().await;
    let refusal = Refusal::Repeated { run: RunNo(run), id: id(run), body: [body; 16] };
    assert_eq!(trial.send(rows([again])).await, Receipt::Refused(refusal));
    assert_eq!(trial.everything().await, before, "refused, but it left a trace");
}

async fn a_once_scope_is_taken_by_one_run(trial: Trial) {
    trial.write(birth_with(1, |b| b.once = once(1, 10))).await;
    trial.write(birth_with(2, |b| b.once = once(2, 10))).await;
    repeated(&trial, birth_with(3, |b| b.once = once(1, 10)), 1, 10).await;
    // Another body is told the first one, too: comparing is the caller's.
    repeated(&trial, birth_with(3, |b| b.once = once(2, 99)), 2, 10).await;
    assert_eq!(trial.run_by_id(id(3)).await, None);
    trial.write(birth(3)).await;
}

async fn a_birth_sent_again_is_repeated_with_itself(trial: Trial) {
    let first = birth_with(1, |b| b.once = once(1, 10));
    trial.write(first.clone()).await;
    repeated(&trial, first, 1, 10).await;
}

async fn a_once_scope_of_an_ended_run_stays_taken(trial: Trial) {
    trial.write(birth_with(1, |b| b.once = once(1, 10))).await;
    trial.write(standing(after(1, 1, 4, 4, 1), ended(Status::Failed, NOW))).await;
    repeated(&trial, birth_with(2, |b| b.once = once(1, 11)), 1, 10).await;
}

async fn two_births_with_one_scope_in_one_batch(trial: Trial) {
    let births = [1, 2].map(|run| rows([birth_with(run, |b| b.once = once(4, 40 + run as u8))]));
    let receipts = trial.submit(births.to_vec()).await;
    let refusal = Refusal::Repeated { run: RunNo(1), id: id(1), body: [41; 16] };
    assert_eq!(receipts, [Receipt::Committed, Receipt::Refused(refusal)]);
}

async fn twins_in_one_transition_are_refused(trial: Trial) {
    let twins = [
        [birth(1), birth(1)],
        [birth(1), birth_with(2, |b| b.id = id(1))],
        [birth_with(1, |b| b.once = once(1, 1)), birth_with(2, |b| b.once = once(1, 1))],
    ];
    let before = trial.everything().await;
    for twins in twins {
        let receipt = trial.send(rows(twins)).await;
        assert!(matches!(receipt, Receipt::Refused(_)), "{receipt:?}");
        assert_eq!(trial.everything().await, before, "refused, but it left a trace");
    }
}

async fn a_refused_birth_frees_what_it_wanted(trial: Trial) {
    trial.write(birth_with(1, |b| b.once = once(1, 1))).await;
    let wanted = birth_with(2, |b| b.once = once(2, 2));
    let receipt = trial.send(rows([wanted.clone(), after(1, 1, 9, 9, 1)])).await;
    assert_eq!(receipt, Receipt::Refused(Refusal::Fenced { run: RunNo(1) }));
    assert_eq!((trial.maybe_run(2).await, trial.run_by_id(id(2)).await), (None, None));
    assert_eq!(trial.next_run().await, RunNo(2));
    trial.fenced(claim(2, 1, 4, 2)).await;
    trial.write(wanted).await;
}

async fn numbers_may_be_left_out(trial: Trial) {
    for run in [5, 9, 2] {
        trial.write(standing(birth(run), QUEUED)).await;
    }
    assert_eq!(trial.next_run().await, RunNo(10));
    assert_eq!(trial.open(NOW).await, [2, 5, 9]);
}
