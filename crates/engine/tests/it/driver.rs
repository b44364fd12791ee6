//! The engine with threads and tokio, on the memory store.

use crate::activities::registry;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Retry};
use tutti_engine::driver::{Engine, Message, Options, Ports, Sent, SubmitError};
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{CancelRequested, ChildStarted, Decision, Signal, Verdict};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_engine::ports::store::{Label, ListRuns};
use tutti_engine::run::{Once, RunNo, Status, Submit};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::{Ctx, Limits, Registry, Result, Traces};

const LONG: Duration = Duration::from_secs(20);

fn submit(workflow: &str, input: &Value) -> Submit {
    Submit::new(workflow, Bytes::from(input.to_string()))
}

async fn engine(registry: Registry) -> (Engine, Ports) {
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    (again(&ports, registry).await, ports)
}

/// Another life on the same store.
async fn again(ports: &Ports, registry: Registry) -> Engine {
    let core = CoreOptions { park_after: Duration::from_millis(200), ..CoreOptions::default() };
    Engine::start(ports.clone(), registry, Options { core, ..Options::default() }).await.unwrap()
}

/// Answers when told to.
#[derive(Serialize, Deserialize)]
struct Hang;

impl Activity for Hang {
    type Output = String;
    const NAME: &'static str = "hang";
    async fn run(self, cx: ActivityCx) -> std::result::Result<String, ActivityError> {
        if let Some(deltas) = &cx.deltas {
            deltas.push("half a ");
        }
        std::future::pending().await
    }
}

async fn hanging(ctx: Ctx, _: Value) -> Result<String> {
    ctx.call("ask", Hang).traces(Traces::Agent).agent("slow").await
}

static FLAKY: AtomicU32 = AtomicU32::new(0);

/// Fails twice in passing, then streams an answer.
#[derive(Serialize, Deserialize)]
struct Flaky;

impl Activity for Flaky {
    type Output = String;
    const NAME: &'static str = "flaky";
    async fn run(self, cx: ActivityCx) -> std::result::Result<String, ActivityError> {
        let n = FLAKY.fetch_add(1, Ordering::SeqCst);
        assert_eq!(cx.attempt, n + 1);
        let deltas = cx.deltas.unwrap();
        deltas.push("one ");
        if n < 2 {
            return Err(ActivityError::retry("LlmError", "broken off"));
        }
        deltas.push("two");
        Ok("one two".into())
    }
    fn strip(output: &mut String) {
        output.clear();
    }
    fn restore(output: &mut String, streamed: &str) {
        streamed.clone_into(output);
    }
}

async fn flaky(ctx: Ctx, _: Value) -> Result<String> {
    let retry = Retry { tries_max: 3, first_ms: 1, cap_ms: 2 };
    ctx.call("ask", Flaky).retry(retry).traces(Traces::Agent).agent("flaky").await
}

async fn panics(ctx: Ctx, _: Value) -> Result<String> {
    ctx.step("before", || 1).await?;
    panic!("this workflow is broken")
}

