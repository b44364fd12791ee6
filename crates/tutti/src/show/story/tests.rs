use super::*;
use serde_json::json;

fn event(kind: &str, data: Value) -> Event {
    Event { seq: None, kind: kind.into(), data }
}

fn told(events: &[(&str, Value)]) -> String {
    let mut story = Story::new(Paint::PLAIN, Some(60));
    events.iter().map(|(kind, data)| story.tell(&event(kind, data.clone()))).collect()
}

fn started(name: &str) -> (&'static str, Value) {
    ("agent.started", json!({"key": name, "about": {"agent": name}}))
}

fn delta(name: &str, offset: usize, text: &str) -> (&'static str, Value) {
    ("agent.delta", json!({"key": name, "attempt": 1, "offset": offset, "text": text}))
}

fn message(name: &str, text: &str) -> (&'static str, Value) {
    ("agent.message", json!({"key": name, "output": {"text": text}}))
}

#[test]
fn one_after_the_other() {
    let story = told(&[
        ("run.queued", json!({"run_id": "r1", "workflow": "sequential", "at": "2026-01-01T00:00:00Z"})),
        started("a"),
        delta("a", 0, "Hello, "),
        delta("a", 7, "team."),
        message("a", "Hello, team."),
        started("b"),
        message("b", "Done."),
        (
            "run.completed",
            json!({"at": "2026-01-01T00:00:01.25Z",
                "output": {"output": "Done.", "usage": {"tokens": 12, "cost": 0}, "stopped_by": "answer"}}),
        ),
    ]);
    let expected = "run r1 · sequential\n\
                    ▸ a\n  Hello, team.\n\
                    ▸ b\n  Done.\n\
                    ✔ completed in 1.2 s · 12 tokens · stopped by answer\n";
    assert_eq!(story, expected);
}

#[test]
fn members_who_work_at_once_do_not_talk_into_each_other() {
    let story = told(&[
        started("a"),
        started("b"),
        started("c"),
        delta("b", 0, "B one "),
        delta("a", 0, "A one"),
        delta("b", 6, "two"),
        message("c", "C all"),
        message("b", "B one two"),
        delta("a", 5, " two"),
        message("a", "A one two"),
        ("run.completed", json!({"output": {"output": {"a": "A one two", "b": "B one two", "c": "C all"}}})),
    ]);
    let expected = "▸ a · b · c\n▸ b\n  B one two\n▸ a\n  A one two\n▸ c\n  C all\n✔ completed\n";
    assert_eq!(story, expected);
}

#[test]
fn an_answer_nobody_said_is_shown() {
    let story = told(&[started("a"), message("a", "x"), ("run.completed", json!({"output": {"output": "merged"}}))]);
    assert_eq!(story, "▸ a\n  x\nAnswer\n  merged\n✔ completed\n");
}

#[test]
fn an_answer_by_reference_is_not_repeated() {
    let by_ref = |output: Value| told(&[started("a"), message("a", "x"), ("run.completed", json!({"output": output}))]);
    let story = by_ref(json!({"output": {"from": "a"}, "stopped_by": "completed"}));
    assert_eq!(story, "▸ a\n  x\n✔ completed\n");
    let story = by_ref(json!({"output": {"each": [{"agent": "a", "from": "a"}]}, "stopped_by": "quorum"}));
    assert_eq!(story, "▸ a\n  x\n✔ completed · stopped by quorum\n");
    assert_eq!(by_ref(json!({"output": {"value": "x"}})), "▸ a\n  x\n✔ completed\n");
    assert_eq!(by_ref(json!({"output": {"from": "b"}})), "▸ a\n  x\nthe answer is that of step b\n✔ completed\n");
}

#[test]
fn a_retry_retracts_and_says_why() {
    let error = json!({"class": "LlmError", "message": "connection reset", "next": {"retry": {"after_ms": null}}});
    let story = told(&[
        started("a"),
        delta("a", 0, "Hel "),
        ("agent.retracted", json!({"key": "a", "attempt": 1})),
        ("step.retrying", json!({"key": "a", "attempt": 2, "due": 5, "error": error})),
        ("agent.delta", json!({"key": "a", "attempt": 2, "offset": 0, "text": "Hello."})),
        message("a", "Hello."),
    ]);
    let expected = "▸ a\n  Hel\n  ✗ broken off; the words of this attempt are void\n  \
                    ↻ attempt 2 follows: LlmError: connection reset\n▸ a\n  Hello.\n";
    assert_eq!(story, expected);
}

#[test]
fn failures_name_the_agent() {
    let error =
        json!({"class": "LlmError", "message": "no answer within 120 s", "agent": "b", "step": "member[b]/ask"});
    let story = told(&[
        ("agent.started", json!({"key": "member[b]/ask"})),
        ("agent.failed", json!({"key": "member[b]/ask", "attempts": 4, "error": error})),
        ("run.failed", json!({"error": error})),
    ]);
    let expected = "▸ b\n  ✗ failed after 4 attempts: LlmError: no answer within 120 s\n\
                    ✗ failed · agent b · step member[b]/ask: LlmError: no answer within 120 s\n";
    assert_eq!(story, expected);
}

#[test]
fn what_happens_between_members() {
    let story = told(&[
        ("engine.claimed", json!({"run_id": "r1", "epoch": 1})),
        ("engine.claimed", json!({"epoch": 2, "abnormal": 1})),
        ("handoff", json!({"from": "a", "to": "b", "reason": "not mine"})),
        ("approval.requested", json!({"approval_id": "pay", "request": {"amount": 5}})),
        ("approval.decided", json!({"approval_id": "pay", "decision": "approve", "by": "eve"})),
        ("cancel.requested", json!({"by": "eve", "reason": "late"})),
        ("engine.timer", json!({})),
        ("something.new", json!({})),
        ("run.cancelled", json!({})),
    ]);
    let expected = "↺ its worker had died; taken up again where it was\n\
                    → a hands over to b: not mine\n\
                    ? a person is asked: {\"amount\":5}\n  tutti runs approve r1 'pay'   (or: tutti runs reject)\n\
                    ? decided: approve by eve\n\
                    ■ cancel was asked for (eve): late\n\
                    ✗ cancelled\n";
    assert_eq!(story, expected);
}

#[test]
fn doubled_words_are_told_once_and_hostile_ones_are_harmless() {
    let story = told(&[started("a"), delta("a", 0, "abc"), delta("a", 1, "bcd\x1b[2J"), message("a", "")]);
    assert_eq!(story, "▸ a\n  abcd\u{fffd}[2J\n");
}
