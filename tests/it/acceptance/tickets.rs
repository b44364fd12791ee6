//! Tickets: their way, their fallbacks, people who resolve or retry, lists.

use super::text;
use reqwest::Method;
use serde_json::{Value, json};
use tutti_tests::client::Client;
use tutti_tests::server::{Server, Start};
use tutti_tests::simulator::Simulator;

fn asked(customer: &str, body: &str) -> Value {
    json!({"customer_id": customer, "subject": "Help", "body": body, "priority": "high", "metadata": {"a": [1]}})
}

async fn take(client: &Client, customer: &str, body: &str) -> Value {
    client.post("/api/tickets?wait=30", &asked(customer, body)).await.expect(201).json()
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|ticket| text(&ticket["ticket_id"])).collect()
}

fn statuses(ticket: &Value) -> Vec<&str> {
    ticket["history"].as_array().unwrap().iter().map(|moment| text(&moment["status"])).collect()
}

#[tokio::test]
async fn a_ticket_passes_four_agents_and_is_told_as_the_contract_says() {
    let world = Simulator::start(&[]).await;
    let server = world.desk(Start::new()).start().await;
    let client = server.client();
    let answer = client.post("/api/tickets?wait=30", &asked("ann", "I was charged twice")).await.expect(201);
    let ticket = answer.json();
    assert_eq!(answer.header("location"), format!("/api/tickets/{}", text(&ticket["ticket_id"])));
    let way = ["NEW", "ROUTING", "KNOWLEDGE_SEARCH", "SENTIMENT_ANALYSIS", "DECISION", "RESOLVED"];
    assert_eq!(statuses(&ticket), way);
    assert_eq!(
        (&ticket["category"], &ticket["priority"]),
        (&json!("billing"), &json!("high")),
        "the caller's word wins"
    );
    assert_eq!((&ticket["routing"]["priority"], &ticket["metadata"]), (&json!("normal"), &json!({"a": [1]})));
    assert_eq!((&ticket["decision"]["action"], &ticket["errors"]), (&json!("resolve"), &json!([])));
    assert_eq!(ticket["articles"][0]["id"], "billing");
    assert_eq!(ticket["sentiment"]["sentiment"], "neutral");
    let again = client.get(format_args!("/api/tickets/{}", text(&ticket["ticket_id"]))).await.expect(200).json();
    assert_eq!(again, ticket);
    let run = client.run(text(&ticket["run_id"])).await;
    assert_eq!(run.whole["priority"], 7);
    let mut events = client.get(format_args!("/api/tickets/{}/events", text(&ticket["ticket_id"]))).stream().await;
    assert!(!events.until("run.completed").await.is_empty());
    for id in ["nope", text(&ticket["run_id"]), "01a1fc7f-1c35-767e-8a3f-b215c3e492f2"] {
        assert_eq!(client.get(format_args!("/api/tickets/{id}")).await.expect(404).class(), "NotFound");
    }
    assert_eq!(world.stats().await["by_role"], json!({"router": 1, "knowledge": 1, "sentiment": 1, "decision": 1}));
}

