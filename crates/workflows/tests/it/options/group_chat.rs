//! Options of `group_chat`.

use super::*;

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
