//! Each option of each pattern, with what would be different without it.

use crate::teams::{Asked, call, data, members, registry, request, text};
use crate::told::Told;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use tutti_engine::activity::{ActivityError, Outcome};
use tutti_engine::event::Kind;
use tutti_engine::journal::Frame;
use tutti_engine::journal::body::{Decision, Inbox, Signal, Verdict};
use tutti_engine::ports::store::InboxItem;
use tutti_engine::run::{RunNo, Status};
use tutti_engine::sim::{Faults, Story, World, tell};
use tutti_workflows::outcome::StoppedBy;

type Answers = fn(&Asked) -> Outcome;

/// Tells a calm story of one request; answers what came of it and what was asked of whom.
fn play(body: Value, answers: impl Fn(&Asked) -> Outcome + 'static) -> (Told, Vec<Asked>) {
    play_with(body, answers, |_| None)
}

/// As [`play`], with a person who decides about what waits.
fn play_with(
    body: Value,
    answers: impl Fn(&Asked) -> Outcome + 'static,
    decide: impl Fn(&Value) -> Option<(Verdict, Option<&'static str>, Option<Value>)> + 'static,
) -> (Told, Vec<Asked>) {
    let log: Rc<RefCell<Vec<Asked>>> = Rc::default();
    let seen = Rc::clone(&log);
    let world = World::new(move |spawn, _| {
        let asked = Asked::of(spawn);
        let answer = answers(&asked);
        seen.borrow_mut().push(asked);
        answer
    });
    let world = world.with_messages(move |run, frames| decisions(run, frames, &decide));
    let story = Story {
        seed: 7,
        runs: vec![request(&body)],
        faults: Faults::default(),
        crash_at: None,
        core: Default::default(),
    };
    let report = tell(story, &registry(), world).unwrap();
    let told = Told::of(&report.journals[0]);
    drop(report);
    (told, Rc::try_unwrap(log).ok().unwrap().into_inner())
}

fn decisions(
    run: RunNo,
    frames: &[Frame],
    decide: &impl Fn(&Value) -> Option<(Verdict, Option<&'static str>, Option<Value>)>,
) -> Vec<InboxItem> {
    let bodies = |kind| frames.iter().filter(move |f: &&Frame| f.kind == kind);
    let asked = bodies(Kind::ApprovalRequested).map(|f| serde_json::from_slice::<Value>(f.body.text()).unwrap());
    let is_open = |id: &str| !bodies(Kind::ApprovalDecided).any(|f| &*f.key == id);
    let answer = |asked: Value| {
        let id = asked["approval_id"].as_str().unwrap().to_owned();
        let (decision, note, input) = decide(&asked["request"]).filter(|_| is_open(&id))?;
        let input = input.map(|v| serde_json::value::to_raw_value(&v).unwrap());
        let note = note.map(ToOwned::to_owned);
        let body = Decision { approval_id: id.clone(), decision, by: Some("ann".into()), note, input };
        let body = serde_json::to_vec(&body).unwrap().into();
        Some(InboxItem { run, dedup: format!("approval:{id}"), kind: Inbox::Approval as u8, body })
    };
    asked.filter_map(answer).collect()
}

fn body(pattern: &str, names: &[&str], options: Value) -> Value {
    json!({"pattern": pattern, "input": "the task", "agents": members(names), "options": options})
}

fn gone() -> Outcome {
    Err(ActivityError::fatal("LlmError", "this model is gone"))
}

fn whos(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|a| a.who.as_str()).collect()
}

/// Says `NAME: what it was asked last`.
fn echo(asked: &Asked) -> Outcome {
    text(format!("{}: {}", asked.who, asked.last()))
}

// sequential

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
    let options = |default: &str| json!({"steps": {"a": {"gate": gate(default)}}, "max_iterations": 1});
    let (told, _) = play(body("sequential", &["a"], options("approve")), echo);
    let asked = told.bodies(Kind::ApprovalRequested);
    assert_eq!((asked.len(), &asked[1]["request"]["escalated_to"]), (2, &json!("boss")));
    assert_eq!(told.stopped_by(), StoppedBy::Completed);
    let (told, _) = play(body("sequential", &["a"], options("reject")), echo);
    assert_eq!(told.stopped_by(), StoppedBy::Rejected);
}

