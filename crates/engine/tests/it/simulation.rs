//! Thousands of stories with crashes, unknown commits, stolen runs and cancels; and one crash at every single point.

use crate::activities::{answer, echo, registry};
use bytes::Bytes;
use serde_json::Value;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{CancelRequested, Decision, Inbox, Signal, Verdict};
use tutti_engine::ports::store::InboxItem;
use tutti_engine::run::{RunNo, Status, Submit};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::sim::{Faults, Report, Story, Violation, World, tell};
use tutti_engine::{Ctx, Registry};

fn world() -> World {
    World::new(answer).with_messages(|run, frames| {
        let is_asked = frames.iter().any(|f| f.kind == Kind::ApprovalRequested);
        if is_asked { vec![signal(run), approval(run)] } else { vec![signal(run)] }
    })
}

fn signal(run: RunNo) -> InboxItem {
    let payload = serde_json::value::to_raw_value("hello").unwrap();
    let body = serde_json::to_vec(&Signal { name: "word".into(), payload }).unwrap();
    InboxItem { run, dedup: "signal:word:1".into(), kind: Inbox::Signal as u8, body: body.into() }
}

fn approval(run: RunNo) -> InboxItem {
    let decision =
        Decision { approval_id: "pay".into(), decision: Verdict::Approve, by: None, note: None, input: None };
    let body = serde_json::to_vec(&decision).unwrap();
    InboxItem { run, dedup: "approval:pay".into(), kind: Inbox::Approval as u8, body: body.into() }
}

fn story(seed: u64, faults: Faults, crash_at: Option<u64>, broken_gate: bool) -> Story {
    let submit = |workflow: &str, input: &'static str| Submit::new(workflow, Bytes::from_static(input.as_bytes()));
    let mut streamed = submit("chain", "3");
    streamed.stream = true;
    let mut bounded = submit("chain", "5");
    bounded.timeout_ms = Some(200);
    let talk = |submit: Submit| Submit { session: Some("talk".into()), ..submit };
    let (streamed, bounded) = (talk(streamed), talk(bounded));
    Story {
        seed,
        runs: vec![submit("chain", "4"), talk(submit("everything", "3")), submit("patient", "null"), streamed, bounded],
        faults,
        crash_at,
        core: CoreOptions { broken_gate, abnormal_max: 1_000, ..CoreOptions::default() },
    }
}

fn run(story: Story) -> Result<Report, Violation> {
    tell(story, &registry(), world())
}

const STORM: Faults = Faults { crash: 8, unknown: 20, steal: 100, twice: 200, cancel: 4 };

fn seeds() -> u64 {
    std::env::var("TUTTI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1_000)
}

#[test]
fn without_faults_everything_completes() {
    for seed in 0..50 {
        let report = run(story(seed, Faults::default(), None, false)).unwrap_or_else(|v| panic!("seed {seed}: {v}"));
        for (i, end) in report.ends.iter().enumerate().take(4) {
            assert_eq!(*end, Some(Status::Completed), "seed {seed}, run {i}");
        }
        assert!(matches!(report.ends[4], Some(Status::Completed | Status::TimedOut)), "seed {seed}");
    }
}

#[test]
fn sim_a_storm_breaks_no_promise() {
    let (mut faults, mut cancelled) = (0, 0);
    for seed in 0..seeds() {
        let report = run(story(seed, STORM, None, false)).unwrap_or_else(|v| panic!("seed {seed}: {v}"));
        faults += report.faults;
        cancelled += report.ends.iter().filter(|e| **e == Some(Status::Cancelled)).count();
    }
    println!("{} seeds, {faults} faults, {cancelled} cancels", seeds());
    assert!(faults > seeds() && cancelled > 0, "the storm was no storm: {faults} faults, {cancelled} cancels");
}

#[test]
fn sim_a_crash_at_every_point_breaks_no_promise() {
    let points = run(story(7, Faults::default(), None, false)).unwrap().points;
    assert!(points > 50, "{points}");
    for at in 1..=points {
        let report = run(story(7, Faults::default(), Some(at), false)).unwrap_or_else(|v| panic!("crash at {at}: {v}"));
        let is_fine = |end: &Option<Status>| matches!(end, None | Some(Status::Completed));
        assert!(report.ends.iter().take(4).all(is_fine), "crash at {at}: {:?}", report.ends);
    }
    println!("{points} crash points");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..20 {
        let (a, b) = (run(story(seed, STORM, None, false)).unwrap(), run(story(seed, STORM, None, false)).unwrap());
        assert_eq!(a.trace, b.trace, "seed {seed}");
    }
}

#[test]
fn an_open_gate_is_noticed() {
    let noticed = (0..20).filter(|seed| run(story(*seed, STORM, None, true)).is_err()).count();
    assert_eq!(noticed, 20, "the checks must see that things leave too early");
}

/// A child that is stopped with its parent tells its parent so, also when it is taken over between the two.
#[test]
fn a_cancelled_family_ends_whatever_crashes() {
    let registry = Registry::new()
        .with("parent", 1, |ctx: Ctx, _: Value| async move { ctx.child("c", "child", &Value::Null).await })
        .with("child", 1, |ctx: Ctx, _: Value| async move {
            // Two at once: the first to stop leaves an entry before the run's last one.
            ctx.map("item", vec!["x", "y"], 2, async |ctx, text| ctx.call("ask", echo(text)).await).await
        });
    let cancels = || {
        World::new(answer).with_messages(|run, frames| {
            let body = serde_json::to_vec(&CancelRequested { by: "ann".into(), reason: None }).unwrap();
            let is_parent = frames.iter().any(|f| f.kind == Kind::ChildStarted);
            let item = InboxItem { run, dedup: "cancel".into(), kind: Inbox::Cancel as u8, body: body.into() };
            if is_parent { vec![item] } else { Vec::new() }
        })
    };
    for seed in 0..40 {
        let story = |crash_at| Story {
            seed,
            runs: vec![Submit::new("parent", Bytes::from_static(b"null"))],
            faults: Faults::default(),
            crash_at,
            core: CoreOptions { abnormal_max: 1_000, ..CoreOptions::default() },
        };
        let points = tell(story(None), &registry, cancels()).unwrap().points;
        for at in 1..=points {
            tell(story(Some(at)), &registry, cancels()).unwrap_or_else(|v| panic!("seed {seed}, crash at {at}: {v}"));
        }
    }
}
