//! The suite of the [`JobBroker`] port. Two ends on one broker stand for two processes; beside them stand the workers, who know
//! nothing of ours but the broker.

use super::{Case, promises, turn, until_up};
use crate::ports::jobs::{Fate, JobBroker, OpenJob, Reply};
use crate::ports::queue::Condition;
use crate::run::{RunId, Time};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use std::sync::Arc;
use std::time::Duration;

/// What workers do at a broker, which a case cannot do through the port.
pub trait Workers: Send + Sync {
    /// The next job that an agent's workers are given, done with as it comes; waits for it.
    fn take<'a>(&'a self, agent_id: &'a str) -> BoxFuture<'a, Bytes>;
    /// How many jobs wait for an agent's workers, none of which has taken any yet.
    fn waiting<'a>(&'a self, agent_id: &'a str) -> BoxFuture<'a, usize>;
    /// Sends a reply; on return the broker has it.
    fn reply<'a>(&'a self, to: &'a str, body: &'static [u8]) -> BoxFuture<'a, ()>;
    /// The next reply that was put aside, taken out; waits for it.
    fn aside(&self) -> BoxFuture<'_, Bytes>;
}

/// What a case needs of one empty broker.
pub struct Trial {
    /// Two who keep jobs.
    pub ends: [Arc<dyn JobBroker>; 2],
    /// Those who do them.
    pub workers: Arc<dyn Workers>,
}

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Trial>] {
    CASES
}

promises! { Trial, "jobs":
    it_is_up_and_says_what_it_is,
    both_are_replied_to_at_one_place,
    a_job_comes_to_the_workers_of_its_agent,
    jobs_wait_for_workers,
    a_job_outlives_who_offered_it,
    the_highest_priority_comes_first,
    of_two_offers_of_one_job_the_later_comes_last,
    an_offer_that_nobody_takes_is_dropped,
    a_reply_comes_to_exactly_one,
    a_reply_that_is_done_never_comes_again,
    a_reply_that_goes_back_comes_again,
    a_reply_that_is_dropped_comes_again,
    a_reply_that_nobody_can_read_is_put_aside,
    one_that_closes_gives_its_replies_to_another,
    one_that_closed_offers_and_hears_nothing,
    asking_in_vain_loses_nothing,
}

const LONG: Duration = Duration::from_secs(600);

fn job(n: i64, agent_id: &str, priority: u8, body: &'static [u8]) -> OpenJob {
    OpenJob { agent_id: agent_id.into(), priority, job_id: RunId::new(Time(n), [0; 10]), body: body.into(), keep: LONG }
}

/// The next reply to either, and which of them has it.
async fn either(ends: &[Arc<dyn JobBroker>; 2]) -> (usize, Reply) {
    match select(ends[0].next_reply(), ends[1].next_reply()).await {
        Either::Left((reply, _)) => (0, open(reply)),
        Either::Right((reply, _)) => (1, open(reply)),
    }
}

async fn one(end: &Arc<dyn JobBroker>) -> Reply {
    open(end.next_reply().await)
}

fn open(reply: Option<Reply>) -> Reply {
    let Some(reply) = reply else { panic!("no reply from one that is open") };
    reply
}

/// Waits until so many jobs wait for an agent's workers: no broker tells of it.
async fn until_waiting(workers: &Arc<dyn Workers>, agent_id: &str, count: usize) {
    while workers.waiting(agent_id).await != count {
        turn().await;
    }
}

async fn it_is_up_and_says_what_it_is(Trial { ends: [a, b], .. }: Trial) {
    until_up(|| a.condition()).await;
    until_up(|| b.condition()).await;
    assert!(!a.name().is_empty());
    a.close().await;
    assert!(matches!(b.condition(), Condition::Up), "what one does is not the other's affair");
}

async fn both_are_replied_to_at_one_place(Trial { ends: [a, b], .. }: Trial) {
    assert!(!a.reply_to().is_empty());
    assert_eq!(a.reply_to(), b.reply_to());
}

async fn a_job_comes_to_the_workers_of_its_agent(Trial { ends: [a, b], workers }: Trial) {
    a.open(job(1, "x", 4, b"for x \xff"));
    b.open(job(2, "y", 4, b"for y"));
    assert_eq!(workers.take("y").await, "for y");
    assert_eq!(workers.take("x").await, Bytes::from_static(b"for x \xff"), "any bytes are carried");
}

async fn jobs_wait_for_workers(Trial { ends: [a, _], workers }: Trial) {
    for (n, body) in [(1, &b"1"[..]), (2, b"2"), (3, b"3")] {
        a.open(job(n, "x", 4, body));
    }
    until_waiting(&workers, "x", 3).await;
    for body in ["1", "2", "3"] {
        assert_eq!(workers.take("x").await, body);
    }
}

async fn a_job_outlives_who_offered_it(Trial { ends: [a, b], workers }: Trial) {
    a.open(job(1, "x", 4, b"1"));
    until_waiting(&workers, "x", 1).await;
    a.close().await;
    drop(a);
    b.open(job(2, "x", 4, b"2"));
    assert_eq!((workers.take("x").await, workers.take("x").await), ("1".into(), "2".into()));
}

