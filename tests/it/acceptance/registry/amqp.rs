//! Workers that speak to RabbitMQ alone: jobs from their agent's queue, replies into the queue of results.

use super::*;
use std::process::Command;
use tutti_tests::backends::amqp::Amqp;
use tutti_tests::backends::postgres::Postgres;
use tutti_tests::backends::rabbitmq::RabbitMq;
use tutti_tests::backends::skip;
use tutti_tests::process::Process;
use tutti_tests::workspace;

/// A server whose workers may come over RabbitMQ. The schema is what the queues' names begin with.
fn beside(rabbit: &RabbitMq, postgres: &Arc<Postgres>, schema: &str) -> Start {
    Start::new()
        .on(postgres, schema)
        .env("RABBITMQ_HOST", "127.0.0.1")
        .env("RABBITMQ_PORT", &rabbit.port().to_string())
        .env("RABBITMQ_USER", "guest")
        .env("RABBITMQ_PASSWORD", "guest")
        .env("MAX_CONCURRENT_AGENT_SESSIONS", "100")
}

/// Both, or nothing where one is not on this machine.
async fn both() -> Option<(Arc<RabbitMq>, Arc<Postgres>, String)> {
    let (Some(rabbit), Some(postgres)) = (RabbitMq::shared().await, Postgres::shared().await) else {
        skip("RabbitMQ or PostgreSQL");
        return None;
    };
    let schema = postgres.schema();
    Some((rabbit, postgres, schema))
}

async fn register_queue(client: &Client) {
    register(client, &with(agent("q", "d"), json!({"protocol": "queue"}))).await;
}

/// A worker with a connection for jobs and one for replies.
struct Worker {
    name: &'static str,
    results: String,
    jobs: Amqp,
    replies: Amqp,
}

/// A job that a worker has in its hands.
struct Held {
    tag: u64,
    job: Value,
}

impl Worker {
    async fn open(port: u16, schema: &str, name: &'static str) -> std::io::Result<Self> {
        let (mut jobs, replies) = (Amqp::open(port).await?, Amqp::open(port).await?);
        let queue = format!("{schema}.agent.q");
        jobs.declare_jobs(&queue).await?;
        jobs.consume(&queue).await?;
        Ok(Self { name, results: format!("{schema}.results"), jobs, replies })
    }

    async fn beside(rabbit: &RabbitMq, schema: &str, name: &'static str) -> Self {
        Self::open(rabbit.port(), schema, name).await.expect("RabbitMQ answers")
    }

    async fn take(&mut self) -> Held {
        let (tag, body) = in_time("a job", self.jobs.next()).await.expect("RabbitMQ answers");
        Held { tag, job: serde_json::from_slice(&body).expect("a job is JSON") }
    }

    async fn say(&mut self, job: &Value, words: Value) {
        let word = json!({"job_id": job["job_id"], "claim": job["claim"], "instance_id": self.name});
        let body = with(word, words).to_string();
        self.replies.publish(&self.results, body.as_bytes()).await.expect("RabbitMQ takes a reply");
    }

    async fn done(&mut self, held: Held, output: Value) {
        self.say(&held.job, json!({ "output": output })).await;
        self.jobs.ack(held.tag).await.expect("RabbitMQ answers");
    }
}

/// Whether nobody can claim a job over HTTP.
async fn nothing_over_http(client: &Client) -> bool {
    let body = json!({"agent_id": "q", "instance_id": "web"});
    client.post("/orchestrator/jobs/claim?wait=0", &body).await.status == 204
}

/// Reads so many messages out of a queue.
async fn drain(rabbit: &RabbitMq, queue: &str, count: u32) {
    let mut hand = rabbit.amqp().await;
    hand.consume(queue).await.expect("RabbitMQ answers");
    for n in 1..=count {
        let (tag, _) = in_time(&format!("message {n} in {queue}"), hand.next()).await.expect("RabbitMQ answers");
        hand.ack(tag).await.expect("RabbitMQ answers");
    }
}

/// Waits until a worker has a job: its journal says so.
async fn claimed(client: &Client, job: &Value) {
    let mut events = client.events(text(&job["job_id"]), 0).await.expect("a stream from the first event");
    in_time("the claim of a worker", events.until("signal.received")).await;
}