async fn foreign(_: Ctx, _: Value) -> Result<String> {
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_accepted_and_ends() {
    let (engine, _) = engine(registry()).await;
    let done = engine.submit_and_wait(submit("chain", &json!(3)), LONG).await.unwrap();
    assert_eq!(done.status, Status::Completed);
    assert_eq!(done.end.unwrap().output.unwrap().get(), r#""start012""#);
    let entries = engine.entries(done.run, 0, 100).await.unwrap();
    assert_eq!(engine.read(done.run, &done.journal).await.unwrap(), entries, "who waits has the journal at hand");
    assert!(entries.iter().map(|e| e.seq).eq(1..=entries.len() as u32), "numbered from 1 without a gap");
    assert_eq!(entries.first().unwrap().kind, Kind::RunQueued);
    assert_eq!(entries.last().unwrap().kind, Kind::RunCompleted);
    let unknown = engine.submit(submit("nope", &json!(1))).await.unwrap_err();
    assert_eq!(unknown, SubmitError::UnknownWorkflow("nope".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_stops_a_call_in_flight() {
    let (engine, _) = engine(registry().with("hanging", 1, hanging)).await;
    let mut asked = submit("hanging", &json!(null));
    asked.stream = true;
    let run = engine.submit(asked).await.unwrap().run;
    let mut events = engine.follow(run, 0);
    let mut seen = Vec::new();
    while !seen.contains(&Kind::AgentDelta) {
        seen.extend(events.next().await.unwrap().unwrap().into_iter().map(|e| e.kind));
    }
    let cancel = Message::Cancel(CancelRequested { by: "test".into(), reason: None });
    assert_eq!(engine.send(run, cancel.clone()).await.unwrap(), Sent::Taken);
    let (status, _) = engine.wait(run, LONG).await.unwrap().unwrap();
    assert_eq!(status, Status::Cancelled);
    while let Some(more) = events.next().await.unwrap() {
        seen.extend(more.into_iter().map(|e| e.kind));
    }
    assert!(seen.ends_with(&[Kind::CancelRequested, Kind::StepCancelled, Kind::RunCancelled]), "{seen:?}");
    assert_eq!(engine.send(run, cancel).await.unwrap(), Sent::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_answer_retracts_its_pieces_and_is_stored_once() {
    let (engine, _) = engine(registry().with("flaky", 1, flaky)).await;
    let mut asked = submit("flaky", &json!(null));
    asked.stream = true;
    let done = engine.submit_and_wait(asked, LONG).await.unwrap();
    assert_eq!(done.end.unwrap().output.unwrap().get(), r#""one two""#);
    let entries = engine.entries(done.run, 0, 100).await.unwrap();
    let count = |kind| entries.iter().filter(|e| e.kind == kind).count();
    assert_eq!((count(Kind::AgentRetracted), count(Kind::StepRetrying)), (2, 2));
    let message: Value =
        serde_json::from_slice(&entries.iter().find(|e| e.kind == Kind::AgentMessage).unwrap().body).unwrap();
    assert_eq!((&message["text"], &message["output"], &message["attempt"]), (&json!("one two"), &json!(""), &json!(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_parks_survives_a_restart_and_hears_signals_and_people() {
    let (engine, ports) = engine(registry()).await;
    let run = engine.submit(submit("patient", &json!(null))).await.unwrap().run;
    let mut events = engine.follow(run, 0);
    let mut seen = Vec::new();
    while !seen.contains(&Kind::RunWaiting) {
        seen.extend(events.next().await.unwrap().unwrap().into_iter().map(|e| e.kind));
    }
    engine.shutdown(Duration::ZERO).await;

    let engine = again(&ports, registry()).await;
    let payload = serde_json::value::to_raw_value("hello").unwrap();
    let signal = Message::Signal { dedup: Some("1".into()), signal: Signal { name: "word".into(), payload } };
    assert_eq!(engine.send(run, signal.clone()).await.unwrap(), Sent::Taken);
    assert_eq!(engine.send(run, signal).await.unwrap(), Sent::Duplicate);
    let mut events = engine.follow(run, 0);
    let mut seen = Vec::new();
    while !seen.contains(&Kind::ApprovalRequested) {
        seen.extend(events.next().await.unwrap().unwrap().into_iter().map(|e| e.kind));
    }
    let approve = |decision| {
        Message::Approval(Decision { approval_id: "pay".into(), decision, by: None, note: None, input: None })
    };
    assert_eq!(engine.send(run, approve(Verdict::Approve)).await.unwrap(), Sent::Taken);
    assert_eq!(engine.send(run, approve(Verdict::Reject)).await.unwrap(), Sent::Duplicate, "the first answer counts");
    let (status, ended) = engine.wait(run, LONG).await.unwrap().unwrap();
    assert_eq!(status, Status::Completed);
    assert_eq!(ended.output.unwrap().get(), r#"{"word":"hello","verdict":"approve"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_once_key_is_the_same_run() {
    let (engine, _) = engine(registry()).await;
    let once = |body| {
        let mut asked = submit("chain", &json!(1));
        asked.once = Some(Once { scope: [7; 16], body: [body; 16] });
        asked
    };
    let all = futures_util::future::join_all((0..20).map(|_| engine.submit_and_wait(once(1), LONG))).await;
    let first = all[0].as_ref().unwrap().id;
    assert!(all.iter().all(|a| a.as_ref().unwrap().id == first && a.as_ref().unwrap().end.is_some()));
    assert_eq!(all.iter().filter(|a| !a.as_ref().unwrap().replayed).count(), 1);
    assert_eq!(engine.submit(once(2)).await.unwrap_err(), SubmitError::OnceConflict { id: first });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_run_is_blocked_and_others_go_on() {
    let (engine, _) = engine(registry().with("panics", 1, panics).with("foreign", 1, foreign)).await;
    let poison = engine.submit(submit("panics", &json!(null))).await.unwrap().run;
    let foreign = engine.submit_and_wait(submit("foreign", &json!(null)), LONG).await.unwrap();
    assert_eq!(foreign.status, Status::Blocked);
    let fine = engine.submit_and_wait(submit("chain", &json!(2)), LONG).await.unwrap();
    assert_eq!(fine.status, Status::Completed);
    let (status, ended) = engine.wait(poison, LONG).await.unwrap().unwrap();
    assert_eq!(status, Status::Blocked);
    assert!(ended.error.unwrap().message.contains("poison"));
    let claims = engine.entries(poison, 0, 100).await.unwrap();
    assert_eq!(claims.iter().filter(|e| e.kind == Kind::EngineClaimed).count(), 5);
}

/// Reads on until an entry of this kind has come.
async fn until(engine: &Engine, run: RunNo, kind: Kind) {
    let mut events = engine.follow(run, 0);
    while let Some(more) = events.next().await.unwrap() {
        if more.iter().any(|e| e.kind == kind) {
            return;
        }
    }
    panic!("run {} has no {}", run.0, kind.as_str());
}

async fn cancel(engine: &Engine, run: RunNo) {
    engine.send(run, Message::Cancel(CancelRequested { by: "test".into(), reason: None })).await.unwrap();
}

async fn waits_for_a_child(ctx: Ctx, _: Value) -> Result<Value> {
    ctx.child("c", "patient", &Value::Null).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_run_can_be_cancelled_and_its_child_stops_with_it() {
    let (engine, ports) = engine(registry().with("parent", 1, waits_for_a_child)).await;
    let budget = Some(Limits { tokens: Some(1_000), cost: None, purchases: None });
    let submit = Submit { budget, ..submit("parent", &json!(null)) };
    let run = engine.submit(submit).await.unwrap().run;
    until(&engine, run, Kind::ChildStarted).await;
    let started = engine.entries(run, 0, 100).await.unwrap().into_iter().find(|e| e.kind == Kind::ChildStarted);
    let child = serde_json::from_slice::<ChildStarted>(&started.unwrap().body).unwrap().run;
    engine.shutdown(Duration::ZERO).await;

    // This program does not know the parent any more.
    let engine = again(&ports, registry()).await;
    until(&engine, run, Kind::RunBlocked).await;
    cancel(&engine, run).await;
    until(&engine, child, Kind::RunCancelled).await;
    assert_eq!(engine.wait(run, LONG).await.unwrap().unwrap().0, Status::Cancelled);
}

/// Loses a race against nothing in the poll that ends the run.
async fn ends_at_once(ctx: Ctx, _: Value) -> Result<bool> {
    let (slow, fast) = (ctx.scope("race", "slow"), ctx.scope("race", "fast"));
    let (first, _) = ctx
        .race(vec![
            Box::pin(async move { slow.child("c", "patient", &Value::Null).await.map(|_: Value| ()) }),
            Box::pin(async move { fast.sleep("nap", Duration::from_millis(20)).await }),
        ])
        .await;
    Ok(first == 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_is_dropped_as_its_parent_ends_is_cancelled() {
    let (engine, _) = engine(registry().with("parent", 1, ends_at_once)).await;
    let done = engine.submit_and_wait(submit("parent", &json!(null)), LONG).await.unwrap();
    let entries = engine.entries(done.run, 0, 100).await.unwrap();
    let started = entries.into_iter().find(|e| e.kind == Kind::ChildStarted).unwrap();
    let child = serde_json::from_slice::<ChildStarted>(&started.body).unwrap().run;
    until(&engine, child, Kind::RunCancelled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_past_its_time_ends_timed_out() {
    let (engine, _) = engine(registry().with("hanging", 1, hanging)).await;
    let mut asked = submit("hanging", &json!(null));
    asked.timeout_ms = Some(30);
    let done = engine.submit_and_wait(asked, LONG).await.unwrap();
    assert_eq!(done.status, Status::TimedOut);
    assert_eq!(done.end.unwrap().error.unwrap().class, "Timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_gives_runs_back_and_the_next_life_goes_on() {
    let (engine, ports) = engine(registry().with("hanging", 1, hanging)).await;
    let run = engine.submit(submit("hanging", &json!(null))).await.unwrap().run;
    engine.shutdown(Duration::ZERO).await;
    assert_eq!(engine.submit(submit("chain", &json!(1))).await.unwrap_err(), SubmitError::Stopping);
    let journal = engine.entries(run, 0, 100).await.unwrap();
    assert_eq!(journal.last().unwrap().kind, Kind::EngineReleased);

    let engine = again(&ports, registry().with("hanging", 1, hanging)).await;
    let mut events = engine.follow(run, journal.len() as u32);
    let kinds: Vec<_> = events.next().await.unwrap().unwrap().into_iter().map(|e| e.kind).collect();
    assert_eq!(kinds[0], Kind::EngineClaimed);
    engine.send(run, Message::Cancel(CancelRequested { by: "test".into(), reason: None })).await.unwrap();
    assert_eq!(engine.wait(run, LONG).await.unwrap().unwrap().0, Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_runs_than_fit_into_memory_wait_as_rows_and_all_end() {
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    let options = Options { live_runs_max: 2, shards: 2, ..Options::default() };
    let engine = Engine::start(ports, registry(), options).await.unwrap();
    let all = futures_util::future::join_all((0..60).map(|_| engine.submit_and_wait(submit("chain", &json!(2)), LONG)));
    for done in all.await {
        assert_eq!(done.unwrap().end.unwrap().output.unwrap().get(), r#""start01""#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_bound_nothing_is_begun() {
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    let engine = Engine::start(ports, registry(), Options { submits_max: 0, ..Options::default() }).await.unwrap();
    let refused = engine.submit(submit("chain", &json!(1))).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Busy(_)), "{refused}");
    assert_eq!(engine.store().list(Default::default()).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_run_waits_for_its_time_and_can_be_cancelled_before() {
    let (engine, _) = engine(registry()).await;
    let later = |ms| {
        let mut asked = submit("chain", &json!(1));
        asked.schedule_at = Some(engine.now().after(Duration::from_millis(ms)));
        asked
    };
    let soon = engine.submit_and_wait(later(50), LONG).await.unwrap();
    assert_eq!(soon.status, Status::Completed);
    let never = engine.submit(later(3_600_000)).await.unwrap();
    assert_eq!(never.status, Status::Queued);
    engine.send(never.run, Message::Cancel(CancelRequested { by: "test".into(), reason: None })).await.unwrap();
    assert_eq!(engine.wait(never.run, LONG).await.unwrap().unwrap().0, Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_runs_leave_when_retention_says_so() {
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    let retention = tutti_engine::driver::Retention { age: Duration::from_secs(3600), runs_max: 3 };
    let engine = Engine::start(ports, registry(), Options { retention, ..Options::default() }).await.unwrap();
    for _ in 0..5 {
        engine.submit_and_wait(submit("chain", &json!(1)), LONG).await.unwrap();
    }
    assert_eq!(engine.prune(true).await.unwrap(), 2);
    assert_eq!(engine.prune(false).await.unwrap(), 2);
    assert_eq!(
        engine
            .store()
            .list(tutti_engine::ports::store::ListRuns { limit: 10, ..Default::default() })
            .await
            .unwrap()
            .len(),
        3
    );
}

/// A large body goes to a blob and comes back, also through a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_live_in_blobs() {
    async fn large(ctx: Ctx, n: usize) -> Result<usize> {
        let text: String = ctx.step("big", || "x".repeat(n)).await?;
        let _: Option<Value> = ctx.wait_for("go", None).await?;
        Ok(text.len())
    }
    let registry = || registry().with("large", 1, large);
    let (engine, ports) = engine(registry()).await;
    let run = engine.submit(submit("large", &json!(100_000))).await.unwrap().run;
    let mut events = engine.follow(run, 0);
    let mut longest = 0;
    let mut is_waiting = false;
    while !is_waiting {
        for entry in events.next().await.unwrap().unwrap() {
            longest = longest.max(entry.body.len());
            is_waiting |= entry.kind == Kind::RunWaiting;
        }
    }
    assert_eq!(longest, 100_002);
    engine.shutdown(Duration::ZERO).await;
    let engine = again(&ports, registry()).await;
    let payload = serde_json::value::to_raw_value(&1).unwrap();
    engine.send(run, Message::Signal { dedup: None, signal: Signal { name: "go".into(), payload } }).await.unwrap();
    assert_eq!(engine.wait(run, LONG).await.unwrap().unwrap().1.output.unwrap().get(), "100000");
}

#[tokio::test]
async fn a_label_of_an_open_run_is_gone_when_it_has_ended_however_it_ended() {
    async fn labelled(ctx: Ctx, _: Value) -> Result<()> {
        ctx.label_while_open("colour", "red");
        ctx.label("size", "large");
        ctx.call("go", Quick).await?;
        ctx.wait_for::<Value>("go", None).await.map(drop)
    }
    let (engine, ports) = engine(Registry::new().with("labelled", 1, labelled)).await;
    let found = async |name: &'static str, value: &str| {
        let labels = vec![Label::new(name, value)];
        ports.store.list(ListRuns { labels, limit: 9, ..ListRuns::default() }).await.unwrap().len()
    };
    for (n, ends_by_itself) in [true, false].into_iter().enumerate() {
        let run = engine.submit(submit("labelled", &Value::Null)).await.unwrap().run;
        let mut events = engine.follow(run, 0);
        while found("colour", "red").await == 0 {
            events.next().await.unwrap().expect("it waits");
        }
        let signal = Signal { name: "go".into(), payload: serde_json::value::to_raw_value(&1).unwrap() };
        let message = match ends_by_itself {
            true => Message::Signal { dedup: None, signal },
            false => Message::Cancel(CancelRequested { by: "me".into(), reason: None }),
        };
        engine.send(run, message).await.unwrap();
        engine.wait(run, LONG).await.unwrap().expect("it ends");
        assert_eq!((found("colour", "red").await, found("size", "large").await), (0, n + 1));
    }
}

/// Answers at once.
#[derive(Serialize, Deserialize)]
struct Quick;

impl Activity for Quick {
    type Output = ();
    const NAME: &'static str = "quick";
    async fn run(self, _: ActivityCx) -> std::result::Result<(), ActivityError> {
        Ok(())
    }
}
