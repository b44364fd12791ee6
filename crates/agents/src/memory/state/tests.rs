use super::*;
use serde_json::json;

fn cx(user: &str, step: &str) -> ActivityCx {
    let owner = Owner { tenant: "states".into(), user: user.into() };
    ActivityCx { idempotency_key: Some(step.into()), ..crate::memory::tests::cx(&owner) }
}

fn session() -> Scope {
    Scope::Session("s".into())
}

async fn set(user: &str, step: &str, value: Option<Value>, expect: Option<u64>) -> Written {
    let set = SetState { scope: session(), key: "cart".into(), value, expect };
    set.run(cx(user, step)).await.unwrap()
}

async fn get(user: &str, scope: Scope) -> Option<(Value, u64)> {
    let found = GetState { scope, key: "cart".into() }.run(cx(user, "")).await.unwrap();
    found.map(|Versioned { value, version }| (value, version))
}

#[tokio::test]
async fn a_state_is_changed_by_who_knows_its_version_and_is_nobody_elses() {
    let records = crate::memory::tests::records();
    assert_eq!(get("ann", session()).await, None);
    assert_eq!(set("ann", "r/1", Some(json!({"n": 1})), Some(0)).await, Written::Done(Some(1)));
    assert_eq!(set("ann", "r/1", Some(json!({"n": 1})), Some(0)).await, Written::Done(Some(1)), "sent twice");
    assert_eq!(set("ann", "r/2", Some(json!({"n": 2})), Some(0)).await, Written::Conflict(Some(1)));
    assert_eq!(set("ann", "r/2", Some(json!({"n": 2})), Some(1)).await, Written::Done(Some(2)));
    assert_eq!(set("ann", "r/3", Some(json!({"n": 3})), None).await, Written::Done(Some(3)));
    assert_eq!(get("ann", session()).await, Some((json!({"n": 3}), 3)));
    for (user, scope) in [("bob", session()), ("ann", Scope::User("s".into())), ("ann", Scope::Session("t".into()))] {
        assert_eq!(get(user, scope).await, None);
    }
    assert_eq!(set("ann", "r/4", None, Some(2)).await, Written::Conflict(Some(3)));
    assert_eq!(set("ann", "r/4", None, Some(3)).await, Written::Done(None));
    assert_eq!(set("ann", "r/4", None, Some(3)).await, Written::Done(None), "sent twice");
    let large = SetState { scope: session(), key: "k".into(), value: Some(json!("x".repeat(70_000))), expect: None };
    assert!(!large.run(cx("ann", "r/5")).await.unwrap_err().is_retryable());
    let nameless = GetState { scope: session(), key: "\0".into() };
    assert!(nameless.run(cx("ann", "r/6")).await.is_err());

    for (user, step) in [("ann", "r/7"), ("bob", "r/8")] {
        set(user, step, Some(json!(1)), None).await;
    }
    let count = async |owner| count(records.as_ref(), "states", owner).await.unwrap();
    assert_eq!((count(None).await, count(Some("ann")).await), (2, 1));
    let other = Scope::User("s".into());
    assert_eq!(clear(records.as_ref(), "states", Some("ann"), Some(&other)).await, Ok(0));
    assert_eq!(clear(records.as_ref(), "states", Some("ann"), Some(&session())).await, Ok(1));
    assert_eq!((clear(records.as_ref(), "states", None, None).await, count(None).await), (Ok(1), 0));
}
