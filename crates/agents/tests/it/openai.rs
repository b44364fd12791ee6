//! The OpenAI dialect against a server that behaves, misbehaves and breaks.

use crate::server::{self, Answer, Ask, Server, answer, ask, endless, json, pieces, question, serve, serve_cut, stall};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_agents::model::{ChatMessage, ChatRequest, Finish, Provider, ToolCall, ToolSpec, Usage};
use tutti_engine::activity::{Activity, ActivityError, Next};

fn provider(server: &Server) -> Provider {
    Provider::openai(&server.base_url, Some("sk-test-key".to_owned().into()), Some("m-1".into()))
}

async fn asking(name: &str, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Server, Ask) {
    let server = serve(answer).await;
    let ask = ask(name, provider(&server));
    (server, ask)
}

fn completion(message: &Value, finish: &str) -> String {
    let choice = json!({"index": 0, "message": message, "finish_reason": finish});
    json!({"id": "x", "model": "m-1-2026", "choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
        .to_string()
}

fn say(text: &str) -> String {
    completion(&json!({"role": "assistant", "content": text}), "stop")
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    format!(
        "data: {}\n\n",
        json!({"model": "m-1-2026", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    )
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\n";

fn spoken(words: &[&str]) -> String {
    let mut text =
        ": hello\n\nevent: message\n".to_owned() + &event(&json!({"role": "assistant", "content": ""}), None);
    text.extend(words.iter().map(|word| event(&json!({"content": word}), None)));
    text + &event(&json!({}), Some("stop")) + USAGE + "data: [DONE]\n\n"
}

const BILLED: Usage = Usage { input_tokens: 11, output_tokens: 7, estimated: false, cost: None, cached: false };

fn retries(error: &ActivityError) -> Option<u64> {
    assert_eq!(error.class, "LlmError", "{error}");
    assert!(!error.message.contains("sk-test-key"), "{error}");
    match error.next {
        Next::Retry { after_ms } => after_ms,
        _ => panic!("not to be retried: {error}"),
    }
}

#[tokio::test]
async fn a_plain_answer_and_what_was_sent() {
    let (server, ask) = asking("plain", |_| json(say("Hello."))).await;
    let request = ChatRequest {
        messages: vec![
            ChatMessage::system("Be kind."),
            ChatMessage::user("Hi").named("Ann Ä"),
            ChatMessage {
                tool_calls: vec![ToolCall { id: "c1".into(), name: "f".into(), arguments: json!({"a": 1}) }],
                ..ChatMessage::assistant("")
            },
            ChatMessage::tool("c1", "42"),
        ],
        tools: vec![ToolSpec { name: "f".into(), description: "Finds.".into(), parameters: json!({"type": "object"}) }],
        max_tokens: Some(50),
        temperature: Some(0.7),
        ..ChatRequest::default()
    };
    let reply = ask.request(request).await.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.model.as_str(), reply.finish, reply.usage),
        ("Hello.", "m-1-2026", Finish::Stop, BILLED)
    );
    let seen = server.seen.lock().unwrap()[0].clone();
    assert_eq!(seen.headers["authorization"], "Bearer sk-test-key");
    assert_eq!(seen.headers["idempotency-key"], "run-1/ask");
    assert!(seen.headers["traceparent"].to_str().unwrap().starts_with("00-4bf9"));
    assert_eq!(
        seen.body,
        json!({
            "model": "m-1",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi", "name": "Ann__"},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                {"role": "tool", "content": "42", "tool_call_id": "c1"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "description": "Finds.", "parameters": {"type": "object"}}}],
            "max_tokens": 50,
            "temperature": 0.7_f32,
        })
    );
}

#[tokio::test]
async fn a_stream_is_whole_however_it_is_split() {
    let words = ["Grüße ", "aus ", "München ", "🎻", "."];
    for size in [1, 2, 3, 7, 64, 100_000] {
        let (server, ask) = asking(&format!("split-{size}"), move |_| pieces(&spoken(&words), size)).await;
        let ask = ask.streamed();
        let mut reply = ask.say("Hi").await.unwrap();
        assert_eq!(reply.text, words.concat(), "in pieces of {size}");
        assert_eq!((ask.pieces.text(), ask.pieces.count()), (words.concat(), words.len()));
        assert_eq!((reply.finish, reply.usage), (Finish::Stop, BILLED));
        let body = &server.seen.lock().unwrap()[0].body;
        assert_eq!((&body["stream"], &body["stream_options"]), (&json!(true), &json!({"include_usage": true})));
        let whole = reply.clone();
        tutti_agents::model::Chat::strip(&mut reply);
        assert_eq!(reply.text, "");
        tutti_agents::model::Chat::restore(&mut reply, &ask.pieces.text());
        assert_eq!(reply, whole);
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_still_fills_the_deltas() {
    let (_server, ask) = asking("unstreamed", |_| json(say("All at once."))).await;
    let ask = ask.streamed();
    assert_eq!(ask.say("Hi").await.unwrap().text, "All at once.");
    assert_eq!(ask.pieces.text(), "All at once.");
}

#[tokio::test]
async fn tool_calls_whole_and_in_pieces() {
    let calls = json!([
        {"id": "a", "type": "function", "function": {"name": "find", "arguments": "{\"q\": \"x\"}"}},
        {"id": "b", "type": "function", "function": {"name": "now", "arguments": ""}},
    ]);
    let whole = completion(&json!({"role": "assistant", "content": null, "tool_calls": calls}), "stop");
    let part = |index: usize, id: Option<&str>, name: Option<&str>, arguments: &str| {
        event(
            &json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}),
            None,
        )
    };
    let streamed = part(0, Some("a"), Some("find"), "")
        + &part(1, Some("b"), Some("now"), "")
        + &part(0, None, None, "{\"q\":")
        + &part(0, None, None, " \"x\"}")
        + &event(&json!({}), Some("tool_calls"))
        + "data: [DONE]\n\n";
    let (_one, plain) = asking("tools", move |_| json(whole.clone())).await;
    let (_two, stream) = asking("tools-streamed", move |_| pieces(&streamed, 11)).await;
    for reply in [plain.say("?").await.unwrap(), stream.streamed().say("?").await.unwrap()] {
        let expected = [("a", "find", json!({"q": "x"})), ("b", "now", json!({}))];
        let calls: Vec<_> =
            reply.tool_calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.clone())).collect();
        assert_eq!(calls, expected);
        assert_eq!(reply.finish, Finish::ToolCalls);
    }
}

#[tokio::test]
async fn usage_that_is_missing_is_estimated_and_says_so() {
    let (_server, ask) =
        asking("usage", |_| json(r#"{"choices":[{"message":{"content":"12345678"}}],"usage":null}"#)).await;
    let reply = ask.say("123456789").await.unwrap();
    assert_eq!(reply.usage, Usage { input_tokens: 3, output_tokens: 2, estimated: true, ..Usage::default() });
    assert_eq!((reply.model.as_str(), reply.finish), ("m-1", Finish::Stop));
    let (_server, ask) =
        asking("refusal", |_| json(r#"{"choices":[{"message":{"content":null,"refusal":"I may not."}}]}"#)).await;
    let reply = ask.say("?").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("I may not.", Finish::ContentFilter));
    let parts = r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"finish_reason":"length"}]}"#;
    let (_server, ask) = asking("parts", move |_| json(parts)).await;
    let reply = ask.say("?").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("ab", Finish::Length));
}

