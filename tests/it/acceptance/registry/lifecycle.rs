//! Starting, stopping, taking out; instances and their heartbeats; whoever makes agents.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn an_agent_is_started_stopped_and_taken_out() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    let act = |verb: &str, body: Value| client.post(format_args!("/orchestrator/{verb}"), &body);
    let named = json!({"agent_id": "a"});
    assert_eq!(act("start", named.clone()).await.expect(202).json()["status"], "running");
    assert_eq!(act("start", named.clone()).await.expect(200).json()["status"], "running");
    assert_eq!(act("stop", named.clone()).await.expect(202).json()["status"], "stopped", "nothing was left to do");
    assert_eq!(act("stop", named.clone()).await.expect(200).json()["status"], "stopped");
    refused(&client.post("/orchestrator/execute-task", &task("a")).await.expect(409), "Conflict");
    assert_eq!(act("start", named.clone()).await.expect(202).json()["status"], "running");
    assert_eq!(act("unregister", named.clone()).await.expect(200).json()["agent_id"], "a");
    for verb in ["start", "stop", "unregister"] {
        refused(&act(verb, named.clone()).await.expect(404), "NotFound");
        assert_eq!(act(verb, json!({})).await.wrong(), ["body.agent_id"]);
    }
    client.get("/orchestrator/agents/a").await.expect(404);
}

/// An agent with one place: a task that it works on once its service lets it, and one that waits for the place.
async fn busy() -> (Service, Server, Client, [Value; 2]) {
    let service = Service::held(0, |_| (200, json!({"output": "done"}))).await;
    let server = open().env("MAX_CONCURRENT_AGENT_SESSIONS", "1").start().await;
    let client = server.client();
    register(&client, &at("a", "d", &service)).await;
    let running = execute(&client, &task("a")).await;
    let queued = execute(&client, &task("a")).await;
    service.was_asked(1).await;
    (service, server, client, [running, queued])
}

#[tokio::test]
async fn stopping_drains() {
    let (service, _server, client, [running, queued]) = busy().await;
    let stopping = client.post("/orchestrator/stop", &json!({"agent_id": "a"})).await.expect(202).json();
    assert_eq!((&stopping["status"], &stopping["sessions"]["waiting"]), (&json!("stopping"), &json!(1)));
    refused(&client.post("/orchestrator/execute-task", &task("a")).await.expect(409), "Conflict");
    service.gate.add_permits(2);
    for task in [&running, &queued] {
        assert_eq!(ended(&client, task).await["status"], "completed", "what was accepted is done");
    }
    assert_eq!(get(&client, "a").await["status"], "stopped", "nothing of it is left");
}

#[tokio::test]
async fn what_an_agent_works_on_outlives_it_unless_it_is_forced() {
    for force in [false, true] {
        let (service, _server, client, [running, queued]) = busy().await;
        let taken =
            client.post("/orchestrator/unregister", &json!({"agent_id": "a", "force": force})).await.expect(200);
        assert_eq!(taken.json()["cancelled"], json!(if force { 2 } else { 0 }));
        service.gate.add_permits(2);
        let (running, queued) = (ended(&client, &running).await, ended(&client, &queued).await);
        let statuses = (text(&running["status"]).to_owned(), text(&queued["status"]).to_owned());
        match force {
            true => assert_eq!(statuses, ("cancelled".into(), "cancelled".into())),
            false => {
                assert_eq!(statuses, ("completed".into(), "failed".into()));
                assert!(text(&queued["error"]["message"]).contains("unregistered"), "{queued}");
            }
        }
    }
}

#[tokio::test]
async fn hooks_make_and_deploy_an_agent() {
    let body = Service::start(|asked| (200, json!({"output": asked["input"]["task_data"]}))).await;
    let place = body.ask();
    let hooks = Service::start(move |asked| match asked["endpoint"].is_null() {
        true => (200, json!({"endpoint": place})),
        false => (201, json!({})),
    })
    .await;
    let start = open().env("BRAIN_FACTORY_URL", &hooks.url).env("DEPLOYMENT_PIPELINE_URL", &hooks.url);
    let server = start.start().await;
    let client = server.client();
    register(&client, &with(agent("a", "d"), json!({"deployment_id": "d1"}))).await;
    let started = client.post("/orchestrator/start", &json!({"agent_id": "a"})).await.expect(202).json();
    assert!(["starting", "running"].contains(&text(&started["status"])), "{started}");
    let running = made(&client, "a").await;
    let at = (&running["status"], &running["endpoint"], &running["protocol"]);
    assert_eq!(at, (&json!("running"), &json!(body.ask()), &json!("http")));
    let asked = hooks.asked();
    assert_eq!((asked.len(), &asked[0]["deployment_id"], &asked[1]["endpoint"]), (2, &json!("d1"), &json!(body.ask())));
    let result = done(&client, &task("a")).await;
    assert_eq!((&result["status"], &body.asked()[0]["input"]["task_data"]), (&json!("completed"), &json!({"n": 1})));
}

