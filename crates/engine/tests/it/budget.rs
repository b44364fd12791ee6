//! The budget of a run tree: through storms and crashes the world is never owed more than the limit.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Outcome, Retry};
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Queued, Spent};
use tutti_engine::journal::{Frame, decode_part};
use tutti_engine::run::{Status, Submit};
use tutti_engine::shard::core::CoreOptions;
use tutti_engine::sim::{Faults, Report, Story, Violation, World, tell};
use tutti_engine::{Amounts, Ctx, Limits, Need, Registry, Result, Share};

/// What one call holds.
const EACH: u64 = 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Paid;

impl Activity for Paid {
    type Output = u64;
    const NAME: &'static str = "paid";
    async fn run(self, _: ActivityCx) -> std::result::Result<u64, ActivityError> {
        Ok(EACH)
    }
    fn spent(output: &u64) -> Option<Amounts> {
        Some(tokens(*output))
    }
}

fn tokens(tokens: u64) -> Amounts {
    Amounts { tokens, ..Amounts::default() }
}

async fn pay(ctx: &Ctx, share: Share) -> Result<u64> {
    let grant = ctx.reserve("budget", Need { want: tokens(EACH), least: tokens(EACH), share, siblings: 1 })?;
    let retry = Retry { tries_max: 4, first_ms: 5, cap_ms: 20 };
    ctx.call("pay", Paid).retry(retry).paid_by(grant).await
}

/// So many calls at once, then one that is abandoned, two children, and a closing one.
async fn spender(ctx: Ctx, n: u32) -> Result<Value> {
    let work = async |ctx: Ctx, _: u32| Ok(pay(&ctx, Share::Ordinary).await.is_ok());
    let paid = ctx.map("item", (0..n).collect(), usize::MAX, work).await?;
    let (fast, slow) = (ctx.scope("race", "timer"), ctx.scope("race", "call"));
    ctx.race(vec![
        Box::pin(async move { fast.sleep("nap", Duration::from_millis(3)).await }),
        Box::pin(async move { pay(&slow, Share::Ordinary).await.map(|_| ()) }),
    ])
    .await
    .1
    .ok();
    if ctx.depth() == 0 {
        let child = async |ctx: Ctx, left: u32| Ok(ctx.child("child", "spender", &2).allot(left, None).await.is_ok());
        ctx.map("child", vec![2, 1], 2, child).await?;
    }
    let closing = pay(&ctx.scope("closing", 1), Share::Closing).await.is_ok();
    Ok(json!({"paid": paid.iter().filter(|p| **p).count(), "closing": closing}))
}

/// So many calls at once: when one of them fails, the others are dropped while they are under way. Then so many again that
/// are dropped at once, in the very poll that ends the run.
async fn impatient(ctx: Ctx, n: u32) -> Result<Value> {
    let work = async |ctx: Ctx, _: u32| pay(&ctx, Share::Ordinary).await;
    let paid = ctx.map("item", (0..n).collect(), usize::MAX, work).await;
    let (fast, slow) = (ctx.scope("last", "fast"), ctx.scope("last", "slow"));
    let (_, first) = ctx
        .race(vec![
            Box::pin(async move { pay(&fast, Share::Closing).await }),
            Box::pin(async move { pay(&slow, Share::Closing).await }),
        ])
        .await;
    Ok(json!({"paid": paid.is_ok(), "first": first.is_ok()}))
}

fn registry() -> Registry {
    Registry::new().with("spender", 1, spender).with("impatient", 1, impatient)
}

/// What the other side makes of a request: a matter of the request, so that its books can be made up afterwards.
enum Bill {
    /// It answers, and bills this.
    Answers(u64),
    /// It bills all, and its answer gets lost.
    Loses,
    /// It refuses, and bills nothing.
    Refuses,
}

fn bill(key: &str, attempt: u32, is_broken: bool) -> Bill {
    let dice = key
        .bytes()
        .fold(u64::from(attempt), |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23));
    match dice % 6 {
        0 if is_broken => Bill::Refuses,
        1 if is_broken => Bill::Loses,
        _ => Bill::Answers(dice / 6 % (EACH + 1)),
    }
}

fn world(is_broken: bool) -> World {
    World::new(move |spawn, _| -> Outcome {
        match bill(spawn.idempotency_key.as_deref().unwrap_or_default(), spawn.id.attempt, is_broken) {
            Bill::Answers(amount) => Ok(amount.to_string().into()),
            Bill::Loses => Err(ActivityError::retry("LlmError", "the answer was cut off").sent()),
            Bill::Refuses => Err(ActivityError::retry("LlmError", "busy")),
        }
    })
}

/// The world's own books: every request that reached it is billed, whatever became of its answer.
fn billed(world: &World, is_broken: bool) -> u64 {
    let all = world.requests.iter().flat_map(|(key, requests)| requests.iter().map(move |r| (key, r.attempt)));
    all.map(|(key, attempt)| match bill(key, attempt, is_broken) {
        Bill::Answers(amount) => amount,
        Bill::Loses => EACH,
        Bill::Refuses => 0,
    })
    .sum()
}

