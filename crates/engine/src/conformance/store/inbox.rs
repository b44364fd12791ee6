//! Messages to runs: kept once, in order, until the owner took them.

use super::topic;
use super::trial::{
    NOW, RUNNING, Trial, WAITING, after, birth, claim, ended, item, put, rows, standing, taking, waiting_until,
};
use crate::ports::store::{InboxItem, Receipt, Refusal, Transition};
use crate::run::{RunNo, Status, Time};
use bytes::Bytes;

topic! { "inbox":
    a_message_is_kept_as_it_was_put,
    messages_come_in_the_order_of_arrival,
    a_repeated_message_is_a_duplicate,
    of_two_at_once_one_is_a_duplicate,
    a_taken_message_stays_known,
    the_same_dedup_for_another_run_is_another_message,
    a_message_to_nobody_is_gone,
    a_message_to_an_ended_run_is_gone,
    a_message_to_a_queued_or_blocked_run_is_kept,
    several_messages_never_refuse_each_other,
    a_message_beside_a_row_never_refuses_it,
    a_message_wakes_a_waiting_run,
    a_message_wakes_a_run_that_waits_without_end,
    a_duplicate_does_not_wake,
    a_message_leaves_a_running_runs_stand_alone,
    parking_with_an_untaken_message_is_due_at_once,
    parking_while_taking_the_last_message_is_not_due,
    a_message_beside_the_parking_row_wakes_it,
    taking_hides_that_message_only,
    taking_nothing_harms_nothing,
    a_message_to_a_run_born_beside_it_is_kept,
    an_ending_run_drops_a_message_beside_its_end,
}

const DUPLICATE: Receipt = Receipt::Refused(Refusal::Duplicate);
const GONE: Receipt = Receipt::Refused(Refusal::Gone);

async fn a_message_is_kept_as_it_was_put(trial: Trial) {
    trial.write(birth(1)).await;
    let body = Bytes::from("{\"note\":\"a\\u0000 \u{1F980} 'x'\"}");
    let message = InboxItem { run: RunNo(1), dedup: "sig/🦀'\"%".into(), kind: 255, body };
    let transition = Transition { inbox_put: vec![message.clone()], ..Transition::default() };
    assert_eq!(trial.send(transition).await, Receipt::Committed);
    assert_eq!(trial.inbox(1).await, [message]);
}

async fn messages_come_in_the_order_of_arrival(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(birth(2)).await;
    for dedup in ["m", "z", "a", "10", "9"] {
        assert_eq!(trial.submit(vec![put(1, dedup), put(2, dedup)]).await, [Receipt::Committed, Receipt::Committed]);
    }
    assert_eq!(trial.waiting_for(1).await, ["m", "z", "a", "10", "9"]);
    trial.send(taking(after(1, 1, 4, 4, 1), &["z"])).await;
    assert_eq!(trial.send(put(1, "0")).await, Receipt::Committed);
    assert_eq!(trial.waiting_for(1).await, ["m", "a", "10", "9", "0"]);
    assert_eq!(trial.waiting_for(2).await, ["m", "z", "a", "10", "9"]);
}

async fn a_repeated_message_is_a_duplicate(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.send(put(1, "once")).await, Receipt::Committed);
    let again = InboxItem { kind: 9, body: Bytes::from_static(b"{}"), ..item(1, "once") };
    assert_eq!(trial.send(Transition { inbox_put: vec![again], ..Transition::default() }).await, DUPLICATE);
    assert_eq!(trial.inbox(1).await, [item(1, "once")], "the first one counts");
}

async fn of_two_at_once_one_is_a_duplicate(trial: Trial) {
    trial.write(birth(1)).await;
    let second = InboxItem { body: Bytes::from("2"), ..item(1, "a") };
    let second = Transition { inbox_put: vec![second], ..Transition::default() };
    let receipts = trial.submit(vec![put(1, "a"), put(1, "b"), second, put(1, "b")]).await;
    assert_eq!(receipts, [Receipt::Committed, Receipt::Committed, DUPLICATE, DUPLICATE]);
    assert_eq!(trial.inbox(1).await, [item(1, "a"), item(1, "b")]);
    let (one, two) = (trial.submit(vec![put(1, "c")]), trial.submit(vec![put(1, "c")]));
    let (one, two) = futures_util::future::join(one, two).await;
    assert!(one != two && (one[0] == DUPLICATE || two[0] == DUPLICATE), "{one:?} {two:?}");
}

