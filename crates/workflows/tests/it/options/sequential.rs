//! Options of `sequential`.

use super::*;

#[test]
fn sequential_passes_the_last_answer_or_all() {
    let (told, asked) = play(body("sequential", &["a", "b"], json!({})), echo);
    assert_eq!((told.output(), told.stopped_by()), (json!("b: a: the task"), StoppedBy::Completed));
    assert_eq!(asked[1].said, ["a: the task"]);
    let (_, asked) = play(body("sequential", &["a", "b"], json!({"pass": "all"})), echo);
    assert_eq!(asked[1].said, ["the task", "a said:\na: the task"]);
}

#[test]
fn sequential_retries_then_takes_the_fallback() {
    let failing: Answers = |a| if a.who == "b" { gone() } else { echo(a) };
    let (told, asked) = play(body("sequential", &["a", "b"], json!({})), failing);
    assert_eq!((told.status, asked.len()), (Status::Failed, 2));
    let (told, asked) = play(body("sequential", &["a", "b"], json!({"steps": {"b": {"retries": 2}}})), failing);
    assert_eq!((told.status, whos(&asked)), (Status::Failed, vec!["a", "b", "b", "b"]));
    let fallback = json!({"steps": {"b": {"fallback": {"name": "c", "instructions": "You are c."}}}});
    let (told, asked) = play(body("sequential", &["a", "b"], fallback), failing);
    assert_eq!((told.output(), whos(&asked)), (json!("c: a: the task"), vec!["a", "b", "c"]));
}

#[test]
fn sequential_skips_and_stops_early() {
    let options = json!({"steps": {"b": {"skip_if": {"contains": "a:"}}}});
    let (told, asked) = play(body("sequential", &["a", "b", "c"], options), echo);
    assert_eq!(whos(&asked), ["a", "c"]);
    assert!(told.log().contains("b is skipped"));
    let options = json!({"steps": {"b": {"stop_if": {"contains": "b:"}}}});
    let (told, asked) = play(body("sequential", &["a", "b", "c"], options), echo);
    assert_eq!((whos(&asked), told.stopped_by()), (vec!["a", "b"], StoppedBy::StopIf));
    assert_eq!(told.output(), json!("b: a: the task"));
}

#[test]
fn a_step_past_its_time_counts_as_failed() {
    // An answer that never comes: the line is always busy, and the retry lies behind the bound.
    let busy: Answers = |a| if a.who == "a" { Err(ActivityError::retry("LlmError", "busy")) } else { echo(a) };
    let options = json!({"steps": {"a": {"timeout_seconds": 1, "fallback": "b"}}});
    let (told, asked) = play(body("sequential", &["a", "b"], options), busy);
    assert_eq!(told.output(), json!("b: b: the task"));
    assert!(asked.iter().filter(|a| a.who == "a").count() < 30, "the retries were cut short");
}

#[test]
fn sequential_gates_ask_a_person_until_the_answer_is_accepted() {
    let options = json!({"steps": {"a": {"gate": true}}});
    let decide = |request: &Value| match request["answer"].as_str() {
        Some(answer) if answer.contains("shorter") => Some((Verdict::Approve, None, None)),
        _ => Some((Verdict::Reject, Some("make it shorter"), None)),
    };
    let (told, asked) = play_with(body("sequential", &["a"], options.clone()), echo, decide);
    assert_eq!(asked.len(), 2);
    assert_eq!(told.output(), json!("a: reviewer said:\nmake it shorter"));
    let never = |_: &Value| Some((Verdict::Reject, None, None));
    let mut bounded = options;
    bounded["max_iterations"] = json!(3);
    let (told, asked) = play_with(body("sequential", &["a"], bounded), echo, never);
    assert_eq!(told.stopped_by(), StoppedBy::Rejected);
    assert_eq!(whos(&asked), ["a", "a", "a", "manager"], "and the manager closes");
}

#[test]
fn silence_at_a_gate_escalates_and_then_the_default_counts() {
    let gate = |default: &str| json!({"timeout_seconds": 1, "escalate_to": "boss", "default": default});
    let options = |default: &str| json!({"steps": {"a": {"gate": gate(default)}}});
    let (told, _) = play(body("sequential", &["a"], options("approve")), echo);
    let asked = told.bodies(Kind::ApprovalRequested);
    assert_eq!((asked.len(), &asked[1]["request"]["escalated_to"]), (2, &json!("boss")));
    assert_eq!(told.stopped_by(), StoppedBy::Completed);
    let (told, asked) = play(body("sequential", &["a"], options("reject")), echo);
    assert_eq!(
        (told.stopped_by(), whos(&asked)),
        (StoppedBy::Rejected, vec!["a", "manager"]),
        "silence is not asked again"
    );
}