/// Waits until the server has heard a worker that does not have the job.
async fn heard_in_vain(server: &mut Server, worker: &str) {
    let said = format!("worker {worker} has job");
    server.line("a reply that changes nothing", |line| line.contains(&said).then_some(())).await;
}

#[tokio::test]
async fn a_job_is_done_without_any_http() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let server = beside(&rabbit, &postgres, &schema).start().await;
    let client = server.client();
    register_queue(&client).await;
    let mut worker = Worker::beside(&rabbit, &schema, "w1").await;
    let task = execute(&client, &with(task("q"), json!({"session_id": "s1", "priority": 8}))).await;
    let held = worker.take().await;
    let job = held.job.clone();
    assert_eq!((&job["agent_id"], &job["claim"], &job["priority"]), (&json!("q"), &json!(1), &json!(8)));
    assert_eq!((&job["run_id"], &job["session_id"]), (&task["task_id"], &json!("s1")));
    assert_eq!(job["input"], json!({"task_type": "check", "task_data": {"n": 1}}));
    assert_eq!((&job["reply_to"], &job["lease_seconds"]), (&json!(format!("{schema}.results")), &json!(90.0)));
    assert!(job.get("instance_id").is_none() && job["deadline"].is_string(), "{job}");
    // It says that it works on it, and is heard: from then on the job is nobody else's.
    worker.say(&job, json!({"taken": true})).await;
    claimed(&client, &job).await;
    assert_eq!(get(&client, "q").await["instances"][0]["instance_id"], "w1");
    worker.say(&job, json!({"output": {"sum": 3}, "usage": {"output_tokens": 5}})).await;
    worker.jobs.ack(held.tag).await.unwrap();
    let task = ended(&client, &task).await;
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!({"sum": 3})), "{task}");
    assert_eq!((&task["instance_id"], &task["attempts"]), (&json!("w1"), &json!(1)), "{task}");
    assert!(nothing_over_http(&client).await);
    let health = client.get("/health").await.expect(200).json();
    let jobs = &health["parts"]["jobs"];
    assert!(jobs["status"] == "healthy" && text(&jobs["name"]).contains(&format!("{schema}.results")), "{health}");
}

#[tokio::test]
async fn a_failure_is_tried_again_and_a_final_one_is_told() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let server = beside(&rabbit, &postgres, &schema).env("MAX_RETRIES", "2").start().await;
    let client = server.client();
    register_queue(&client).await;
    let mut worker = Worker::beside(&rabbit, &schema, "w1").await;
    let task = execute(&client, &task("q")).await;
    let held = worker.take().await;
    worker.say(&held.job, json!({"error": {"message": "no disk", "retry": true}})).await;
    worker.jobs.ack(held.tag).await.unwrap();
    let again = worker.take().await;
    assert_eq!((&again.job["job_id"], &again.job["claim"]), (&held.job["job_id"], &json!(2)));
    worker.say(&again.job, json!({"error": "the form is empty"})).await;
    let task = ended(&client, &task).await;
    assert_eq!((&task["status"], &task["error"]["message"]), (&json!("failed"), &json!("the form is empty")));
}

#[tokio::test]
async fn a_job_that_comes_three_times_counts_once_and_nonsense_is_put_aside() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let server = beside(&rabbit, &postgres, &schema).start().await;
    let client = server.client();
    register_queue(&client).await;
    let mut first = Worker::beside(&rabbit, &schema, "w0").await;
    let task = execute(&client, &task("q")).await;
    let held = first.take().await;
    // As a broker may that was cut off from its worker.
    for _ in 0..2 {
        let body = held.job.to_string();
        first.replies.publish(&format!("{schema}.agent.q"), body.as_bytes()).await.unwrap();
    }
    let (mut second, mut third) =
        (Worker::beside(&rabbit, &schema, "w1").await, Worker::beside(&rabbit, &schema, "w2").await);
    let (twin, triplet) = (second.take().await, third.take().await);
    assert!(twin.job == held.job && triplet.job == held.job);
    second.say(&twin.job, json!({"taken": true})).await;
    claimed(&client, &held.job).await;
    assert_eq!(get(&client, "q").await["instances"][0]["instance_id"], "w1");
    // Two that do not have it, and then who has it, three times.
    first.say(&held.job, json!({"output": "first"})).await;
    third.done(triplet, json!("third")).await;
    for _ in 0..3 {
        second.say(&twin.job, json!({"output": "second"})).await;
    }
    let task = ended(&client, &task).await;
    assert_eq!((&task["result"], &task["instance_id"], &task["attempts"]), (&json!("second"), &json!("w1"), &json!(1)));
    let nobody = json!({"job_id": task["task_id"], "claim": 1, "instance_id": "w", "output": 1}).to_string();
    for wrong in ["what", "", "{}", "\"x\"", r#"{"job_id": "x", "claim": 0, "output": 1}"#, &nobody] {
        first.replies.publish(&first.results, wrong.as_bytes()).await.unwrap();
    }
    drain(&rabbit, &format!("{schema}.dead"), 6).await;
    let journal = client.run(text(&held.job["job_id"])).await;
    assert_eq!(journal.of_kind("signal.received").count(), 2, "one claim and one result");
}

