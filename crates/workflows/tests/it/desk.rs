//! The ticket and the research workflow through storms, and through one crash at every single point.

use crate::teams::asking;
use bytes::Bytes;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tutti_engine::activity::{ActivityError, Next, Outcome};
use tutti_engine::event::Kind;
use tutti_engine::journal::body::Spent;
use tutti_engine::run::{Status, Submit};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::shard::wire::Spawn;
use tutti_engine::sim::{Faults, Report, Story, World, tell};
use tutti_engine::{Limits, Registry};
use tutti_workflows::{research, tickets};

const STORM: Faults = Faults { crash: 10, unknown: 20, steal: 100, twice: 100, cancel: 2 };
const BUDGET: u64 = 40;
/// What the sources ask: the first nothing, one too much. There is room to pay twice, so that paying twice would show.
const PRICES: [u64; 6] = [0, 3, 7, 50, 4, 9];

pub fn registry() -> Registry {
    research::register(tickets::register(Registry::new(), &asking()), &asking())
}

/// A ticket whose router and sentiment are services.
pub fn ticket() -> Submit {
    let input = json!({"ticket_id": "01a1fc7f-1c35-767e-8a3f-b215c3e492f2",
        "ticket": {"customer_id": "c", "subject": "Card", "body": "Charged twice"},
        "services": {"router": "http://r/process", "sentiment": "http://s/process", "decision": "http://d/process"}});
    Submit::new(tickets::NAME, Bytes::from(input.to_string()))
}

pub fn task() -> Submit {
    let input = json!({"theme": "Cards", "budget": BUDGET, "unit": "USD-cent", "voice": {"handle": "h", "hmac": "m"},
        "marketplace": "http://m", "payments": "http://p"});
    let budget = Some(Limits { purchases: Some(BUDGET), ..Limits::default() });
    Submit { budget, ..Submit::new(research::NAME, Bytes::from(input.to_string())) }
}

fn hash(key: &str) -> u64 {
    key.bytes().fold(7, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23))
}

/// What the till makes of a payment: charged or not, answered or not. A matter of the request alone.
fn till(key: &str, is_broken: bool) -> (bool, bool) {
    match hash(key) % 8 {
        0 if is_broken => (true, false),
        1 if is_broken => (false, false),
        _ => (true, true),
    }
}

fn place(key: &str) -> usize {
    key.split(['[', ']']).nth(1).and_then(|at| at.parse().ok()).unwrap_or(0)
}

/// Answers every call of both workflows.
pub fn answer(spawn: &Spawn, charged: &RefCell<BTreeSet<String>>, is_broken: bool) -> Outcome {
    let key = spawn.idempotency_key.clone().unwrap_or_default();
    let args: Value = serde_json::from_slice(&spawn.request.args).unwrap();
    let is_due = is_broken && hash(&format!("{key}{}", spawn.id.attempt)).is_multiple_of(5);
    if is_due && spawn.request.name != "market.pay" {
        return Err(ActivityError::retry("AgentError", "busy"));
    }
    let said = match spawn.request.name {
        "ticket.stage" => match args["stage"].as_str().unwrap() {
            "router" => json!({"category": "card", "priority": "low", "confidence": 1, "tags": []}),
            "sentiment" => json!({"sentiment": "neutral", "score": 0, "urgency": "low"}),
            _ => json!({"action": "resolve", "response": "Yes.", "confidence": 1, "reason": "known"}),
        },
        "kb.search" => json!([{"id": "a", "title": "A", "content": "Alpha.", "score": 0.5}]),
        "market.discover" => {
            (0..PRICES.len()).map(|n| json!({"id": n.to_string(), "name": format!("S{n}")})).collect::<Value>()
        }
        "payments.token" => json!("tok"),
        "market.ask" => {
            let (at, pay) = (place(&spawn.id.key), key.replace("/ask", "/pay"));
            let id: usize = args["id"].as_str().unwrap().parse().unwrap();
            assert_eq!(at, id, "a source is asked in its own place");
            let is_paid = PRICES[id] == 0 || charged.borrow().contains(&pay);
            if is_paid { json!({"data": {"n": id}}) } else { json!({"asks": {"dialect": "seed", "price": PRICES[id]}}) }
        }
        "market.pay" => {
            let (is_charged, is_answered) = till(&key, is_broken);
            if is_charged {
                charged.borrow_mut().insert(key);
            }
            if !is_answered {
                let lost = ActivityError::fatal("PaymentError", "no answer").sent();
                return Err(ActivityError { next: Next::Person, ..lost });
            }
            json!({"amount": args["amount"]})
        }
        "model.chat" => json!({"text": "A summary.", "model": "m", "finish": "stop",
            "usage": {"input_tokens": 5, "output_tokens": 5}}),
        other => panic!("{other} has no answer"),
    };
    Ok(said.to_string().into())
}

