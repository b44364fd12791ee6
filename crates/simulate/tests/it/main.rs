//! The simulator over a real connection.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use serde_json::{Value, json};
use tutti_simulate::{Options, read_rules, router, serve};

async fn start(options: Options) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(options), std::future::pending()));
    url
}

fn ask(url: &str, text: &str) -> reqwest::RequestBuilder {
    let body = json!({"model": "m", "messages": [{"role": "system", "content": "You are a clerk."}, {"role": "user", "content": text}]});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.post(format!("{url}/v1/chat/completions")).header("content-type", "application/json").body(body.to_string())
}

async fn said(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn it_answers_like_the_offline_model_or_as_its_script_says() {
    let script = json!({"rules": [{"when": {"last_contains": "refund"}, "then": {"reply": "Ten days."}}]});
    let url = start(Options { rules: read_rules(script).unwrap(), fault: None }).await;
    let (status, answer) = said(ask(&url, "Where is my card?")).await;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(status == 200 && text.starts_with("Clerk on “Where is my card?”"), "{answer}");
    assert_eq!(said(ask(&url, "My refund?")).await.1["choices"][0]["message"]["content"], "Ten days.");
    assert!(read_rules(json!([{"then": {"shout": 1}}])).unwrap_err().contains("list of rules"));
}

#[tokio::test]
async fn faults_come_on_demand_and_are_counted() {
    let url = start(Options::default()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let fault = json!({"then": {"error": {"status": 503, "retry_after": "1"}}, "every": 2});
    let set = client.put(format!("{url}/faults")).body(fault.to_string()).send().await.unwrap();
    assert_eq!(set.status().as_u16(), 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(said(ask(&url, "x").header("idempotency-key", "k")).await.0);
    }
    assert_eq!(statuses, [200, 503, 200, 503]);
    assert_eq!(said(ask(&url, "x").header("x-simulate", "status=429")).await.0, 429);
    assert_eq!(said(ask(&url, "x").header("x-simulate", "boom")).await.0, 400);
    // Cut before the head or behind it: no whole answer either way.
    let cut = async { ask(&url, "x").header("x-simulate", "drop").send().await?.bytes().await };
    assert!(cut.await.is_err());
    client.delete(format!("{url}/faults")).send().await.unwrap();
    assert_eq!(said(ask(&url, "x")).await.0, 200);
    let stats: Value =
        serde_json::from_slice(&client.get(format!("{url}/stats")).send().await.unwrap().bytes().await.unwrap())
            .unwrap();
    assert_eq!(stats, json!({"requests": 8, "faults": 4, "repeats": 3}));
    let wrong = client.put(format!("{url}/faults")).body(r#"{"than": 1}"#).send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 422);
}