#[tokio::test]
async fn each_agent_that_fails_has_the_contracts_fallback() {
    let world = Simulator::start(&[]).await;
    let server = world.desk(Start::new()).start().await;
    let client = server.client();
    for (fault, attempts) in [
        (json!({"status": 503}), 4),
        (json!({"status": 404}), 1),
        (json!({"drop": true}), 4),
        (json!({"garbage": true}), 1),
        (json!({"broken_json": true}), 1),
        (json!({"wrong_contract": true}), 1),
        (json!({"redirect": "http://127.0.0.1:1/"}), 1),
    ] {
        world.faults(&fault).await;
        let ticket = take(&client, "ann", "I was charged twice").await;
        world.well().await;
        assert_eq!(ticket["status"], "ESCALATED", "{fault}: {ticket}");
        assert_eq!((&ticket["category"], &ticket["articles"]), (&json!("general"), &json!([])), "{fault}");
        let sentiment = (&ticket["sentiment"]["sentiment"], &ticket["sentiment"]["score"]);
        assert_eq!(sentiment, (&json!("neutral"), &json!(0)), "{fault}");
        let moments = &ticket["history"].as_array().unwrap()[1..5];
        for moment in moments {
            assert_eq!(
                (&moment["fallback"], &moment["attempts"]),
                (&json!(true), &json!(attempts)),
                "{fault}: {ticket}"
            );
        }
        let failed: Vec<_> = ticket["errors"].as_array().unwrap().iter().map(|e| text(&e["agent"])).collect();
        assert_eq!(failed, ["router", "knowledge", "sentiment", "decision"], "{fault}");
    }
    world.faults(&json!({"hang": true, "for_role": "sentiment"})).await;
    let hurried = world.desk(Start::new()).env("HTTP_TIMEOUT", "0.1").env("MAX_RETRIES", "0").start().await;
    let ticket = take(&hurried.client(), "ann", "I was charged twice").await;
    assert_eq!(
        (&ticket["status"], &ticket["errors"][0]["agent"]),
        (&json!("RESOLVED"), &json!("sentiment")),
        "{ticket}"
    );
    let counted = client.get("/metrics").await.expect(200).text();
    assert!(counted.contains("tutti_stage_fallbacks_total{stage=\"router\"} 7"), "{counted}");
}

#[tokio::test]
async fn a_person_resolves_or_has_it_worked_on_again_and_only_an_escalated_one() {
    let world = Simulator::start(&[]).await;
    let server = world.desk(Start::new()).start().await;
    let client = server.client();
    let escalated = take(&client, "ann", "my card was stolen").await;
    assert_eq!(escalated["status"], "ESCALATED");
    let id = text(&escalated["ticket_id"]).to_owned();
    let again = client.post(format_args!("/api/tickets/{id}/retry?wait=30"), &json!({})).await.expect(200).json();
    assert_eq!((&again["status"], again["runs"].as_array().unwrap().len()), (&json!("ESCALATED"), 2));
    assert_ne!(again["run_id"], escalated["run_id"]);
    let resolve = |note: &str| {
        client.post(format_args!("/api/tickets/{id}/resolve"), &json!({"response": "Blocked.", "note": note}))
    };
    // Many at once: one is first.
    let all: Vec<_> = (0..8).map(|n| tokio::spawn(resolve(&format!("n{n}")).persist())).collect();
    let mut done = Vec::new();
    for answer in all {
        done.push(answer.await.unwrap().status);
    }
    assert_eq!(
        (done.iter().filter(|s| **s == 200).count(), done.iter().filter(|s| **s == 409).count()),
        (1, 7),
        "{done:?}"
    );
    let ticket = client.get(format_args!("/api/tickets/{id}")).await.expect(200).json();
    assert_eq!((&ticket["status"], &ticket["decision"]["response"]), (&json!("RESOLVED"), &json!("Blocked.")));
    assert_eq!(ticket["decision"]["by"], "local");
    for act in ["retry", "resolve"] {
        let refused = client.post(format_args!("/api/tickets/{id}/{act}"), &json!({"response": "x"})).await.expect(409);
        assert_eq!(refused.json()["ticket_id"], json!(id));
    }
    // The same act under the same key is the same act.
    let other = take(&client, "ann", "my card was stolen").await;
    let path = format!("/api/tickets/{}/resolve", text(&other["ticket_id"]));
    let once = || client.post(&path, &json!({"response": "Yes."})).once("k1");
    let (first, second) = (once().await.expect(200), once().await.expect(200));
    assert_eq!((first.json(), second.header("idempotency-replayed")), (second.json(), "true"));
    let cancelled = client.post("/api/tickets", &asked("ann", "my card was stolen")).await.expect(201).json();
    client.post(format_args!("/v1/runs/{}/cancel", text(&cancelled["run_id"])), &json!({})).await;
    let ticket = client.get(format_args!("/api/tickets/{}", text(&cancelled["ticket_id"]))).await.expect(200).json();
    assert_eq!(ticket["status"], "ESCALATED", "cancelled or escalated by its agents: {ticket}");
}

