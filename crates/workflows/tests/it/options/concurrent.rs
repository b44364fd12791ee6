//! Options of `concurrent`.

use super::*;

#[test]
fn concurrent_puts_answers_together_in_each_way() {
    let run = |options: Value, answers: Answers| play(body("concurrent", &["a", "b", "c"], options), answers);
    let (told, _) = run(json!({}), echo);
    assert_eq!(told.output()[1], json!({"agent": "b", "output": "b: the task"}));
    let (told, _) = run(json!({"aggregate": "concat"}), echo);
    assert_eq!(told.output(), json!("a:\na: the task\n\nb:\nb: the task\n\nc:\nc: the task"));

    let facts: Answers = |a| text(json!({"tags": [a.who], "score": a.who.len(), "name": a.who}).to_string());
    let (told, _) = run(json!({"aggregate": "merge", "reducers": {"tags": "union", "score": "sum"}}), facts);
    assert_eq!(told.output(), json!({"tags": ["a", "b", "c"], "score": 3, "name": "a"}));

    let ballots: Answers = |a| text(if a.who == "a" { "No." } else { "yes!" });
    let (told, _) = run(json!({"aggregate": "vote"}), ballots);
    assert_eq!(told.output(), json!("yes!"));
    assert!(told.log().contains("2 of 3"));

    let judge: Answers = |a| if a.wants("best") { data(json!({"best": "c", "reason": "clear"})) } else { echo(a) };
    let (told, asked) = run(json!({"aggregate": "best"}), judge);
    assert_eq!((told.output(), asked.last().unwrap().who.as_str()), (json!("c: the task"), "manager"));

    let cite: Answers = |a| if a.who == "manager" { text("All agree [a][b].") } else { echo(a) };
    let (told, asked) = run(json!({"aggregate": "llm"}), cite);
    assert_eq!(told.output(), json!("All agree [a][b]."));
    assert!(asked[3].last().contains("square brackets") && asked[3].said[1] == "a said:\na: the task");
}

#[test]
fn a_manager_of_ones_own_judges() {
    let options = json!({"aggregate": "llm", "manager": {"name": "chair", "instructions": "You are chair."}});
    let (told, asked) = play(body("concurrent", &["a", "b"], options), echo);
    assert_eq!(asked.last().unwrap().who, "chair");
    assert!(told.output().as_str().unwrap().starts_with("chair: "));
}

#[test]
fn a_judge_that_answers_garbage_does_not_fail_the_run() {
    let garbage: Answers = |a| if a.who == "manager" { gone() } else { echo(a) };
    for (aggregate, output) in [("best", json!("a: the task")), ("llm", json!("a:\na: the task\n\nb:\nb: the task"))] {
        let (told, _) = play(body("concurrent", &["a", "b"], json!({"aggregate": aggregate})), garbage);
        assert_eq!(told.output(), output);
        assert!(told.log().contains("no usable judgement"));
    }
}

#[test]
fn a_branch_past_its_time_has_failed_alone() {
    let busy: Answers = |a| if a.who == "a" { Err(ActivityError::retry("LlmError", "busy")) } else { echo(a) };
    let (told, _) = play(body("concurrent", &["a", "b"], json!({"branch_timeout_seconds": 1})), busy);
    let output = told.output();
    assert_eq!(output[1]["output"], json!("b: the task"));
    assert!(output[0]["error"].as_str().unwrap().contains("no answer within"));
}

#[test]
fn the_first_answer_stops_the_others() {
    let (told, asked) = play(body("concurrent", &["a", "b", "c"], json!({"aggregate": "first"})), echo);
    assert_eq!((told.stopped_by(), told.keys(Kind::StepCancelled).len()), (StoppedBy::First, 2));
    assert_eq!(asked.len(), 1);
}

#[test]
fn max_parallel_bounds_what_is_under_way() {
    let started_before_answer = |options: Value| {
        let (told, _) = play(body("concurrent", &["a", "b", "c"], options), echo);
        told.frames.iter().take_while(|f| f.kind != Kind::AgentMessage).filter(|f| f.kind == Kind::AgentStarted).count()
    };
    assert_eq!(started_before_answer(json!({})), 3);
    assert_eq!(started_before_answer(json!({"max_parallel": 2})), 2);
}