#[tokio::test]
async fn an_agent_that_cannot_be_made_has_failed_and_its_tasks_with_it() {
    let hooks = Service::start(|_| (400, json!({"error": "no such brain"}))).await;
    let server = open().env("BRAIN_FACTORY_URL", &hooks.url).start().await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    // The task starts it.
    let task_of_it = ended(&client, &execute(&client, &task("a")).await).await;
    assert_eq!(task_of_it["status"], "failed", "{task_of_it}");
    let failed = made(&client, "a").await;
    assert!(failed["status"] == "failed" && text(&failed["error"]).contains("400"), "{failed}");
    refused(&client.post("/orchestrator/execute-task", &task("a")).await.expect(409), "Conflict");
    assert_eq!(
        client.post("/orchestrator/register", &agent("a", "d")).await.expect(200).json()["status"],
        "registered"
    );
    // An address that may not be called is no place for an agent.
    let elsewhere = Service::start(|_| (200, json!({"endpoint": "http://10.0.0.1/"}))).await;
    let server = Start::new().env("BRAIN_FACTORY_URL", &elsewhere.url).start().await;
    register(&server.client(), &agent("a", "d")).await;
    server.client().post("/orchestrator/start", &json!({"agent_id": "a"})).await.expect(202);
    let failed = made(&server.client(), "a").await;
    assert!(failed["status"] == "failed" && text(&failed["error"]).contains("EGRESS_ALLOW"), "{failed}");
}

#[tokio::test]
async fn a_start_goes_on_after_a_crash() {
    let hooks = Service::held(0, |_| (200, json!({}))).await;
    let mut server = open().env("BRAIN_FACTORY_URL", &hooks.url).start().await;
    let client = server.client();
    register(&client, &agent("a", "d")).await;
    client.post("/orchestrator/start", &json!({"agent_id": "a"})).await.expect(202);
    let waits = execute(&client, &task("a")).await;
    hooks.was_asked(1).await;
    server.kill9();
    hooks.gate.add_permits(10);
    server.restart().await;
    assert_eq!(made(&client, "a").await["status"], "running");
    assert_eq!(ended(&client, &waits).await["status"], "completed");
}

#[tokio::test]
async fn instances_share_the_work_and_silent_ones_get_none() {
    let services = [Service::start(|_| (200, json!("one"))).await, Service::start(|_| (200, json!("two"))).await];
    let server = open().env("AGENT_HEARTBEAT_TIMEOUT", "1").start().await;
    let client = server.client();
    let place = |name: &str, at: &Service| json!({"instance_id": name, "endpoint": at.ask()});
    let instances = json!({"protocol": "http", "instances": [place("one", &services[0]), place("two", &services[1])]});
    register(&client, &with(agent("a", "d"), instances)).await;
    let beat =
        |instance: &str| client.post("/orchestrator/heartbeat", &json!({"agent_id": "a", "instance_id": instance}));
    let heard = beat("one").await.expect(200).json();
    assert_eq!((&heard["instance_id"], &heard["timeout_seconds"]), (&json!("one"), &json!(1.0)));
    assert_eq!(get(&client, "a").await["last_heartbeat"], heard["last_heartbeat"]);
    // One that never spoke is not judged by its silence; one that spoke is. Silence is time that passes: nothing tells of it.
    let agent = in_time("the instance to be silent", async {
        loop {
            let agent = get(&client, "a").await;
            if agent["instances"][0]["status"] == "silent" {
                return agent;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(agent["instances"][1]["status"] != "silent", "{agent}");
    for _ in 0..3 {
        let task = done(&client, &task("a")).await;
        assert_eq!((&task["result"], &task["instance_id"]), (&json!("two"), &json!("two")), "{task}");
    }
    beat("one").await.expect(200);
    client.post("/orchestrator/stop", &json!({"agent_id": "a", "instance_id": "two"})).await.expect(202);
    client.post("/orchestrator/stop", &json!({"agent_id": "a", "instance_id": "two"})).await.expect(200);
    assert_eq!(done(&client, &task("a")).await["result"], "one");
    client.post("/orchestrator/start", &json!({"agent_id": "a", "instance_id": "two"})).await.expect(202);
    client.post("/orchestrator/stop", &json!({"agent_id": "a", "instance_id": "three"})).await.expect(404);
    client.post("/orchestrator/heartbeat", &json!({"agent_id": "b", "instance_id": "one"})).await.expect(404);
    assert_eq!(beat("x/y").await.wrong(), ["body.instance_id"]);
}

#[tokio::test]
async fn the_instance_with_the_fewest_sessions_is_next() {
    let services = [Service::held(0, |_| (200, json!("x"))).await, Service::held(0, |_| (200, json!("x"))).await];
    let server = open().start().await;
    let client = server.client();
    let places: Vec<_> = services
        .iter()
        .enumerate()
        .map(|(n, s)| json!({"instance_id": format!("i{n}"), "endpoint": s.ask()}))
        .collect();
    register(&client, &with(agent("a", "d"), json!({"protocol": "http", "instances": places}))).await;
    let tasks =
        [execute(&client, &task("a")).await, execute(&client, &task("a")).await, execute(&client, &task("a")).await];
    for task in &tasks {
        until(&client, task, "a place", |task| task["status"] != "queued").await;
    }
    services[0].was_asked(1).await;
    services[1].was_asked(1).await;
    let sessions: Vec<u64> = get(&client, "a").await["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["sessions"].as_u64().unwrap())
        .collect();
    assert_eq!((sessions.iter().sum::<u64>(), sessions.iter().max()), (3, Some(&2)), "{sessions:?}");
    services.iter().for_each(|service| service.gate.add_permits(3));
    for task in &tasks {
        assert_eq!(ended(&client, task).await["status"], "completed");
    }
}
