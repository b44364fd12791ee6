//! Where runs stand, and which of them want a worker.

use super::topic;
use super::trial::{
    NOW, QUEUED, RUNNING, Trial, WAITING, after, birth, birth_with, claim, ended, id, standing, waiting_until,
};
use crate::ports::store::{Append, OpenRun, Stand};
use crate::run::{RunNo, Status, Time};

topic! { "stands":
    a_row_without_a_stand_changes_none,
    a_stand_replaces_the_one_before,
    every_status_is_kept,
    open_are_queued_running_and_due,
    a_waiting_run_is_open_from_its_due_time_on,
    a_scheduled_run_is_open_with_its_due_time,
    open_runs_carry_what_a_scheduler_needs,
    open_runs_come_in_pages,
    next_due_is_the_earliest_later_than_now,
    next_due_counts_waiting_and_scheduled_runs_only,
}

async fn a_row_without_a_stand_changes_none(trial: Trial) {
    trial.write(standing(birth(1), waiting_until(NOW + 5))).await;
    let before = trial.run(1).await;
    trial.write(after(1, 1, 4, 4, 1)).await;
    assert_eq!(trial.run(1).await, before);
}

async fn a_stand_replaces_the_one_before(trial: Trial) {
    trial.write(birth(1)).await;
    let end = ended(Status::Cancelled, NOW + 7);
    let stands = [waiting_until(NOW + 5), RUNNING, WAITING, QUEUED, end];
    for (first, stand) in (4..).zip(stands) {
        trial.write(standing(after(1, if first == 4 { 1 } else { first - 1 }, first, first, 1), stand)).await;
        let run = trial.run(1).await;
        let read = Stand { status: run.status, due_at: run.due_at, ended_at: run.ended_at };
        assert_eq!(read, stand);
        assert_eq!(trial.run_by_id(id(1)).await, Some(run));
    }
}

async fn every_status_is_kept(trial: Trial) {
    for (run, status) in (1..).zip(Status::ALL) {
        trial.write(standing(birth(run), Stand { status, ..QUEUED })).await;
        assert_eq!(trial.run(run).await.status, status);
    }
}

/// One run of each status, waiting ones due before, at, after now and never.
async fn one_of_each(trial: &Trial) {
    let stands = [
        QUEUED,
        RUNNING,
        waiting_until(NOW - 1),
        waiting_until(NOW),
        waiting_until(NOW + 1),
        WAITING,
        ended(Status::Completed, NOW),
        ended(Status::Failed, NOW),
        ended(Status::Cancelled, NOW),
        ended(Status::TimedOut, NOW),
        Stand { status: Status::Blocked, ..QUEUED },
        Stand { status: Status::Blocked, due_at: Some(Time(NOW - 1)), ended_at: None },
    ];
    for (run, stand) in (1..).zip(stands) {
        trial.write(standing(birth(run), stand)).await;
    }
}

async fn open_are_queued_running_and_due(trial: Trial) {
    one_of_each(&trial).await;
    assert_eq!(trial.open(NOW).await, [1, 2, 3, 4]);
}

async fn a_waiting_run_is_open_from_its_due_time_on(trial: Trial) {
    one_of_each(&trial).await;
    assert_eq!(trial.open(NOW - 2).await, [1, 2]);
    assert_eq!(trial.open(NOW - 1).await, [1, 2, 3]);
    assert_eq!(trial.open(NOW + 1).await, [1, 2, 3, 4, 5]);
    assert_eq!(trial.open(i64::MAX).await, [1, 2, 3, 4, 5]);
}

async fn a_scheduled_run_is_open_with_its_due_time(trial: Trial) {
    trial.write(standing(birth(1), Stand { due_at: Some(Time(NOW + 5)), ..QUEUED })).await;
    let open = trial.open_rows(NOW, 0, 9).await;
    assert_eq!(open.iter().map(|r| (r.run, r.due_at)).collect::<Vec<_>>(), [(RunNo(1), Some(Time(NOW + 5)))]);
    assert_eq!(trial.next_due(NOW).await, Some(NOW + 5));
}

async fn open_runs_carry_what_a_scheduler_needs(trial: Trial) {
    trial.write(standing(birth_with(3, |b| b.priority = 9), waiting_until(NOW))).await;
    let open = OpenRun { run: RunNo(3), id: id(3), status: Status::Waiting, priority: 9, due_at: Some(Time(NOW)) };
    assert_eq!(trial.open_rows(NOW, 0, 9).await, [open]);
}

async fn open_runs_come_in_pages(trial: Trial) {
    // Each status in turn: a page in any other order than by number would lose the runs that the next one leaves out.
    let stands = [RUNNING, waiting_until(NOW), QUEUED].into_iter().cycle();
    for (run, stand) in [8, 3, 5, 1, 9, 2, 7, 4].into_iter().zip(stands) {
        trial.write(standing(birth(run), stand)).await;
    }
    trial.write(standing(after(5, 1, 4, 4, 1), ended(Status::Completed, NOW))).await;
    for limit in [1, 2, 3, 9] {
        let (mut read, mut last) = (Vec::new(), 0);
        loop {
            let page = trial.open_rows(NOW, last, limit).await;
            assert!(page.len() <= limit as usize && page.iter().all(|r| r.run.0 > last), "after {last}: {page:?}");
            let Some(end) = page.last() else { break };
            last = end.run.0;
            read.extend(page.iter().map(|r| r.run.0));
        }
        assert_eq!(read, [1, 2, 3, 4, 7, 8, 9], "pages of {limit}");
    }
    assert!(trial.open_rows(NOW, 0, 0).await.is_empty());
}

async fn next_due_is_the_earliest_later_than_now(trial: Trial) {
    assert_eq!(trial.next_due(0).await, None);
    for (run, due) in [(1, NOW + 30), (2, NOW + 10), (3, NOW + 20), (4, NOW)] {
        trial.write(standing(birth(run), waiting_until(due))).await;
    }
    for (now, due) in [(0, Some(0)), (NOW, Some(10)), (NOW + 10, Some(20)), (NOW + 29, Some(30)), (NOW + 30, None)] {
        assert_eq!(trial.next_due(now).await, due.map(|due| NOW + due), "after {now}");
    }
    trial.write(claim(2, 1, 4, 2)).await;
    assert_eq!(trial.next_due(NOW).await, Some(NOW + 20));
}

async fn next_due_counts_waiting_and_scheduled_runs_only(trial: Trial) {
    for (run, status) in (1..).zip(Status::ALL) {
        let stand = Stand { status, due_at: Some(Time(NOW + 100 - run)), ended_at: None };
        trial.write(Append { stand: Some(stand), ..birth(run) }).await;
    }
    // 1 is queued, 3 waits.
    assert_eq!(trial.next_due(NOW).await, Some(NOW + 97));
    assert_eq!(trial.next_due(NOW + 97).await, Some(NOW + 99));
    assert_eq!(trial.next_due(NOW + 99).await, None);
}
