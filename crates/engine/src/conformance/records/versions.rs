//! Versions: who may write, and what a number means.

use super::{Case, Trial, named};
use crate::ports::records::{Expect, Put, Record};
use crate::run::Time;
use bytes::Bytes;
use futures_util::future::join_all;

pub(super) const CASES: &[Case] = &[
    Case { name: "what_was_written_is_read", run: |trial| Box::pin(what_was_written_is_read(trial)) },
    Case { name: "versions_count_from_one", run: |trial| Box::pin(versions_count_from_one(trial)) },
    Case { name: "numbers_are_never_given_twice", run: |trial| Box::pin(numbers_are_never_given_twice(trial)) },
    Case { name: "a_delete_may_expect_something", run: |trial| Box::pin(a_delete_may_expect_something(trial)) },
    Case { name: "of_many_one_is_first", run: |trial| Box::pin(of_many_one_is_first(trial)) },
];

async fn what_was_written_is_read(trial: Trial) {
    let one = named("one");
    assert_eq!(trial.get(&one).await, None);
    assert_eq!(trial.put(&one, Expect::Any).await, Put::Written(1));
    assert_eq!(trial.get(&one).await, Some(Record { version: 1, ..one.clone() }));
    // The version that a writer brings along means nothing, spaces and odd letters stay.
    let body = Bytes::from("{ \"a\": [1, \"Größe 🦀\"],\n \"b\": null }");
    let other = Record { body, at: Time(-5), version: 77, ..one.clone() };
    assert_eq!(trial.put(&other, Expect::Any).await, Put::Written(2));
    assert_eq!(trial.get(&one).await, Some(Record { version: 2, ..other }));
    let large = Record { body: Bytes::from(format!("\"{}\"", "x".repeat(2_000_000))), ..one.clone() };
    assert_eq!(trial.put(&large, Expect::Version(2)).await, Put::Written(3));
    assert_eq!(trial.get(&one).await, Some(Record { version: 3, ..large }));
    for odd in ["", " ", "ONE", "One", "o'ne", "one%", "o_e", "größe", "a/b", "🦀"] {
        let odd = named(odd);
        assert_eq!(trial.get(&odd).await, None, "{odd:?}");
        assert_eq!(trial.put(&odd, Expect::Absent).await, Put::Written(1), "{odd:?}");
    }
}

async fn versions_count_from_one(trial: Trial) {
    let one = named("one");
    for expect in [Expect::Version(0), Expect::Version(1)] {
        assert_eq!(trial.put(&one, expect).await, Put::Conflict(None), "{expect:?}");
    }
    assert_eq!(trial.get(&one).await, None, "what was refused left a trace");
    assert_eq!(trial.put(&one, Expect::Absent).await, Put::Written(1));
    assert_eq!(trial.put(&one, Expect::Absent).await, Put::Conflict(Some(1)));
    assert_eq!(trial.put(&one, Expect::Version(1)).await, Put::Written(2));
    let late = Record { body: Bytes::from("\"late\""), ..one.clone() };
    for expect in [Expect::Version(1), Expect::Version(3), Expect::Version(u64::MAX)] {
        assert_eq!(trial.put(&late, expect).await, Put::Conflict(Some(2)), "{expect:?}");
    }
    assert_eq!(trial.get(&one).await, Some(Record { version: 2, ..one.clone() }));
    assert_eq!(trial.put(&named("two"), Expect::Any).await, Put::Written(1), "each record counts for itself");
}

async fn numbers_are_never_given_twice(trial: Trial) {
    let one = named("one");
    for round in 0..3 {
        assert_eq!(trial.put(&one, Expect::Absent).await, Put::Written(1 + 2 * round));
        assert_eq!(trial.put(&one, Expect::Any).await, Put::Written(2 + 2 * round));
        assert!(trial.delete(&one, Expect::Any).await);
        assert_eq!(trial.get(&one).await, None);
        // Whoever knew it before it was deleted does not bring it back.
        assert_eq!(trial.put(&one, Expect::Version(2 + 2 * round)).await, Put::Conflict(None));
    }
}

async fn a_delete_may_expect_something(trial: Trial) {
    let one = named("one");
    for expect in [Expect::Any, Expect::Absent, Expect::Version(1)] {
        assert!(!trial.delete(&one, expect).await, "{expect:?}: nothing is there");
    }
    trial.put(&one, Expect::Any).await;
    trial.put(&one, Expect::Any).await;
    for expect in [Expect::Absent, Expect::Version(1), Expect::Version(3)] {
        assert!(!trial.delete(&one, expect).await, "{expect:?}");
    }
    assert_eq!(trial.get(&one).await.map(|record| record.version), Some(2));
    let other = [Record { kind: "tool".into(), ..one.clone() }, Record { tenant: "other".into(), ..one.clone() }];
    for other in &other {
        trial.put(other, Expect::Any).await;
    }
    assert!(trial.delete(&one, Expect::Version(2)).await);
    assert!(!trial.delete(&one, Expect::Any).await, "it is gone already");
    for other in &other {
        assert!(trial.get(other).await.is_some(), "another's record of that name was deleted: {other:?}");
    }
}

async fn of_many_one_is_first(trial: Trial) {
    let one = named("one");
    trial.put(&one, Expect::Any).await;
    for version in 1..=5 {
        let mine = |n: usize| Record { body: Bytes::from(n.to_string()), ..one.clone() };
        let puts = (0..8).map(|n| {
            let (trial, mine) = (trial.clone(), mine(n));
            async move { trial.put(&mine, Expect::Version(version)).await }
        });
        let puts = join_all(puts).await;
        let first: Vec<_> = (0..8).filter(|n| puts[*n] == Put::Written(version + 1)).collect();
        assert!(first.len() == 1, "of eight that expected version {version}: {puts:?}");
        assert_eq!(trial.get(&one).await.map(|record| record.body), Some(mine(first[0]).body));
    }
    // Whoever expects nothing is never refused, and no two get the same number.
    let puts = (0..8).map(|_| trial.put(&one, Expect::Any));
    let mut numbers: Vec<_> = join_all(puts).await.into_iter().map(|put| format!("{put:?}")).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 8, "{numbers:?}");
    assert_eq!(trial.get(&one).await.map(|record| record.version), Some(14));
}