#[tokio::test]
async fn tickets_are_listed_by_status_and_customer_page_by_page() {
    let world = Simulator::start(&[]).await;
    let server = world.desk(Start::new()).start().await;
    let client = server.client();
    let mut all = Vec::new();
    for n in 0..6 {
        let body = if n % 2 == 0 { "my card was stolen" } else { "my card is late" };
        let customer = if n < 4 { "ann" } else { "bob" };
        all.push(take(&client, customer, body).await);
    }
    let list = async |query: &str| client.get(format_args!("/api/tickets{query}")).await.expect(200).json();
    let of = |ns: &[usize]| ns.iter().map(|n| text(&all[*n]["ticket_id"])).collect::<Vec<_>>();
    assert_eq!(ids(&list("").await), of(&[5, 4, 3, 2, 1, 0]));
    assert_eq!(ids(&list("?status=ESCALATED").await), of(&[4, 2, 0]));
    assert_eq!(ids(&list("?status=RESOLVED&customer_id=ann").await), of(&[3, 1]));
    assert!(ids(&list("?status=ROUTING").await).is_empty());
    let first = list("?status=ESCALATED&limit=2").await;
    assert_eq!(ids(&first), of(&[4, 2]));
    let next = list(&format!("?status=ESCALATED&limit=2&cursor={}", text(&first["next_cursor"]))).await;
    assert_eq!((ids(&next), &next["next_cursor"]), (of(&[0]), &Value::Null));
    // A ticket that is resolved leaves the list of the escalated.
    let path = format!("/api/tickets/{}/resolve", text(&all[2]["ticket_id"]));
    client.post(path, &json!({"response": "Done."})).await.expect(200);
    assert_eq!(ids(&list("?status=ESCALATED").await), of(&[4, 0]));
    assert_eq!(ids(&list("?status=RESOLVED").await), of(&[2, 5, 3, 1]), "worked on last first");
    assert_eq!(ids(&list("").await).len(), 6, "a ticket is listed once, however many runs it has");
    client.get("/api/tickets?status=open").await.expect(422);
    client.get("/api/tickets?cursor=zzz").await.expect(422);
}

#[tokio::test]
async fn built_in_agents_answer_from_the_knowledge_base_and_escalate_without() {
    let server = Server::start().await;
    let client = server.client();
    let ticket = take(&client, "ann", "When does my refund arrive?").await;
    assert_eq!(
        (&ticket["status"], &ticket["articles"]),
        (&json!("ESCALATED"), &json!([])),
        "nothing is known: {ticket}"
    );
    let articles = json!({"articles": [{"title": "Refunds", "content": "A refund arrives within ten working days."},
        {"id": "cards", "title": "Lost cards", "content": "Block a lost card in the app."}]});
    let kept = client
        .call(Method::PUT, "/api/articles")
        .header("content-type", "application/json")
        .body(articles.to_string())
        .await
        .expect(200);
    assert_eq!(kept.json(), json!({"imported": 2}));
    let ticket = take(&client, "ann", "When does my refund arrive?").await;
    assert_eq!((&ticket["articles"][0]["id"], &ticket["errors"]), (&json!("refunds"), &json!([])), "{ticket}");
    let found = client.get("/api/articles?query=lost+card").await.expect(200).json();
    assert_eq!(found["items"][0]["id"], "cards");
    client.call(Method::DELETE, "/api/articles/cards").await.expect(204);
    client.call(Method::DELETE, "/api/articles/cards").await.expect(404);
    assert_eq!(client.get("/api/articles").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    let wrong = json!({"articles": [{"title": "", "content": 7, "more": 1}, 5]});
    let wrong = client
        .call(Method::PUT, "/api/articles")
        .header("content-type", "application/json")
        .body(wrong.to_string())
        .await
        .expect(422)
        .wrong();
    assert_eq!(wrong.len(), 4, "{wrong:?}");
}
