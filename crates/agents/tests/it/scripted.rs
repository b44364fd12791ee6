//! The scripted and the offline model through the activity.

use crate::server::{ask, question};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tutti_agents::model::scripted::{Rule, Script, Then, When};
use tutti_agents::model::{ChatMessage, ChatRequest, Finish, Provider};
use tutti_engine::activity::Next;

#[tokio::test]
async fn rules_match_by_message_agent_and_count() {
    let rule = |last: Option<&str>, agent: Option<&str>, nth, then| Rule {
        when: When { last_contains: last.map(Into::into), agent: agent.map(Into::into), nth },
        then,
    };
    let script = Arc::new(Script::new(vec![
        rule(Some("card"), None, Some(2), Then::Error { status: 429, retry_after: Some("3".into()) }),
        rule(Some("card"), None, None, Then::Reply("A card.".into())),
        rule(None, Some("critic"), None, Then::CallTools(vec![("find".into(), json!({"q": 1}))])),
    ]));
    let ask = ask("rules", Provider::scripted(script.clone()));
    assert_eq!(ask.say("my card").await.unwrap().text, "A card.");
    assert_eq!(ask.say("my card").await.unwrap_err().next, Next::Retry { after_ms: Some(3_000) });
    assert_eq!(ask.say("my card").await.unwrap().text, "A card.");
    assert_eq!(ask.say("else").await.unwrap().text, "else", "no rule: an echo");
    let mut request = question("else");
    request.messages.insert(0, ChatMessage::system("You are the critic."));
    let reply = ask.request(request).await.unwrap();
    assert_eq!((reply.finish, reply.tool_calls[0].name.as_str()), (Finish::ToolCalls, "find"));
    assert_eq!(script.seen().len(), 5);
    assert_eq!(script.seen()[0].idempotency_key.as_deref(), Some("run-1/ask"));
}

#[tokio::test]
async fn faults_are_the_faults_of_a_real_provider() {
    let thens = vec![
        Then::Garbage,
        Then::BrokenJson,
        Then::Drop("one two three four".into()),
        Then::Error { status: 500, retry_after: None },
        Then::Hang,
        Then::Delay(5_000, Box::new(Then::Echo)),
        Then::Reply("one two".into()),
    ];
    for streamed in [false, true] {
        let provider = Provider::scripted(Arc::new(Script::steps(thens.clone())));
        let ask = ask(&format!("faults-{streamed}"), Provider { timeout: Duration::from_millis(20), ..provider });
        let ask = if streamed { ask.streamed() } else { ask };
        for (n, _) in thens.iter().enumerate().take(6) {
            let error = ask.say("?").await.unwrap_err();
            assert!(error.is_retryable(), "{n}: {error}");
        }
        assert_eq!(ask.say("?").await.unwrap().text, "one two");
        assert_eq!(
            ask.pieces.text(),
            if streamed { "one two three one two" } else { "" },
            "a dropped stream had begun"
        );
    }
}

#[test]
fn a_script_can_be_written_as_json() {
    let text = r#"[{"when":{"last_contains":"x","nth":1},"then":{"error":{"status":503}}},{"then":{"delay":[5,"garbage"]}},{"then":"echo"}]"#;
    let rules: Vec<Rule> = serde_json::from_str(text).unwrap();
    assert!(matches!(&rules[1].then, Then::Delay(5, then) if matches!(**then, Then::Garbage)));
}

#[tokio::test]
async fn the_offline_model_streams_words_and_fills_forms() {
    let ask = ask("offline-it", Provider { base_url: "http://127.0.0.1:1".into(), ..Provider::offline() }).streamed();
    let reply = ask.say("Where is my card?").await.unwrap();
    assert_eq!((ask.pieces.text(), reply.model.as_str()), (reply.text.clone(), "tutti-offline"));
    assert!(ask.pieces.count() > 3);
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"enum": ["card", "cash"]}}});
    let form = ChatRequest { output_schema: Some(schema), ..question("Where is my card?") };
    assert_eq!(ask.request(form).await.unwrap().output, Some(json!({"a": "card"})));
    let never = ChatRequest { output_schema: Some(json!({"not": {}})), ..question("?") };
    let error = ask.request(never).await.unwrap_err();
    assert!(error.next == Next::Never && error.message.contains("offline model cannot fill"), "{error}");
}
