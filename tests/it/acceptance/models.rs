//! A model that fails: tried again where that may help, then reported with the agent's name. What providers offer, how often they
//! are asked.

use super::{QUESTION, agent, on_models, text};
use serde_json::{Value, json};
use tutti_tests::backends::redis::Redis;
use tutti_tests::backends::skip;
use tutti_tests::provider::Provider;
use tutti_tests::server::{Server, Start, is_on_postgres};

/// What passes by itself when it is tried again.
const PASSING: [&str; 7] = ["429", "500", "garbage", "json", "empty", "drop", "hang"];

async fn start() -> (Provider, Server) {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).env("LLM_TIMEOUT", "0.3").start().await;
    (provider, server)
}

#[tokio::test]
async fn each_fault_is_tried_again_under_the_same_key() {
    let (provider, server) = start().await;
    for fault in PASSING {
        let result = server.client().orchestrate(&on_models("sequential", &[&format!("fail-{fault}-x1")])).await;
        assert_eq!(result["status"], "completed", "{fault}: {result}");
        let run = server.client().run(text(&result["run_id"])).await;
        run.assert_whole();
        assert_eq!(run.of_kind("step.retrying").count(), 1, "{fault}: {}", run.whole);
    }
    provider.ended(2 * PASSING.len()).await;
    let by_key = provider.by_key();
    assert_eq!(by_key.len(), PASSING.len());
    for (key, seen) in by_key {
        assert_eq!(seen.len(), 2, "{key}: {seen:?}");
        assert_eq!(seen[0].body_hash, seen[1].body_hash, "{key}");
    }
}

#[tokio::test]
async fn a_sequential_team_fails_with_the_agent_named() {
    let (provider, server) = start().await;
    for (n, fault) in PASSING.iter().enumerate() {
        let result =
            server.client().orchestrate(&on_models("sequential", &["test", &format!("fail-{fault}"), "test"])).await;
        assert_eq!(result["status"], "failed", "{fault}: {result}");
        let error = &result["error"];
        assert_eq!((&error["class"], &error["agent"]), (&json!("LlmError"), &json!("b")), "{fault}: {result}");
        assert!(!text(&error["message"]).is_empty() && error["step"].is_string(), "{fault}: {result}");
        assert_eq!(result["steps"].as_array().unwrap().len(), 2, "{fault}: the third is never asked");
        // One that answers, three tries at the one that fails.
        provider.ended(4 * (n + 1)).await;
    }
}

#[tokio::test]
async fn a_concurrent_team_keeps_the_others() {
    let (_provider, server) = start().await;
    let result = server.client().orchestrate(&on_models("concurrent", &["test", "fail-500", "test"])).await;
    assert_eq!(result["status"], "completed", "{result}");
    let output = result["output"].as_array().unwrap();
    assert!(!text(&output[0]["output"]).is_empty() && !text(&output[2]["output"]).is_empty(), "{result}");
    assert_eq!(output[1]["agent"], "b");
    assert!(output[1].to_string().contains("LlmError"), "{result}");
}

