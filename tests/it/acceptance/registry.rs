//! Registered agents: a test for each row of the contract's section, and for what it says beside them.

mod amqp;
mod brain;
mod jobs;
mod lifecycle;
mod tasks;

use super::text;
use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;
use tutti_tests::client::{Answer, Client};
use tutti_tests::in_time;
use tutti_tests::server::{Server, Start};

/// An agent that runs here.
fn agent(id: &str, domain: &str) -> Value {
    json!({"agent_id": id, "agent_name": format!("Agent {id}"), "domain": domain})
}

/// The same with more fields.
fn with(mut agent: Value, more: Value) -> Value {
    agent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    agent
}

async fn register(client: &Client, agent: &Value) -> Value {
    client.post("/orchestrator/register", agent).await.expect(201).json()
}

async fn get(client: &Client, id: &str) -> Value {
    client.get(format_args!("/orchestrator/agents/{id}")).await.expect(200).json()
}

async fn execute(client: &Client, body: &Value) -> Value {
    client.post("/orchestrator/execute-task", body).await.expect(202).json()
}

/// A task for an agent, started and waited for.
async fn done(client: &Client, body: &Value) -> Value {
    client.post("/orchestrator/execute-task?wait=30", body).await.expect(202).json()
}

fn task(agent_id: &str) -> Value {
    json!({"agent_id": agent_id, "task_type": "check", "task_data": {"n": 1}})
}

/// A task once it is as wanted: looked at again with each of its run's events.
async fn until(client: &Client, task: &Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let id = text(&task["task_id"]);
    in_time(what, async {
        let mut events = client.events(id, 0).await.expect("a stream from the first event");
        loop {
            let task = client.get(format_args!("/orchestrator/tasks/{id}")).await.expect(200).json();
            if is_so(&task) {
                return task;
            }
            let next = events.next().await.unwrap_or_else(|lost| panic!("a stream broke: {}", lost.why));
            assert!(next.is_some(), "it has ended: {task}");
        }
    })
    .await
}

/// An agent once its latest start is over, which is a run.
async fn made(client: &Client, id: &str) -> Value {
    let runs = client.get("/v1/runs?workflow=agent_start&limit=1").await.expect(200).json();
    let events = client.events(text(&runs["items"][0]["run_id"]), 0).await.expect("a stream from the first event");
    in_time("a start to be over", events.rest()).await;
    get(client, id).await
}

async fn ended(client: &Client, task: &Value) -> Value {
    let open = ["queued", "running", "waiting"];
    until(client, task, "a task to end", |task| !open.contains(&text(&task["status"]))).await
}

/// What was asked of a service: headers and body.
type Asked = watch::Sender<Vec<(HeaderMap, Value)>>;

/// A service at `/ask` that answers what `answer` says, once `gate` lets it.
struct Service {
    url: String,
    asked: Asked,
    gate: Arc<tokio::sync::Semaphore>,
}

impl Service {
    /// One that answers at once.
    async fn start(answer: impl Fn(&Value) -> (u16, Value) + Clone + Send + Sync + 'static) -> Self {
        Self::held(1_000, answer).await
    }

    /// One that answers so many times, and then when it is let.
    async fn held(permits: usize, answer: impl Fn(&Value) -> (u16, Value) + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let gate = Arc::new(tokio::sync::Semaphore::new(permits));
        let (log, door) = (asked.clone(), gate.clone());
        let ask = move |headers: HeaderMap, body: Bytes| {
            let (log, door, answer) = (log.clone(), door.clone(), answer.clone());
            async move {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let (status, said) = answer(&body);
                log.send_modify(|asked| asked.push((headers, body)));
                door.acquire().await.unwrap().forget();
                (axum::http::StatusCode::from_u16(status).unwrap(), said.to_string())
            }
        };
        let paths = ["/ask", "/agents", "/deployments"];
        let router = paths.iter().fold(Router::new(), |router, path| router.route(path, post(ask.clone())));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, gate }
    }

    fn ask(&self) -> String {
        format!("{}/ask", self.url)
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.borrow().iter().map(|(_, body)| body.clone()).collect()
    }

    async fn was_asked(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| asked.len() >= times);
        in_time(&format!("{times} questions to a service"), enough).await.unwrap();
    }
}

