//! `/sessions…`, and how runs take part in them.

use crate::client::{Client, Reply};
use serde_json::{Value, json};

async fn say(client: &Client, session: &str, text: &str) -> Value {
    let body = json!({"workflow": "hears", "input": text, "session_id": session});
    let reply = client.post("/v1/runs?wait=20", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn contents(session: &Value) -> Vec<String> {
    session["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
}

fn not_found(reply: &Reply) -> bool {
    reply.status == 404 && reply.class() == "NotFound"
}

#[tokio::test]
async fn a_session_holds_what_was_said() {
    let client = Client::new().await;
    assert!(not_found(&client.get("/sessions/s").await));
    let first = say(&client, "s", "a").await;
    let second = say(&client, "s", "b").await;
    assert_eq!((&first["output"], &second["output"]), (&json!("+a"), &json!("a,+a+b")));
    let session = client.get("/sessions/s").await.json();
    assert_eq!(contents(&session), ["a", "+a", "b", "a,+a+b"]);
    assert_eq!(
        (&session["session_id"], &session["user_id"], &session["state"]),
        (&json!("s"), &json!("local"), &json!("idle"))
    );
    assert!(
        session["updated_at"].as_str() > session["created_at"].as_str()
            || session["updated_at"] == session["created_at"]
    );
    let message = &session["messages"][0];
    assert_eq!((&message["role"], &message["run_id"]), (&json!("user"), &first["run_id"]));
    assert!(message["at"].as_str().unwrap().ends_with('Z') && session.get("run_id").is_none());
}

#[tokio::test]
async fn a_pattern_is_a_turn_like_any_other() {
    let client = Client::new().await;
    let body = json!({"pattern": "sequential", "input": "why?", "agents": ["llm"], "session_id": "s"});
    let done = client.post("/orchestrate", &body).await.json();
    assert_eq!((&done["session_id"], &done["output"]), (&json!("s"), &json!("why?")));
    let stream = client.post("/orchestrate/stream", &body).await;
    assert_eq!(stream.events().last().unwrap().kind, "run.completed");
    let session = client.get("/sessions/s").await.json();
    assert_eq!(contents(&session), ["why?"; 4]);
    assert_eq!(session["messages"][1]["agent"], "llm");
}

#[tokio::test]
async fn pages_go_back_in_time() {
    let client = Client::new().await;
    for n in 0..5 {
        client.post("/v1/runs?wait=20", &json!({"workflow": "echo", "input": format!("{n}"), "session_id": "s"})).await;
    }
    let (mut seen, mut path) = (Vec::new(), String::from("/sessions/s?limit=2"));
    loop {
        let page = client.get(&path).await.json();
        seen.push(contents(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/sessions/s?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [vec!["3", "3", "4", "4"], vec!["1", "1", "2", "2"], vec!["0", "0"]]);
    say(&client, "t", "x").await;
    let other = client.get("/sessions/s?limit=2").await.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&format!("/sessions/t?cursor={other}")).await.detail().len(), 1);
}

#[tokio::test]
async fn sessions_are_listed_newest_first() {
    let client = Client::new().await;
    for session in ["a", "b b/ü", "c"] {
        say(&client, session, "x").await;
    }
    say(&client, "a", "y").await;
    let (mut seen, mut path) = (Vec::new(), String::from("/sessions?limit=2"));
    loop {
        let page = client.get(&path).await.json();
        let names = page["items"].as_array().unwrap().iter().map(|s| s["session_id"].as_str().unwrap().to_owned());
        seen.extend(names);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/sessions?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["c", "b b/ü", "a"]);
    assert_eq!(client.get("/sessions/b%20b%2F%C3%BC").await.json()["session_id"], "b b/ü");
    assert_eq!(
        client.get("/sessions?cursor=x").await.detail(),
        ["query.cursor: this cursor was not given by this list"]
    );
}

#[tokio::test]
async fn the_context_is_what_the_next_run_reads() {
    let client = Client::new().await;
    for text in ["a", "b", "c"] {
        say(&client, "s", text).await;
    }
    let context = client.get("/sessions/s/context?window_messages=4").await.json();
    assert_eq!(contents(&context), ["b", "a,+a+b", "c", "a,+a,b,a,+a+b+c"]);
    assert_eq!(
        (&context["turns"], &context["window"]),
        (&json!({"from": 2, "head": 3}), &json!({"messages": 4, "tokens": 8_000}))
    );
    let (dropped, first) = (&context["dropped"], &client.get("/sessions/s").await.json()["messages"][0]["run_id"]);
    assert_eq!(dropped, &json!({"from": 1, "to": 1, "runs": [first]}), "what is left out says where it can be read");
    let body = json!({"workflow": "hears", "input": "d", "session_id": "s", "session": {"window_messages": 4}});
    let read = client.post("/v1/runs?wait=20", &body).await.json()["output"].clone();
    assert_eq!(read, "b,a,+a+b,c,a,+a,b,a,+a+b+c+d", "the same");
    let nothing = client.get("/sessions/s/context?window_tokens=0").await.json();
    assert_eq!((&nothing["turns"], &nothing["tokens"]), (&json!({"from": null, "head": 4}), &json!(0)));

    let markdown = client.get("/sessions/s/context?window_messages=2&format=markdown").await;
    assert_eq!(markdown.header("content-type"), "text/markdown; charset=utf-8");
    assert!(
        markdown.text.starts_with("# Session s\n\nNot read: turns 1 to 3 (")
            && markdown.text.contains(").\n\n## User, 20")
            && markdown.text.contains("\n\nd\n\n## Assistant, 20"),
        "{}",
        markdown.text
    );
    let accepted = client.send("GET", "/sessions/s/context", &[("accept", "text/markdown;q=1, */*")], "").await;
    assert_eq!(accepted.header("content-type"), "text/markdown; charset=utf-8");
    assert_eq!(client.get("/sessions/s/context?format=pdf&window_tokens=x").await.detail().len(), 2);
    assert!(not_found(&client.get("/sessions/t/context").await));
}

#[tokio::test]
async fn a_busy_session_says_who_is_at_work() {
    let client = Client::new().await;
    let holder = client.start(&json!({"workflow": "hang", "session_id": "s"})).await;
    let session = client.get("/sessions/s").await.json();
    assert_eq!(
        (&session["state"], &session["run_id"], &session["messages"]),
        (&json!("busy"), &json!(holder), &json!([]))
    );
    let refused = client.post("/v1/runs", &json!({"workflow": "echo", "session_id": "s", "on_busy": "reject"})).await;
    assert_eq!(
        (refused.status, refused.class().as_str(), &refused.json()["run_id"]),
        (409, "Conflict", &json!(holder))
    );
    let queued = client.start(&json!({"workflow": "echo", "input": 1, "session_id": "s"})).await;
    assert_eq!(client.get(&format!("/v1/runs/{queued}")).await.json()["status"], "queued");
    let body = json!({"workflow": "hears", "input": "now", "session_id": "s", "on_busy": "interrupt"});
    assert_eq!(client.post("/v1/runs?wait=20", &body).await.json()["output"], "+now");
    assert_eq!(client.get(&format!("/v1/runs/{holder}")).await.json()["status"], "cancelled");
    client.until(&queued, "run.completed").await;

    let patient = client.start(&json!({"workflow": "patient", "session_id": "t"})).await;
    client.until(&patient, "run.waiting").await;
    assert_eq!(client.get("/sessions/t").await.json()["state"], "waiting");
}

#[tokio::test]
async fn a_deleted_session_is_gone_and_its_runs_stay() {
    let client = Client::new().await;
    let done = say(&client, "s", "a").await;
    let holder = client.start(&json!({"workflow": "hang", "session_id": "s"})).await;
    let queued = client.start(&json!({"workflow": "echo", "session_id": "s"})).await;
    let deleted = client.delete("/sessions/s").await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert!(not_found(&client.delete("/sessions/s").await) && not_found(&client.get("/sessions/s").await));
    for run in [&holder, &queued] {
        client.until(run, "run.cancelled").await;
    }
    let run = client.get(&format!("/v1/runs/{}", done["run_id"].as_str().unwrap())).await.json();
    assert_eq!((&run["status"], &run["session_id"]), (&json!("completed"), &json!("s")));
    assert_eq!(say(&client, "s", "b").await["output"], "+b", "a new one of that name begins anew");
}

#[tokio::test]
async fn what_is_wrong_about_a_session_is_named() {
    let client = Client::new().await;
    let body = json!({"workflow": "echo", "on_busy": "wait",
        "session": {"window_messages": -1, "window_tokens": "5", "compaction": "fold", "window": 5}});
    assert_eq!(
        client.post("/v1/runs", &body).await.detail(),
        [
            "body.on_busy: this needs a session_id",
            "body.session: this needs a session_id",
            "body.on_busy: \"wait\" is not one of: queue, reject, interrupt, rollback, parallel",
            "body.session.window_messages: window_messages must be an integer from 0 to 1000",
            "body.session.window_tokens: value is not a valid integer",
            "body.session.compaction: \"fold\" is not one of: drop, summary",
            "body.session.window: unknown key \"window\"; did you mean \"window_messages\"?",
        ]
    );
}
