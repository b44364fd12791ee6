use super::*;
use crate::memory::tests::records;

fn owner(tenant: &str, user: &str) -> Owner {
    Owner { tenant: tenant.into(), user: user.into() }
}

fn cx(owner: &Owner, at: i64) -> ActivityCx {
    ActivityCx { session: Some("s".into()), now: Time(at), ..crate::memory::tests::cx(owner) }
}

fn new(text: &str, confidence: f32) -> NewFact {
    NewFact { text: text.into(), confidence, replaces: Vec::new() }
}

async fn remember(owner: &Owner, user: &str, run: &str, facts: Vec<NewFact>) -> Vec<Fact> {
    let at = run.len() as i64;
    let remember = RememberFacts { user: user.into(), facts, from_run: run.into() };
    remember.run(cx(owner, at)).await.unwrap()
}

async fn recall(owner: &Owner, user: &str, query: &str) -> Vec<String> {
    let recall = RecallFacts { user: user.into(), query: query.into(), limit: 3 };
    recall.run(cx(owner, 0)).await.unwrap().into_iter().map(|fact| fact.text).collect()
}

#[tokio::test]
async fn a_fact_said_again_is_one_fact_with_two_sources() {
    let (records, owner) = (records(), owner("again", "local"));
    let first = remember(&owner, "ann", "r1", vec![new("Ann lives in Bern.", 0.6), new("Ann has a cat.", 0.9)]).await;
    assert_eq!((first.len(), first[0].sources[0].session_id.as_deref()), (2, Some("s")));
    let again = remember(&owner, "ann", "run-2", vec![new("  ann lives in BERN", 0.8)]).await;
    assert_eq!((again[0].id.as_str(), again[0].confidence), (first[0].id.as_str(), 0.8));
    let runs: Vec<_> = again[0].sources.iter().map(|source| source.run_id.as_str()).collect();
    assert_eq!((runs, again[0].learned_at, again[0].updated_at), (vec!["r1", "run-2"], Time(2), Time(5)));
    assert_eq!(remember(&owner, "ann", "run-2", vec![new("Ann lives in Bern", 0.1)]).await, again, "sent twice");
    assert_eq!(of(records.as_ref(), &owner, "ann").await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_by_now_is_replaced_and_no_fact_is_no_fact() {
    let (records, owner) = (records(), owner("replaced", "local"));
    let old = remember(&owner, "ann", "r1", vec![new("Ann lives in Bern.", 0.9)]).await.remove(0);
    let moved = NewFact { replaces: vec![old.id], ..new("Ann lives in Basel.", 0.9) };
    remember(&owner, "ann", "r2", vec![moved, new("?!", 1.0), new(&"x".repeat(501), 1.0)]).await;
    let facts = of(records.as_ref(), &owner, "ann").await.unwrap();
    assert_eq!(facts.iter().map(|fact| fact.text.as_str()).collect::<Vec<_>>(), ["Ann lives in Basel."]);
}

#[tokio::test]
async fn the_query_decides_what_comes_first() {
    let owner = owner("ranked", "local");
    records();
    let facts = ["The user has a cat.", "The user pays by card.", "The user lives in Bern.", "The user is a nurse."];
    for (n, fact) in facts.into_iter().enumerate() {
        remember(&owner, "u", &"r".repeat(n + 1), vec![new(fact, 0.5)]).await;
    }
    assert_eq!(recall(&owner, "u", "Is the card of the user blocked?").await[0], "The user pays by card.");
    assert_eq!(
        recall(&owner, "u", "").await,
        ["The user is a nurse.", "The user lives in Bern.", "The user pays by card."]
    );
    assert_eq!(recall(&owner, "nobody", "card").await, [""; 0]);
}

#[tokio::test]
async fn a_user_is_bounded_and_the_least_certain_go() {
    let (records, owner) = (records(), owner("bounded", "local"));
    let fact = |n: usize| new(&format!("Fact number {n}"), if n.is_multiple_of(2) { 0.9 } else { 0.2 });
    for run in 0..3 {
        let facts = (run * 100..run * 100 + 100).map(fact).collect();
        remember(&owner, "u", &"r".repeat(run + 1), facts).await;
    }
    let kept = of(records.as_ref(), &owner, "u").await.unwrap();
    assert_eq!(kept.len(), FACTS_MAX);
    assert_eq!(kept.iter().filter(|fact| fact.confidence > 0.5).count(), 150);
    let number = |fact: &Fact| fact.text["Fact number ".len()..].parse::<usize>().unwrap();
    assert!(kept.iter().all(|fact| fact.confidence > 0.5 || number(fact) >= 200), "of the doubtful the oldest went");
}

#[tokio::test]
async fn nobody_reads_or_forgets_what_is_somebody_elses() {
    let records = records();
    let (ann, bob, other) = (owner("walls", "ann"), owner("walls", "bob"), owner("walls-2", "ann"));
    let fact = remember(&ann, "u", "r1", vec![new("A secret.", 1.0)]).await.remove(0);
    for stranger in [&bob, &other] {
        assert_eq!(recall(stranger, "u", "secret").await, [""; 0]);
        let may = |of: &Owner| of == stranger;
        assert_eq!(forget(records.as_ref(), &stranger.tenant, &fact.id, Time(9), may).await, Ok(false));
    }
    assert_eq!(all(records.as_ref(), "walls", Some("bob"), None).await.unwrap(), []);
    assert_eq!(all(records.as_ref(), "walls", None, Some("u")).await.unwrap().len(), 1);
    assert_eq!(forget(records.as_ref(), "walls", &fact.id, Time(9), |of: &Owner| *of == ann).await, Ok(true));
    assert_eq!(recall(&ann, "u", "secret").await, [""; 0]);
    for id in ["", "ä", "nope", &fact.id] {
        assert_eq!(forget(records.as_ref(), "walls", id, Time(9), |_: &Owner| true).await, Ok(false));
    }
}

#[tokio::test]
async fn facts_are_cleared_by_user_by_owner_and_by_tenant() {
    let records = records();
    for (owner_name, user) in [("ann", "u"), ("ann", "v"), ("bob", "u"), ("cy", "w")] {
        let facts = vec![new("Has a cat.", 1.0), new("Has a dog.", 1.0)];
        remember(&owner("cleared", owner_name), user, "r1", facts).await;
    }
    let clear = async |owner, user| clear(records.as_ref(), "cleared", owner, user).await.unwrap();
    assert_eq!((clear(Some("ann"), Some("u")).await, clear(Some("ann"), Some("u")).await), (2, 0));
    assert_eq!((clear(Some("ann"), None).await, clear(None, Some("u")).await, clear(None, None).await), (2, 2, 2));
}