/// A server that may call services of a test.
fn open() -> Start {
    Start::new().env("EGRESS_ALLOW", "127.0.0.0/8").env("RETRY_DELAY", "0.02")
}

/// An agent behind a service.
fn at(id: &str, domain: &str, service: &Service) -> Value {
    with(agent(id, domain), json!({"endpoint": service.ask()}))
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| text(&item["agent_id"])).collect()
}

#[tokio::test]
async fn an_agent_is_registered_updated_read_and_listed() {
    let server = Server::start().await;
    let client = server.client();
    let seed = json!({
        "agent_id": "underwriting_agent_01", "agent_name": "Underwriting Assistant", "domain": "underwriting",
        "brain_config": {
            "persona": {"role": "Underwriting Analyst", "expertise": ["risk"], "personality": "balanced"},
            "reasoningPattern": "react", "components": [], "connections": []
        },
        "deployment_id": "deploy_001"
    });
    let answer = client.post("/orchestrator/register", &seed).await.expect(201);
    assert_eq!(answer.header("location"), "/orchestrator/agents/underwriting_agent_01");
    let kept = answer.json();
    assert_eq!((&kept["status"], &kept["brain_config"]), (&json!("registered"), &seed["brain_config"]));
    let again = with(seed, json!({"agent_name": "Analyst", "capabilities": ["risk"], "unknown": 1}));
    let updated = client.post("/orchestrator/register", &again).await.expect(200).json();
    assert_eq!((&updated["agent_name"], &updated["registered_at"]), (&json!("Analyst"), &kept["registered_at"]));
    for (id, domain) in [("b", "claims"), ("a", "underwriting")] {
        register(&client, &agent(id, domain)).await;
    }
    let list = async |query: &str| client.get(format_args!("/orchestrator/agents{query}")).await.expect(200).json();
    assert_eq!(ids(&list("").await), ["a", "b", "underwriting_agent_01"]);
    assert_eq!(ids(&list("?domain=underwriting&status=registered").await), ["a", "underwriting_agent_01"]);
    assert!(ids(&list("?status=running").await).is_empty());
    let first = list("?limit=2").await;
    let next = list(&format!("?limit=2&cursor={}", text(&first["next_cursor"]))).await;
    assert_eq!(
        (ids(&first), ids(&next), &next["next_cursor"]),
        (vec!["a", "b"], vec!["underwriting_agent_01"], &Value::Null)
    );
    client.get("/orchestrator/agents?cursor=zzz").await.expect(422);
    assert_eq!(client.get("/orchestrator/agents?status=idle").await.wrong(), ["query.status"]);
    let one = get(&client, "b").await;
    for field in ["instances", "sessions", "last_heartbeat", "metrics"] {
        assert!(one.get(field).is_some(), "{field}: {one}");
    }
    assert_eq!(one["metrics"]["success_rate"], Value::Null);
    assert_eq!(client.get("/orchestrator/agents/nobody").await.expect(404).class(), "NotFound");
}