async fn the_highest_priority_comes_first(Trial { ends: [a, _], workers }: Trial) {
    for (n, priority, body) in [(1, 0, &b"0"[..]), (2, 9, b"9"), (3, 4, b"4"), (4, 12, b"more than 9"), (5, 1, b"1")] {
        a.open(job(n, "x", priority, body));
    }
    until_waiting(&workers, "x", 5).await;
    for body in ["9", "more than 9", "4", "1", "0"] {
        assert_eq!(workers.take("x").await, body);
    }
}

async fn of_two_offers_of_one_job_the_later_comes_last(Trial { ends: [a, _], workers }: Trial) {
    for body in [&b"1"[..], b"2", b"3"] {
        a.open(job(1, "x", 4, body));
    }
    a.open(job(2, "x", 0, b"the end"));
    let mut came = vec![workers.take("x").await];
    while came.last().is_some_and(|last| *last != "the end") {
        came.push(workers.take("x").await);
    }
    came.pop();
    assert!(came.is_sorted() && came.last().is_some_and(|last| *last == "3"), "{came:?}");
}

async fn an_offer_that_nobody_takes_is_dropped(Trial { ends: [a, _], workers }: Trial) {
    a.open(OpenJob { keep: Duration::from_millis(1), ..job(1, "x", 4, b"1") });
    // It comes behind the first.
    a.open(job(2, "y", 4, b"2"));
    assert_eq!(workers.take("y").await, "2");
    until_waiting(&workers, "x", 0).await;
    a.open(job(3, "x", 0, b"3"));
    assert_eq!(workers.take("x").await, "3");
}

async fn a_reply_comes_to_exactly_one(Trial { ends, workers }: Trial) {
    let bodies: [&[u8]; 6] = [b"1", b"2", b"3", b"4", b"5", b"\xff"];
    for body in bodies {
        workers.reply(ends[0].reply_to(), body).await;
    }
    let mut seen = Vec::new();
    while seen.len() < bodies.len() {
        let (_, reply) = either(&ends).await;
        seen.push(reply.body.clone());
        reply.settle(Fate::Done);
    }
    seen.sort_unstable();
    assert_eq!(seen, bodies);
    // Nothing is left behind it.
    workers.reply(ends[0].reply_to(), b"the end").await;
    assert_eq!(either(&ends).await.1.body, "the end");
}

async fn a_reply_that_is_done_never_comes_again(Trial { ends, workers }: Trial) {
    workers.reply(ends[0].reply_to(), b"1").await;
    let (holder, reply) = either(&ends).await;
    reply.settle(Fate::Done);
    ends[holder].close().await;
    let other = &ends[1 - holder];
    workers.reply(other.reply_to(), b"2").await;
    assert_eq!(one(other).await.body, "2");
}

async fn a_reply_that_goes_back_comes_again(Trial { ends, workers }: Trial) {
    workers.reply(ends[0].reply_to(), b"1").await;
    for _ in 0..2 {
        let (_, reply) = either(&ends).await;
        assert_eq!(reply.body, "1");
        reply.settle(Fate::Back);
    }
    let (_, reply) = either(&ends).await;
    assert_eq!(reply.body, "1");
    reply.settle(Fate::Done);
}

async fn a_reply_that_is_dropped_comes_again(Trial { ends, workers }: Trial) {
    workers.reply(ends[0].reply_to(), b"1").await;
    drop(either(&ends).await);
    assert_eq!(either(&ends).await.1.body, "1");
}

async fn a_reply_that_nobody_can_read_is_put_aside(Trial { ends, workers }: Trial) {
    workers.reply(ends[0].reply_to(), b"what").await;
    either(&ends).await.1.settle(Fate::Dead);
    assert_eq!(workers.aside().await, "what");
    workers.reply(ends[0].reply_to(), b"the end").await;
    assert_eq!(either(&ends).await.1.body, "the end");
}

async fn one_that_closes_gives_its_replies_to_another(Trial { ends, workers }: Trial) {
    workers.reply(ends[0].reply_to(), b"1").await;
    let (holder, reply) = either(&ends).await;
    ends[holder].close().await;
    assert_eq!(one(&ends[1 - holder]).await.body, "1");
    // What comes too late settles nothing.
    reply.settle(Fate::Done);
}

async fn one_that_closed_offers_and_hears_nothing(Trial { ends: [a, b], workers }: Trial) {
    a.close().await;
    a.open(job(1, "x", 9, b"1"));
    b.open(job(2, "x", 0, b"2"));
    assert_eq!(workers.take("x").await, "2");
    workers.reply(b.reply_to(), b"1").await;
    assert!(a.next_reply().await.is_none());
    assert_eq!(one(&b).await.body, "1");
}

async fn asking_in_vain_loses_nothing(Trial { ends: [a, b], workers }: Trial) {
    b.close().await;
    for body in [&b"1"[..], b"2", b"3"] {
        workers.reply(a.reply_to(), body).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        // Asked and not waited for, as one that waits for several things does.
        if let Some(Some(reply)) = a.next_reply().now_or_never() {
            seen.push(reply.body.clone());
            reply.settle(Fate::Done);
        }
        turn().await;
    }
    assert_eq!(seen, ["1", "2", "3"]);
}