// concurrent

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

// handoff

/// Hands on along a table of `who → to`, else answers.
fn hands(table: &'static [(&'static str, &'static str)]) -> impl Fn(&Asked) -> Outcome {
    move |a| match table.iter().find(|(who, to)| *who == a.who && a.tools.contains(&format!("handoff_to_{to}"))) {
        Some((_, to)) => call(&format!("handoff_to_{to}"), json!({"reason": format!("{} knows better", to)})),
        None => echo(a),
    }
}

#[test]
fn work_goes_to_whom_it_is_handed_with_the_reason() {
    let (told, asked) = play(body("handoff", &["a", "b", "c"], json!({})), hands(&[("a", "c")]));
    assert_eq!(whos(&asked), ["a", "c"]);
    assert_eq!(asked[0].tools, ["handoff_to_b", "handoff_to_c"], "a mesh by default");
    assert_eq!((told.stopped_by(), told.outcome().iterations), (StoppedBy::Completed, 2));
    let event = &told.bodies(Kind::Handoff)[0];
    assert_eq!(event["reason"], json!("c knows better"));
    assert_eq!((&event["context_messages"], &event["context_chars"]), (&json!(1), &json!(8)));
    assert!(told.bodies(Kind::ToolCalled).is_empty(), "the hand-off is no tool that runs");
}

#[test]
fn routes_and_start_bound_who_can_be_reached() {
    let options = json!({"start": "b", "routes": {"b": [{"to": "c", "description": "for everything"}], "c": []}});
    let (told, asked) = play(body("handoff", &["a", "b", "c"], options), hands(&[("b", "c"), ("c", "a")]));
    assert_eq!(whos(&asked), ["b", "c"]);
    assert_eq!(asked[0].tools, ["handoff_to_c"]);
    assert!(asked[1].tools.is_empty() && told.stopped_by() == StoppedBy::Completed);
}

#[test]
fn ping_pong_ends_with_an_answer_and_the_reason() {
    const PING: &[(&str, &str)] = &[("a", "b"), ("b", "a")];
    let (told, asked) = play(body("handoff", &["a", "b"], json!({})), hands(PING));
    assert_eq!(told.stopped_by(), StoppedBy::Cycle);
    assert_eq!(whos(&asked), ["a", "b", "a", "a"], "the second time for the same reason is noticed");
    assert!(told.output().as_str().unwrap().contains("Write the final answer"));

    let vary = |a: &Asked| match a.tools.first() {
        Some(tool) => call(tool, json!({"reason": format!("reason {}", a.said.join("").len())})),
        None => echo(a),
    };
    let (told, _) = play(body("handoff", &["a", "b"], json!({"max_handoffs": 1})), hands(PING));
    assert_eq!(told.stopped_by(), StoppedBy::MaxHandoffs);
    let (told, asked) = play(body("handoff", &["a", "b"], json!({"max_per_edge": 1})), vary);
    assert_eq!((told.stopped_by(), whos(&asked)), (StoppedBy::Completed, vec!["a", "b", "a"]), "each edge once");
}

#[test]
fn an_agent_that_fails_gives_the_work_back() {
    let table = hands(&[("a", "b")]);
    let (told, asked) =
        play(body("handoff", &["a", "b"], json!({})), move |a| if a.who == "b" { gone() } else { table(a) });
    assert_eq!((told.stopped_by(), whos(&asked)), (StoppedBy::Completed, vec!["a", "b", "a"]));
    assert!(asked[2].tools.is_empty(), "not to the broken one again");
    assert!(asked[2].said.iter().any(|s| s.contains("could not take the work over")));
}