#[tokio::test]
async fn what_an_agents_failure_does_is_the_callers_choice() {
    let (_provider, server) = start().await;
    let mut request = on_models("concurrent", &["test", "fail-500", "test"]);
    for (on_error, status) in [("drop", "completed"), ("fail_fast", "failed"), ("wait", "failed")] {
        request["options"] = json!({"on_error": on_error});
        let result = server.client().orchestrate(&request).await;
        assert_eq!(result["status"], status, "{on_error}: {result}");
        if status == "failed" {
            assert_eq!(result["error"]["agent"], "b", "{on_error}: {result}");
        } else {
            assert_eq!(result["output"].as_array().unwrap().len(), 2, "{on_error}: {result}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (provider, server) = start().await;
    for (n, status) in ["400", "401", "404"].iter().enumerate() {
        let result = server.client().orchestrate(&on_models("sequential", &[&format!("fail-{status}")])).await;
        assert_eq!(result["status"], "failed", "{status}: {result}");
        assert!(text(&result["error"]["message"]).contains(status), "{result}");
        provider.ended(n + 1).await;
    }
    assert_eq!(provider.log().len(), 3, "none of them is tried again");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let (provider, server) = start().await;
    let result = server.client().orchestrate(&on_models("sequential", &["fail-429-x1"])).await;
    assert_eq!(result["status"], "completed", "{result}");
    let log = provider.log();
    assert!(log[1].started_at - log[0].started_at >= 1_000, "Retry-After was 1 s: {log:?}");
}

#[tokio::test]
async fn nobody_listens_where_the_model_should_be() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let start = Start::new().env("LLM_BASE_URL", &url).env("LLM_DEFAULT_MODEL", "test").env("RETRY_DELAY", "0.01");
    let server = start.env("MAX_RETRIES", "1").start().await;
    let result =
        server.client().orchestrate(&json!({"pattern": "sequential", "input": QUESTION, "agents": ["llm"]})).await;
    assert_eq!((&result["status"], &result["error"]["agent"]), (&json!("failed"), &json!("llm")), "{result}");
}

fn clerk(model: &str) -> Value {
    let mut clerk = agent("clerk", Some(model));
    clerk["output_schema"] =
        json!({"type": "object", "required": ["category"], "properties": {"category": {"type": "string"}}});
    json!({"pattern": "sequential", "input": QUESTION, "agents": [clerk]})
}

#[tokio::test]
async fn an_answer_that_is_not_the_json_asked_for_is_reported() {
    let (_provider, server) = start().await;
    let good = server.client().orchestrate(&clerk("test")).await;
    assert_eq!(good["status"], "completed", "{good}");
    let mended = server.client().orchestrate(&clerk("fail-content-x1")).await;
    assert_eq!(mended["status"], "completed", "{mended}");
    let result = server.client().orchestrate(&clerk("fail-content")).await;
    assert_eq!((&result["status"], &result["error"]["agent"]), (&json!("failed"), &json!("clerk")), "{result}");
}

#[tokio::test]
async fn what_is_offered_is_listed_and_tried() {
    let provider = Provider::start().await;
    let start = Start::new().model(&provider).file(
        "tutti.toml",
        "[providers.gone]\nbase_url = \"http://127.0.0.1:9/v1\"\n[routes.steady]\nhops = [\"gone\"]\n",
    );
    let server = start.start().await;
    let offers = server.client().get("/v1/llm/models").await.expect(200).json();
    let of = |name: &str| {
        let items = offers["items"].as_array().unwrap();
        items.iter().find(|offer| offer["provider"] == name).unwrap_or_else(|| panic!("{offers}")).clone()
    };
    assert!(text(&of("gone")["error"]).contains("cannot be reached"), "{offers}");
    assert_eq!((&of("steady")["kind"], &of("steady")["hops"]), (&json!("route"), &json!(["gone"])));
    assert_eq!(of("llm")["is_default"], true);
    let test =
        async |body: &Value| server.client().post("/v1/llm/test-connection", body).persist().await.expect(200).json();
    let fine = test(&json!({})).await;
    assert!(fine["ok"] == true && fine["model"].is_string() && fine["latency_ms"].is_u64(), "{fine}");
    let gone = test(&json!({"model": "gone:m"})).await;
    assert!(gone["ok"] == false && text(&gone["error"]).contains("cannot be reached"), "{gone}");
    server.client().post("/v1/llm/test-connection", &json!({"model": 5})).persist().await.expect(422);
    let offline = Server::start().await;
    let offers = offline.client().get("/v1/llm/models").await.expect(200).json();
    assert_eq!(offers["items"][0]["models"], json!(["tutti-offline"]), "{offers}");
    let tried = offline.client().call(reqwest::Method::POST, "/v1/llm/test-connection").await.expect(200).json();
    assert_eq!(tried["model"], "tutti-offline", "{tried}");
}

#[tokio::test]
async fn a_prompt_is_counted_or_estimated_and_says_which() {
    let server = Server::start().await;
    let count = async |body: Value| server.client().post("/v1/llm/count-tokens", &body).persist().await;
    let text = "How long is this prompt?";
    let exact = count(json!({"model": "gpt-5", "text": text})).await.expect(200).json();
    assert_eq!(exact, json!({"tokens": 13, "exact": true, "model": "gpt-5"}));
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]);
    let guess = count(json!({ "messages": messages })).await.expect(200).json();
    assert_eq!((&guess["exact"], &guess["model"]), (&json!(false), &json!("tutti-offline")), "{guess}");
    let wrong = json!({"text": text, "messages": [{"role": "tool", "content": 5}], "modell": "x"});
    assert_eq!(count(wrong).await.expect(422).wrong().len(), 4);
}

