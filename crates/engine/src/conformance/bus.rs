//! The suite of the [`Bus`] port, for buses between processes. Two handles on one backend stand for two processes.

use super::{Case, promises, until_up};
use crate::ports::bus::{Bus, Call, ENDED};
use crate::run::RunNo;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What two processes have of one bus.
pub type Pair = [Arc<dyn Bus>; 2];

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Pair>] {
    CASES
}

promises! { Pair, "bus":
    a_wake_reaches_a_listener_here,
    a_wake_reaches_a_listener_there,
    an_end_reaches_a_listener_there,
    the_last_of_many_wakes_arrives,
    wakes_of_many_runs_arrive,
    all_listeners_of_a_run_wake,
    a_call_reaches_the_other,
    a_call_does_not_come_back,
    a_call_is_given_once,
    many_calls_arrive_each_once,
    calls_cross,
    calls_wait_until_somebody_asks,
}

/// Both are connected: what is said before that reaches nobody.
async fn up(pair: &Pair) {
    for bus in pair {
        until_up(|| bus.condition()).await;
    }
}

/// What is heard up to a call that is the last.
async fn heard(bus: &Arc<dyn Bus>, last: Call) -> Vec<Call> {
    let mut all = Vec::new();
    while !all.contains(&last) {
        all.extend(bus.calls().await);
    }
    all
}

async fn a_wake_reaches_a_listener_here([a, b]: Pair) {
    up(&[a.clone(), b]).await;
    let mut listener = a.listen(RunNo(1));
    a.wake(RunNo(1), 3);
    listener.grown(2).await;
}

async fn a_wake_reaches_a_listener_there([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    let mut listener = b.listen(RunNo(1));
    a.wake(RunNo(1), 3);
    listener.grown(2).await;
    a.wake(RunNo(1), 4);
    listener.grown(3).await;
}

async fn an_end_reaches_a_listener_there([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    let mut listener = b.listen(RunNo(i64::MAX));
    a.wake(RunNo(i64::MAX), ENDED);
    listener.grown(ENDED - 1).await;
}

async fn the_last_of_many_wakes_arrives([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    let mut listener = b.listen(RunNo(1));
    (1..=500).for_each(|seq| a.wake(RunNo(1), seq));
    listener.grown(499).await;
}

async fn wakes_of_many_runs_arrive([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    // More than fit into one message.
    let runs = 1_000_000_000_000..1_000_000_002_000;
    let mut listeners: Vec<_> = runs.clone().map(|run| b.listen(RunNo(run))).collect();
    runs.for_each(|run| a.wake(RunNo(run), 1));
    for listener in &mut listeners {
        listener.grown(0).await;
    }
}

async fn all_listeners_of_a_run_wake([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    let mut listeners = [a.listen(RunNo(1)), b.listen(RunNo(1)), b.listen(RunNo(1))];
    a.wake(RunNo(1), 1);
    for listener in &mut listeners {
        listener.grown(0).await;
    }
}

async fn a_call_reaches_the_other([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    for call in [Call::Mail(RunNo(5)), Call::Look, Call::Mail(RunNo(i64::MAX))] {
        a.call(call);
        assert_eq!(b.calls().await, [call]);
    }
}

async fn a_call_does_not_come_back([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    a.call(Call::Mail(RunNo(1)));
    a.call(Call::Look);
    heard(&b, Call::Look).await;
    b.call(Call::Mail(RunNo(2)));
    assert_eq!(a.calls().await, [Call::Mail(RunNo(2))]);
}

async fn a_call_is_given_once([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    a.call(Call::Mail(RunNo(7)));
    let first = b.calls().await;
    a.call(Call::Mail(RunNo(8)));
    let second = b.calls().await;
    assert_eq!((first, second), (vec![Call::Mail(RunNo(7))], vec![Call::Mail(RunNo(8))]));
}

async fn many_calls_arrive_each_once([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    let runs = 1_000_000_000_000..1_000_000_003_000;
    runs.clone().for_each(|run| a.call(Call::Mail(RunNo(run))));
    let mut counts = BTreeMap::new();
    while counts.len() < 3_000 {
        for call in b.calls().await {
            *counts.entry(call).or_insert(0) += 1;
        }
    }
    assert!(runs.into_iter().all(|run| counts.get(&Call::Mail(RunNo(run))) == Some(&1)), "{counts:?}");
}

async fn calls_cross([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    a.call(Call::Mail(RunNo(1)));
    b.call(Call::Mail(RunNo(2)));
    assert_eq!(a.calls().await, [Call::Mail(RunNo(2))]);
    assert_eq!(b.calls().await, [Call::Mail(RunNo(1))]);
}

async fn calls_wait_until_somebody_asks([a, b]: Pair) {
    up(&[a.clone(), b.clone()]).await;
    let mut listener = b.listen(RunNo(9));
    a.call(Call::Mail(RunNo(1)));
    a.call(Call::Mail(RunNo(2)));
    // Said after them, so they are there when it is.
    a.wake(RunNo(9), 1);
    listener.grown(0).await;
    let mut heard = b.calls().await;
    heard.sort_unstable();
    assert_eq!(heard, [Call::Mail(RunNo(1)), Call::Mail(RunNo(2))]);
}