#[test]
fn the_user_is_asked_until_there_is_no_more_to_say() {
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = Rc::clone(&log);
    let world = World::new(move |spawn, _| {
        seen.borrow_mut().push(Asked::of(spawn).last().to_owned());
        echo(&Asked::of(spawn))
    });
    let words = ["and the other card?", ""];
    let world = world.with_messages(move |run, frames| {
        let at = frames.iter().filter(|f| f.kind == Kind::SignalReceived).count();
        let Some(word) = words.get(at).filter(|_| frames.iter().filter(|f| f.kind == Kind::AgentMessage).count() > at)
        else {
            return Vec::new();
        };
        let payload = serde_json::value::to_raw_value(word).unwrap();
        let body = serde_json::to_vec(&Signal { name: "user".into(), payload }).unwrap().into();
        vec![InboxItem { run, dedup: format!("signal:user:{at}"), kind: Inbox::Signal as u8, body }]
    });
    let runs = vec![request(&body("handoff", &["a"], json!({"ask_user": true})))];
    let story = Story { seed: 1, runs, faults: Faults::default(), crash_at: None, core: Default::default() };
    let told = Told::of(&tell(story, &registry(), world).unwrap().journals[0]);
    assert_eq!((told.stopped_by(), told.outcome().iterations), (StoppedBy::User, 2));
    assert!(log.borrow()[1].contains("and the other card?"));
}

// group_chat

