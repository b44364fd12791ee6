//! The main proof: real questions through teams of all five patterns while the server is killed again and again. Nothing is lost, nothing is
//! done twice, every stream is whole. The judge is the model server, which is never killed, beside the journals.

mod cluster;
mod desk;
mod judge;

use self::judge::Kill;
use crate::acceptance::{as_run, three};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tutti_tests::chance::Chance;
use tutti_tests::client::Client;
use tutti_tests::in_time;
use tutti_tests::journal::Run;
use tutti_tests::provider::Provider;
use tutti_tests::queries::{aloud, banking77};
use tutti_tests::server::{Server, Start};
use tutti_tests::sse::{Event, Reader};

const QUERIES: usize = 200;
const CLIENTS: usize = 16;
/// Kills, where `TUTTI_KILLS` does not say otherwise.
const KILLS: usize = 24;
const PATTERNS: [&str; 5] = ["sequential", "concurrent", "handoff", "group_chat", "dynamic"];
/// Model calls of a run, at least on average: kills are spread over all of them.
const CALLS_ABOUT: usize = 3;

/// One question to one team.
#[derive(Debug, Clone)]
struct Job {
    n: usize,
    body: Value,
}

/// Every query to a team of each pattern, in turns.
fn jobs(queries: &[String]) -> Vec<Job> {
    let all = queries.iter().flat_map(|query| PATTERNS.map(|pattern| (pattern, query)));
    let job = |(n, (pattern, query)): (usize, (&str, &String))| {
        let mut body = three(pattern);
        body["input"] = query.as_str().into();
        body["options"] = match pattern {
            "group_chat" => json!({"until": {"max_messages": 3}}),
            "dynamic" => json!({"max_replans": 0}),
            _ => json!({}),
        };
        Job { n, body }
    };
    all.enumerate().map(job).collect()
}

/// Whether as many answers came as the pattern asks for.
fn assert_answers(run: &Run, pattern: &str) {
    let answers = run.of_kind("agent.message").count();
    let wanted = match pattern {
        "sequential" | "concurrent" => 3..=3,
        "group_chat" => 4..=4,
        "handoff" => 1..=11,
        _ => 3..=20,
    };
    assert!(wanted.contains(&answers), "{pattern}: {answers} answers: {}", run.whole);
}

/// Short runs as fast as they go, so that kills fall on full batches of the store's writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_at_full_speed_is_never_lost() {
    const RUNS: usize = 3_000;
    let began = Instant::now();
    let mut server = Server::start().await;
    let accepted = Arc::new(watch::Sender::new(0));
    let jobs = (0..RUNS).map(|n| Job { n, body: json!({"workflow": "noop", "input": {"steps": 1 + n % 7}}) }).collect();
    let (client, counter) = (server.client(), accepted.clone());
    let working = tokio::spawn(work(jobs, move |job| {
        let (client, counter) = (client.clone(), counter.clone());
        async move {
            let wait = ["", "?wait=30"][job.n % 2];
            let call = client.post(format_args!("/v1/runs{wait}"), &job.body).once(format_args!("fast-{}", job.n));
            let run_id = call.persist().await.json()["run_id"].as_str().expect("an accepted run").to_owned();
            counter.send_modify(|count| *count += 1);
            Held { job, run_id, events: None }
        }
    }));
    let mut chance = Chance::from_environment("kills at full speed", 21);
    for at in chance.spread(KILLS, RUNS) {
        let reached = in_time("runs to be accepted", accepted.subscribe().wait_for(|&count| count >= at)).await.is_ok();
        assert!(reached);
        tokio::time::sleep(Duration::from_micros(chance.bits() % 3_000)).await;
        server.kill9();
        server.restart().await;
    }
    let held = working.await.unwrap();
    let client = server.client();
    for Held { job, run_id, .. } in &held {
        follow(&client, run_id, Vec::new(), None).await;
        let run = client.run(run_id).await;
        run.assert_whole();
        assert_eq!((run.status.as_str(), run.of_kind("step.completed").count()), ("completed", 1 + job.n % 7));
    }
    let ids: BTreeSet<_> = held.iter().map(|held| &held.run_id).collect();
    assert_eq!(ids.len(), RUNS);
    aloud(&format!("chaos: {KILLS} kills, {RUNS} runs at full speed, {:.1} s", began.elapsed().as_secs_f64()));
}

