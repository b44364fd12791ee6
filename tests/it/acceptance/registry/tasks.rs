//! Tasks: who gets them, in which order, how many at once, how they end.

use super::*;
use tutti_tests::process::Process;
use tutti_tests::server::tutti;

#[tokio::test]
async fn a_task_is_done_by_the_agent_that_it_names() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    let body = with(task("a"), json!({"priority": 7, "timeout_seconds": 60, "session_id": "s1"}));
    let answer = client.post("/orchestrator/execute-task", &body).await.expect(202);
    let accepted = answer.json();
    assert!(is_its_run(&accepted), "{accepted}");
    assert_eq!(answer.header("location"), format!("/orchestrator/tasks/{}", text(&accepted["task_id"])));
    let task = ended(&client, &accepted).await;
    assert_eq!((&task["status"], &task["agent_id"], &task["attempts"]), (&json!("completed"), &json!("a"), &json!(1)));
    assert_eq!(
        (&task["priority"], &task["timeout_seconds"], &task["session_id"]),
        (&json!(7), &json!(60.0), &json!("s1"))
    );
    assert_eq!((&task["task_type"], &task["task_data"]), (&json!("check"), &json!({"n": 1})));
    assert!(!text(&task["result"]).is_empty() && task["usage"]["tokens"].as_u64() > Some(0), "{task}");
    assert!(task["timings"]["queued_ms"].is_i64() && task["timings"]["took_ms"].is_i64(), "{task}");
    assert_eq!(get(&client, "a").await["status"], "running", "a task starts an agent that is registered");
    let run = client.run(text(&task["run_id"])).await;
    run.assert_whole();
    assert_eq!(run.whole["workflow"], "agent_task");
    // The task is a turn of its conversation.
    let session = client.get("/sessions/s1").await.expect(200).json();
    assert_eq!((&session["messages"][1]["agent"], &session["messages"][1]["content"]), (&json!("a"), &task["result"]));
    assert!(text(&session["messages"][0]["content"]).starts_with("Task: check"), "{session}");
    let figures = get(&client, "a").await["metrics"].clone();
    assert_eq!((&figures["tasks"], &figures["success_rate"]), (&json!(1), &json!(1.0)));
    assert!(figures["latency_ms"]["p95"].is_i64(), "{figures}");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &with(agent("a", "d"), json!({"capabilities": ["sum"]}))).await;
    let post = async |body: Value| client.post("/orchestrator/execute-task", &body).await;
    assert_eq!(post(json!({})).await.wrong(), ["body.agent_id", "body.task_type", "body.task_data"]);
    let wrong = json!({"agent_id": "a/b", "task_type": "", "task_data": [1], "priority": 10, "timeout_seconds": 0, "session_id": 1});
    let places = post(wrong).await.wrong();
    for place in ["agent_id", "task_type", "task_data", "priority", "timeout_seconds", "session_id"] {
        assert!(places.contains(&format!("body.{place}")), "{place} is not among {places:?}");
    }
    let unknown = post(task("nobody")).await.expect(404);
    assert_eq!((unknown.class(), &unknown.json()["agent_id"]), ("NotFound".into(), &json!("nobody")));
    let of = |what: &str, word: &str| json!({what: word, "task_type": "t", "task_data": {}});
    for (what, word) in [("domain", "x"), ("capability", "x")] {
        let none = post(of(what, word)).await.expect(409);
        assert!(none.class() == "Conflict" && none.text().contains(what), "{}", none.text());
    }
    refused(&post(with(task("a"), json!({"domain": "x"}))).await.expect(409), "Conflict");
    post(of("capability", "sum")).await.expect(202);
    client.get("/orchestrator/tasks/01a1fc7f-1c35-767e-8a3f-b215c3e492f2").await.expect(404);
    let run =
        client.post("/v1/runs?wait=5", &json!({"workflow": "noop", "input": {"steps": 1}})).await.expect(200).json();
    client.get(format_args!("/orchestrator/tasks/{}", text(&run["run_id"]))).await.expect(404);
    // Nobody starts a task around the orchestrator.
    let direct = client.post("/v1/runs", &json!({"workflow": "agent_task", "input": {}})).await;
    assert!(direct.details()[0].1.contains("POST /orchestrator/execute-task"), "{:?}", direct.details());
}