async fn a_taken_message_stays_known(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.send(put(1, "once")).await, Receipt::Committed);
    assert_eq!(trial.send(taking(after(1, 1, 4, 4, 1), &["once"])).await, Receipt::Committed);
    assert_eq!(trial.send(put(1, "once")).await, DUPLICATE);
    assert!(trial.inbox(1).await.is_empty());
    trial.write(claim(1, 4, 5, 2)).await;
    assert_eq!(trial.send(put(1, "once")).await, DUPLICATE);
}

async fn the_same_dedup_for_another_run_is_another_message(trial: Trial) {
    trial.write(birth(1)).await;
    trial.write(birth(2)).await;
    assert_eq!(trial.submit(vec![put(1, "x"), put(2, "x")]).await, [Receipt::Committed, Receipt::Committed]);
    trial.send(taking(after(1, 1, 4, 4, 1), &["x"])).await;
    assert_eq!((trial.inbox(1).await, trial.inbox(2).await), (vec![], vec![item(2, "x")]));
}

async fn a_message_to_nobody_is_gone(trial: Trial) {
    assert_eq!(trial.send(put(1, "x")).await, GONE);
    trial.write(birth(1)).await;
    assert!(trial.inbox(1).await.is_empty(), "what was dropped stays dropped");
    assert_eq!(trial.send(put(1, "x")).await, Receipt::Committed);
}

async fn a_message_to_an_ended_run_is_gone(trial: Trial) {
    let ends = [Status::Completed, Status::Failed, Status::Cancelled, Status::TimedOut];
    for (run, status) in (1..).zip(ends) {
        trial.write(birth(run)).await;
        assert_eq!(trial.send(put(run, "early")).await, Receipt::Committed);
        trial.write(standing(after(run, 1, 4, 4, 1), ended(status, NOW))).await;
        assert_eq!(trial.send(put(run, "late")).await, GONE, "{status:?}");
        assert!(!trial.waiting_for(run).await.contains(&"late".to_owned()));
    }
}

async fn a_message_to_a_queued_or_blocked_run_is_kept(trial: Trial) {
    for (run, status) in [(1, Status::Queued), (2, Status::Blocked)] {
        trial.write(standing(birth(run), crate::ports::store::Stand { status, ..RUNNING })).await;
        assert_eq!(trial.send(put(run, "x")).await, Receipt::Committed, "{status:?}");
        assert_eq!((trial.waiting_for(run).await.len(), trial.run(run).await.status), (1, status));
    }
}

async fn several_messages_never_refuse_each_other(trial: Trial) {
    trial.write(birth(1)).await;
    let inbox_put = ["a", "b", "a"].map(|dedup| item(1, dedup)).to_vec();
    assert_eq!(trial.send(Transition { inbox_put, ..Transition::default() }).await, Receipt::Committed);
    let inbox_put = vec![item(99, "x"), item(1, "a"), item(1, "c"), item(98, "x")];
    assert_eq!(trial.send(Transition { inbox_put, ..Transition::default() }).await, Receipt::Committed);
    assert_eq!(trial.waiting_for(1).await, ["a", "b", "c"]);
}

async fn a_message_beside_a_row_never_refuses_it(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.send(put(1, "seen")).await, Receipt::Committed);
    let inbox_put = vec![item(1, "seen"), item(99, "nobody"), item(1, "new")];
    let transition = Transition { inbox_put, ..rows([after(1, 1, 4, 4, 1)]) };
    assert_eq!(trial.send(transition).await, Receipt::Committed);
    assert_eq!(trial.firsts(1, 0, 9).await, [1, 4]);
    assert_eq!(trial.waiting_for(1).await, ["seen", "new"]);
}

/// Due whatever the clock says.
async fn is_due_at_once(trial: &Trial, run: i64) -> bool {
    let due = trial.run(run).await.due_at;
    due.is_some_and(|at| at <= Time(1)) && trial.open(1).await.contains(&run)
}

async fn a_message_wakes_a_waiting_run(trial: Trial) {
    trial.write(standing(birth(1), waiting_until(NOW + 1_000))).await;
    assert!(trial.open(NOW).await.is_empty());
    assert_eq!(trial.send(put(1, "x")).await, Receipt::Committed);
    assert!(is_due_at_once(&trial, 1).await);
    assert_eq!((trial.run(1).await.status, trial.next_due(NOW).await), (Status::Waiting, None));
}

