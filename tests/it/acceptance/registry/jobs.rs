//! Workers that come for their work: claims, results, silence, and the examples that ship with Tutti.

use super::*;
use std::process::Command;
use std::time::Duration;
use tutti_tests::process::Process;
use tutti_tests::server::is_on_postgres;
use tutti_tests::{built, workspace};

fn queue(id: &str) -> Value {
    with(agent(id, "d"), json!({"protocol": "queue"}))
}

async fn claim(client: &Client, worker: &str, wait: u32) -> Option<Value> {
    let body = json!({"agent_id": "q", "instance_id": worker});
    let answer = client.post(format!("/orchestrator/jobs/claim?wait={wait}"), &body).await;
    match answer.status {
        204 => None,
        _ => Some(answer.expect(200).json()),
    }
}

fn result(client: &Client, job: &Value, body: Value) -> tutti_tests::client::Call {
    let body = with(json!({"claim": job["claim"]}), body);
    client.post(format_args!("/orchestrator/jobs/{}/result", text(&job["job_id"])), &body)
}

#[tokio::test]
async fn a_worker_claims_a_job_and_its_result_is_the_tasks() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &queue("q")).await;
    assert!(claim(&client, "w1", 0).await.is_none());
    // A worker that waits is given the job as soon as there is one.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { claim(&client, "w1", 30).await }
    });
    let task = execute(&client, &with(task("q"), json!({"session_id": "s1", "priority": 8}))).await;
    let job = waiting.await.unwrap().expect("a job");
    assert_eq!((&job["agent_id"], &job["instance_id"], &job["claim"]), (&json!("q"), &json!("w1"), &json!(1)));
    assert_eq!((&job["run_id"], &job["session_id"], &job["priority"]), (&task["task_id"], &json!("s1"), &json!(8)));
    assert_eq!(job["input"], json!({"task_type": "check", "task_data": {"n": 1}}));
    assert!(text(&job["messages"][0]["content"]).starts_with("Task: check"), "{job}");
    assert!(job["deadline"].is_string() && job["lease_seconds"] == 90.0, "{job}");
    assert!(claim(&client, "w2", 0).await.is_none(), "a job is one worker's");
    let accepted =
        result(&client, &job, json!({"output": {"sum": 3}, "usage": {"output_tokens": 5}})).await.expect(200);
    assert_eq!(accepted.json()["status"], "accepted");
    let task = ended(&client, &task).await;
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!({"sum": 3})), "{task}");
    assert_eq!((&task["instance_id"], &task["attempts"]), (&json!("w1"), &json!(1)), "{task}");
    // The same again is the same; of a job that has ended nothing else is taken.
    let again = result(&client, &job, json!({"output": {"sum": 3}})).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let agent = get(&client, "q").await;
    assert_eq!((&agent["instances"][0]["instance_id"], agent["last_heartbeat"].is_string()), (&json!("w1"), true));
}

#[tokio::test]
async fn wrong_claims_and_results_are_refused() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &queue("q")).await;
    register(&client, &agent("plain", "d")).await;
    let post = async |path: &str, body: Value| client.post(format_args!("/orchestrator/jobs/{path}"), &body).await;
    assert_eq!(post("claim", json!({"instance_id": "x/y"})).await.wrong(), ["body.agent_id", "body.instance_id"]);
    assert_eq!(post("claim?wait=soon", json!({"agent_id": "q"})).await.wrong(), ["query.wait"]);
    refused(&post("claim?wait=0", json!({"agent_id": "nobody"})).await.expect(404), "NotFound");
    refused(&post("claim?wait=0", json!({"agent_id": "plain"})).await.expect(409), "Conflict");
    let task = execute(&client, &task("q")).await;
    let job = claim(&client, "w", 10).await.expect("a job");
    let path = format!("{}/result", text(&job["job_id"]));
    assert_eq!(post(&path, json!({"claim": 1})).await.wrong(), ["body.output"]);
    let wrong =
        post(&path, json!({"claim": 0, "error": {"mesage": "x"}, "handoff": {"to": "a b"}, "usage": {"tokens": 1}}))
            .await
            .wrong();
    for place in ["claim", "error.message", "error.mesage", "handoff.to", "usage.tokens"] {
        assert!(wrong.contains(&format!("body.{place}")), "{place} is not among {wrong:?}");
    }
    refused(&post(&path, json!({"claim": 2, "output": 1})).await.expect(409), "Conflict");
    for unknown in ["nope", text(&task["task_id"]), "01a1fc7f-1c35-767e-8a3f-b215c3e492f2"] {
        refused(&post(&format!("{unknown}/result"), json!({"output": 1})).await.expect(404), "NotFound");
    }
    client.post(format_args!("/orchestrator/tasks/{}/cancel", text(&task["task_id"])), &json!({})).await.expect(200);
    refused(&post(&path, json!({"output": 1})).await.expect(409), "Conflict");
}

