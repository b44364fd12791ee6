//! Commands against a server: what they send, how they go on after a cut, how they tell of refusals.

use crate::fake::{Fake, answer, json, stream};
use crate::tutti::Tutti;

const HEAD: &str = "id: 1\nevent: run.queued\ndata: {\"at\":\"2026-01-01T00:00:00.000Z\",\"run_id\":\"r1\",\"workflow\":\"sequential\",\"input\":{}}\n\n\
    : keep-alive\n\n\
    id: 2\nevent: agent.started\ndata: {\"key\":\"a\",\"agent\":\"writer\"}\n\n\
    id: 3\nevent: agent.delta\ndata: {\"key\":\"a\",\"attempt\":1,\"offset\":0,\"text\":\"Hello \"}\n\n";
const TAIL: &str = "id: 4\nevent: agent.delta\ndata: {\"key\":\"a\",\"attempt\":1,\"offset\":6,\"text\":\"you.\"}\n\n\
    id: 5\nevent: agent.message\ndata: {\"key\":\"a\",\"agent\":\"writer\",\"output\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}},\"text\":\"Hello you.\"}\n\n\
    id: 6\nevent: run.completed\ndata: {\"at\":\"2026-01-01T00:00:00.250Z\",\"output\":{\"output\":\"Hello you.\",\"stopped_by\":\"answer\",\"iterations\":1}}\n\n";
const RUN: &str = r#"{"run_id":"r1","workflow":"sequential","status":"completed","output":{"output":"Hello you.","stopped_by":"answer"},"usage":{"tokens":5}}"#;

#[test]
fn a_cut_stream_is_resumed_behind_the_last_event() {
    let cut_inside_an_event = format!("{HEAD}id: 4\nevent: agent.delta\ndata: {{\"key\"");
    let fake = Fake::start(vec![
        stream(Some("/v1/runs/r1/events"), &cut_inside_an_event),
        answer(503, "application/json", "retry-after: 1\r\n", r#"{"error":"Unavailable","message":"starting"}"#),
        stream(None, ""),
        stream(None, TAIL),
        json(200, RUN),
    ]);
    let tutti = Tutti::new().env("TUTTI_KEY", "tt_1_secret");
    let done = tutti.run(&["run", "sequential", "--agents", "writer", "--input", "hi", "--follow", "--url", &fake.url]);
    let story = "run r1 · sequential\n▸ writer\n  Hello you.\n✔ completed in 250 ms · 5 tokens · stopped by answer\n";
    assert_eq!((done.code, done.out.as_str()), (0, story), "{}", done.err);
    assert_eq!(done.err, "tutti: the connection was cut after event 3; resuming\n");

    let asked = fake.asked();
    assert_eq!(asked[0].line, "POST /orchestrate/stream");
    assert_eq!(asked[0].body, r#"{"pattern":"sequential","agents":["writer"],"input":"hi"}"#);
    for resumed in &asked[1..4] {
        assert_eq!(resumed.line, "GET /v1/runs/r1/events");
        assert!(resumed.headers.contains("last-event-id: 3\r\n"), "{resumed:?}");
    }
    assert_eq!(asked[4].line, "GET /v1/runs/r1?journal=false");
    assert!(asked.iter().all(|a| a.headers.contains("authorization: bearer tt_1_secret\r\n")), "{asked:?}");
}

#[test]
fn without_follow_only_the_answer_is_on_stdout() {
    let whole = format!("{HEAD}{TAIL}");
    let fake = Fake::start(vec![stream(None, &whole), json(200, RUN)]);
    let done = Tutti::new()
        .run_with(&["run", "sequential", "--agents", "a,b", "--input", "-", "--url", &fake.url], "from stdin\n");
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "Hello you.\n", "run r1 · 5 tokens\n"));
    assert_eq!(fake.asked()[0].body, r#"{"pattern":"sequential","agents":["a","b"],"input":"from stdin"}"#);

    let fake = Fake::start(vec![stream(None, &whole), json(200, RUN)]);
    let done = Tutti::new().run(&["run", "sequential", "--agents", "a", "--json", "--url", &fake.url]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&done.out).unwrap()["run_id"], "r1");
}

