//! Closing and opening again, and two processes at once.

use super::{Place, Trial, named};
use crate::ports::records::{Expect, Put, Record};
use futures_util::future::{BoxFuture, join_all};

type Reopened = fn(Place) -> BoxFuture<'static, ()>;

/// Every case, with its name.
pub(super) const CASES: &[(&str, Reopened)] = &[
    ("what_was_answered_stays", |place| Box::pin(what_was_answered_stays(place))),
    ("two_see_each_other", |place| Box::pin(two_see_each_other(place))),
];

async fn what_was_answered_stays(place: Place) {
    let (kept, gone) = (named("kept"), named("gone"));
    let trial = Trial(place());
    trial.put(&kept, Expect::Any).await;
    trial.put(&kept, Expect::Any).await;
    trial.put(&gone, Expect::Any).await;
    assert!(trial.delete(&gone, Expect::Any).await);
    drop(trial);
    let trial = Trial(place());
    assert_eq!(trial.get(&kept).await, Some(Record { version: 2, ..kept.clone() }));
    assert_eq!(trial.names("agent", "acme", None, 10).await, ["kept"]);
    assert_eq!(trial.put(&kept, Expect::Version(2)).await, Put::Written(3));
    assert_eq!(trial.put(&gone, Expect::Absent).await, Put::Written(2), "a deleted name goes on counting");
}

async fn two_see_each_other(place: Place) {
    let one = named("one");
    let (ours, theirs) = (Trial(place()), Trial(place()));
    assert_eq!(ours.put(&one, Expect::Absent).await, Put::Written(1));
    assert_eq!(theirs.get(&one).await, Some(Record { version: 1, ..one.clone() }));
    assert_eq!(theirs.put(&one, Expect::Absent).await, Put::Conflict(Some(1)));
    for version in 1..=10 {
        let puts = [&ours, &theirs, &ours, &theirs].map(|trial| trial.put(&one, Expect::Version(version)));
        let puts = join_all(puts).await;
        let first = puts.iter().filter(|put| matches!(put, Put::Written(_))).count();
        assert_eq!(first, 1, "of four that expected version {version}: {puts:?}");
    }
    assert!(theirs.delete(&one, Expect::Version(11)).await);
    assert_eq!(ours.get(&one).await, None);
}
