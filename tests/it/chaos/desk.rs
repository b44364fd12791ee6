//! The two applications on real input: every query of banking77 as a ticket through four services that fail now and then, and
//! research tasks over a marketplace that loses answers while the server is killed. The simulator is never killed: its counts
//! and its books are the judge.

use super::{Held, Job, work};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tutti_tests::chance::Chance;
use tutti_tests::in_time;
use tutti_tests::queries::{aloud, banking77, shared};
use tutti_tests::server::{Server, Start};
use tutti_tests::simulator::Simulator;

/// All queries of the file.
const TICKETS: usize = 3_080;
const TASKS: usize = 200;
const KILLS: usize = 10;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_as_a_ticket_ends_resolved_or_escalated_and_each_answer_is_asked_for_once() {
    let Some(queries) = banking77(TICKETS) else { return };
    let began = Instant::now();
    let world = Simulator::start(&[]).await;
    // Five in a hundred, of every kind that passes by itself.
    world
        .faults(&json!([{"status": 503, "every": 29}, {"drop": true, "every": 37}, {"status": 429, "every": 101},
            {"lose_answer": true, "every": 53}]))
        .await;
    let server = world.desk(Start::new()).start().await;
    let client = server.client();
    let jobs = queries.iter().enumerate().map(|(n, query)| {
        let ticket = json!({"customer_id": format!("c{}", n % 97), "subject": "Question", "body": query});
        Job { n, body: ticket }
    });
    let held = work(jobs.collect(), move |job| {
        let client = client.clone();
        async move {
            let call = client.post("/api/tickets?wait=60", &job.body).once(format_args!("ticket-{}", job.n));
            let ticket = call.persist().await.expect(201).json();
            Held { run_id: ticket.to_string(), job, events: None }
        }
    })
    .await;
    let took = began.elapsed();
    let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
    let mut answers = 0;
    for held in &held {
        let ticket: Value = serde_json::from_str(&held.run_id).unwrap();
        *by_status.entry(text(&ticket["status"]).to_owned()).or_default() += 1;
        let moments = ticket["history"].as_array().unwrap();
        assert_eq!(moments.len(), 6, "NEW, four stages, the end: {ticket}");
        answers += moments.iter().filter(|moment| moment["fallback"] == false).count();
    }
    assert_eq!(held.len(), TICKETS.min(queries.len()));
    assert_eq!(by_status.keys().map(String::as_str).collect::<Vec<_>>(), ["ESCALATED", "RESOLVED"]);
    // Each question went out under one key of its own; what was asked again had failed before.
    let stats = world.stats().await;
    let (requests, repeats, faults) = (&stats["requests"], &stats["repeats"], &stats["faults"]);
    assert_eq!(stats["keys"], json!(held.len() * 4), "{stats}");
    assert!(repeats.as_u64() <= faults.as_u64(), "{stats}");
    assert!(faults.as_u64().unwrap() * 20 >= requests.as_u64().unwrap(), "fewer than five in a hundred: {stats}");
    assert!(answers > held.len() * 39 / 10, "nearly all agents answered: {answers}");
    aloud(&format!(
        "desk: {} tickets {by_status:?}, {requests} requests, {faults} faults, {repeats} repeats, {:.1} s",
        held.len(),
        took.as_secs_f64()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_source_is_paid_twice_and_no_task_costs_more_than_its_budget_through_kills() {
    let companies = shared().join("data/sp500_companies.csv");
    let args: Vec<&str> =
        if companies.exists() { vec!["--companies", companies.to_str().unwrap()] } else { Vec::new() };
    let began = Instant::now();
    let world = Simulator::start(&args).await;
    world
        .faults(&json!([{"lose_answer": true, "rate": 0.02, "for_role": "pay"},
            {"lose_answer": true, "rate": 0.02, "for_role": "market"}, {"delay_ms": 5, "rate": 0.5}]))
        .await;
    let mut server = world.market(Start::new()).start().await;
    let done = Arc::new(watch::Sender::new(0));
    let (client, counter) = (server.client(), done.clone());
    let themes = ["health care", "industrial machinery", "software", "energy", "insurance", "food retail", "banks"];
    let jobs = (0..TASKS).map(|n| Job {
        n,
        body: json!({"theme": themes[n % themes.len()], "budget": 5 + n % 60, "voice_id": format!("v{n}")}),
    });
    let working = tokio::spawn(work(jobs.collect(), move |job| {
        let (client, counter) = (client.clone(), counter.clone());
        async move {
            let call = client.post("/tasks?wait=60", &job.body).once(format_args!("task-{}", job.n));
            let accepted = call.persist().await.expect(200).json();
            counter.send_modify(|count| *count += 1);
            Held { run_id: text(&accepted["task_id"]).to_owned(), job, events: None }
        }
    }));
    let mut chance = Chance::from_environment("kills at the desk", 31);
    for at in chance.spread(KILLS, TASKS - 10) {
        in_time("tasks to be done", done.subscribe().wait_for(|&count| count >= at)).await.expect("the counter lives");
        // Not to wait for anything, but so that a kill may fall on any instant.
        tokio::time::sleep(Duration::from_micros(chance.bits() % 20_000)).await;
        server.kill9();
        server.restart().await;
    }
    let held = working.await.unwrap();
    let told = judge(&world, &server, &held).await;
    aloud(&format!("desk: {told}, {KILLS} kills, {:.1} s", began.elapsed().as_secs_f64()));
}

/// Holds what the tasks say against the marketplace's books.
async fn judge(world: &Simulator, server: &Server, held: &[Held]) -> String {
    let books = world.books().await;
    let mut paid: BTreeMap<String, BTreeMap<String, Vec<u64>>> = BTreeMap::new();
    for payment in books["tokens"].as_object().unwrap().values().flat_map(|t| t["payments"].as_array().unwrap()) {
        let (task, step) = text(&payment["key"]).split_once('/').expect("a key names run and step");
        let of_task = paid.entry(task.to_owned()).or_default();
        of_task.entry(step.to_owned()).or_default().push(payment["amount"].as_u64().unwrap());
    }
    let (mut statuses, mut unknown, mut sum): (BTreeMap<String, usize>, u64, u64) = (BTreeMap::new(), 0, 0);
    for Held { job, run_id, .. } in held {
        let client = server.client();
        let task = client.get(format_args!("/tasks/{run_id}")).await.expect(200).json();
        let (spent, held) = (task["spent"].as_u64().unwrap(), task["held"].as_u64().unwrap());
        let of_task = paid.remove(run_id).unwrap_or_default();
        for (source, payments) in &of_task {
            assert_eq!(payments.len(), 1, "{source} of {run_id} was paid {payments:?}");
        }
        let really: u64 = of_task.values().flatten().sum();
        let budget = job.body["budget"].as_u64().unwrap();
        assert!(really <= budget && spent + held <= budget, "{run_id}: {really} of {budget}: {task}");
        assert!(spent <= really && really <= spent + held, "{run_id}: paid {really}, told {spent} and {held}: {task}");
        *statuses.entry(text(&task["status"]).to_owned()).or_default() += 1;
        unknown += held;
        sum += really;
        client.run(run_id).await.assert_whole();
    }
    assert!(paid.is_empty(), "payments of no task: {paid:?}");
    assert!(!statuses.contains_key("blocked") && statuses["completed"] > TASKS / 2, "{statuses:?}");
    format!("{} tasks {statuses:?}, paid {sum}, of that not known {unknown}", held.len())
}
