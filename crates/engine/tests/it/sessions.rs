//! Sessions with threads and tokio: who waits for whom, and what a run reads.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};
use tutti_engine::driver::{Accepted, Engine, Entry, Message, Options, Ports, Recall, Sent, SubmitError};
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{CancelRequested, Decision, Ended, Queued, SessionRead, Signal, Verdict};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_engine::ports::store::ListTurns;
use tutti_engine::run::{Once, Owner, RunNo, Status, Submit};
use tutti_engine::session::{OnBusy, Said, SessionRow, Speaker, Terms, Window};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::{Ctx, Registry, Result};

const LONG: Duration = Duration::from_secs(20);

/// Never answers.
#[derive(Serialize, Deserialize)]
struct Hang;

impl Activity for Hang {
    type Output = String;
    const NAME: &'static str = "hang";
    async fn run(self, _: ActivityCx) -> std::result::Result<String, ActivityError> {
        std::future::pending().await
    }
}

/// Answers with everything that was said before.
async fn talk(ctx: Ctx, input: String) -> Result<String> {
    let said: Vec<String> = ctx.history().iter().map(|said| said.text.clone()).collect();
    let heard: String = ctx.step("heard", || said.join(" ")).await?;
    Ok(format!("{input}<{heard}>"))
}

/// As `talk`, once somebody says so.
async fn waits(ctx: Ctx, input: String) -> Result<String> {
    let before = ctx.history().len();
    let _: Option<Value> = ctx.wait_for("go", None).await?;
    assert_eq!(before, ctx.history().len());
    talk(ctx, input).await
}

async fn hangs(ctx: Ctx, _: Value) -> Result<String> {
    ctx.call("ask", Hang).await
}

async fn asks(ctx: Ctx, input: String) -> Result<String> {
    let decision = ctx.approval("may", &json!({"what": input}), None).await?;
    Ok(format!("{:?}", decision.decision))
}

async fn parent(ctx: Ctx, input: String) -> Result<Value> {
    ctx.child("part", "talk", &input).await
}

fn registry() -> Registry {
    Registry::new()
        .with("talk", 1, talk)
        .with("waits", 1, waits)
        .with("hangs", 1, hangs)
        .with("asks", 1, asks)
        .with("parent", 1, parent)
}

/// The input and the output.
fn recall(journal: &[Entry]) -> Vec<Said> {
    let queued: Queued = serde_json::from_slice(&journal[0].body).unwrap();
    let end = journal.last().unwrap();
    let ended: Ended = serde_json::from_slice(&end.body).unwrap();
    let said = |role, text: &str, at| Said {
        role,
        agent: None,
        text: serde_json::from_str(text).unwrap(),
        run_id: queued.run_id,
        at,
        stands_for: None,
    };
    vec![
        said(Speaker::User, queued.input.get(), journal[0].at),
        said(Speaker::Assistant, ended.output.unwrap().get(), end.at),
    ]
}

async fn life(ports: &Ports) -> Engine {
    let core = CoreOptions { park_after: Duration::from_millis(200), ..CoreOptions::default() };
    let options = Options { core, recall: Recall(Arc::new(recall)), shards: 2, ..Options::default() };
    Engine::start(ports.clone(), registry(), options).await.unwrap()
}

async fn engine() -> (Engine, Ports) {
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    (life(&ports).await, ports)
}

fn ask(workflow: &str, input: &str, on_busy: OnBusy) -> Submit {
    let mut submit = Submit::new(workflow, Bytes::from(json!(input).to_string()));
    submit.session = Some("s".into());
    submit.terms = Terms { on_busy, ..Terms::default() };
    submit
}

async fn say(engine: &Engine, input: &str) -> String {
    text(&engine.submit_and_wait(ask("talk", input, OnBusy::Queue), LONG).await.unwrap())
}

fn text(done: &Accepted) -> String {
    serde_json::from_str(done.end.as_ref().unwrap().output.as_ref().unwrap().get()).unwrap()
}

async fn end(engine: &Engine, run: RunNo) -> Status {
    engine.wait(run, LONG).await.unwrap().unwrap().0
}

async fn go(engine: &Engine, run: RunNo) {
    let payload = serde_json::value::to_raw_value("go").unwrap();
    let signal = Message::Signal { dedup: None, signal: Signal { name: "go".into(), payload } };
    assert_eq!(engine.send(run, signal).await.unwrap(), Sent::Taken);
}

