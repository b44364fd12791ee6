//! Lists: by name, page by page, one kind of one tenant.

use super::{Case, Trial, good, named};
use crate::ports::records::{Expect, Record};

pub(super) const CASES: &[Case] = &[
    Case { name: "names_are_in_the_order_of_their_bytes", run: |trial| Box::pin(bytes_order(trial)) },
    Case { name: "kinds_and_tenants_are_apart", run: |trial| Box::pin(kinds_and_tenants_are_apart(trial)) },
    Case { name: "pages_follow_each_other", run: |trial| Box::pin(pages_follow_each_other(trial)) },
];

async fn bytes_order(trial: Trial) {
    // No language's order: what a cursor means must not depend on a machine's settings.
    let names = ["", " ", "-", "A", "B", "Z", "_", "a", "a b", "a-b", "aB", "ab", "b", "é", "ü", "🦀"];
    for name in names.iter().rev() {
        trial.put(&named(name), Expect::Any).await;
    }
    assert_eq!(trial.names("agent", "acme", None, 100).await, names);
    for (at, name) in names.iter().enumerate() {
        assert_eq!(trial.names("agent", "acme", Some(name), 100).await, names[at + 1..], "after {name:?}");
    }
    assert_eq!(trial.names("agent", "acme", Some("Zz"), 2).await, ["_", "a"], "after a name that is not there");
}

async fn kinds_and_tenants_are_apart(trial: Trial) {
    let of = |kind: &str, tenant: &str, name: &str| Record { kind: kind.into(), tenant: tenant.into(), ..named(name) };
    let all = [of("agent", "acme", "b"), of("agent", "acm", "a"), of("agent", "acmee", "c"), of("agents", "acme", "d")];
    for record in &all {
        trial.put(record, Expect::Absent).await;
    }
    for record in all {
        let page = good(trial.0.list(&record.kind, &record.tenant, None, 100)).await;
        assert_eq!(page, [Record { version: 1, ..record }]);
    }
    for (kind, tenant) in [("agent", ""), ("", "acme"), ("agent", "ACME"), ("tool", "acme")] {
        assert!(trial.names(kind, tenant, None, 100).await.is_empty(), "{kind:?} {tenant:?}");
    }
}

async fn pages_follow_each_other(trial: Trial) {
    let name = |n: usize| format!("a{n:03}");
    for n in 0..250 {
        trial.put(&named(&name(n)), Expect::Any).await;
    }
    // What was deleted leaves no gap in a page.
    for n in (0..250).filter(|n| n % 5 == 0) {
        trial.delete(&named(&name(n)), Expect::Any).await;
    }
    let left: Vec<_> = (0..250).filter(|n| n % 5 != 0).map(name).collect();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = trial.names("agent", "acme", after.as_deref(), 60).await;
        assert_eq!(page.len(), 60.min(left.len() - found.len()));
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page);
    }
    assert_eq!(found, left);
    assert!(trial.names("agent", "acme", None, 0).await.is_empty());
    assert_eq!(trial.names("agent", "acme", None, u32::MAX).await.len(), left.len());
}
