//! Sessions: opened by a run's birth, grown by its end, found by their owner alone. And what waits for a person.

use super::topic;
use super::trial::{NOW, Trial, WAITING, after, all, birth, birth_with, ended, item, put, rows, standing};
use crate::ports::store::{
    Append, Birth, ListRuns, ListSessions, ListTurns, Prune, Receipt, Refusal, Transition, Turn,
};
use crate::run::{Owner, RunNo, Status, Time};
use crate::session::{SessionNo, SessionRow};

topic! { "sessions":
    a_birth_opens_a_session,
    a_child_opens_none,
    a_refused_birth_opens_none,
    owners_do_not_share_sessions,
    sessions_are_listed_newest_first,
    a_turn_goes_with_the_end,
    a_refused_end_adds_no_turn,
    a_turn_is_written_once,
    turns_are_read_newest_first,
    a_turn_taken_back_keeps_its_number,
    open_runs_of_a_session,
    a_removed_session_is_gone_and_its_runs_stay,
    a_session_that_is_not_there_cannot_be_removed,
    a_late_end_does_not_revive_a_session,
    pruning_takes_turns_along,
    approvals_are_found,
}

fn in_session(run: i64, id: &str) -> Append {
    birth_with(run, |b| b.session = Some(id.into()))
}

/// The row that completes a run, with its turn.
fn completes(run: i64) -> Transition {
    let end = standing(after(run, 1, 4, 4, 1), ended(Status::Completed, NOW + run));
    Transition { turns: vec![Turn { run: RunNo(run), at: Time(NOW + run) }], ..rows([end]) }
}

async fn committed(trial: &Trial, transition: Transition) {
    assert_eq!(trial.send(transition).await, Receipt::Committed);
}

async fn session(trial: &Trial, id: &str) -> Option<SessionRow> {
    trial.store.session(Owner::local(), id.into()).await.unwrap_or_else(|e| panic!("{e}"))
}

/// Numbers and runs of a session's turns.
async fn turns(trial: &Trial, query: ListTurns) -> Vec<(u32, i64)> {
    let turns = trial.store.turns(query).await.unwrap_or_else(|e| panic!("{e}"));
    turns.iter().map(|t| (t.n, t.run.0)).collect()
}

fn every(session: i64) -> ListTurns {
    ListTurns { session: SessionNo(session), from: 1, to: u32::MAX, voids: false, limit: 100 }
}

/// Session `s`, opened by run 1, with turns of runs 1 to `n`.
async fn talk(trial: &Trial, n: i64) {
    for run in 1..=n {
        trial.write(in_session(run, "s")).await;
        committed(trial, completes(run)).await;
    }
}

async fn a_birth_opens_a_session(trial: Trial) {
    assert_eq!(session(&trial, "s").await, None);
    trial.write(in_session(3, "s")).await;
    let at = Time(NOW + 1);
    let (no, owner) = (SessionNo(3), Owner::local());
    let row = SessionRow { no, id: "s".into(), owner, created_at: at, updated_at: at, head: 0 };
    assert_eq!(session(&trial, "s").await, Some(row.clone()));
    assert_eq!(trial.store.session_of(RunNo(3)).await, Ok(Some(row.clone())));
    trial.write(in_session(4, "s")).await;
    assert_eq!(session(&trial, "s").await, Some(row.clone()), "the second run changes nothing");
    assert_eq!(trial.store.session_of(RunNo(4)).await, Ok(Some(row)));
    trial.write(birth(5)).await;
    assert_eq!(trial.store.session_of(RunNo(5)).await, Ok(None));
}

async fn a_child_opens_none(trial: Trial) {
    trial.write(birth(1)).await;
    let child = |b: &mut Birth| (b.parent, b.session) = (Some(RunNo(1)), Some("s".into()));
    trial.write(birth_with(2, child)).await;
    assert_eq!((session(&trial, "s").await, trial.run(2).await.session), (None, Some("s".into())));
    committed(&trial, completes(2)).await;
    assert_eq!(session(&trial, "s").await, None);
}

