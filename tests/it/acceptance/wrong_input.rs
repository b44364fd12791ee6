//! Input that is wrong: the error says where, all of it at once, and nothing of ours.

use super::{QUESTION, three};
use serde_json::{Value, json};
use tutti_tests::chance::Chance;
use tutti_tests::client::{Answer, Call};
use tutti_tests::server::Server;

async fn orchestrate(server: &Server, body: &Value) -> Answer {
    server.client().post("/orchestrate", body).await
}

fn raw(server: &Server, body: impl Into<bytes::Bytes>) -> Call {
    server.client().post("/orchestrate", &Value::Null).body(body)
}

#[tokio::test]
async fn all_errors_are_told_at_once() {
    let server = Server::start().await;
    let body = json!({"pattern": "concurent", "agents": [], "session_id": 7, "options": {"max_parallel": -1}});
    let answer = orchestrate(&server, &body).await;
    let mut wrong = answer.wrong();
    wrong.retain(|place| place != "body.options.max_parallel");
    wrong.sort();
    assert_eq!(wrong, ["body.agents", "body.input", "body.pattern", "body.session_id"], "{}", answer.text());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = Server::start().await;
    let answer = orchestrate(&server, &json!({})).await;
    assert_eq!(answer.wrong(), ["body.pattern", "body.input", "body.agents"]);
    let first = &answer.json()["detail"][0];
    assert_eq!(first, &json!({"loc": ["body", "pattern"], "msg": "field required", "type": "value_error.missing"}));
}

#[tokio::test]
async fn an_unknown_pattern_is_named() {
    let server = Server::start().await;
    let details = orchestrate(&server, &three("sequentiall")).await.details();
    assert_eq!(details.len(), 1);
    assert_eq!(details[0].0, "body.pattern");
    assert!(details[0].1.contains("\"sequentiall\"") && details[0].1.contains("\"sequential\""), "{details:?}");
}

#[tokio::test]
async fn an_unknown_agent_is_named() {
    let server = Server::start().await;
    let details = orchestrate(&server, &json!({"pattern": "sequential", "input": "x", "agents": ["llm", "nobody"]}))
        .await
        .details();
    assert_eq!(details[0].0, "body.agents.1");
    assert!(details[0].1.contains("nobody"), "{details:?}");
}

#[tokio::test]
async fn an_empty_team_is_refused() {
    let server = Server::start().await;
    for pattern in ["sequential", "concurrent"] {
        let answer = orchestrate(&server, &json!({"pattern": pattern, "input": "x", "agents": []})).await;
        assert_eq!(answer.wrong(), ["body.agents"], "{pattern}");
    }
}

#[tokio::test]
async fn bounds_that_are_none_are_refused() {
    let server = Server::start().await;
    let wrong = [json!(-1), json!(0), json!("100"), json!(true), json!(null), json!([])];
    for bound in ["max_iterations", "max_parallel", "quorum"] {
        for value in wrong.iter().chain([&json!(2.0), &json!(1.5)]) {
            let mut body = three("concurrent");
            body["options"] = json!({bound: value});
            let answer = orchestrate(&server, &body).await;
            // An explicit null may stand for an absent bound.
            if value.is_null() && answer.status == 200 {
                continue;
            }
            assert_eq!(answer.wrong(), [format!("body.options.{bound}")], "{bound} = {value}");
        }
    }
    for value in [json!(-0.5), json!(0), json!("1"), json!(1e300)] {
        let mut body = three("sequential");
        body["options"] = json!({"timeout_seconds": value});
        assert_eq!(orchestrate(&server, &body).await.wrong(), ["body.options.timeout_seconds"], "{value}");
    }
}

#[tokio::test]
async fn a_mistyped_bound_is_not_no_bound() {
    let server = Server::start().await;
    let mut body = three("sequential");
    body["options"] = json!({"max_iteration": 3});
    let details = orchestrate(&server, &body).await.details();
    assert_eq!(details[0].0, "body.options.max_iteration");
    assert!(details[0].1.contains("max_iterations"), "{details:?}");
}

