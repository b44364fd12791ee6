//! Paid research: what is bought, what is refused, what is not known, and that no marketplace costs more than the budget.

use super::text;
use serde_json::{Value, json};
use tutti_tests::client::Client;
use tutti_tests::server::{Server, Start};
use tutti_tests::simulator::Simulator;

const THEME: &str = "information technology and industrials";

async fn task(client: &Client, theme: &str, budget: u64, voice: &str) -> Value {
    let body = json!({"theme": theme, "budget": budget, "voice_id": voice});
    let accepted = client.post("/tasks?wait=60", &body).await.expect(200).json();
    assert_eq!(accepted.as_object().unwrap().len(), 1, "exactly the id: {accepted}");
    client.get(format_args!("/tasks/{}", text(&accepted["task_id"]))).await.expect(200).json()
}

/// What the marketplace was paid for a task.
fn paid(books: &Value, task: &Value) -> u64 {
    let of_task = |payment: &&Value| text(&payment["key"]).starts_with(text(&task["task_id"]));
    let payments = books["tokens"].as_object().unwrap().values().flat_map(|t| t["payments"].as_array().unwrap());
    payments.filter(of_task).map(|payment| payment["amount"].as_u64().unwrap()).sum()
}

async fn research() -> (Simulator, Server) {
    let world = Simulator::start(&[]).await;
    let server = world.market(Start::new()).start().await;
    (world, server)
}