#[tokio::test]
async fn results_for_an_old_claim_change_nothing() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let start = beside(&rabbit, &postgres, &schema).env("AGENT_HEARTBEAT_TIMEOUT", "2");
    let mut server = start.env("LOG_LEVEL", "debug").start().await;
    let client = server.client();
    register_queue(&client).await;
    let mut slow = Worker::beside(&rabbit, &schema, "slow").await;
    let task = execute(&client, &task("q")).await;
    let old = slow.take().await;
    slow.say(&old.job, json!({"taken": true})).await;
    // It says nothing more, so another worker is offered the job; it may be offered the old one first.
    let mut quick = Worker::beside(&rabbit, &schema, "quick").await;
    let new = loop {
        let held = quick.take().await;
        match held.job["claim"].as_u64() {
            Some(1) => quick.jobs.ack(held.tag).await.unwrap(),
            _ => break held,
        }
    };
    assert_eq!((&new.job["job_id"], &new.job["claim"]), (&old.job["job_id"], &json!(2)));
    slow.done(old, json!("late")).await;
    heard_in_vain(&mut server, "slow").await;
    quick.done(new, json!("in time")).await;
    let task = ended(&client, &task).await;
    assert_eq!((&task["result"], &task["instance_id"]), (&json!("in time"), &json!("quick")), "{task}");
}

#[tokio::test]
async fn a_job_that_was_claimed_over_http_is_not_the_brokers() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let mut server = beside(&rabbit, &postgres, &schema).env("LOG_LEVEL", "debug").start().await;
    let client = server.client();
    register_queue(&client).await;
    let mut worker = Worker::beside(&rabbit, &schema, "w1").await;
    let task = execute(&client, &task("q")).await;
    let held = worker.take().await;
    let body = json!({"agent_id": "q", "instance_id": "web"});
    let job = client.post("/orchestrator/jobs/claim?wait=10", &body).await.expect(200).json();
    assert_eq!((&job["job_id"], &job["claim"]), (&held.job["job_id"], &held.job["claim"]));
    worker.done(held, json!("from the broker")).await;
    heard_in_vain(&mut server, "w1").await;
    let path = format!("/orchestrator/jobs/{}/result", text(&job["job_id"]));
    client.post(&path, &json!({"claim": 1, "output": "from the web"})).await.expect(200);
    let task = ended(&client, &task).await;
    assert_eq!((&task["result"], &task["instance_id"]), (&json!("from the web"), &json!("web")), "{task}");
}

#[tokio::test]
async fn what_the_broker_lost_is_offered_again() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let server = beside(&rabbit, &postgres, &schema).env("AGENT_HEARTBEAT_TIMEOUT", "2").start().await;
    let client = server.client();
    register_queue(&client).await;
    let queue = format!("{schema}.agent.q");
    let task = execute(&client, &task("q")).await;
    // A worker that has it in its hands when the queue goes.
    let mut first = Worker::beside(&rabbit, &schema, "w0").await;
    first.take().await;
    rabbit.delete_queue(&queue).await;
    let mut worker = Worker::beside(&rabbit, &schema, "w1").await;
    let held = worker.take().await;
    worker.done(held, json!("done")).await;
    assert_eq!(ended(&client, &task).await["result"], "done");
}