#[tokio::test]
async fn what_a_worker_cannot_do_fails_or_is_done_by_another() {
    let server = Start::new().env("MAX_RETRIES", "2").start().await;
    let client = server.client();
    register(&client, &queue("q")).await;
    let first = execute(&client, &task("q")).await;
    let job = claim(&client, "w1", 10).await.expect("a job");
    result(&client, &job, json!({"error": {"message": "no disk", "retry": true}})).await.expect(200);
    let again = claim(&client, "w2", 10).await.expect("the job again");
    assert_eq!((&again["job_id"], &again["claim"]), (&job["job_id"], &json!(2)));
    refused(&result(&client, &job, json!({"output": "late"})).await.expect(409), "Conflict");
    result(&client, &again, json!({"output": "done"})).await.expect(200);
    let first = ended(&client, &first).await;
    assert_eq!(
        (&first["result"], &first["attempts"], &first["instance_id"]),
        (&json!("done"), &json!(2), &json!("w2"))
    );
    let second = execute(&client, &task("q")).await;
    let job = claim(&client, "w1", 10).await.expect("a job");
    result(&client, &job, json!({"error": "the form is empty"})).await.expect(200);
    let second = ended(&client, &second).await;
    assert_eq!((&second["status"], &second["error"]["message"]), (&json!("failed"), &json!("the form is empty")));
    let third = execute(&client, &task("q")).await;
    for _ in 0..3 {
        let job = claim(&client, "w1", 10).await.expect("a job");
        result(&client, &job, json!({"error": {"message": "no disk", "retry": true}})).await.expect(200);
    }
    let third = ended(&client, &third).await;
    assert!(third["status"] == "failed" && text(&third["error"]["message"]).contains("3 attempts"), "{third}");
}

#[tokio::test]
async fn a_worker_that_falls_silent_loses_its_job_and_one_that_speaks_keeps_it() {
    let server = Start::new().env("AGENT_HEARTBEAT_TIMEOUT", "0.6").start().await;
    let client = server.client();
    register(&client, &queue("q")).await;
    let task = execute(&client, &task("q")).await;
    let job = claim(&client, "slow", 10).await.expect("a job");
    // Three times as long as it may be silent.
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.post("/orchestrator/heartbeat", &json!({"agent_id": "q", "instance_id": "slow"})).await.expect(200);
        assert!(claim(&client, "other", 0).await.is_none(), "it speaks, so it has the job");
    }
    let taken = claim(&client, "other", 30).await.expect("the job of a silent worker");
    assert_eq!((&taken["job_id"], &taken["claim"]), (&job["job_id"], &json!(2)));
    refused(&result(&client, &job, json!({"output": "late"})).await.expect(409), "Conflict");
    result(&client, &taken, json!({"output": "in time"})).await.expect(200);
    assert_eq!(ended(&client, &task).await["result"], "in time");
}