#[test]
fn a_workflow_is_posted_as_a_run_and_each_event_is_a_line() {
    let fake = Fake::start(vec![
        json(202, r#"{"run_id":"r1","status":"queued"}"#),
        stream(None, &format!("{HEAD}{TAIL}")),
        json(200, RUN),
    ]);
    let tutti = Tutti::new().file("run.toml", "workflow = 'noop'\npriority = 7\n[input]\nn = 5\n");
    let done = tutti.run(&["run", "run.toml", "--follow", "--json", "--url", &fake.url]);
    assert_eq!(done.code, 0, "{done:?}");
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[1] == r#"{"event":"agent.started","key":"a","agent":"writer","seq":2}"#, "{}", lines[1]);
    let asked = fake.asked();
    assert_eq!(asked[0].line, "POST /v1/runs");
    assert_eq!(asked[0].body, r#"{"input":{"n":5},"priority":7,"workflow":"noop"}"#);
    assert!(!asked[1].headers.contains("last-event-id"), "{:?}", asked[1]);
}

#[test]
fn a_failed_run_fails_the_command() {
    let failed = "id: 4\nevent: run.failed\ndata: {\"error\":{\"class\":\"LlmError\",\"message\":\"no answer\",\"agent\":\"writer\"}}\n\n";
    let run =
        r#"{"run_id":"r1","status":"failed","error":{"class":"LlmError","message":"no answer","agent":"writer"}}"#;
    let fake = Fake::start(vec![stream(None, &format!("{HEAD}{failed}")), json(200, run)]);
    let done = Tutti::new().run(&["run", "sequential", "--agents", "writer", "--url", &fake.url]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert_eq!(
        done.err,
        "tutti: run r1 failed: LlmError: no answer (agent writer); `tutti runs events` with its id tells more\n"
    );
}

#[test]
fn a_run_that_needs_a_person_is_not_waited_for() {
    let blocked = "id: 4\nevent: run.blocked\ndata: {\"reason\":\"poison\",\"message\":\"crashed five times\"}\n\n";
    let fake = Fake::start(vec![
        stream(None, &format!("{HEAD}{blocked}")),
        json(200, r#"{"run_id":"r1","status":"blocked"}"#),
    ]);
    let done = Tutti::new().run(&["runs", "events", "r1", "--url", &fake.url]);
    assert!(
        done.code == 0 && done.out.ends_with("✗ blocked, needs a person (poison): crashed five times\n"),
        "{done:?}"
    );
    assert_eq!(done.err, "tutti: run r1 needs a person\n");
}

#[test]
fn an_ended_run_has_no_more_events() {
    let fake = Fake::start(vec!["HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".into()]);
    let done = Tutti::new().run(&["runs", "events", "r1", "--after", "9", "--url", &fake.url]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""));
    assert!(fake.asked()[0].headers.contains("last-event-id: 9\r\n"));
}

#[test]
fn every_field_error_has_its_line() {
    let body = r#"{"detail":[{"loc":["body","agents",0],"msg":"there is no agent named \"writr\"; did you mean \"writer\"?","type":"value_error"},
        {"loc":["body","input"],"msg":"field required","type":"value_error.missing"}]}"#;
    let fake = Fake::start(vec![json(422, body)]);
    let done = Tutti::new().run(&["run", "sequential", "--agents", "writr", "--url", &fake.url]);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert_eq!(
        done.err,
        "tutti: agents[0]: there is no agent named \"writr\"; did you mean \"writer\"?\ntutti: input: field required\n"
    );
}

#[test]
fn runs_are_listed_and_told_things() {
    let page = r#"{"items":[{"run_id":"r2","workflow":"concurrent","status":"completed","created_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:01Z"},
        {"run_id":"r1","workflow":"x\u001b[2J","status":"running","created_at":"2026-01-01T00:00:00Z","ended_at":null}],"next_cursor":"c"}"#;
    let fake = Fake::start(vec![
        json(200, page),
        json(202, r#"{"run_id":"r1","status":"running"}"#),
        json(200, r#"{"run_id":"r1","name":"go"}"#),
        json(404, r#"{"error":"NotFound","message":"there is no run r 9","request_id":"q"}"#),
    ]);
    let tutti = Tutti::new().env("TUTTI_URL", &fake.url);
    let done = tutti.run(&["runs", "list", "--status", "running", "--limit", "2"]);
    let table = "RUN  STATUS     CREATED               ENDED                 WORKFLOW\n\
                 r2   completed  2026-01-01T00:00:00Z  2026-01-01T00:00:01Z  concurrent\n\
                 r1   running    2026-01-01T00:00:00Z  -                     x\u{fffd}[2J\n";
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, table, "more: tutti runs list --cursor c\n"));
    assert_eq!(tutti.run(&["runs", "cancel", "r1", "--reason", "late"]).out, "r1  stopping; see tutti runs get\n");
    assert_eq!(tutti.run(&["runs", "signal", "r1", "go", "--payload", "{\"a\":1}"]).out, "r1  signal go taken\n");
    let done = tutti.run(&["runs", "reject", "r 9", "turn[1]/ask", "--note", "no", "--hash", "h"]);
    assert_eq!((done.code, done.err.as_str()), (1, "tutti: NotFound: there is no run r 9 (request q)\n"));

    let asked = fake.asked();
    assert_eq!(asked[0].line, "GET /v1/runs?status=running&limit=2");
    assert_eq!((asked[1].line.as_str(), asked[1].body.as_str()), ("POST /v1/runs/r1/cancel", r#"{"reason":"late"}"#));
    assert_eq!(
        (asked[2].line.as_str(), asked[2].body.as_str()),
        ("POST /v1/runs/r1/signal", r#"{"name":"go","payload":{"a":1}}"#)
    );
    assert_eq!(asked[3].line, "POST /v1/runs/r%209/approve");
    assert_eq!(asked[3].body, r#"{"approval_id":"turn[1]/ask","decision":"reject","note":"no","hash":"h"}"#);
}

#[test]
fn a_stranger_is_recognised() {
    let fake = Fake::start(vec![answer(200, "text/html", "", "<html>")]);
    let done = Tutti::new().run(&["runs", "list", "--url", &fake.url]);
    let expected =
        format!("tutti: {} answered 200 with something that is not Tutti's; is it the right address?\n", fake.url);
    assert_eq!((done.code, done.err), (1, expected));
}
