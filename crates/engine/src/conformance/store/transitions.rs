//! A transition is all or nothing and does not touch its neighbours; receipts come in order.

use super::topic;
use super::trial::{
    NOW, Trial, WAITING, after, birth, birth_with, claim, ended, id, item, put, rows, standing, taking,
};
use crate::ports::store::{Blob, Receipt, Refusal, Transition};
use crate::run::{RunNo, Status};
use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::{Arc, Mutex, PoisonError};

topic! { "transitions":
    two_runs_are_written_together,
    two_rows_of_one_run_are_written_together,
    one_refused_row_refuses_all,
    a_refused_transition_takes_nothing_along,
    neighbours_of_a_refused_transition_are_written,
    a_later_transition_sees_an_earlier_one,
    a_child_is_born_with_its_parents_row,
    a_childs_end_and_its_parents_message_go_together,
    a_batch_is_answered_in_order,
    batches_commit_in_order,
    batches_are_answered_in_order,
    batches_of_many_threads_are_each_answered,
}

fn fenced(run: i64) -> Receipt {
    Receipt::Refused(Refusal::Fenced { run: RunNo(run) })
}

async fn two_runs_are_written_together(trial: Trial) {
    assert_eq!(trial.send(rows([birth(1), birth(2)])).await, Receipt::Committed);
    assert_eq!(trial.send(rows([after(1, 1, 4, 4, 1), after(2, 1, 4, 8, 1)])).await, Receipt::Committed);
    assert_eq!((trial.firsts(1, 0, 9).await, trial.firsts(2, 0, 9).await), (vec![1, 4], vec![1, 4]));
}

async fn two_rows_of_one_run_are_written_together(trial: Trial) {
    let two = [birth(1), after(1, 1, 4, 4, 1), claim(1, 4, 5, 2)];
    assert_eq!(trial.send(rows(two)).await, Receipt::Committed);
    assert_eq!(trial.firsts(1, 0, 9).await, [1, 4, 5]);
    let before = trial.everything().await;
    assert_eq!(trial.send(rows([after(1, 5, 6, 6, 2), after(1, 5, 7, 7, 2)])).await, fenced(1));
    assert_eq!(trial.everything().await, before, "refused, but it left a trace");
}

async fn one_refused_row_refuses_all(trial: Trial) {
    for run in [1, 2, 3] {
        trial.write(birth(run)).await;
    }
    let before = trial.everything().await;
    for bad in [1, 2, 3] {
        let all = [1, 2, 3].map(|run| {
            let row = after(run, 1, 4, 4, if run == bad { 9 } else { 1 });
            standing(row, ended(Status::Completed, NOW))
        });
        assert_eq!(trial.send(rows(all)).await, fenced(bad));
        assert_eq!(trial.everything().await, before, "refused at row {bad}, but it left a trace");
    }
}

async fn a_refused_transition_takes_nothing_along(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(birth(2)).await;
    assert_eq!(trial.send(put(1, "kept")).await, Receipt::Committed);
    let before = trial.everything().await;
    let blob = Blob { hash: [9; 32], body: Bytes::from_static(b"large") };
    let mut good = after(1, 1, 4, 4, 1);
    good.blobs.push(blob);
    for appends in
        [vec![good.clone(), after(2, 1, 4, 4, 2)], vec![after(2, 1, 4, 4, 2), good], vec![after(2, 1, 5, 5, 1)]]
    {
        let inbox_done = vec![(RunNo(1), "kept".to_owned())];
        let transition = Transition {
            appends,
            inbox_put: vec![item(1, "new"), item(2, "new")],
            inbox_done,
            ..Transition::default()
        };
        assert_eq!(trial.send(transition).await, fenced(2));
        assert_eq!(trial.everything().await, before, "refused, but it left a trace");
        assert!(trial.blobs(&[[9; 32]]).await.is_err(), "refused, but its blob is there");
    }
}

async fn neighbours_of_a_refused_transition_are_written(trial: Trial) {
    trial.write(birth(1)).await;
    let batch = vec![
        rows([birth(2), birth_with(3, |b| b.workflow = "early".into())]),
        rows([birth_with(4, |b| b.workflow = "new".into()), after(1, 1, 9, 9, 1)]),
        rows([birth_with(5, |b| b.workflow = "new".into())]),
        rows([after(1, 1, 4, 4, 7)]),
        rows([after(1, 1, 4, 4, 1), birth_with(6, |b| b.workflow = "early".into())]),
        put(99, "nobody"),
        put(1, "somebody"),
    ];
    let gone = Receipt::Refused(Refusal::Gone);
    let good = Receipt::Committed;
    let expected = [good.clone(), fenced(1), good.clone(), fenced(1), good.clone(), gone, good];
    assert_eq!(trial.submit(batch).await, expected);
    assert_eq!(trial.firsts(1, 0, 9).await, [1, 4]);
    assert_eq!(trial.maybe_run(4).await, None);
    let mut workflows = Vec::new();
    for run in [2, 3, 5, 6] {
        workflows.push(trial.run(run).await.workflow);
    }
    assert_eq!(workflows, ["noop", "early", "new", "early"]);
    assert_eq!(trial.waiting_for(1).await, ["somebody"]);
}

