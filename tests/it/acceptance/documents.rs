//! Documents: a test for each row of the contract about them, and for what a stranger may send.

mod banking;
mod files;
mod rag;
mod vectors;

use serde_json::{Value, json};
use tutti_tests::client::{Answer, Client};
use tutti_tests::server::Server;

/// A text of two sections.
const HELP: &str = "# Lost cards\n\nBlock a lost card in the app at once. A new card arrives within five days.\n\n\
                    # Fees\n\nTransfers abroad cost a fee of two euros. A card payment is free.";

async fn put(client: &Client, body: &Value) -> Answer {
    client.post("/v1/documents", body).await
}

async fn search(client: &Client, body: &Value) -> Value {
    client.post("/v1/search", body).await.expect(200).json()
}

/// Ids of the documents that a question finds, best first.
async fn found(client: &Client, question: &str) -> Vec<String> {
    let answer = search(client, &json!({ "query": question })).await;
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item["document_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_document_is_kept_found_replaced_and_deleted() {
    let mut server = Server::start().await;
    let client = server.client();
    let body = json!({"id": "help/cards", "title": "Help", "content": HELP, "metadata": {"lang": "en"}});
    let kept = put(&client, &body).await.expect(201);
    assert_eq!(kept.header("location"), "/v1/documents/help%2Fcards");
    let kept = kept.json();
    assert!(kept["id"] == "help/cards" && kept["passages"] == 1 && kept.get("content").is_none(), "{kept}");
    let answer = search(&client, &json!({"query": "I lost my card!", "limit": 3})).await;
    let item = &answer["items"][0];
    assert!(item["document_id"] == "help/cards" && item["title"] == "Help" && item["score"] == 1.0, "{answer}");
    let (start, end) = (item["start"].as_u64().unwrap() as usize, item["end"].as_u64().unwrap() as usize);
    let slice: String = HELP.chars().skip(start).take(end - start).collect();
    assert!(answer["ranking"] == "words" && item["passage"] == slice.as_str());
    // The same id takes its place, and what was kept outlives a crash.
    let again = json!({"id": "help/cards", "title": "Help", "content": "Only refunds are told of here."});
    put(&client, &again).await.expect(200);
    server.kill9();
    server.restart().await;
    assert!(found(&client, "lost").await.is_empty());
    assert_eq!(found(&client, "refund").await, ["help/cards"]);
    let document = client.get("/v1/documents/help%2Fcards").await.expect(200).json();
    assert_eq!((&document["content"], &document["metadata"]), (&again["content"], &json!({})));
    client.call(reqwest::Method::DELETE, "/v1/documents/help%2Fcards").await.expect(204);
    client.call(reqwest::Method::DELETE, "/v1/documents/help%2Fcards").await.expect(404);
    client.get("/v1/documents/help%2Fcards").await.expect(404);
    assert!(found(&client, "refund").await.is_empty());
}

#[tokio::test]
async fn documents_are_listed_page_by_page_and_searches_are_narrowed() {
    let server = Server::start().await;
    let client = server.client();
    for (id, lang) in [("b", "de"), ("a", "en"), ("c", "en")] {
        let body = json!({"id": id, "title": "Cards", "content": "A lost card.", "metadata": {"lang": lang}});
        put(&client, &body).await.expect(201);
    }
    let made_up = put(&client, &json!({"title": "T", "content": "No id."})).await.expect(201).json();
    assert_eq!(made_up["id"].as_str().unwrap().len(), 36);
    let page = client.get("/v1/documents?limit=2").await.expect(200).json();
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let next = page["next_cursor"].as_str().unwrap().to_owned();
    let rest = client.get(format_args!("/v1/documents?limit=9&cursor={next}")).await.expect(200).json();
    let all = [ids(&page), ids(&rest)].concat();
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted() && rest["next_cursor"].is_null());
    client.get("/v1/documents?cursor=x").await.expect(422);
    let narrowed = json!({"query": "lost card", "metadata": {"lang": "en"}, "documents": ["b", "c"]});
    let items = search(&client, &narrowed).await["items"].as_array().unwrap().clone();
    assert!(items.len() == 1 && items[0]["document_id"] == "c", "{items:?}");
}

#[tokio::test]
async fn everything_wrong_is_named_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let wrong = put(&client, &json!({"id": " x", "title": "", "content": 3, "metadata": []})).await.expect(422).wrong();
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    let wrong = put(&client, &json!({})).await.expect(422).details();
    let locs: Vec<_> = wrong.iter().map(|(loc, _)| loc.as_str()).collect();
    assert_eq!(locs.len(), 2, "{wrong:?}");
    let body = json!({"query": " ", "limit": 51, "documents": [1], "metadata": {"a": 1}});
    let wrong = client.post("/v1/search", &body).await.expect(422).wrong();
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    client.post("/v1/search", &json!({"query": "x".repeat(10_001)})).await.expect(422);
    // Nothing in a question is a command.
    put(&client, &json!({"id": "a", "title": "A", "content": "a lost card"})).await.expect(201);
    for odd in ["\" OR *", "a AND NOT (b", "NEAR(\"x\" y)", "'; DROP TABLE passages; --", "card:*", "{}^", "🦀"] {
        search(&client, &json!({ "query": odd })).await;
    }
    assert_eq!(found(&client, "\"lost\" AND card*").await, ["a"]);
}
