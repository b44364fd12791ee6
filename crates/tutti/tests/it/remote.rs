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

#[test]
fn approvals_sessions_patterns_and_workflows_are_tables_or_json() {
    let approvals = r#"{"items":[{"approval_id":"a/1","run_id":"r1","workflow":"w","requested_at":"t","deadline":null,"request":{"act":"pay 5"},"hash":"h1"},
        {"approval_id":"b","run_id":"r2","workflow":"w","requested_at":"t","deadline":"u","request":{"amount":5},"hash":"h2"}],"next_cursor":"c 1"}"#;
    let sessions = r#"{"items":[{"session_id":"s1","state":"idle","run_id":null,"created_at":"t","updated_at":"u"}],"next_cursor":null}"#;
    let patterns = r#"{"items":[{"name":"sequential","description":"One after the other.","options":{"properties":{"pass":{"description":"What the next reads"}}},"example":{"pattern":"sequential"}}]}"#;
    let fake = Fake::start(vec![
        json(200, approvals),
        json(200, approvals),
        json(200, r#"{"items":[],"next_cursor":null}"#),
        json(200, sessions),
        json(200, patterns),
        json(200, patterns),
        json(200, patterns),
    ]);
    let tutti = Tutti::new().env("TUTTI_URL", &fake.url);
    let done = tutti.run(&["approvals", "list", "--limit", "2"]);
    let table = "RUN  APPROVAL  ABOUT         UNTIL  SINCE  HASH\nr1   a/1       pay 5         -      t      h1\nr2   b         {\"amount\":5}  u      t      h2\n";
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, table, "more: --cursor c 1\n"));
    let all = tutti.run(&["approvals", "list", "--cursor", "c 1", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&all.out).unwrap()["items"][1]["hash"], "h2");
    let none = tutti.run(&["approvals", "list"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "no approvals that wait\n"));
    let table = "SESSION  STATE  RUN  CREATED  UPDATED\ns1       idle   -    t        u\n";
    assert_eq!(tutti.run(&["sessions", "list"]).out, table);
    assert_eq!(tutti.run(&["patterns"]).out, "PATTERN     WHAT IT DOES\nsequential  One after the other.\n");
    let one = tutti.run(&["patterns", "sequential"]).out;
    assert!(one.contains("\n  pass  What the next reads\n") && one.contains("\"pattern\": \"sequential\""), "{one}");
    let unknown = tutti.run(&["patterns", "x"]);
    assert_eq!(
        (unknown.code, unknown.err.as_str()),
        (1, "tutti: there is no pattern named \"x\"; there are: sequential\n")
    );
    let asked: Vec<String> = fake.asked().into_iter().map(|a| a.line).collect();
    assert_eq!(asked[..2], ["GET /v1/approvals?limit=2", "GET /v1/approvals?cursor=c+1"]);
    assert_eq!(asked[3..5], ["GET /sessions", "GET /patterns"]);
}

#[test]
fn a_session_is_told_given_as_it_is_and_deleted() {
    let context = r#"{"session_id":"s 1","messages":[{"role":"user","content":"Hi","at":"t"},{"agent":"clerk","content":"Hello\u001b[2J","at":"u"}]}"#;
    let fake = Fake::start(vec![
        json(200, context),
        json(200, context),
        answer(200, "text/markdown", "", "# s 1\n\n**user**: Hi\u{1b}[2J\n\n"),
        "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".into(),
        json(404, r#"{"error":"NotFound","message":"there is no session s 1"}"#),
    ]);
    let tutti = Tutti::new().env("TUTTI_URL", &fake.url);
    assert_eq!(tutti.run(&["sessions", "context", "s 1"]).out, "user t\nHi\n\nclerk u\nHello\u{fffd}[2J\n\n");
    let json = tutti.run(&["sessions", "context", "s 1", "--format", "json"]).out;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["session_id"], "s 1");
    let markdown = tutti.run(&["sessions", "context", "s 1", "--format", "markdown"]).out;
    assert_eq!(markdown, "# s 1\n\n**user**: Hi\u{fffd}[2J\n");
    let gone = tutti.run(&["sessions", "delete", "s 1"]);
    assert_eq!((gone.code, gone.out.as_str(), gone.err.as_str()), (0, "", "session s 1 is deleted\n"));
    let none = tutti.run(&["sessions", "get", "s 1"]);
    assert_eq!((none.code, none.err.as_str()), (1, "tutti: NotFound: there is no session s 1\n"));
    let asked: Vec<String> = fake.asked().into_iter().map(|a| a.line).collect();
    assert_eq!(asked[1..3], ["GET /sessions/s%201/context", "GET /sessions/s%201/context?format=markdown"]);
    assert_eq!(asked[3], "DELETE /sessions/s%201");
}