async fn a_later_transition_sees_an_earlier_one(trial: Trial) {
    let batch = vec![
        rows([birth(1)]),
        put(1, "hello"),
        taking(standing(after(1, 1, 4, 4, 1), WAITING), &["hello"]),
        put(1, "hello"),
        rows([claim(1, 4, 5, 2)]),
        rows([after(1, 4, 5, 5, 1)]),
    ];
    let good = Receipt::Committed;
    let duplicate = Receipt::Refused(Refusal::Duplicate);
    assert_eq!(trial.submit(batch).await, [good.clone(), good.clone(), good.clone(), duplicate, good, fenced(1)]);
}

async fn a_child_is_born_with_its_parents_row(trial: Trial) {
    trial.write(birth(1)).await;
    let child = || birth_with(2, |b| b.parent = Some(RunNo(1)));
    assert_eq!(trial.send(rows([after(1, 1, 4, 4, 8), child()])).await, fenced(1));
    assert_eq!((trial.maybe_run(2).await, trial.run_by_id(id(2)).await), (None, None));
    assert_eq!(trial.send(rows([after(1, 1, 4, 4, 1), child()])).await, Receipt::Committed);
    assert_eq!(trial.run(2).await.parent, Some(RunNo(1)));
    // The child exists: neither it nor its parent's row is written again.
    assert_eq!(trial.send(rows([after(1, 4, 5, 5, 1), child()])).await, fenced(2));
    assert_eq!(trial.firsts(1, 0, 9).await, [1, 4]);
}

async fn a_childs_end_and_its_parents_message_go_together(trial: Trial) {
    trial.write(standing(birth(1), WAITING)).await;
    trial.write(birth_with(2, |b| b.parent = Some(RunNo(1)))).await;
    let last = |epoch| standing(after(2, 1, 4, 4, epoch), ended(Status::Completed, NOW));
    let end = |epoch| Transition { inbox_put: vec![item(1, "child")], ..rows([last(epoch)]) };
    assert_eq!(trial.send(end(5)).await, fenced(2));
    assert_eq!((trial.waiting_for(1).await, trial.open(NOW).await), (vec![], vec![2]));
    assert_eq!(trial.send(end(1)).await, Receipt::Committed);
    assert_eq!((trial.waiting_for(1).await, trial.open(NOW).await), (vec!["child".to_owned()], vec![1]));
}

async fn a_batch_is_answered_in_order(trial: Trial) {
    let batch = (0..60).map(|n| if n % 3 == 2 { put(1_000 + n, "nobody") } else { rows([birth(1 + n)]) }).collect();
    let receipts = trial.submit(batch).await;
    for (n, receipt) in receipts.iter().enumerate() {
        let expected = if n % 3 == 2 { Receipt::Refused(Refusal::Gone) } else { Receipt::Committed };
        assert_eq!(*receipt, expected, "transition {n}");
    }
}

async fn batches_commit_in_order(trial: Trial) {
    trial.write(birth(1)).await;
    let mut answers = Vec::new();
    let mut prev = 1;
    for first in 4..204 {
        answers.push(trial.submit(vec![rows([after(1, prev, first, first, 1)])]));
        prev = first;
    }
    for (n, receipts) in join_all(answers).await.into_iter().enumerate() {
        assert_eq!(receipts, [Receipt::Committed], "batch {n} of a chain");
    }
    assert_eq!(trial.firsts(1, 3, 999).await, (4..204).collect::<Vec<_>>());
}

async fn batches_are_answered_in_order(trial: Trial) {
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..100 {
        let order = Arc::clone(&order);
        let note = move |_| order.lock().unwrap_or_else(PoisonError::into_inner).push(n);
        trial.store.submit(vec![rows([birth(1 + n)])], Box::new(note));
    }
    // The last batch is answered last.
    trial.submit(vec![rows([birth(200)])]).await;
    assert_eq!(*order.lock().unwrap_or_else(PoisonError::into_inner), (0..100).collect::<Vec<_>>());
}

async fn batches_of_many_threads_are_each_answered(trial: Trial) {
    let chains: Vec<_> = std::thread::scope(|scope| {
        let chain = |run: i64| {
            let trial = trial.clone();
            move || {
                let two = trial.submit(vec![rows([birth(run)]), rows([birth(run)])]);
                [two, trial.submit(vec![rows([after(run, 1, 4, 4, 1)]), put(run, "hello")])]
            }
        };
        let threads: Vec<_> = (1..=16).map(|run| scope.spawn(chain(run))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    for (n, receipts) in join_all(chains).await.into_iter().enumerate() {
        let run = 1 + n as i64 / 2;
        let second = if n % 2 == 0 { fenced(run) } else { Receipt::Committed };
        assert_eq!(receipts, [Receipt::Committed, second], "run {run}");
    }
}