/// What a client has in its hands at the end.
#[derive(Debug)]
struct Held {
    job: Job,
    run_id: String,
    /// The events it was sent, where it followed the run.
    events: Option<Vec<Event>>,
}

/// Works through the jobs with several clients at once.
async fn work<F: Future<Output = Held> + Send + 'static>(
    jobs: Vec<Job>,
    one: impl Fn(Job) -> F + Clone + Send + 'static,
) -> Vec<Held> {
    let jobs = Arc::new(Mutex::new(VecDeque::from(jobs)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (jobs, one) = (jobs.clone(), one.clone());
            tokio::spawn(async move {
                let mut held = Vec::new();
                loop {
                    let next = jobs.lock().unwrap().pop_front();
                    let Some(job) = next else { return held };
                    held.push(one(job).await);
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_offline() {
    let Some(queries) = banking77(QUERIES) else { return };
    let began = Instant::now();
    let server = Server::start().await;
    let client = server.client();
    let held = work(jobs(&queries), move |job| {
        let client = client.clone();
        async move {
            let result = client.orchestrate(&job.body).await;
            assert_eq!(result["status"], "completed", "{result}");
            Held { job, run_id: result["run_id"].as_str().unwrap().into(), events: None }
        }
    });
    let held = held.await;
    assert_eq!(held.len(), PATTERNS.len() * QUERIES);
    for held in &held {
        let run = server.client().run(&held.run_id).await;
        run.assert_whole();
        assert_answers(&run, held.job.body["pattern"].as_str().unwrap());
    }
    aloud(&format!("chaos: {} runs on the offline model, {:.1} s", held.len(), began.elapsed().as_secs_f64()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_through_kills() {
    let Some(queries) = banking77(QUERIES) else { return };
    let began = Instant::now();
    let provider = Provider::with_delay("10..30").await;
    let server = Start::new().model(&provider).start().await;
    let client = server.client();
    let killer = tokio::spawn(kill(server, provider));
    let held = work(jobs(&queries), move |job| ask(client.clone(), job)).await;
    let (server, provider, kills) = killer.await.unwrap();

    let mut runs = BTreeMap::new();
    for held in &held {
        let run = server.client().run(&held.run_id).await;
        run.assert_whole();
        assert_eq!(run.status, "completed", "{}", run.whole);
        assert_answers(&run, held.job.body["pattern"].as_str().unwrap());
        if let Some(events) = &held.events {
            judge::stream(events, &run);
        }
        runs.insert(held.run_id.clone(), run);
    }
    assert_eq!(runs.len(), PATTERNS.len() * QUERIES, "each question to each team is one run");
    ask_again(&server.client(), &held).await;
    let calls = judge::calls(&provider.by_key(), &runs, &kills);
    let followed = held.iter().filter(|held| held.events.is_some()).count();
    aloud(&format!(
        "chaos: {} kills, {} runs, {} model requests for {} calls, {} repeats, {followed} streams followed, {:.1} s",
        kills.len(),
        runs.len(),
        calls.requests,
        calls.calls,
        calls.requests - calls.calls,
        began.elapsed().as_secs_f64()
    ));
}

/// Kills the server at moments spread over the whole work, measured in model requests so that the machine's speed does not matter.
async fn kill(mut server: Server, provider: Provider) -> (Server, Provider, Vec<Kill>) {
    let mut chance = Chance::from_environment("kills", 20);
    let kills_wanted =
        std::env::var("TUTTI_KILLS").map_or(KILLS, |text| text.parse().expect("TUTTI_KILLS is a number"));
    let mut kills = Vec::new();
    for begun in chance.spread(kills_wanted, PATTERNS.len() * QUERIES * CALLS_ABOUT) {
        provider.begun(begun).await;
        // Not to wait for anything, but so that a kill may fall on any instant, not only on that of a request.
        tokio::time::sleep(Duration::from_micros(chance.bits() % 20_000)).await;
        let from = now_ms();
        server.kill9();
        kills.push(Kill { from, to: now_ms() });
        server.restart().await;
    }
    (server, provider, kills)
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Asks one question, in one of the three ways a client may, and gets its answer whatever happens to the connection.
async fn ask(client: Client, job: Job) -> Held {
    let key = format!("chaos-{}", job.n);
    let (run_id, events) = match job.n % 3 {
        0 => {
            let run = client.post("/v1/runs?wait=30", &as_run(&job.body)).once(&key).persist().await.expect(200).json();
            (run["run_id"].as_str().unwrap().to_owned(), None)
        }
        1 => {
            let run = client.post("/v1/runs", &as_run(&job.body)).once(&key).persist().await.expect(202).json();
            let run_id = run["run_id"].as_str().unwrap().to_owned();
            let events = follow(&client, &run_id, Vec::new(), None).await;
            (run_id, Some(events))
        }
        _ => {
            let (run_id, events) = stream(&client, &job, &key).await;
            (run_id, Some(events))
        }
    };
    Held { job, run_id, events }
}

/// Streams a question; one whose stream broke before it told its run is asked again under its key.
async fn stream(client: &Client, job: &Job, key: &str) -> (String, Vec<Event>) {
    loop {
        let call = client.post("/orchestrate/stream", &job.body).once(key);
        let first = match call.try_stream().await {
            Ok(mut reader) => reader.next().await.map(|event| (event, reader)),
            Err(lost) => Err(lost),
        };
        match first {
            Ok((Some(event), reader)) => {
                let run_id = event.data["run_id"].as_str().unwrap().to_owned();
                let events = follow(client, &run_id, vec![event], Some(reader)).await;
                return (run_id, events);
            }
            Ok((None, _)) => {}
            Err(lost) => client.returned(&lost).await,
        }
    }
}

/// Follows a run to its end, coming back after every break with the number of the last event it has.
async fn follow(client: &Client, run_id: &str, mut events: Vec<Event>, mut reader: Option<Reader>) -> Vec<Event> {
    let all = async {
        loop {
            let after = events.last().map_or(0, |event| event.id);
            let read = match reader.take() {
                Some(reader) => Ok(Some(reader)),
                None => client.try_events(run_id, after).await,
            };
            let lost = match read {
                // 204: the run has ended, and all of it was seen.
                Ok(None) => return,
                Ok(Some(mut reader)) => loop {
                    match reader.next().await {
                        Ok(Some(event)) => events.push(event),
                        Ok(None) => break None,
                        Err(lost) => break Some(lost),
                    }
                },
                Err(lost) => Some(lost),
            };
            if let Some(lost) = lost {
                client.returned(&lost).await;
            }
        }
    };
    in_time(&format!("run {run_id} to end"), all).await;
    events
}

/// The same request under the same key is still the same run: what was accepted was never lost.
async fn ask_again(client: &Client, held: &[Held]) {
    for Held { job, run_id, .. } in held {
        let (path, body) =
            if job.n % 3 == 2 { ("/orchestrate/stream", job.body.clone()) } else { ("/v1/runs", as_run(&job.body)) };
        let call = client.post(path, &body).once(format!("chaos-{}", job.n));
        let (replayed, again) = if path == "/v1/runs" {
            let answer = call.await.expect(202);
            (answer.header("idempotency-replayed").to_owned(), answer.json()["run_id"].as_str().unwrap().to_owned())
        } else {
            let mut reader = call.stream().await;
            let replayed = reader.header("idempotency-replayed").to_owned();
            (replayed, reader.until("run.queued").await[0].data["run_id"].as_str().unwrap().to_owned())
        };
        assert_eq!((replayed.as_str(), &again), ("true", run_id), "job {}", job.n);
    }
}