#[tokio::test]
async fn many_workers_never_share_a_job_also_through_a_crash() {
    let mut server = Start::new().env("MAX_CONCURRENT_AGENT_SESSIONS", "50").start().await;
    let client = server.client();
    register(&client, &queue("q")).await;
    let mut tasks = Vec::new();
    for n in 0..24 {
        tasks.push(execute(&client, &json!({"agent_id": "q", "task_type": "t", "task_data": {"n": n}})).await);
    }
    let claims = watch::Sender::<Vec<(String, u64)>>::default();
    let workers: Vec<_> = (0..6)
        .map(|n| {
            let (client, claims) = (client.clone(), claims.clone());
            tokio::spawn(async move {
                let body = json!({"agent_id": "q", "instance_id": format!("w{n}")});
                loop {
                    // On a shared store the runs of a killed process are picked up once its lease has ended.
                    let wait = if is_on_postgres() { 10 } else { 1 };
                    let path = format!("/orchestrator/jobs/claim?wait={wait}");
                    let claim = client.post(path, &body).persist().await;
                    if claim.status == 204 {
                        return;
                    }
                    let job = claim.expect(200).json();
                    let claim = (text(&job["job_id"]).to_owned(), job["claim"].as_u64().unwrap());
                    claims.send_modify(|claims| claims.push(claim));
                    result(&client, &job, json!({"output": job["input"]["task_data"]["n"]})).persist().await;
                }
            })
        })
        .collect();
    in_time("some claims", claims.subscribe().wait_for(|claims| claims.len() >= 3)).await.unwrap();
    server.kill9();
    server.restart().await;
    for worker in workers {
        in_time("a worker to find nothing more", worker).await.unwrap();
    }
    let mut claims = claims.borrow().clone();
    let all = claims.len();
    claims.sort();
    claims.dedup();
    assert_eq!(claims.len(), all, "a claim is one worker's");
    // A claim whose answer was lost in the crash is open again when its worker is silent; all others are done.
    let mut left = 0;
    for (n, task) in tasks.iter().enumerate() {
        let task = client.get(format_args!("/orchestrator/tasks/{}", text(&task["task_id"]))).await.expect(200).json();
        match text(&task["status"]) {
            "completed" => assert_eq!(task["result"], json!(n)),
            _ => left += 1,
        }
    }
    assert!(left <= 6, "{left} of {} are left", tasks.len());
}

#[tokio::test]
async fn workers_stand_in_patterns_too() {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &queue("q")).await;
    let team = json!([{"name": "writer", "instructions": "You write."}, "q"]);
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.orchestrate(&json!({"pattern": "concurrent", "input": "How long?", "agents": team})).await }
    });
    let job = claim(&client, "w", 30).await.expect("a job");
    assert_eq!(job["input"], "How long?");
    result(&client, &job, json!({"output": "Two days."})).await.expect(200);
    let answer = asking.await.unwrap();
    let q = answer["output"].as_array().unwrap().iter().find(|part| part["agent"] == "q").unwrap().clone();
    assert_eq!((&answer["status"], &q["output"]), (&json!("completed"), &json!("Two days.")), "{answer}");
}

/// The worker that ships as an example does a task.
async fn works(mut command: Command) {
    let server = Server::start().await;
    let client = server.client();
    register(&client, &queue("echo")).await;
    let mut worker = Process::start(command.env("TUTTI_URL", server.url()));
    let line =
        worker.line("the worker's first words", |line| line.contains("works for").then(|| line.to_owned())).await;
    line.unwrap_or_else(|ended| panic!("the worker ended: {ended:?}"));
    for n in 0..3 {
        let body = json!({"agent_id": "echo", "task_type": "echo", "task_data": {"n": n}});
        let task = done(&client, &body).await;
        let heard = json!({"heard": {"task_type": "echo", "task_data": {"n": n}}});
        assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &heard), "{task}");
    }
}

#[tokio::test]
async fn the_example_worker_in_rust_works() {
    works(Command::new(built("example-worker"))).await;
}

#[tokio::test]
async fn the_example_worker_in_python_works() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 here");
        return;
    }
    let mut command = Command::new("python3");
    command.arg(workspace().join("examples/worker.py"));
    works(command).await;
}

#[test]
fn the_example_workers_are_short() {
    for name in ["worker.py", "worker.rs", "worker_amqp.py"] {
        let text = std::fs::read_to_string(workspace().join("examples").join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 50, "{name} has {lines} lines");
    }
}
