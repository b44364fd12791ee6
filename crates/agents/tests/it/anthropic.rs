//! The Messages API over a real connection: whole, streamed, cut short.

use crate::server::{Answer, Ask, Server, answer, ask, json, pieces, serve, serve_cut};
use serde_json::{Value, json};
use tutti_agents::model::{ChatMessage, ChatRequest, Finish, Provider, ToolCall, ToolSpec, Usage};
use tutti_engine::activity::Next;

async fn asking(name: &str, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Server, Ask) {
    let server = serve(answer).await;
    let provider = provider(&server.base_url);
    (server, ask(name, provider))
}

fn provider(base_url: &str) -> Provider {
    Provider::anthropic(base_url, Some("sk-ant-test".to_owned().into()), Some("c-1".into()))
}

fn message(content: &Value, stop: &str) -> String {
    let usage = json!({"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 7});
    json!({"type": "message", "role": "assistant", "model": "c-1-2026", "content": content, "stop_reason": stop, "usage": usage})
        .to_string()
}

const BILLED: Usage = Usage { input_tokens: 15, output_tokens: 7, estimated: false, cost: None, cached: false };

#[tokio::test]
async fn a_plain_answer_and_what_was_sent() {
    let (server, ask) =
        asking("ant-plain", |_| json(message(&json!([{"type": "text", "text": "Hello."}]), "end_turn"))).await;
    let request = ChatRequest {
        messages: vec![
            ChatMessage::system("Be kind."),
            ChatMessage::user("Hi"),
            ChatMessage::user("again"),
            ChatMessage {
                tool_calls: vec![ToolCall { id: "c1".into(), name: "f".into(), arguments: json!({"a": 1}) }],
                ..ChatMessage::assistant("One moment.")
            },
            ChatMessage::tool("c1", "42"),
        ],
        tools: vec![ToolSpec { name: "f".into(), description: "Finds.".into(), parameters: json!({"type": "object"}) }],
        temperature: Some(2.0),
        ..ChatRequest::default()
    };
    let reply = ask.request(request).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.model.as_str(), reply.finish), ("Hello.", "c-1-2026", Finish::Stop));
    assert_eq!(reply.usage, BILLED, "what came from a cache is input all the same");
    let seen = server.seen.lock().unwrap()[0].clone();
    assert_eq!(
        (&seen.headers["x-api-key"], &seen.headers["anthropic-version"]),
        (&"sk-ant-test".parse().unwrap(), &"2023-06-01".parse().unwrap())
    );
    assert_eq!(seen.headers["idempotency-key"], "run-1/ask");
    assert_eq!(
        seen.body,
        json!({"model": "c-1", "max_tokens": 4096, "system": "Be kind.", "temperature": 1.0,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "again"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "One moment."},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}]}],
            "tools": [{"name": "f", "description": "Finds.", "input_schema": {"type": "object"}}]})
    );
}

fn stream(texts: &[&str], end: bool) -> String {
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let mut all = event(json!({"type": "message_start", "message": {"model": "c-1-2026",
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}}}));
    all += &event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    all += &event(json!({"type": "ping"}));
    for text in texts {
        all +=
            &event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}));
    }
    if end {
        all += &event(json!({"type": "content_block_stop", "index": 0}));
        all += &event(
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        );
        all += &event(json!({"type": "message_stop"}));
    }
    all
}

#[tokio::test]
async fn a_stream_is_whole_however_it_is_split() {
    let words = ["Grüße ", "aus ", "München", "."];
    for size in [1, 7, 100_000] {
        let (_, ask) = asking(&format!("ant-split-{size}"), move |_| pieces(&stream(&words, true), size)).await;
        let ask = ask.streamed();
        let reply = ask.say("Hi").await.unwrap();
        assert_eq!((reply.text.as_str(), reply.usage, reply.finish), ("Grüße aus München.", BILLED, Finish::Stop));
        assert_eq!(ask.pieces.text(), "Grüße aus München.");
    }
}

#[tokio::test]
async fn tools_come_in_pieces_and_whole() {
    let piece = |index: usize, json: &str| {
        format!(
            "data: {}\n\n",
            json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": json}})
        )
    };
    let start = json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}}});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}});
    let text = stream(&["Let me see. "], false)
        + &format!("data: {start}\n\n")
        + &piece(1, "{\"a\":")
        + &piece(1, " 1}")
        + &format!("data: {end}\n\n");
    let (_, ask) = asking("ant-tool-stream", move |_| pieces(&text, 13)).await;
    let reply = ask.streamed().say("Hi").await.unwrap();
    let call = ToolCall { id: "t1".into(), name: "f".into(), arguments: json!({"a": 1}) };
    assert_eq!((reply.tool_calls, reply.finish), (vec![call.clone()], Finish::ToolCalls));
    let content = json!([{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]);
    let (_, ask) = asking("ant-tool", move |_| json(message(&content, "tool_use"))).await;
    assert_eq!(ask.say("Hi").await.unwrap().tool_calls, [call]);
}

