//! Options of all patterns.

use super::*;

#[test]
fn approve_holds_a_named_agent_until_a_person_agrees() {
    let options = json!({"approve": ["b"]});
    let (told, asked) =
        play_with(body("sequential", &["a", "b"], options.clone()), echo, |_| Some((Verdict::Approve, None, None)));
    assert_eq!(told.output(), json!("b: a: the task"));
    let requests = told.bodies(Kind::ApprovalRequested);
    assert_eq!((requests.len(), &requests[0]["request"]["agent"]), (1, &json!("b")));
    assert_eq!(requests[0]["request"]["said"][0]["text"], json!("a: the task"), "the exact call is shown");
    assert_eq!(asked.len(), 2);
    let (told, asked) =
        play_with(body("sequential", &["a", "b"], options), echo, |_| Some((Verdict::Reject, Some("no"), None)));
    assert_eq!(told.stopped_by(), StoppedBy::Rejected);
    assert_eq!(whos(&asked), ["a", "manager"]);
}

#[test]
fn a_budget_ends_the_work_in_good_order() {
    // Each answer says that it took 15 tokens; the prompt's bound and the shortest answer worth having do not fit twice.
    let limit = |tokens: u64| json!({"budget": {"tokens": tokens}});
    let (told, asked) = play(body("sequential", &["a", "b"], limit(200)), echo);
    assert_eq!(
        (told.stopped_by(), whos(&asked)),
        (StoppedBy::Completed, vec!["a", "b"]),
        "what was not spent is free again"
    );
    assert!(
        asked[0].max_tokens.is_some_and(|n| n < 200),
        "an answer is bounded by what is left: {:?}",
        asked[0].max_tokens
    );
    let long = "x".repeat(150);
    let answers = move |a: &Asked| text(format!("{} {long}", a.who));
    let (told, asked) =
        play(body("group_chat", &["a", "b"], json!({"budget": {"tokens": 3000}, "max_iterations": 50})), answers);
    assert_eq!((told.stopped_by(), told.status), (StoppedBy::Budget, Status::Completed));
    assert!(told.output().as_str().unwrap().starts_with("manager"), "the share kept back pays for the closing answer");
    assert!(asked.len() > 2);
    let spent: u64 = told.bodies(Kind::BudgetSpent).iter().map(|b| b["spent"]["tokens"].as_u64().unwrap()).sum();
    assert_eq!(spent, 15 * asked.len() as u64);
    let (told, _) = play(body("sequential", &["a"], limit(10)), echo);
    assert_eq!(
        (told.stopped_by(), told.output()),
        (StoppedBy::Budget, json!("the task")),
        "nothing could be asked at all"
    );
}

#[test]
fn members_of_a_team_share_a_budget_and_a_nested_team_has_its_part() {
    let (told, asked) = play(body("concurrent", &["a", "b", "c"], json!({"budget": {"tokens": 900}})), echo);
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|a| a.max_tokens.is_some_and(|n| n < 400)), "none takes it all");
    assert_eq!(told.output()[2]["output"], json!("c: the task"));
    let inner = json!({"pattern": "sequential", "name": "panel", "agents": members(&["x"]), "options": {"budget": {"tokens": 300}}});
    let request = json!({"pattern": "sequential", "input": "q", "agents": [inner, {"name": "z", "instructions": "You are z."}],
        "options": {"budget": {"tokens": 1000}}});
    let (told, asked) = play(request, echo);
    assert!(asked[0].max_tokens.is_some_and(|n| n < 300), "the inner limit holds: {:?}", asked[0].max_tokens);
    let settled = told.bodies(Kind::BudgetSpent);
    assert_eq!((&settled[0]["reserved"]["tokens"], &settled[0]["spent"]["tokens"]), (&json!(300), &json!(15)));
}

#[test]
fn inputs_have_parts_and_files_by_reference() {
    let mut request = body("sequential", &["a"], json!({}));
    request["input"] = json!({"parts": [{"type": "text", "text": "Read this:"}, {"type": "json", "value": {"n": 1}},
        {"type": "file", "uri": "https://example.org/a.pdf", "name": "a.pdf", "media_type": "application/pdf"}]});
    let (_, asked) = play(request, echo);
    assert_eq!(asked[0].said, ["Read this:\n\n{\"n\":1}\n\n[file a.pdf application/pdf https://example.org/a.pdf]"]);
}

#[test]
fn a_team_stands_as_a_member_of_a_team() {
    let inner = json!({"pattern": "concurrent", "name": "panel", "agents": members(&["x", "y"]), "options": {"aggregate": "concat"}});
    let request =
        json!({"pattern": "sequential", "input": "q", "agents": [inner, {"name": "z", "instructions": "You are z."}]});
    let (told, asked) = play(request, |a| text(format!("{} heard {}", a.who, a.last().len())));
    assert_eq!(told.keys(Kind::ChildStarted), ["member[panel]/run"]);
    assert_eq!(
        told.bodies(Kind::ChildCompleted)[0]["spent"]["tokens"],
        json!(30),
        "a parent knows what its children used"
    );
    assert_eq!(asked[2].said, ["x:\nx heard 1\n\ny:\ny heard 1"]);
    assert_eq!(told.status, Status::Completed);
}