async fn a_message_wakes_a_run_that_waits_without_end(trial: Trial) {
    trial.write(standing(birth(1), WAITING)).await;
    assert!(trial.open(i64::MAX).await.is_empty());
    assert_eq!(trial.send(put(1, "x")).await, Receipt::Committed);
    assert!(is_due_at_once(&trial, 1).await);
}

async fn a_duplicate_does_not_wake(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.send(put(1, "x")).await, Receipt::Committed);
    assert_eq!(trial.send(taking(after(1, 1, 4, 4, 1), &["x"])).await, Receipt::Committed);
    trial.write(standing(after(1, 4, 5, 5, 1), waiting_until(NOW + 9))).await;
    assert_eq!(trial.send(put(1, "x")).await, DUPLICATE);
    assert_eq!(trial.run(1).await.due_at, Some(Time(NOW + 9)));
}

async fn a_message_leaves_a_running_runs_stand_alone(trial: Trial) {
    trial.write(birth(1)).await;
    let before = trial.run(1).await;
    assert_eq!(trial.send(put(1, "x")).await, Receipt::Committed);
    assert_eq!(trial.run(1).await, before);
}

async fn parking_with_an_untaken_message_is_due_at_once(trial: Trial) {
    for (run, stand) in [(1, WAITING), (2, waiting_until(NOW + 1_000))] {
        trial.write(birth(run)).await;
        assert_eq!(trial.submit(vec![put(run, "a"), put(run, "b")]).await, [Receipt::Committed, Receipt::Committed]);
        let parks = taking(standing(after(run, 1, 4, 4, 1), stand), &["a"]);
        assert_eq!(trial.send(parks).await, Receipt::Committed);
        assert!(is_due_at_once(&trial, run).await, "{stand:?}");
    }
}

async fn parking_while_taking_the_last_message_is_not_due(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.send(put(1, "a")).await, Receipt::Committed);
    let parks = taking(standing(after(1, 1, 4, 4, 1), waiting_until(NOW + 9)), &["a"]);
    assert_eq!(trial.send(parks).await, Receipt::Committed);
    assert_eq!(trial.run(1).await.due_at, Some(Time(NOW + 9)));
    assert!(trial.open(NOW).await.is_empty());
}

async fn a_message_beside_the_parking_row_wakes_it(trial: Trial) {
    trial.write(birth(1)).await;
    let parks = standing(after(1, 1, 4, 4, 1), waiting_until(NOW + 9));
    let transition = Transition { inbox_put: vec![item(1, "a")], ..rows([parks]) };
    assert_eq!(trial.send(transition).await, Receipt::Committed);
    assert!(is_due_at_once(&trial, 1).await);
}

async fn taking_hides_that_message_only(trial: Trial) {
    trial.write(birth(1)).await;
    for dedup in ["a", "b", "c"] {
        assert_eq!(trial.send(put(1, dedup)).await, Receipt::Committed);
    }
    assert_eq!(trial.send(taking(after(1, 1, 4, 4, 1), &["b"])).await, Receipt::Committed);
    assert_eq!(trial.inbox(1).await, [item(1, "a"), item(1, "c")]);
}

async fn taking_nothing_harms_nothing(trial: Trial) {
    trial.write(birth(1)).await;
    assert_eq!(trial.send(taking(after(1, 1, 4, 4, 1), &["never put"])).await, Receipt::Committed);
    assert_eq!(trial.send(put(1, "never put")).await, Receipt::Committed);
    assert_eq!(trial.waiting_for(1).await, ["never put"]);
}

async fn a_message_to_a_run_born_beside_it_is_kept(trial: Trial) {
    let transition = Transition { inbox_put: vec![item(1, "a")], ..rows([birth(1)]) };
    assert_eq!(trial.send(transition).await, Receipt::Committed);
    assert_eq!(trial.waiting_for(1).await, ["a"]);
}

async fn an_ending_run_drops_a_message_beside_its_end(trial: Trial) {
    trial.write(birth(1)).await;
    let end = standing(after(1, 1, 4, 4, 1), ended(Status::Completed, NOW));
    let transition = Transition { inbox_put: vec![item(1, "a")], ..rows([end]) };
    assert_eq!(trial.send(transition).await, Receipt::Committed);
    assert!(trial.inbox(1).await.is_empty());
}