async fn a_refused_birth_opens_none(trial: Trial) {
    trial.write(birth(1)).await;
    trial.fenced(in_session(1, "s")).await;
    let refused = trial.send(rows([in_session(2, "s"), after(1, 1, 4, 4, 9)])).await;
    assert_eq!(refused, Receipt::Refused(Refusal::Fenced { run: RunNo(1) }));
    assert_eq!(session(&trial, "s").await, None);
}

async fn owners_do_not_share_sessions(trial: Trial) {
    let ann = Owner { tenant: "default".into(), user: "ann".into() };
    trial.write(in_session(1, "s")).await;
    let anns = ann.clone();
    trial.write(birth_with(2, move |b| (b.session, b.owner) = (Some("s".into()), anns))).await;
    assert_eq!(session(&trial, "s").await.map(|s| s.no), Some(SessionNo(1)));
    assert_eq!(trial.store.session(ann, "s".into()).await.map(|s| s.map(|s| s.no)), Ok(Some(SessionNo(2))));
    let list = async |tenant: &str, user: Option<&str>| {
        let query = ListSessions { tenant: tenant.into(), user: user.map(String::from), before: None, limit: 9 };
        let page = trial.store.sessions(query).await.unwrap_or_else(|e| panic!("{e}"));
        page.iter().map(|s| s.no.0).collect::<Vec<_>>()
    };
    assert_eq!(list("default", Some("ann")).await, [2]);
    assert_eq!(list("default", None).await, [2, 1], "a tenant's sessions are those of all its users");
    assert_eq!((list("acme", None).await, list("acme", Some("ann")).await), (Vec::new(), Vec::new()));
}

async fn sessions_are_listed_newest_first(trial: Trial) {
    for (run, id) in (1..).zip(["c", "a", "b", "a", "d"]) {
        trial.write(in_session(run, id)).await;
    }
    let list = async |before: Option<i64>, limit| {
        let Owner { tenant, user } = Owner::local();
        let query = ListSessions { tenant, user: Some(user), before: before.map(SessionNo), limit };
        let page = trial.store.sessions(query).await.unwrap_or_else(|e| panic!("{e}"));
        page.into_iter().map(|s| s.id).collect::<Vec<_>>().join("")
    };
    assert_eq!(list(None, 9).await, "dbac");
    assert_eq!(
        (list(None, 2).await, list(Some(3), 9).await, list(None, 0).await),
        ("db".into(), "ac".into(), String::new())
    );
}

async fn a_turn_goes_with_the_end(trial: Trial) {
    talk(&trial, 2).await;
    let row = session(&trial, "s").await.unwrap_or_else(|| panic!("no session"));
    assert_eq!((row.head, row.updated_at, row.created_at), (2, Time(NOW + 2), Time(NOW + 1)));
    let turns = trial.store.turns(every(1)).await.unwrap_or_else(|e| panic!("{e}"));
    let newest = turns[0];
    assert_eq!((newest.n, newest.run, newest.id), (2, RunNo(2), super::trial::id(2)));
    assert_eq!((newest.at, newest.is_void), (Time(NOW + 2), false));
}

async fn a_refused_end_adds_no_turn(trial: Trial) {
    trial.write(in_session(1, "s")).await;
    let turn = Turn { run: RunNo(1), at: Time(NOW) };
    let late = Transition { turns: vec![turn], ..rows([after(1, 1, 4, 4, 9)]) };
    assert_eq!(trial.send(late).await, Receipt::Refused(Refusal::Fenced { run: RunNo(1) }));
    assert_eq!((session(&trial, "s").await.map(|s| s.head), turns(&trial, every(1)).await), (Some(0), vec![]));
}

