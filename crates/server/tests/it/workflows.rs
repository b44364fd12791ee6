//! Small workflows for the routes to run.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError};
use tutti_engine::{Ctx, Registry, Result, Traces};

/// An agent that says what it was told, or never answers, or fails.
#[derive(Serialize, Deserialize)]
struct Agent {
    input: String,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    text: String,
    usage: Value,
}

impl Activity for Agent {
    type Output = Reply;
    const NAME: &'static str = "test.agent";

    async fn run(self, cx: ActivityCx) -> std::result::Result<Reply, ActivityError> {
        if self.input.contains("hang") {
            return std::future::pending().await;
        }
        if self.input.contains("fail") {
            return Err(ActivityError::fatal("LlmError", "the model is gone"));
        }
        if let Some(deltas) = &cx.deltas {
            deltas.push(&self.input);
        }
        Ok(Reply { text: self.input, usage: json!({"input_tokens": 3, "output_tokens": 2, "cost": 500}) })
    }

    fn strip(output: &mut Reply) {
        output.text.clear();
    }

    fn restore(output: &mut Reply, streamed: &str) {
        streamed.clone_into(&mut output.text);
    }
}

/// Asks every agent of the team the same thing; the last answer is the output.
async fn team(ctx: Ctx, input: Value) -> Result<Value> {
    let text = input["input"].as_str().unwrap_or_default();
    let mut output = Value::Null;
    for agent in input["agents"].as_array().into_iter().flatten() {
        let name = agent["name"].as_str().unwrap_or_default();
        let scope = ctx.scope("member", name);
        let call = scope.call("ask", Agent { input: text.into() }).traces(Traces::Agent).agent(name);
        call.about(&json!({"input_from": ["input"]})).await?;
        output = json!({"from": format!("{}/ask", scope.path())});
    }
    Ok(json!({"output": output, "stopped_by": "completed", "iterations": 1}))
}

async fn echo(_: Ctx, input: Value) -> Result<Value> {
    Ok(input)
}

async fn hang(ctx: Ctx, _: Value) -> Result<String> {
    Ok(ctx.call("ask", Agent { input: "hang".into() }).await?.text)
}

/// Waits for a signal, then for a person.
async fn patient(ctx: Ctx, _: Value) -> Result<Value> {
    let word: Option<Value> = ctx.wait_for("word", None).await?;
    let verdict = ctx.approval("pay", &json!({"cents": 5}), None).await?;
    Ok(json!({"word": word, "by": verdict.by, "decision": verdict.decision}))
}

/// Answers with what was said before, and its input.
async fn hears(ctx: Ctx, input: String) -> Result<String> {
    let said: Vec<_> = ctx.history().iter().map(|said| said.text.clone()).collect();
    Ok(format!("{}+{input}", said.join(",")))
}

/// Asks a person twice, with a form, one after the other.
async fn form(ctx: Ctx, _: Value) -> Result<Value> {
    let schema = json!({"type": "object", "required": ["cents"], "properties": {"cents": {"type": "integer"}}});
    let first = ctx.approval("first", &json!({"act": "pay", "schema": schema}), None).await?;
    ctx.approval("second", &json!({"act": "pay again"}), Some(std::time::Duration::from_secs(3_600))).await?;
    Ok(json!(first.input))
}

pub fn registry() -> Registry {
    Registry::new()
        .with("sequential", 1, team)
        .with("concurrent", 1, team)
        .with("echo", 1, echo)
        .with("hang", 1, hang)
        .with("patient", 1, patient)
        .with("hears", 1, hears)
        .with("form", 1, form)
}
