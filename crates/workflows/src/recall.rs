//! What a run says in its conversation: its question and its answer, read from its journal. And how a later run hears it.

use crate::graph;
use crate::outcome::{Outcome, Output};
use crate::patterns::{PatternInput, find};
use crate::task;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::agent::AgentDefinition;
use tutti_agents::team::{Message, Source, Team, value_of};
use tutti_agents::turn::Turn;
use tutti_engine::Ctx;
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{ChildCompleted, Completed, Ended, Queued, SessionRead};
use tutti_engine::session::{Said, Speaker, Turns, tokens_of};

/// The step that holds a run's summary of what was said before it.
const SUMMARY_KEY: &str = "compact[1]/ask";

/// What an entry answers that outcomes may point at: an agent's message (streamed text is put back), a value that a step
/// computed (what a person said among them), a child's output; `None` for any other entry.
#[must_use]
pub fn answer(entry: &Entry) -> Option<Value> {
    match entry.kind {
        Kind::AgentMessage => {}
        Kind::StepValue => return serde_json::from_slice(&entry.body).ok(),
        Kind::ChildCompleted => {
            let ended: ChildCompleted = serde_json::from_slice(&entry.body).ok()?;
            let output: Value = serde_json::from_str(ended.output?.get()).ok()?;
            return Some(output.pointer("/output/value").cloned().unwrap_or(output));
        }
        _ => return None,
    }
    let done: Completed = serde_json::from_slice(&entry.body).ok()?;
    let output: Value = serde_json::from_str(done.output.get()).ok()?;
    if !output.is_object() {
        return Some(output);
    }
    let body: Value = serde_json::from_slice(&entry.body).ok()?;
    Some(value_of(&output, body["text"].as_str()))
}

/// The question and the answer of a completed run; what is empty is left out, and so is what was erased.
#[must_use]
pub fn recall(journal: &[Entry]) -> Vec<Said> {
    let (Some(first), Some(last)) = (journal.first(), journal.last()) else { return Vec::new() };
    let Ok(queued) = serde_json::from_slice::<Queued>(&first.body) else { return Vec::new() };
    let said = |role, agent, text, at| Said { role, agent, text, run_id: queued.run_id, at, stands_for: None };
    let summary = journal.iter().filter(|e| e.key == SUMMARY_KEY).find_map(answer);
    let summary = said(Speaker::Summary, None, summary.as_ref().map(text).unwrap_or_default(), first.at);
    let summary = Said { stands_for: read_turns(journal), ..summary };
    let question = said(Speaker::User, None, question(&queued), first.at);
    let (agent, text) = conclusion(journal, last);
    let answer = said(Speaker::Assistant, agent, text, last.at);
    [summary, question, answer].into_iter().filter(|said| !said.text.is_empty()).collect()
}

/// The turns that the run read before it summed them up.
fn read_turns(journal: &[Entry]) -> Option<Turns> {
    let note = journal.iter().find(|e| e.kind == Kind::EngineSession)?;
    let SessionRead { head, from, skip } = serde_json::from_slice(&note.body).ok()?;
    Some(Turns { from, to: head, skip })
}

fn question(queued: &Queued) -> String {
    let input: Value = serde_json::from_str(queued.input.get()).unwrap_or_default();
    if queued.workflow == task::NAME {
        return serde_json::from_value::<task::Input>(input).map_or_else(|_| String::new(), |input| input.text());
    }
    if queued.workflow == graph::NAME {
        let asked = &input["input"];
        return text(asked.get("prompt").unwrap_or(asked));
    }
    if find(&queued.workflow).is_none() {
        return text(&input);
    }
    let asked = json!({"input": input["input"], "agents": []});
    serde_json::from_value::<PatternInput<Value>>(asked).map_or_else(|_| String::new(), |input| input.text().into())
}

