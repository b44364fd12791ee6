//! Real input: how often a question of a bank's customer finds one of the same intent among 3 079 others, by words alone.

use super::put;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tutti_tests::queries::{aloud, banking77_with_intents};
use tutti_tests::server::Server;

/// Every document of the test set is there; so many are asked for.
const ASKED: usize = 500;
/// Below this something is broken.
const AT_1_LEAST: f64 = 0.70;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_intent_is_found_by_words_alone() {
    let Some(queries) = banking77_with_intents() else { return };
    let server = Server::start().await;
    let client = server.client();
    let all = queries.iter().enumerate();
    let keep = stream::iter(all.map(|(n, (text, intent))| {
        let body = json!({"id": n.to_string(), "title": "Question", "content": text, "metadata": {"intent": intent}});
        let client = client.clone();
        async move { put(&client, &body).await.expect(201) }
    }));
    keep.buffer_unordered(8).for_each(|_| async {}).await;
    let step = queries.len() / ASKED;
    let asked = stream::iter((0..ASKED).map(|n| n * step)).map(|n| {
        let (client, queries) = (client.clone(), &queries);
        async move {
            let (text, intent) = &queries[n];
            let body = json!({"query": text, "limit": 6});
            let answer = client.post("/v1/search", &body).await.expect(200).json();
            let others = answer["items"].as_array().unwrap().iter().filter_map(|item| {
                let id: usize = item["document_id"].as_str()?.parse().ok()?;
                (id != n).then(|| queries[id].1 == *intent)
            });
            others.take(5).collect::<Vec<bool>>()
        }
    });
    let found: Vec<Vec<bool>> = asked.buffer_unordered(8).collect().await;
    let share = |hits: usize| hits as f64 / found.len() as f64;
    let at_1 = share(found.iter().filter(|ranks| ranks.first() == Some(&true)).count());
    let at_5 = share(found.iter().filter(|ranks| ranks.contains(&true)).count());
    aloud(&format!(
        "banking77 by words alone, {ASKED} of {}: right intent at rank 1 {at_1:.3}, within 5 {at_5:.3}",
        queries.len()
    ));
    assert!(at_1 >= AT_1_LEAST && at_5 >= at_1, "{at_1} {at_5}");
}