fn play(seed: u64, runs: Vec<Submit>, faults: Faults, crash_at: Option<u64>) -> Report {
    let core = CoreOptions { abnormal_max: 1_000, ..CoreOptions::default() };
    let (charged, is_broken) = (Rc::new(RefCell::new(BTreeSet::new())), faults.crash > 0);
    let world = World::new(move |spawn, _| answer(spawn, &charged, is_broken));
    let story = Story { seed, runs, faults, crash_at, core };
    let report = tell(story, &registry(), world).unwrap_or_else(|v| panic!("seed {seed}, crash {crash_at:?}: {v}"));
    judge(&report, is_broken, &format!("seed {seed}, crash {crash_at:?}"));
    report
}

/// No payment is sent twice; what the till charged is booked, and what is booked is within the budget.
fn judge(report: &Report, is_broken: bool, name: &str) {
    let mut charged: BTreeMap<String, u64> = BTreeMap::new();
    for (key, requests) in report.world.requests.iter().filter(|(key, _)| key.ends_with("/pay")) {
        assert_eq!(requests.len(), 1, "{name}: {key} was sent {} times", requests.len());
        let args: Value = serde_json::from_slice(&requests[0].args).unwrap();
        if till(key, is_broken).0 {
            *charged.entry(key.split('/').next().unwrap().into()).or_default() += args["amount"].as_u64().unwrap();
        }
    }
    for told in report.journals.iter().map(crate::told::Told::of).filter(|t| t.workflow == research::NAME) {
        let spent =
            told.bodies(Kind::BudgetSpent).into_iter().map(|body| serde_json::from_value::<Spent>(body).unwrap());
        let booked: u64 = spent.map(|s| s.spent.purchases).sum();
        let really = charged.get(&told.id).copied().unwrap_or(0);
        assert!(really <= booked && booked <= BUDGET, "{name}: charged {really}, booked {booked} of {BUDGET}");
    }
}

#[test]
fn sim_the_desk_keeps_its_promises_through_storms() {
    let seeds = std::env::var("TUTTI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(500_u64);
    let mut ended: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..seeds {
        let report = play(seed, vec![ticket(), task(), ticket(), task()], STORM, None);
        for told in report.journals.iter().map(crate::told::Told::of) {
            let is_fine = match told.workflow.as_str() {
                // Whatever its agents do, a ticket that nobody cancels is resolved or escalated.
                tickets::NAME => matches!(told.status, Status::Completed | Status::Cancelled),
                _ => matches!(told.status, Status::Completed | Status::Cancelled | Status::Failed),
            };
            assert!(is_fine, "seed {seed}: {} {:?} {}", told.workflow, told.status, told.error());
            *ended.entry(told.status.as_str()).or_default() += 1;
        }
    }
    println!("{seeds} seeds: {ended:?}");
}

#[test]
fn sim_a_crash_at_every_point_of_the_desk_breaks_no_promise() {
    for submit in [ticket(), task()] {
        let points = play(3, vec![submit.clone()], Faults::default(), None).points;
        for at in 1..=points {
            let report = play(3, vec![submit.clone()], Faults::default(), Some(at));
            assert!(matches!(report.ends[0], None | Some(Status::Completed)), "crash at {at}: {:?}", report.ends);
        }
        println!("{}: {points} crash points", submit.workflow);
    }
}