#[tokio::test]
async fn what_this_version_cannot_do_is_said_not_ignored() {
    let server = Server::start().await;
    let mut body = three("sequential");
    body["agents"] = json!([{"name": "a", "kind": "queue", "instructions": "x"}]);
    assert_eq!(orchestrate(&server, &body).await.wrong(), ["body.agents.0.kind"]);
    let body = json!({"pattern": "sequential", "input": "x", "agents": ["search"]});
    assert_eq!(orchestrate(&server, &body).await.status, 503);
}

#[tokio::test]
async fn agents_are_checked_field_by_field() {
    let server = Server::start().await;
    let agents = json!([{"name": ""}, {"instructions": "x"}, {"name": "a", "instructions": 5, "model": []}, 7]);
    let wrong = orchestrate(&server, &json!({"pattern": "sequential", "input": "x", "agents": agents})).await.wrong();
    for place in [
        "body.agents.0.name",
        "body.agents.1.name",
        "body.agents.2.instructions",
        "body.agents.2.model",
        "body.agents.3",
    ] {
        assert!(wrong.iter().any(|w| w == place), "{place} is not among {wrong:?}");
    }
}

#[tokio::test]
async fn two_agents_of_one_name_are_refused() {
    let server = Server::start().await;
    let answer = orchestrate(&server, &json!({"pattern": "sequential", "input": "x", "agents": ["llm", "llm"]})).await;
    assert_eq!(answer.wrong(), ["body.agents.1"]);
}

#[tokio::test]
async fn runs_are_checked_the_same_way() {
    let server = Server::start().await;
    let post = |body: Value| server.client().post("/v1/runs", &body);
    assert_eq!(post(json!({"workflow": "nope", "input": 1})).await.wrong(), ["body.workflow"]);
    assert_eq!(post(json!({"input": 1})).await.wrong(), ["body.workflow"]);
    let body =
        json!({"workflow": "sequential", "input": {"agents": ["nobody"]}, "priority": 10, "timeout_seconds": -1});
    let mut wrong = post(body).await.wrong();
    wrong.sort();
    assert_eq!(wrong, ["body.input.agents.0", "body.input.input", "body.priority", "body.timeout_seconds"]);
    assert_eq!(
        post(json!({"workflow": "noop", "input": {}, "schedule_at": "soon"})).await.wrong(),
        ["body.schedule_at"]
    );
    assert_eq!(server.client().post("/v1/runs?wait=301", &json!({"workflow": "noop"})).await.wrong()[0], "query.wait");
}

