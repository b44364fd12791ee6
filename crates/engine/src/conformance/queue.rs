//! The suite of the [`Queue`] port. Two handles on one backend stand for two processes.

use super::{Case, promises, turn, until_up};
use crate::ports::queue::{Condition, Offered, Queue};
use crate::run::RunNo;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use std::sync::Arc;

/// What two processes have of one empty queue.
pub type Pair = [Arc<dyn Queue>; 2];

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Pair>] {
    CASES
}

promises! { Pair, "queue":
    it_is_up_and_says_what_it_is,
    an_offer_comes_to_who_made_it,
    an_offer_comes_to_exactly_one,
    an_offer_keeps_its_priority,
    the_highest_priority_comes_first,
    nothing_comes_before_the_first_word_about_room,
    no_more_comes_than_there_is_room_for,
    more_room_lets_more_come,
    less_room_lets_the_rest_go_to_another,
    settling_makes_room,
    without_room_what_was_sent_goes_back,
    what_is_given_back_comes_to_another,
    what_is_given_back_comes_again_to_the_same,
    what_is_given_back_twice_comes_a_third_time,
    what_is_done_never_comes_again,
    one_that_closes_gives_all_back,
    one_that_is_dropped_gives_all_back,
    one_that_closed_is_offered_nothing,
    one_that_closes_leaves_what_it_offered,
    asking_in_vain_loses_nothing,
}

/// The next `count` offers.
async fn offered(queue: &Arc<dyn Queue>, count: usize) -> Vec<Offered> {
    let mut offers = Vec::new();
    while offers.len() < count {
        offers.extend(queue.next(count - offers.len()).await);
    }
    assert_eq!(offers.len(), count, "more came than was asked for: {offers:?}");
    offers
}

async fn one(queue: &Arc<dyn Queue>) -> Offered {
    offered(queue, 1).await.remove(0)
}

fn offer(queue: &Arc<dyn Queue>, runs: impl IntoIterator<Item = i64>) {
    runs.into_iter().for_each(|run| queue.offer(RunNo(run), 4));
}

fn runs(offers: &[Offered]) -> Vec<i64> {
    let mut runs: Vec<i64> = offers.iter().map(|offer| offer.run.0).collect();
    runs.sort_unstable();
    runs
}

async fn it_is_up_and_says_what_it_is([a, b]: Pair) {
    until_up(|| a.condition()).await;
    until_up(|| b.condition()).await;
    assert!(!a.name().is_empty());
    a.close().await;
    assert!(matches!(b.condition(), Condition::Up), "what one does is not the other's affair");
}

async fn an_offer_comes_to_who_made_it([a, _]: Pair) {
    a.room(1);
    a.offer(RunNo(7), 4);
    let offer = one(&a).await;
    assert_eq!(offer.run, RunNo(7));
    offer.done();
}

async fn an_offer_comes_to_exactly_one([a, b]: Pair) {
    a.room(100);
    b.room(100);
    offer(&a, 1..=40);
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let come = match select(a.next(100), b.next(100)).await {
            Either::Left((offers, _)) | Either::Right((offers, _)) => offers,
        };
        for offer in come {
            assert!(!seen.contains(&offer.run.0), "{} came twice", offer.run.0);
            seen.push(offer.run.0);
            offer.done();
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<i64>>());
    // Nothing is left behind it.
    b.offer(RunNo(99), 0);
    let (Either::Left((offers, _)) | Either::Right((offers, _))) = select(a.next(100), b.next(100)).await;
    assert_eq!(runs(&offers), [99]);
}

async fn an_offer_keeps_its_priority([a, b]: Pair) {
    b.room(1);
    for priority in [0, 9, 4] {
        a.offer(RunNo(i64::from(priority) + 1), priority);
        let offer = one(&b).await;
        assert_eq!((offer.run.0, offer.priority), (i64::from(priority) + 1, priority));
        offer.done();
    }
}

async fn the_highest_priority_comes_first([a, b]: Pair) {
    for (run, priority) in [(1, 0), (2, 9), (3, 4), (4, 9), (5, 1)] {
        a.offer(RunNo(run), priority);
    }
    // They are all there when they have been here once.
    b.room(5);
    let here = offered(&b, 5).await;
    b.room(0);
    drop(here);
    b.room(1);
    let mut order = Vec::new();
    for _ in 0..5 {
        let offer = one(&b).await;
        order.push(offer.priority);
        offer.done();
    }
    assert_eq!(order, [9, 9, 4, 1, 0]);
}

async fn nothing_comes_before_the_first_word_about_room([a, b]: Pair) {
    offer(&a, 1..=3);
    b.room(5);
    let here = offered(&b, 3).await;
    assert!(a.next(9).now_or_never().is_none());
    assert_eq!(runs(&here), [1, 2, 3]);
    here.into_iter().for_each(Offered::done);
}

async fn no_more_comes_than_there_is_room_for([a, b]: Pair) {
    a.room(3);
    offer(&b, 1..=8);
    let here = offered(&a, 3).await;
    assert!(a.next(9).now_or_never().is_none());
    // Nor does it keep others' from them.
    b.room(9);
    let there = offered(&b, 5).await;
    assert!(a.next(9).now_or_never().is_none());
    assert_eq!(here.len() + there.len(), 8);
}