#[tokio::test]
async fn a_provider_is_not_asked_more_often_than_it_may_be() {
    let provider = Provider::start().await;
    let start = Start::new().model(&provider).env("LLM_REQUESTS_PER_MINUTE", "3").env("MAX_RETRIES", "0");
    let server = start.start().await;
    let mut request = on_models("concurrent", &["test"; 8]);
    // Who would have to wait for a minute is told so.
    request["options"] = json!({"timeout_seconds": 3});
    let result = server.client().orchestrate(&request).await;
    assert_eq!(provider.log().len(), 3, "{result}");
}

/// A server that keeps its answers and counts its questions in Redis.
fn on_redis(provider: &Provider, redis: &Redis) -> Start {
    let start = Start::new().model(provider).env("REDIS_URL", &redis.url()).env("MAX_RETRIES", "0");
    start.env("LLM_REQUESTS_PER_MINUTE", "5").env("LLM_CACHE_SECONDS", "600")
}

/// Starts it, and waits until it has found Redis.
async fn found(start: &Start) -> Server {
    let server = start.start().await;
    let client = server.client();
    let is_up = async || client.get("/health").await.json()["parts"]["redis"]["status"] == "healthy";
    while !is_up().await {
        tokio::task::yield_now().await;
    }
    server
}

#[tokio::test]
async fn over_redis_processes_count_together_and_share_answers() {
    let Some(redis) = Redis::start().await else { return skip("Redis") };
    let provider = Provider::start().await;
    // In PostgreSQL they share their runs, too; a data directory belongs to one of them.
    let first = found(&on_redis(&provider, &redis)).await;
    let second = if is_on_postgres() { first.how().clone() } else { on_redis(&provider, &redis) };
    let servers = [first, found(&second).await];
    let cold = json!({"pattern": "sequential", "input": QUESTION,
        "agents": [{"name": "a", "instructions": "You are brief.", "temperature": 0}]});
    let (first, again) = (servers[0].client().orchestrate(&cold).await, servers[1].client().orchestrate(&cold).await);
    assert_eq!((&first["output"], &again["usage"]["cached"]), (&again["output"], &json!(true)), "{again}");
    let mut crowd = on_models("concurrent", &["test"; 6]);
    crowd["options"] = json!({"timeout_seconds": 3});
    let clients = servers.each_ref().map(Server::client);
    let _ = tokio::join!(clients[0].orchestrate(&crowd), clients[1].orchestrate(&crowd));
    assert_eq!(provider.log().len(), 5, "one for the answer that both have, and four more in this minute");
    let stats = servers[0].client().get("/v1/memory/stats").await.expect(200).json();
    assert_eq!(stats["cache"]["place"], "redis", "{stats}");
    let clear = servers[0].client().post("/v1/memory/clear", &json!({"all": true, "what": ["cache"]}));
    assert_eq!(clear.persist().await.expect(200).json()["cleared"], json!({"cache": 1}));
}

#[tokio::test]
async fn without_its_redis_each_process_counts_for_itself() {
    let Some(redis) = Redis::start().await else { return skip("Redis") };
    let provider = Provider::start().await;
    let server = found(&on_redis(&provider, &redis)).await;
    redis.cut();
    let mut crowd = on_models("concurrent", &["test"; 8]);
    crowd["options"] = json!({"timeout_seconds": 5});
    let result = server.client().orchestrate(&crowd).await;
    assert_eq!(provider.log().len(), 5, "{result}");
}
