use super::*;
use serde_json::json;

fn entry(seq: u32, at: i64, kind: Kind, key: &str, body: Value) -> Entry {
    Entry { seq, at: Time(at), kind, key: key.into(), body: body.to_string().into() }
}

fn asked(seq: u32, at: i64, agent: &str) -> Entry {
    let about = json!({"input_from": ["input"]});
    let body = json!({"activity": "model.chat", "effect": "idempotent", "agent": agent, "about": about});
    entry(seq, at, Kind::AgentStarted, &format!("member[{agent}]/ask"), body)
}

fn queued() -> Entry {
    let body =
        json!({"run_id": "0190b5a0-0000-7000-8000-000000000000", "workflow": "sequential", "input": {"input": "why?"}});
    entry(1, 1_000, Kind::RunQueued, "", body)
}

fn digest(entries: &[Entry]) -> Digest {
    let mut digest = Digest::default();
    entries.iter().for_each(|e| digest.take(e));
    digest.finish()
}

fn result(entries: &[Entry]) -> Value {
    let digest = digest(entries);
    let run = Run { workflow: "sequential".into(), status: "running", ..Run::default() };
    json!(Orchestration::of(&run, digest))
}

#[test]
fn a_team_that_answered() {
    let reply = |text: &str, cost: Option<u64>| json!({"output": {"text": text, "usage": {"input_tokens": 10, "output_tokens": 4, "cost": cost}}});
    let entries = [
        queued(),
        entry(2, 1_001, Kind::RunStarted, "", Value::Null),
        asked(3, 1_010, "facts"),
        entry(4, 1_500, Kind::AgentMessage, "member[facts]/ask", reply("a list", Some(500_000))),
        asked(5, 1_510, "writer"),
        entry(6, 1_600, Kind::AgentDelta, "member[writer]/ask", json!({"attempt": 1, "offset": 0, "text": "Dear"})),
        entry(
            7,
            2_010,
            Kind::AgentMessage,
            "member[writer]/ask",
            json!({"output": {"usage": {"input_tokens": 1, "output_tokens": 2, "cost": 250000}}, "streamed_from": 6, "text": "Dear customer"}),
        ),
        entry(
            8,
            2_020,
            Kind::RunCompleted,
            "",
            json!({"output": {"output": {"from": "member[writer]/ask"}, "stopped_by": "completed", "iterations": 1}}),
        ),
    ];
    let found = result(&entries);
    assert_eq!(found["status"], "completed");
    assert_eq!(
        (&found["output"], &found["stopped_by"], &found["iterations"]),
        (&json!("Dear customer"), &json!("completed"), &json!(1))
    );
    assert_eq!(found["usage"], json!({"tokens": 17, "input_tokens": 11, "output_tokens": 6, "cost": 750_000}));
    assert_eq!(found["steps"][0]["agent"], "facts");
    assert_eq!(found["steps"][0]["input"], "why?");
    assert_eq!(found["steps"][0]["took_ms"], 490);
    assert_eq!(found["steps"][1]["output"], "Dear customer");
    assert!(found.get("error").is_none());
    let digest = digest(&entries);
    assert_eq!(digest.started_at.unwrap().0, Time(1_001));
    assert_eq!(digest.ended_at.unwrap().0, Time(2_020));
}

#[test]
fn a_team_whose_member_failed() {
    let error = json!({"class": "LlmError", "message": "the model timed out", "next": "never"});
    let entries = [
        queued(),
        asked(2, 10, "facts"),
        entry(3, 40, Kind::AgentFailed, "member[facts]/ask", json!({"error": error, "attempts": 4, "agent": "facts"})),
        entry(
            4,
            41,
            Kind::RunFailed,
            "",
            json!({"error": {"class": "LlmError", "message": "the model timed out", "agent": "facts"}}),
        ),
    ];
    let found = result(&entries);
    assert_eq!(
        (&found["status"], &found["stopped_by"], &found["output"]),
        (&json!("failed"), &json!("error"), &Value::Null)
    );
    assert_eq!(found["error"]["agent"], "facts");
    assert_eq!(found["steps"][0]["error"]["class"], "LlmError");
    assert_eq!(found["usage"]["cost"], 0);
}

#[test]
fn an_unpriced_call_makes_the_cost_unknown() {
    let entries = [
        queued(),
        asked(2, 10, "a"),
        entry(3, 20, Kind::AgentMessage, "member[a]/ask", json!({"output": "plain text"})),
    ];
    let found = result(&entries);
    assert_eq!(found["usage"]["cost"], Value::Null);
    assert_eq!(found["steps"][0]["output"], "plain text");
    assert_eq!(found["status"], "running", "the journal has not said more");
}

#[test]
fn blocked_erased_and_reopened_journals_are_read() {
    let mut entries =
        vec![queued(), entry(2, 5, Kind::RunBlocked, "", json!({"reason": "poison", "message": "five abnormal ends"}))];
    let found = result(&entries);
    assert_eq!((&found["status"], &found["stopped_by"]), (&json!("blocked"), &json!("blocked")));
    assert_eq!(found["error"]["message"], "blocked (poison): five abnormal ends");
    entries.push(entry(3, 6, Kind::EngineReopened, "", json!({})));
    entries.push(entry(4, 7, Kind::AgentStarted, "x", json!({"erased": true})));
    assert_eq!(result(&entries)["status"], "running");
}
