//! Reading back: journals, single runs, lists, counts.

use super::topic;
use super::trial::{NOW, Trial, after, all, birth, birth_with, claim, ended, id, rows, standing};
use crate::ports::store::{ListRuns, Prune, Receipt};
use crate::run::{Owner, RunNo, Status, Time};

topic! { "reads":
    an_empty_store_answers,
    a_journal_is_read_from_any_entry,
    a_journal_is_read_in_pages,
    what_is_not_there_is_none,
    what_was_receipted_is_read,
    a_list_is_newest_first,
    a_list_is_filtered,
    filters_are_exact,
    pages_hold_each_run_once,
    the_next_number_was_never_used,
    counts_follow_the_runs,
    the_store_can_be_probed,
}

async fn an_empty_store_answers(trial: Trial) {
    assert_eq!(trial.next_run().await, RunNo(1));
    assert_eq!((trial.maybe_run(1).await, trial.run_by_id(id(1)).await), (None, None));
    assert!(trial.journal(1, 0).await.is_empty() && trial.inbox(1).await.is_empty());
    assert!(trial.open(NOW).await.is_empty() && trial.list(all()).await.is_empty());
    assert_eq!((trial.next_due(0).await, trial.stats().await.runs), (None, [0; 8]));
    assert_eq!(trial.blobs(&[]).await, Ok(Vec::new()));
}

/// Run 1 with rows 1–3, 4, 5–9, 10–12, and a neighbour.
async fn four_rows(trial: &Trial) {
    let mine = [birth(1), after(1, 1, 4, 4, 1), after(1, 4, 5, 9, 1), after(1, 5, 10, 12, 1)];
    let other = [birth(2), after(2, 1, 4, 40, 1)];
    assert_eq!(trial.submit(vec![rows(mine), rows(other)]).await, [Receipt::Committed, Receipt::Committed]);
}

async fn a_journal_is_read_from_any_entry(trial: Trial) {
    four_rows(&trial).await;
    let from = [(0, vec![1, 4, 5, 10]), (2, vec![1, 4, 5, 10]), (3, vec![4, 5, 10]), (4, vec![5, 10])];
    let later = [(5, vec![5, 10]), (8, vec![5, 10]), (9, vec![10]), (11, vec![10]), (12, vec![]), (u32::MAX, vec![])];
    for (entry, firsts) in from.into_iter().chain(later) {
        assert_eq!(trial.firsts(1, entry, u32::MAX).await, firsts, "after {entry}");
    }
}

async fn a_journal_is_read_in_pages(trial: Trial) {
    four_rows(&trial).await;
    assert_eq!(trial.firsts(1, 0, 2).await, [1, 4]);
    assert_eq!(trial.firsts(1, 4, 1).await, [5]);
    assert_eq!(trial.firsts(1, 7, 1).await, [5]);
    assert!(trial.firsts(1, 0, 0).await.is_empty());
}

async fn what_is_not_there_is_none(trial: Trial) {
    four_rows(&trial).await;
    assert_eq!((trial.maybe_run(3).await, trial.run_by_id(id(3)).await), (None, None));
    assert!(trial.journal(3, 0).await.is_empty());
    assert!(trial.inbox(1).await.is_empty());
}

async fn what_was_receipted_is_read(trial: Trial) {
    for run in 1..=50 {
        trial.write(birth(run)).await;
        assert_eq!(trial.firsts(run, 0, 9).await, [1]);
        assert_eq!((trial.run(run).await.run, trial.next_run().await), (RunNo(run), RunNo(run + 1)));
    }
}

async fn a_list_is_newest_first(trial: Trial) {
    for run in [2, 7, 1, 5] {
        trial.write(birth(run)).await;
    }
    assert_eq!(trial.listed(all()).await, [7, 5, 2, 1]);
    assert_eq!(trial.listed(ListRuns { limit: 2, ..all() }).await, [7, 5]);
    assert_eq!(trial.listed(ListRuns { before: Some(RunNo(5)), ..all() }).await, [2, 1]);
    assert_eq!(trial.listed(ListRuns { before: Some(RunNo(6)), limit: 1, ..all() }).await, [5]);
    assert!(trial.list(ListRuns { limit: 0, ..all() }).await.is_empty());
}

/// Twelve runs: tenants a, b; users x, y, z; workflows tea, coffee; every third one has ended.
async fn twelve_runs(trial: &Trial) {
    for run in 1..=12_i64 {
        let tenant = if run % 2 == 0 { "a" } else { "b" };
        let user = ["x", "y", "z"][run as usize % 3];
        let row = birth_with(run, |b| {
            b.owner = Owner { tenant: tenant.into(), user: user.into() };
            b.workflow = if run <= 6 { "tea".into() } else { "coffee".into() };
        });
        let is_over = run % 3 == 0;
        trial.write(if is_over { standing(row, ended(Status::Completed, NOW)) } else { row }).await;
    }
}

