//! What providers offer, and trials of them.

use crate::server::{NOW, answer, ask, json, serve};
use serde_json::json;
use std::sync::Arc;
use tutti_agents::model::offer::{Offer, offers, try_out};
use tutti_agents::model::{Balance, Hop, Provider, ProviderRef, Providers, Route, install};
use tutti_engine::run::Owner;

async fn offered(asked: &crate::server::Ask, name: &str) -> Offer {
    let all = offers(asked.cx.outbound.as_ref(), NOW).await;
    all.into_iter().find(|offer| offer.provider == name).unwrap()
}

#[tokio::test]
async fn models_are_listed_in_both_dialects_and_remembered_for_a_moment() {
    let list = json!({"object": "list", "data": [{"id": "large", "object": "model"}, {"id": "small"}]}).to_string();
    let server = serve(move |_| json(list.clone())).await;
    let key = || Some("sk-1".to_owned().into());
    let asked = ask("lists", Provider::openai(&server.base_url, key(), Some("small".into())));
    for _ in 0..2 {
        let offer = offered(&asked, "lists").await;
        assert_eq!((offer.kind, offer.models.as_slice()), ("openai", ["large", "small"].map(String::from).as_slice()));
        assert_eq!((offer.default_model.as_deref(), offer.error), (Some("small"), None));
    }
    assert_eq!(server.seen.lock().unwrap()[0].headers["authorization"], "Bearer sk-1");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
    let asked = ask("lists-too", Provider::anthropic(&server.base_url, key(), None));
    assert_eq!(offered(&asked, "lists-too").await.models.len(), 2);
    let headers = server.seen.lock().unwrap()[1].headers.clone();
    assert_eq!(
        (&headers["x-api-key"], &headers["anthropic-version"]),
        (&"sk-1".parse().unwrap(), &"2023-06-01".parse().unwrap())
    );
}

#[tokio::test]
async fn whoever_fails_is_listed_with_the_reason_and_a_route_with_its_hops() {
    let server = serve(|n| if n == 1 { answer(401, "text/plain", "bad key") } else { json("<html>") }).await;
    let asked = ask("refuses", Provider::openai(&server.base_url, None, None));
    let why = offered(&asked, "refuses").await.error.unwrap();
    assert!(why.contains("401") && why.contains("LLM_API_KEY"), "{why}");
    let why = offered(&asked, "refuses").await.error.unwrap();
    assert!(why.contains("something else than a list of models"), "a failure is not remembered: {why}");
    let hop = |model: Option<&str>| Hop { provider: ProviderRef::named("refuses"), model: model.map(Into::into) };
    let (hops, cooldown) = (vec![hop(None), hop(Some("m"))], std::time::Duration::from_secs(1));
    let route = Provider::route(Route { hops, balance: Balance::Order, weights: Vec::new(), cooldown });
    install(Providers::only("way", route)).unwrap();
    let way = offered(&asked, "way").await;
    assert_eq!((way.kind, way.hops.as_slice()), ("route", ["refuses", "refuses:m"].map(String::from).as_slice()));
}

#[tokio::test]
async fn a_trial_says_who_answered_or_why_nobody_did() {
    let message = json!({"index": 0, "message": {"content": "ready"}, "finish_reason": "stop"});
    let said = json!({"model": "m-2024", "choices": [message]}).to_string();
    let server = serve(move |n| if n == 1 { json(said.clone()) } else { answer(503, "text/plain", "down") }).await;
    let asked = ask("trial", Provider::openai(&server.base_url, None, Some("m".into())));
    let trial = |model: &str| try_out(Arc::clone(&asked.cx.outbound), Some(model.into()), Owner::local(), NOW);
    let fine = trial("trial:").await;
    assert!(fine.ok && fine.model.as_deref() == Some("m-2024") && fine.error.is_none(), "{fine:?}");
    let offline = trial("offline:").await;
    assert!(offline.ok && offline.model.as_deref() == Some("tutti-offline"), "it is always there: {offline:?}");
    let down = trial("trial:other").await;
    assert!(!down.ok && down.error.as_ref().is_some_and(|why| why.contains("503")), "{down:?}");
}
