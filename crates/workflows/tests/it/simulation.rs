//! Each pattern through storms, and through one crash at every single point.

use crate::teams::{answer, members, registry, remember, request, team};
use bytes::Bytes;
use serde_json::{Value, json};
use tutti_engine::run::{Status, Submit};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::sim::{Faults, Report, Story, Violation, World, tell};
use tutti_workflows::patterns::PATTERNS;

pub(crate) const STORM: Faults = Faults { crash: 8, unknown: 20, steal: 100, twice: 200, cancel: 3 };

pub(crate) fn run(
    seed: u64,
    runs: Vec<Submit>,
    faults: Faults,
    crash_at: Option<u64>,
    broken: Option<&'static str>,
) -> Result<Report, Violation> {
    let core = CoreOptions { abnormal_max: 1_000, ..CoreOptions::default() };
    let world = World::new(move |spawn, dice| answer(spawn, dice, broken));
    tell(Story { seed, runs, faults, crash_at, core }, &registry(), world)
}

/// Every pattern with every option that changes its course.
fn all() -> Vec<Submit> {
    let mut runs = vec![
        team("sequential", &json!({})),
        team("sequential", &json!({"pass": "all"})),
        team("concurrent", &json!({"aggregate": "all"})),
        team("concurrent", &json!({"aggregate": "concat", "max_parallel": 1})),
        team("concurrent", &json!({"aggregate": "first"})),
        team("concurrent", &json!({"quorum": 2, "on_error": "drop"})),
        team("concurrent", &json!({"on_error": "wait"})),
        team("concurrent", &json!({"aggregate": "llm", "branch_timeout_seconds": 60})),
        team("concurrent", &json!({"aggregate": "best"})),
        team("concurrent", &json!({"aggregate": "vote"})),
        team("sequential", &json!({"steps": {"policy": {"retries": 1, "timeout_seconds": 60, "fallback": "writer"}}})),
        team("handoff", &json!({})),
        team("group_chat", &json!({"speaker": "llm", "max_iterations": 4})),
        team("group_chat", &json!({"speaker": "bid", "max_iterations": 2, "observers": ["writer"]})),
        team("group_chat", &json!({"speaker": "random", "until": {"max_messages": 3}})),
        team("dynamic", &json!({"max_stalls": 0})),
        team("group_chat", &json!({"speaker": "bid", "budget": {"tokens": 3000}})),
        nested(),
        Submit::new("noop", Bytes::from_static(br#"{"steps":5}"#)),
        remember(),
    ];
    runs[0].stream = true;
    runs[2].stream = true;
    runs
}

/// A team with a team, thinkers and one with tools in it.
fn nested() -> Submit {
    let inner = json!({"pattern": "concurrent", "name": "panel", "agents": members(&["a", "b"]), "options": {"aggregate": "concat"}});
    let thinker = json!({"name": "thinker", "instructions": "You are thinker.", "reasoning": "reflection"});
    let planner = json!({"name": "planner", "instructions": "You are planner.", "reasoning": "plan_and_execute"});
    let cot = json!({"name": "cot", "instructions": "You are cot.", "reasoning": "chain_of_thought"});
    let counter =
        json!({"name": "counter", "instructions": "You are counter.", "reasoning": "react", "tools": ["calculate"]});
    request(&json!({"pattern": "sequential", "input": "x", "agents": [inner, thinker, planner, cot, counter]}))
}

pub(crate) fn seeds() -> u64 {
    std::env::var("TUTTI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1_000)
}

#[test]
fn sim_storms_break_no_promise_of_any_pattern() {
    let mut faults = 0;
    for seed in 0..seeds() {
        let report = run(seed, all(), STORM, None, None).unwrap_or_else(|v| panic!("seed {seed}: {v}"));
        let told: Vec<_> = report.journals.iter().map(crate::told::Told::of).collect();
        // A team within a team that somebody cancelled is a failed member.
        let is_fine = |t: &crate::told::Told| match t.status {
            Status::Completed | Status::Cancelled => true,
            _ => t.error()["message"].as_str().is_some_and(|m| m.ends_with("ended as cancelled")),
        };
        let wrong = told.iter().find(|t| !is_fine(t));
        assert!(wrong.is_none(), "seed {seed}: {:?}", wrong.map(|t| (t.status, t.error())));
        faults += report.faults;
    }
    println!("{} seeds, {faults} faults", seeds());
    assert!(faults > seeds(), "the storm was no storm: {faults} faults");
}

#[test]
fn sim_a_crash_at_every_point_of_every_pattern_breaks_no_promise() {
    for (i, submit) in all().into_iter().chain([crate::graphs::everything()]).enumerate() {
        let points = run(3, vec![submit.clone()], Faults::default(), None, None).unwrap().points;
        for at in 1..=points {
            let report = run(3, vec![submit.clone()], Faults::default(), Some(at), None)
                .unwrap_or_else(|v| panic!("case {i}, crash at point {at} of {points}: {v}"));
            assert!(
                matches!(report.ends[0], None | Some(Status::Completed)),
                "case {i}, crash at {at}: {:?}",
                report.ends
            );
        }
        println!("case {i}: {points} crash points");
    }
}

#[test]
fn a_broken_member_does_what_on_error_says() {
    let end = |options: Value| {
        run(1, vec![team("concurrent", &options)], Faults::default(), None, Some("policy")).unwrap().ends[0]
    };
    assert_eq!(end(json!({"on_error": "keep"})), Some(Status::Completed));
    assert_eq!(end(json!({"on_error": "drop"})), Some(Status::Completed));
    assert_eq!(end(json!({"on_error": "fail_fast"})), Some(Status::Failed));
    assert_eq!(end(json!({"on_error": "wait"})), Some(Status::Failed));
    assert_eq!(end(json!({"quorum": 3})), Some(Status::Failed));
    assert_eq!(end(json!({"quorum": 2})), Some(Status::Completed));
    assert_eq!(end(json!({"aggregate": "first"})), Some(Status::Completed));
    let sequential = run(1, vec![team("sequential", &json!({}))], Faults::default(), None, Some("policy")).unwrap();
    assert_eq!(sequential.ends[0], Some(Status::Failed));
}

#[test]
fn every_pattern_is_simulated() {
    let simulated: Vec<_> = all().into_iter().map(|s| s.workflow).collect();
    assert!(PATTERNS.iter().all(|p| simulated.iter().any(|s| s == p.name)));
}

#[test]
fn a_patterns_future_is_small() {
    use tutti_workflows::patterns::{Job, concurrent, dynamic, group_chat, handoff, sequential};
    // The futures are only measured: a job is needed to make one, never to size it.
    fn size<O, F>(_: impl FnOnce(Job<O>) -> F) -> usize {
        size_of::<F>()
    }
    let sizes =
        [size(sequential::run), size(concurrent::run), size(handoff::run), size(group_chat::run), size(dynamic::run)];
    assert!(sizes.iter().all(|size| *size <= 4096), "{sizes:?}");
}
