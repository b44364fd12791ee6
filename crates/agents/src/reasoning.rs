//! Ways of thinking: how a language model goes about one turn.

use crate::model::{ChatMessage, ChatReply};
use crate::team::text_of;
use crate::turn::{Said, Talk, step_key};
use serde_json::{Value, json};
use tutti_engine::Result;

/// Most steps of a plan.
const STEPS_MAX: usize = 6;
/// Most revisions of a draft.
const REVISIONS_MAX: usize = 2;
/// What divides thoughts from the answer.
const MARK: &str = "ANSWER:";

/// Thoughts first, then the answer; only the answer is said.
pub(crate) async fn chain_of_thought(mut talk: Talk<'_>) -> Result<Said> {
    // An answer in a given form has no room for thoughts before it.
    if talk.request.output_schema.is_some() {
        return talk.answer().await;
    }
    order(
        &mut talk,
        &format!("Think step by step first. Then write a line that says {MARK} and after it nothing but your answer."),
    );
    let reply = talk.until_answer().await?;
    let text = text_of(&reply);
    match text.rsplit_once(MARK) {
        Some((_, answer)) if reply.output.is_none() && !answer.trim().is_empty() && reply.tool_calls.is_empty() => {
            let answer = answer.trim().to_owned();
            let answer = talk.ctx.step("answer", || answer).await?;
            let step = step_key(talk.ctx, "answer");
            Ok(talk.end_as(answer, None, step, None))
        }
        _ => Ok(talk.end(&reply)),
    }
}

/// Reason, act, look: a sentence of thought before each tool call.
pub(crate) async fn react(mut talk: Talk<'_>) -> Result<Said> {
    order(
        &mut talk,
        "Work in small steps: say in one sentence what you need to find out, call one tool for it, look at what it \
         returned, and go on until you can answer. Then answer without calling a tool.",
    );
    talk.answer().await
}

/// A plan, each of its steps, then the answer.
pub(crate) async fn plan_and_execute(mut talk: Talk<'_>) -> Result<Said> {
    let (own, tools) = (talk.request.output_schema.take(), std::mem::take(&mut talk.request.tools));
    order(&mut talk, "First write a short plan: the steps that lead to the answer, in order.");
    talk.request.output_schema = Some(json!({"type": "object", "required": ["steps"], "properties": {
        "steps": {"type": "array", "minItems": 1, "maxItems": STEPS_MAX, "items": {"type": "string"}}}}));
    let plan = talk.ask().await?;
    talk.request.output_schema = None;
    talk.request.tools = tools;
    let steps = plan.output.as_ref().and_then(|o| o["steps"].as_array()).cloned().unwrap_or_default();
    heard(&mut talk, &plan);
    for step in steps.iter().filter_map(Value::as_str).take(STEPS_MAX) {
        order(&mut talk, &format!("Carry out this step and say what came of it: {step}"));
        let reply = talk.until_answer().await?;
        if !reply.tool_calls.is_empty() {
            return Ok(talk.end(&reply));
        }
        heard(&mut talk, &reply);
    }
    order(&mut talk, "Now give your answer to the task itself, and nothing else.");
    talk.request.output_schema = own;
    talk.answer().await
}

/// A draft, its criticism, a revision.
pub(crate) async fn reflection(mut talk: Talk<'_>) -> Result<Said> {
    let own = talk.request.output_schema.clone();
    let mut draft = talk.until_answer().await?;
    for _ in 0..REVISIONS_MAX {
        if !draft.tool_calls.is_empty() {
            break;
        }
        let step = talk.last_step();
        heard(&mut talk, &draft);
        let tools = std::mem::take(&mut talk.request.tools);
        order(&mut talk, "Criticise your answer: what is wrong, missing or unclear in it?");
        talk.request.output_schema = Some(json!({"type": "object", "required": ["is_good", "criticism"],
            "properties": {"is_good": {"type": "boolean"}, "criticism": {"type": "string"}}}));
        let verdict = talk.ask().await;
        talk.request.output_schema.clone_from(&own);
        talk.request.tools = tools;
        // A draft without a critic is still an answer.
        let Ok(verdict) = verdict else { return Ok(talk.end_as(text_of(&draft), draft.output, step, None)) };
        if verdict.output.as_ref().is_some_and(|o| o["is_good"] == true) {
            return Ok(talk.end_as(text_of(&draft), draft.output, step, None));
        }
        heard(&mut talk, &verdict);
        order(&mut talk, "Answer again with this criticism met, and say nothing about the criticism.");
        draft = talk.until_answer().await?;
    }
    Ok(talk.end(&draft))
}

fn order(talk: &mut Talk<'_>, text: &str) {
    talk.request.messages.push(ChatMessage::user(text));
}

fn heard(talk: &mut Talk<'_>, reply: &ChatReply) {
    talk.request.messages.push(ChatMessage::assistant(text_of(reply)));
}
