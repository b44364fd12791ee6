//! How one agent goes about its turn: tools, and ways of thinking.

use super::*;

fn one(agent: Value, options: Value) -> Value {
    let mut agent = agent;
    agent["name"] = json!("a");
    agent["instructions"] = json!("You are a.");
    json!({"pattern": "sequential", "input": "the task", "agents": [agent], "options": options})
}

/// Calls `calculate` until it has seen a result, then answers with what it saw.
fn calculates(asked: &Asked) -> Outcome {
    match asked.last() {
        last if last.contains("42") || last.contains("refused") || last.contains("no tool") => {
            text(format!("I saw {last}"))
        }
        _ => call("calculate", json!({"expression": "6 * 7"})),
    }
}

#[test]
fn tools_are_called_and_their_results_told_to_the_model() {
    let (told, asked) = play(one(json!({"tools": ["calculate"]}), json!({})), calculates);
    assert_eq!(told.output(), json!("I saw {\"result\":42}"));
    assert_eq!((asked[0].tools.as_slice(), asked.len()), (&["calculate".to_owned()][..], 2));
    let called = &told.bodies(Kind::ToolCalled)[0];
    assert_eq!(
        (&called["about"]["tool"], &called["about"]["arguments"]["expression"]),
        (&json!("calculate"), &json!("6 * 7"))
    );
    assert_eq!(told.keys(Kind::ToolReturned), ["member[a]/tools[1]/call[0]/call"]);
}

#[test]
fn a_tool_that_is_not_its_own_is_told_to_the_model() {
    let (told, _) = play(one(json!({"tools": ["calendar"]}), json!({})), calculates);
    assert!(told.output().as_str().unwrap().contains("There is no tool named \"calculate\". There are: calendar."));
    assert!(told.bodies(Kind::ToolCalled).is_empty());
}

#[test]
fn a_model_that_only_calls_tools_has_to_answer_in_the_end() {
    let endless: Answers =
        |a| if a.tools.is_empty() { text("enough") } else { call("calculate", json!({"expression": "1"})) };
    let (told, asked) = play(one(json!({"tools": ["calculate"]}), json!({})), endless);
    assert_eq!((told.output(), asked.len()), (json!("enough"), 9));
}

#[test]
fn a_person_agrees_to_a_named_tool_and_a_refusal_is_told_to_the_model() {
    let body = || one(json!({"tools": ["calculate"]}), json!({"approve": ["calculate"]}));
    let (told, _) = play_with(body(), calculates, |_| Some((Verdict::Approve, None, None)));
    assert_eq!(told.output(), json!("I saw {\"result\":42}"));
    let request = &told.bodies(Kind::ApprovalRequested)[0]["request"];
    assert_eq!((&request["tool"], &request["arguments"]["expression"]), (&json!("calculate"), &json!("6 * 7")));
    let (told, _) = play_with(body(), calculates, |_| Some((Verdict::Reject, Some("too dear"), None)));
    assert!(told.output().as_str().unwrap().contains("too dear"));
    assert!(told.bodies(Kind::ToolCalled).is_empty(), "what was refused never ran");
}

#[test]
fn thoughts_are_not_part_of_the_answer() {
    let thinks: Answers = |_| text("Two and two\nmake four.\nANSWER: 4");
    let (told, asked) = play(one(json!({"reasoning": "chain_of_thought"}), json!({})), thinks);
    assert_eq!(told.output(), json!("4"));
    assert!(asked[0].last().contains("Think step by step"));
    let (told, _) = play(one(json!({"reasoning": "plain"}), json!({})), thinks);
    assert_ne!(told.output(), json!("4"));
}

#[test]
fn reflection_revises_until_the_draft_is_good() {
    let answers = |a: &Asked| match () {
        () if a.wants("is_good") => data(json!({"is_good": a.said.len() > 3, "criticism": "too long"})),
        () => text(format!("draft {}", a.said.len())),
    };
    let (told, asked) = play(one(json!({"reasoning": "reflection"}), json!({})), answers);
    assert_eq!((told.output(), asked.len()), (json!("draft 5"), 4));
    assert!(asked[2].said.iter().any(|s| s.contains("too long")));
}

#[test]
fn a_plan_is_written_and_carried_out_step_by_step() {
    let answers = |a: &Asked| match () {
        () if a.wants("steps") => data(json!({"steps": ["look", "decide"]})),
        () => text(format!("done: {}", a.last())),
    };
    let (told, asked) = play(one(json!({"reasoning": "plan_and_execute"}), json!({})), answers);
    assert_eq!(asked.len(), 4);
    assert!(asked[1].last().ends_with(": look") && asked[2].last().ends_with(": decide"));
    assert!(told.output().as_str().unwrap().contains("give your answer to the task"));
}

#[test]
fn react_works_in_small_steps_with_tools() {
    let (told, asked) = play(one(json!({"reasoning": "react", "tools": ["calculate"]}), json!({})), |a| {
        if a.said.iter().any(|s| s.contains("42")) {
            text("it is 42")
        } else {
            call("calculate", json!({"expression": "6*7"}))
        }
    });
    assert_eq!(told.output(), json!("it is 42"));
    assert!(asked[0].last().contains("say in one sentence what you need"));
}

#[test]
fn a_persona_speaks_first() {
    let agent = json!({"persona": {"role": "a clerk", "expertise": "cards", "personality": "kind"}});
    let seen: Rc<RefCell<String>> = Rc::default();
    let log = Rc::clone(&seen);
    let world = World::new(move |spawn, _| {
        let args: Value = serde_json::from_slice(&spawn.request.args).unwrap();
        *log.borrow_mut() = args["request"]["messages"][0]["content"].as_str().unwrap().to_owned();
        text("ok")
    });
    let runs = vec![request(&one(agent, json!({})))];
    let story = Story { seed: 1, runs, faults: Faults::default(), crash_at: None, core: Default::default() };
    tell(story, &registry(), world).unwrap();
    assert_eq!(*seen.borrow(), "You are a clerk. You know cards. Your manner: kind. You are a.");
}