#[tokio::test]
async fn what_breaks_is_retried_and_may_have_cost() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let text = stream(&["half"], false) + error;
    let (_, ask) = asking("ant-error", move |_| pieces(&text, 64)).await;
    let failed = ask.streamed().say("Hi").await.unwrap_err();
    assert!(failed.is_retryable() && failed.may_have_cost && failed.message.contains("Overloaded"), "{failed}");
    let cut = ask_at("ant-cut", &serve_cut(&stream(&["half"], false)).await).streamed().say("Hi").await.unwrap_err();
    assert!(cut.is_retryable() && cut.may_have_cost, "{cut}");
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let (_, ask) = asking("ant-529", move |_| answer(529, "application/json", body)).await;
    let busy = ask.say("Hi").await.unwrap_err();
    assert!(busy.is_retryable() && !busy.may_have_cost && busy.message.contains("Overloaded"), "{busy}");
    let (_, ask) = asking("ant-400", |_| answer(400, "application/json", r#"{"error":{"message":"bad"}}"#)).await;
    assert_eq!(ask.say("Hi").await.unwrap_err().next, Next::Never);
    let (_, ask) = asking("ant-html", |_| answer(200, "text/html", "<html>")).await;
    assert!(ask.say("Hi").await.unwrap_err().message.contains("something else"));
}

fn ask_at(name: &str, base_url: &str) -> Ask {
    ask(name, provider(base_url))
}

#[tokio::test]
async fn structured_output_is_asked_for_in_words_and_repaired_once() {
    let say = |n: usize| match n {
        1 => "not json",
        _ => "{\"score\": 3}",
    };
    let (server, ask) =
        asking("ant-schema", move |n| json(message(&json!([{"type": "text", "text": say(n)}]), "end_turn"))).await;
    let schema = json!({"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}});
    let request =
        ChatRequest { output_schema: Some(schema), messages: vec![ChatMessage::user("?")], ..ChatRequest::default() };
    assert_eq!(ask.request(request).await.unwrap().output, Some(json!({"score": 3})));
    let seen = server.seen.lock().unwrap();
    assert!(seen.len() == 2 && seen[0].body["system"].as_str().unwrap().contains("JSON Schema"));
}

#[tokio::test]
async fn tool_talk_is_told_in_words_once_no_tools_are_on_offer() {
    let (server, ask) =
        asking("ant-words", |_| json(message(&json!([{"type": "text", "text": "ok"}]), "end_turn"))).await;
    let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: json!({"a": 1}) };
    let request = ChatRequest {
        messages: vec![
            ChatMessage::user(" "),
            ChatMessage { tool_calls: vec![call], ..ChatMessage::assistant("") },
            ChatMessage::tool("c1", "42"),
        ],
        ..ChatRequest::default()
    };
    ask.request(request).await.unwrap();
    let sent = server.seen.lock().unwrap()[0].body["messages"].clone();
    assert_eq!(
        sent,
        json!([
            {"role": "user", "content": [{"type": "text", "text": "(nothing)"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "(called the tool f with {\"a\":1})"}]},
            {"role": "user", "content": [{"type": "text", "text": "The tool returned: 42"}]}
        ])
    );
}

#[tokio::test]
async fn an_error_that_comes_as_a_success_is_no_answer() {
    for (n, body) in [r#"{"type":"error","error":{"message":"no"}}"#, "{}", r#"{"choices":[]}"#].into_iter().enumerate()
    {
        let (_, ask) = asking(&format!("ant-null-{n}"), move |_| json(body)).await;
        assert!(ask.say("Hi").await.unwrap_err().message.contains("something else"));
    }
    let nulls = r#"{"content":[{"type":"text","text":"fine"}],"usage":{"input_tokens":3,"output_tokens":2,"cache_read_input_tokens":null}}"#;
    let (_, ask) = asking("ant-nulls", move |_| json(nulls)).await;
    assert_eq!(ask.say("Hi").await.unwrap().usage.input_tokens, 3);
}
