//! What is remembered of users and conversations, over the real binary.

use super::text;
use reqwest::Method;
use serde_json::{Value, json};
use tutti_tests::provider::Provider;
use tutti_tests::server::{Server, Start};
use tutti_tests::sse::texts;

async fn say(server: &Server, session: &str, input: &str) -> Value {
    let body = json!({"pattern": "sequential", "input": input, "session_id": session,
        "agents": [{"name": "a", "instructions": "You are an analyst."}]});
    server.client().orchestrate(&body).await
}

async fn clear(server: &Server, body: &Value) -> Value {
    server.client().post("/v1/memory/clear", body).persist().await.expect(200).json()["cleared"].clone()
}

async fn remember(server: &Server, user: &str, said: &str) -> Value {
    let body = json!({"workflow": "remember", "input": {"user_id": user, "text": said}});
    let run = server.client().post("/v1/runs?wait=60", &body).persist().await.json();
    assert_eq!(run["status"], "completed", "{run}");
    run
}

async fn facts(server: &Server, user: &str) -> Vec<Value> {
    let page = server.client().get(format_args!("/v1/memory/facts?user_id={user}")).await.expect(200).json();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_cleared_conversation_is_not_heard_and_its_runs_stay() {
    let server = Server::start().await;
    let first = say(&server, "s", "The parcel weighs seven kilograms.").await;
    say(&server, "t", "The parcel weighs nine kilograms.").await;
    let stats = server.client().get("/v1/memory/stats").await.expect(200).json();
    assert_eq!((&stats["conversations"]["count"], &stats["cache"]["place"]), (&json!(2), &json!("memory")), "{stats}");
    let cleared = clear(&server, &json!({"session_id": "s"})).await;
    assert_eq!((&cleared["conversations"], &cleared["facts"]), (&json!(1), &Value::Null), "{cleared}");
    let session = server.client().get("/sessions/s").await.expect(200).json();
    assert_eq!(session["messages"], json!([]), "{session}");
    let run = server.client().run(text(&first["run_id"])).await;
    run.assert_whole();
    assert!(!text(&say(&server, "s", "How much does the parcel weigh?").await["output"]).contains("seven kilograms"));
    assert!(text(&say(&server, "t", "How much does the parcel weigh?").await["output"]).contains("nine kilograms"));
    assert_eq!(
        clear(&server, &json!({"user_id": "local", "what": ["conversations"]})).await,
        json!({"conversations": 2})
    );
    assert_eq!(clear(&server, &json!({"all": true})).await["conversations"], 0);
}

#[tokio::test]
async fn a_live_run_goes_on_while_its_memory_is_cleared() {
    let server = Server::start().await;
    say(&server, "s", "The parcel weighs seven kilograms.").await;
    let asks = json!({"pattern": "sequential", "input": "Go?", "session_id": "s",
        "agents": [{"name": "boss", "kind": "human", "instructions": "Say yes or no."}]});
    let run = server.client().post("/orchestrate?wait=0", &asks).persist().await.expect(202).json();
    let id = text(&run["run_id"]);
    let mut events = server.client().events(id, 0).await.unwrap();
    let asked = events.until("approval.requested").await.pop().unwrap();
    assert_eq!(clear(&server, &json!({"all": true})).await["conversations"], 1);
    let yes = json!({"approval_id": asked.data["approval_id"], "decision": "approve", "input": "yes"});
    server.client().post(format_args!("/v1/runs/{id}/approve"), &yes).persist().await.expect(200);
    events.rest().await;
    server.client().run(id).await.assert_whole();
    let session = server.client().get("/sessions/s").await.expect(200).json();
    let said: Vec<_> = session["messages"].as_array().unwrap().iter().map(|m| text(&m["content"]).to_owned()).collect();
    assert_eq!(said, ["Go?", "yes"], "what it added is there, what was cleared is not");
}

#[tokio::test]
async fn what_is_wrong_with_a_clearing_is_said_at_once() {
    let server = Server::start().await;
    let wrong = async |body: &Value| server.client().post("/v1/memory/clear", body).persist().await.expect(422).wrong();
    assert_eq!(wrong(&json!({})).await.len(), 1);
    assert_eq!(wrong(&json!({"user_id": "", "what": ["journals"], "whta": 1})).await.len(), 3);
    let empty = server.client().call(Method::POST, "/v1/memory/clear").await.expect(422);
    assert!(empty.text().contains("user_id, session_id and all: true"), "{}", empty.text());
    server.client().post("/v1/memory/clear", &json!({"session_id": "nope"})).persist().await.expect(404);
    server.client().get("/v1/memory/facts").await.expect(422);
    server.client().call(Method::DELETE, "/v1/memory/facts/nope").await.expect(404);
}

#[tokio::test]
async fn facts_are_learned_with_their_source_recalled_and_forgotten() {
    let server = Server::start().await;
    let run = remember(&server, "ann", "I moved to Bern last year and I have two cats.").await;
    let known = facts(&server, "ann").await;
    assert!(!known.is_empty(), "{run}");
    for fact in &known {
        assert_eq!((&fact["user_id"], &fact["sources"][0]["run_id"]), (&json!("ann"), &run["run_id"]), "{fact}");
    }
    remember(&server, "ann", "I moved to Bern last year and I have two cats.").await;
    let again = facts(&server, "ann").await;
    assert_eq!(again.len(), known.len(), "what is said again is known already");
    assert_eq!(again[0]["sources"].as_array().unwrap().len(), 2, "{again:?}");
    assert_eq!(facts(&server, "bob").await, [Value::Null; 0]);
    let path = format!("/v1/memory/facts/{}", text(&known[0]["id"]));
    server.client().call(Method::DELETE, &path).await.expect(204);
    server.client().call(Method::DELETE, &path).await.expect(404);
    assert_eq!(facts(&server, "ann").await.len(), known.len() - 1);
    remember(&server, "ann", "I like tea.").await;
    let left = facts(&server, "ann").await.len();
    assert_eq!(clear(&server, &json!({"user_id": "ann", "what": ["facts"]})).await, json!({ "facts": left }));
    assert_eq!(facts(&server, "ann").await, [Value::Null; 0]);
}

#[tokio::test]
async fn facts_survive_a_kill() {
    let mut server = Server::start().await;
    remember(&server, "ann", "I have two cats.").await;
    let known = facts(&server, "ann").await;
    server.kill9();
    server.restart().await;
    assert_eq!(facts(&server, "ann").await, known);
}

#[tokio::test]
async fn a_summary_names_the_turns_that_it_stands_for() {
    let server = Server::start().await;
    let mut runs = Vec::new();
    for n in 1..=12 {
        let body = json!({"pattern": "sequential", "input": format!("Question {n}: where is card number {n}?"),
            "agents": [{"name": "clerk", "instructions": "You are a bank's clerk."}], "session_id": "case",
            "session": {"window_messages": 8, "compaction": "summary"}});
        runs.push(server.client().orchestrate(&body).await["run_id"].clone());
    }
    let context = server.client().get("/sessions/case/context?window_messages=8").await.expect(200).json();
    let cited = &context["messages"][0]["stands_for"];
    let (from, to) = (cited["from"].as_u64().unwrap(), cited["to"].as_u64().unwrap());
    assert_eq!(from, 1, "a summary of a summary stands for both: {context}");
    let named = runs[..usize::try_from(to).unwrap()].to_vec();
    assert_eq!(cited["runs"], json!(named), "{context}");
    assert_eq!(context["turns"]["from"].as_u64(), Some(to + 1), "nothing is lost between: {context}");
    assert_eq!(context["dropped"], Value::Null, "{context}");
    let narrow = server.client().get("/sessions/case/context?window_messages=2").await.expect(200).json();
    assert_eq!((&narrow["dropped"]["from"], &narrow["dropped"]["to"]), (&json!(1), &json!(11)), "{narrow}");
    let text = server.client().get("/sessions/case/context?window_messages=8&format=markdown").await.expect(200).text();
    assert!(text.contains(&format!("Stands for turns 1 to {to} (")), "{text}");
}

#[tokio::test]
async fn an_answer_is_given_again_and_costs_nothing() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).env("LLM_CACHE_SECONDS", "600").start().await;
    let ask = async |temperature: f64| {
        let agent = json!({"name": "a", "instructions": "You are brief.", "temperature": temperature});
        server
            .client()
            .orchestrate(&json!({"pattern": "sequential", "input": "Where is my card?", "agents": [agent]}))
            .await
    };
    let (first, again) = (ask(0.0).await, ask(0.0).await);
    assert_eq!(first["output"], again["output"]);
    assert!(first["usage"]["tokens"].as_u64() > Some(0) && first["usage"]["cached"] == Value::Null, "{first}");
    assert_eq!((&again["usage"]["tokens"], &again["usage"]["cached"]), (&json!(0), &json!(true)), "{again}");
    assert_eq!(again["steps"][0]["usage"]["cached"], true, "{again}");
    ask(0.7).await;
    ask(0.7).await;
    assert_eq!(provider.log().len(), 3, "at another temperature nothing is kept");
    let stats = server.client().get("/v1/memory/stats").await.expect(200).json();
    assert_eq!((&stats["cache"]["hits"], &stats["cache"]["misses"]), (&json!(1), &json!(1)), "{stats}");
    assert_eq!(clear(&server, &json!({"all": true, "what": ["cache"]})).await, json!({"cache": 1}));
    ask(0.0).await;
    assert_eq!(provider.log().len(), 4);
    let metrics = server.client().get("/metrics").await.expect(200).text();
    assert!(metrics.contains("tutti_llm_cache_total{outcome=\"hit\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_kept_answer_is_streamed_and_read_back_whole() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let agent = json!({"name": "a", "instructions": "You are brief.", "cache_seconds": 600});
    let body = json!({"pattern": "sequential", "input": "Where is my card?", "agents": [agent]});
    let mut told = Vec::new();
    for _ in 0..2 {
        let events = server.client().post("/orchestrate/stream", &body).stream().await.rest().await;
        let streamed = texts(&events);
        let run = server.client().run(text(&events[0].data["run_id"])).await;
        run.assert_whole();
        assert_eq!(streamed.values().next().map(String::as_str), run.said("member[a]/ask"));
        told.push(streamed);
    }
    assert!(told[0] == told[1] && told[0].len() == 1, "{told:?}");
    assert_eq!(provider.log().len(), 1);
}
