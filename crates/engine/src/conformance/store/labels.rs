//! Labels: what runs are found by, beside their own columns.

use super::topic;
use super::trial::{Trial, after, all, birth, rows};
use crate::ports::store::{Label, ListRuns, Receipt, Transition};
use crate::run::RunNo;

topic! { "labels":
    labels_find_runs,
}

async fn labels_find_runs(trial: Trial) {
    for run in 1..=4 {
        trial.write(birth(run)).await;
    }
    let label = |run, value: &str| (RunNo(run), Label::new("colour", value));
    let add = |run, labels: Vec<(RunNo, Label)>| Transition { labels, ..rows([after(run, 1, 4, 4, 1)]) };
    for (run, value) in [(1, "red"), (2, "blue"), (3, "red"), (4, "red")] {
        let size = (RunNo(run), Label::new("size", if run == 3 { "small" } else { "large" }));
        trial.commits(add(run, vec![label(run, value), size])).await;
    }
    let by = |labels: &[(&'static str, &str)]| {
        let labels = labels.iter().map(|(name, value)| Label::new(*name, *value)).collect();
        ListRuns { labels, ..all() }
    };
    assert_eq!(trial.listed(by(&[("colour", "red")])).await, [4, 3, 1]);
    assert_eq!(trial.listed(by(&[("colour", "red"), ("size", "large")])).await, [4, 1]);
    assert_eq!(trial.listed(ListRuns { before: Some(RunNo(4)), limit: 1, ..by(&[("colour", "red")]) }).await, [3]);
    assert_eq!(trial.listed(ListRuns { tenant: Some("other".into()), ..by(&[("colour", "red")]) }).await, [0; 0]);
    for unknown in [[("colour", "green")], [("shape", "red")]] {
        assert!(trial.listed(by(&unknown)).await.is_empty());
    }
    let changed = Transition { labels: vec![label(4, "blue")], ..rows([after(4, 4, 5, 5, 1)]) };
    trial.commits(changed).await;
    assert_eq!(trial.listed(by(&[("colour", "blue")])).await, [4, 2], "the same name again replaces the value");
    let refused = Transition { labels: vec![label(2, "red")], ..rows([after(2, 1, 4, 4, 9)]) };
    assert!(matches!(trial.send(refused).await, Receipt::Refused(_)));
    assert_eq!(trial.listed(by(&[("colour", "red")])).await, [3, 1]);
}
