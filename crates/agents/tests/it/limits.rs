//! Limits of providers under load, and what becomes of those that come too often.

use crate::server::{ask, json, serve};
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tutti_agents::egress::{Egress, EgressPolicy};
use tutti_agents::model::{Balance, Hop, Provider, ProviderRef, Providers, RateLimits, Route, install};
use tutti_engine::activity::Next;

fn said() -> String {
    let message = json!({"index": 0, "message": {"content": "ready"}, "finish_reason": "stop"});
    json!({"model": "m", "choices": [message], "usage": {"prompt_tokens": 40, "completion_tokens": 60}}).to_string()
}

fn limited(base_url: &str, requests: Option<u32>, tokens: Option<u32>) -> Provider {
    Provider { limits: RateLimits { requests, tokens }, ..Provider::openai(base_url, None, Some("m".into())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_requests_leave_than_the_limit_allows_however_many_come_at_once() {
    let server = serve(|_| json(said())).await;
    let mut asked = ask("crowd", limited(&server.base_url, Some(10), None));
    asked.cx.deadline = Some(asked.cx.now.after(Duration::from_secs(5)));
    let answers = join_all((0..60).map(|_| asked.say("?"))).await;
    let (fine, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((fine.len(), server.seen.lock().unwrap().len()), (10, 10));
    for error in refused.into_iter().map(Result::unwrap_err) {
        let Next::Retry { after_ms: Some(after) } = error.next else { panic!("{error:?}") };
        assert!((1..=70_000).contains(&after) && !error.may_have_cost, "{error:?}");
    }
}

#[tokio::test]
async fn tokens_that_an_answer_took_count_too() {
    let server = serve(|_| json(said())).await;
    let mut asked = ask("talkative", limited(&server.base_url, None, Some(150)));
    asked.cx.deadline = Some(asked.cx.now.after(Duration::from_secs(5)));
    // Each takes 100, which shows only afterwards.
    assert!(asked.say("?").await.is_ok() && asked.say("?").await.is_ok());
    assert!(asked.say("?").await.is_err());
    assert_eq!(server.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_route_passes_over_who_is_used_up_and_does_not_hold_it_against_him() {
    let (first, second) = (serve(|_| json(said())).await, serve(|_| json(said())).await);
    install(Providers::only("pass-a", limited(&first.base_url, Some(2), None))).unwrap();
    install(Providers::only("pass-b", limited(&second.base_url, Some(7), None))).unwrap();
    let hop = |name: &str| Hop { provider: ProviderRef::named(name), model: None };
    let (hops, cooldown) = (vec![hop("pass-a"), hop("pass-b")], Duration::from_secs(60));
    let route = Provider::route(Route { hops, balance: Balance::Order, weights: Vec::new(), cooldown });
    let mut asked = ask("pass", Provider { base_url: first.base_url.clone(), ..route });
    let policy = EgressPolicy::parse("", &[&first.base_url, &second.base_url]).unwrap();
    asked.cx.outbound = Arc::new(Egress::new(policy));
    asked.cx.deadline = Some(asked.cx.now.after(Duration::from_secs(5)));
    for _ in 0..9 {
        asked.say("?").await.unwrap();
    }
    assert_eq!((first.seen.lock().unwrap().len(), second.seen.lock().unwrap().len()), (2, 7));
    let error = asked.say("?").await.unwrap_err();
    assert!(error.is_retryable() && error.message.contains("\"pass-b\""), "both are used up: {error}");
}
