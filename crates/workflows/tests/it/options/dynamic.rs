//! Options of `dynamic`.

use super::*;

fn step(id: &str, how: &str, agents: &[&str]) -> Value {
    json!({"id": id, "task": format!("do {id}"), "how": how, "agents": agents})
}

/// A manager with a fixed plan and a fixed opinion.
fn manage(plan: Value, progress: Value) -> impl Fn(&Asked) -> Outcome {
    move |a| match () {
        () if a.wants("steps") => data(plan.clone()),
        () if a.wants("is_progress") => data(progress.clone()),
        () => text(format!("{} did it", a.who)),
    }
}

fn well() -> Value {
    json!({"is_satisfied": false, "is_in_loop": false, "is_progress": true, "reason": "it moves"})
}

#[test]
fn a_plan_of_all_patterns_is_run() {
    let plan = json!({"facts": ["f"], "steps": [step("s1", "ask", &["a"]), step("s2", "sequential", &["a", "b"]),
        step("s3", "concurrent", &["b", "c"]), step("s4", "handoff", &["a", "b"]), step("s5", "group_chat", &["a", "c"])]});
    let (told, asked) = play(body("dynamic", &["a", "b", "c"], json!({"max_iterations": 20})), manage(plan, well()));
    assert_eq!((told.stopped_by(), told.outcome().iterations), (StoppedBy::Completed, 5));
    assert_eq!(told.bodies(Kind::PlanCreated)[0]["plan"]["steps"].as_array().unwrap().len(), 5);
    assert!(asked.iter().any(|a| a.who == "b" && a.last().contains("do s3") && a.last().contains("Result of s1")));
    assert_eq!(told.output(), json!("manager did it"));
}

#[test]
fn a_satisfied_manager_ends_early() {
    let plan = json!({"facts": [], "steps": [step("s1", "ask", &["a"]), step("s2", "ask", &["b"])]});
    let mut done = well();
    done["is_satisfied"] = json!(true);
    let (told, asked) = play(body("dynamic", &["a", "b"], json!({})), manage(plan, done));
    assert_eq!(told.outcome().iterations, 1);
    assert!(asked.iter().all(|a| a.who != "b"));
}

#[test]
fn a_plan_that_cannot_run_is_mended_once_and_then_replaced() {
    let bad = json!({"facts": [], "steps": [step("s1", "ask", &["nobody"])]});
    let (told, asked) = play(body("dynamic", &["a", "b"], json!({})), manage(bad, well()));
    let drafts: Vec<_> = asked.iter().filter(|a| a.wants("steps")).collect();
    assert_eq!(drafts.len(), 2);
    assert!(drafts[1].last().contains("no agent \"nobody\""));
    assert!(told.bodies(Kind::PlanCreated)[0]["by"].as_str().unwrap().contains("no usable plan"));
    assert_eq!((told.outcome().iterations, told.status), (2, Status::Completed), "each agent was asked once");
    let broken: Answers = |a| if a.wants("steps") { gone() } else { text("ok") };
    assert_eq!(play(body("dynamic", &["a"], json!({})), broken).0.status, Status::Completed);
}

#[test]
fn a_stalled_plan_is_changed_visibly_and_then_given_up() {
    let stuck = json!({"is_satisfied": false, "is_in_loop": true, "is_progress": false, "reason": "nothing new"});
    let plan = |a: &Asked| {
        let n = a.said.len();
        json!({"facts": [], "steps": [step("s1", "ask", &["a"]), step(&format!("x{n}"), "ask", &["b"])]})
    };
    let answers = move |a: &Asked| match () {
        () if a.wants("steps") => data(plan(a)),
        () if a.wants("is_progress") => data(stuck.clone()),
        () => text("hm"),
    };
    let options = json!({"max_stalls": 0, "max_replans": 2, "max_iterations": 30});
    let (told, _) = play(body("dynamic", &["a", "b"], options), answers);
    assert_eq!(told.stopped_by(), StoppedBy::Stalled);
    let revised = told.bodies(Kind::PlanRevised);
    assert_eq!(revised.len(), 2);
    assert_eq!(
        (&revised[0]["diff"]["kept"], revised[0]["diff"]["added"].as_array().unwrap().len()),
        (&json!(["s1"]), 1)
    );
    assert!(revised[0]["reason"].as_str().unwrap().contains("nothing new"));
    assert_eq!(told.output(), json!("hm"), "an answer all the same");
}

#[test]
fn a_person_signs_the_plan_off() {
    let plan = json!({"facts": [], "steps": [step("s1", "ask", &["a"])]});
    let options = json!({"sign_off": true});
    let seen: Rc<RefCell<u32>> = Rc::default();
    let count = Rc::clone(&seen);
    let decide = move |request: &Value| {
        assert!(request["plan"]["steps"].is_array());
        *count.borrow_mut() += 1;
        Some(if *count.borrow() == 1 {
            (Verdict::Reject, Some("ask b too"), None)
        } else {
            (Verdict::Approve, None, None)
        })
    };
    let (told, asked) = play_with(body("dynamic", &["a", "b"], options.clone()), manage(plan.clone(), well()), decide);
    assert_eq!(told.stopped_by(), StoppedBy::Completed);
    assert!(asked.iter().filter(|a| a.wants("steps")).nth(1).unwrap().last().contains("ask b too"));
    let (told, asked) =
        play_with(body("dynamic", &["a"], options), manage(plan, well()), |_| Some((Verdict::Reject, None, None)));
    assert_eq!(told.stopped_by(), StoppedBy::Rejected);
    assert!(asked.iter().all(|a| a.who != "a"), "nothing of the plan ran");
}