#[tokio::test]
async fn everything_wrong_with_a_registration_is_told_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let wrong = async |body: Value| client.post("/orchestrator/register", &body).await.details();
    let places = |details: &[(String, String)]| details.iter().map(|(at, _)| at.clone()).collect::<Vec<_>>();
    assert_eq!(places(&wrong(json!({})).await), ["body.agent_id", "body.agent_name", "body.domain"]);
    let details = wrong(json!({
        "agent_id": "a b", "agent_name": "", "domain": 7, "protocol": "smoke", "max_sessions": 0, "routes": ["nobody"],
        "instances": [{"instance_id": "x/y"}, {"instance_id": "one"}, "one"], "capabilities": [1],
        "brain_config": {"reasoningPattern": "guess", "component": [],
            "components": [{"id": "m", "type": "model"}, {"id": "t", "type": "tool", "ref": "hammer"}, {"id": "x", "type": "robot"}],
            "connections": [{"from": "m", "to": "gone"}]}
    }))
    .await;
    for place in [
        "body.agent_id",
        "body.agent_name",
        "body.domain",
        "body.protocol",
        "body.max_sessions",
        "body.routes.0",
        "body.instances.0.instance_id",
        "body.instances.2",
        "body.capabilities.0",
        "body.brain_config.reasoningPattern",
        "body.brain_config.component",
        "body.brain_config.components.1.ref",
        "body.brain_config.components.2.type",
        "body.brain_config.connections.0.to",
    ] {
        assert!(details.iter().any(|(at, _)| at == place), "{place} is not among {details:?}");
    }
    let hint = details.iter().find(|(at, _)| at == "body.brain_config.component").unwrap();
    assert!(hint.1.contains("components"), "{hint:?}");
    let details = wrong(with(agent("a", "d"), json!({"protocol": "http"}))).await;
    assert_eq!(places(&details), ["body.endpoint"]);
    let details = wrong(with(agent("a", "d"), json!({"protocol": "queue", "endpoint": "https://a.example"}))).await;
    assert_eq!(places(&details), ["body.endpoint"]);
    for private in ["http://127.0.0.1:9/ask", "http://localhost/ask", "http://10.0.0.1/", "http://[::1]/"] {
        let details = wrong(with(agent("a", "d"), json!({"endpoint": private}))).await;
        assert!(details[0].0 == "body.endpoint" && details[0].1.contains("EGRESS_ALLOW"), "{private}: {details:?}");
        let instances = json!({"protocol": "http", "instances": [{"instance_id": "i", "endpoint": private}]});
        let details = wrong(with(agent("a", "d"), instances)).await;
        assert!(details[0].0 == "body.instances.0.endpoint", "{private}: {details:?}");
    }
    assert!(client.get("/orchestrator/agents").await.expect(200).json()["items"].as_array().unwrap().is_empty());
    let open = open().start().await;
    register(&open.client(), &with(agent("a", "d"), json!({"endpoint": "http://127.0.0.1:9/ask"}))).await;
}

#[tokio::test]
async fn the_series_of_agents_have_the_contracts_names() {
    let mut server = Start::new().env("LOG_LEVEL", "debug").start().await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    assert_eq!(done(&client, &task("a")).await["status"], "completed");
    client.get("/orchestrator/agents/nobody").await.expect(404);
    // Counted behind the task's back, by whoever gives the place to the next.
    server.line("the end of a session", |line| line.contains("a session of agent a has ended").then_some(())).await;
    let closed = client.get("/metrics").await.expect(200).text();
    for line in [
        "agent_orchestrator_session_duration_seconds_count 1",
        "agent_orchestrator_active_agents 1",
        "agent_orchestrator_total_sessions 1",
        "agent_orchestrator_session_duration_seconds_bucket{le=\"1\"} 1",
        "agent_orchestrator_task_success_rate 1",
        "agent_orchestrator_requests_total{route=\"/orchestrator/register\",method=\"POST\",status=\"201\"} 1",
        "agent_orchestrator_requests_total{route=\"/orchestrator/agents/{id}\",method=\"GET\",status=\"404\"} 1",
        "agent_orchestrator_errors_total{type=\"NotFound\"} 1",
    ] {
        assert!(closed.lines().any(|known| known == line), "{line} is not in\n{closed}");
    }
    let quiet = Start::new().env("AGENT_METRICS_ENABLED", "false").start().await;
    register(&quiet.client(), &agent("a", "d")).await;
    done(&quiet.client(), &task("a")).await;
    let text = quiet.client().get("/metrics").await.expect(200).text();
    assert!(!text.contains("agent_orchestrator") && text.contains("tutti_runs_ended_total"), "{text}");
}

#[tokio::test]
async fn agents_are_kept_over_a_restart() {
    let mut server = Server::start().await;
    let client = server.client();
    let kept = register(&client, &with(agent("a", "d"), json!({"capabilities": ["x"], "max_sessions": 3}))).await;
    client.post("/orchestrator/start", &json!({"agent_id": "a"})).await.expect(202);
    server.kill9();
    server.restart().await;
    let found = get(&client, "a").await;
    assert_eq!(
        (&found["status"], &found["capabilities"], &found["max_sessions"]),
        (&json!("running"), &json!(["x"]), &json!(3))
    );
    assert_eq!(found["registered_at"], kept["registered_at"]);
}

/// The answer's ids must be one and the same.
fn is_its_run(task: &Value) -> bool {
    task["task_id"] == task["run_id"] && task["task_id"].is_string()
}

fn refused(answer: &Answer, class: &str) {
    assert_eq!(answer.class(), class, "{}", answer.text());
}