async fn until(engine: &Engine, run: RunNo, kind: Kind) {
    let mut events = engine.follow(run, 0);
    while let Some(entries) = events.next().await.unwrap() {
        if entries.iter().any(|e| e.kind == kind) {
            return;
        }
    }
    panic!("run {} ended without {}", run.0, kind.as_str());
}

async fn status(engine: &Engine, run: RunNo) -> Status {
    engine.store().run(run).await.unwrap().unwrap().status
}

async fn session(engine: &Engine) -> SessionRow {
    engine.store().session(Owner::local(), "s".into()).await.unwrap().unwrap()
}

async fn turns(engine: &Engine) -> Vec<RunNo> {
    let no = session(engine).await.no;
    let all = ListTurns { session: no, from: 1, to: u32::MAX, voids: false, limit: 100 };
    engine.store().turns(all).await.unwrap().iter().rev().map(|t| t.run).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_reads_what_was_said_before() {
    let (engine, _) = engine().await;
    assert_eq!(say(&engine, "a").await, "a<>");
    assert_eq!(say(&engine, "b").await, "b<a a<>>");
    let done = engine.submit_and_wait(ask("talk", "c", OnBusy::Queue), LONG).await.unwrap();
    assert_eq!(text(&done), "c<a a<> b b<a a<>>>");
    let journal = engine.entries(done.run, 0, 100).await.unwrap();
    let notes: Vec<_> = journal.iter().filter(|e| e.kind == Kind::EngineSession).collect();
    let read: SessionRead = serde_json::from_slice(&notes[0].body).unwrap();
    assert_eq!((notes.len(), read), (1, SessionRead { head: 2, from: 1, skip: vec![] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_a_session_reads_and_writes_nothing_of_one() {
    let (engine, _) = engine().await;
    say(&engine, "a").await;
    let mut submit = ask("talk", "b", OnBusy::Queue);
    submit.session = None;
    let done = engine.submit_and_wait(submit, LONG).await.unwrap();
    assert_eq!(text(&done), "b<>");
    let kinds: Vec<_> = engine.entries(done.run, 0, 100).await.unwrap().iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [Kind::RunQueued, Kind::RunStarted, Kind::StepValue, Kind::RunCompleted]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_counts_messages_and_tokens_in_whole_turns() {
    let (engine, _) = engine().await;
    for n in 0..6 {
        engine.submit_and_wait(ask("parent", &n.to_string(), OnBusy::Queue), LONG).await.unwrap();
    }
    let row = session(&engine).await;
    let count = async |messages, tokens| {
        let context = engine.context(&row, Window { messages, tokens }).await.unwrap();
        (context.said.len(), context.read.from)
    };
    assert_eq!(count(5, 1_000).await, (4, 5));
    assert_eq!(count(100, 1_000).await, (12, 1));
    assert_eq!((count(1, 1_000).await, count(0, 1_000).await, count(100, 1).await), ((0, 7), (0, 7), (0, 7)));
    // "5" and "5<>" are one token each.
    assert_eq!(count(100, 4).await, (4, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_runs_go_one_after_the_other_in_order() {
    let (engine, _) = engine().await;
    let first = engine.submit(ask("waits", "0", OnBusy::Queue)).await.unwrap();
    let mut others = Vec::new();
    for n in 1..=5 {
        others.push(engine.submit(ask("parent", &n.to_string(), OnBusy::Queue)).await.unwrap());
    }
    assert!(others.iter().all(|run| run.status == Status::Queued));
    until(&engine, first.run, Kind::RunWaiting).await;
    assert_eq!(status(&engine, others[0].run).await, Status::Queued, "who waits keeps the lane");
    go(&engine, first.run).await;
    assert_eq!(end(&engine, others[4].run).await, Status::Completed);
    let expected: Vec<_> = [first.run].into_iter().chain(others.iter().map(|o| o.run)).collect();
    assert_eq!(turns(&engine).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn submits_at_once_do_not_overlap() {
    let (engine, _) = engine().await;
    let submits = (0..40).map(|n| {
        let submit = ask("talk", &n.to_string(), OnBusy::Queue);
        engine.submit_and_wait(submit, LONG)
    });
    for done in futures_util::future::join_all(submits).await {
        assert_eq!(done.unwrap().status, Status::Completed);
    }
    let runs = turns(&engine).await;
    assert!(runs.len() == 40 && runs.is_sorted(), "numbers rise in the order of the lane: {runs:?}");
    for (n, run) in (0..).zip(runs) {
        let journal = engine.entries(run, 0, 100).await.unwrap();
        let note = journal.iter().find(|e| e.kind == Kind::EngineSession).unwrap();
        let read: SessionRead = serde_json::from_slice(&note.body).unwrap();
        assert_eq!(read.head, n, "each read what all before it had said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_wait_is_refused_and_a_repeat_is_not() {
    let (engine, _) = engine().await;
    let once = |mut submit: Submit, scope| {
        submit.once = Some(Once { scope: [scope; 16], body: [1; 16] });
        submit
    };
    let ended = engine.submit_and_wait(once(ask("talk", "a", OnBusy::Reject), 1), LONG).await.unwrap();
    let first = engine.submit(once(ask("hangs", "b", OnBusy::Reject), 2)).await.unwrap();
    let busy = engine.submit(once(ask("talk", "c", OnBusy::Reject), 3)).await.unwrap_err();
    assert_eq!(busy, SubmitError::SessionBusy { id: first.id });
    for (scope, run) in [(1, ended.run), (2, first.run)] {
        let again = engine.submit(once(ask("talk", "x", OnBusy::Reject), scope)).await.unwrap();
        assert_eq!((again.run, again.replayed), (run, true));
    }
    let mut other = ask("talk", "d", OnBusy::Reject);
    other.session = Some("another".into());
    assert_eq!(engine.submit_and_wait(other, LONG).await.unwrap().status, Status::Completed);
    // The repeats left nobody in the lane.
    let last = engine.submit_and_wait(ask("talk", "e", OnBusy::Interrupt), LONG).await.unwrap();
    assert_eq!((text(&last), end(&engine, first.run).await), ("e<a a<>>".into(), Status::Cancelled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_cancels_who_stands_before_it() {
    let (engine, _) = engine().await;
    let holder = engine.submit(ask("hangs", "a", OnBusy::Queue)).await.unwrap();
    let queued = engine.submit(ask("talk", "b", OnBusy::Queue)).await.unwrap();
    let done = engine.submit_and_wait(ask("talk", "c", OnBusy::Interrupt), LONG).await.unwrap();
    assert_eq!((text(&done), end(&engine, holder.run).await), ("c<>".into(), Status::Cancelled));
    assert_eq!(end(&engine, queued.run).await, Status::Completed);
    assert_eq!(turns(&engine).await, [done.run, queued.run]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_takes_a_turn_back_that_came_too_early() {
    let (engine, ports) = engine().await;
    say(&engine, "a").await;
    let holder = engine.submit(ask("waits", "b", OnBusy::Queue)).await.unwrap();
    until(&engine, holder.run, Kind::RunWaiting).await;
    // The holder's word and the one that replaces it cross: it completes although somebody already stands behind it.
    let queued = engine.submit(ask("hangs", "x", OnBusy::Queue)).await.unwrap();
    engine.shutdown(Duration::ZERO).await;
    let transition = tutti_engine::ports::store::Transition {
        turns: vec![tutti_engine::ports::store::Turn { run: holder.run, at: engine.now() }],
        ..Default::default()
    };
    let (tell, told) = std::sync::mpsc::channel();
    ports.store.submit(vec![transition], Box::new(move |receipts| tell.send(receipts).unwrap()));
    told.recv().unwrap();
    let engine = life(&ports).await;
    assert_eq!(turns(&engine).await.len(), 2);
    let done = engine.submit_and_wait(ask("talk", "c", OnBusy::Rollback), LONG).await.unwrap();
    assert_eq!((text(&done), end(&engine, holder.run).await), ("c<a a<>>".into(), Status::Cancelled));
    let journal = engine.entries(done.run, 0, 100).await.unwrap();
    let note = journal.iter().find(|e| e.kind == Kind::EngineSession).unwrap();
    let read: SessionRead = serde_json::from_slice(&note.body).unwrap();
    assert_eq!(read, SessionRead { head: 2, from: 1, skip: vec![2] });
    assert_eq!(turns(&engine).await.len(), 2, "the first and the last");
    until(&engine, queued.run, Kind::StepStarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_runs_share_a_session() {
    let (engine, _) = engine().await;
    let holder = engine.submit(ask("hangs", "a", OnBusy::Queue)).await.unwrap();
    let beside = engine.submit_and_wait(ask("talk", "b", OnBusy::Parallel), LONG).await.unwrap();
    assert_eq!(text(&beside), "b<>");
    assert_eq!(status(&engine, holder.run).await, Status::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_so_gives_the_lane_up_while_it_waits() {
    let (engine, ports) = engine().await;
    let mut asks = ask("asks", "a", OnBusy::Queue);
    asks.terms.release_while_waiting = true;
    let patient = engine.submit(asks).await.unwrap();
    until(&engine, patient.run, Kind::RunWaiting).await;
    assert_eq!(say(&engine, "b").await, "b<>");
    engine.shutdown(Duration::ZERO).await;
    let engine = life(&ports).await;
    let holder = engine.submit(ask("hangs", "c", OnBusy::Queue)).await.unwrap();
    until(&engine, holder.run, Kind::StepStarted).await;
    let decision =
        Decision { approval_id: "may".into(), decision: Verdict::Approve, by: None, note: None, input: None };
    engine.send(patient.run, Message::Approval(decision)).await.unwrap();
    // It is answered, and goes on when the lane is free again.
    let cancel = CancelRequested { by: "test".into(), reason: None };
    engine.send(holder.run, Message::Cancel(cancel)).await.unwrap();
    assert_eq!(end(&engine, holder.run).await, Status::Cancelled);
    assert_eq!(end(&engine, patient.run).await, Status::Completed);
    assert_eq!(say(&engine, "d").await, "d<b b<> a Approve>");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_order_and_what_was_read() {
    let (engine, ports) = engine().await;
    say(&engine, "a").await;
    let holder = engine.submit(ask("waits", "b", OnBusy::Queue)).await.unwrap();
    until(&engine, holder.run, Kind::RunWaiting).await;
    let beside = engine.submit_and_wait(ask("talk", "x", OnBusy::Parallel), LONG).await.unwrap();
    let mut queued = Vec::new();
    for n in 0..10 {
        queued.push(engine.submit(ask("talk", &n.to_string(), OnBusy::Queue)).await.unwrap().run);
    }
    engine.shutdown(Duration::ZERO).await;

    let engine = life(&ports).await;
    queued.push(engine.submit(ask("talk", "last", OnBusy::Queue)).await.unwrap().run);
    go(&engine, holder.run).await;
    let (_, ended) = engine.wait(holder.run, LONG).await.unwrap().unwrap();
    assert_eq!(ended.output.unwrap().get(), r#""b<a a<>>""#, "the turn beside it came after it had read");
    for run in &queued {
        assert_eq!(end(&engine, *run).await, Status::Completed);
    }
    let first = turns(&engine).await[0];
    let expected: Vec<_> = [first, beside.run, holder.run].into_iter().chain(queued).collect();
    assert_eq!(turns(&engine).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_session_stops_its_runs_and_leaves_no_turns() {
    let (engine, _) = engine().await;
    say(&engine, "a").await;
    // One that has read what is removed, and waits outside memory; one that waits in line.
    let holder = engine.submit(ask("waits", "b", OnBusy::Queue)).await.unwrap();
    until(&engine, holder.run, Kind::RunWaiting).await;
    let queued = engine.submit(ask("talk", "c", OnBusy::Queue)).await.unwrap();
    let row = session(&engine).await;
    assert!(engine.remove_session(&row, "test").await.unwrap());
    assert!(!engine.remove_session(&row, "test").await.unwrap());
    for run in [holder.run, queued.run] {
        assert_eq!(end(&engine, run).await, Status::Cancelled);
    }
    assert_eq!(engine.store().session(Owner::local(), "s".into()).await.unwrap(), None);
    assert_eq!(say(&engine, "d").await, "d<>");
    assert_ne!(session(&engine).await.no, row.no);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_leaves_no_turn_and_frees_the_lane() {
    let (engine, _) = engine().await;
    let wrong = Submit { input: Bytes::from_static(b"7"), ..ask("talk", "", OnBusy::Queue) };
    let failed = engine.submit_and_wait(wrong, LONG).await.unwrap();
    assert_eq!(failed.status, Status::Failed);
    assert_eq!(say(&engine, "b").await, "b<>");
    assert_eq!(turns(&engine).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_approvals_are_counted() {
    use tutti_engine::ports::store::ListRuns;
    let (engine, _) = engine().await;
    let run = engine.submit(ask("asks", "a", OnBusy::Queue)).await.unwrap().run;
    let asking = async || {
        let found = engine.store().list(ListRuns { asking: true, limit: 9, ..ListRuns::default() }).await.unwrap();
        found.iter().map(|r| r.run).collect::<Vec<_>>()
    };
    until(&engine, run, Kind::RunWaiting).await;
    assert_eq!(asking().await, [run]);
    let decision = Decision { approval_id: "may".into(), decision: Verdict::Reject, by: None, note: None, input: None };
    engine.send(run, Message::Approval(decision)).await.unwrap();
    assert_eq!(end(&engine, run).await, Status::Completed);
    assert_eq!(asking().await, []);
}
