//! Passages by their vectors.

use super::{Empty, document, good, ids, texts};
use crate::conformance::{Case, promises};
use crate::ports::index::{Filter, Hit, Passage, Vector};

promises! { Empty, "vectors":
    the_nearest_come_first,
    models_are_apart,
    vectors_go_with_their_document,
    a_filter_holds_for_vectors,
    tenants_and_models_do_not_share_vectors,
}

pub(super) fn cases() -> &'static [Case<Empty>] {
    CASES
}

fn vector(model: &str, angle: f32) -> Vector {
    Vector { model: model.into(), values: vec![angle.cos(), angle.sin(), 0.0] }
}

async fn at_angles(index: &Empty, tenant: &str, id: &str, model: &str, angles: &[f32]) {
    let passage = |(n, angle): (usize, &f32)| {
        let start = u32::try_from(n).unwrap_or(0);
        Passage { start, end: start + 1, text: format!("{id}{n}"), vector: Some(vector(model, *angle)) }
    };
    let passages = angles.iter().enumerate().map(passage).collect();
    good(index.put(tenant, document(id, "T", "xxxx"), passages)).await;
}

async fn near(index: &Empty, tenant: &str, model: &str, angle: f32, limit: u32) -> Vec<Hit> {
    good(index.by_vector(tenant, vector(model, angle), &Filter::default(), limit)).await
}

async fn the_nearest_come_first(index: Empty) {
    assert_eq!(index.knows_vectors(), Ok(()), "this topic is for those that know them");
    at_angles(&index, "acme", "a", "m", &[0.0, 1.0, 3.0]).await;
    at_angles(&index, "acme", "b", "m", &[0.2]).await;
    let hits = near(&index, "acme", "m", 0.15, 3).await;
    assert_eq!(texts(&hits), ["b0", "a0", "a1"]);
    assert!((hits[0].score - f64::from(0.05_f32.cos())).abs() < 1e-4, "{}", hits[0].score);
    assert_eq!(near(&index, "acme", "m", 0.15, 1).await.len(), 1);
}

async fn models_are_apart(index: Empty) {
    at_angles(&index, "acme", "a", "m", &[0.0]).await;
    good(index.put(
        "acme",
        document("b", "T", "x"),
        vec![Passage { start: 0, end: 1, text: "x".into(), vector: None }],
    ))
    .await;
    assert!(near(&index, "acme", "other", 0.0, 9).await.is_empty());
    let longer = Vector { model: "m".into(), values: vec![1.0, 0.0, 0.0, 0.0] };
    assert!(good(index.by_vector("acme", longer, &Filter::default(), 9)).await.is_empty(), "another length");
    assert_eq!(near(&index, "acme", "m", 0.0, 9).await.len(), 1);
}

async fn vectors_go_with_their_document(index: Empty) {
    at_angles(&index, "acme", "a", "m", &[0.0, 0.1]).await;
    at_angles(&index, "acme", "a", "m", &[0.3]).await;
    assert_eq!(texts(&near(&index, "acme", "m", 0.0, 9).await), ["a0"]);
    good(index.delete("acme", "a")).await;
    assert!(near(&index, "acme", "m", 0.0, 9).await.is_empty());
}

async fn a_filter_holds_for_vectors(index: Empty) {
    for id in ["a", "b", "c"] {
        at_angles(&index, "acme", id, "m", &[0.0]).await;
    }
    let only = Filter { documents: vec!["b".into()], ..Filter::default() };
    assert_eq!(ids(&good(index.by_vector("acme", vector("m", 0.0), &only, 9)).await), ["b"]);
}

async fn tenants_and_models_do_not_share_vectors(index: Empty) {
    at_angles(&index, "acme", "a", "m", &[0.0]).await;
    at_angles(&index, "umbrella", "b", "m", &[0.0]).await;
    assert_eq!(ids(&near(&index, "umbrella", "m", 0.0, 9).await), ["b"]);
}
