//! Real input: GitHub's own description of its API, turned into tools, served by a stub and called.

use super::{Stub, call, data, failure, register, start, wrongs};
use axum::http::Method;
use serde_json::{Value, json};
use std::fs::read_to_string;
use tutti_tests::workspace;

fn document() -> Value {
    let path = workspace().join("tests/data/github.openapi.json");
    serde_json::from_str(&read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn githubs_operations_become_tools_that_call_it() {
    let document_text = document().to_string();
    let stub = Stub::start(move |seen| match seen.uri.path() {
        "/openapi.json" => super::reply(200, "application/json", document_text.clone()),
        path if path.ends_with("/comments") && seen.method == Method::POST => {
            data(&json!({"id": 7, "body": seen.body["body"]}))
        }
        _ => data(&json!({"total_count": 0, "items": []})),
    })
    .await;
    let server = start().await;
    let client = server.client();
    let config = json!({"document": format!("{}/openapi.json", stub.url), "server": stub.url,
        "operations": ["issues/*", "search/issues-and-pull-requests"], "headers": {"authorization": "Bearer gh-t0ken"}});
    let set = register(&client, &json!({"name": "gh", "kind": "openapi", "config": config})).await;
    let names: Vec<_> =
        set["tools"].as_array().unwrap().iter().map(|tool| super::text(&tool["name"]).to_owned()).collect();
    for name in ["gh__issues_create", "gh__issues_list-for-repo", "gh__search_issues-and-pull-requests"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("markdown")), "{names:?}");

    let query = json!({"q": "repo:a/b charged twice", "per_page": 5});
    let found = call(&client, "gh__search_issues-and-pull-requests", &query).await;
    assert_eq!(found["output"]["total_count"], 0, "{found}");
    let comment = json!({"owner": "o/../o", "repo": "r", "issue_number": 7, "body": {"body": "Thanks."}});
    let made = call(&client, "gh__issues_create-comment", &comment).await;
    assert_eq!(made["output"], json!({"id": 7, "body": "Thanks."}), "{made}");
    let seen = stub.seen();
    assert_eq!(seen[1].uri.to_string(), "/search/issues?q=repo%3Aa%2Fb%20charged%20twice&per_page=5");
    assert_eq!(seen[2].uri.to_string(), "/repos/o%2F..%2Fo/r/issues/7/comments");
    assert_eq!(seen[2].headers["authorization"], "Bearer gh-t0ken");

    let why = failure(&client, "gh__issues_create-comment", &json!({"owner": "o", "repo": "r"})).await;
    assert!(why.contains("issue_number") && why.contains("body"), "{why}");
    // A model is told of all of them by the set's name.
    let team = json!({"pattern": "sequential", "input": "Use gh__issues_get.",
        "agents": [{"name": "a", "instructions": "You look at issues.", "tools": ["gh"]}]});
    assert_eq!(client.orchestrate(&team).await["status"], "completed");
}

#[tokio::test]
async fn a_document_is_refused_with_all_that_is_wrong() {
    let server = start().await;
    let client = server.client();
    let mut document = document();
    document["paths"]["/markdown"]["post"]["requestBody"]["content"]["application/json"]["schema"] =
        json!({"$ref": "https://elsewhere.example/schemas.json#/Body"});
    let config = json!({"document": document, "operations": ["markdown/*", "isues/get"], "auth": {"token": "x"}});
    let tool = json!({"name": "gh", "kind": "openapi", "config": config});
    let wrong = wrongs(&client.post("/v1/tools/register", &tool).await.expect(422));
    for part in [
        "outside of the document",
        "\"isues/get\"; did you mean \"issues/get\"?",
        "no security scheme called \"token\"",
    ] {
        assert!(wrong.iter().any(|why| why.contains(part)), "{part}: {wrong:?}");
    }
    let stub = Stub::start(|_| super::reply(200, "text/html", "<html>no</html>")).await;
    let tool = json!({"name": "gh", "kind": "openapi", "config": {"document": stub.url}});
    let wrong = wrongs(&client.post("/v1/tools/register", &tool).await.expect(422));
    assert!(wrong[0].contains("cannot be had") || wrong[0].contains("no OpenAPI document"), "{wrong:?}");
    let tool = json!({"name": "gh", "kind": "openapi", "config": {"document": "http://10.1.2.3/o.json"}});
    let wrong = wrongs(&client.post("/v1/tools/register", &tool).await.expect(422));
    assert!(wrong[0].contains("EGRESS_ALLOW"), "{wrong:?}");
}
