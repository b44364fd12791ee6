//! Whose memory is cleared: users that several owners serve, under labels of the same name.

use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tutti_app::{App, Caller, Class, Options, Role, Roles, memory};
use tutti_engine::Registry;
use tutti_engine::driver::{Engine, Options as EngineOptions, Ports};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_engine::run::{Owner, Submit};
use tutti_workflows::noop;

const LONG: Duration = Duration::from_secs(60);

fn caller(user: &'static str, role: Role) -> Caller {
    Caller { user: user.into(), roles: Roles::NONE.with(role), ..Caller::local() }
}

/// A turn of a session, for a user that its owner serves.
async fn say(engine: &Engine, owner: &str, session: &str, user: Option<&str>) {
    let submit = Submit {
        owner: Owner { tenant: "default".into(), user: owner.into() },
        session: Some(session.into()),
        labels: user.into_iter().map(memory::label).collect(),
        ..Submit::new(noop::NAME, Bytes::from_static(br#"{"steps":1}"#))
    };
    engine.submit_and_wait(submit, LONG).await.unwrap();
}

/// The sessions of these owners that have a turn which later runs read.
async fn remembered(engine: &Engine) -> Vec<String> {
    let mut left = Vec::new();
    for (owner, session) in [("bob", "for-ann"), ("bob", "for-cy"), ("bob", "own"), ("dan", "for-ann"), ("ann", "own")]
    {
        let whose = Owner { tenant: "default".into(), user: owner.into() };
        let row = engine.store().session(whose, session.into()).await.unwrap().unwrap();
        let context = engine.context(&row, tutti_engine::session::Window::default()).await.unwrap();
        if context.read.from <= context.read.head {
            left.push(format!("{owner}/{session}"));
        }
    }
    left
}

async fn five_sessions() -> (App, Engine) {
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    let engine = Engine::start(ports, noop::register(Registry::new()), EngineOptions::default()).await.unwrap();
    for _ in 0..2 {
        say(&engine, "bob", "for-ann", Some("ann")).await;
        say(&engine, "bob", "for-cy", Some("cy")).await;
        say(&engine, "bob", "own", None).await;
        say(&engine, "dan", "for-ann", Some("ann")).await;
        say(&engine, "ann", "own", None).await;
    }
    (App::new(engine.clone(), Options::default()), engine)
}

async fn clear(app: &App, caller: &Caller, body: Value) -> u64 {
    let body = json!({"what": ["conversations"], "user_id": body["user_id"], "all": body["all"]});
    app.clear_memory(caller, &body).await.unwrap().conversations.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_clears_the_users_it_serves_and_nobody_elses() {
    let (app, engine) = five_sessions().await;
    let bob = caller("bob", Role::Operator);
    assert_eq!(clear(&app, &bob, json!({"user_id": "ann"})).await, 1);
    assert_eq!(remembered(&engine).await, ["bob/for-cy", "bob/own", "dan/for-ann", "ann/own"]);
    assert_eq!(clear(&app, &bob, json!({"user_id": "ann"})).await, 0);
    assert_eq!(clear(&app, &bob, json!({"user_id": "bob"})).await, 2, "under its own name all that it owns");
    assert_eq!(remembered(&engine).await, ["dan/for-ann", "ann/own"]);
    let refused = app.clear_memory(&bob, &json!({"all": true})).await.unwrap_err();
    assert_eq!(refused.class, Class::PermissionDenied);
    assert_eq!(app.memory_stats(&bob).await.unwrap().conversations.count, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_clears_a_user_whoever_serves_it_and_the_tenant() {
    let (app, engine) = five_sessions().await;
    let admin = caller("root", Role::Admin);
    assert_eq!(app.memory_stats(&admin).await.unwrap().conversations.count, 5);
    assert_eq!(clear(&app, &admin, json!({"user_id": "ann"})).await, 3);
    assert_eq!(remembered(&engine).await, ["bob/for-cy", "bob/own"]);
    let stranger = Caller { tenant: "acme".into(), ..admin.clone() };
    assert_eq!(clear(&app, &stranger, json!({"all": true})).await, 0, "nothing crosses a tenant");
    assert_eq!(clear(&app, &admin, json!({"all": true})).await, 2);
    assert_eq!(remembered(&engine).await, [""; 0]);
}