#[tokio::test]
async fn the_least_loaded_agent_of_a_domain_or_with_a_capability_takes_it() {
    let service = Service::held(0, |_| (200, json!("x"))).await;
    let server = open().start().await;
    let client = server.client();
    for (id, domain, capability) in [("a", "d", "sum"), ("b", "d", "sort"), ("c", "other", "sum")] {
        register(&client, &with(at(id, domain, &service), json!({"capabilities": [capability]}))).await;
        client.post("/orchestrator/start", &json!({"agent_id": id})).await.expect(202);
    }
    let mut got = Vec::new();
    for target in [
        json!({"domain": "d"}),
        json!({"domain": "d"}),
        json!({"capability": "sum"}),
        json!({"domain": "d", "capability": "sort"}),
    ] {
        let task = execute(&client, &with(target, json!({"task_type": "t", "task_data": {}}))).await;
        let task = until(&client, &task, "an agent", |task| task["status"] != "queued").await;
        got.push(text(&task["agent_id"]).to_owned());
    }
    assert_eq!(got, ["a", "b", "c", "b"]);
    service.gate.add_permits(10);
}

#[tokio::test]
async fn more_tasks_than_sessions_wait_and_the_urgent_go_first() {
    let service = Service::held(0, |_| (200, json!("x"))).await;
    let server = open().env("MAX_CONCURRENT_AGENT_SESSIONS", "2").start().await;
    let client = server.client();
    register(&client, &with(at("a", "d", &service), json!({"max_sessions": 50}))).await;
    let mut tasks = Vec::new();
    for (n, priority) in [5, 5, 0, 5, 9, 5].into_iter().enumerate() {
        let body = json!({"agent_id": "a", "task_type": "t", "task_data": {"n": n}, "priority": priority});
        tasks.push(execute(&client, &body).await);
    }
    service.was_asked(2).await;
    let agent = get(&client, "a").await;
    let sessions = &agent["sessions"];
    assert_eq!(
        (&sessions["open"], &sessions["waiting"], &sessions["max"]),
        (&json!(2), &json!(4), &json!(2)),
        "the operator's bound holds"
    );
    let queued = client.get("/orchestrator/tasks?status=queued&agent_id=a").await.expect(200).json();
    assert!(queued["items"].as_array().unwrap().is_empty(), "no agent has them yet");
    let queued = client.get("/orchestrator/tasks?status=queued").await.expect(200).json();
    assert_eq!(queued["items"].as_array().unwrap().len(), 4, "{queued}");
    for asked in 3..=6 {
        service.gate.add_permits(1);
        service.was_asked(asked).await;
    }
    service.gate.add_permits(10);
    for task in &tasks {
        assert_eq!(ended(&client, task).await["status"], "completed");
    }
    let order: Vec<u64> =
        service.asked()[2..].iter().map(|asked| asked["input"]["task_data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(order, [4, 3, 5, 2], "higher first, equal ones in order");
    let listed = client.get("/orchestrator/tasks?agent_id=a&limit=4").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    let rest = client
        .get(format_args!("/orchestrator/tasks?agent_id=a&cursor={}", text(&listed["next_cursor"])))
        .await
        .expect(200)
        .json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
}

#[tokio::test]
async fn an_idle_session_keeps_its_place_until_its_time_is_up() {
    let server = Start::new()
        .env("MAX_CONCURRENT_AGENT_SESSIONS", "1")
        .env("AGENT_SESSION_TIMEOUT_MINUTES", "0.05")
        .start()
        .await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    let within = |session: &str| with(task("a"), json!({ "session_id": session }));
    let first = done(&client, &within("s1")).await;
    assert_eq!(first["status"], "completed");
    let sessions = async || client.get("/orchestrator/agents/a/sessions").await.expect(200).json();
    assert_eq!(
        (&sessions().await["items"][0]["session_id"], &sessions().await["items"][0]["status"]),
        (&json!("s1"), &json!("idle"))
    );
    assert_eq!(done(&client, &within("s1")).await["status"], "completed", "the same conversation has its place");
    let other = execute(&client, &within("s2")).await;
    let other = ended(&client, &other).await;
    assert!(
        other["timings"]["queued_ms"].as_i64() > Some(1_500),
        "it waited for the place of an idle session: {other}"
    );
    let listed = sessions().await;
    let items = listed["items"].as_array().unwrap();
    let said: Vec<_> = items
        .iter()
        .map(|s| (text(&s["session_id"]), text(&s["status"]), s["tasks"].as_array().unwrap().len()))
        .collect();
    assert_eq!(said, [("s2", "idle", 1), ("s1", "closed", 2)], "{listed}");
    assert_eq!(
        client.get("/sessions/s1").await.expect(200).json()["messages"].as_array().unwrap().len(),
        4,
        "no message is lost"
    );
    // A conversation that is deleted needs no place.
    client.call(reqwest::Method::DELETE, "/sessions/s2").await.expect(204);
    assert_eq!(get(&client, "a").await["sessions"]["open"], 0);
    client.get("/orchestrator/agents/nobody/sessions").await.expect(404);
}

#[tokio::test]
async fn a_task_past_its_time_is_timed_out_also_in_the_queue() {
    let service = Service::held(0, |_| (200, json!("x"))).await;
    let server = open().env("MAX_CONCURRENT_AGENT_SESSIONS", "1").start().await;
    let client = server.client();
    register(&client, &at("a", "d", &service)).await;
    let short = |seconds: f64| with(task("a"), json!({ "timeout_seconds": seconds }));
    let (running, queued) = (execute(&client, &short(1.0)).await, execute(&client, &short(0.4)).await);
    let queued = ended(&client, &queued).await;
    assert_eq!((&queued["status"], &queued["started_at"]), (&json!("timed_out"), &Value::Null), "{queued}");
    let running = ended(&client, &running).await;
    assert_eq!((&running["status"], &running["error"]["class"]), (&json!("timed_out"), &json!("Timeout")));
    assert_eq!(get(&client, "a").await["metrics"]["failed"], 1, "what never reached it is not its fault");
    service.gate.add_permits(9);
    assert_eq!(done(&client, &task("a")).await["status"], "completed", "its place is free again");
}

#[tokio::test]
async fn a_task_is_cancelled_wherever_it_is() {
    let service = Service::held(0, |_| (200, json!("x"))).await;
    let server = open().env("MAX_CONCURRENT_AGENT_SESSIONS", "1").start().await;
    let client = server.client();
    register(&client, &at("a", "d", &service)).await;
    let (running, queued) = (execute(&client, &task("a")).await, execute(&client, &task("a")).await);
    service.was_asked(1).await;
    for task in [&queued, &running] {
        let path = format!("/orchestrator/tasks/{}/cancel", text(&task["task_id"]));
        let cancelled = client.post(&path, &json!({"reason": "enough"})).await.expect(200).json();
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
        assert_eq!(client.post(&path, &json!({})).await.expect(200).json()["status"], "cancelled");
    }
    service.gate.add_permits(9);
    assert_eq!(done(&client, &task("a")).await["status"], "completed");
    client.post("/orchestrator/tasks/nope/cancel", &json!({})).await.expect(404);
}

#[tokio::test]
async fn the_same_request_is_the_same_task_whatever_became_of_the_agent() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    let post = || client.post("/orchestrator/execute-task?wait=10", &task("a")).once("k1");
    let first = post().await.expect(202);
    client.post("/orchestrator/stop", &json!({"agent_id": "a"})).await.expect(202);
    let second = post().await.expect(202);
    assert_eq!((first.json(), second.header("idempotency-replayed")), (second.json(), "true"));
    let other = with(task("a"), json!({"priority": 1}));
    client.post("/orchestrator/start", &json!({"agent_id": "a"})).await.expect(202);
    refused(&client.post("/orchestrator/execute-task", &other).once("k1").await.expect(409), "Conflict");
}

#[tokio::test]
async fn tasks_wait_through_crashes_and_each_is_done_once() {
    let service = Service::held(0, |_| (200, json!("x"))).await;
    let mut server = open().env("MAX_CONCURRENT_AGENT_SESSIONS", "2").start().await;
    let client = server.client();
    for id in ["a", "b"] {
        register(&client, &at(id, "d", &service)).await;
    }
    let mut tasks = Vec::new();
    for n in 0..12 {
        let target = if n % 3 == 0 { json!({"agent_id": "a"}) } else { json!({"domain": "d"}) };
        tasks.push(execute(&client, &with(target, json!({"task_type": "t", "task_data": {"n": n}}))).await);
    }
    client.post("/orchestrator/start", &json!({"agent_id": "b"})).await;
    service.was_asked(4).await;
    for _ in 0..3 {
        server.kill9();
        server.restart().await;
        // What it worked on is asked for again, and some of that is answered.
        let asked = service.asked().len();
        service.gate.add_permits(2);
        service.was_asked(asked + 1).await;
    }
    service.gate.add_permits(100);
    for task in &tasks {
        let task = ended(&client, task).await;
        assert_eq!(task["status"], "completed", "{task}");
        client.run(text(&task["run_id"])).await.assert_whole();
    }
    // Whatever was repeated after a crash was repeated under its key.
    let keys: std::collections::BTreeSet<String> = service
        .asked
        .borrow()
        .iter()
        .map(|(headers, _)| headers["idempotency-key"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 12, "{keys:?}");
    for id in ["a", "b"] {
        assert_eq!(get(&client, id).await["sessions"]["open"], 0);
    }
}

#[tokio::test]
async fn a_service_is_asked_as_the_contract_says_and_may_hand_on() {
    let second =
        Service::start(|_| (200, json!({"output": {"ok": true}, "usage": {"input_tokens": 3, "output_tokens": 4}})))
            .await;
    let first = Service::start(|_| (200, json!({"handoff": {"to": "second", "reason": "not mine"}}))).await;
    let server = open().start().await;
    let client = server.client();
    register(&client, &at("second", "d", &second)).await;
    register(&client, &with(at("first", "d", &first), json!({"routes": ["second"]}))).await;
    let task = done(&client, &with(task("first"), json!({"session_id": "s1"}))).await;
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!({"ok": true})), "{task}");
    assert_eq!((&task["attempts"], &task["usage"]["tokens"]), (&json!(2), &json!(7)), "{task}");
    let asked = &first.asked()[0];
    assert_eq!(
        (&asked["agent"], &asked["run_id"], &asked["session_id"]),
        (&json!("first"), &task["run_id"], &json!("s1"))
    );
    assert_eq!(asked["input"], json!({"task_type": "check", "task_data": {"n": 1}}));
    assert_eq!(asked["context"]["task_id"], task["task_id"]);
    let run = client.run(text(&task["run_id"])).await;
    assert_eq!(run.of_kind("handoff").next().unwrap().body["to"], "second");
    // Where it may not go, its word is its answer; it said none.
    let stray = Service::start(|_| (200, json!({"output": "mine", "handoff": {"to": "second"}}))).await;
    register(&client, &at("stray", "d", &stray)).await;
    assert_eq!(done(&client, &super::task("stray")).await["result"], "mine");
}

