//! Conversations over the real binary.

use super::text;
use serde_json::{Value, json};
use tutti_tests::server::Server;

async fn say(server: &Server, n: usize, session: &Value) -> Value {
    let agents = json!([{"name": "clerk", "instructions": "You are a bank's clerk."}]);
    let body = json!({"pattern": "sequential", "input": format!("Question {n}: where is card number {n}?"), "agents": agents,
        "session_id": "case", "session": session});
    let result = server.client().orchestrate(&body).await;
    assert_eq!(result["status"], "completed", "{result}");
    result
}

#[tokio::test]
async fn a_long_conversation_is_summed_up_before_anything_falls_out() {
    let server = Server::start().await;
    let session = json!({"window_messages": 8, "compaction": "summary"});
    let mut summed_up = 0;
    for n in 1..=20 {
        let result = say(&server, n, &session).await;
        let run = server.client().run(text(&result["run_id"])).await;
        summed_up += run.of_kind("agent.message").filter(|e| e.key == "compact[1]/ask").count();
        assert_eq!(result["output"], run.said("member[clerk]/ask").map_or(Value::Null, |text| json!(text)));
    }
    assert!((3..=8).contains(&summed_up), "{summed_up} summaries in 20 turns");
    let context = server.client().get("/sessions/case/context").await.expect(200).json();
    let messages = context["messages"].as_array().unwrap();
    assert!(messages.len() <= 8 && messages[0]["role"] == "summary", "{context}");
    assert_eq!(
        messages.iter().filter(|m| m["role"] == "summary").count(),
        1,
        "what stands before it is in it: {context}"
    );
    // The agents heard it: the offline model knows who worked on the question before.
    let whole = server.client().get("/sessions/case?limit=200").await.expect(200).json();
    assert_eq!(whole["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "user").count(), 20);
}

#[tokio::test]
async fn what_was_said_before_is_heard_and_a_deleted_session_is_not() {
    let server = Server::start().await;
    let asked = |input: &str| {
        json!({"pattern": "sequential", "input": input, "session_id": "s",
        "agents": [{"name": "a", "instructions": "You are an analyst."}]})
    };
    server.client().orchestrate(&asked("The parcel weighs seven kilograms.")).await;
    let heard = server.client().orchestrate(&asked("How much does the parcel weigh?")).await;
    assert!(text(&heard["output"]).contains("seven kilograms"), "{heard}");
    let gone = server.client().call(reqwest::Method::DELETE, "/sessions/s").await.expect(204);
    assert_eq!(gone.text(), "");
    let fresh = server.client().orchestrate(&asked("How much does the parcel weigh?")).await;
    assert!(!text(&fresh["output"]).contains("seven kilograms"), "{fresh}");
}