#[tokio::test]
async fn broken_json_is_shown_where_it_breaks() {
    let server = Server::start().await;
    let answer = raw(&server, r#"{"pattern": "sequential", }"#).await;
    let _ = answer.wrong();
    let error = &answer.json()["detail"][0];
    assert_eq!((&error["type"], &error["loc"][0]), (&json!("value_error.jsondecode"), &json!("body")));
    let offset = error["loc"][1].as_u64().unwrap();
    assert!((24..=28).contains(&offset), "{error}");
    for body in ["", "[1,2", "nul", "\"\\ud800\"", "{\"a\":1}{\"b\":2}", "{\"a\":1,\"a\":"] {
        assert_eq!(raw(&server, body).await.expect(422).status, 422, "{body:?}");
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_refused() {
    let server = Server::start().await;
    for body in ["[]", "7", "\"x\"", "true"] {
        assert_eq!(raw(&server, body).await.wrong(), ["body"], "{body}");
    }
}

#[tokio::test]
async fn characters_that_no_store_takes_are_refused() {
    let server = Server::start().await;
    let mut body = three("sequential");
    body["input"] = json!("a\u{0}b");
    assert_eq!(orchestrate(&server, &body).await.wrong(), ["body.input"]);
    let answer = raw(&server, &b"{\"pattern\":\"\xff\"}"[..]).await.expect(400);
    assert_eq!(answer.class(), "BadRequest");
}

#[tokio::test]
async fn depth_is_bounded() {
    let server = Server::start().await;
    let deep = format!(
        "{{\"pattern\":\"sequential\",\"agents\":[\"llm\"],\"input\":{}1{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let answer = raw(&server, deep).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
}

#[tokio::test]
async fn size_is_bounded() {
    let server = Server::start().await;
    let huge = json!({"pattern": "sequential", "agents": ["llm"], "input": "x".repeat(64 << 20)});
    // The server may answer, and close, before it has read all of it.
    if let Ok(answer) = server.client().post("/orchestrate", &huge).attempt().await {
        assert_eq!(answer.expect(413).class(), "PayloadTooLarge");
    }
    let claimed = raw(&server, "{}").header("content-length", 64 << 20).attempt();
    drop(claimed);
    let _ = server.client().get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn only_json_is_taken() {
    let server = Server::start().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer = raw(&server, three("sequential").to_string()).header("content-type", kind).await.expect(415);
        assert_eq!(answer.class(), "UnsupportedMediaType", "{kind}");
    }
    let _ = raw(&server, "{}").without("content-type").await.expect(415);
    let utf8 = raw(&server, three("sequential").to_string()).header("content-type", "application/json; charset=utf-8");
    let _ = utf8.await.expect(200);
}

#[tokio::test]
async fn another_name_for_this_machine_is_refused() {
    let server = Server::start().await;
    for path in ["/health", "/v1/runs", "/openapi.json"] {
        let answer = server.client().get(path).header("host", "evil.example").await.expect(403);
        assert_eq!(answer.class(), "PermissionDenied", "{path}");
    }
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let _ = server.client().get("/health").header("host", format!("localhost:{port}")).await.expect(200);
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let server = Server::start().await;
    let call = || server.client().post("/v1/runs", &json!({"workflow": "noop", "input": {}}));
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1"] {
        assert_eq!(call().header("origin", origin).await.expect(403).class(), "PermissionDenied", "{origin}");
    }
    let _ = call().header("sec-fetch-site", "cross-site").await.expect(403);
    let _ = call().header("origin", server.url()).await.expect(202);
}

#[tokio::test]
async fn unknown_places_and_methods_are_told_apart() {
    let server = Server::start().await;
    assert_eq!(server.client().get("/nowhere").await.expect(404).class(), "NotFound");
    let answer = server.client().call("DELETE".parse().unwrap(), "/orchestrate").await.expect(405);
    assert_eq!((answer.class(), answer.header("allow")), ("MethodNotAllowed".into(), "POST"));
}

#[tokio::test]
async fn headers_are_bounded() {
    let server = Server::start().await;
    let answer = server.client().get("/health").header("x-large", "x".repeat(20_000)).await.expect(431);
    assert_eq!(answer.class(), "HeadersTooLarge");
}

#[tokio::test]
async fn a_client_may_ask_for_problem_details() {
    let server = Server::start().await;
    let answer = server.client().get("/nowhere").header("accept", "application/problem+json").await.expect(404);
    assert!(answer.header("content-type").starts_with("application/problem+json"));
    let body = answer.json();
    assert_eq!(body["status"], 404);
    assert!(body["title"].is_string() && body["type"].is_string(), "{body}");
}

#[tokio::test]
async fn no_mutation_of_a_good_request_is_our_fault() {
    let server = Server::start().await;
    let good = json!({"pattern": "concurrent", "input": QUESTION, "agents": ["llm", {"name": "b", "instructions": "x"}],
        "options": {"aggregate": "all", "max_parallel": 2, "timeout_seconds": 5}});
    let good = good.to_string().into_bytes();
    let mut chance = Chance::from_environment("mutations", 5);
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:0-e\\"[chance.below(11)]),
            }
        }
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let answer = raw(&server, bytes).await;
        assert!([200, 400, 422].contains(&answer.status), "{}: {shown}", answer.text());
        if answer.status == 422 {
            let _ = answer.wrong();
        }
    }
}