#[tokio::test]
async fn sources_are_bought_within_the_budget_and_the_report_says_all() {
    let (world, server) = research().await;
    let client = server.client();
    let done = task(&client, &format!("  {THEME} "), 30, "secret-voice-7").await;
    assert_eq!((&done["status"], &done["theme"], &done["error"]), (&json!("completed"), &json!(THEME), &Value::Null));
    assert_eq!((&done["spent"], &done["held"], &done["unit"]), (&json!(17), &json!(0), &json!("USD-cent")));
    let refused = done["sources"]["refused"].as_array().unwrap();
    assert!(refused.iter().all(|s| text(&s["reason"]).contains("13 are left of the budget of 30")), "{done}");
    assert_eq!(paid(&world.books().await, &done), 17);
    let path = format!("/tasks/{}", text(&done["task_id"]));
    let report = client.get(format_args!("{path}/report")).await.expect(200);
    assert!(report.header("content-type").starts_with("text/markdown"));
    assert_eq!(done["report"], json!(report.text()));
    for part in ["# information technology", "paid 10 USD-cent", "| Kestrel Air | 18 USD-cent |"] {
        assert!(report.text().contains(part), "{part}\n{}", report.text());
    }
    let html = client.get(format_args!("{path}/report")).header("accept", "text/html").await.expect(200).text();
    assert!(html.contains("<h1>information technology") && html.contains("<table>"), "{html}");
    let events = client.get(format_args!("{path}/events")).stream().await.until("run.completed").await;
    let kinds: Vec<_> = events.iter().map(|e| e.kind.as_str()).collect();
    for kind in ["payment.required", "payment.paid", "payment.refused", "budget.spent"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    // The voice is in no journal, no log and no answer; when the task is over nothing of it is kept.
    let run = client.run(text(&done["task_id"])).await;
    assert!(!run.whole.to_string().contains("secret-voice-7") && !server.stderr().contains("secret-voice-7"));
    assert_eq!(text(&done["voice_hmac"]).len(), 64);
    assert_eq!(client.get("/tasks?status=completed").await.expect(200).json()["items"][0]["task_id"], done["task_id"]);
    let counted = client.get("/metrics").await.expect(200).text();
    for series in ["tutti_research_tasks_created_total 1", "tutti_payments_total{outcome=\"paid\"} 3"] {
        assert!(counted.contains(series), "{series}\n{counted}");
    }
}

#[tokio::test]
async fn a_voice_that_is_not_accepted_spends_nothing() {
    let (world, server) = research().await;
    let client = server.client();
    for voice in ["denied-ann", "stranger-ann"] {
        let done = task(&client, THEME, 30, voice).await;
        assert_eq!(
            (&done["status"], &done["error"]["class"]),
            (&json!("failed"), &json!("AuthenticationError")),
            "{done}"
        );
        let refused = client.get(format_args!("/tasks/{}/report", text(&done["task_id"]))).await.expect(409);
        assert!(text(&refused.json()["message"]).contains("AuthenticationError"));
    }
    world.faults(&json!({"drop": true, "for_role": "voice"})).await;
    assert_eq!(task(&client, THEME, 30, "ann").await["status"], "failed");
    world.faults(&json!({"status": 503, "for_role": "payments"})).await;
    let only_paid = task(&client, "Galaxy", 30, "ann").await;
    assert_eq!(only_paid["error"]["class"], "PaymentError", "{only_paid}");
    // Brewing and oak: the fifth and the fifteenth company cost nothing.
    let free = task(&client, "Oak Homes and Galaxy Chips", 30, "ann").await;
    assert_eq!((&free["status"], &free["spent"]), (&json!("completed"), &json!(0)), "{free}");
    world.well().await;
    assert_eq!(task(&client, "xyzzy", 30, "ann").await["error"]["class"], "DataError");
    assert_eq!(world.books().await["totals"]["paid"], 0);
}

#[tokio::test]
async fn no_marketplace_costs_more_than_the_budget() {
    let (world, server) = research().await;
    let client = server.client();
    for (fault, spent_max) in [
        (json!({"price": 0}), 0),
        (json!({"price": -5}), 0),
        (json!({"price": 1.5}), 0),
        (json!({"price": "5"}), 0),
        (json!({"price": 9_223_372_036_854_775_808_u64}), 0),
        (json!({"price": 1_000_000}), 0),
        (json!({"price_after": 1}), 30),
        (json!({"always_402": true}), 30),
        (json!({"redirect": "http://127.0.0.1:1/"}), 0),
        (json!({"wrong_contract": true, "for_role": "pay"}), 30),
        (json!({"garbage": true, "for_role": "market"}), 0),
        (json!({"status": 402, "for_role": "pay"}), 0),
        (json!({"status": 500, "for_role": "pay"}), 0),
        (json!({"lose_answer": true, "for_role": "pay"}), 30),
    ] {
        world.faults(&fault).await;
        let done = task(&client, THEME, 30, "ann").await;
        world.well().await;
        let paid = paid(&world.books().await, &done);
        assert!(paid <= spent_max, "{fault}: paid {paid}: {done}");
        let (spent, held) = (done["spent"].as_u64().unwrap(), done["held"].as_u64().unwrap());
        // A till that says yes and books nothing is believed: 2xx is paid.
        let is_believed = fault.get("wrong_contract").is_some();
        assert!(is_believed || (spent <= paid && paid <= spent + held), "{fault}: {done}");
        assert!(spent + held <= 30, "{fault}: {done}");
        assert!(["completed", "failed"].contains(&text(&done["status"])), "{fault}: {done}");
    }
}

#[tokio::test]
async fn a_payment_that_is_not_known_is_settled_by_a_person_once() {
    let (world, server) = research().await;
    let client = server.client();
    // The till breaks down before it books anything: nobody here can know.
    world.faults(&json!({"status": 500, "for_role": "pay"})).await;
    let done = task(&client, "Galaxy Chips and Oak Homes", 30, "ann").await;
    assert_eq!(
        (&done["status"], &done["spent"], &done["held"]),
        (&json!("completed"), &json!(0), &json!(10)),
        "{done}"
    );
    assert_eq!(done["receipts"][0]["outcome"], "unknown");
    let path = format!("/tasks/{}/payments/7", text(&done["task_id"]));
    let settle = |outcome: &str| client.post(&path, &json!({"outcome": outcome, "note": "the bank says"}));
    assert_eq!(client.post(&path, &json!({"outcome": "maybe", "x": 1})).await.expect(422).wrong().len(), 2);
    let settled = settle("paid").await.expect(200).json();
    assert_eq!((&settled["spent"], &settled["held"]), (&json!(10), &json!(0)), "{settled}");
    assert_eq!(
        (&settled["receipts"][0]["outcome"], &settled["receipts"][0]["settled_by"]),
        (&json!("paid"), &json!("local"))
    );
    assert!(text(&settled["report"]).contains("the bank says"));
    settle("refused").await.expect(409);
    client
        .post(format_args!("/tasks/{}/payments/99", text(&done["task_id"])), &json!({"outcome": "paid"}))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_task_past_its_time_has_the_report_of_what_was_obtained() {
    let world = Simulator::start(&[]).await;
    let server = world.market(Start::new()).env("WORKFLOW_TIMEOUT", "1").start().await;
    world.faults(&json!({"hang": true, "for_role": "pay"})).await;
    let done = task(&server.client(), "Galaxy Chips and Oak Homes", 30, "ann").await;
    assert_eq!((&done["status"], &done["held"]), (&json!("timed_out"), &json!(10)), "{done}");
    assert!(text(&done["report"]).contains("### Oak Homes"), "{done}");
    let running =
        server.client().post("/tasks", &json!({"theme": THEME, "budget": 5, "voice_id": "v"})).await.expect(200);
    let early =
        server.client().get(format_args!("/tasks/{}/report", text(&running.json()["task_id"]))).await.expect(409);
    assert!(!early.header("retry-after").is_empty());
}

#[tokio::test]
async fn what_spends_is_started_by_its_own_surface_alone() {
    let (world, server) = research().await;
    let client = server.client();
    let input = json!({"theme": THEME, "budget": 1000, "unit": "x", "voice": {"handle": "h", "hmac": "m"},
        "marketplace": format!("{}/market", world.url()), "payments": format!("{}/payments", world.url())});
    for workflow in ["research", "research.settlement", "ticket"] {
        let refused =
            client.post("/v1/runs", &json!({"workflow": workflow, "input": input})).await.expect(422).details();
        assert!(refused[0].1.contains("is started with POST /"), "{refused:?}");
    }
    let named = client.get("/v1/workflows").await.expect(200).json().to_string();
    assert!(!named.contains("research") && named.contains("sequential"), "{named}");
}

#[tokio::test]
async fn everything_wrong_with_a_request_is_told_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let wrong = async |path: &str, body: Value| client.post(path, &body).await.expect(422).details();
    let detail = |field: &str, msg: &str| (format!("body.{field}"), msg.to_owned());
    let missing = |field: &str| detail(field, "field required");
    assert_eq!(wrong("/tasks", json!({})).await, [missing("theme"), missing("budget"), missing("voice_id")]);
    let empty = json!({"theme": " \n ", "budget": 0, "voice_id": ""});
    let sentences = [
        ("theme", "Theme cannot be empty"),
        ("budget", "Budget must be positive"),
        ("voice_id", "Voice id cannot be empty"),
    ];
    assert_eq!(wrong("/tasks", empty).await, sentences.map(|(field, msg)| detail(field, msg)));
    for body in [
        json!({"theme": 7, "budget": "100", "voice_id": ["v"]}),
        json!({"theme": null, "budget": 100.0, "voice_id": {}}),
        json!({"theme": "x".repeat(2_001), "budget": -5, "voice_id": "v".repeat(1_001)}),
        json!({"theme": "a\u{0}b", "budget": true, "voice_id": "\u{0}"}),
        json!({"theme": [], "budget": 1e30, "voice_id": 1.5}),
    ] {
        let said = wrong("/tasks", body.clone()).await;
        for field in ["theme", "budget", "voice_id"] {
            assert!(said.iter().any(|(loc, _)| *loc == format!("body.{field}")), "{field} of {body}: {said:?}");
        }
    }
    let fields = ["customer_id", "subject", "body"];
    assert_eq!(wrong("/api/tickets", json!({})).await, fields.map(missing));
    for body in [
        json!({"customer_id": "", "subject": " ", "body": "\t\n"}),
        json!({"customer_id": 7, "subject": [], "body": {}, "priority": 5}),
        json!({"customer_id": "c".repeat(201), "subject": "s".repeat(1_001), "body": "b".repeat(100_001)}),
        json!({"customer_id": "\u{0}", "subject": "a\u{0}", "body": "\u{0}b", "channel": 7, "metadata": "x"}),
        json!({"customer_id": null, "subject": null, "body": null, "priority": "asap", "metadata": [1]}),
    ] {
        let said = wrong("/api/tickets", body.clone()).await;
        let sent = body.as_object().unwrap().keys();
        for field in sent {
            assert!(
                said.iter().any(|(loc, _)| loc.starts_with(&format!("body.{field}"))),
                "{field} of {body}: {said:?}"
            );
        }
    }
    for path in ["/tasks", "/api/tickets"] {
        assert_eq!(client.post(path, &json!([])).await.expect(422).details().len(), 1);
        let raw = |bytes: &'static [u8]| client.post(path, &json!({})).body(bytes);
        raw(b"{\"theme\": \"\xff\"}").await.expect(400);
        raw(b"{\"theme\": ").await.expect(422);
        raw(b"\xff\xfe{\x00}\x00").await.expect(400);
        client.post(path, &json!({})).without("content-type").await.expect(415);
    }
    assert_eq!(client.get("/v1/runs").await.expect(200).json()["items"], json!([]), "nothing was started");
}

#[tokio::test]
async fn the_other_dialects_pay_once_too_and_only_with_assets_that_are_named() {
    for dialect in ["x402", "x402-v1", "mpp"] {
        let world = Simulator::start(&["--dialect", dialect]).await;
        let config = "[payments.assets]\n\"0xTEST\" = { decimals = 6, units = 100 }\n";
        let start = world.market(Start::new()).env("PAYMENT_SIGNER_SECRET", "signs-for-tests");
        let server = start.clone().file("tutti.toml", config).start().await;
        let client = server.client();
        let done = task(&client, THEME, 30, "ann").await;
        assert_eq!(
            (&done["status"], &done["spent"], &done["held"]),
            (&json!("completed"), &json!(17), &json!(0)),
            "{dialect}: {done}"
        );
        assert_eq!(world.books().await["totals"]["paid"], 17, "{dialect}");
        assert_eq!(world.books().await["totals"]["tokens"], 0, "no token is asked for: {dialect}");
        // The answer to a payment gets lost: what was signed is shown again, and is not charged again.
        world.faults(&json!({"lose_answer": true, "every": 3, "for_role": "market"})).await;
        let lost = task(&client, THEME, 30, "ann").await;
        world.well().await;
        let paid = world.books().await["totals"]["paid"].as_u64().unwrap() - 17;
        let (spent, held) = (lost["spent"].as_u64().unwrap(), lost["held"].as_u64().unwrap());
        assert!(spent <= paid && paid <= spent + held && spent + held <= 30, "{dialect}: paid {paid}: {lost}");
        let nonces = world.books().await["payers"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|p| p["payments"].as_array().unwrap().clone())
            .collect::<Vec<_>>();
        let distinct: std::collections::BTreeSet<_> = nonces.iter().map(|p| p["key"].to_string()).collect();
        assert_eq!(distinct.len(), nonces.len(), "{dialect}");
        let run = client.run(text(&done["task_id"])).await;
        assert!(!run.whole.to_string().contains("signs-for-tests"));
        // An asset that nobody named, and a signer that nobody set.
        let unnamed = world.market(Start::new()).env("PAYMENT_SIGNER_SECRET", "signs-for-tests").start().await;
        let done = task(&unnamed.client(), "Galaxy Chips and Oak Homes", 30, "ann").await;
        assert!(text(&done["sources"]["refused"][0]["reason"]).contains("[payments.assets]"), "{dialect}: {done}");
        let unsigned = world.market(Start::new()).file("tutti.toml", config).start().await;
        let done = task(&unsigned.client(), "Galaxy Chips and Oak Homes", 30, "ann").await;
        assert!(text(&done["sources"]["refused"][0]["reason"]).contains("PAYMENT_SIGNER_SECRET"), "{dialect}: {done}");
    }
}
