//! Agents that answer from documents.

use super::{HELP, put};
use serde_json::json;
use tutti_tests::server::Server;

#[tokio::test]
async fn the_rag_agent_answers_from_the_documents_and_cites_them() {
    let server = Server::start().await;
    let client = server.client();
    put(&client, &json!({"id": "help", "title": "Help", "content": HELP})).await.expect(201);
    let ask = |question: &str| json!({"pattern": "sequential", "input": question, "agents": ["rag"]});
    let done = client.orchestrate(&ask("What does a transfer abroad cost?")).await;
    let output = done["output"].as_str().unwrap_or_else(|| panic!("{done}"));
    assert!(output.contains("fee of two euros"), "{output}");
    assert!(output.contains("[1] Help (help, characters 0-"), "{output}");
    let nothing = client.orchestrate(&ask("Who won the chess tournament?")).await;
    let output = nothing["output"].as_str().unwrap_or_else(|| panic!("{nothing}"));
    assert!(!output.contains("[1]") && !output.contains("euros"), "{output}");
    // What was retrieved and what was cited stand in the journal: a replay asks nobody again.
    let run = client.get(format_args!("/v1/runs/{}", done["run_id"].as_str().unwrap())).await.expect(200).text();
    assert!(run.contains("/retrieve") && run.contains("/cite"), "{run}");
}

#[tokio::test]
async fn a_registered_agents_grounding_may_be_the_documents() {
    let server = Server::start().await;
    let client = server.client();
    put(&client, &json!({"id": "help", "title": "Help", "content": HELP})).await.expect(201);
    let grounding = json!({"id": "kb", "type": "grounding", "ref": "documents", "config": {"limit": 2}});
    let mut agent = json!({"agent_id": "desk", "agent_name": "Desk", "domain": "cards",
        "brain_config": {"components": [{"id": "m", "type": "model"}, grounding]}});
    client.post("/orchestrator/register", &agent).await.expect(201);
    let task =
        json!({"agent_id": "desk", "task_type": "ask", "task_data": {"question": "How is a lost card blocked?"}});
    let done = client.post("/orchestrator/execute-task?wait=30", &task).await.expect(202).json();
    assert!(done.to_string().contains("[1] Help (help, characters"), "{done}");
    agent["brain_config"]["components"][1]["ref"] = json!("document");
    let wrong = client.post("/orchestrator/register", &agent).await.expect(422).details();
    assert!(wrong[0].1.contains("did you mean \"documents\"?"), "{wrong:?}");
}