async fn a_turn_is_written_once(trial: Trial) {
    talk(&trial, 1).await;
    let turn = Turn { run: RunNo(1), at: Time(NOW + 9) };
    committed(&trial, Transition { turns: vec![turn], ..rows([after(1, 4, 5, 5, 1)]) }).await;
    assert_eq!((session(&trial, "s").await.map(|s| s.head), turns(&trial, every(1)).await), (Some(1), vec![(1, 1)]));
}

async fn turns_are_read_newest_first(trial: Trial) {
    talk(&trial, 6).await;
    let of = |from, to, limit| ListTurns { from, to, limit, ..every(1) };
    assert_eq!(turns(&trial, of(1, 9, 3)).await, [(6, 6), (5, 5), (4, 4)]);
    assert_eq!(turns(&trial, of(2, 4, 9)).await, [(4, 4), (3, 3), (2, 2)]);
    assert_eq!(turns(&trial, of(7, 6, 9)).await, []);
    assert_eq!(turns(&trial, ListTurns { session: SessionNo(2), ..every(2) }).await, []);
}

async fn a_turn_taken_back_keeps_its_number(trial: Trial) {
    talk(&trial, 3).await;
    committed(&trial, Transition { voids: vec![RunNo(2), RunNo(77)], ..Transition::default() }).await;
    assert_eq!(turns(&trial, every(1)).await, [(3, 3), (1, 1)]);
    let voids = ListTurns { voids: true, ..every(1) };
    let read = trial.store.turns(voids).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(read.iter().map(|t| (t.n, t.is_void)).collect::<Vec<_>>(), [(3, false), (2, true), (1, false)]);
    trial.write(in_session(4, "s")).await;
    committed(&trial, Transition { voids: vec![RunNo(2)], ..completes(4) }).await;
    assert_eq!(turns(&trial, voids).await, [(4, 4), (3, 3), (2, 2), (1, 1)]);
}

async fn open_runs_of_a_session(trial: Trial) {
    trial.write(in_session(1, "s")).await;
    trial.write(standing(in_session(2, "s"), WAITING)).await;
    trial.write(in_session(3, "t")).await;
    trial.write(birth(4)).await;
    trial.write(birth_with(5, |b| (b.parent, b.session) = (Some(RunNo(1)), Some("s".into())))).await;
    let open = async |session: Option<i64>, after, limit| {
        let runs = trial.store.session_runs(session.map(SessionNo), RunNo(after), limit).await;
        runs.unwrap_or_else(|e| panic!("{e}")).iter().map(|r| r.run.0).collect::<Vec<_>>()
    };
    assert_eq!((open(Some(1), 0, 9).await, open(None, 0, 9).await), (vec![1, 2], vec![1, 2, 3]));
    assert_eq!((open(None, 1, 9).await, open(None, 0, 1).await), (vec![2, 3], vec![1]));
    committed(&trial, completes(1)).await;
    assert_eq!(open(Some(1), 0, 9).await, [2]);
}

async fn a_removed_session_is_gone_and_its_runs_stay(trial: Trial) {
    talk(&trial, 2).await;
    trial.write(in_session(3, "s")).await;
    let drops =
        Transition { session_drop: Some(SessionNo(1)), inbox_put: vec![item(3, "cancel")], ..Transition::default() };
    committed(&trial, drops).await;
    assert_eq!((session(&trial, "s").await, turns(&trial, every(1)).await), (None, vec![]));
    assert_eq!(trial.store.session_of(RunNo(3)).await, Ok(None));
    assert_eq!((trial.listed(all()).await, trial.firsts(1, 0, 9).await), (vec![3, 2, 1], vec![1, 4]));
    assert_eq!(trial.waiting_for(3).await, ["cancel"]);
    // The name is free again, for another session.
    trial.write(in_session(4, "s")).await;
    assert_eq!(session(&trial, "s").await.map(|s| (s.no, s.head)), Some((SessionNo(4), 0)));
}

