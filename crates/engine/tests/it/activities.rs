//! Small workflows that use everything the context offers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect, Outcome, Retry};
use tutti_engine::event::Kind;
use tutti_engine::shard::wire::Spawn;
use tutti_engine::{Ctx, Registry, Result, Traces};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Echo {
    pub text: String,
}

impl Activity for Echo {
    type Output = String;
    const NAME: &'static str = "echo";
    async fn run(self, _: ActivityCx) -> std::result::Result<String, ActivityError> {
        Ok(self.text)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Charge {
    pub cents: u32,
}

impl Activity for Charge {
    type Output = u32;
    const NAME: &'static str = "charge.once";
    const EFFECT: Effect = Effect::AtMostOnce;
    async fn run(self, _: ActivityCx) -> std::result::Result<u32, ActivityError> {
        Ok(self.cents)
    }
}

pub fn echo(text: impl Into<String>) -> Echo {
    Echo { text: text.into() }
}

/// Calls one after the other, with events between.
async fn chain(ctx: Ctx, n: u32) -> Result<String> {
    let mut text = String::from("start");
    for i in 0..n {
        let turn = ctx.scope("turn", i);
        text = turn.call("ask", echo(format!("{text}{i}"))).traces(Traces::Agent).agent("echo").await?;
        turn.emit(Kind::Log, &json!({"turn": i}));
    }
    Ok(text)
}

/// Branches, a race against a timer, pure steps, an at-most-once call, a child, a retry that succeeds.
async fn everything(ctx: Ctx, n: u32) -> Result<Value> {
    let base = ctx.step("base", || 40_u32).await?;
    let items: Vec<u32> = (0..n).collect();
    let doubled = ctx
        .map("item", items, 2, async |ctx, i| {
            let said =
                ctx.call("ask", echo(i.to_string())).retry(Retry { tries_max: 50, first_ms: 10, cap_ms: 100 }).await;
            Ok(said.map_err(|e| e.to_string()))
        })
        .await?;
    let (fast, slow) = (ctx.scope("race", "call"), ctx.scope("race", "timer"));
    let (winner, _) = ctx
        .race(vec![
            Box::pin(async move { fast.call("ask", echo("quick")).await.map(|_| ()) }),
            Box::pin(async move { slow.sleep("nap", Duration::from_millis(30)).await }),
        ])
        .await;
    ctx.sleep("rest", Duration::from_secs(60)).await?;
    let charged = ctx.call("charge", Charge { cents: 5 }).retry(Retry::NEVER).await.map_err(|e| e.to_string());
    let child = ctx.child("helper", "chain", &2).await?;
    Ok(json!({"base": base, "doubled": doubled.len(), "winner": winner, "charged": charged, "child": child}))
}

/// Waits for a signal and for a person.
async fn patient(ctx: Ctx, _: Value) -> Result<Value> {
    let word: Option<String> = ctx.wait_for("word", Some(Duration::from_secs(3600))).await?;
    let verdict = ctx.approval("pay", &json!({"cents": 5}), Some(Duration::from_secs(3600))).await?;
    Ok(json!({"word": word, "verdict": verdict.decision}))
}

pub fn registry() -> Registry {
    Registry::new().with("chain", 1, chain).with("everything", 1, everything).with("patient", 1, patient)
}

/// Echoes, now and then failing in passing.
pub fn answer(spawn: &Spawn, dice: u64) -> Outcome {
    if spawn.request.name == "echo" && dice.is_multiple_of(10) {
        return Err(ActivityError::retry("LlmError", "the line was busy"));
    }
    let args: Value = serde_json::from_slice(&spawn.request.args).unwrap();
    let out = args.get("text").or(args.get("cents")).unwrap();
    Ok(serde_json::to_vec(out).unwrap().into())
}
