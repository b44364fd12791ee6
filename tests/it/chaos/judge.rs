//! The judge: what clients hold and what the model server saw, against the journals.

use std::collections::BTreeMap;
use tutti_tests::journal::Run;
use tutti_tests::provider::Seen;
use tutti_tests::sse::{Event, texts};

/// A moment at which the server was killed: not later than `from`, not alive after `to`.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// Just before.
    pub from: i64,
    /// Just after.
    pub to: i64,
}

/// A client that was cut any number of times has the journal: each entry once, in order.
pub fn stream(events: &[Event], run: &Run) {
    let sent: Vec<_> =
        events.iter().map(|e| (e.id, e.kind.as_str(), e.data["key"].as_str().unwrap_or_default())).collect();
    let kept: Vec<_> = run.journal.iter().map(|e| (e.seq, e.kind.as_str(), e.key.as_str())).collect();
    assert_eq!(sent, kept, "run {}", run.id);
    for (key, text) in texts(events) {
        assert_eq!(run.said(&key), Some(text.as_str()), "run {}: {key}", run.id);
    }
}

/// What the judge counted.
pub struct Calls {
    /// Requests at the model server.
    pub requests: usize,
    /// Calls that teams made; the other requests are repeats.
    pub calls: usize,
}

/// Against the log of the model server, which saw every request: no call was made again once its outcome was in the journal.
pub fn calls(by_key: &BTreeMap<String, Vec<Seen>>, runs: &BTreeMap<String, Run>, kills: &[Kill]) -> Calls {
    let intents: usize = runs.values().map(|run| run.of_kind("agent.started").count()).sum();
    assert_eq!(by_key.len(), intents, "one key for each call of each run");
    for (key, seen) in by_key {
        let (run_id, step) = key.split_once('/').unwrap_or_else(|| panic!("{key:?} is not <run>/<step>"));
        let run = runs.get(run_id).unwrap_or_else(|| panic!("{key} belongs to no run that was accepted"));
        assert!(run.of_kind("agent.started").any(|e| e.key == step), "{key} has no intent in the journal");
        let outcome = run.outcome(step).unwrap_or_else(|| panic!("{key} has no outcome in the journal"));
        for one in seen {
            assert_eq!(one.body_hash, seen[0].body_hash, "{key}: a repeat asks something else");
            assert!(one.started_at <= outcome.at_ms, "{key} was asked again after its outcome: {seen:?}, {outcome:?}");
        }
        assert!(seen.last().is_some_and(|last| last.answered), "{key}: an outcome that nobody gave: {seen:?}");
        // The model server never fails, so nothing but a kill explains a repeat; and the journal tells of each.
        for pair in seen.windows(2) {
            let explained = killed_between(kills, &pair[0], &pair[1]);
            assert!(explained, "{key} was asked twice without a reason: {seen:?}");
        }
        let told = run.of_kind("step.retrying").filter(|e| e.key == step).count();
        assert!(seen.len() - 1 <= told, "{key}: a repeat that the journal does not tell of: {seen:?}");
    }
    Calls { requests: by_key.values().map(Vec::len).sum(), calls: by_key.len() }
}

fn killed_between(kills: &[Kill], first: &Seen, second: &Seen) -> bool {
    kills.iter().any(|kill| first.started_at <= kill.to && kill.from <= second.started_at)
}

/// The judge is judged: each fault that it is there for is shown to it.
mod tests {
    use super::*;
    use serde_json::json;

    const T0: i64 = 1_767_225_600_000;

    /// A run of one call: asked at 1 s, answered at 3 s.
    fn runs() -> BTreeMap<String, Run> {
        let entry = |seq: u32, s: u32, kind: &str, key: &str| json!({"seq": seq, "at": format!("2026-01-01T00:00:0{s}Z"), "key": key, "kind": kind, "body": {}});
        let journal = [
            entry(1, 0, "run.queued", ""),
            entry(2, 1, "agent.started", "a"),
            entry(3, 2, "step.retrying", "a"),
            entry(4, 3, "agent.message", "a"),
            entry(5, 4, "run.completed", ""),
        ];
        let run = Run::of(&json!({"run_id": "r", "status": "completed", "journal": journal}));
        BTreeMap::from([("r".into(), run)])
    }

    fn seen(n: u64, started_s: i64, answered: bool, body: &str) -> Seen {
        Seen {
            n,
            idempotency_key: "r/a".into(),
            model: "test".into(),
            body_hash: body.into(),
            started_at: T0 + started_s * 1_000,
            ended_at: T0 + started_s * 1_000 + 500,
            answered,
            status: 200,
            traceparent: String::new(),
        }
    }

    fn judged(key: &str, log: Vec<Seen>) -> Calls {
        let kills = [1_000, 1_400].map(|at| Kill { from: T0 + at, to: T0 + at + 200 });
        calls(&BTreeMap::from([(key.to_owned(), log)]), &runs(), &kills)
    }

    #[test]
    fn a_repeat_after_a_kill_is_right() {
        let judged = judged("r/a", vec![seen(1, 1, false, "x"), seen(2, 2, true, "x")]);
        assert_eq!((judged.requests, judged.calls), (2, 1));
    }

    #[test]
    #[should_panic(expected = "asked again after its outcome")]
    fn a_call_made_again_after_its_outcome_is_noticed() {
        judged("r/a", vec![seen(1, 1, true, "x"), seen(2, 4, true, "x")]);
    }

    #[test]
    #[should_panic(expected = "asked twice without a reason")]
    fn a_repeat_without_a_kill_is_noticed() {
        judged("r/a", vec![seen(1, 2, true, "x"), seen(2, 3, true, "x")]);
    }

    #[test]
    #[should_panic(expected = "the journal does not tell of")]
    fn a_repeat_that_is_kept_quiet_is_noticed() {
        judged("r/a", vec![seen(1, 1, false, "x"), seen(2, 1, false, "x"), seen(3, 2, true, "x")]);
    }

    #[test]
    #[should_panic(expected = "asks something else")]
    fn another_request_under_the_same_key_is_noticed() {
        judged("r/a", vec![seen(1, 1, false, "x"), seen(2, 2, true, "y")]);
    }

    #[test]
    #[should_panic(expected = "an outcome that nobody gave")]
    fn an_invented_outcome_is_noticed() {
        judged("r/a", vec![seen(1, 1, false, "x")]);
    }

    #[test]
    #[should_panic(expected = "belongs to no run")]
    fn a_call_of_no_accepted_run_is_noticed() {
        judged("s/a", vec![seen(1, 1, true, "x")]);
    }

    #[test]
    #[should_panic(expected = "assertion `left == right` failed: run r")]
    fn an_event_sent_twice_is_noticed() {
        let event = |id: u64, kind: &str| Event { id, kind: kind.into(), data: json!({}) };
        stream(&[event(1, "run.queued"), event(1, "run.queued")], &runs()["r"]);
    }
}