async fn a_list_is_filtered(trial: Trial) {
    twelve_runs(&trial).await;
    let (a, x, tea) = (Some("a".to_owned()), Some("x".to_owned()), Some("tea".to_owned()));
    let completed = Some(Status::Completed);
    assert_eq!(trial.listed(ListRuns { tenant: a.clone(), ..all() }).await, [12, 10, 8, 6, 4, 2]);
    assert_eq!(trial.listed(ListRuns { user: x.clone(), ..all() }).await, [12, 9, 6, 3]);
    assert_eq!(trial.listed(ListRuns { workflow: tea.clone(), ..all() }).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(trial.listed(ListRuns { status: completed, ..all() }).await, [12, 9, 6, 3]);
    assert_eq!(trial.listed(ListRuns { status: Some(Status::Queued), ..all() }).await, [0; 0]);
    let every = ListRuns {
        tenant: a,
        user: x,
        workflow: tea,
        status: completed,
        before: Some(RunNo(12)),
        limit: 5,
        asking: false,
        labels: Vec::new(),
    };
    assert_eq!(trial.listed(every).await, [6]);
}

async fn filters_are_exact(trial: Trial) {
    twelve_runs(&trial).await;
    for wrong in ["A", "", "a ", "%", "_", "ab", "é"] {
        let wrong = Some(wrong.to_owned());
        assert_eq!(trial.listed(ListRuns { tenant: wrong.clone(), ..all() }).await, [0; 0], "{wrong:?}");
        assert_eq!(trial.listed(ListRuns { user: wrong.clone(), ..all() }).await, [0; 0], "{wrong:?}");
        assert_eq!(trial.listed(ListRuns { workflow: wrong.clone(), ..all() }).await, [0; 0], "{wrong:?}");
    }
}

async fn pages_hold_each_run_once(trial: Trial) {
    twelve_runs(&trial).await;
    for limit in [1, 2, 4, 5] {
        let (mut read, mut before) = (Vec::new(), None);
        loop {
            let page = trial.listed(ListRuns { tenant: Some("b".into()), before, limit, ..all() }).await;
            let Some(last) = page.last() else { break };
            assert!(before.is_none_or(|before| page.iter().all(|run| *run < before.0)), "before {before:?}: {page:?}");
            before = Some(RunNo(*last));
            read.extend(page);
            // What is born meanwhile is newer than every page to come.
            let newer = trial.next_run().await.0;
            trial.write(birth_with(newer, |b| b.owner = Owner { tenant: "c".into(), user: "x".into() })).await;
        }
        assert_eq!(read, [11, 9, 7, 5, 3, 1], "pages of {limit}");
    }
}

async fn the_next_number_was_never_used(trial: Trial) {
    let prune = Prune { ended_before: Time(NOW + 9), keep_max: 99, limit: 99, dry_run: false };
    for round in 0..3 {
        let run = trial.next_run().await;
        assert_eq!(run, RunNo(4 * round + 1));
        trial.write(standing(birth(run.0 + 3), ended(Status::Completed, NOW))).await;
        assert_eq!(trial.next_run().await, RunNo(run.0 + 4));
        assert_eq!(trial.prune(prune).await, 1);
        assert_eq!(trial.next_run().await, RunNo(run.0 + 4), "a pruned run's number was given again");
    }
}

async fn counts_follow_the_runs(trial: Trial) {
    twelve_runs(&trial).await;
    assert_eq!(trial.stats().await.runs, [0, 8, 0, 4, 0, 0, 0, 0]);
    trial.write(standing(after(1, 1, 4, 4, 1), ended(Status::TimedOut, NOW))).await;
    trial.write(claim(3, 1, 4, 2)).await;
    assert_eq!(trial.stats().await.runs, [0, 8, 0, 3, 0, 0, 1, 0]);
    let prune = Prune { ended_before: Time(NOW + 9), keep_max: 99, limit: 99, dry_run: false };
    assert_eq!(trial.prune(prune).await, 4);
    assert_eq!(trial.stats().await.runs, [0, 8, 0, 0, 0, 0, 0, 0]);
    assert!(!trial.stats().await.name.is_empty());
}

async fn the_store_can_be_probed(trial: Trial) {
    trial.write(birth(1)).await;
    let before = trial.everything().await;
    for _ in 0..3 {
        assert_eq!(trial.store.probe().await, Ok(()));
    }
    assert_eq!(trial.everything().await, before, "a probe leaves no trace");
}