async fn more_room_lets_more_come([a, b]: Pair) {
    a.room(1);
    offer(&b, 1..=9);
    let first = offered(&a, 1).await;
    a.room(6);
    let more = offered(&a, 5).await;
    assert!(a.next(9).now_or_never().is_none());
    b.room(9);
    let there = offered(&b, 3).await;
    let all = [first, more, there].into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(runs(&all), (1..=9).collect::<Vec<i64>>());
}

async fn less_room_lets_the_rest_go_to_another([a, b]: Pair) {
    a.room(4);
    offer(&b, 1..=4);
    let mut all = offered(&a, 1).await;
    a.room(3);
    b.room(4);
    all.extend(offered(&b, 1).await);
    // What is left comes to either of them.
    while all.len() < 4 {
        let (Either::Left((more, _)) | Either::Right((more, _))) = select(a.next(4), b.next(4)).await;
        all.extend(more);
    }
    assert_eq!(runs(&all), [1, 2, 3, 4]);
}

async fn settling_makes_room([a, b]: Pair) {
    a.room(2);
    offer(&b, 1..=6);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let offer = one(&a).await;
        seen.push(offer.run.0);
        offer.done();
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
}

async fn without_room_what_was_sent_goes_back([a, b]: Pair) {
    a.room(5);
    offer(&a, 1..=5);
    let mut here = offered(&a, 1).await;
    a.room(0);
    b.room(9);
    let there = offered(&b, 4).await;
    assert!(a.next(9).now_or_never().is_none());
    here.extend(there);
    assert_eq!(runs(&here), [1, 2, 3, 4, 5]);
}

async fn what_is_given_back_comes_to_another([a, b]: Pair) {
    a.room(1);
    offer(&a, [1]);
    let here = one(&a).await;
    a.room(0);
    b.room(1);
    drop(here);
    assert_eq!(one(&b).await.run, RunNo(1));
}

async fn what_is_given_back_comes_again_to_the_same([a, _]: Pair) {
    a.room(1);
    offer(&a, [1]);
    drop(one(&a).await);
    let again = one(&a).await;
    assert_eq!(again.run, RunNo(1));
    again.done();
}

async fn what_is_given_back_twice_comes_a_third_time([a, b]: Pair) {
    a.room(1);
    offer(&b, [1]);
    drop(one(&a).await);
    drop(one(&a).await);
    let again = one(&a).await;
    assert_eq!(again.run, RunNo(1));
    again.done();
}

async fn what_is_done_never_comes_again([a, b]: Pair) {
    a.room(3);
    offer(&a, 1..=3);
    for offer in offered(&a, 3).await {
        // The third is dropped.
        if offer.run.0 < 3 {
            offer.done();
        }
    }
    a.close().await;
    b.room(9);
    let mut seen = offered(&b, 1).await;
    // Goes behind whatever is left.
    b.offer(RunNo(4), 0);
    seen.extend(offered(&b, 1).await);
    assert_eq!(runs(&seen), [3, 4]);
}

async fn one_that_closes_gives_all_back([a, b]: Pair) {
    a.room(4);
    offer(&b, 1..=6);
    let here = offered(&a, 2).await;
    a.close().await;
    drop(here);
    b.room(9);
    assert_eq!(runs(&offered(&b, 6).await), [1, 2, 3, 4, 5, 6]);
}

async fn one_that_is_dropped_gives_all_back([a, b]: Pair) {
    a.room(4);
    offer(&b, 1..=6);
    let here = offered(&a, 2).await;
    drop(a);
    b.room(9);
    let there = offered(&b, 6).await;
    assert_eq!(runs(&there), [1, 2, 3, 4, 5, 6]);
    // What comes too late settles nothing.
    here.into_iter().for_each(Offered::done);
    assert!(b.next(9).now_or_never().is_none());
}

async fn one_that_closed_is_offered_nothing([a, b]: Pair) {
    a.room(4);
    a.close().await;
    a.room(4);
    offer(&b, 1..=3);
    b.room(4);
    let there = offered(&b, 3).await;
    assert!(a.next(9).now_or_never().is_none());
    drop(there);
}

async fn one_that_closes_leaves_what_it_offered([a, b]: Pair) {
    until_up(|| a.condition()).await;
    offer(&a, 1..=20);
    a.close().await;
    b.room(20);
    assert_eq!(runs(&offered(&b, 20).await), (1..=20).collect::<Vec<i64>>());
}

async fn asking_in_vain_loses_nothing([a, b]: Pair) {
    a.room(9);
    offer(&b, 1..=5);
    let mut seen = Vec::new();
    while seen.len() < 5 {
        // Asked and not waited for, as one that waits for several things does.
        seen.extend(a.next(1).now_or_never().unwrap_or_default());
        turn().await;
    }
    assert_eq!(runs(&seen), [1, 2, 3, 4, 5]);
}