async fn a_session_that_is_not_there_cannot_be_removed(trial: Trial) {
    trial.write(birth(1)).await;
    let before = trial.everything().await;
    let drops =
        Transition { session_drop: Some(SessionNo(1)), inbox_put: vec![item(1, "cancel")], ..Transition::default() };
    assert_eq!(trial.send(drops).await, Receipt::Refused(Refusal::Gone));
    assert_eq!(trial.everything().await, before, "refused, but it left a trace");
    // A message to a run that has ended meanwhile does not stand in the way.
    talk_of(&trial, 2).await;
    let drops =
        Transition { session_drop: Some(SessionNo(2)), inbox_put: vec![item(2, "cancel")], ..Transition::default() };
    committed(&trial, drops).await;
}

async fn talk_of(trial: &Trial, run: i64) {
    trial.write(in_session(run, "s")).await;
    committed(trial, completes(run)).await;
}

async fn a_late_end_does_not_revive_a_session(trial: Trial) {
    trial.write(in_session(1, "s")).await;
    committed(&trial, Transition { session_drop: Some(SessionNo(1)), ..Transition::default() }).await;
    trial.write(in_session(2, "s")).await;
    committed(&trial, completes(1)).await;
    assert_eq!((turns(&trial, every(1)).await, turns(&trial, every(2)).await), (vec![], vec![]));
    assert_eq!(session(&trial, "s").await.map(|s| s.head), Some(0));
}

async fn pruning_takes_turns_along(trial: Trial) {
    talk(&trial, 3).await;
    let old = |at| Prune { ended_before: Time(at), keep_max: u64::MAX, limit: 100, dry_run: false };
    assert_eq!(trial.prune(old(NOW + 3)).await, 2);
    assert_eq!((turns(&trial, every(1)).await, session(&trial, "s").await.map(|s| s.head)), (vec![(3, 3)], Some(3)));
    trial.write(in_session(4, "s")).await;
    assert_eq!(trial.prune(old(NOW + 9)).await, 1);
    assert!(session(&trial, "s").await.is_some(), "a run of it is open");
    committed(&trial, completes(4)).await;
    assert_eq!(turns(&trial, every(1)).await, [(4, 4)], "numbers are not used again");
    assert_eq!(trial.prune(old(NOW + 9)).await, 1);
    assert_eq!(session(&trial, "s").await, None, "nothing of it is left");
}

async fn approvals_are_found(trial: Trial) {
    for run in 1..=4 {
        trial.write(birth(run)).await;
    }
    let asking = || ListRuns { asking: true, ..all() };
    assert!(trial.listed(asking()).await.is_empty());
    let asks = |run, n| Transition { asks: vec![(RunNo(run), n)], ..rows([after(run, 1, 4, 4, 1)]) };
    for run in [1, 3, 4] {
        committed(&trial, asks(run, 2)).await;
    }
    let refused = Transition { asks: vec![(RunNo(2), 1)], ..rows([after(2, 1, 4, 4, 9)]) };
    assert!(matches!(trial.send(refused).await, Receipt::Refused(_)));
    assert_eq!(trial.listed(asking()).await, [4, 3, 1]);
    assert_eq!(trial.listed(ListRuns { before: Some(RunNo(4)), limit: 1, ..asking() }).await, [3]);
    assert_eq!(trial.listed(ListRuns { tenant: Some("default".into()), ..asking() }).await, [4, 3, 1]);
    assert!(trial.listed(ListRuns { tenant: Some("other".into()), ..asking() }).await.is_empty());
    let settled = Transition { asks: vec![(RunNo(3), 0)], ..rows([after(3, 4, 5, 5, 1)]) };
    committed(&trial, settled).await;
    assert_eq!(trial.listed(asking()).await, [4, 1]);
    assert_eq!(trial.send(put(1, "approval")).await, Receipt::Committed);
}