/// The output, with answers in the place of references to them, and who gave it.
fn conclusion(journal: &[Entry], last: &Entry) -> (Option<String>, String) {
    let ended = Some(last).filter(|e| e.kind == Kind::RunCompleted);
    let output = ended.and_then(|e| serde_json::from_slice::<Ended>(&e.body).ok()).and_then(|ended| ended.output);
    let Some(output) = output else { return (None, String::new()) };
    let Ok(outcome) = serde_json::from_str::<Outcome>(output.get()) else {
        return (None, text(&serde_json::from_str(output.get()).unwrap_or_default()));
    };
    let answers: BTreeMap<&str, Value> = journal.iter().filter_map(|e| Some((e.key.as_str(), answer(e)?))).collect();
    let agent = match &outcome.output {
        Output::From(key) => journal.iter().rev().find(|e| e.key == *key && e.kind == Kind::AgentMessage),
        _ => None,
    };
    let agent = agent.and_then(|e| serde_json::from_slice::<Completed>(&e.body).ok()?.agent);
    let output = outcome.resolve(|key| answers.get(key).cloned());
    // What a graph says besides its response is not for the conversation.
    (agent, text(output.get("response").unwrap_or(&output)))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What was said in the run's session before it, oldest first, as a team hears it.
#[must_use]
pub fn earlier(ctx: &Ctx) -> Vec<Message> {
    let history = ctx.history();
    let message = |said: &Said| {
        let from = match said.role {
            Speaker::User | Speaker::Summary => "user".into(),
            Speaker::Assistant => said.agent.clone().unwrap_or_else(|| "assistant".into()),
        };
        let head =
            if said.role == Speaker::Summary { "What was said in this conversation before, summed up:\n" } else { "" };
        Message { from: Some(from), text: format!("{head}{}", said.text), value: None, source: Source::History }
    };
    history.iter().map(message).collect()
}

/// Whether what was read fills three quarters of the window: then it is time to sum it up, before anything falls out.
#[must_use]
pub fn is_due(ctx: &Ctx) -> bool {
    let (terms, history) = (ctx.terms(), ctx.history());
    let tokens: u32 = history.iter().map(|said| tokens_of(&said.text)).fold(0, u32::saturating_add);
    let messages = u32::try_from(history.len()).unwrap_or(u32::MAX);
    terms.summarise && (messages > terms.window.messages / 4 * 3 || tokens > terms.window.tokens / 4 * 3)
}

/// Sums up what was read of the session. The next runs read the summary in the place of everything before this run; a
/// summary that cannot be had is left out, and then what leaves the window is dropped.
pub async fn sum_up(ctx: &Ctx, team: &Team) {
    let history = ctx.history();
    let (Some(first), Some(last)) = (history.first(), history.last()) else { return };
    let order = format!(
        "Sum this conversation up for those who carry it on: what was asked, answered, decided and left open, with names, \
         numbers and dates as they were said. Begin with: Messages 1 to {} (runs {} to {}).",
        history.len(),
        first.run_id.0,
        last.run_id.0
    );
    let member = team.hire(AgentDefinition::llm("summary", "You sum conversations up, exactly and briefly."));
    let scope = ctx.scope("compact", 1);
    // The conversation stands before every turn of this team already.
    let turn = Turn { order: Some(&order), ..Turn::default() };
    if let Err(e) = Box::pin(member.turn(&scope, turn)).await {
        ctx.emit(Kind::Log, &json!({"message": format!("the conversation could not be summed up: {e}")}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_engine::run::Time;

    fn entry(seq: u32, kind: Kind, key: &str, body: Value) -> Entry {
        Entry { seq, at: Time(i64::from(seq)), kind, key: key.into(), body: body.to_string().into() }
    }

    fn queued(workflow: &str, input: &Value) -> Entry {
        let run_id = "01938a00-0000-7000-8000-000000000001";
        entry(1, Kind::RunQueued, "", json!({"run_id": run_id, "workflow": workflow, "input": input}))
    }

    fn texts(journal: &[Entry]) -> Vec<(Option<String>, String)> {
        recall(journal).into_iter().map(|said| (said.agent, said.text)).collect()
    }

    #[test]
    fn a_pattern_says_its_question_and_its_answer() {
        let journal = [
            queued("sequential", &json!({"input": "why?", "agents": [], "options": {}})),
            entry(2, Kind::AgentMessage, "a/ask", json!({"output": {"text": ""}, "text": "so", "agent": "a"})),
            entry(3, Kind::AgentMessage, "b/ask", json!({"output": {"text": "because"}, "agent": "b"})),
            entry(
                4,
                Kind::RunCompleted,
                "",
                json!({"output": {"output": {"from": "b/ask"}, "stopped_by": "completed", "iterations": 1}}),
            ),
        ];
        assert_eq!(texts(&journal), [(None, "why?".into()), (Some("b".into()), "because".into())]);
        assert_eq!(answer(&journal[1]), Some(json!("so")));
        let last = recall(&journal).pop().unwrap();
        assert_eq!((last.role, last.at), (Speaker::Assistant, Time(4)));
    }

    #[test]
    fn what_a_person_or_a_nested_team_said_is_heard_later() {
        let end = |from: &str| {
            let output = json!({"output": {"from": from}, "stopped_by": "completed", "iterations": 1});
            entry(9, Kind::RunCompleted, "", json!({ "output": output }))
        };
        let asked = || queued("sequential", &json!({"input": "why?", "agents": []}));
        let person = [asked(), entry(2, Kind::StepValue, "ann/said", json!("I think so.")), end("ann/said")];
        assert_eq!(texts(&person)[1], (None, "I think so.".into()));
        let child = json!({"key": "p/run", "run_id": "01938a00-0000-7000-8000-000000000002", "status": "completed",
            "output": {"output": {"value": "all agree"}, "stopped_by": "completed", "iterations": 1}});
        let nested = [asked(), entry(2, Kind::ChildCompleted, "p/run", child), end("p/run")];
        assert_eq!(texts(&nested)[1], (None, "all agree".into()));
    }

    #[test]
    fn a_summary_cites_the_turns_that_it_stands_for() {
        let note = json!({"head": 9, "from": 3, "skip": [5]});
        let output = json!({"output": {"value": "y"}, "stopped_by": "completed", "iterations": 1});
        let journal = [
            queued("sequential", &json!({"input": "x", "agents": []})),
            entry(2, Kind::EngineSession, "", note),
            entry(3, Kind::AgentMessage, SUMMARY_KEY, json!({"output": {"text": "All of it."}, "agent": "summary"})),
            entry(4, Kind::RunCompleted, "", json!({ "output": output })),
        ];
        let said = recall(&journal);
        assert_eq!((said[0].role, said[0].text.as_str()), (Speaker::Summary, "All of it."));
        assert_eq!(said[0].stands_for, Some(Turns { from: 3, to: 9, skip: vec![5] }));
        assert!(said[1..].iter().all(|said| said.stands_for.is_none()));
    }

    #[test]
    fn any_other_workflow_says_what_it_was_given_and_gave() {
        let end = |output| entry(2, Kind::RunCompleted, "", json!({"output": output}));
        let journal = [queued("noop", &json!({"steps": 1})), end(json!("done"))];
        assert_eq!(texts(&journal), [(None, r#"{"steps":1}"#.into()), (None, "done".into())]);
        assert_eq!(texts(&[queued("noop", &Value::Null), end(Value::Null)]), []);
        assert_eq!(
            texts(&[queued("noop", &json!("x")), entry(2, Kind::RunFailed, "", json!({}))]),
            [(None, "x".into())]
        );
        assert_eq!(texts(&[entry(1, Kind::RunQueued, "", json!({"erased": true}))]), []);
    }
}
