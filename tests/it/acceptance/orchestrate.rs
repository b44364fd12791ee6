//! `POST /orchestrate`: a team answers.

use super::{QUESTION, agent, as_run, on_models, text, three};
use serde_json::json;
use tutti_tests::provider::Provider;
use tutti_tests::queries::banking77;
use tutti_tests::server::{Server, Start};

#[tokio::test]
async fn a_sequential_team_passes_its_answer_on() {
    let server = Server::start().await;
    let result = server.client().orchestrate(&three("sequential")).await;
    assert_eq!((&result["pattern"], &result["status"]), (&json!("sequential"), &json!("completed")));
    let steps = result["steps"].as_array().unwrap();
    let agents: Vec<_> = steps.iter().map(|s| text(&s["agent"])).collect();
    assert_eq!(agents, ["facts", "policy", "writer"]);
    assert!(text(&steps[0]["input"]).contains(QUESTION), "{}", steps[0]);
    assert!(text(&steps[1]["input"]).contains(text(&steps[0]["output"])), "{}", steps[1]);
    assert_eq!(result["output"], steps[2]["output"]);
    assert!(!text(&result["output"]).is_empty());
    assert!(steps.iter().all(|s| s["took_ms"].is_u64() && s["usage"]["tokens"].as_u64() > Some(0)), "{result}");
    assert!(result["usage"]["tokens"].as_u64() > Some(0) && result["stopped_by"].is_string());
}

#[tokio::test]
async fn a_concurrent_team_answers_in_its_order() {
    let server = Server::start().await;
    let result = server.client().orchestrate(&three("concurrent")).await;
    assert_eq!(result["status"], "completed");
    let output = result["output"].as_array().unwrap();
    let agents: Vec<_> = output.iter().map(|o| text(&o["agent"])).collect();
    assert_eq!(agents, ["facts", "policy", "writer"]);
    assert!(output.iter().all(|o| !text(&o["output"]).is_empty()), "{result}");
}

#[tokio::test]
async fn answers_are_put_together_as_asked() {
    let server = Server::start().await;
    let mut request = three("concurrent");
    request["options"] = json!({"aggregate": "concat"});
    let concat = server.client().orchestrate(&request).await;
    assert!(["facts", "policy", "writer"].iter().all(|name| text(&concat["output"]).contains(name)), "{concat}");
    request["options"] = json!({"aggregate": "first"});
    let first = server.client().orchestrate(&request).await;
    assert_eq!(first["status"], "completed");
    assert!(!first["output"].is_null(), "{first}");
}

#[tokio::test]
async fn pass_all_gives_everything_so_far() {
    let server = Server::start().await;
    let mut request = three("sequential");
    request["options"] = json!({"pass": "all"});
    let result = server.client().orchestrate(&request).await;
    let last = result["steps"][2]["input"].to_string();
    for given in [&json!(QUESTION), &result["steps"][0]["output"], &result["steps"][1]["output"]] {
        let given = given.to_string();
        assert!(last.contains(given.trim_matches('"')), "{given} is not in {last}");
    }
}

#[tokio::test]
async fn a_built_in_agent_is_named() {
    let server = Server::start().await;
    let result =
        server.client().orchestrate(&json!({"pattern": "sequential", "input": QUESTION, "agents": ["llm"]})).await;
    assert_eq!((&result["status"], &result["steps"][0]["agent"]), (&json!("completed"), &json!("llm")));
}