#[tokio::test]
async fn the_command_line_knows_agents_and_tasks() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.yaml");
    std::fs::write(&file, "agent_id: clerk\nagent_name: Clerk\ndomain: cards\n").unwrap();
    let url = server.url();
    let run = async |args: &[&str]| Process::run(&mut tutti(dir.path(), &[args, &["--url", &url]].concat())).await;
    let good = async |args: &[&str]| {
        let ended = run(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.stdout
    };
    assert!(good(&["agents", "register", "agent.yaml"]).await.contains("registered clerk"));
    assert!(good(&["agents", "list"]).await.contains("clerk"));
    let result = good(&["agents", "run", "--agent", "clerk", "--type", "greet", "--data", r#"{"name": "Ann"}"#]).await;
    assert!(!result.trim().is_empty());
    let tasks: Value = serde_json::from_str(&good(&["agents", "tasks", "--json"]).await).unwrap();
    let id = text(&tasks["items"][0]["task_id"]).to_owned();
    assert!(good(&["agents", "task", &id]).await.contains("greet by clerk"));
    assert!(good(&["agents", "cancel", &id]).await.contains("completed"));
    assert!(good(&["agents", "sessions", "clerk"]).await.contains(&id));
    assert!(good(&["agents", "get", "clerk"]).await.contains("1 tasks, 100 % completed"));
    assert!(good(&["agents", "stop", "clerk"]).await.contains("stopped"));
    assert!(good(&["agents", "start", "clerk"]).await.contains("running"));
    assert!(good(&["agents", "names"]).await.contains("clerk"));
    assert!(good(&["agents", "unregister", "clerk"]).await.contains("taken out"));
    let gone = run(&["agents", "get", "clerk"]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("there is no agent clerk"), "{gone:?}");
    assert_eq!(run(&["agents", "run", "--data", "{"]).await.code, Some(2));
}