/// Does every job, over the broker at this port and its next one.
async fn keep_working(port: u16, schema: String, name: &'static str, mut is_back: watch::Receiver<bool>) {
    loop {
        let worked = async {
            let mut worker = Worker::open(port, &schema, name).await?;
            loop {
                let (tag, body) = worker.jobs.next().await?;
                let job: Value = serde_json::from_slice(&body)?;
                let output = &job["input"]["task_data"]["n"];
                let reply =
                    json!({"job_id": job["job_id"], "claim": job["claim"], "instance_id": name, "output": output});
                worker.replies.publish(&worker.results, reply.to_string().as_bytes()).await?;
                worker.jobs.ack(tag).await?;
            }
        };
        let ended: std::io::Result<()> = worked.await;
        assert!(ended.is_err());
        is_back.wait_for(|is_back| *is_back).await.expect("the broker comes back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_jobs_are_done_though_broker_and_server_are_killed() {
    let (Some(rabbit), Some(postgres)) = (RabbitMq::start().await, Postgres::shared().await) else {
        return skip("RabbitMQ or PostgreSQL");
    };
    let schema = postgres.schema();
    let start = || beside(&rabbit, &postgres, &schema).env("AGENT_HEARTBEAT_TIMEOUT", "2").env("MAX_RETRIES", "9");
    let (mut one, mut two) = (start().start().await, start().start().await);
    let clients = [one.client(), two.client()];
    register_queue(&clients[1]).await;
    let task = |n: usize| json!({"agent_id": "q", "task_type": "t", "task_data": {"n": n}});
    let mut tasks = Vec::new();
    for n in 0..20 {
        tasks.push(execute(&clients[n % 2], &task(n)).await);
    }
    let is_back = watch::Sender::new(false);
    let work = |name| tokio::spawn(keep_working(rabbit.port(), schema.clone(), name, is_back.subscribe()));
    let workers = ["w0", "w1"].map(work);
    ended(&clients[1], &tasks[0]).await;
    rabbit.cut();
    two.line("the loss of the broker", |line| line.contains("workers may fetch jobs over HTTP").then_some(())).await;
    let health = clients[1].get("/health").await.expect(200).json();
    let jobs = &health["parts"]["jobs"];
    assert!(health["status"] == "degraded" && jobs["status"] == "down" && jobs["reason"].is_string(), "{health}");
    for n in 20..30 {
        tasks.push(execute(&clients[n % 2], &task(n)).await);
    }
    one.kill9();
    rabbit.up().await;
    is_back.send_replace(true);
    one.restart().await;
    for n in 30..40 {
        tasks.push(execute(&clients[n % 2], &task(n)).await);
    }
    for (n, task) in tasks.iter().enumerate() {
        let task = ended(&clients[1], task).await;
        assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!(n)), "{task}");
    }
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A python that has `pika`: the machine's, or one of our own where it can be made.
fn python(dir: &std::path::Path) -> Option<std::path::PathBuf> {
    let runs = |program: &std::path::Path, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|ended| ended.status.success())
    };
    let ours = std::path::Path::new("python3");
    if runs(ours, &["-c", "import pika"]) {
        return Some(ours.into());
    }
    let venv = dir.join("venv");
    let made = venv.join("bin/python");
    let is_made = runs(ours, &["-m", "venv", venv.to_str()?])
        && runs(&made, &["-m", "pip", "install", "-q", "--disable-pip-version-check", "pika"]);
    is_made.then_some(made)
}

#[tokio::test]
async fn the_example_worker_over_amqp_works() {
    let Some((rabbit, postgres, schema)) = both().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(python) = python(dir.path()) else {
        eprintln!("SKIPPED: there is no python3 with pika here");
        return;
    };
    let server = beside(&rabbit, &postgres, &schema).start().await;
    let client = server.client();
    register_queue(&client).await;
    let mut command = Command::new(python);
    command.arg(workspace().join("examples/worker_amqp.py")).arg("q").env("POSTGRES_SCHEMA", &schema);
    command.env("RABBITMQ_URL", format!("amqp://guest:guest@127.0.0.1:{}/%2F", rabbit.port()));
    let mut worker = Process::start(&mut command);
    let line = worker.line("the worker's first words", |line| line.contains("works for").then_some(())).await;
    line.unwrap_or_else(|ended| panic!("the worker ended: {ended:?}"));
    for n in 0..3 {
        let body = json!({"agent_id": "q", "task_type": "echo", "task_data": {"n": n}});
        let task = done(&client, &body).await;
        let heard = json!({"heard": {"task_type": "echo", "task_data": {"n": n}}});
        assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &heard), "{task}");
    }
}
