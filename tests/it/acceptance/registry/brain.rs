//! What a brain is made of is what is asked: personas, ways of thinking, models one after the other, tools, memory, grounding,
//! and questions to other agents. A model of the test's own writes down what it is asked.

use super::*;
use reqwest::Method;
use std::sync::Mutex;

/// A model that answers by rules, and remembers every question.
struct Model {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    async fn start(rule: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let log = asked.clone();
        let chat = move |body: Bytes| {
            let (log, rule) = (log.clone(), rule.clone());
            async move {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let message = with(json!({"role": "assistant", "content": null}), rule(&body));
                let finish = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
                log.lock().unwrap().push(body);
                let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
                json!({"id": "x", "object": "chat.completion", "created": 0, "model": "m", "usage": usage,
                    "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
                .to_string()
            }
        };
        let router = Router::new().route("/v1/chat/completions", post(chat));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    async fn server(&self) -> Server {
        Start::new().env("LLM_BASE_URL", &self.url).env("LLM_DEFAULT_MODEL", "usual").start().await
    }
}

fn says(text: &str) -> Value {
    json!({ "content": text })
}

fn calls(tool: &str, arguments: Value) -> Value {
    let function = json!({"name": tool, "arguments": arguments.to_string()});
    json!({"tool_calls": [{"id": "c1", "type": "function", "function": function}]})
}

fn messages(asked: &Value) -> &Vec<Value> {
    asked["messages"].as_array().unwrap()
}

fn all_of(asked: &Value) -> String {
    messages(asked).iter().filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
}

fn tools(asked: &Value) -> Vec<&str> {
    asked["tools"].as_array().into_iter().flatten().map(|tool| text(&tool["function"]["name"])).collect()
}

/// What the last tool gave back.
fn returned(asked: &Value) -> Option<&str> {
    messages(asked).last().filter(|message| message["role"] == "tool").and_then(|message| message["content"].as_str())
}

#[tokio::test]
async fn a_persona_speaks_and_a_tool_is_called() {
    let model = Model::start(|asked| match returned(asked) {
        None => calls("calculate", json!({"expression": "6 * 7"})),
        Some(result) => says(&format!("It is {result}.")),
    })
    .await;
    let server = model.server().await;
    let client = server.client();
    let brain = json!({
        "persona": {"role": "an analyst", "expertise": ["risk", "law"], "personality": "dry"}, "reasoningPattern": "react",
        "components": [{"id": "m", "type": "model", "ref": "clever", "config": {"max_tokens": 77, "temperature": 0.5}},
            {"id": "calculate", "type": "tool"}],
        "connections": [{"from": "calculate", "to": "m"}]
    });
    register(&client, &with(agent("a", "d"), json!({ "brain_config": brain }))).await;
    let task = done(&client, &task("a")).await;
    assert!(text(&task["result"]).contains("42"), "{task}");
    let asked = model.asked();
    let system = text(&messages(&asked[0])[0]["content"]).to_owned();
    for part in ["an analyst", "risk, law", "dry"] {
        assert!(system.contains(part), "{part}: {system}");
    }
    assert_eq!(
        (&asked[0]["model"], &asked[0]["max_tokens"], &asked[0]["temperature"]),
        (&json!("clever"), &json!(77), &json!(0.5))
    );
    assert_eq!(tools(&asked[0]), ["calculate"]);
    assert!(all_of(&asked[0]).contains("small steps"), "it reasons as the pattern says: {}", asked[0]);
    let run = client.run(text(&task["run_id"])).await;
    assert_eq!(run.of_kind("tool.called").count(), 1);
}

#[tokio::test]
async fn each_way_of_thinking_asks_in_its_own_way() {
    let model = Model::start(|asked| match &asked["response_format"]["json_schema"]["schema"]["properties"] {
        Value::Object(fields) if fields.contains_key("steps") => says(r#"{"steps": ["look", "count"]}"#),
        Value::Object(fields) if fields.contains_key("is_good") => says(r#"{"is_good": true, "criticism": ""}"#),
        _ => says("Thinking.\nANSWER: forty-two"),
    })
    .await;
    let server = model.server().await;
    let client = server.client();
    let marked = "Thinking.\nANSWER: forty-two";
    for (pattern, questions, answer) in [
        ("plain", 1, marked),
        ("chain_of_thought", 1, "forty-two"),
        ("react", 1, marked),
        ("plan_and_execute", 4, marked),
        ("reflection", 2, marked),
    ] {
        let before = model.asked().len();
        let config = json!({"brain_config": {"reasoningPattern": pattern}});
        register(&client, &with(agent(pattern, "d"), config)).await;
        let task = done(&client, &super::task(pattern)).await;
        assert_eq!((&task["result"], model.asked().len() - before), (&json!(answer), questions), "{pattern}: {task}");
    }
}

#[tokio::test]
async fn models_work_one_after_the_other_along_the_links_that_apply() {
    let model = Model::start(|asked| match text(&asked["model"]) {
        "sorter" => says(if all_of(asked).contains("urgent") { "This is RISKY." } else { "This is fine." }),
        "expert" => says("The expert agrees."),
        other => says(&format!("{other} closes.")),
    })
    .await;
    let server = model.server().await;
    let client = server.client();
    let brain = json!({
        "components": [{"id": "closer", "type": "model", "ref": "closer"}, {"id": "expert", "type": "model", "ref": "expert"},
            {"id": "sorter", "type": "model", "ref": "sorter"}],
        "connections": [{"from": "sorter", "to": "expert", "when": {"contains": "risky"}}, {"from": "expert", "to": "closer"},
            {"from": "sorter", "to": "closer", "when": {"not": {"contains": "fine"}}}]
    });
    register(&client, &with(agent("a", "d"), json!({ "brain_config": brain }))).await;
    let ask = |word: &str| json!({"agent_id": "a", "task_type": word, "task_data": {}});
    assert_eq!(done(&client, &ask("calm")).await["result"], "This is fine.");
    let task = done(&client, &ask("urgent")).await;
    assert_eq!((&task["result"], &task["attempts"]), (&json!("closer closes."), &json!(3)), "{task}");
    let asked = model.asked();
    let models: Vec<_> = asked.iter().map(|asked| text(&asked["model"])).collect();
    assert_eq!(models, ["sorter", "sorter", "expert", "closer"]);
    assert!(
        all_of(&asked[3]).contains("sorter said:\nThis is RISKY.") && all_of(&asked[3]).contains("The expert agrees.")
    );
}

#[tokio::test]
async fn grounding_and_memory_stand_before_the_question() {
    let model = Model::start(|_| says("Within ten days.")).await;
    let server = model.server().await;
    let client = server.client();
    let articles = json!({"articles": [{"title": "Refunds", "content": "A refund arrives within ten working days."}]});
    client
        .call(Method::PUT, "/api/articles")
        .header("content-type", "application/json")
        .body(articles.to_string())
        .await
        .expect(200);
    let brain = json!({"components": [{"id": "kb", "type": "grounding"}, {"id": "past", "type": "memory", "config": {"messages": 1}}]});
    register(&client, &with(agent("a", "d"), json!({ "brain_config": brain }))).await;
    let ask = |what: &str| json!({"agent_id": "a", "task_type": what, "task_data": {}, "session_id": "s"});
    for what in ["refund", "weather", "refund again"] {
        assert_eq!(done(&client, &ask(what)).await["status"], "completed");
    }
    let asked = model.asked();
    assert!(all_of(&asked[0]).contains("A refund arrives within ten working days."), "{}", asked[0]);
    assert!(!all_of(&asked[1]).contains("ten working days"), "nothing is known about the weather: {}", asked[1]);
    // Of two turns, four messages, one is remembered.
    assert_eq!(messages(&asked[2]).len(), 3, "{}", asked[2]);
}

#[tokio::test]
async fn an_agent_asks_another_within_its_routes_and_only_so_deep() {
    // Whoever may ask, asks; whoever has an answer, passes it on.
    let model = Model::start(|asked| {
        let offered =
            asked["tools"].as_array().into_iter().flatten().find(|tool| tool["function"]["name"] == "ask_agent");
        match (returned(asked), offered) {
            (Some(answer), _) => says(&format!("I was told: {answer}")),
            (None, None) => says("It is 7."),
            (None, Some(tool)) => {
                let first = &tool["function"]["parameters"]["properties"]["agent"]["enum"][0];
                calls("ask_agent", json!({"agent": first, "question": "How many?"}))
            }
        }
    })
    .await;
    let server = model.server().await;
    let client = server.client();
    let asks = |id: &str, whom: &str| {
        let brain = json!({"components": [{"id": "other", "type": "agent", "ref": whom}]});
        with(agent(id, "d"), json!({ "brain_config": brain }))
    };
    register(&client, &agent("clerk", "d")).await;
    register(&client, &asks("boss", "clerk")).await;
    let task = done(&client, &task("boss")).await;
    assert_eq!(task["result"], "I was told: It is 7.", "{task}");
    assert!(all_of(&model.asked()[1]).contains("How many?"), "{}", model.asked()[1]);
    let run = client.run(text(&task["run_id"])).await;
    assert_eq!(run.of_kind("child.started").next().unwrap().body["agent"], "clerk");
    // Two that ask each other: it ends, and says why.
    client.post("/orchestrator/register", &asks("clerk", "boss")).await.expect(200);
    let circle = done(&client, &super::task("boss")).await;
    assert_eq!(circle["status"], "completed", "{circle}");
    assert!(text(&circle["result"]).contains("at most 3 deep"), "{circle}");
    // A route is a way to ask, too; nobody asks himself, or somebody who is not there.
    register(&client, &with(agent("guest", "d"), json!({"routes": ["clerk"]}))).await;
    assert!(text(&done(&client, &super::task("guest")).await["result"]).starts_with("I was told"));
    for whom in ["nobody", "self"] {
        let wrong = client.post("/orchestrator/register", &asks("self", whom)).await;
        assert_eq!(wrong.wrong(), ["body.brain_config.components.0.ref"], "{whom}");
    }
    // Who was taken out cannot be asked, which the asker is told.
    client.post("/orchestrator/unregister", &json!({"agent_id": "clerk"})).await.expect(200);
    assert!(text(&done(&client, &super::task("guest")).await["result"]).contains("cannot be asked now"));
}

#[tokio::test]
async fn registered_agents_stand_in_teams_by_their_names() {
    let model = Model::start(|asked| says(&format!("{} speaks.", text(&asked["model"])))).await;
    let file = "[agents.critic]\ninstructions = \"You criticise.\"\nmodel = \"from-file\"\n";
    let start = Start::new().env("LLM_BASE_URL", &model.url).env("LLM_DEFAULT_MODEL", "usual").file("tutti.toml", file);
    let server = start.start().await;
    let client = server.client();
    let ask = async |agents: Value| {
        client.post("/orchestrate", &json!({"pattern": "sequential", "input": "x", "agents": agents})).await
    };
    assert_eq!(ask(json!(["critic"])).await.expect(200).json()["output"], "from-file speaks.");
    let of = |id: &str, model: &str| {
        with(agent(id, "d"), json!({"brain_config": {"components": [{"id": "m", "type": "model", "ref": model}]}}))
    };
    register(&client, &of("critic", "registered")).await;
    register(&client, &of("writer", "pen")).await;
    assert_eq!(ask(json!(["critic"])).await.expect(200).json()["output"], "registered speaks.", "before the file");
    let inline = json!([{"name": "critic", "instructions": "x", "model": "inline"}, "writer"]);
    let result = ask(inline).await.expect(200).json();
    assert_eq!((&result["steps"][0]["output"], &result["output"]), (&json!("inline speaks."), &json!("pen speaks.")));
    let run = client
        .post("/v1/runs?wait=10", &json!({"workflow": "sequential", "input": {"input": "x", "agents": ["writer"]}}))
        .await;
    assert_eq!(run.expect(200).json()["output"]["output"], "pen speaks.");
    let team = client.get("/patterns").await.expect(200).json();
    assert!(team["agents"].as_array().unwrap().iter().any(|agent| agent["name"] == "writer"), "{team}");
    client.post("/orchestrator/stop", &json!({"agent_id": "writer"})).await.expect(202);
    let details = ask(json!(["writer"])).await.details();
    assert!(details[0].0 == "body.agents.0" && details[0].1.contains("stopped"), "{details:?}");
    assert_eq!(ask(json!(["wrter"])).await.wrong(), ["body.agents.0"]);
}

#[tokio::test]
async fn an_agent_is_asked_over_a2a() {
    let looks: Arc<Mutex<u32>> = Arc::default();
    let service = Service::start(move |asked| {
        let mut looks = looks.lock().unwrap();
        let state = |state: &str| json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"id": "t1", "kind": "task", "status": {"state": state},
            "artifacts": [{"parts": [{"kind": "text", "text": "Seven."}]}]}});
        *looks += 1;
        (200, state(if *looks < 3 { "working" } else { "completed" }))
    })
    .await;
    let server = open().start().await;
    let client = server.client();
    register(&client, &with(at("a", "d", &service), json!({"protocol": "a2a"}))).await;
    let task = done(&client, &with(task("a"), json!({"session_id": "s"}))).await;
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!("Seven.")), "{task}");
    let asked = service.asked();
    let methods: Vec<_> = asked.iter().map(|asked| text(&asked["method"])).collect();
    assert_eq!(methods, ["message/send", "tasks/get", "tasks/get"]);
    let message = &asked[0]["params"]["message"];
    assert_eq!((&message["role"], &message["contextId"]), (&json!("user"), &json!("s")));
    assert_eq!(message["parts"][1]["data"]["task_type"], "check");
}