#[tokio::test]
async fn an_agent_that_lacks_a_setting_is_503_and_names_it() {
    let server = Server::start().await;
    let request = json!({"pattern": "sequential", "input": QUESTION, "agents": ["search"]});
    let answer = server.client().post("/orchestrate", &request).await.expect(503);
    assert_eq!(answer.class(), "Unavailable");
    assert!(answer.text().contains("SEARCH_PROVIDER"), "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn an_agent_from_the_file_is_named() {
    let start = Start::new().file("tutti.toml", "[agents.clerk]\ninstructions = \"You file complaints.\"\n");
    let server = start.start().await;
    let result =
        server.client().orchestrate(&json!({"pattern": "sequential", "input": QUESTION, "agents": ["clerk"]})).await;
    assert_eq!((&result["status"], &result["steps"][0]["agent"]), (&json!("completed"), &json!("clerk")));
}

#[tokio::test]
async fn the_offline_model_is_deterministic_and_says_what_it_is() {
    let server = Server::start().await;
    let (first, second) = (
        server.client().orchestrate(&three("sequential")).await,
        server.client().orchestrate(&three("sequential")).await,
    );
    assert_eq!(first["output"], second["output"]);
    assert_ne!(first["run_id"], second["run_id"]);
    let run = server.client().run(text(&first["run_id"])).await;
    assert!(run.of_kind("agent.message").all(|e| e.body.to_string().contains("tutti-offline")), "{}", run.whole);
}

#[tokio::test]
async fn an_answer_fits_the_schema_that_was_asked_for() {
    let server = Server::start().await;
    let mut clerk = agent("clerk", None);
    clerk["output_schema"] = json!({
        "type": "object", "required": ["category", "urgent"], "additionalProperties": false,
        "properties": {"category": {"type": "string", "enum": ["card", "transfer"]}, "urgent": {"type": "boolean"}}
    });
    let request = json!({"pattern": "sequential", "input": QUESTION, "agents": [clerk]});
    let output = server.client().orchestrate(&request).await["output"].clone();
    let output = output.as_str().map_or_else(|| output.clone(), |text| serde_json::from_str(text).unwrap());
    assert_eq!(output["category"], "card", "the offline model chooses the value that the input speaks of");
    assert!(output["urgent"].is_boolean(), "{output}");
}

#[tokio::test]
async fn the_input_may_be_any_json() {
    let server = Server::start().await;
    let mut request = three("sequential");
    request["input"] = json!({"subject": "Two charges", "amounts": [3.5, 3.5]});
    assert_eq!(server.client().orchestrate(&request).await["status"], "completed");
}

#[tokio::test]
async fn unknown_fields_at_the_top_are_ignored() {
    let server = Server::start().await;
    let mut request = three("sequential");
    request["colour"] = "blue".into();
    assert_eq!(server.client().orchestrate(&request).await["status"], "completed");
}

#[tokio::test]
async fn what_does_not_end_in_time_answers_202_and_goes_on() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let request = on_models("sequential", &["delay-300"]);
    let answer = server.client().post("/orchestrate?wait=0", &request).await.expect(202);
    let run_id = text(&answer.json()["run_id"]).to_owned();
    assert_eq!(answer.header("location"), format!("/v1/runs/{run_id}"));
    server.client().events(&run_id, 0).await.unwrap().until("run.completed").await;
    assert_eq!(server.client().run(&run_id).await.status, "completed");
}

#[tokio::test]
async fn prefer_wait_is_the_same_as_the_query() {
    let server = Server::start().await;
    let answer =
        server.client().post("/v1/runs", &as_run(&three("sequential"))).header("prefer", "wait=30").await.expect(200);
    assert_eq!(answer.json()["status"], "completed");
}

#[tokio::test]
async fn a_run_past_its_time_is_a_result_that_says_so() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let mut request = on_models("sequential", &["test", "fail-hang"]);
    request["options"] = json!({"timeout_seconds": 0.3});
    let result = server.client().orchestrate(&request).await;
    assert_eq!((&result["status"], &result["steps"][0]["agent"]), (&json!("timed_out"), &json!("a")));
    provider.ended(2).await;
    assert!(!provider.log()[1].answered, "the call in flight was given up");
}

#[tokio::test]
async fn trace_context_and_secrets_go_where_they_belong() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).env("LOG_LEVEL", "debug").start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = server
        .client()
        .post("/orchestrate", &on_models("sequential", &["test"]))
        .header("traceparent", trace)
        .await
        .expect(200);
    provider.ended(1).await;
    assert!(provider.log()[0].traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    let run = server.client().run(text(&answer.json()["run_id"])).await;
    let health = server.client().get("/health").await.text();
    for shown in [answer.text(), run.whole.to_string(), health, server.stderr()] {
        assert!(!shown.contains("sk-test-4f1d"), "a secret is shown: {shown}");
    }
}

#[tokio::test]
async fn real_questions_are_answered() {
    let Some(queries) = banking77(20) else { return };
    let server = Server::start().await;
    for (n, query) in queries.iter().enumerate() {
        let mut request = three(["sequential", "concurrent"][n % 2]);
        request["input"] = query.as_str().into();
        let result = server.client().orchestrate(&request).await;
        assert_eq!(result["status"], "completed", "{query}: {result}");
        server.client().run(text(&result["run_id"])).await.assert_whole();
    }
}
