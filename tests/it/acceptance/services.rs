//! Agents that are services: found by address, by SRV record, by card, and looked for again and again.

use super::text;
use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tutti_tests::server::{Server, Start};

const WELL_KNOWN: &str = "/.well-known/agent-card.json";

/// A service that says who asked for what, and its card.
async fn service() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = keys.clone();
    let ask = move |headers: HeaderMap, body: Bytes| async move {
        log.lock().unwrap().push(headers["idempotency-key"].to_str().unwrap().to_owned());
        let asked: Value = serde_json::from_slice(&body).unwrap();
        json!({"output": format!("{} heard {}", asked["agent"].as_str().unwrap(), asked["input"].as_str().unwrap())})
            .to_string()
    };
    let card = json!({"name": "x", "description": "Hears.", "url": format!("http://{address}/ask")}).to_string();
    let card = get(|| async move { card });
    let router = Router::new().route("/ask", post(ask)).route("/card", card.clone()).route(WELL_KNOWN, card);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, keys)
}

/// A name server that answers every question with these SRV records: priority, port, all on `localhost`.
async fn name_server(records: Vec<(u16, u16)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            // The question: labels up to an empty one, type, class.
            let end = 12 + query[12..length].iter().position(|b| *b == 0).unwrap() + 5;
            let mut answer = vec![query[0], query[1], 0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
            answer.extend_from_slice(&query[12..end]);
            for (priority, port) in &records {
                // The question's name, SRV, IN, a minute; 6 bytes and `localhost.`
                answer.extend_from_slice(&[0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 17]);
                answer.extend([*priority, 0, *port].iter().flat_map(|n| n.to_be_bytes()));
                answer.extend_from_slice(b"\x09localhost\x00");
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

async fn ask(server: &Server, agent: Value) -> Value {
    server.client().orchestrate(&json!({"pattern": "sequential", "input": "hello", "agents": [agent]})).await
}

#[tokio::test]
async fn a_service_is_found_by_its_records_and_the_next_one_is_asked_when_one_is_down() {
    let (address, keys) = service().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dns = name_server(vec![(20, address.port()), (10, closed)]).await;
    let server = Start::new().env("DNS_SERVER", &dns.to_string()).env("EGRESS_ALLOW", "localhost").start().await;
    let agent = json!({"name": "ear", "kind": "http", "endpoint": "srv+http://_ear._tcp.agents.test/ask"});
    let result = ask(&server, agent).await;
    assert_eq!((&result["status"], &result["output"]), (&json!("completed"), &json!("ear heard hello")), "{result}");
    assert_eq!(*keys.lock().unwrap(), [format!("{}/member[ear]/ask", text(&result["run_id"]))], "asked once");
}

#[tokio::test]
async fn a_card_says_where_an_agent_of_the_configuration_is() {
    let (address, _) = service().await;
    let file = format!("[agents.ear]\ncard = \"http://{address}/card\"\n");
    let server = Start::new().file("tutti.toml", &file).start().await;
    let result = ask(&server, json!("ear")).await;
    assert_eq!(result["output"], "ear heard hello", "{result}");
    let listed = server.client().get("/patterns").await.expect(200).json();
    let ear = listed["agents"].as_array().unwrap().iter().find(|a| a["name"] == "ear").unwrap();
    assert_eq!(ear["description"], "Hears.");
}

#[tokio::test]
async fn a_private_address_in_a_request_needs_the_operators_word() {
    let (address, _) = service().await;
    let server = Start::new().start().await;
    let agent = json!({"name": "ear", "kind": "http", "endpoint": format!("http://{address}/ask")});
    let body = json!({"pattern": "sequential", "input": "x", "agents": [agent]});
    let refused = server.client().post("/orchestrate", &body).await.expect(422);
    assert_eq!(refused.wrong(), ["body.agents.0.endpoint"]);
    assert!(refused.details()[0].1.contains("EGRESS_ALLOW"));
}

/// Names and descriptions of the agents that a request may name.
async fn names(server: &Server) -> BTreeMap<String, Value> {
    let listed = server.client().get("/patterns").await.expect(200).json();
    let name = |agent: &Value| (text(&agent["name"]).to_owned(), agent["description"].clone());
    listed["agents"].as_array().unwrap().iter().map(name).collect()
}

async fn until_named(server: &Server, name: &str, is_named: bool) {
    for _ in 0..200 {
        if names(server).await.contains_key(name) == is_named {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} is not as it should be: {:?}", names(server).await);
}

#[tokio::test]
async fn agents_are_found_by_their_cards_and_inline_and_registered_ones_go_first() {
    let (address, _) = service().await;
    let cards = format!("http://127.0.0.1:1/none,http://{address}/card");
    let server = Start::new().env("DISCOVERY_CARDS", &cards).start().await;
    assert_eq!(names(&server).await["x"], "Hears.", "before the first request");
    assert_eq!(ask(&server, json!("x")).await["output"], "x heard hello");
    let own = json!({"name": "x", "instructions": "You are somebody else."});
    assert_ne!(ask(&server, own).await["output"], "x heard hello");
    let registered = json!({"agent_id": "x", "agent_name": "X", "domain": "d"});
    server.client().post("/orchestrator/register", &registered).await.expect(201);
    assert_ne!(ask(&server, json!("x")).await["output"], "x heard hello");
    server.client().post("/orchestrator/unregister", &json!({"agent_id": "x"})).await.expect(200);
    assert_eq!(ask(&server, json!("x")).await["output"], "x heard hello");
}

#[tokio::test]
async fn agents_are_found_by_a_name_of_dns() {
    let (address, _) = service().await;
    let dns = name_server(vec![(10, address.port())]).await.to_string();
    let start = Start::new().env("DNS_SERVER", &dns).env("EGRESS_ALLOW", "localhost,127.0.0.1");
    let server = start.file("tutti.toml", "[discovery]\nsrv = \"_agents._tcp.agents.test\"\n").start().await;
    assert_eq!(ask(&server, json!("x")).await["output"], "x heard hello");
}

#[tokio::test]
async fn the_list_of_agents_is_read_again_and_who_is_gone_is_forgotten() {
    let (address, _) = service().await;
    let list = |name: &str| {
        format!(
            "[discovery]\ninterval = 0.1\n[discovery.agents.{name}]\nkind = \"http\"\nendpoint = \"http://{address}/ask\"\n"
        )
    };
    let start = Start::new().env("AGENT_HEARTBEAT_TIMEOUT", "0.5").file("tutti.toml", &list("ear"));
    let mut server = start.start().await;
    assert_eq!(ask(&server, json!("ear")).await["output"], "ear heard hello");
    let start = start.file("tutti.toml", "[discovery");
    let is_tried = |line: &str| line.contains("the list of agents was not read again").then_some(());
    server.line("the broken file to be read", is_tried).await;
    assert!(names(&server).await.contains_key("ear"), "a broken file changes nothing");
    let _ = start.file("tutti.toml", &list("other"));
    until_named(&server, "other", true).await;
    until_named(&server, "ear", false).await;
    assert_eq!(ask(&server, json!("other")).await["output"], "other heard hello");
    let wrong =
        Start::new().file("tutti.toml", "[discovery.agents.a]\nkind = \"robot\"\n").try_start().await.unwrap_err();
    assert!(wrong.stderr.contains("discovery.agents.a.kind"), "{wrong:?}");
}
