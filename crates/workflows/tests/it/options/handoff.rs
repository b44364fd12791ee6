//! Options of `handoff`.

use super::*;

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