#[tokio::test]
async fn error_statuses_are_retried_or_final_as_data() {
    let refused = r#"{"error":{"message":"no such\u001b[31m model","type":"invalid_request_error"}}"#;
    let cases = [
        (429, Some("2"), Some(Some(2_000))),
        (429, Some("Wed, 21 Oct 2015 07:28:05 GMT"), Some(Some(5_000))),
        (429, None, Some(None)),
        (503, Some("999999"), Some(Some(600_000))),
        (500, None, Some(None)),
        (502, None, Some(None)),
        (408, None, Some(None)),
        (409, None, Some(None)),
        (400, Some("1"), None),
        (401, None, None),
        (404, None, None),
        (422, None, None),
        (307, None, None),
    ];
    for (n, (status, after, expected)) in cases.into_iter().enumerate() {
        let answer = move |_| {
            let mut response = answer(status, "application/json", refused);
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.parse().unwrap());
            }
            response
        };
        let (_server, ask) = asking(&format!("status-{n}"), answer).await;
        let error = ask.say("?").await.unwrap_err();
        assert!(
            error.message.contains(&status.to_string()) && error.message.contains("no such\\u{1b}[31m model"),
            "{error}"
        );
        match expected {
            Some(after_ms) => assert_eq!(retries(&error), after_ms, "{status}"),
            None => assert_eq!(error.next, Next::Never, "{status}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_an_answer_is_retried_and_described() {
    let half = &say("Hello.")[..60];
    let cases: [(&str, &str, &str); 9] = [
        ("text/html", "<html><body>Sign in</body></html>", "<html>"),
        ("application/json", "", "empty body"),
        ("application/json", half, "not whole JSON"),
        ("application/json", "\u{0}\u{1}\u{2}", "\\u{0}"),
        ("application/json", "[1,2]", "no chat completion"),
        ("application/json", r#"{"choices":[]}"#, "without any choice"),
        ("application/json", r#"{"error":{"message":"overloaded"}}"#, "overloaded"),
        (
            "application/json",
            r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":"}}]}}]}"#,
            "broken JSON as arguments",
        ),
        ("application/json", r#"{"choices":[{"message":{"tool_calls":[{"function":{}}]}}]}"#, "without a name"),
    ];
    for (n, (kind, body, what)) in cases.into_iter().enumerate() {
        let (kind, body) = (kind.to_owned(), body.to_owned());
        let reply = move |_| answer(200, &kind, body.clone());
        let (_server, ask) = asking(&format!("garbage-{n}"), reply).await;
        let plain = ask.say("?").await.unwrap_err();
        assert_eq!(retries(&plain), None);
        assert!(plain.message.contains(what), "{what}: {plain}");
        let streamed = ask.streamed();
        assert_eq!(retries(&streamed.say("?").await.unwrap_err()), None);
        assert_eq!(streamed.pieces.text(), "");
    }
}