fn speakers(told: &Told) -> Vec<String> {
    told.bodies(Kind::SpeakerSelected).iter().map(|b| b["speaker"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn speakers_take_turns_and_the_chat_closes_with_an_answer() {
    let (told, asked) = play(body("group_chat", &["a", "b"], json!({"until": {"max_messages": 3}})), echo);
    assert_eq!(
        (speakers(&told), told.stopped_by()),
        (vec!["a".into(), "b".into(), "a".into()], StoppedBy::MaxMessages)
    );
    assert_eq!(asked.last().unwrap().who, "manager");
    let options = json!({"until": {"max_messages": 3}, "final_answer": "last"});
    let (told, asked) = play(body("group_chat", &["a", "b"], options), |a| text(format!("{} speaks", a.who)));
    assert_eq!((told.output(), asked.len()), (json!("a speaks"), 3));
}

#[test]
fn a_chatty_group_without_an_end_is_ended() {
    let (told, asked) = play(body("group_chat", &["a", "b"], json!({"max_iterations": 5})), echo);
    assert_eq!((told.stopped_by(), told.outcome().iterations, asked.len()), (StoppedBy::MaxIterations, 5, 6));
    assert!(told.output().as_str().unwrap().starts_with("manager: "));
}

#[test]
fn the_manager_chooses_and_may_end_it() {
    let manager: Answers = |a| {
        if !a.wants("next") {
            return echo(a);
        }
        data(json!({"next": "b", "reason": "b knows", "is_over": a.said.len() > 3}))
    };
    let (told, _) =
        play(body("group_chat", &["a", "b", "c"], json!({"speaker": "llm", "allow_repeat": true})), manager);
    assert_eq!(told.stopped_by(), StoppedBy::Manager);
    let chosen = told.bodies(Kind::SpeakerSelected);
    assert_eq!((&chosen[0]["speaker"], &chosen[0]["reason"]), (&json!("b"), &json!("b knows")));
}

#[test]
fn garbage_from_the_selector_falls_back_to_turns_and_says_so() {
    let garbage: Answers = |a| match () {
        () if a.wants("next") && a.said.len() < 3 => gone(),
        () if a.wants("next") => data(json!({"next": "nobody", "reason": "?", "is_over": false})),
        () => echo(a),
    };
    let options = json!({"speaker": "llm", "until": {"max_messages": 2}});
    let (told, _) = play(body("group_chat", &["a", "b", "c"], options), garbage);
    let chosen = told.bodies(Kind::SpeakerSelected);
    assert_eq!(speakers(&told), ["a", "b"]);
    assert_eq!(chosen[0]["by"], json!("round_robin"));
    assert!(chosen[0]["reason"].as_str().unwrap().contains("could not be used"));
    assert!(chosen[1]["reason"].as_str().unwrap().contains("nobody who may speak"));
    assert_eq!(told.stopped_by(), StoppedBy::MaxMessages);
}

#[test]
fn rules_bids_and_chance_choose_speakers() {
    let rules = json!({"speaker": "rule", "until": {"max_messages": 3},
        "rules": [{"after": "a", "if": {"contains": "task"}, "next": "c"}, {"after": "c", "next": "b"}]});
    let (told, _) = play(body("group_chat", &["a", "b", "c"], rules), |_| text("about the task"));
    assert_eq!(speakers(&told), ["a", "c", "b"]);
    assert!(told.bodies(Kind::SpeakerSelected)[0]["reason"].as_str().unwrap().contains("no rule fits"));

    let bids: Answers = |a| match (a.wants("bid"), a.who.as_str()) {
        (true, "b") => gone(),
        (true, "c") => data(json!({"bid": 9, "reason": "I must"})),
        (true, _) => data(json!({"bid": 2, "reason": "meh"})),
        _ => echo(a),
    };
    let (told, _) =
        play(body("group_chat", &["a", "b", "c"], json!({"speaker": "bid", "until": {"max_messages": 1}})), bids);
    assert_eq!(speakers(&told), ["c"]);
    assert_eq!(told.bodies(Kind::SpeakerSelected)[0]["reason"], json!("bid 9: I must"));

    let options = json!({"speaker": "random", "until": {"max_messages": 8}});
    let (told, _) = play(body("group_chat", &["a", "b", "c"], options), echo);
    let said = speakers(&told);
    assert!(said.windows(2).all(|w| w[0] != w[1]), "nobody twice in a row: {said:?}");
    assert_ne!(said, ["a", "b", "c", "a", "b", "c", "a", "b"]);
}

#[test]
fn candidates_repeat_and_observers_say_who_may_speak() {
    let options = json!({"until": {"max_messages": 3}, "candidates": {"a": ["c"], "c": ["a"]}});
    let (told, _) = play(body("group_chat", &["a", "b", "c"], options), echo);
    assert_eq!(speakers(&told), ["a", "c", "a"]);
    let repeat = json!({"speaker": "rule", "rules": [{"next": "a"}], "until": {"max_messages": 2}});
    let (told, _) = play(body("group_chat", &["a", "b"], repeat.clone()), echo);
    assert_eq!(speakers(&told), ["a", "b"]);
    let mut allowed = repeat;
    allowed["allow_repeat"] = json!(true);
    let (told, _) = play(body("group_chat", &["a", "b"], allowed), echo);
    assert_eq!(speakers(&told), ["a", "a"]);
    let options = json!({"until": {"max_messages": 2}, "observers": ["b"], "allow_repeat": true});
    let (told, asked) = play(body("group_chat", &["a", "b"], options), echo);
    assert_eq!(speakers(&told), ["a", "a"]);
    assert_eq!(whos(&asked), ["a", "a", "b", "manager"], "the observer writes its note at the end");
}

#[test]
fn a_speaker_that_fails_is_left_out() {
    let failing: Answers = |a| if a.who == "b" { gone() } else { echo(a) };
    let options = json!({"until": {"max_messages": 3}, "allow_repeat": true});
    let (told, _) = play(body("group_chat", &["a", "b"], options), failing);
    assert_eq!(speakers(&told), ["a", "b", "a", "a"]);
    assert!(told.log().contains("b failed and speaks no more"));
    let (told, _) = play(body("group_chat", &["a", "b"], json!({})), |_| gone());
    assert_eq!(told.status, Status::Failed, "nobody said anything");
}

#[test]
fn a_human_speaks_and_a_hand_off_ends_the_chat() {
    let mut request = body("group_chat", &["a"], json!({"until": {"max_messages": 2}}));
    request["agents"].as_array_mut().unwrap().push(json!({"name": "ann", "kind": "human"}));
    let decide = |request: &Value| {
        (request["wants"] == "answer").then(|| (Verdict::Approve, None, Some(json!("I agree with a."))))
    };
    let (told, asked) = play_with(request, echo, decide);
    assert_eq!(speakers(&told), ["a", "ann"]);
    assert!(asked[1].said.iter().any(|s| s.contains("I agree with a.")));

    let handing = |a: &Asked| match a.tools.as_slice() {
        [tool] if a.who == "b" => call(tool, json!({"reason": "needs a person"})),
        _ => echo(a),
    };
    let (told, _) = play(body("group_chat", &["a", "b"], json!({"until": {"handoff": "user"}})), handing);
    assert_eq!((told.stopped_by(), speakers(&told).len()), (StoppedBy::Handoff, 2));
}

// dynamic

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

// all patterns

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
    assert_eq!(asked[2].said, ["x:\nx heard 1\n\ny:\ny heard 1"]);
    assert_eq!(told.status, Status::Completed);
}
