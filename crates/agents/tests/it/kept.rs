//! Answers that are given again.

use crate::server::{Ask, ask, json, pieces, question, serve};
use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use tutti_agents::cache::{self, Cache};
use tutti_agents::model::{Chat, ChatRequest, Finish, Price, Prices, Provider, Providers, Usage, install};
use tutti_engine::activity::Activity;

/// Everything, for ever.
#[derive(Default)]
struct Everything(Mutex<BTreeMap<String, Bytes>>);

impl Cache for Everything {
    fn get(&self, key: &str) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(ready(self.0.lock().unwrap().get(key).cloned()))
    }
    fn put(&self, key: &str, value: Bytes, _: Duration) -> BoxFuture<'_, ()> {
        self.0.lock().unwrap().insert(key.into(), value);
        Box::pin(ready(()))
    }
    fn remove(&self, _: &str) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
    fn add(&self, _: &str, _: u64, _: Duration) -> BoxFuture<'_, Option<u64>> {
        // Nobody counts: whoever counts does so for itself.
        Box::pin(ready(None))
    }
    fn clear(&self, _: &str) -> BoxFuture<'_, Option<u64>> {
        Box::pin(ready(None))
    }
}

fn keeping(name: &str, base_url: &str) -> Ask {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| cache::install(Arc::new(Everything::default())));
    let cached_for = Some(Duration::from_secs(60));
    ask(name, Provider { cached_for, ..Provider::openai(base_url, None, Some("dear".into())) })
}

fn cold(text: &str) -> ChatRequest {
    ChatRequest { temperature: Some(0.0), ..question(text) }
}

fn said(n: usize, finish: &str) -> String {
    let message = json!({"index": 0, "message": {"content": format!("answer {n}")}, "finish_reason": finish});
    json!({"model": "dear-1", "choices": [message], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}).to_string()
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_costs_once() {
    let server = serve(|n| json(said(n, "stop"))).await;
    let asked = keeping("kept", &server.base_url);
    let mut priced = Providers::only("kept-priced", Provider::offline());
    priced.prices = Prices([("dear".to_owned(), Price { input: 1_000_000, output: 1_000_000 })].into());
    install(priced).unwrap();
    let first = asked.request(cold("?")).await.unwrap();
    assert_eq!((first.text.as_str(), first.usage.cost, first.usage.cached), ("answer 1", Some(12), false));
    let again = asked.request(cold("?")).await.unwrap();
    assert_eq!((again.text.as_str(), again.model.as_str()), ("answer 1", "dear-1"));
    assert_eq!(again.usage, Usage { cost: Some(0), cached: true, ..Usage::default() });
    assert_eq!(Chat::spent(&again).unwrap(), tutti_engine::Amounts::default());
    for (request, answer) in [(question("?"), "answer 2"), (question("?"), "answer 3"), (cold("!"), "answer 4")] {
        assert_eq!(asked.request(request.clone()).await.unwrap().text, answer, "{request:?}");
    }
    let warm = ChatRequest { temperature: Some(0.9), cache_seconds: Some(60), ..question("?") };
    assert_eq!(asked.request(warm.clone()).await.unwrap().text, "answer 5");
    assert_eq!(asked.request(warm).await.unwrap().text, "answer 5");
    assert_eq!(asked.request(ChatRequest { cache_seconds: Some(0), ..cold("?") }).await.unwrap().text, "answer 6");
}

#[tokio::test]
async fn nothing_crosses_a_tenant_and_what_was_cut_is_not_kept() {
    let server = serve(|n| json(said(n, if n < 3 { "stop" } else { "length" }))).await;
    let mut asked = keeping("apart", &server.base_url);
    assert_eq!(asked.request(cold("?")).await.unwrap().text, "answer 1");
    asked.cx.owner.user = "ann".into();
    assert_eq!(asked.request(cold("?")).await.unwrap().text, "answer 1", "users of one tenant share");
    asked.cx.owner.tenant = "acme".into();
    assert_eq!(asked.request(cold("?")).await.unwrap().text, "answer 2");
    for n in [3, 4] {
        let reply = asked.request(cold("long")).await.unwrap();
        assert_eq!((reply.text, reply.finish), (format!("answer {n}"), Finish::Length));
    }
}

#[tokio::test]
async fn a_kept_answer_is_streamed_whole() {
    let text = "Ein langer Satz über Karten. ".repeat(60);
    let chunk = |delta: serde_json::Value, finish: serde_json::Value| {
        format!(
            "data: {}\n\n",
            json!({"model": "dear-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        )
    };
    let stream = chunk(json!({"content": text}), json!(null)) + &chunk(json!({}), json!("stop")) + "data: [DONE]\n\n";
    let server = serve(move |_| pieces(&stream, 512)).await;
    for _ in 0..2 {
        let asked = keeping("flowing", &server.base_url).streamed();
        assert_eq!(asked.request(cold("?")).await.unwrap().text, text);
        assert_eq!(asked.pieces.text(), text, "what is stripped must be restored from the deltas");
    }
    let again = keeping("flowing", &server.base_url).streamed();
    assert!(again.request(cold("?")).await.unwrap().usage.cached && again.pieces.count() > 4);
    let whole = keeping("flowing", &server.base_url);
    assert_eq!(whole.request(cold("?")).await.unwrap().text, text, "a stream's answer serves those who want none");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}