#[tokio::test]
async fn streams_that_break_are_retried() {
    let start = event(&json!({"content": "Hel"}), None);
    let broken = Provider::openai(&serve_cut(&start).await, None, Some("m-1".into()));
    let ask = ask("stream-cut", broken).streamed();
    let error = ask.say("?").await.unwrap_err();
    assert_eq!((retries(&error), ask.pieces.text().as_str()), (None, "Hel"));
    assert!(error.message.contains("broke off"), "{error}");
    type Answers = Box<dyn Fn(&str) -> Answer + Send + Sync>;
    let cases: [(&str, Answers, &str); 5] = [
        ("ends", Box::new(|text| pieces(text, 9)), "breaks off in the middle"),
        ("json", Box::new(|text| pieces(&format!("{text}data: {{\"choices\":[{{\n\n"), 9)), "broken JSON"),
        (
            "error",
            Box::new(|text| pieces(&format!("{text}data: {{\"error\":{{\"message\":\"oops\"}}}}\n\n"), 9)),
            "oops",
        ),
        (
            "bytes",
            Box::new(|text| answer(200, "text/event-stream", [text.as_bytes(), b"data: \xff\xfe\n\n"].concat())),
            "not UTF-8",
        ),
        ("web", Box::new(|_| pieces("<html>\n<body>\n", 9)), "breaks off in the middle"),
    ];
    for (name, answer, what) in cases {
        let start = start.clone();
        let (_server, ask) = asking(&format!("stream-{name}"), move |_| answer(&start)).await;
        let error = ask.streamed().say("?").await.unwrap_err();
        assert_eq!(retries(&error), None);
        assert!(error.message.contains(what), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_stream_that_said_it_is_finished_may_end_without_farewell() {
    let said = event(&json!({"content": "Done."}), None) + &event(&json!({}), Some("stop"));
    let farewell = event(&json!({"content": "Done."}), None) + "data: [DONE]\n\n";
    for (name, text) in [("finish", said.clone()), ("done", farewell.clone())] {
        let (_server, ask) = asking(&format!("end-{name}"), move |_| pieces(&text, 5)).await;
        let reply = ask.streamed().say("?").await.unwrap();
        assert_eq!((reply.text.as_str(), reply.usage.estimated), ("Done.", true));
    }
    let broken = Provider::openai(&serve_cut(&said).await, None, Some("m-1".into()));
    assert_eq!(ask("end-cut", broken).streamed().say("?").await.unwrap().text, "Done.");
    let (_server, ask) = asking("end-stall", move |_| stall(&farewell)).await;
    assert_eq!(
        ask.streamed().say("?").await.unwrap().text,
        "Done.",
        "an open connection after [DONE] is not waited for"
    );
}

#[tokio::test]
async fn endless_and_slow_answers_meet_their_bounds() {
    let bounded = |server: &Server| Provider { body_bytes_max: 100_000, line_bytes_max: 10_000, ..provider(server) };
    type Answers = fn() -> Answer;
    let cases: [(&str, Answers, &str); 5] = [
        ("words", || endless("data: {\"choices\":[{\"delta\":{\"content\":\"x \"}}]}\n\n"), "more than 100000 bytes"),
        ("line", || endless("data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), "line of more than 10000 bytes"),
        ("comments", || endless(": still here\n\n"), "more than 100000 bytes"),
        ("stall", || stall("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"), "within 50 ms"),
        ("silence", || stall(""), "within 50 ms"),
    ];
    for (name, answer, what) in cases {
        let server = serve(move |_| answer()).await;
        let mut provider = bounded(&server);
        if what.ends_with("50 ms") {
            provider.timeout = Duration::from_millis(50);
        }
        let ask = ask(&format!("bound-{name}"), provider).streamed();
        let error = ask.say("?").await.unwrap_err();
        assert_eq!(retries(&error), None);
        assert!(error.message.contains(what), "{name}: {error}");
    }
    let server = serve(|_| server::answer(200, "application/json", "x".repeat(200_000))).await;
    let error = ask("bound-whole", bounded(&server)).say("?").await.unwrap_err();
    assert!(retries(&error).is_none() && error.message.contains("more than 100000 bytes"), "{error}");
    let server = serve(|_| stall(": \n")).await;
    let drip = Provider { total_max: Duration::from_millis(50), ..provider(&server) };
    let error = ask("bound-total", drip).streamed().say("?").await.unwrap_err();
    assert!(retries(&error).is_none() && error.message.contains("not complete after 50 ms"), "{error}");
}

fn form() -> ChatRequest {
    let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": false});
    ChatRequest { output_schema: Some(schema), ..question("How many?") }
}

#[tokio::test]
async fn structured_output_is_checked_and_repaired_once() {
    let (server, ask) = asking("form", |_| json(say("```json\n{\"n\": 3}\n```"))).await;
    let reply = ask.request(form()).await.unwrap();
    assert_eq!((reply.output, reply.text.as_str()), (Some(json!({"n": 3})), "{\"n\":3}"));
    let format = server.seen.lock().unwrap()[0].body["response_format"].clone();
    assert_eq!(
        (&format["type"], &format["json_schema"]["schema"]),
        (&json!("json_schema"), form().output_schema.as_ref().unwrap())
    );

    let (server, ask) =
        asking("repair", |n| pieces(&spoken(&[if n == 1 { "{\"n\":\"three\"}" } else { "{\"n\":3}" }]), 9)).await;
    let ask = ask.streamed();
    let reply = ask.request(form()).await.unwrap();
    assert_eq!(
        (reply.output, ask.pieces.text().as_str()),
        (Some(json!({"n": 3})), "{\"n\":3}"),
        "only the final text is handed on"
    );
    assert_eq!(reply.usage, BILLED.plus(BILLED), "both are paid");
    let seen = server.seen.lock().unwrap().clone();
    assert_eq!(
        (&seen[0].headers["idempotency-key"], &seen[1].headers["idempotency-key"]),
        (&"run-1/ask".parse().unwrap(), &"run-1/ask/repair".parse().unwrap())
    );
    let told = seen[1].body["messages"][2]["content"].as_str().unwrap();
    assert!(told.contains("/n: ") && told.contains("integer"), "{told}");
    assert_eq!(seen[1].body["messages"][1]["content"], "{\"n\":\"three\"}");

    let (server, ask) = asking("hopeless", |_| json(say("three"))).await;
    let error = ask.request(form()).await.unwrap_err();
    assert_eq!((error.next, server.seen.lock().unwrap().len()), (Next::Never, 2));
    assert!(error.message.contains("not JSON"), "{}", error.message);
    let wrong = ChatRequest { output_schema: Some(json!({"type": 7})), ..question("?") };
    assert_eq!(ask.request(wrong).await.unwrap_err().next, Next::Fix { field: Some("output_schema".into()) });
}

#[tokio::test]
async fn what_cannot_be_asked_says_why() {
    let server = serve(|_| json(say("x"))).await;
    let nameless = Provider { default_model: None, ..provider(&server) };
    let error = ask("nameless", nameless).say("?").await.unwrap_err();
    assert!(error.next == Next::Never && error.message.contains("LLM_DEFAULT_MODEL"), "{error}");
    let key = Provider { api_key: Some("two\nlines".to_owned().into()), ..provider(&server) };
    let error = ask("bad-key", key).say("?").await.unwrap_err();
    assert!(error.message.contains("LLM_API_KEY") && !error.message.contains("lines"), "{error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = Provider { base_url: format!("http://{}", listener.local_addr().unwrap()), ..provider(&server) };
    drop(listener);
    assert_eq!(retries(&ask("closed", closed).say("?").await.unwrap_err()), None);
    assert!(server.seen.lock().unwrap().is_empty());
}
