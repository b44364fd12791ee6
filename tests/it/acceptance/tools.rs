//! Tools: registered, called by hand and by agents, kept over a restart; what others may make of them.

mod bad;
mod mcp;
mod openapi;

use super::text;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tutti_tests::client::{Answer, Client};
use tutti_tests::server::{Server, Start};

/// A request that a stub got.
#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

/// A service that answers what `answer` says, and remembers what it was asked.
struct Stub {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    async fn start(answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        let take = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let one = Seen { method, uri, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
            let response = answer(&one);
            log.lock().unwrap().push(one);
            std::future::ready(response)
        };
        let router = Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn reply(status: u16, kind: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

fn data(value: &Value) -> Response {
    reply(200, "application/json", value.to_string())
}

/// A server that may call stubs and tries nothing again.
async fn start() -> Server {
    how().start().await
}

fn how() -> Start {
    Start::new().env("EGRESS_ALLOW", "127.0.0.1").env("MAX_RETRIES", "0")
}

/// What is wrong with a request, in words.
fn wrongs(answer: &Answer) -> Vec<String> {
    answer.details().into_iter().map(|(_, why)| why).collect()
}

async fn register(client: &Client, tool: &Value) -> Value {
    client.post("/v1/tools/register", tool).await.expect(201).json()
}

async fn call(client: &Client, name: &str, arguments: &Value) -> Value {
    client.post(format_args!("/v1/tools/{name}/call"), arguments).await.expect(200).json()
}

/// Why a call failed.
async fn failure(client: &Client, name: &str, arguments: &Value) -> String {
    let called = call(client, name, arguments).await;
    assert_eq!(called["status"], "error", "{called}");
    text(&called["error"]["message"]).to_owned()
}

fn weather(url: &str) -> Value {
    json!({"name": "weather_now", "kind": "http", "description": "Tells the weather of a city now.",
        "parameters": {"type": "object", "required": ["city"], "additionalProperties": false, "properties": {
            "city": {"type": "string", "minLength": 1}, "days": {"type": "integer"}, "units": {"type": "string"}}},
        "config": {"method": "GET", "url": format!("{url}/v1/{{{{city}}}}/now?days={{{{days}}}}&units={{{{units}}}}&k=a"),
            "headers": {"authorization": "Bearer s3cret-token", "x-trace": "yes"}}})
}

#[tokio::test]
async fn a_tool_is_registered_called_kept_and_taken_out() {
    let stub = Stub::start(|_| data(&json!({"sky": "blue"}))).await;
    let mut server = start().await;
    let client = server.client();
    let made = register(&client, &weather(&stub.url)).await;
    assert_eq!((text(&made["kind"]), text(&made["effect"]), text(&made["source"])), ("http", "pure", "registered"));
    client.post("/v1/tools/register", &weather(&stub.url)).await.expect(200);
    let arguments = json!({"city": "São Paulo/../x?y", "days": 2});
    let called = call(&client, "weather_now", &arguments).await;
    assert_eq!((text(&called["status"]), &called["output"]), ("ok", &json!({"sky": "blue"})), "{called}");
    assert!(called["took_ms"].is_u64());
    let seen = stub.seen();
    assert_eq!(
        seen[0].uri.to_string(),
        "/v1/S%C3%A3o%20Paulo%2F..%2Fx%3Fy/now?days=2&k=a",
        "one segment, whatever it holds"
    );
    assert_eq!(
        (&seen[0].headers["authorization"], &seen[0].headers["x-trace"]),
        (&"Bearer s3cret-token".parse().unwrap(), &"yes".parse().unwrap())
    );
    server.terminate().await;
    server.restart().await;
    let called = call(&client, "weather_now", &json!({"city": "Rome"})).await;
    assert_eq!(called["status"], "ok", "{called}");
    assert_eq!(stub.seen()[1].headers["authorization"], "Bearer s3cret-token", "the vault kept it");
    let list = client.get("/v1/tools/list").await.expect(200).text();
    let run = client.get(format_args!("/v1/runs/{}", text(&called["run_id"]))).await.expect(200).text();
    assert!(list.contains("\"***\"") && !list.contains("s3cret") && !run.contains("s3cret"), "{list}");
    client.call(Method::DELETE, "/v1/tools/weather_now").await.expect(204);
    client.call(Method::DELETE, "/v1/tools/weather_now").await.expect(404);
    client.call(Method::DELETE, "/v1/tools/calculate").await.expect(409);
    client.post("/v1/tools/weather_now/call", &json!({"city": "Rome"})).await.expect(404);
}

#[tokio::test]
async fn arguments_are_checked_before_anything_is_sent() {
    let stub = Stub::start(|_| data(&json!(1))).await;
    let server = start().await;
    let client = server.client();
    register(&client, &weather(&stub.url)).await;
    for (arguments, part) in [
        (json!({}), "\"city\" is a required property"),
        (json!({"city": 7}), "not of type \"string\""),
        (json!({"city": "a", "host": "b"}), "'host'"),
        (json!({"city": ".."}), "lead out of"),
    ] {
        let why = failure(&client, "weather_now", &arguments).await;
        assert!(why.contains(part), "{arguments}: {why}");
    }
    assert_eq!(client.post("/v1/tools/weather_now/call", &json!([1])).await.expect(422).wrong().len(), 1);
    assert_eq!(stub.seen().len(), 0);
    let sum = call(&client, "calculate", &json!({"expression": "6*7"})).await;
    assert_eq!(sum["status"], "ok", "{sum}");
}

#[tokio::test]
async fn everything_wrong_with_a_tool_is_said_at_once() {
    let server = Start::new().start().await;
    let client = server.client();
    let tool = json!({"name": "a__b", "kind": "http", "parameters": {"type": "object", "properties": {"city": {"$ref": "https://e.example/s"}}},
        "config": {"method": "GET", "url": "http://127.0.0.1/{{citty}}?k=${KEY}", "headers": {"Host": "x"}, "bdy": 1}, "effct": "pure"});
    let wrong = client.post("/v1/tools/register", &tool).await.expect(422).details();
    let said = |path: &str, part: &str| {
        wrong.iter().any(|(at, why)| at.strip_prefix("body.") == Some(path) && why.contains(part))
    };
    for (path, part) in [
        ("name", "no two _ in a row"),
        ("description", "field required"),
        ("parameters", "not a JSON Schema that can be used"),
        ("config.url", "{{citty}} is no argument"),
        ("config.url", "no secret named \"KEY\""),
        ("config.url", "EGRESS_ALLOW"),
        ("config.headers.Host", "not a header"),
        ("config.bdy", "did you mean \"body\"?"),
        ("effct", "did you mean \"effect\"?"),
    ] {
        assert!(said(path, part), "{path}: {part}: {wrong:?}");
    }
    for url in ["https://{{city}}.example/", "{{city}}", "ftp://a.example/", "https://u:p@a.example/"] {
        let tool = json!({"name": "a", "kind": "http", "description": "d", "parameters": {"type": "object", "properties": {"city": {}}},
            "config": {"method": "GET", "url": url}});
        let wrong = client.post("/v1/tools/register", &tool).await.expect(422).wrong();
        assert!(wrong.len() == 1, "{url}: {wrong:?}");
    }
}

#[tokio::test]
async fn agents_use_tools_and_only_those_that_they_may() {
    let stub = Stub::start(|_| data(&json!({"sky": "blue"}))).await;
    let server = start().await;
    let client = server.client();
    let mut tool = weather(&stub.url);
    tool["allow"] = json!(["guide"]);
    register(&client, &tool).await;
    let team = |name: &str, tools: &[&str]| {
        json!({"pattern": "sequential", "input": "Use weather_now for Rome.",
            "agents": [{"name": name, "instructions": "You know the weather.", "tools": tools}]})
    };
    let result = client.orchestrate(&team("guide", &["weather_now"])).await;
    assert_eq!(result["status"], "completed", "{result}");
    assert_eq!(stub.seen().len(), 1, "{result}");
    let run = client.run(text(&result["run_id"])).await;
    assert_eq!((run.of_kind("tool.called").count(), run.of_kind("tool.returned").count()), (1, 1), "{}", run.whole);
    let wrong = wrongs(&client.post("/orchestrate", &team("other", &["weather_now"])).await.expect(422));
    assert!(wrong[0].contains("may be called by guide only"), "{wrong:?}");
    let wrong = wrongs(&client.post("/orchestrate", &team("guide", &["weather_then"])).await.expect(422));
    assert!(wrong[0].contains("no tool named \"weather_then\""), "{wrong:?}");
    let agent = json!({"agent_id": "guide", "agent_name": "Guide", "domain": "travel",
        "brain_config": {"components": [{"id": "weather_now", "type": "tool"}]}});
    client.post("/orchestrator/register", &agent).await.expect(201);
    let task = json!({"agent_id": "guide", "task_type": "ask", "task_data": {"question": "Use weather_now for Rome."}});
    let done = client.post("/orchestrator/execute-task?wait=30", &task).await.expect(202).json();
    assert_eq!((text(&done["status"]), stub.seen().len()), ("completed", 2), "{done}");
}

#[tokio::test]
async fn a_person_agrees_before_a_tool_acts() {
    let stub = Stub::start(|_| data(&json!("done"))).await;
    let server = start().await;
    let client = server.client();
    register(&client, &weather(&stub.url)).await;
    let team = json!({"pattern": "sequential", "input": "Use weather_now for Rome.", "options": {"approve": ["weather_now"]},
        "agents": [{"name": "guide", "instructions": "You know the weather.", "tools": ["weather_now"]}]});
    let run = client.post("/orchestrate?wait=0", &team).await.expect(202).json();
    let run_id = text(&run["run_id"]);
    let approval = tutti_tests::in_time("an approval", async {
        loop {
            let list = client.get("/v1/approvals").await.expect(200).json();
            if let Some(found) = list["items"].as_array().unwrap().iter().find(|item| item["run_id"] == run_id) {
                return found.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(stub.seen().len(), 0);
    let decision = json!({"approval_id": approval["approval_id"], "decision": "approve"});
    client.post(format_args!("/v1/runs/{run_id}/approve?wait=30"), &decision).await.expect(200);
    tutti_tests::in_time("the call", async {
        while stub.seen().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_operators_file_is_read_only_and_says_what_is_wrong() {
    let stub = Stub::start(|_| data(&json!("ok"))).await;
    let mut tool = weather(&stub.url);
    tool["config"]["headers"] = json!({"authorization": "Bearer ${WEATHER_TOKEN}"});
    let file = json!({ "tools": [tool] }).to_string();
    // No EGRESS_ALLOW: what the operator's own file names may be called.
    let start = Start::new().env("TOOLS_CONFIG_PATH", "tools.json").env("WEATHER_TOKEN", "from-outside");
    let server = start.clone().file("tools.json", &file).start().await;
    let client = server.client();
    assert_eq!(call(&client, "weather_now", &json!({"city": "Rome"})).await["output"], "ok");
    assert_eq!(stub.seen()[0].headers["authorization"], "Bearer from-outside");
    client.post("/v1/tools/register", &weather("https://w.example")).await.expect(409);
    client.call(Method::DELETE, "/v1/tools/weather_now").await.expect(409);
    let wrong = "tools:\n- name: a\n  kind: http\n  description: d\n  parameters: {type: object}\n  config: {method: GETT, url: x}\n- 7\n";
    let ended =
        Start::new().env("TOOLS_CONFIG_PATH", "tools.yaml").file("tools.yaml", wrong).try_start().await.err().unwrap();
    let said = format!("{ended:?}");
    for part in ["tools.yaml: tools[0].config.method", "tools[0].config.url", "tools[1]"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_workflow_is_a_tool_and_its_run_a_child() {
    let server = start().await;
    let client = server.client();
    let tool = json!({"name": "panel", "kind": "workflow", "description": "Asks a panel of experts.",
        "parameters": {"type": "object", "required": ["input"], "properties": {"input": {"type": "string"}}},
        "config": {"workflow": "concurrent", "options": {"aggregate": "all"},
            "agents": [{"name": "a", "instructions": "You know cards."}, {"name": "b", "instructions": "You know law."}]}});
    register(&client, &tool).await;
    let called = call(&client, "panel", &json!({"input": "My card was charged twice."})).await;
    assert_eq!(called["status"], "ok", "{called}");
    assert_eq!(called["output"].as_array().map(Vec::len), Some(2), "{called}");
    let run = client.run(text(&called["run_id"])).await;
    assert_eq!(run.of_kind("child.completed").count(), 1, "{}", run.whole);
    let mut wrong = tool.clone();
    wrong["config"]["workflow"] = json!("concurent");
    client.post("/v1/tools/register", &wrong).await.expect(422);
}

#[tokio::test]
async fn search_and_jira_are_ready_where_they_are_configured() {
    let found = json!({"results": [{"title": "Rust", "url": "https://r.example", "content": "A language."}]});
    let stub = Stub::start(move |seen| match seen.uri.path() {
        "/search" => data(&found),
        "/rest/api/3/issue" => data(&json!({"key": "PAY-1"})),
        _ => reply(404, "application/json", "{}"),
    })
    .await;
    let server = Start::new()
        .env("SEARCH_PROVIDER", "searxng")
        .env("SEARCH_URL", &stub.url)
        .env("JIRA_BASE_URL", &stub.url)
        .env("JIRA_EMAIL", "a@b.example")
        .env("JIRA_API_TOKEN", "jira-t0ken")
        .start()
        .await;
    let client = server.client();
    let called = call(&client, "web_search", &json!({"query": "rust & more"})).await;
    assert_eq!(called["output"]["results"][0]["snippet"], "A language.", "{called}");
    assert_eq!(stub.seen()[0].uri.to_string(), "/search?q=rust%20%26%20more&format=json");
    let issue = json!({"project": "PAY", "type": "Bug", "summary": "Charged twice", "description": "See the ticket."});
    let called = call(&client, "jira_create", &issue).await;
    assert_eq!(called["output"]["key"], "PAY-1", "{called}");
    let sent = stub.seen()[1].clone();
    assert_eq!(sent.method, Method::POST);
    assert_eq!(sent.body["fields"]["project"]["key"], "PAY");
    assert_eq!(sent.body["fields"]["description"]["content"][0]["content"][0]["text"], "See the ticket.");
    assert_eq!(sent.headers["authorization"], "Basic YUBiLmV4YW1wbGU6amlyYS10MGtlbg==");
    let list = client.get("/v1/tools/list?limit=200").await.expect(200).text();
    assert!(!list.contains("jira-t0ken"), "{list}");
    let patterns = client.get("/patterns").await.expect(200).json();
    let status = |name: &str| {
        patterns["agents"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap()["status"].clone()
    };
    assert_eq!((status("search"), status("jira")), (json!("ready"), json!("ready")));
    let team = json!({"pattern": "sequential", "input": "Use web_search for Rust.", "agents": ["search"]});
    assert_eq!(client.orchestrate(&team).await["status"], "completed");
    let ended = Start::new().env("SEARCH_PROVIDER", "brave").try_start().await.err().unwrap();
    assert!(format!("{ended:?}").contains("SEARCH_API_KEY"), "{ended:?}");
}

#[tokio::test]
async fn code_runs_in_its_cage_or_not_at_all() {
    let tool =
        json!({"name": "python", "kind": "code", "description": "Runs Python.", "config": {"language": "python"}});
    let off = Server::start().await;
    let refused = off.client().post("/v1/tools/register", &tool).await.expect(422).json();
    assert!(text(&refused["detail"][0]["msg"]).contains("CODE_ENABLED"), "{refused}");
    let server = Start::new().env("CODE_ENABLED", "true").env("CODE_TIMEOUT", "1").start().await;
    let client = server.client();
    client.post("/v1/tools/register", &tool).await.expect(201);
    let call = |code: &str| client.post("/v1/tools/python/call", &json!({"code": code, "inputs": {"n": 20}}));
    let done = call("sum(range(inputs['n'] + 1))").await.expect(200).json();
    assert_eq!((&done["status"], &done["output"]["output"]), (&json!("ok"), &json!(210)), "{done}");
    for (code, why) in [
        ("while True:\n    pass", "time"),
        ("x = []\nwhile True:\n    x.append('y' * 1000000)", "memory"),
        ("open('/etc/passwd').read()", "open"),
        ("import socket", "socket"),
        ("import os\nos.fork()", "os"),
        ("for i in range(10000000):\n    print('x' * 1000)", "print"),
        ("1 +", "syntax"),
    ] {
        let stopped = call(code).await.expect(200).json();
        assert_eq!(stopped["status"], "error", "{code}: {stopped}");
        assert!(!text(&stopped["error"]["message"]).is_empty() || stopped["error"].is_string(), "{why}: {stopped}");
    }
    // A graph calls it as any tool; what it asks for stands in the state.
    let graph = json!({"name": "sum", "start": "a", "nodes": {"a": {"type": "tool", "tool": "python",
        "arguments": {"code": "inputs * 2", "inputs": "{{ input }}"}}}, "output": "{{ nodes.a.output }}"});
    let put = client.call(Method::PUT, "/v1/graphs/sum").header("content-type", "application/json");
    put.body(graph.to_string()).await.expect(201);
    let run = client.post("/v1/runs?wait=30", &json!({"workflow": "sum", "input": 21})).await.expect(200).json();
    assert_eq!(run["output"]["output"], json!(42), "{run}");
}