fn play(workflow: &str, seed: u64, limit: u64, n: u32, faults: Faults, crash_at: Option<u64>) -> (Report, u64) {
    let budget = Some(Limits { tokens: Some(limit), cost: None, purchases: None });
    let submit = Submit { budget, ..Submit::new(workflow, Bytes::from(n.to_string())) };
    let core = CoreOptions { abnormal_max: 1_000, ..CoreOptions::default() };
    let story = Story { seed, runs: vec![submit], faults, crash_at, core };
    let is_broken = faults.crash > 0;
    let report = tell(story, &registry(), world(is_broken));
    let report = report.unwrap_or_else(|v: Violation| panic!("{workflow}, seed {seed}, crash {crash_at:?}: {v}"));
    let billed = billed(&report.world, is_broken);
    (report, billed)
}

fn frames(report: &Report, at: usize) -> Vec<Frame> {
    let part = |r: &tutti_engine::ports::store::Row| decode_part(r.at, r.first, r.last - r.first + 1, &r.body).unwrap();
    report.journals[at].1.iter().flat_map(part).collect()
}

/// Every reservation is closed exactly once, and what was booked is within the run's limit. Answers what was booked.
fn audit(frames: &[Frame], seed: u64) -> u64 {
    let queued: Queued = serde_json::from_slice(frames[0].body.text()).unwrap();
    let limit = queued.budget.and_then(|b| b.tokens).unwrap();
    let mut held: BTreeMap<&str, u32> = BTreeMap::new();
    let mut booked = 0;
    for frame in frames {
        match frame.kind {
            Kind::BudgetReserved => *held.entry(&frame.key).or_default() += 1,
            Kind::BudgetSpent => {
                let spent: Spent = serde_json::from_slice(frame.body.text()).unwrap();
                booked += spent.spent.tokens;
                if !spent.is_open {
                    *held
                        .get_mut(&*frame.key)
                        .unwrap_or_else(|| panic!("seed {seed}: {} was never held", frame.key)) -= 1;
                }
            }
            _ => {}
        }
    }
    assert!(held.values().all(|n| *n == 0), "seed {seed}: still held {held:?}");
    assert!(booked <= limit, "seed {seed}: {booked} of {limit}");
    booked
}

#[test]
fn sim_a_budget_holds_through_storms_and_every_crash() {
    // No stolen runs: that a stale owner sends nothing more is the lease's promise, not the ledger's.
    let storm = Faults { crash: 10, unknown: 20, steal: 0, twice: 100, cancel: 3 };
    let seeds = std::env::var("TUTTI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300_u64);
    let check = |report: &Report, billed: u64, limit: u64, name: &str| {
        for (at, (row, _)) in report.journals.iter().enumerate().filter(|(_, (row, _))| row.status.is_terminal()) {
            let booked = audit(&frames(report, at), 0);
            // The tree has one root, and what children spent is in its books.
            assert!(row.parent.is_some() || billed <= booked, "{name}: the world billed {billed}, booked is {booked}");
        }
        assert!(billed <= limit, "{name}: the world is owed {billed} of {limit}");
    };
    let mut points = 0;
    for workflow in ["spender", "impatient"] {
        for seed in 0..seeds {
            let limit = 20 + seed % 15 * 20;
            let (report, billed) = play(workflow, seed, limit, 6, storm, None);
            check(&report, billed, limit, &format!("{workflow}, seed {seed}"));
        }
        for (seed, limit) in [(3, 120), (4, 40), (5, 60)] {
            let all = play(workflow, seed, limit, 4, Faults::default(), None).0.points;
            for at in 1..=all {
                let (report, billed) = play(workflow, seed, limit, 4, Faults::default(), Some(at));
                check(&report, billed, limit, &format!("{workflow} of {limit}, crash at {at}"));
            }
            points += all;
        }
    }
    println!("{points} crash points");
}

#[test]
fn two_hundred_at_once_with_room_for_ten_let_out_ten() {
    // 112 of which a tenth, rounded up, is kept for the closing answer.
    let (report, _) = play("spender", 1, 112, 200, Faults::default(), None);
    assert_eq!(report.ends[0], Some(Status::Completed));
    let all = frames(&report, 0);
    let first_answer = all.iter().position(|f| f.kind == Kind::StepCompleted).unwrap();
    let left = all[..first_answer].iter().filter(|f| f.kind == Kind::StepStarted).count();
    let refused: Vec<_> = all[..first_answer].iter().filter(|f| f.kind == Kind::BudgetRefused).collect();
    assert_eq!((left, refused.len()), (10, 190));
    let why: Value = serde_json::from_slice(refused[0].body.text()).unwrap();
    assert_eq!(why, json!({"account": "run", "unit": "tokens", "limit": 112, "left": 0, "need": 10}));
}

#[test]
fn a_run_without_a_budget_writes_nothing_about_it() {
    let submit = Submit::new("spender", Bytes::from_static(b"3"));
    let core = CoreOptions::default();
    let story = Story { seed: 1, runs: vec![submit], faults: Faults::default(), crash_at: None, core };
    let report = tell(story, &registry(), world(false)).unwrap();
    let about = |f: &Frame| matches!(f.kind, Kind::BudgetReserved | Kind::BudgetSpent | Kind::BudgetRefused);
    assert!(!frames(&report, 0).iter().any(about));
    assert!(!String::from_utf8_lossy(frames(&report, 0)[0].body.text()).contains("budget"));
}
