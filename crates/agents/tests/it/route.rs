//! Providers that stand in for each other, and services as agents.

use crate::server::{answer, ask, json, pieces, serve};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tutti_agents::egress::{Egress, EgressPolicy};
use tutti_agents::http_agent::{AskHttp, Line};
use tutti_agents::model::{Balance, Hop, Price, Prices, Provider, ProviderRef, Providers, Route, install, price};
use tutti_engine::activity::{Activity, Next};

fn said(text: &str) -> String {
    json!({"model": "m", "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 500}})
    .to_string()
}

fn hop(name: &str, model: Option<&str>) -> Hop {
    Hop { provider: ProviderRef::named(name), model: model.map(Into::into) }
}

/// Installs two servers and a route over both; answers what the route is asked through.
async fn route(name: &str, first: &crate::server::Server, second: &crate::server::Server) -> crate::server::Ask {
    balanced(name, first, second, Balance::Order, &[]).await
}

async fn balanced(
    name: &str,
    first: &crate::server::Server,
    second: &crate::server::Server,
    balance: Balance,
    weights: &[u32],
) -> crate::server::Ask {
    let (a, b) = (format!("{name}-a"), format!("{name}-b"));
    for (name, server) in [(&a, first), (&b, second)] {
        install(Providers::only(name.as_str(), Provider::openai(&server.base_url, None, Some("m".into())))).unwrap();
    }
    let hops = vec![hop(&a, None), hop(&b, Some("m-2"))];
    let route = Provider {
        base_url: first.base_url.clone(),
        ..Provider::route(Route { hops, balance, weights: weights.to_vec(), cooldown: Duration::from_secs(60) })
    };
    let mut asked = ask(name, route);
    let policy = EgressPolicy::parse("", &[&first.base_url, &second.base_url]).unwrap();
    asked.cx.outbound = Arc::new(Egress::new(policy));
    asked
}

#[tokio::test]
async fn the_next_provider_answers_and_one_that_keeps_failing_rests() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let first =
        serve(move |_| if well.load(Ordering::Relaxed) { json(said("a")) } else { answer(503, "text/plain", "down") })
            .await;
    let second = serve(|_| json(said("b"))).await;
    let asked = route("stand-in", &first, &second).await;
    for _ in 0..5 {
        assert_eq!(asked.say("?").await.unwrap().text, "b");
    }
    assert_eq!(first.seen.lock().unwrap().len(), 3, "after three failures in a row it is left alone");
    assert_eq!(second.seen.lock().unwrap()[0].body["model"], "m-2");
    is_well.store(true, Ordering::Relaxed);
    assert_eq!(asked.say("?").await.unwrap().text, "b", "it rests still");
}

#[tokio::test]
async fn what_cannot_be_mended_is_not_tried_elsewhere_and_mixed_answers_do_not_happen() {
    let first = serve(|_| answer(400, "text/plain", "bad request")).await;
    let second = serve(|_| json(said("b"))).await;
    let asked = route("fatal", &first, &second).await;
    assert_eq!(asked.say("?").await.unwrap_err().next, Next::Never);
    assert!(second.seen.lock().unwrap().is_empty());
    let half = format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": "half"}}]}));
    let first = serve(move |_| pieces(&half, 64)).await;
    let asked = route("half", &first, &second).await.streamed();
    let failed = asked.say("?").await.unwrap_err();
    assert!(failed.is_retryable() && failed.may_have_cost, "the attempt is given up, the next begins anew: {failed}");
    assert_eq!(asked.pieces.text(), "half");
}

#[tokio::test]
async fn a_model_may_name_its_provider_and_prices_are_counted() {
    let server = serve(|_| json(said("x"))).await;
    let asked = ask("named", Provider::openai(&server.base_url, None, Some("m".into())));
    let mut providers = Providers::only("priced", Provider::openai(&server.base_url, None, Some("dear-1".into())));
    providers.prices = Prices([("dear*".to_owned(), Price { input: 3_000_000, output: 15_000_000 })].into());
    install(providers).unwrap();
    let request = tutti_agents::model::ChatRequest { model: Some("priced:".into()), ..crate::server::question("?") };
    let reply = asked.request(request).await.unwrap();
    assert_eq!(reply.usage.cost, Some(10_500), "a server that names its model otherwise is billed as what was asked");
    assert_eq!(server.seen.lock().unwrap()[0].body["model"], "dear-1");
    assert_eq!(
        price(&ProviderRef::default(), Some("priced:dear-2")),
        Some(Price { input: 3_000_000, output: 15_000_000 })
    );
    assert_eq!(price(&ProviderRef::named("named"), Some("unknown:8b")), None);
    assert_eq!(price(&ProviderRef::named("offline"), None), Some(Price::default()));
}

#[tokio::test]
async fn services_answer_in_several_ways_and_fail_as_the_contract_says() {
    let line = |text: &str| Line { from: None, content: text.into() };
    for (n, (kind, body, text, output)) in [
        ("application/json", r#"{"output": {"a": 1}}"#, r#"{"a":1}"#, Some(json!({"a": 1}))),
        ("application/json", r#"{"output": "yes"}"#, "yes", None),
        ("application/json", r#"{"answer": "yes"}"#, "yes", None),
        ("application/json", r#""yes""#, "yes", None),
        ("text/plain", "yes\n", "yes", None),
    ]
    .into_iter()
    .enumerate()
    {
        let server = serve(move |_| answer(200, kind, body)).await;
        let base = server.base_url.clone();
        let asked = ask(&format!("service-{n}"), Provider::openai(&base, None, None));
        let call = AskHttp {
            endpoint: format!("{base}/ask"),
            agent: "a".into(),
            messages: vec![line("q"), line("do it")],
            run_id: "r".into(),
            input: None,
            context: None,
        };
        let reply = call.run(asked.cx.clone()).await.unwrap();
        assert_eq!((reply.said.text.as_str(), reply.said.output), (text, output));
        let seen = server.seen.lock().unwrap()[0].clone();
        assert_eq!((&seen.body["input"], &seen.body["messages"][0]["content"]), (&json!("do it"), &json!("q")));
        assert_eq!(seen.headers["idempotency-key"], "run-1/ask");
    }
    for (n, (status, body, retries)) in
        [(503, "down", true), (429, "slow", true), (404, "no", false), (200, "{\"x\": 1}", false), (200, "[]", false)]
            .into_iter()
            .enumerate()
    {
        let server = serve(move |_| answer(status, "application/json", body)).await;
        let base = server.base_url.clone();
        let asked = ask(&format!("service-bad-{n}"), Provider::openai(&base, None, None));
        let call = AskHttp {
            endpoint: format!("{base}/ask"),
            agent: "a".into(),
            messages: vec![line("q")],
            run_id: "r".into(),
            input: None,
            context: None,
        };
        let failed = call.run(asked.cx.clone()).await.unwrap_err();
        assert_eq!((failed.class.as_str(), failed.is_retryable()), ("AgentError", retries), "{failed}");
    }
}

#[tokio::test]
async fn what_a_failed_hop_may_have_cost_is_counted_and_its_key_is_its_own() {
    let first = serve(|_| answer(504, "text/plain", "gateway timeout")).await;
    let second = serve(|_| json(said("b"))).await;
    let asked = route("lost", &first, &second).await;
    let reply = asked.say("?").await.unwrap();
    assert!(reply.usage.estimated && reply.usage.output_tokens == 500 + 4_096, "{:?}", reply.usage);
    let key = |server: &crate::server::Server| server.seen.lock().unwrap()[0].headers["idempotency-key"].clone();
    assert_eq!((key(&first), key(&second)), ("run-1/ask".parse().unwrap(), "run-1/ask/lost-b:m-2".parse().unwrap()));
}

#[tokio::test]
async fn where_a_budget_pays_each_answer_that_may_cost_is_paid_for_itself() {
    let first = serve(|_| answer(504, "text/plain", "gateway timeout")).await;
    let second = serve(|_| json(said("b"))).await;
    let mut asked = route("paid", &first, &second).await;
    asked.cx.is_paid = true;
    let failed = asked.say("?").await.unwrap_err();
    assert!(failed.may_have_cost && failed.is_retryable() && second.seen.lock().unwrap().is_empty(), "{failed}");
    asked.cx.attempt = 2;
    let reply = asked.say("?").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.usage.output_tokens), ("b", 500), "the next attempt begins one hop further");
}

#[tokio::test]
async fn a_hostile_name_of_a_model_is_priced_at_once() {
    let server = serve(|_| json(said("x"))).await;
    let _ = route("maze", &server, &server).await;
    let name = format!("{}x", "maze:".repeat(40));
    assert_eq!(price(&ProviderRef::named("maze"), Some(&name)), None);
    assert_eq!(price(&ProviderRef::default(), Some(&name)), None);
}

#[tokio::test]
async fn weights_share_the_calls_and_the_same_call_goes_the_same_way() {
    let (first, second) = (serve(|_| json(said("a"))).await, serve(|_| json(said("b"))).await);
    let mut asked = balanced("weighted", &first, &second, Balance::Weighted, &[3, 1]).await;
    for call in 0..200 {
        asked.cx.idempotency_key = Some(format!("run-{call}/ask"));
        let answer = asked.say("?").await.unwrap().text;
        assert_eq!(asked.say("?").await.unwrap().text, answer, "sent again, it comes to the provider that knows it");
    }
    let (a, b) = (first.seen.lock().unwrap().len(), second.seen.lock().unwrap().len());
    assert!(a + b == 400 && (250..=350).contains(&a), "three to one, give or take: {a} to {b}");
}

#[tokio::test]
async fn the_least_busy_is_asked_first_and_stands_in_when_it_fails() {
    // The first never answers while the second does.
    let first = serve(|_| crate::server::stall("")).await;
    let second = serve(|_| json(said("b"))).await;
    let asked = balanced("busy", &first, &second, Balance::LeastBusy, &[]).await;
    let stuck = asked.say("stuck");
    tokio::pin!(stuck);
    let rest = async {
        while first.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            assert_eq!(asked.say("?").await.unwrap().text, "b");
        }
    };
    tokio::select! {
        answer = &mut stuck => panic!("{answer:?}"),
        () = rest => {}
    }
    assert_eq!(first.seen.lock().unwrap().len(), 1, "it is busy");
    let second = serve(|_| answer(503, "text/plain", "down")).await;
    let first = serve(|_| json(said("a"))).await;
    let asked = balanced("idle", &second, &first, Balance::LeastBusy, &[9, 1]).await;
    assert_eq!(asked.say("?").await.unwrap().text, "a");
    assert_eq!(second.seen.lock().unwrap().len(), 1, "its weight says that it comes first where nobody is busy");
}
